//! Tries queries with the engine here. Invariant: each is understood over tables without rows, of the columns that they have, and never run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use arrow::array::RecordBatch;

use crate::engine::duck::DuckError;
use crate::engine::sql::{Reader, SqlRunError};
use crate::engine::table_file;
use crate::engine::table_import::{self, Wanted};
use crate::engine::table_types::canonical;
use crate::engine::warehouse;
use crate::kinds::request::{Request, Response, RunError};
use crate::kinds::tries::{Fault, Feed, Known, Plain, TRIED, Tried, Tries, Try};
use crate::syntax::duck::translate::translate;
use crate::syntax::sql::error::SqlError;
use crate::syntax::sql::lex;
use crate::syntax::sql::read::read;

/// Why a query could not be tried.
enum Untried {
    /// It is wrong.
    Fault(Fault),
    /// Something else is.
    Failed(RunError),
}

/// Tries the queries.
///
/// # Errors
/// When the engine fails, or a file cannot be read or written; what it has against a query is part of the answer.
pub fn run(request: &Request) -> Result<Response, RunError> {
    let tries: Tries = request.params()?;
    let folder = request.output("columns")?;
    let mut known: Known<PathBuf> = Known::default();
    let mut count = 0;
    loop {
        let ready = known.ready(&tries);
        if ready.is_empty() {
            return request.tell(TRIED, &known.found());
        }
        for (name, query) in ready {
            if let Some(waits) = known.waits(query) {
                known.take(name, Tried { waits: Some(waits), ..Tried::default() }, None);
                continue;
            }
            let mut file = || {
                count += 1;
                folder.join(format!("{count}.parquet"))
            };
            match columns(query, &known, &mut file) {
                Ok(file) => known.take(name, Tried::default(), Some(file)),
                Err(Untried::Fault(fault)) => known.take(name, fault.found(), None),
                Err(Untried::Failed(error)) => return Err(error),
            }
        }
    }
}

/// A file without rows, of the columns that the query gives.
fn columns(query: &Try, known: &Known<PathBuf>, file: &mut dyn FnMut() -> PathBuf) -> Result<PathBuf, Untried> {
    let broken =
        |error: SqlError| Untried::Fault(Fault { message: error.to_string(), at: Some(error.span.start), hint: error.fault.hint() });
    let sql = read(&query.query).map_err(broken)?;
    let translated = translate(&sql.query, &query.params).map_err(broken)?;
    let mut tables = BTreeMap::new();
    for (table, span) in &sql.tables {
        let about = |fault: Fault| Untried::Fault(Fault { at: Some(span.start), ..fault });
        let found = match query.tables.get(table) {
            Some(Feed::Query(name)) => known.columns(name).cloned(),
            Some(Feed::File(path)) => Some(path.clone()),
            Some(Feed::Table(plain)) => {
                let rows = taken(plain).map_err(|error| match error {
                    Untried::Fault(fault) => about(fault),
                    failed @ Untried::Failed(_) => failed,
                })?;
                Some(empty(&rows, file())?)
            }
            None => None,
        };
        let Some(found) = found else {
            return Err(about(Fault { message: format!("the query reads '{table}', which was not given to it"), ..Fault::default() }));
        };
        tables.insert(table.as_str(), found);
    }
    let reader = Reader::open(&tables, &sql.words).map_err(|error| wrong(&error, &query.query))?;
    let rows = reader.columns(&translated).map_err(|error| wrong(&error, &query.query))?;
    empty(&rows, file())
}

/// None of a warehouse table's rows, but the columns that are taken of it.
fn taken(plain: &Plain) -> Result<RecordBatch, Untried> {
    let fault = |message: String, hint| Untried::Fault(Fault { message, at: None, hint });
    let path = plain.file.clone().unwrap_or_default();
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some((_, format)) = warehouse::table_of(name) else {
        return Err(fault(format!("the warehouse has no table '{}'", plain.from), None));
    };
    let wanted = Wanted { columns: plain.columns.clone(), types: plain.types.clone() };
    table_import::columns(&path, format, &wanted).map_err(|error| fault(error.to_string(), error.hint()))
}

/// Writes down columns without rows.
fn empty(rows: &RecordBatch, path: PathBuf) -> Result<PathBuf, Untried> {
    let failed = |error: &(dyn std::error::Error + 'static)| Untried::Failed(RunError::failed(error));
    let rows = canonical(&rows.slice(0, 0)).map_err(|error| failed(&error))?;
    table_file::write(&path, &rows, &[]).map_err(|error| failed(&error))?;
    Ok(path)
}

/// What the engine has against the query, at the first name that it quotes and that stands there.
fn wrong(error: &SqlRunError, query: &str) -> Untried {
    if let SqlRunError::Duck(DuckError::Engine { .. } | DuckError::Rows(_)) | SqlRunError::Table(_) = error {
        return Untried::Failed(RunError::failed(error));
    }
    let message = error.to_string();
    let mut names = message.split(['\'', '"']).skip(1).step_by(2).filter(|name| !name.is_empty());
    let at = names.find_map(|name| lex::find(query, name));
    Untried::Fault(Fault { at, hint: error.hint(), message })
}
