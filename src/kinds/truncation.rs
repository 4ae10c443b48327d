//! Owns the test that a query's rows were known on their day: it is run again without the rows that were not. Invariant: it changes no byte of the
//! table; it is made of every query that a frame stands on, and what it finds refuses the frame, not the query.
//!
//! By steps: a row of a warehouse table is known so long after its date as its stanza says; a row that a query made is known on its date if that query
//! passes. So each query is tried by itself, on the rows that it reads.

use std::collections::BTreeMap;
use std::path::PathBuf;

use arrow::array::RecordBatch;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::engine::checks::found::Found;
use crate::engine::duck::quoted;
use crate::engine::sql::{Reader, SqlRunError};
use crate::engine::table_cells::date as date_text;
use crate::engine::table_file;
use crate::engine::truncation::compare::{By, Difference, date_column, dates, differences};
use crate::engine::truncation::days::{Input, days};
use crate::engine::truncation::found::{found, untried};
use crate::kinds::availability::parsed;
use crate::kinds::pinned::WAREHOUSE;
use crate::kinds::query::{self, QueryError};
use crate::kinds::request::{Request, RunError};
use crate::model::available::{Available, Lag};
use crate::model::check::{KNOWN, Report, Severity};
use crate::syntax::duck::translate::translate;
use crate::syntax::sql::read::{Sql, read};

/// What the action needs to know.
#[derive(Debug, Deserialize)]
struct Spec {
    query: String,
    params: Map<String, Value>,
    #[serde(default)]
    engine: Option<String>,
    /// When the rows of the tables that it reads are known; those not listed are known at any time.
    known: BTreeMap<String, Available>,
}

/// A table that is read in part.
struct Part {
    table: String,
    file: PathBuf,
    /// The date of a row, in DuckDB's dialect.
    date: String,
    lag: u32,
}

/// Tries the query of a request whose table was just written to `file`; `None` where no frame stands on it.
///
/// # Errors
/// When the table cannot be read.
pub fn report(request: &Request, file: &std::path::Path, key: &[String]) -> Result<Option<Report>, RunError> {
    if request.params.get("known").is_none() {
        return Ok(None);
    }
    let spec: Spec = request.params()?;
    let built = table_file::read(file).map_err(|error| RunError::failed(&error))?;
    let tables = query::tables(request);
    let found = match subject(&spec, &tables, built) {
        Ok(Ok(built)) => tried(&spec, &tables, &built, key),
        Ok(Err(why)) => Ok(untried(why)),
        Err(error) => Err(error),
    };
    let found = found.unwrap_or_else(|error| untried(format!("it cannot be tried: {error}")));
    Ok(Some(found.report(KNOWN.to_owned(), Severity::Learning)))
}

/// The rows that others are compared with: those built, or, of a query that ran in the warehouse, those that it gives here, for the last bits of sums
/// differ there. Else why none can be.
fn subject(spec: &Spec, tables: &BTreeMap<String, PathBuf>, built: RecordBatch) -> Result<Result<RecordBatch, String>, QueryError> {
    if spec.engine.as_deref() != Some(WAREHOUSE) {
        return Ok(Ok(built));
    }
    let here = query::rows(&spec.query, &spec.params, tables)?;
    let columns = |rows: &RecordBatch| {
        let schema = rows.schema();
        let columns = schema.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type()));
        columns.collect::<Vec<_>>().join(", ")
    };
    let (told, found) = (columns(&built), columns(&here));
    Ok(if told != found {
        Err(format!("run here, where it is tried, it gives the columns {found}, and in the warehouse {told}"))
    } else if here.num_rows() != built.num_rows() {
        Err(format!("run here, where it is tried, it gives {} rows, and in the warehouse {}", here.num_rows(), built.num_rows()))
    } else {
        Ok(here)
    })
}

