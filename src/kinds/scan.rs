//! Tells what queries in the warehouse, and views that are computed there, would read, for `cbi plan`: no recipe kind, for nothing is built. Invariant: every query is tried by a dry run,
//! which costs nothing and makes nothing.
//!
//! `probe:queries`: params `queries`, by the target's name each with the `params` and input `digests` of its action.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::base::digest::ManifestId;
use crate::engine::bigquery::dataset::Entry;
use crate::engine::bigquery::fault::BigQueryError;
use crate::engine::bigquery::jobs;
use crate::engine::bigquery::rest::Rest;
use crate::engine::bigquery::view;
use crate::kinds::export::{self, Reach, failure, wait};
use crate::kinds::pinned::{PinError, Spec, is_pushed, statement};
use crate::kinds::pushed::own;
use crate::kinds::reach::{SCANS, Scan};
use crate::kinds::registry;
use crate::kinds::request::{Request, Response, RunError};
use crate::model::action::Action;
use crate::model::recipe::TABLE_SLOT;

#[derive(Debug, Deserialize)]
struct Asked {
    queries: BTreeMap<String, Query>,
}

#[derive(Debug, Deserialize)]
struct Query {
    params: Value,
    digests: BTreeMap<String, String>,
}

/// Whether what an action would read there can be tried: a query, or the rows of a view.
#[must_use]
pub fn is_tried(action: &Action) -> bool {
    registry::charges(&action.kind, &action.params) && (is_pushed(action) || action.kind == export::KIND.name)
}

/// Asks.
///
/// # Errors
/// When BigQuery cannot be asked; what it has against a query is part of the answer.
pub fn run(request: &Request) -> Result<Response, RunError> {
    let asked: Asked = request.params()?;
    let reach: Reach = request.reach()?;
    let found = wait(scans(&asked, &reach))?.map_err(|error| failure(&error))?;
    request.tell(SCANS, &found)
}

async fn scans(asked: &Asked, reach: &Reach) -> Result<BTreeMap<String, Scan>, BigQueryError> {
    let (rest, _) = reach.open().await?;
    let entries = own(reach).entries(&rest).await?.unwrap_or_default();
    let mut found = BTreeMap::new();
    for (target, query) in &asked.queries {
        found.insert(target.clone(), scan(&rest, reach, &entries, target, query).await?);
    }
    Ok(found)
}

async fn scan(rest: &Rest, reach: &Reach, entries: &[Entry], target: &str, query: &Query) -> Result<Scan, BigQueryError> {
    let refused = |why: String| Scan { refused: Some(why), ..Scan::default() };
    let configuration = match configuration(reach, entries, query) {
        Ok(Some(configuration)) => configuration,
        Ok(None) => return Ok(Scan::default()),
        Err(error) => return Ok(refused(error.to_string())),
    };
    match jobs::dry_run(rest, &reach.account.billing_project, &configuration, &format!("try the query of {target}")).await {
        Ok(tried) => Ok(Scan { bytes: Some(tried.bytes), cost: Some(reach.work.cost(tried.bytes)), refused: None }),
        Err(BigQueryError::Refused { status: 400 | 404, message, .. } | BigQueryError::Job { message, .. }) => Ok(refused(message)),
        Err(error) => Err(error),
    }
}

/// `configuration.query` of the job that would run; `None` where rows that it reads are not there yet.
fn configuration(reach: &Reach, entries: &[Entry], query: &Query) -> Result<Option<Value>, ScanError> {
    if let Ok(export::Spec { version, columns, .. }) = export::Spec::deserialize(&query.params) {
        return Ok(Some(view::configuration(&version.table, &columns, None)));
    }
    let spec = Spec::deserialize(&query.params)?;
    let Some(tables) = tables(reach, entries, query, &spec) else { return Ok(None) };
    let statement = statement(&spec, &tables, reach.instant_ms)?;
    Ok(Some(json!({ "query": statement.text, "useLegacySql": false })))
}

/// Why a query cannot be tried.
#[derive(Debug, thiserror::Error)]
enum ScanError {
    /// It cannot be pinned.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// It is no such query.
    #[error(transparent)]
    Params(#[from] serde_json::Error),
}

/// The tables that hold what other targets made; `None` where one of them is not there.
fn tables(reach: &Reach, entries: &[Entry], query: &Query, spec: &Spec) -> Option<BTreeMap<String, String>> {
    let table = |(table, digest): (&str, &String)| {
        let rows = ManifestId(digest.parse().ok()?);
        let entry = entries.iter().find(|entry| entry.holds(&rows))?;
        Some((table.to_owned(), own(reach).whole(&entry.table)))
    };
    let tables = query.digests.iter().filter_map(|(slot, digest)| Some((slot.strip_prefix(TABLE_SLOT)?, digest)));
    tables.filter(|(name, _)| !spec.reads.contains_key(*name)).map(table).collect()
}
