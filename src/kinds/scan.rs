//! Tells what queries in the warehouse would read, for `cbi plan`: no recipe kind, for nothing is built. Invariant: every query is tried by a dry run,
//! which costs nothing and makes nothing.
//!
//! `probe:queries`: params `queries`, by the target's name each with the `params` and input `digests` of its action.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use crate::base::digest::ManifestId;
use crate::engine::bigquery::dataset::Entry;
use crate::engine::bigquery::fault::BigQueryError;
use crate::engine::bigquery::jobs;
use crate::engine::bigquery::rest::Rest;
use crate::kinds::export::{Reach, failure, wait};
use crate::kinds::pinned::{Spec, statement};
use crate::kinds::pushed::own;
use crate::kinds::reach::{SCANS, Scan};
use crate::kinds::request::{Request, Response, RunError};
use crate::model::recipe::TABLE_SLOT;

#[derive(Debug, Deserialize)]
struct Asked {
    queries: BTreeMap<String, Query>,
}

#[derive(Debug, Deserialize)]
struct Query {
    params: Spec,
    digests: BTreeMap<String, String>,
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
    let Some(tables) = tables(reach, entries, query) else { return Ok(Scan::default()) };
    let statement = match statement(&query.params, &tables, reach.instant_ms) {
        Ok(statement) => statement,
        Err(error) => return Ok(refused(error.to_string())),
    };
    let configuration = json!({ "query": statement.text, "useLegacySql": false });
    match jobs::dry_run(rest, &reach.account.billing_project, &configuration, &format!("try the query of {target}")).await {
        Ok(tried) => Ok(Scan { bytes: Some(tried.bytes), cost: Some(reach.work.cost(tried.bytes)), refused: None }),
        Err(BigQueryError::Refused { status: 400 | 404, message, .. } | BigQueryError::Job { message, .. }) => Ok(refused(message)),
        Err(error) => Err(error),
    }
}

/// The tables that hold what other targets made; `None` where one of them is not there.
fn tables(reach: &Reach, entries: &[Entry], query: &Query) -> Option<BTreeMap<String, String>> {
    let table = |(slot, digest): (&String, &String)| {
        let rows = ManifestId(digest.parse().ok()?);
        let entry = entries.iter().find(|entry| entry.holds(&rows))?;
        Some((slot.strip_prefix(TABLE_SLOT)?.to_owned(), own(reach).whole(&entry.table)))
    };
    query.digests.iter().filter(|(slot, _)| slot.starts_with(TABLE_SLOT)).map(table).collect()
}
