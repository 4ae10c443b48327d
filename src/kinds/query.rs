//! Owns how a stanza asks for a query: its text, its parameters, the tables it reads. Invariant: what enters the key is the query's canonical
//! text and the parameters it uses; layout, comments and the workspace's date where it is not used do not.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use serde_json::{Map, Value, json};

use crate::base::name::nearest;
use crate::engine::sql::{self, SqlRunError};
use crate::engine::table_file::{self, TableFileError};
use crate::engine::table_sort::{self, SortError};
use crate::engine::truncation::compare::CompareError;
use crate::kinds::body::Body;
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::pinned::{ENGINE, WAREHOUSE};
use crate::kinds::request::{Request, Response, RunError};
use crate::model::recipe::{Ahead, DEFAULT_KEY, Declared, Place, Source, TABLE_SLOT};
use crate::syntax::duck::translate::translate;
use crate::syntax::sql::error::SqlError;
use crate::syntax::sql::lookahead::lookahead;
use crate::syntax::sql::read::{Sql, read};

/// The artifact that holds a table.
pub const ARTIFACT: &str = "table";

/// Why a query gave no rows to keep.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The text is no query that can be run.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// A table that the query reads was not given.
    #[error("the query reads '{table}', which was not given to it")]
    Missing {
        /// The table.
        table: String,
    },
    /// The engine refuses it, or its rows.
    #[error(transparent)]
    Run(#[from] SqlRunError),
    /// Its rows cannot be compared with others.
    #[error(transparent)]
    Compare(#[from] CompareError),
}

/// A table that must not be used.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// A table without rows is somebody's mistake.
    #[error("{what} has no rows")]
    Empty {
        /// The query or the table.
        what: String,
    },
    /// The file cannot be written, or not in that order.
    #[error(transparent)]
    File(#[from] TableFileError),
}

/// What the query `text` asks for. `at` tells where a place of the text stands.
///
/// # Errors
/// When the text is no query that can be run, or a parameter is missing or not used.
pub fn declare(body: Body, text: &str, at: &dyn Fn(Range<usize>) -> Place, context: &DeclareContext) -> Result<Declared, KindError> {
    let refused = |error: &SqlError| refusal(error, at);
    let query = read(text).map_err(|error| refused(&error))?;
    let params = params(body, &query, at, context)?;
    let only_there = match translate(&query.query, &params).map_err(|error| refused(&error)) {
        Ok(_) => None,
        // What runs in the warehouse need not run here, unless somebody learns from it.
        Err(error) if body.text(ENGINE) == Some(WAREHOUSE) => Some((error.place, error.message)),
        Err(error) => return Err(error),
    };
    let mut declared = Declared {
        params: json!({ "query": query.canonical, "params": params, "key": body.value("key") }),
        text: Some(at(0..text.len())),
        ahead: lookahead(&query.query)
            .into_iter()
            .map(|ahead| Ahead { place: at(ahead.span), how: ahead.how.to_string(), hint: ahead.how.hint() })
            .collect(),
        only_there,
        outputs: [ARTIFACT.to_owned()].into(),
        engines: ["duckdb", "parquet"].map(str::to_owned).into(),
        ..Declared::default()
    };
    for (name, span) in &query.tables {
        let place = at(span.clone());
        let name = name.parse().map_err(|error| KindError::new(place.clone(), format!("{error}")))?;
        let slot = format!("{TABLE_SLOT}{name}");
        declared.places.insert(slot.clone(), place);
        declared.inputs.insert(slot, Source::Target { name, artifact: ARTIFACT.to_owned() });
    }
    Ok(declared)
}

fn refusal(error: &SqlError, at: &dyn Fn(Range<usize>) -> Place) -> KindError {
    KindError { place: at(error.span.clone()), message: error.to_string(), hint: error.fault.hint() }
}

/// The values of the parameters that the query uses.
fn params(body: Body, query: &Sql, at: &dyn Fn(Range<usize>) -> Place, context: &DeclareContext) -> Result<Map<String, Value>, KindError> {
    let given = body.table("params").cloned().unwrap_or_default();
    let used = || query.params.iter().map(|(name, _)| name.as_str());
    if let Some(name) = given.keys().find(|name| !used().any(|used| used == *name)) {
        let error = body.key_error(&format!("params.{name}"), format!("the query does not use @{name}"));
        return Err(match nearest(name, used()) {
            Some(near) => error.hint(format!("did you mean '{near}'?")),
            None => error,
        });
    }
    let mut values = Map::new();
    for (name, span) in &query.params {
        let value = given.get(name).cloned().or_else(|| (name == "as_of").then(|| context.as_of.map(Value::from)).flatten());
        let Some(value) = value else {
            let error = KindError::new(at(span.clone()), format!("the query uses @{name}, which has no value"));
            return Err(error.hint(match name.as_str() {
                "as_of" => "set as_of = \"YYYY-MM-DD\" in the [workspace] of cbi.toml".to_owned(),
                _ => format!("add to the stanza: params = {{ {name} = … }}"),
            }));
        };
        values.insert(name.clone(), value);
    }
    Ok(values)
}

/// Runs the query of a request and writes its table.
///
/// # Errors
/// When it cannot run, or gives no rows.
pub fn run(request: &Request) -> Result<Response, RunError> {
    let query = request.params.get("query").and_then(Value::as_str).unwrap_or_default();
    let params = request.params.get("params").and_then(Value::as_object).cloned().unwrap_or_default();
    let rows = rows(query, &params, &tables(request)).map_err(|error| failure(&error))?;
    keep(request, &rows, "the query's result")
}

/// The Parquet files of the tables that a request's query reads, by `dataset.table`.
#[must_use]
pub fn tables(request: &Request) -> BTreeMap<String, PathBuf> {
    let file = |(slot, folder): (&String, &PathBuf)| Some((slot.strip_prefix(TABLE_SLOT)?.to_owned(), folder.join(table_file::FILE_NAME)));
    request.inputs.iter().filter_map(file).collect()
}

/// The files among `tables` that a query reads.
///
/// # Errors
/// When one is not there.
pub fn needed<'q>(query: &'q Sql, tables: &BTreeMap<String, PathBuf>) -> Result<BTreeMap<&'q str, PathBuf>, QueryError> {
    let file = |name: &'q String| tables.get(name).cloned().ok_or_else(|| QueryError::Missing { table: name.clone() });
    query.tables.iter().map(|(name, _)| Ok((name.as_str(), file(name)?))).collect()
}

