//! Owns the table under check: its rows in their order, and the questions that every check asks. Invariant: row numbers count from 1 in the order of
//! the table's file, which is the order of its key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int64Type};

use crate::base::name::nearest;
use crate::engine::checks::error::CheckError;
use crate::engine::checks::found::{Found, SHOWN, Shown, counted, plain};
use crate::engine::checks::spec::is_pattern;
use crate::engine::duck::{Duck, quoted};
use crate::engine::table_file;
use crate::engine::table_types::name;

/// The checked table's name inside the engine; no BigQuery table can be called so.
pub const TABLE: &str = "\"#\"";

/// The number of a row.
pub const ROW: &str = "\"#row\"";

/// A table and the tables its checks compare it with.
pub struct Subject {
    duck: Duck,
    columns: Vec<(String, DataType)>,
    /// The columns that its rows are sorted by.
    key: Vec<String>,
    others: BTreeMap<String, PathBuf>,
}

/// How many rows break a rule, and which.
pub struct Bad {
    /// Their number.
    pub count: u64,
    /// The first and the last of them: `row 1449 (date 2025-10-14) to row 1472 (date 2025-11-06)`.
    pub range: String,
    /// The worst of them, or the first where none is worse than another.
    pub shown: Shown,
    /// What the first row shown is: `worst` or `first`.
    which: &'static str,
}

