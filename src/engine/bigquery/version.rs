//! Owns what identifies the state of a BigQuery table. Invariant: two equal versions that are not `volatile` stand for the same rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::base::name::{is_table_name, nearest};
use crate::engine::bigquery::fault::BigQueryError;
use crate::engine::bigquery::jobs;
use crate::engine::bigquery::pages::pages;
use crate::engine::bigquery::partitioning::Partitioning;
use crate::engine::bigquery::rest::Rest;

/// Begins the time of change of what changed after the instant that it is read at.
const AS_OF: &str = "as of ";

/// How far views are followed into each other; BigQuery itself allows 16 levels.
const LEVELS: usize = 16;

/// The pinned identity of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableVersion {
    /// `project.dataset.table`.
    pub table: String,
    /// `TABLE`, `VIEW`, … as BigQuery calls it.
    pub kind: String,
    /// When its rows or its columns changed last, in milliseconds since 1970, as BigQuery writes it; `as of` an instant where it changed after the
    /// instant that it is read at.
    pub modified: String,
    /// BigQuery's hash of the table's description.
    pub etag: String,
    /// Its columns, as BigQuery describes them.
    pub schema: Value,
    /// Where it lies, for example `EU`.
    #[serde(default)]
    pub location: String,
    /// A view's query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
    /// How it is partitioned, where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitioning: Option<Partitioning>,
    /// Its rows, where BigQuery says how many; no part of its identity, and not written down.
    #[serde(skip)]
    pub rows: Option<u64>,
    /// What a view stands on, sorted by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bases: Vec<TableVersion>,
    /// Nothing that BigQuery says of it tells two states apart: rows in a streaming buffer, or outside BigQuery.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub volatile: bool,
}

impl TableVersion {
    /// Whether its rows may be others under the same version, its bases' included.
    #[must_use]
    pub fn is_volatile(&self) -> bool {
        self.volatile || self.bases.iter().any(Self::is_volatile)
    }

    /// Turns it into the version of an instant: what changed after it is known by the instant alone.
    fn at(&mut self, instant_ms: i64) {
        self.bases.iter_mut().for_each(|base| base.at(instant_ms));
        if self.modified.parse().is_ok_and(|modified: i64| modified > instant_ms) {
            self.modified = format!("{AS_OF}{instant_ms}");
            self.etag = String::new();
            self.schema = Value::Null;
        }
    }

    /// What the versions of a table have in common whose partitions are told apart: not when it changed.
    #[must_use]
    pub fn in_parts(&self) -> Self {
        Self { modified: String::new(), etag: String::new(), ..self.clone() }
    }

    /// Whether its partitions can be told apart: it is partitioned, and what BigQuery says of partitions now was so at the instant that it is read at.
    #[must_use]
    pub fn has_partitions(&self) -> bool {
        self.kind == "TABLE" && self.partitioning.is_some() && !self.volatile && self.changed_after_instant().is_none()
    }

    /// What of it, or of what it stands on, changed after the instant that it is read at, so that its rows then are known to BigQuery's past alone.
    #[must_use]
    pub fn changed_after_instant(&self) -> Option<&str> {
        let own = self.modified.starts_with(AS_OF).then_some(self.table.as_str());
        own.or_else(|| self.bases.iter().find_map(Self::changed_after_instant))
    }

    /// The first of it, and of what it stands on, that is not as it is in `other`: its name, and the times of change. Nothing of what may change without
    /// a trace.
    #[must_use]
    pub fn differs(&self, other: &Self) -> Option<(String, String, String)> {
        if self.volatile && other.volatile {
            return None;
        }
        let own = |version: &Self| (version.table.clone(), version.modified.clone(), version.definition.clone(), version.bases.len());
        if own(self) != own(other) {
            return Some((self.table.clone(), self.modified.clone(), other.modified.clone()));
        }
        self.bases.iter().zip(&other.bases).find_map(|(base, now)| base.differs(now))
    }

    /// `project.dataset` of it and of all it stands on.
    fn datasets(&self) -> BTreeSet<String> {
        let own = self.table.rsplit_once('.').map(|(dataset, _)| dataset.to_owned());
        own.into_iter().chain(self.bases.iter().flat_map(Self::datasets)).collect()
    }

    /// Whether it, or something it stands on, may have changed at this instant or later.
    fn changed_since(&self, instant_ms: i64) -> bool {
        let own = self.modified.parse().is_ok_and(|modified: i64| modified >= instant_ms);
        own || self.bases.iter().any(|base| base.changed_since(instant_ms))
    }
}

