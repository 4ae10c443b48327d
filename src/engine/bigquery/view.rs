//! Owns the rows of what holds none itself: views, and tables whose rows lie outside BigQuery. Invariant: what is given was the view's result at the
//! build's instant, because all that it stands on was the same before the query and after it.

use serde_json::{Value, json};

use crate::engine::bigquery::account::Account;
use crate::engine::bigquery::fault::BigQueryError;
use crate::engine::bigquery::jobs::{self, Done, Job, PATIENCE};
use crate::engine::bigquery::rest::Rest;
use crate::engine::bigquery::version::{self, TableVersion};

/// Lets BigQuery compute the rows, these columns of them (all where empty), into a table of its own that lives a day, for no more than `limit` bytes. What
/// it cost is in `Done`, and the table's name is its `destination`.
///
/// # Errors
/// When BigQuery refuses, also because it would cost more, when something that the view stands on changed after the build's instant, or when the answer names no table.
pub async fn query(
    rest: &Rest,
    account: &Account,
    version: &TableVersion,
    columns: &[String],
    limit: Option<u64>,
) -> Result<Done, BigQueryError> {
    let name = &version.table;
    if let Some(changed) = version.changed_after_instant() {
        return Err(BigQueryError::Moved { view: name.clone(), base: changed.to_owned() });
    }
    let job = Job {
        project: account.billing_project.clone(),
        id: format!("cbi_view_{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..)),
        location: Some(version.location.clone()).filter(|location| !location.is_empty()),
        configuration: json!({ "query": configuration(name, columns, limit) }),
        what: format!("compute the view {name}"),
        patience: PATIENCE,
    };
    let done = jobs::run(rest, &job).await?;
    let after = version::probe(rest, &account.billing_project, name).await?;
    if let Some((table, before, now)) = version.differs(&after) {
        return Err(BigQueryError::Changed { table, before, after: now });
    }
    Ok(done)
}

/// `configuration.query` of the job.
#[must_use]
pub fn configuration(view: &str, columns: &[String], limit: Option<u64>) -> Value {
    let columns = columns.iter().map(|column| format!("`{column}`")).collect::<Vec<_>>().join(", ");
    let columns = if columns.is_empty() { "*" } else { columns.as_str() };
    let limit = limit.map(|bytes| bytes.to_string());
    json!({ "query": format!("SELECT {columns} FROM `{view}`"), "useLegacySql": false, "maximumBytesBilled": limit })
}
