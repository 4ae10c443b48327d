//! Queries that run in the warehouse (`engine = "warehouse"` of kind `sql`). Invariant: such a query reads tables pinned to one instant, and rows that
//! are the artifacts in its key; its result is an observation: recorded once, and not made again bit for bit.
//!
//! Tables of the warehouse stand in its params as `reads`, with their versions, and are read there. Artifacts of other targets are found in the
//! workspace's own dataset by the digest of their rows, or brought there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::base::digest::{ActionKey, BlobId, ManifestId};
use crate::engine::bigquery::dataset::{self, Dataset, Entry, KEY, ROWS};
use crate::engine::bigquery::fault::BigQueryError;
use crate::engine::bigquery::jobs::{self, Done, Job, PATIENCE};
use crate::engine::bigquery::read::{self, Wanted};
use crate::engine::bigquery::rest::Rest;
use crate::engine::bigquery::tokens::Tokens;
use crate::engine::table_file::{self, TableFileError};
use crate::io::file::File;
use crate::io::fs;
use crate::kinds::export::{self, Reach, failure, unheld, wait};
use crate::kinds::pinned::{PinError, Spec, statement};
use crate::kinds::query::{self, ARTIFACT};
use crate::kinds::reach::Step;
use crate::kinds::request::{Request, Response, RunError};
use crate::model::manifest::{FileEntry, Manifest};
use crate::model::recipe::TABLE_SLOT;
use crate::syntax::sql::replace::Replaced;

/// A conversation about one step.
struct Pushed<'a> {
    rest: &'a Rest,
    tokens: Arc<Tokens>,
    reach: &'a Reach,
    step: &'a Step,
    own: Dataset,
    /// Where the tables that it reads are, unless the settings say where.
    location: Option<String>,
}

/// Runs the action.
///
/// # Errors
/// When BigQuery refuses the query, it would cost more than it may, or its rows cannot be kept.
pub fn run(request: &Request) -> Result<Response, RunError> {
    let spec: Spec = request.params()?;
    let reach: Reach = request.reach()?;
    let Some(step) = &reach.step else { return Err(failure(&BigQueryError::Offline { table: "the workspace's dataset".into() })) };
    if reach.offline {
        return Err(failure(&BigQueryError::Offline { table: format!("{}'s result", step.target) }));
    }
    wait(perform(request, &spec, &reach, step))?
}

async fn perform(request: &Request, spec: &Spec, reach: &Reach, step: &Step) -> Result<Response, RunError> {
    let told = |error: BigQueryError| failure(&error);
    let (rest, tokens) = reach.open().await.map_err(told)?;
    let there = spec.reads.values().map(|read| read.version.location.clone()).find(|location| !location.is_empty());
    let location = reach.work.location.clone().or(there);
    let pushed = Pushed { rest: &rest, tokens, reach, step, own: own(reach), location };
    let entries = pushed.entries().await.map_err(told)?;
    let mut tables = BTreeMap::new();
    for (table, rows, folder) in artifacts(request, spec) {
        let name = pushed.artifact(&entries, &table, &rows, &folder.join(table_file::FILE_NAME)).await.map_err(told)?;
        tables.insert(table, name);
    }
    let statement = statement(spec, &tables, reach.instant_ms).map_err(|error| unpinned(&error))?;
    let made = dataset::table_of(&step.target, &step.key);
    // What an earlier run left, which got so far and no further, is not paid for twice.
    let mut done = Done::default();
    if !entries.iter().any(|entry| entry.table == made) {
        let limit = reach.limit().map_err(told)?;
        done = pushed.query(&statement, &made, limit).await.map_err(|error| refused(&error, &statement, spec))?;
    }
    let mut response = pushed.keep(request, &made).await?;
    let digest = manifest(&request.output(ARTIFACT)?)?;
    pushed.mark(&made, &step.target, Some(&step.key), &digest).await.map_err(told)?;
    response.metrics.extend(reach.work.charged(done.bytes_billed));
    #[expect(clippy::cast_precision_loss, reason = "a count, for people")]
    response.metrics.insert("bytes_processed".into(), done.bytes_processed as f64);
    Ok(response)
}

/// The workspace's own dataset.
#[must_use]
pub fn own(reach: &Reach) -> Dataset {
    Dataset { project: reach.account.project.clone(), name: reach.work.dataset.clone() }
}

/// The tables that it does not read there: name, digest of the rows, folder with the rows.
fn artifacts(request: &Request, spec: &Spec) -> Vec<(String, ManifestId, PathBuf)> {
    let one = |(slot, folder): (&String, &PathBuf)| {
        let digest = request.digests.get(slot)?.parse().ok().map(ManifestId)?;
        let table = slot.strip_prefix(TABLE_SLOT).filter(|table| !spec.reads.contains_key(*table))?;
        Some((table.to_owned(), digest, folder.clone()))
    };
    request.inputs.iter().filter_map(one).collect()
}

