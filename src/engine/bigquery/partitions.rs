//! Owns the question for the versions of partitions. Invariant: what is told of a table's partitions was so while the table had the version that was
//! asked about, and accounts for each of its rows; of a table for which that is not certain, nothing is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;

use crate::engine::bigquery::fault::BigQueryError;
use crate::engine::bigquery::jobs::{self, Job, PATIENCE};
use crate::engine::bigquery::pages::pages;
use crate::engine::bigquery::partitioning::{PartitionVersion, Partitions};
use crate::engine::bigquery::rest::Rest;
use crate::engine::bigquery::version::{self, TableVersion};

/// Tables that are asked for in one query; BigQuery takes 1,000.
const TOGETHER: usize = 500;

/// The partitions of these tables, by `project.dataset.table`. It costs one query for each dataset, at least 10 MB each, and at most `limit` bytes. Nothing of tables of which BigQuery
/// refuses to tell, that changed meanwhile, or whose partitions have together another number of rows than the table.
///
/// # Errors
/// When BigQuery cannot be reached, or one of the tables is gone.
pub async fn ask(
    rest: &Arc<Rest>,
    billing: &str,
    tables: &[&TableVersion],
    limit: Option<u64>,
) -> Result<BTreeMap<String, Partitions>, BigQueryError> {
    let mut datasets: BTreeMap<&str, Vec<&TableVersion>> = BTreeMap::new();
    for table in tables {
        let dataset = table.table.rsplit_once('.').map_or("", |(dataset, _)| dataset);
        datasets.entry(dataset).or_default().push(table);
    }
    let mut found = BTreeMap::new();
    for (dataset, tables) in datasets {
        for some in tables.chunks(TOGETHER) {
            match query(rest, billing, dataset, some, limit).await {
                Ok(partitions) => found.extend(partitions),
                Err(BigQueryError::Refused { .. } | BigQueryError::Job { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    let names: BTreeSet<String> = found.keys().cloned().collect();
    let after = version::look(rest, billing, &names).await?;
    let certain = |table: &&&TableVersion| {
        let rows: u64 = found.get(&table.table).into_iter().flatten().map(|(_, partition)| partition.rows).sum();
        table.rows == Some(rows) && after.get(&table.table).is_some_and(|now| now.modified == table.modified)
    };
    let certain: BTreeSet<&str> = tables.iter().filter(certain).map(|table| table.table.as_str()).collect();
    found.retain(|table, _| certain.contains(table.as_str()));
    Ok(found)
}

/// What BigQuery says of the partitions of some tables of one dataset, `project.dataset`.
async fn query(
    rest: &Rest,
    billing: &str,
    dataset: &str,
    tables: &[&TableVersion],
    limit: Option<u64>,
) -> Result<BTreeMap<String, Partitions>, BigQueryError> {
    let names: Vec<&str> = tables.iter().filter_map(|table| table.table.rsplit('.').next()).collect();
    let location = tables.iter().map(|table| table.location.clone()).find(|location| !location.is_empty());
    let limit = limit.map(|bytes| bytes.to_string());
    let query = json!({ "query": statement(dataset, &names), "useLegacySql": false, "maximumBytesBilled": limit });
    let job = Job {
        project: billing.to_owned(),
        id: format!("cbi_partitions_{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..)),
        location: location.clone(),
        configuration: json!({ "query": query }),
        what: format!("list the partitions of tables of {dataset}"),
        patience: PATIENCE,
    };
    jobs::run(rest, &job).await?;
    let place = location.map_or_else(String::new, |location| format!("?location={location}"));
    let rows = pages(rest, &format!("projects/{billing}/queries/{}{place}", job.id), "rows", &job.what).await?;
    let mut found: BTreeMap<String, Partitions> = BTreeMap::new();
    let mut odd = BTreeSet::new();
    for row in &rows {
        let cell = |n: usize| row["f"][n]["v"].as_str();
        let Some(table) = cell(0).map(|table| format!("{dataset}.{table}")) else { continue };
        match partition(cell(1), [cell(2), cell(3), cell(4)]) {
            Some((id, partition)) => _ = found.entry(table).or_default().insert(id, partition),
            None => _ = odd.insert(table),
        }
    }
    found.retain(|table, _| !odd.contains(table));
    Ok(found)
}

/// The query for tables of a dataset, `project.dataset`. `__UNPARTITIONED__` may stand in it twice, once for each kind of storage.
fn statement(dataset: &str, tables: &[&str]) -> String {
    let dataset = dataset.replace('.', "`.`");
    let tables = tables.iter().map(|table| format!("'{table}'")).collect::<Vec<_>>().join(", ");
    format!(
        "SELECT table_name, partition_id, MAX(UNIX_MICROS(last_modified_time)), SUM(total_rows), SUM(total_logical_bytes) \
         FROM `{dataset}`.INFORMATION_SCHEMA.PARTITIONS WHERE table_name IN ({tables}) GROUP BY table_name, partition_id"
    )
}

/// One row of the answer: a partition's id, when it changed, its rows and bytes; `None` where something is missing.
fn partition(id: Option<&str>, counts: [Option<&str>; 3]) -> Option<(String, PartitionVersion)> {
    let [modified, rows, bytes] = counts;
    let version = PartitionVersion { modified: modified?.parse().ok()?, rows: rows?.parse().ok()?, bytes: bytes?.parse().ok()? };
    Some((id?.to_owned(), version))
}
