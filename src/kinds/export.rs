//! Kind `export`: a BigQuery table, or a part of one, read at one version. Invariant: its key holds the version and no time of reading, so that an unchanged table
//! is never read again; no stanza is written for it.
//!
//! The order of its rows is the server's and differs from one reading to the next; the kind `table` above it puts them in order.
//! `probe:bigquery` lists a project's tables and tells the versions of some.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::engine::bigquery::account::Account;
use crate::engine::bigquery::columns;
use crate::engine::bigquery::fault::BigQueryError;
use crate::engine::bigquery::partitioning::{Partitioning, Partitions};
use crate::engine::bigquery::partitions;
use crate::engine::bigquery::parts::Part;
use crate::engine::bigquery::read::{self, Session, Wanted};
use crate::engine::bigquery::rest::Rest;
use crate::engine::bigquery::tokens::Tokens;
use crate::engine::bigquery::version::{self, TableVersion};
use crate::engine::bigquery::view;
use crate::engine::table_file::{Growing, TableFileError};
use crate::kinds::body::Body;
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::kind::Kind;
use crate::kinds::reach::{Step, Work};
use crate::kinds::request::{Request, Response, RunError};
use crate::model::recipe::{Declared, Stanza};
use crate::syntax::shape::{Key, Want};

/// The artifact that holds the rows.
pub const ARTIFACT: &str = "rows";

/// The file, in a probe's output folder, that takes its answer.
pub const ANSWER: &str = "tables.json";

/// Kind `export`.
pub const KIND: Kind = Kind {
    name: "export",
    version: 2,
    about: "A table of BigQuery, read at the version that the build pinned. Made by itself for each table that is read.",
    keys: &[Key::required("from", Want::TableName, "The table, dataset.table.")],
    declare,
};

/// How an action reaches the warehouse, and as of when.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Reach {
    /// The account.
    pub account: Account,
    /// The variables that a token command runs with.
    #[serde(default)]
    pub env: Vec<(String, String)>,
    /// The instant that all tables of a build are read at, in milliseconds since 1970.
    #[serde(default)]
    pub instant_ms: Option<i64>,
    /// The times of change of tables that are read in parts, by `project.dataset.table`: no part's version says them.
    #[serde(default)]
    pub modified: BTreeMap<String, String>,
    /// Whether it must not be asked.
    #[serde(default)]
    pub offline: bool,
    /// What queries that run there need.
    #[serde(default)]
    pub work: Work,
    /// The step that reaches it, where it is one.
    #[serde(default)]
    pub step: Option<Step>,
}

impl Reach {
    /// Opens the way: to the REST interface, and the tokens for other ones.
    ///
    /// # Errors
    /// When there are no credentials, or no certificates to trust.
    pub async fn open(&self) -> Result<(Rest, Arc<Tokens>), BigQueryError> {
        let tokens = Arc::new(Tokens::open(&self.account.credentials, &self.env).await?);
        let rest = Rest::open(&self.account, tokens.clone())?;
        Ok((rest.charged_to(self.work.charges(self.step.as_ref())), tokens))
    }

    /// The most that the step may be charged for, in bytes: its own limit, and what is left of the build's budget. `None` where there is neither.
    ///
    /// # Errors
    /// When nothing is left.
    pub fn limit(&self) -> Result<Option<u64>, BigQueryError> {
        let Some(step) = &self.step else { return Ok(None) };
        match self.work.limits.get(&step.target).into_iter().chain(&step.left).min() {
            Some(0) => Err(BigQueryError::Spent),
            limit => Ok(limit.copied()),
        }
    }
}

/// What a probe is asked.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Probe {
    /// The tables whose versions are wanted, `dataset.table`; `None` asks which tables there are.
    pub tables: Option<BTreeSet<String>>,
    /// Those of them whose partitions are wanted too, where they have some.
    #[serde(default)]
    pub parted: BTreeSet<String>,
    /// What is known of partitions, by `dataset.table`: it is not asked for again while the table has that version.
    #[serde(default)]
    pub known: BTreeMap<String, Known>,
}

/// The partitions of one version of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The table's time of change.
    pub modified: String,
    /// The hash of its description.
    pub etag: String,
    /// Its partitions.
    pub partitions: Partitions,
}