/// The digest under which the rows in `folder` will be known.
fn manifest(folder: &Path) -> Result<ManifestId, RunError> {
    let file = File::open(&folder.join(table_file::FILE_NAME));
    let entry = file.and_then(|file| Ok(FileEntry { blob: BlobId(file.digest()?), size: file.stat()?.size, executable: false }));
    let entry = entry.map_err(|error| RunError::failed(&error))?;
    Ok(Manifest { files: BTreeMap::from([(table_file::FILE_NAME.to_owned(), entry)]) }.id())
}

impl Pushed<'_> {
    /// What stands in the workspace's dataset, which is made where it is not there.
    async fn entries(&self) -> Result<Vec<Entry>, BigQueryError> {
        if let Some(entries) = self.own.entries(self.rest).await? {
            return Ok(entries);
        }
        self.own.create(self.rest, self.location.as_deref()).await?;
        Ok(Vec::new())
    }

    /// The table that holds the rows of an artifact: one that is there, or else one that its file is brought into.
    async fn artifact(&self, entries: &[Entry], target: &str, rows: &ManifestId, file: &Path) -> Result<String, BigQueryError> {
        if let Some(entry) = entries.iter().find(|entry| entry.holds(rows)) {
            return Ok(self.own.whole(&entry.table));
        }
        let table = dataset::table_of_rows(target, rows);
        let what = format!("bring the rows of {target} into {}", self.own.whole(&table));
        let bytes = fs::read(file).map_err(|error| BigQueryError::Answer { what: what.clone(), why: error.to_string() })?;
        self.job(&format!("cbi_rows_{rows}"), &self.own.load(&table), Some(&bytes), &table, &what).await?;
        self.mark(&table, target, None, rows).await?;
        Ok(self.own.whole(&table))
    }

    /// Runs the query into a table.
    async fn query(&self, statement: &Replaced, table: &str, limit: Option<u64>) -> Result<Done, BigQueryError> {
        let query = json!({
            "query": statement.text, "useLegacySql": false, "destinationTable": self.own.reference(table),
            "writeDisposition": "WRITE_TRUNCATE", "maximumBytesBilled": limit.map(|bytes| bytes.to_string()),
        });
        let configuration = json!({ "query": query, "labels": { KEY: dataset::mark(&self.step.key.to_string()) } });
        let what = format!("run the query of {}", self.step.target);
        self.job(&format!("cbi_{}", self.step.key), &configuration, None, table, &what).await
    }

    /// Runs a job that leaves a table.
    async fn job(&self, id: &str, configuration: &Value, bytes: Option<&[u8]>, table: &str, what: &str) -> Result<Done, BigQueryError> {
        let job = Job {
            project: self.reach.account.billing_project.clone(),
            id: id.to_owned(),
            location: self.location.clone(),
            configuration: configuration.clone(),
            what: what.to_owned(),
            patience: PATIENCE,
        };
        jobs::leave(self.rest, &job, bytes, async || Ok(self.own.look(self.rest, table).await?.is_some())).await
    }

    /// Writes the rows of a table of the dataset as the request's artifact: as they come at first, and then in order, so that they are never all in memory.
    async fn keep(&self, request: &Request, table: &str) -> Result<Response, RunError> {
        let opened = read::open(&self.reach.account, self.tokens.clone(), &self.own.whole(table), Wanted::default()).await;
        let mut session = opened.map_err(|error| failure(&error))?;
        let held = |error: TableFileError| unheld(&error, "leave the column out of the query, or CAST it");
        // Gone before anybody looks at what was made.
        let coming = tempfile::tempdir_in(&request.out).map_err(|error| RunError::failed(&error))?;
        let file = coming.path().join(table_file::FILE_NAME);
        export::keep(&mut session, &file).await?.map_err(held)?;
        query::keep_files(request, &[file], &[], held, || query::empty(request, "the query's result"))
    }

    /// Writes down which rows a table holds, for those that look for them.
    async fn mark(&self, table: &str, target: &str, key: Option<&ActionKey>, rows: &ManifestId) -> Result<(), BigQueryError> {
        let mut labels = json!({ ROWS: dataset::mark(&rows.to_string()) });
        if let Some(key) = key {
            labels[KEY] = dataset::mark(&key.to_string()).into();
        }
        self.own.mark(self.rest, table, &labels, &format!("The rows of '{target}'. Left by cbi; cbi gc drops it.")).await
    }
}

/// What a person is told of a query that cannot be pinned.
#[must_use]
pub fn unpinned(error: &PinError) -> RunError {
    RunError::invalid(error).hint("engine = \"local\" reads the table's rows and runs the query here")
}

/// What a person is told of a query that BigQuery refuses.
fn refused(error: &BigQueryError, statement: &Replaced, spec: &Spec) -> RunError {
    let (BigQueryError::Refused { reason, message, .. } | BigQueryError::Job { reason, message, .. }) = error else {
        return failure(error);
    };
    match reason.as_str() {
        "invalidQuery" | "invalid" | "notFound" => {
            let mut refusal = RunError::invalid(error);
            if let Some(word) = statement.word_at(message, &spec.query) {
                refusal.message = format!("{} (at '{word}')", refusal.message);
            }
            refusal
        }
        _ => failure(error),
    }
}
