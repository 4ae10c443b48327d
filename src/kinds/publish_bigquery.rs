//! How kind `publish` delivers into BigQuery, tells what was delivered there, and puts an earlier delivery back. Invariant: the rows that come are the
//! artifact's, all of them, or what the deliveries put back come to; where the destination has them already, nothing is sent.

use std::path::PathBuf;

use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};

use crate::base::diagnostic::{ExitCode, in_one_line};
use crate::base::digest::{ActionKey, ManifestId};
use crate::engine::bigquery::delivered_columns;
use crate::engine::bigquery::delivery::{DeliverError, Ground, Order, Site, Stands};
use crate::engine::bigquery::ledger;
use crate::engine::bigquery::place::{LEDGER, Place};
use crate::engine::bigquery::rest::Rest;
use crate::engine::bigquery::version;
use crate::engine::merging::{self, By};
use crate::engine::table_file;
use crate::io::fs;
use crate::kinds::export::{Reach, failure, wait};
use crate::kinds::publish::{self, ARTIFACT, FROM_SLOT, PublishError, Spec};
use crate::kinds::request::{Request, Response, RunError};
use crate::model::delivery::{Delivered, standing};

/// The file that takes the answer to a question.
pub const ANSWER: &str = "deliveries.json";

/// The key of [`Delivering`] that tells a delivery from any other reach.
pub const DELIVERY: &str = "delivery";

/// What a delivering action is told beside its params: none of it is in its key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Delivering {
    /// The way to BigQuery.
    #[serde(flatten)]
    pub reach: Reach,
    /// Whose delivery it is.
    pub delivery: Whose,
}

/// What a delivery is known by.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Whose {
    /// The target.
    pub target: String,
    /// Its action.
    pub action: ActionKey,
    /// The artifact.
    pub artifact: ManifestId,
}

/// The question what was delivered.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// Into this table.
    Table(String),
    /// Into the table that this target delivered into last.
    Target(String),
}

/// What was delivered into a table.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Told {
    /// The table, `dataset.table`; none where the target asked for delivered nothing.
    pub table: Option<String>,
    /// Whether it is there.
    pub exists: bool,
    /// Its deliveries, in order.
    pub deliveries: Vec<Delivered>,
}

/// A delivery to put back, and what the table was made of then.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PutBack {
    /// The table.
    pub table: String,
    /// The delivery that is made by it.
    pub delivery: Delivered,
    /// The deliveries that stood, in order.
    pub parts: Vec<Part>,
}

/// The rows of an earlier delivery.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Part {
    /// Their file.
    pub file: PathBuf,
    /// How they came into the table.
    pub spec: Spec,
}

/// Delivers the artifact.
///
/// # Errors
/// When nothing may or can be delivered.
pub fn deliver(request: &Request) -> Result<Response, RunError> {
    let spec: Spec = request.params()?;
    let Delivering { reach, delivery: Whose { target, action, artifact } } = request.reach()?;
    let source = request.input(FROM_SLOT)?.join(table_file::FILE_NAME);
    let refused = |error: PublishError| error.as_failure();
    let rows = publish::rows(&source).map_err(refused)?;
    let by = publish::by(&spec);
    if let Some(by) = by {
        // What the rows say of themselves is asked before anybody hears of them.
        let none = RecordBatch::new_empty(rows.schema());
        merging::merge(&none, &rows, by).map_err(|source| refused(PublishError::Merge { table: spec.to.clone(), source }))?;
    }
    let (mode, columns) = (spec.mode.clone(), spec.columns.clone());
    let delivery = Delivered { sequence: 0, target, action, artifact, mode, columns, rows: count(&rows), puts_back: None, at_ms: 0 };
    let file = fs::read(&source).map_err(|error| RunError::failed(&error))?;
    let stands = send(&reach, &spec.to, &file, &rows, delivery, (by, spec.allow_schema_change))?;
    let target = request.output(ARTIFACT)?.join(table_file::FILE_NAME);
    fs::copy(&source, &target).map_err(|error| RunError::failed(&error))?;
    let name = format!("{}.{}", reach.account.project, spec.to);
    let note = match stands {
        Stands { sequence, before: true } => format!("{name} has them already: {} rows, delivery {sequence}", rows.num_rows()),
        Stands { sequence, before: false } => format!("{} rows came into {name}: delivery {sequence}", rows.num_rows()),
    };
    #[expect(clippy::cast_precision_loss, reason = "a count of rows, for people")]
    let metrics = [("rows".to_owned(), rows.num_rows() as f64)].into();
    Ok(Response { metrics, notes: vec![note], ..Response::default() })
}

fn count(rows: &RecordBatch) -> u64 {
    u64::try_from(rows.num_rows()).unwrap_or(u64::MAX)
}

fn send(
    reach: &Reach,
    table: &str,
    file: &[u8],
    rows: &RecordBatch,
    delivery: Delivered,
    (by, may_add): (Option<By>, bool),
) -> Result<Stands, RunError> {
    let described = delivered_columns::fields(&rows.schema());
    let columns = described.map_err(|(column, found)| PublishError::NoType { column, found }.as_failure())?;
    let order = Order { delivery, file, columns: &columns, by, may_add };
    let sent = async {
        let (rest, _) = reach.open().await.map_err(|error| failure(&error))?;
        site(&rest, reach, table)?.deliver(&order).await.map_err(|error| refusal(error, &order.delivery.target))
    };
    wait(sent)?
}