/// What a probe answers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Found {
    /// The tables there are, where that was asked.
    #[serde(default)]
    pub names: BTreeSet<String>,
    /// The versions asked for.
    #[serde(default)]
    pub versions: BTreeMap<String, TableVersion>,
    /// An instant, by the server's clock, at which every version was the table's.
    #[serde(default)]
    pub instant_ms: i64,
    /// The partitions asked for, of tables that have some; none of those of which BigQuery does not tell.
    #[serde(default)]
    pub partitions: BTreeMap<String, Partitions>,
}

/// What the action is told.
#[derive(Debug, Deserialize)]
pub struct Spec {
    /// What is read, in its version.
    pub version: TableVersion,
    /// What the table's readers keep; all where empty.
    #[serde(default)]
    pub columns: Vec<String>,
    /// The part that is read; the whole where there is none.
    #[serde(default)]
    pub part: Option<Part>,
}

impl Spec {
    /// The condition that the rows fulfil; nothing where all are wanted and none is needed.
    fn restriction(&self) -> String {
        let needed = self.version.partitioning.as_ref().filter(|partitioning| partitioning.required);
        match &self.part {
            Some(part) => part.restriction.clone(),
            None => needed.map(Partitioning::everything).unwrap_or_default(),
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the form that every kind has")]
fn declare(stanza: &Stanza, _context: &DeclareContext) -> Result<Declared, KindError> {
    let from = Body(stanza).text("from").unwrap_or_default();
    Ok(Declared {
        params: json!({ "from": from }),
        outputs: [ARTIFACT.to_owned()].into(),
        engines: ["parquet".to_owned()].into(),
        ..Declared::default()
    })
}

/// Runs the action.
///
/// # Errors
/// When BigQuery refuses, or a column cannot be held.
pub fn run(request: &Request) -> Result<Response, RunError> {
    let spec: Spec = request.params()?;
    let reach: Reach = request.reach()?;
    if reach.offline {
        let offline = BigQueryError::Offline { table: spec.version.table.clone() };
        return Err(failure(&offline));
    }
    let from = spec.version.table.split_once('.').map_or(spec.version.table.as_str(), |(_, name)| name);
    let file = request.output(ARTIFACT)?.join(format!("{from}.parquet"));
    let (rows, billed) = wait(export(&reach, &spec, &file))??;
    #[expect(clippy::cast_precision_loss, reason = "a count, for people")]
    let rows = ("rows".to_owned(), rows as f64);
    let metrics = billed.into_iter().flat_map(|bytes| reach.work.charged(bytes)).chain([rows]).collect();
    Ok(Response { metrics, ..Response::default() })
}

/// Rows, and bytes that a query for them is charged for.
async fn export(reach: &Reach, spec: &Spec, file: &Path) -> Result<(usize, Option<u64>), RunError> {
    let (version, failed) = (&spec.version, |error: BigQueryError| failure(&error));
    columns::check(&version.table, &version.schema, &spec.columns).map_err(failed)?;
    let (rest, tokens) = reach.open().await.map_err(failed)?;
    let (table, billed) = source(reach, spec, &rest).await.map_err(failed)?;
    // A result that was computed for this reading has no past.
    let own = billed.is_none();
    let restriction = if own { spec.restriction() } else { String::new() };
    let wanted = Wanted { columns: &spec.columns, restriction: &restriction, instant_ms: reach.instant_ms.filter(|_| own) };
    let session = read::open(&reach.account, tokens, &table, wanted).await;
    let mut session = session.map_err(failed)?;
    let held = |error: TableFileError| unheld(&error, "leave the column out with 'columns' in the table's stanza");
    let rows = keep(&mut session, file).await?.map_err(held)?;
    if own && !session.at_instant {
        let modified = reach.modified.get(&version.table).filter(|_| spec.part.is_some()).unwrap_or(&version.modified);
        version::still(&rest, &TableVersion { modified: modified.clone(), ..version.clone() }).await.map_err(failed)?;
    }
    Ok((rows, billed))
}

/// Writes the rows of a session into a file as they come, in their order; how many they were, or why the file cannot hold them.
///
/// # Errors
/// When the session breaks off for good.
pub async fn keep(session: &mut Session, file: &Path) -> Result<Result<usize, TableFileError>, RunError> {
    let mut growing = match Growing::create(file, &session.schema) {
        Ok(growing) => growing,
        Err(error) => return Ok(Err(error)),
    };
    while let Some(batch) = session.next().await {
        if let Err(error) = growing.add(&batch.map_err(|error| failure(&error))?) {
            return Ok(Err(error));
        }
    }
    Ok(growing.finish())
}

/// What a person is told of rows that no table file can hold; `column` is the way out where a column's type is the reason.
#[must_use]
pub fn unheld(error: &TableFileError, column: &str) -> RunError {
    match error {
        TableFileError::Type(_) => RunError::refused(error).hint(column),
        _ => RunError::failed(error),
    }
}

/// Whether something of this kind, as BigQuery calls it, holds rows itself, so that nothing is computed to read it.
#[must_use]
pub fn is_stored(kind: &str) -> bool {
    matches!(kind, "TABLE" | "SNAPSHOT" | "CLONE")
}

/// The table that holds the rows, and what its making was charged for: a view's result is computed first.
async fn source(reach: &Reach, spec: &Spec, rest: &Rest) -> Result<(String, Option<u64>), BigQueryError> {
    let version = &spec.version;
    match version.kind.as_str() {
        kind if is_stored(kind) => Ok((version.table.clone(), None)),
        "VIEW" | "MATERIALIZED_VIEW" | "EXTERNAL" => {
            let done = view::query(rest, &reach.account, version, &spec.columns, reach.limit()?).await?;
            let result = done.destination.ok_or_else(|| BigQueryError::Answer {
                what: format!("compute the view {}", version.table),
                why: "it names no table with the rows".into(),
            })?;
            Ok((result, Some(done.bytes_billed)))
        }
        other => Err(BigQueryError::Kind { table: version.table.clone(), found: other.to_lowercase() }),
    }
}

/// Runs a probe.
///
/// # Errors
/// When BigQuery refuses.
pub fn probe(request: &Request) -> Result<Response, RunError> {
    let asked: Probe = request.params()?;
    let reach: Reach = request.reach()?;
    let found = wait(look(&reach, &asked))?.map_err(|error| failure(&error))?;
    request.tell(ANSWER, &found)
}

async fn look(reach: &Reach, asked: &Probe) -> Result<Found, BigQueryError> {
    let (rest, _) = reach.open().await?;
    let project = &reach.account.project;
    let Some(tables) = &asked.tables else {
        return Ok(Found { names: version::tables(&rest, project).await?, ..Found::default() });
    };
    let names: BTreeSet<String> = tables.iter().map(|table| format!("{project}.{table}")).collect();
    let (rest, billing) = (Arc::new(rest), &reach.account.billing_project);
    let (versions, instant_ms) = version::probe_all(rest.clone(), billing, &names, reach.instant_ms).await?;
    let own = |name: &str| name.split_once('.').map_or(name, |(_, table)| table).to_owned();
    let versions: BTreeMap<String, TableVersion> = versions.into_iter().map(|(name, found)| (own(&name), found)).collect();
    let (mut partitions, mut unknown) = (BTreeMap::new(), Vec::new());
    for (table, version) in versions.iter().filter(|(table, version)| asked.parted.contains(*table) && version.has_partitions()) {
        match asked.known.get(table).filter(|known| (&known.modified, &known.etag) == (&version.modified, &version.etag)) {
            Some(known) => _ = partitions.insert(table.clone(), known.partitions.clone()),
            None => unknown.push(version),
        }
    }
    let mut told = partitions::ask(&rest, billing, &unknown, reach.work.budget).await?;
    // Where nothing is told, that is known too: it is not asked for again.
    partitions.extend(unknown.iter().map(|version| (own(&version.table), told.remove(&version.table).unwrap_or_default())));
    Ok(Found { versions, instant_ms, partitions, ..Found::default() })
}

/// Runs a conversation with BigQuery to its end, on this thread.
///
/// # Errors
/// When this machine gives it no way to wait.
pub fn wait<T>(conversation: impl Future<Output = T>) -> Result<T, RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.map_err(|error| RunError::failed(&error))?.block_on(conversation))
}

/// What a person is told of a conversation that failed.
#[must_use]
pub fn failure(error: &BigQueryError) -> RunError {
    let failed = match error {
        BigQueryError::Refused { reason, .. } | BigQueryError::Job { reason, .. } if reason == "bytesBilledLimitExceeded" => {
            RunError::refused(error)
        }
        BigQueryError::Moved { .. } | BigQueryError::Window { .. } | BigQueryError::Offline { .. } | BigQueryError::Kind { .. } => {
            RunError::invalid(error)
        }
        BigQueryError::Missing { .. } | BigQueryError::NoColumn { .. } => RunError::invalid(error),
        BigQueryError::Column { .. } | BigQueryError::Spent => RunError::refused(error),
        _ => RunError::remote(error),
    };
    match error.hint() {
        Some(hint) => failed.hint(hint),
        None => failed,
    }
}
