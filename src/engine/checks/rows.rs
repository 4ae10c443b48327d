//! Owns the checks that look at one row at a time. Invariant: a missing value breaks `not_null` and no other of them.

use arrow::datatypes::DataType;
use serde_json::Value;

use crate::engine::checks::error::CheckError;
use crate::engine::checks::found::{Found, counted, plain};
use crate::engine::checks::spec::is_date;
use crate::engine::checks::subject::{ROW, Subject, TABLE};
use crate::engine::duck::{quoted, text};
use crate::engine::table_types::name;

/// Every row has a value in each of these columns.
///
/// # Errors
/// When there is no such column.
pub fn not_null(table: &Subject, columns: &[String]) -> Result<Found, CheckError> {
    let columns = table.matching(columns)?;
    let missing: Vec<String> = columns.iter().map(|c| Ok(format!("({}) IS NULL", table.value(c)?))).collect::<Result<_, CheckError>>()?;
    let names: Vec<&str> = columns.iter().map(String::as_str).collect();
    let bad = table.bad_rows(TABLE, &missing.join(" OR "), &names, "")?;
    let mut each = Vec::new();
    for (column, missing) in columns.iter().zip(&missing).filter(|_| bad.count > 0) {
        let count = table.count("count(*)", &format!("{TABLE} WHERE {missing}"))?;
        if count > 0 {
            each.push(format!("{column} {count}"));
        }
    }
    table.told(bad, "no value is missing", &format!("without a value ({})", each.join(", ")))
}

/// A limit as an expression.
fn limit(table: &Subject, column: &str, kind: &DataType, limit: &Value) -> Result<String, CheckError> {
    let wrong = |wanted| CheckError::Type { column: column.to_owned(), found: name(kind), wanted };
    match limit {
        Value::Number(number) if matches!(kind, DataType::Int64 | DataType::Float64 | DataType::Decimal128(..)) => Ok(number.to_string()),
        Value::String(date) if is_date(date) => match kind {
            DataType::Date32 | DataType::Timestamp(..) => Ok(format!("DATE {}", text(date))),
            _ => Err(wrong("a date")),
        },
        Value::String(other) => table.value(other).map(|value| format!("({value})")),
        _ => Err(wrong("a number")),
    }
}

/// A column's values lie between two limits.
///
/// # Errors
/// When a column is not there, or a limit is none for its type.
pub fn range(table: &Subject, column: &str, min: Option<&Value>, max: Option<&Value>) -> Result<Found, CheckError> {
    let kind = table.column(column)?.clone();
    let value = match kind {
        // Compared with dates, a moment is its day.
        DataType::Timestamp(..) if [min, max].into_iter().flatten().all(|l| l.as_str().is_some_and(is_date)) => table.date(column)?,
        _ => format!("({})", table.value(column)?),
    };
    let mut broken = Vec::new();
    let mut distance = Vec::new();
    let mut shown = vec![column];
    for (given, sign) in [(min, "<"), (max, ">")] {
        let Some(given) = given else { continue };
        let limit = limit(table, column, &kind, given)?;
        broken.push(format!("coalesce({value} {sign} {limit}, false)"));
        distance.push(if sign == "<" { format!("{limit} - {value}") } else { format!("{value} - {limit}") });
        shown.extend(given.as_str().filter(|text| !is_date(text)));
    }
    let numbers = matches!(kind, DataType::Int64 | DataType::Float64 | DataType::Decimal128(..));
    let worst = if numbers { format!("greatest({}) DESC", distance.join(", ")) } else { String::new() };
    let bad = table.bad_rows(TABLE, &broken.join(" OR "), &shown, &worst)?;
    let outside = match (min, max) {
        (Some(min), Some(max)) => format!("outside {} to {}", plain(min), plain(max)),
        (min, max) => format!("{} {}", if min.is_some() { "below" } else { "above" }, min.or(max).map(plain).unwrap_or_default()),
    };
    let say = format!("with {column} {outside}");
    table.told(bad, format!("every {column} lies within its limits"), &say)
}

/// A column holds these values only.
///
/// # Errors
/// When there is no such column.
pub fn accepted(table: &Subject, column: &str, values: &[Value]) -> Result<Found, CheckError> {
    let kind = table.column(column)?;
    let numbers = matches!(kind, DataType::Int64 | DataType::Float64 | DataType::Decimal128(..));
    if let Some(odd) = values.iter().find(|value| value.is_number() != numbers) {
        let wanted = if odd.is_number() { "a number" } else { "a text" };
        return Err(CheckError::Type { column: column.to_owned(), found: name(kind), wanted });
    }
    let value = table.value(column)?;
    let (value, list): (String, Vec<String>) = match numbers {
        true => (value, values.iter().map(Value::to_string).collect()),
        false => (format!("CAST({value} AS VARCHAR)"), values.iter().map(|value| text(&plain(value))).collect()),
    };
    let broken = format!("coalesce(({value}) NOT IN ({}), false)", list.join(", "));
    let bad = table.bad_rows(TABLE, &broken, &[column], "")?;
    let column = quoted(column);
    let odd = format!("SELECT CAST({column} AS VARCHAR), count(*) FROM {TABLE} WHERE {broken} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 5");
    let odd = table.shown(&odd)?.rows;
    let odd: Vec<String> = odd.iter().map(|row| row.iter().map(plain).collect::<Vec<_>>().join(" × ")).collect();
    table.told(bad, "no other value", &format!("with another value ({})", odd.join(", ")))
}

/// A column never decreases.
///
/// # Errors
/// When there is no such column.
pub fn monotonic(table: &Subject, column: &str) -> Result<Found, CheckError> {
    let value = table.value(column)?;
    let before = format!("last_value({value} IGNORE NULLS) OVER (ORDER BY {ROW} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)");
    let from = format!("(SELECT *, {before} AS \"#before\" FROM {TABLE})");
    let bad = table.bad_rows(&from, &format!("coalesce(({value}) < \"#before\", false)"), &[column], "")?;
    let rows = counted(table.row_count()?, "row");
    table.told(bad, format!("{column} never decreases in {rows}"), &format!("with {column} below the one before"))
}