fn site<'a>(rest: &'a Rest, reach: &'a Reach, table: &str) -> Result<Site<'a>, RunError> {
    let place = Place::of(&reach.account.project, table).ok_or_else(|| PublishError::NoTable.as_failure())?;
    Ok(Site { rest, billing: &reach.account.billing_project, place })
}

/// What a person is told.
fn refusal(error: DeliverError, target: &str) -> RunError {
    let message = in_one_line(&error);
    let told = |code: ExitCode, hint: String| RunError { code, message, hint: Some(hint) };
    match error {
        DeliverError::BigQuery(error) => failure(&error),
        DeliverError::NoDataset { project, dataset } => {
            told(ExitCode::Remote, format!("bq mk --dataset {project}:{dataset} (with --location, where it is not to be in the US)"))
        }
        DeliverError::Foreign { .. } => told(ExitCode::Refused, "rename it, or publish into another table".into()),
        DeliverError::Gone { sequence, .. } => {
            told(ExitCode::Refused, format!("cbi rollback {target} --to {sequence} puts back what was published"))
        }
        DeliverError::NoLedger { .. } => {
            told(ExitCode::Damaged, "BigQuery keeps a removed table for seven days: see docs/bigquery.md#publishing".into())
        }
        DeliverError::Crowded { .. } => told(ExitCode::Busy, "build again when they are done".into()),
        DeliverError::Columns { table, source } => PublishError::Merge { table, source }.as_failure(),
    }
}

/// Tells what was delivered. It runs no query.
///
/// # Errors
/// When BigQuery refuses.
pub fn tell(request: &Request) -> Result<Response, RunError> {
    let (asked, reach): (Asked, Reach) = (request.params()?, request.reach()?);
    let told = wait(look(&reach, asked))??;
    request.tell(ANSWER, &told)
}

async fn look(reach: &Reach, asked: Asked) -> Result<Told, RunError> {
    let (rest, _) = reach.open().await.map_err(|error| failure(&error))?;
    let table = match asked {
        Asked::Table(table) => Some(table),
        Asked::Target(target) => table_of(&rest, &reach.account.project, &target).await?,
    };
    let Some(table) = table else { return Ok(Told::default()) };
    let ground = site(&rest, reach, &table)?.ground().await.map_err(|error| refusal(error, ""))?;
    let Ground { table: found, ledger, .. } = ground;
    Ok(Told { table: Some(table), exists: found.is_some(), deliveries: ledger.unwrap_or_default() })
}

/// The table that the target delivered into last, as the ledgers of all datasets tell.
async fn table_of(rest: &Rest, project: &str, target: &str) -> Result<Option<String>, RunError> {
    let mut newest: Option<(u64, String)> = None;
    for name in version::tables(rest, project).await.map_err(|error| failure(&error))? {
        let Some((dataset, table)) = name.split_once('.') else { continue };
        let Some(table) = table.strip_prefix(LEDGER).map(|table| format!("{dataset}.{table}")) else { continue };
        let Some(place) = Place::of(project, &table) else { continue };
        let done = ledger::read(rest, &place).await.map_err(|error| failure(&error))?.unwrap_or_default();
        let own = done.iter().filter(|delivery| delivery.target == target).map(|delivery| (delivery.at_ms, table.clone()));
        newest = newest.max(own.max());
    }
    Ok(newest.map(|(_, table)| table))
}

/// Puts a delivery back: what its table was made of then is put together here, and takes the place of all rows there.
///
/// # Errors
/// When that cannot be done.
pub fn put_back(request: &Request) -> Result<Response, RunError> {
    let (PutBack { table, delivery, parts }, reach): (PutBack, Reach) = (request.params()?, request.reach()?);
    let rows = together(&table, &parts).map_err(|error| error.as_failure())?;
    let scratch = request.out.join(table_file::FILE_NAME);
    table_file::write(&scratch, &rows, &[]).map_err(|error| RunError::failed(&error))?;
    let file = fs::read(&scratch).map_err(|error| RunError::failed(&error))?;
    let delivery = Delivered { rows: count(&rows), ..delivery };
    let stands = send(&reach, &table, &file, &rows, delivery, (None, true))?;
    request.tell(ANSWER, &serde_json::json!({ "sequence": stands.sequence, "rows": rows.num_rows() }))
}

/// The table that deliveries come to, one after another.
fn together(table: &str, parts: &[Part]) -> Result<RecordBatch, PublishError> {
    let refused = |source| PublishError::Merge { table: table.to_owned(), source };
    let mut all: Option<RecordBatch> = None;
    for Part { file, spec } in parts {
        let new = publish::rows(file)?;
        let Some(by) = publish::by(spec) else {
            all = Some(new);
            continue;
        };
        let old = all.unwrap_or_else(|| RecordBatch::new_empty(new.schema()));
        let old = merging::fitted(&old, &new, true).map_err(refused)?;
        all = Some(merging::merge(&old, &new, by).map_err(refused)?.rows);
    }
    all.ok_or(PublishError::Empty)
}

/// The deliveries that the table was made of just after delivery `sequence`, beginning with the last that replaced all of it.
#[must_use]
pub fn made_of(done: &[Delivered], sequence: u64) -> Vec<&Delivered> {
    let stand = standing(done, sequence, Delivered::numbers);
    let whole = stand.iter().rposition(|delivery| delivery.mode == "replace").unwrap_or_default();
    stand[whole..].to_vec()
}
