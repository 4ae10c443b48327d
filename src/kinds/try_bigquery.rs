//! Tries queries by dry runs in BigQuery. Invariant: none is run or charged for, and each is tried as it is written: what it reads of another query
//! stands there as rows of NULLs of the types that BigQuery says the other gives.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::FieldRef;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::engine::bigquery::columns::{nulls, nulls_of};
use crate::engine::bigquery::fault::BigQueryError;
use crate::engine::bigquery::jobs::{self, DryRun};
use crate::engine::bigquery::rest::Rest;
use crate::engine::table_file;
use crate::engine::table_types;
use crate::kinds::export::{Reach, failure, wait};
use crate::kinds::request::{Request, Response, RunError};
use crate::kinds::tries::{Fault, Feed, Known, TRIED, Tried, Tries, Try};
use crate::syntax::sql::read::read;
use crate::syntax::sql::replace::{Replaced, replace, without_place};

/// Dry runs side by side.
const SIDE_BY_SIDE: usize = 8;

/// Tries the queries.
///
/// # Errors
/// When BigQuery cannot be asked; what it has against a query is part of the answer.
pub fn run(request: &Request) -> Result<Response, RunError> {
    let (tries, reach): (Tries, Reach) = (request.params()?, request.reach()?);
    let found = wait(conversation(&tries, &reach))?.map_err(|error| failure(&error))?;
    request.tell(TRIED, &found)
}

async fn conversation(tries: &Tries, reach: &Reach) -> Result<BTreeMap<String, Tried>, BigQueryError> {
    let (rest, _) = reach.open().await?;
    let rest = Arc::new(rest);
    let mut known: Known<Value> = Known::default();
    loop {
        let ready = known.ready(tries);
        if ready.is_empty() {
            return Ok(known.found());
        }
        for some in ready.chunks(SIDE_BY_SIDE) {
            let mut runs = JoinSet::new();
            for (name, query) in some {
                if let Some(waits) = known.waits(query) {
                    known.take(name, Tried { waits: Some(waits), ..Tried::default() }, None);
                    continue;
                }
                match written(query, &known, &reach.account.project) {
                    Ok(statement) => {
                        let (rest, billing) = (rest.clone(), reach.account.billing_project.clone());
                        let (name, query) = ((*name).clone(), query.query.clone());
                        runs.spawn(async move { (try_one(&rest, &billing, &name, &query, &statement).await, name) });
                    }
                    Err(fault) => known.take(name, fault.found(), None),
                }
            }
            while let Some(ended) = runs.join_next().await {
                let (tried, name) = ended.map_err(|error| BigQueryError::Answer { what: "try queries".into(), why: error.to_string() })?;
                match tried? {
                    Ok(DryRun { bytes, schema, .. }) => {
                        let tried = Tried { bytes: Some(bytes), cost: Some(reach.work.cost(bytes)), ..Tried::default() };
                        known.take(&name, tried, Some(schema));
                    }
                    Err(fault) => known.take(&name, fault.found(), None),
                }
            }
        }
    }
}

/// The dry run of one statement, or what BigQuery has against it.
async fn try_one(
    rest: &Rest,
    billing: &str,
    name: &str,
    query: &str,
    statement: &Replaced,
) -> Result<Result<DryRun, Fault>, BigQueryError> {
    let configuration = json!({ "query": statement.text, "useLegacySql": false });
    match jobs::dry_run(rest, billing, &configuration, &format!("try the query of {name}")).await {
        Ok(tried) => Ok(Ok(tried)),
        Err(BigQueryError::Refused { status: 400 | 404, message, .. } | BigQueryError::Job { message, .. }) => {
            let at = statement.place(&message).or_else(|| mentioned(&message, query));
            Ok(Err(Fault { message: without_place(&message), at, hint: None }))
        }
        Err(error) => Err(error),
    }
}

/// Where the query reads a table that a message names, as one that is not there does.
fn mentioned(message: &str, query: &str) -> Option<usize> {
    let named = message.replace(':', ".");
    let ends = |name: &str| {
        let mut found = named.match_indices(name).map(|(at, _)| at + name.len());
        found.any(|end| !named[end..].starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    };
    read(query).ok()?.mentions.iter().find(|mention| ends(&mention.name)).map(|mention| mention.span.start)
}

/// The query as BigQuery is to read it.
fn written(query: &Try, known: &Known<Value>, project: &str) -> Result<Replaced, Fault> {
    let fault = |message: String| Fault { message, ..Fault::default() };
    let mut sources = BTreeMap::new();
    for (table, feed) in &query.tables {
        let source = match feed {
            Feed::Table(plain) => plain.source(project),
            Feed::Query(name) => nulls(known.columns(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)),
            Feed::File(file) => {
                let schema = table_file::schema(file).map_err(|error| fault(error.to_string()))?;
                let column = |field: &FieldRef| (field.name().clone(), table_types::name(field.data_type()));
                nulls_of(schema.fields().iter().map(column))
            }
        };
        sources.insert(table.as_str(), source);
    }
    replace(&query.query, &|name| sources.get(name).cloned(), &query.params).map_err(|error| Fault {
        message: error.to_string(),
        at: Some(error.span.start),
        hint: error.fault.hint(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_is_not_there_is_found_where_it_is_read() {
        let query = "SELECT 1 FROM m.tt JOIN m.t USING ( x )";
        assert_eq!(mentioned("Not found: Table p1:m.t was not found in location US", query), query.find("m.t U"));
        assert_eq!(mentioned("Not found: Table p1.m.tt", query), query.find("m.tt"));
        assert_eq!(mentioned("Not found: Dataset p1:x", query), None);
    }
}