impl Subject {
    /// The table in `file`, sorted by `key`; `others` are Parquet files by `dataset.table`.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn open(file: &Path, key: Vec<String>, others: BTreeMap<String, PathBuf>) -> Result<Self, CheckError> {
        let duck = Duck::open()?;
        let columns = table_file::schema(file)?.fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect();
        duck.table("given.table", file)?;
        duck.execute(&format!("CREATE TABLE {TABLE} AS SELECT row_number() OVER () AS {ROW}, * FROM given.table"))?;
        Ok(Self { duck, columns, key, others })
    }

    /// The type of a column.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn column(&self, column: &str) -> Result<&DataType, CheckError> {
        let found = self.columns.iter().find(|(name, _)| name == column).map(|(_, kind)| kind);
        found.ok_or_else(|| CheckError::Column {
            column: column.to_owned(),
            table: "the table".to_owned(),
            nearest: nearest(column, self.columns.iter().map(|(name, _)| name.as_str())).map(str::to_owned),
        })
    }

    /// The columns that these names and patterns stand for, each once, in the order of the table for each pattern.
    ///
    /// # Errors
    /// When there is none.
    pub fn matching(&self, names: &[String]) -> Result<Vec<String>, CheckError> {
        let mut found: Vec<String> = Vec::new();
        for wanted in names {
            let start = wanted.trim_end_matches('*');
            let all: Vec<&String> = match is_pattern(wanted) {
                true => self.columns.iter().map(|(name, _)| name).filter(|name| name.starts_with(start)).collect(),
                false => self.column(wanted).map(|_| vec![wanted])?,
            };
            if all.is_empty() {
                return Err(CheckError::Pattern { pattern: wanted.clone() });
            }
            for column in all {
                if !found.contains(column) {
                    found.push(column.clone());
                }
            }
        }
        Ok(found)
    }

    /// All columns.
    pub fn names(&self) -> Vec<String> {
        self.columns.iter().map(|(name, _)| name.clone()).collect()
    }

    /// A column of moments as an expression of type DATE.
    ///
    /// # Errors
    /// When it holds none.
    pub fn date(&self, column: &str) -> Result<String, CheckError> {
        match self.column(column)? {
            DataType::Date32 | DataType::Timestamp(..) => Ok(format!("CAST({} AS DATE)", quoted(column))),
            other => Err(CheckError::Type { column: column.to_owned(), found: name(other), wanted: "a date" }),
        }
    }

    /// A column as an expression in which a missing value is NULL, whether it was NULL or NaN.
    ///
    /// # Errors
    /// When there is no such column.
    pub fn value(&self, column: &str) -> Result<String, CheckError> {
        Ok(value(&quoted(column), self.column(column)?))
    }

    /// The file of another table, made readable under its name.
    ///
    /// # Errors
    /// When it was not given, or cannot be read.
    pub fn other(&self, table: &str) -> Result<BTreeMap<String, DataType>, CheckError> {
        let file = self.others.get(table).ok_or_else(|| CheckError::Table { table: table.to_owned() })?;
        let schema = table_file::schema(file)?;
        self.duck.table(table, file)?;
        Ok(schema.fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect())
    }

    /// The rows of a query.
    ///
    /// # Errors
    /// When it cannot run.
    pub fn shown(&self, sql: &str) -> Result<Shown, CheckError> {
        Shown::of(&self.duck.rows(sql)?)
    }

    /// The one whole number that a query gives.
    ///
    /// # Errors
    /// When it cannot run.
    pub fn count(&self, number: &str, from: &str) -> Result<u64, CheckError> {
        let rows = self.duck.rows(&format!("SELECT CAST({number} AS BIGINT) FROM {from}"))?;
        Ok(rows.column(0).as_primitive::<Int64Type>().iter().flatten().next().map_or(0, |n| u64::try_from(n).unwrap_or(0)))
    }

    /// The rows of `from` for which `bad` is true; `from` holds the table's columns and the row number. Shown are the key and `columns`, those
    /// rows first that `worst` (an ORDER BY list, or nothing) puts first.
    ///
    /// # Errors
    /// When the engine refuses.
    pub fn bad_rows(&self, from: &str, bad: &str, columns: &[&str], worst: &str) -> Result<Bad, CheckError> {
        let count = self.count("count(*)", &format!("{from} WHERE {bad}"))?;
        if count == 0 {
            return Ok(Bad { count, range: String::new(), shown: Shown::default(), which: "" });
        }
        let mut list: Vec<&str> = Vec::new();
        for column in self.key.iter().map(String::as_str).chain(columns.iter().copied()) {
            if !list.contains(&column) {
                list.push(column);
            }
        }
        let list = list.into_iter().map(quoted).collect::<Vec<_>>().join(", ");
        let list = if list.is_empty() { list } else { format!(", {list}") };
        let (which, worst) = if worst.is_empty() { ("first", String::new()) } else { ("worst", format!("{worst}, ")) };
        let select = format!("SELECT {ROW} AS \"row\"{list} FROM {from} WHERE {bad} ORDER BY");
        let shown = self.shown(&format!("{select} {worst}{ROW} LIMIT {SHOWN}"))?;
        let range = self.range(from, bad)?;
        Ok(Bad { count, range, shown, which })
    }

    /// From the first to the last row for which `bad` is true.
    fn range(&self, from: &str, bad: &str) -> Result<String, CheckError> {
        let key = self.key.first().map(|key| format!(", {}", quoted(key))).unwrap_or_default();
        let end = |order: &str| self.shown(&format!("SELECT {ROW} AS \"row\"{key} FROM {from} WHERE {bad} ORDER BY {ROW} {order} LIMIT 1"));
        let text = |end: &Shown| match end.rows.first().map(Vec::as_slice) {
            Some([row, key]) => format!("row {} ({} {})", plain(row), end.columns[1], plain(key)),
            Some([row]) => format!("row {}", plain(row)),
            _ => String::new(),
        };
        let (first, last) = (text(&end("ASC")?), text(&end("DESC")?));
        Ok(if first == last { first } else { format!("{first} to {last}") })
    }

    /// How many rows the table has.
    ///
    /// # Errors
    /// When the engine refuses.
    pub fn row_count(&self) -> Result<u64, CheckError> {
        self.count("count(*)", TABLE)
    }

    /// The finding about rows: `nothing` if there are none, else `24 of 1472 rows say, from … to …; the worst: …`.
    ///
    /// # Errors
    /// When the engine refuses.
    pub fn told(&self, bad: Bad, nothing: impl Into<String>, say: &str) -> Result<Found, CheckError> {
        if bad.count == 0 {
            return Ok(Found::nothing(nothing));
        }
        let first = bad.shown.line(0);
        let rows = counted(self.row_count()?, "row");
        let what = if bad.count == 1 {
            format!("1 of {rows} {say}: {first}")
        } else {
            format!("{} of {rows} {say}, {}; the {}: {first}", bad.count, bad.range, bad.which)
        };
        Ok(Found::bad(bad.count, what, bad.shown))
    }
}

/// An expression of this type in which NaN is NULL.
#[must_use]
pub fn value(expression: &str, kind: &DataType) -> String {
    match kind {
        DataType::Float64 | DataType::Float32 => format!("CASE WHEN isnan({expression}) THEN NULL ELSE {expression} END"),
        _ => expression.to_owned(),
    }
}
