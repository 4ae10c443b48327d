//! Owns the checks that compare a table with another. Invariant: whatever they find names both.

use std::collections::BTreeMap;

use arrow::datatypes::DataType;

use crate::base::name::nearest;
use crate::engine::checks::error::CheckError;
use crate::engine::checks::found::{Found, SHOWN, Shown, counted, plain};
use crate::engine::checks::spec::Other;
use crate::engine::checks::subject::{Subject, TABLE, value};
use crate::engine::duck::{quoted, quoted_table};
use crate::engine::table_types::name;

/// The other table's column as an expression, and its type.
fn other_column<'a>(columns: &'a BTreeMap<String, DataType>, table: &str, column: &str) -> Result<(String, &'a DataType), CheckError> {
    let kind = columns.get(column).ok_or_else(|| CheckError::Column {
        column: column.to_owned(),
        table: format!("'{table}'"),
        nearest: nearest(column, columns.keys().map(String::as_str)).map(str::to_owned),
    })?;
    Ok((value(&format!("b.{}", quoted(column)), kind), kind))
}

fn is_number(kind: &DataType) -> bool {
    matches!(kind, DataType::Int64 | DataType::Float64 | DataType::Decimal128(..))
}

/// The same class of type on both sides, or the comparison would mean nothing.
fn comparable(column: &str, this: &DataType, other: &DataType) -> Result<(), CheckError> {
    let class = |kind: &DataType| match kind {
        DataType::Date32 | DataType::Timestamp(..) => "a date",
        kind if is_number(kind) => "a number",
        DataType::Utf8 => "a text",
        _ => "the same type as the other's",
    };
    if class(this) == class(other) && (class(this) != "the same type as the other's" || this == other) {
        return Ok(());
    }
    Err(CheckError::Type { column: column.to_owned(), found: name(this), wanted: class(other) })
}

/// Another table says the same.
///
/// # Errors
/// When a column is not there, or two cannot be compared.
pub fn agrees(table: &Subject, other: &Other) -> Result<Found, CheckError> {
    let columns = table.other(&other.table)?;
    let theirs = other.other.as_deref().unwrap_or(&other.column);
    let (b, kind) = other_column(&columns, &other.table, theirs)?;
    let own = table.column(&other.column)?;
    comparable(&other.column, own, kind)?;
    let a = value(&format!("a.{}", quoted(&other.column)), own);
    let mut on = Vec::new();
    let mut keys = Vec::new();
    for (this, that) in other.on.pairs() {
        let (that, kind) = other_column(&columns, &other.table, that)?;
        comparable(this, table.column(this)?, kind)?;
        on.push(format!("a.{} = {that}", quoted(this)));
        let own = quoted(this);
        let either = if other.complete { format!("coalesce(a.{own}, {that})") } else { format!("a.{own}") };
        keys.push(format!("{either} AS {own}"));
    }
    let join = if other.complete { "FULL JOIN" } else { "JOIN" };
    let apart = if is_number(own) { format!("abs(({a}) - ({b}))") } else { format!("CASE WHEN ({a}) <> ({b}) THEN 1 ELSE 0 END") };
    let select = format!("SELECT {}, ({a}) AS \"#this\", ({b}) AS \"#other\", {apart} AS \"#apart\"", keys.join(", "));
    let pairs = format!("({select} FROM {TABLE} AS a {join} {} AS b ON {})", quoted_table(&other.table), on.join(" AND "));
    let missing = if other.complete { "(\"#this\" IS NULL) <> (\"#other\" IS NULL)" } else { "false" };
    let broken = format!("{pairs} WHERE \"#apart\" > {} OR {missing}", other.tolerance);
    let compared = table.count("count(*)", &format!("{pairs} WHERE \"#this\" IS NOT NULL AND \"#other\" IS NOT NULL"))?;
    let bad = table.count("count(*)", &broken)?;
    if bad == 0 && compared == 0 {
        let what = format!("'{}' and this table have no row in common", other.table);
        return Ok(Found::bad(1, what, Shown::default()));
    }
    if bad == 0 {
        return Ok(Found::nothing(format!("{} as in '{}'", counted(compared, "row"), other.table)));
    }
    let keys = other.on.pairs().iter().map(|(this, _)| quoted(this)).collect::<Vec<_>>().join(", ");
    let columns = format!("{keys}, \"#this\" AS {}, \"#other\" AS {}", quoted(&other.column), quoted(&format!("{}.{theirs}", other.table)));
    let shown = table.shown(&format!("SELECT {columns} FROM {broken} ORDER BY \"#apart\" DESC NULLS LAST, {keys} LIMIT {SHOWN}"))?;
    let what = format!("{} not as in '{}' ({compared} compared); the worst: {}", counted(bad, "row"), other.table, shown.line(0));
    Ok(Found::bad(bad, what, shown))
}

/// Every value stands in another table.
///
/// # Errors
/// When a column is not there, or two cannot be compared.
pub fn references(table: &Subject, column: &str, other: &str, theirs: &str) -> Result<Found, CheckError> {
    let columns = table.other(other)?;
    let (b, kind) = other_column(&columns, other, theirs)?;
    comparable(column, table.column(column)?, kind)?;
    let own = table.value(column)?;
    let broken = format!("({own}) IS NOT NULL AND ({own}) NOT IN (SELECT {b} FROM {} AS b WHERE ({b}) IS NOT NULL)", quoted_table(other));
    let bad = table.bad_rows(TABLE, &broken, &[column], "")?;
    let quoted = quoted(column);
    let odd = table.shown(&format!("SELECT {quoted}, count(*) FROM {TABLE} WHERE {broken} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 5"))?.rows;
    let odd: Vec<String> = odd.iter().map(|row| row.iter().map(plain).collect::<Vec<_>>().join(" × ")).collect();
    let say = format!("with a {column} that '{other}' does not have ({})", odd.join(", "));
    table.told(bad, format!("'{other}' has every {column}"), &say)
}