fn tried(spec: &Spec, tables: &BTreeMap<String, PathBuf>, built: &RecordBatch, key: &[String]) -> Result<Found, QueryError> {
    let sql = read(&spec.query)?;
    let files = query::needed(&sql, tables)?;
    let reader = Reader::open(&files, &sql.words)?;
    let mut parts = Vec::new();
    for (table, available) in &spec.known {
        let Some(file) = files.get(table.as_str()) else { continue };
        match part(table, file.clone(), available)? {
            Ok(Some(part)) => parts.push(part),
            Ok(None) => {}
            Err(why) => return Ok(untried(why)),
        }
    }
    let mut inputs = Vec::with_capacity(parts.len());
    for part in &parts {
        let lag = i32::try_from(part.lag).unwrap_or(i32::MAX);
        inputs.push(Input { dates: reader.days(&part.table, &part.date)?, lag });
    }
    let by = By { date: date_column(&built.schema(), key), key };
    let chosen = days(&days_of(built, by, &inputs), &inputs);
    let mut all = Vec::new();
    for day in &chosen {
        match on(*day, spec, &sql, &reader, &parts) {
            Ok(known) if known.schema() == built.schema() => all.extend(compared(built, &known, by, *day)?),
            Ok(_) => return Ok(untried(format!("on {}, without the rows that came later, it has other columns", date_text(*day)))),
            Err(error) => return Ok(untried(format!("on {}, without the rows that came later, it cannot run: {error}", date_text(*day)))),
        }
    }
    Ok(found(&chosen, &all))
}

/// How a table is read in part: not at all where its rows have no date, or why that cannot be.
fn part(table: &str, file: PathBuf, available: &Available) -> Result<Result<Option<Part>, String>, QueryError> {
    let Lag::Days(lag) = available.after else { return Ok(Ok(None)) };
    let schema = table_file::schema(&file).map_err(SqlRunError::Table)?;
    let date = match &available.dates {
        Some(dates) if schema.field_with_name(&dates.column).is_err() => {
            return Ok(Err(format!("'{table}' has no column '{}'", dates.column)));
        }
        Some(dates) => format!("({})", translate(&read(&format!("SELECT {}", parsed(dates)))?.query, &Map::new())?),
        None => match date_column(&schema, &available.key) {
            Some(column) => format!("CAST({} AS DATE)", quoted(column)),
            // A query's rows without a date were tried as a whole; a table's rows cannot be.
            None if available.made => return Ok(Ok(None)),
            None => {
                return Ok(Err(format!("'{table}' says 'available_after', and no column of its key holds dates: its 'dates' may be text")));
            }
        },
    };
    Ok(Ok(Some(Part { table: table.to_owned(), file, date, lag })))
}

/// The dates among which days to try are chosen: those of the rows built, else those on which something became known.
fn days_of(built: &RecordBatch, by: By, inputs: &[Input]) -> Vec<i32> {
    let mut all: Vec<i32> = match by.date {
        Some(date) => dates(built, date).into_iter().flatten().collect(),
        None => inputs.iter().flat_map(|input| input.dates.iter().map(|date| date.saturating_add(input.lag))).collect(),
    };
    all.sort_unstable();
    all.dedup();
    all
}

/// The query's rows made from what was known on a day.
fn on(day: i32, spec: &Spec, sql: &Sql, reader: &Reader, parts: &[Part]) -> Result<RecordBatch, QueryError> {
    let day = date_text(day);
    for part in parts {
        // The last date whose row is known is the day less the lag: so the date stands alone, and a file's row groups can be passed over.
        let condition = format!("{} <= DATE '{day}' - {}", part.date, part.lag);
        reader.cut(&part.table, &part.file, &condition)?;
    }
    let mut params = spec.params.clone();
    if let Some(Value::String(as_of)) = params.get("as_of")
        && *as_of > day
    {
        params.insert("as_of".to_owned(), json!(day));
    }
    Ok(reader.rows(&translate(&sql.query, &params)?)?)
}

fn compared(built: &RecordBatch, known: &RecordBatch, by: By, day: i32) -> Result<Vec<Difference>, QueryError> {
    Ok(differences(built, known, by, day)?)
}
