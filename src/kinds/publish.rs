//! Kind `publish`: a table as it will stand where it is delivered. Invariant: what is made here depends on the artifact and on the table's rows so far, and
//! on nothing else; the delivering itself is `exec::deliver`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::engine::merging::{self, By, MergeError};
use crate::engine::table_columns::ColumnError;
use crate::engine::table_file::{self, TableFileError};
use crate::engine::warehouse::{self, WarehouseError};
use crate::io::fs::{self, FsError};
use crate::kinds::body::Body;
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::kind::Kind;
use crate::kinds::request::{Request, Response, RunError};
use crate::model::recipe::{Declared, Stanza};
use crate::syntax::shape::{Key, Want};

/// What the kind is called.
pub const NAME: &str = "publish";
/// The artifact: the table's file, whole.
pub const ARTIFACT: &str = "table";
/// The slot of what is delivered.
pub const FROM_SLOT: &str = "from";
/// The slot of the table's file so far, where there is one. It is no part of the key: what counts is whether the ledger has the delivery.
pub const TABLE_SLOT: &str = "table";

/// Kind `publish`.
pub const KIND: Kind = Kind {
    name: NAME,
    version: 2,
    about: "Delivers a table, exactly once, into the folder of published tables or into BigQuery. It runs only when its name is typed.",
    keys: &[
        Key::required("from", Want::Target, "The target whose table is delivered, or target#artifact."),
        Key::required("to", Want::TableName, "The table that it is delivered into."),
        Key::required(
            "mode",
            Want::OneOf(&["replace", "merge", "add", "partition"]),
            "Which rows make place: all; those with the `key` of a new one; none, and new ones whose `key` is there are left out; or those of a `partition` that a new one is in.",
        ),
        Key::optional("key", Want::List(&Want::Text, true), "For `merge` and `add`: the columns that tell rows apart."),
        Key::optional("partition", Want::Text, "For `partition`: the column whose values are replaced as wholes, such as `date`."),
        Key::optional(
            "allow_schema_change",
            Want::Bool,
            "Whether the table may gain columns, NULL in rows that it has; `false` where it is not said.",
        ),
    ],
    declare,
};

/// The params of a `publish` action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The table.
    pub to: String,
    /// `replace`, `merge`, `add` or `partition`.
    pub mode: String,
    /// The key, or the partition's column.
    pub columns: Vec<String>,
    /// Whether the table may gain columns.
    pub allow_schema_change: bool,
}

fn declare(stanza: &Stanza, _: &DeclareContext) -> Result<Declared, KindError> {
    let body = Body(stanza);
    let mode = body.required_text("mode")?;
    for (key, of) in [("key", &["merge", "add"][..]), ("partition", &["partition"])] {
        match (body.value(key), of.contains(&mode)) {
            (Some(_), false) => return Err(body.key_error(key, format!("'{key}' goes with mode = \"{}\"", of.join("\" or \"")))),
            (None, true) => return Err(body.error("mode", format!("mode = \"{mode}\" needs the key '{key}'"))),
            _ => {}
        }
    }
    let spec = Spec {
        to: body.required_text("to")?.to_owned(),
        mode: mode.to_owned(),
        columns: body.texts("key").into_iter().chain(body.text("partition")).map(str::to_owned).collect(),
        allow_schema_change: body.value("allow_schema_change").and_then(Value::as_bool).unwrap_or(false),
    };
    Ok(Declared {
        params: json!(spec),
        inputs: BTreeMap::from([(FROM_SLOT.to_owned(), body.target("from", "")?)]),
        outputs: BTreeSet::from([ARTIFACT.to_owned()]),
        engines: BTreeSet::from(["parquet".to_owned()]),
        delivers: true,
        ..Declared::default()
    })
}

