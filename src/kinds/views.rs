//! Looks at the views of the workspace's own dataset, and makes them what the recipes say, for `cbi sql deploy` and `cbi status`: no recipe kind.
//! Invariant: what cbi did not make is never touched, and what somebody else changed only where that is asked.
//!
//! `probe:views`: params an `Asked`; the answer is a `Stood` for each view.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::engine::bigquery::dataset::Dataset;
use crate::engine::bigquery::fault::BigQueryError;
use crate::engine::bigquery::rest::Rest;
use crate::engine::bigquery::views::{self, Standing, View};
use crate::kinds::export::{Reach, failure, wait};
use crate::kinds::pushed::own;
use crate::kinds::request::{Request, Response, RunError};

/// The file, in the question's output folder, that takes how the views stand.
pub const STOOD: &str = "views.json";

/// Views looked at side by side.
const SIDE_BY_SIDE: usize = 16;

/// What is asked.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Asked {
    /// The views that are wanted, each behind those that it reads.
    pub views: Vec<View>,
    /// What else is done than looking at them.
    #[serde(default)]
    pub deploy: Option<Deploy>,
}

/// How views are deployed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Deploy {
    /// The workspace that keeps them.
    pub workspace: String,
    /// The names of the views of all its recipes: others that it keeps are for recipes that are gone.
    pub all: Vec<String>,
    /// Nothing is changed, for it is only asked what would be.
    pub dry: bool,
    /// What somebody else made or changed is changed too.
    pub force: bool,
    /// Views for recipes that are gone are dropped.
    pub prune: bool,
    /// A table that they read, `dataset.table`: a dataset that is not there is made where it is.
    pub near: Option<String>,
}

/// How a view stood, and what became of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Stood {
    /// Its name in the dataset.
    pub name: String,
    /// How it stood; `None` where its recipe is gone, and with it what it should say.
    pub standing: Option<Standing>,
    /// What became of it.
    pub became: Became,
}

/// What became of a view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Became {
    /// Nothing, or what would have been done.
    Left,
    /// It was made, changed or dropped.
    Done,
    /// BigQuery does not take it: what it says.
    Refused(String),
    /// A view before it was not taken.
    NotReached,
}

/// Looks, and changes where that is asked.
///
/// # Errors
/// When BigQuery cannot be asked, refuses somebody, or a view was changed by somebody else meanwhile.
pub fn run(request: &Request) -> Result<Response, RunError> {
    let (asked, reach): (Asked, Reach) = (request.params()?, request.reach()?);
    let stood = wait(conversation(asked, &reach))?.map_err(|error| failure(&error))?;
    request.tell(STOOD, &stood)
}

async fn conversation(asked: Asked, reach: &Reach) -> Result<Vec<Stood>, BigQueryError> {
    let (rest, _) = reach.open().await?;
    let (rest, own) = (Arc::new(rest), own(reach));
    let Some(deploy) = asked.deploy else {
        let looked = look(&rest, &own, &asked.views).await?;
        let stood = |(view, (standing, _)): (View, _)| Stood { name: view.name, standing: Some(standing), became: Became::Left };
        return Ok(asked.views.into_iter().zip(looked).map(stood).collect());
    };
    let kept = views::kept(&rest, &own, &deploy.workspace).await?;
    if kept.is_none() && !deploy.dry && !asked.views.is_empty() {
        own.create(&rest, location(&rest, reach, &deploy).await?.as_deref()).await?;
    }
    let looked = match &kept {
        Some(_) => look(&rest, &own, &asked.views).await?,
        None => vec![(Standing::Absent, String::new()); asked.views.len()],
    };
    let mut stood = Vec::new();
    let mut stopped = false;
    for (view, (standing, etag)) in asked.views.into_iter().zip(looked) {
        let done = match (&standing, stopped || deploy.dry) {
            (Standing::Absent, false) => Some(view.make(&rest, &own, &deploy.workspace).await),
            (Standing::Differs, false) => Some(view.change(&rest, &own, &deploy.workspace, &etag).await),
            (Standing::ByHand, false) if deploy.force => Some(view.change(&rest, &own, &deploy.workspace, &etag).await),
            _ => None,
        };
        let became = match done {
            None if stopped && standing != Standing::Same => Became::NotReached,
            None => Became::Left,
            Some(Ok(())) => Became::Done,
            Some(Err(BigQueryError::Refused { status: 400 | 404, message, .. })) => {
                stopped = true;
                Became::Refused(message)
            }
            Some(Err(error)) => return Err(error),
        };
        stood.push(Stood { name: view.name, standing: Some(standing), became });
    }
    for name in kept.unwrap_or_default().into_iter().filter(|name| !deploy.all.contains(name)) {
        let drops = deploy.prune && !deploy.dry && !stopped;
        if drops {
            own.drop_table(&rest, &name).await?;
        }
        stood.push(Stood { name, standing: None, became: if drops { Became::Done } else { Became::Left } });
    }
    Ok(stood)
}

/// How views stand, in their order.
async fn look(rest: &Arc<Rest>, own: &Dataset, wanted: &[View]) -> Result<Vec<(Standing, String)>, BigQueryError> {
    let mut found = vec![(Standing::Absent, String::new()); wanted.len()];
    for some in wanted.iter().enumerate().collect::<Vec<_>>().chunks(SIDE_BY_SIDE) {
        let mut looks = JoinSet::new();
        for (at, view) in some {
            let (at, view, rest, own) = (*at, (*view).clone(), rest.clone(), own.clone());
            looks.spawn(async move { (at, view.look(&rest, &own).await) });
        }
        while let Some(ended) = looks.join_next().await {
            let (at, looked) = ended.map_err(|error| BigQueryError::Answer { what: "look at views".into(), why: error.to_string() })?;
            found[at] = looked?;
        }
    }
    Ok(found)
}

/// Where the dataset is made: where the settings say, else where a table is that the views read.
async fn location(rest: &Rest, reach: &Reach, deploy: &Deploy) -> Result<Option<String>, BigQueryError> {
    let (None, Some((dataset, table))) = (&reach.work.location, deploy.near.as_ref().and_then(|near| near.split_once('.'))) else {
        return Ok(reach.work.location.clone());
    };
    let near = Dataset { project: reach.account.project.clone(), name: dataset.to_owned() };
    let found = near.look(rest, table).await?.unwrap_or(Value::Null);
    Ok(found["location"].as_str().filter(|location| !location.is_empty()).map(str::to_owned))
}
