//! Owns the views that the recipes' queries are to be, and what is remembered of those that were deployed. Invariant: a view says what its recipe says,
//! over the warehouse's own tables and other views; what cannot be one is refused where it is written.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::app::problem::{self, Outcome, Problems};
use crate::app::queries::{self, Query, Reads};
use crate::app::workspace::Workspace;
use crate::app::{locate, observe};
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::engine::bigquery::dataset::{Dataset, stem};
use crate::engine::bigquery::views::{Standing, View};
use crate::graph::build::{NodeId, TargetGraph};
use crate::io::file;
use crate::io::fs;
use crate::kinds::export::Reach;
use crate::kinds::views::{Asked, STOOD, Stood};
use crate::model::recipe::Place;
use crate::store::root::Root;
use crate::syntax::sql::read::read;
use crate::syntax::sql::replace::{Replaced, replace};

/// What is said of a view that is as its recipe says.
pub const AS_SAID: &str = "deployed";

/// A view that a query is to be.
#[derive(Debug)]
pub struct Wanted {
    /// The query's target.
    pub id: NodeId,
    /// The target's name.
    pub target: String,
    /// The view.
    pub view: View,
    /// Its query, as it was put together from `written`.
    pub text: Replaced,
    /// The query as it was written.
    written: String,
    /// The same in canonical form.
    canonical: String,
}

impl Wanted {
    /// Where the words stand that a message of BigQuery's about the view is about.
    #[must_use]
    pub fn place(&self, workspace: &Workspace, graph: &TargetGraph, message: &str) -> Place {
        let at = self.text.place(message).and_then(|at| locate::in_canonical(&self.written, &self.canonical, at));
        locate::token(&workspace.texts, &graph[self.id], &self.canonical, at)
    }
}

/// The way to the workspace's own dataset, and the dataset.
///
/// # Errors
/// When the warehouse is a folder, or must not be asked.
pub fn reach(workspace: &Workspace) -> Outcome<(Reach, Dataset)> {
    let Some(account) = &workspace.remote else {
        let problem = Diagnostic::new(ExitCode::Usage, "views are deployed into BigQuery, and the warehouse is a folder");
        return Err(vec![problem.hint("name the profile whose warehouse is BigQuery: --profile NAME")]);
    };
    let reach = workspace.reach(account, &TargetGraph::default());
    let own = Dataset { project: account.project.clone(), name: reach.work.dataset.clone() };
    Ok((reach, own))
}

/// The name of a target's view.
#[must_use]
pub fn name_of(target: &str) -> String {
    stem(target)
}

/// The views that these queries are to be, and what is wrong with those that cannot be one.
#[must_use]
pub fn wanted(workspace: &Workspace, graph: &TargetGraph, own: &Dataset, queries: &[Query]) -> (Vec<Wanted>, Problems) {
    let (mut all, mut problems) = (Vec::new(), Vec::new());
    let mut names: BTreeMap<String, &str> = BTreeMap::new();
    for query in queries {
        if let Some(other) = names.insert(name_of(&query.name), &query.name) {
            let message = format!("targets '{other}' and '{}' would be one view, {}", query.name, name_of(&query.name));
            problems.push(refused(workspace, graph, query, None, message, "give one of them another name"));
            continue;
        }
        match one(workspace, graph, own, query) {
            Ok(wanted) => all.push(wanted),
            Err(problem) => problems.push(problem),
        }
    }
    (all, problems)
}