/// The rows of a query in BigQuery's dialect; `tables` are Parquet files by `dataset.table`.
///
/// # Errors
/// When the text is no query, reads a table that is not given, or cannot run over their rows.
pub fn rows(text: &str, params: &Map<String, Value>, tables: &BTreeMap<String, PathBuf>) -> Result<RecordBatch, QueryError> {
    let query = read(text)?;
    let translated = translate(&query.query, params)?;
    Ok(sql::run(&translated, &needed(&query, tables)?, &query.words)?)
}

/// A query's error as an action's.
#[must_use]
pub fn failure(error: &QueryError) -> RunError {
    let (failure, hint) = match error {
        QueryError::Sql(fault) => (RunError::invalid(error), fault.fault.hint()),
        QueryError::Missing { .. } | QueryError::Compare(_) => (RunError::failed(error), None),
        QueryError::Run(run) if run.is_the_querys() => (RunError::invalid(error), run.hint()),
        QueryError::Run(run) => (RunError::failed(error), run.hint()),
    };
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Writes a table as the request's artifact, sorted by the request's key.
///
/// # Errors
/// When it has no rows, not the columns of the key, or cannot be written.
pub fn keep(request: &Request, rows: &RecordBatch, what: &str) -> Result<Response, RunError> {
    if rows.num_rows() == 0 {
        return Err(empty(request, what));
    }
    let key = key_columns(request.params.get("key"), &rows.schema());
    table_file::write(&path(request)?, rows, &key).map_err(unwritten)?;
    Ok(counted(rows.num_rows()))
}

/// The same for the rows of Parquet files that have the same columns, at least one, however many rows: these of its columns, by their places (all where empty).
///
/// # Errors
/// When they cannot be read, there are none (the error is `empty`'s), or as `keep`.
pub fn keep_files(
    request: &Request,
    from: &[PathBuf],
    columns: &[usize],
    read: impl Fn(TableFileError) -> RunError,
    empty: impl Fn() -> RunError,
) -> Result<Response, RunError> {
    let first = from.first().map_or(Path::new(""), PathBuf::as_path);
    let schema = table_file::schema(first).map_err(&read)?;
    let kept = if columns.is_empty() { schema } else { schema.project(columns).map(Arc::new).map_err(|error| RunError::failed(&error))? };
    let key = key_columns(request.params.get("key"), &kept);
    let rows = table_sort::sort(from, columns, &key, &path(request)?).map_err(|error| match error {
        SortError::Read(error) => read(error),
        SortError::Write(error) => unwritten(error),
        error => RunError::failed(&error),
    })?;
    if rows == 0 { Err(empty()) } else { Ok(counted(rows)) }
}

/// What a person is told of rows that are none.
#[must_use]
pub fn empty(request: &Request, what: &str) -> RunError {
    let empty = TableError::Empty { what: what.to_owned() };
    let read = request.inputs.keys().find_map(|slot| slot.strip_prefix(TABLE_SLOT));
    RunError::refused(&empty).hint(match read {
        Some(table) => format!("look at what it reads: cbi cat {table}"),
        None => "look at what it reads".to_owned(),
    })
}

/// The file that takes the request's table.
fn path(request: &Request) -> Result<PathBuf, RunError> {
    Ok(request.output(ARTIFACT)?.join(table_file::FILE_NAME))
}

/// What a person is told of a table that cannot be written.
fn unwritten(error: TableFileError) -> RunError {
    let near = if let TableFileError::Key { nearest, .. } = &error { Some(nearest.clone()) } else { None };
    let error = TableError::File(error);
    match near {
        Some(Some(near)) => RunError::invalid(&error).hint(format!("did you mean '{near}'?")),
        Some(None) => RunError::invalid(&error).hint("name the columns to sort by: key = [\"…\"]"),
        None => RunError::failed(&error),
    }
}

#[expect(clippy::cast_precision_loss, reason = "fewer rows than a double counts exactly")]
fn counted(rows: usize) -> Response {
    Response { metrics: BTreeMap::from([("rows".to_owned(), rows as f64)]), ..Response::default() }
}

/// The columns by which the rows of the table in `file`, the request's artifact, are sorted first.
///
/// # Errors
/// When the file cannot be read.
pub fn key_of(request: &Request, file: &Path) -> Result<Vec<String>, TableFileError> {
    Ok(key_columns(request.params.get("key"), &*table_file::schema(file)?))
}

fn key_columns(key: Option<&Value>, schema: &Schema) -> Vec<String> {
    let named = key.and_then(Value::as_array).map(|list| list.iter().filter_map(Value::as_str).map(str::to_owned).collect());
    named.unwrap_or_else(|| schema.index_of(DEFAULT_KEY).map(|_| DEFAULT_KEY.to_owned()).into_iter().collect())
}