/// The tables of a project as `dataset.table`. Names that no recipe can write (with `-`, say) are left out.
///
/// # Errors
/// When they cannot be listed.
pub async fn tables(rest: &Rest, project: &str) -> Result<BTreeSet<String>, BigQueryError> {
    let what = format!("list the datasets of {project}");
    let datasets = pages(rest, &format!("projects/{project}/datasets"), "datasets", &what).await?;
    let mut names = BTreeSet::new();
    for dataset in datasets.iter().filter_map(|dataset| dataset["datasetReference"]["datasetId"].as_str()) {
        let what = format!("list the tables of {project}.{dataset}");
        for table in pages(rest, &format!("projects/{project}/datasets/{dataset}/tables"), "tables", &what).await? {
            let Some(table) = table["tableReference"]["tableId"].as_str() else { continue };
            names.insert(format!("{dataset}.{table}"));
        }
    }
    names.retain(|name| is_table_name(name));
    Ok(names)
}

/// How often a table that was changed while it was looked at is looked at again.
const ROUNDS: usize = 5;

/// Tables looked at side by side.
const SIDE_BY_SIDE: usize = 16;

/// The versions of `project.dataset.table`s, and an instant of the server's clock, in milliseconds since 1970, at which each was the table's
/// version: that of `asked_ms`, or else one that all changes are before and all looks after.
///
/// # Errors
/// When one is not there, is changed faster than it can be looked at, BigQuery does not remember the instant, or does not tell.
pub async fn probe_all(
    rest: Arc<Rest>,
    billing: &str,
    names: &BTreeSet<String>,
    asked_ms: Option<i64>,
) -> Result<(BTreeMap<String, TableVersion>, i64), BigQueryError> {
    let mut changed = None;
    for _ in 0..ROUNDS {
        let now = rest.server_time_ms().await?;
        let mut versions = look(&rest, billing, names).await?;
        if let Some(asked_ms) = asked_ms {
            for dataset in versions.values().flat_map(TableVersion::datasets).collect::<BTreeSet<String>>() {
                remembers(&rest, &dataset, asked_ms, now).await?;
            }
            for version in versions.values_mut() {
                version.at(asked_ms);
            }
            return Ok((versions, asked_ms));
        }
        let young = versions.values().find(|found| found.changed_since(now));
        match young {
            None => return Ok((versions, now)),
            Some(young) => changed = Some((young.table.clone(), young.modified.clone())),
        }
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
    let (table, at) = changed.unwrap_or_default();
    Err(BigQueryError::Changed { table, before: String::from("an earlier look"), after: at })
}

/// The versions of all of them now, side by side.
///
/// # Errors
/// When one is not there, or BigQuery does not tell.
pub(super) async fn look(
    rest: &Arc<Rest>,
    billing: &str,
    names: &BTreeSet<String>,
) -> Result<BTreeMap<String, TableVersion>, BigQueryError> {
    let mut versions = BTreeMap::new();
    for some in names.iter().collect::<Vec<_>>().chunks(SIDE_BY_SIDE) {
        let mut looks = JoinSet::new();
        for name in some {
            let (rest, billing, name) = (rest.clone(), billing.to_owned(), (*name).clone());
            looks.spawn(async move { probe(&rest, &billing, &name).await });
        }
        while let Some(found) = looks.join_next().await {
            let found = found.map_err(|error| answer("of this build", &error.to_string()))??;
            versions.insert(found.table.clone(), found);
        }
    }
    Ok(versions)
}

/// BigQuery's own time-travel window, where a dataset has no other.
const WINDOW_HOURS: i64 = 168;

/// Sees that the dataset's tables can be read as they were at `asked_ms`.
async fn remembers(rest: &Rest, dataset: &str, asked_ms: i64, now_ms: i64) -> Result<(), BigQueryError> {
    let path = dataset.split_once('.').map(|(project, dataset)| format!("projects/{project}/datasets/{dataset}"));
    let found = rest.get(&path.unwrap_or_default(), &[], &format!("describe the dataset {dataset}")).await?;
    let hours = found["maxTimeTravelHours"].as_str().and_then(|hours| hours.parse().ok()).unwrap_or(WINDOW_HOURS);
    let from_ms = now_ms - hours * 3_600_000;
    if (from_ms..=now_ms).contains(&asked_ms) {
        return Ok(());
    }
    Err(BigQueryError::Window { dataset: dataset.to_owned(), asked_ms, from_ms, to_ms: now_ms })
}

/// The version of `project.dataset.table` now.
///
/// # Errors
/// When it is not there, or BigQuery does not tell.
pub async fn probe(rest: &Rest, billing: &str, table: &str) -> Result<TableVersion, BigQueryError> {
    let mut open: Vec<(String, usize)> = vec![(table.to_owned(), 0)];
    let mut seen: BTreeMap<String, TableVersion> = BTreeMap::new();
    while let Some((name, level)) = open.pop() {
        if seen.contains_key(&name) {
            continue;
        }
        let version = described(rest, &name).await?;
        if let Some(definition) = &version.definition {
            if level == LEVELS {
                return Err(answer(&name, "its views stand on each other without end"));
            }
            let bases = referenced(rest, billing, &name, definition).await?;
            open.extend(bases.into_iter().map(|base| (base, level + 1)));
        }
        seen.insert(name, version);
    }
    let mut version = seen.remove(table).ok_or_else(|| answer(table, "it was not described"))?;
    version.bases = seen.into_values().collect();
    Ok(version)
}

/// What BigQuery says of one table.
async fn described(rest: &Rest, name: &str) -> Result<TableVersion, BigQueryError> {
    let path = resource(name).ok_or_else(|| answer(name, "it is not project.dataset.table"))?;
    let found = match rest.get(&path, &[], &format!("describe the table {name}")).await {
        Err(BigQueryError::Refused { status: 404, .. }) => return Err(missing(rest, name).await),
        other => other?,
    };
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    let (kind, modified) = (text("type"), text("lastModifiedTime"));
    if modified.is_empty() {
        return Err(answer(name, "it has no time of change"));
    }
    let definition = ["view", "materializedView"].iter().find_map(|key| found[*key]["query"].as_str()).map(str::to_owned);
    Ok(TableVersion {
        table: name.to_owned(),
        volatile: kind == "EXTERNAL" || found.get("streamingBuffer").is_some_and(|buffer| !buffer.is_null()),
        kind,
        modified,
        etag: text("etag"),
        location: text("location"),
        schema: found["schema"]["fields"].clone(),
        partitioning: Partitioning::of(&found),
        rows: found["numRows"].as_str().and_then(|rows| rows.parse().ok()),
        definition,
        bases: Vec::new(),
    })
}

/// What to say of a table that is not there: it, or its dataset, and the nearest name that is.
async fn missing(rest: &Rest, table: &str) -> BigQueryError {
    let (dataset, own) = table.rsplit_once('.').unwrap_or((table, table));
    let (project, folder) = dataset.split_once('.').unwrap_or((dataset, dataset));
    let (what, name, near) = match ids(rest, &format!("projects/{project}/datasets/{folder}/tables"), "table").await {
        Err(BigQueryError::Refused { status: 404, .. }) => {
            let datasets = ids(rest, &format!("projects/{project}/datasets"), "dataset").await.unwrap_or_default();
            ("dataset", dataset, nearest(folder, datasets.iter().map(String::as_str)).map(str::to_owned))
        }
        // Where tables may not be listed, the name alone must do.
        tables => {
            let tables = tables.unwrap_or_default();
            ("table", table, nearest(own, tables.iter().map(String::as_str)).map(|near| format!("{folder}.{near}")))
        }
    };
    BigQueryError::Missing { what, name: name.to_owned(), nearest: near }
}

/// The names of a project's datasets, or a dataset's tables.
async fn ids(rest: &Rest, path: &str, what: &str) -> Result<Vec<String>, BigQueryError> {
    let found = pages(rest, path, &format!("{what}s"), &format!("list the {what}s")).await?;
    let id = |item: &Value| item[format!("{what}Reference")][format!("{what}Id")].as_str().map(str::to_owned);
    Ok(found.iter().filter_map(id).collect())
}

/// Sees that a table is still what it was when it was pinned. One that is read as of an instant before its last change always is, and of one that may
/// change without a trace nobody can tell.
///
/// # Errors
/// When it was changed or dropped since, or BigQuery does not tell.
pub async fn still(rest: &Rest, pinned: &TableVersion) -> Result<(), BigQueryError> {
    if pinned.volatile || pinned.changed_after_instant().is_some() {
        return Ok(());
    }
    let now = match described(rest, &pinned.table).await {
        Err(BigQueryError::Missing { .. }) => return Err(BigQueryError::Gone { table: pinned.table.clone() }),
        other => other?,
    };
    if now.modified == pinned.modified {
        return Ok(());
    }
    Err(BigQueryError::Changed { table: pinned.table.clone(), before: pinned.modified.clone(), after: now.modified })
}

/// The tables that a view's query reads, as a dry run tells. It costs nothing.
async fn referenced(rest: &Rest, billing: &str, view: &str, query: &str) -> Result<Vec<String>, BigQueryError> {
    let mut wanted = json!({"query": query, "useLegacySql": false});
    if let [project, dataset, _] = view.split('.').collect::<Vec<_>>()[..] {
        wanted["defaultDataset"] = json!({"projectId": project, "datasetId": dataset});
    }
    Ok(jobs::dry_run(rest, billing, &wanted, &format!("try the query of the view {view}")).await?.tables)
}

/// The path of a table's resource.
fn resource(name: &str) -> Option<String> {
    let [project, dataset, table] = name.split('.').collect::<Vec<_>>()[..] else { return None };
    Some(format!("projects/{project}/datasets/{dataset}/tables/{table}"))
}

fn answer(table: &str, why: &str) -> BigQueryError {
    BigQueryError::Answer { what: format!("describe the table {table}"), why: why.to_owned() }
}