fn one(workspace: &Workspace, graph: &TargetGraph, own: &Dataset, query: &Query) -> Result<Wanted, Diagnostic> {
    let mentioned = |name: &str| read(&query.text).ok()?.mentions.iter().find(|m| m.name.eq_ignore_ascii_case(name)).map(|m| m.span.start);
    let refuse = |name: &str, why: String, hint: &str| {
        let message = format!("target '{}' cannot be a view: {why}", query.name);
        refused(workspace, graph, query, mentioned(name), message, hint)
    };
    let mut sources = BTreeMap::new();
    for (table, reads) in &query.reads {
        let source = match reads {
            Reads::Table(plain) => plain.source(&own.project),
            Reads::Query(id) => format!("`{}`", own.whole(&name_of(graph[*id].name().as_str()))),
            Reads::Made(id) => {
                let why =
                    format!("it reads '{table}', which is made here (kind {}) and is no table of the warehouse", graph[*id].stanza.kind);
                return Err(refuse(table, why, "publish that table into BigQuery and read it from there, or name the targets to deploy"));
            }
        };
        sources.insert(table.as_str(), source);
    }
    if let Some(day) = workspace.as_of.as_deref().filter(|day| query.params.get("as_of").is_some_and(|value| value == day)) {
        let why = format!("@as_of is the day of one build ({day}), and a view is asked on any");
        return Err(refuse("as_of", why, "leave @as_of to the queries that read the view, or name the targets to deploy"));
    }
    let node = &graph[query.id];
    let written = locate::written(&workspace.texts, node, &query.text);
    let text = replace(&written, &|name| sources.get(name).cloned(), &query.params).map_err(|error| {
        let at = locate::in_canonical(&written, &query.text, error.span.start);
        refused(workspace, graph, query, at, format!("target '{}' cannot be a view: {error}", query.name), "name the targets to deploy")
    })?;
    let said = node.stanza.common.description.as_ref().map(|said| format!("{said} ")).unwrap_or_default();
    let description = format!("{said}The query of '{}', kept by cbi sql deploy.", query.name);
    let view = View { name: name_of(&query.name), query: text.text.clone(), description };
    Ok(Wanted { id: query.id, target: query.name.clone(), view, text, written, canonical: query.text.clone() })
}

fn refused(workspace: &Workspace, graph: &TargetGraph, query: &Query, at: Option<usize>, message: String, hint: &str) -> Diagnostic {
    let place = locate::token(&workspace.texts, &graph[query.id], &query.text, at);
    let mut problem = Diagnostic::new(ExitCode::Invalid, message).hint(hint);
    problem.snippets.extend(workspace.texts.snippet(&place, ""));
    problem
}

/// The targets whose views were deployed from here, by the whole name of the dataset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployed(BTreeMap<String, BTreeSet<String>>);

impl Deployed {
    /// What is remembered; nothing where the file is not there or not understood: then nobody is asked.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(root: &Root) -> Outcome<Self> {
        let bytes = fs::read_if_any(&root.deployed()).map_err(|error| problem::stores(error.into()))?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
    }

    /// Remembers these, and forgets those, of a dataset.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn keep(mut self, root: &Root, own: &Dataset, there: &[String], gone: impl Fn(&str) -> bool) -> Outcome<()> {
        let before = self.clone();
        let targets = self.0.entry(whole(own)).or_default();
        targets.retain(|target| !gone(target));
        targets.extend(there.iter().cloned());
        self.0.retain(|_, targets| !targets.is_empty());
        if self == before {
            return Ok(());
        }
        let bytes = serde_json::to_vec(&self).unwrap_or_default();
        let scratch = root.scratch().map_err(problem::stores)?;
        file::replace(&root.deployed(), &bytes, &scratch).map_err(|error| problem::stores(error.into()))
    }
}

fn whole(own: &Dataset) -> String {
    format!("{}.{}", own.project, own.name)
}

/// How the views of these targets stand, where any were deployed from here and BigQuery may be asked. It describes them, and runs no query.
///
/// # Errors
/// When BigQuery cannot be asked.
pub fn drift(
    workspace: &Workspace,
    graph: &TargetGraph,
    root: &Root,
    ids: impl Iterator<Item = NodeId>,
) -> Outcome<Option<BTreeMap<NodeId, &'static str>>> {
    if workspace.remote.is_none() || workspace.reading.offline {
        return Ok(None);
    }
    let (reach, own) = reach(workspace)?;
    if !Deployed::read(root)?.0.contains_key(&whole(&own)) {
        return Ok(None);
    }
    let queries: Vec<Query> = ids.filter(|id| queries::is_query(&graph[*id])).map(|id| queries::one(workspace, graph, id)).collect();
    let (wanted, _) = wanted(workspace, graph, &own, &queries);
    let asked = Asked { views: wanted.iter().map(|wanted| wanted.view.clone()).collect(), deploy: None };
    let stood: Vec<Stood> = observe::ask("probe:views", &json!(asked), &json!(reach), STOOD)?;
    let word = |stood: &Stood| match &stood.standing {
        Some(Standing::Same) => AS_SAID,
        Some(Standing::Differs) => "differs from the recipe",
        Some(Standing::ByHand) => "changed by hand",
        Some(Standing::Absent | Standing::Taken(_)) | None => "not deployed",
    };
    Ok(Some(wanted.iter().zip(&stood).map(|(wanted, stood)| (wanted.id, word(stood))).collect()))
}
