//! Looks at tables for `cbi cat` and `cbi diff`: no recipe kind, for nothing is built. Invariant: the answer is one JSON file in the request's
//! folder, and nothing else is written.
//!
//! `view:cat`: slot `table`; params `first` (0), `rows` (20) and `newest` (the last rows instead, `first` does not count). `view:diff`: slots `old` and `new`; params `key` (columns that name a row).
//! Both: params `file`, the Parquet file in the folders (`table.parquet`). The answer is `view/view.json`.

use std::path::Path;

use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};

use crate::engine::table_file;
use crate::engine::table_import::{self, Wanted};
use crate::engine::table_view;
use crate::engine::warehouse;
use crate::io::fs;
use crate::kinds::request::{Request, Response, RunError};
use crate::kinds::table::failure;

/// The artifact that holds the answer.
pub const ARTIFACT: &str = "view";

/// The answer's file.
pub const FILE: &str = "view.json";

/// What is asked.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct Spec {
    first: usize,
    rows: usize,
    newest: bool,
    key: Vec<String>,
    file: String,
}

impl Default for Spec {
    fn default() -> Self {
        Self { first: 0, rows: 20, newest: false, key: Vec::new(), file: table_file::FILE_NAME.to_owned() }
    }
}

/// Answers with rows of a table: a `Shown`.
///
/// # Errors
/// When the table cannot be read.
pub fn cat(request: &Request) -> Result<Response, RunError> {
    let spec: Spec = request.params()?;
    let table = table(request.input("table")?, &spec.file)?;
    let first = if spec.newest { table.num_rows().saturating_sub(spec.rows) } else { spec.first };
    answer(request, &table_view::show(&table, first, spec.rows))
}

/// Answers with the difference of two tables: a `Difference`.
///
/// # Errors
/// When a table cannot be read.
pub fn diff(request: &Request) -> Result<Response, RunError> {
    let spec: Spec = request.params()?;
    let (old, new) = (table(request.input("old")?, &spec.file)?, table(request.input("new")?, &spec.file)?);
    let difference = table_view::compare(&old, &new, &spec.key).map_err(|error| RunError::failed(&error))?;
    answer(request, &difference)
}

/// The Parquet file of an artifact, or a warehouse table's one file.
fn table(folder: &Path, file: &str) -> Result<RecordBatch, RunError> {
    let path = folder.join(file);
    if fs::stat(&path).map_err(|error| RunError::failed(&error))?.is_some() {
        return table_file::read(&path).map_err(|error| RunError::failed(&error));
    }
    let (path, format) = warehouse::only_file(folder).map_err(|error| RunError::failed(&error))?;
    table_import::import(&path, format, &Wanted::default()).map_err(|error| failure(&error))
}

fn answer<T: Serialize>(request: &Request, answer: &T) -> Result<Response, RunError> {
    let bytes = serde_json::to_vec(answer).map_err(|error| RunError::failed(&error))?;
    fs::write(&request.output(ARTIFACT)?.join(FILE), &bytes).map_err(|error| RunError::failed(&error))?;
    Ok(Response::default())
}