/// Why there is nothing to deliver.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// What is delivered is no table.
    #[error("what it delivers is no table: the artifact has no {}", table_file::FILE_NAME)]
    NoTable,
    /// It has no rows.
    #[error("what it delivers has no rows")]
    Empty,
    /// The rows cannot come into the table.
    #[error("{table}: {source}")]
    Merge {
        /// The table.
        table: String,
        /// Why.
        source: MergeError,
    },
    /// A column has a type that the destination has not.
    #[error("column '{column}' is {found}, which BigQuery has not")]
    NoType {
        /// The column.
        column: String,
        /// Its type.
        found: String,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] TableFileError),
    /// The table's file so far is not there.
    #[error(transparent)]
    Table(#[from] WarehouseError),
    /// A file cannot be copied.
    #[error(transparent)]
    Fs(#[from] FsError),
}

impl PublishError {
    /// As the action's failure: rows that must not be delivered are refused as by a check.
    #[must_use]
    pub fn as_failure(&self) -> RunError {
        match self {
            Self::NoTable => RunError::invalid(self).hint("name one that is: from = \"target#artifact\""),
            Self::Merge { source: MergeError::Column(ColumnError::Missing { nearest: Some(near), .. }), .. } => {
                RunError::invalid(self).hint(format!("did you mean '{near}'?"))
            }
            Self::Merge { source: MergeError::Column(_), .. } => RunError::invalid(self),
            Self::Merge { source: MergeError::Added { .. }, .. } => {
                RunError::refused(self).hint("allow_schema_change = true lets the table gain them, NULL in rows that it has")
            }
            Self::Merge { source: MergeError::Gone { .. } | MergeError::Type { .. }, .. } => {
                RunError::refused(self).hint("who reads the table counts on them; publish into a table of another name")
            }
            Self::Empty | Self::NoType { .. } | Self::Merge { .. } => RunError::refused(self),
            Self::File(_) | Self::Table(_) | Self::Fs(_) => RunError::failed(self),
        }
    }
}

/// Runs the action.
///
/// # Errors
/// When nothing may or can be delivered.
pub fn run(request: &Request) -> Result<Response, RunError> {
    let table = request.inputs.get(TABLE_SLOT).map(std::path::PathBuf::as_path);
    publish(&request.params()?, request.input(FROM_SLOT)?, table, &request.output(ARTIFACT)?).map_err(|error| error.as_failure())
}

/// Writes the table as it will be into `out`: the artifact in `from` and, in `table`, the folder of its file so far.
///
/// # Errors
/// When nothing may or can be delivered.
pub fn publish(spec: &Spec, from: &Path, table: Option<&Path>, out: &Path) -> Result<Response, PublishError> {
    let source = from.join(table_file::FILE_NAME);
    let new = rows(&source)?;
    let target = out.join(table_file::FILE_NAME);
    let refused = |source| PublishError::Merge { table: spec.to.clone(), source };
    let old = table.map(|folder| Ok::<_, PublishError>(table_file::read(&warehouse::only_file(folder)?.0)?)).transpose()?;
    let old = old.map(|old| merging::fitted(&old, &new, spec.allow_schema_change).map_err(refused)).transpose()?;
    let Some(by) = by(spec) else {
        // Byte for byte what the artifact holds.
        fs::copy(&source, &target)?;
        return Ok(told(new.num_rows(), 0, old.map_or(0, |old| old.num_rows())));
    };
    let old = old.unwrap_or_else(|| RecordBatch::new_empty(new.schema()));
    let merged = merging::merge(&old, &new, by).map_err(refused)?;
    table_file::write(&target, &merged.rows, &spec.columns)?;
    Ok(told(merged.rows.num_rows(), merged.kept, merged.replaced))
}

/// The rows to deliver, in the artifact's file.
///
/// # Errors
/// When there is none, or nothing in it.
pub fn rows(source: &Path) -> Result<RecordBatch, PublishError> {
    if fs::stat(source)?.is_none() {
        return Err(PublishError::NoTable);
    }
    let rows = table_file::read(source)?;
    if rows.num_rows() == 0 { Err(PublishError::Empty) } else { Ok(rows) }
}

/// Which rows make place; nothing where all do.
#[must_use]
pub fn by(spec: &Spec) -> Option<By<'_>> {
    match (spec.mode.as_str(), spec.columns.first()) {
        ("merge", _) => Some(By::Key(&spec.columns)),
        ("add", _) => Some(By::Add(&spec.columns)),
        ("partition", Some(column)) => Some(By::Partition(column)),
        _ => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of rows in memory")]
fn told(rows: usize, kept: usize, replaced: usize) -> Response {
    let came = rows - kept;
    let metrics = [("rows", rows), ("came", came), ("replaced", replaced)];
    Response {
        metrics: metrics.into_iter().map(|(name, count)| (name.to_owned(), count as f64)).collect(),
        notes: vec![format!("{came} rows came, {replaced} made place, {kept} stay: {rows} in all")],
        ..Response::default()
    }
}
