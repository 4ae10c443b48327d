//! Owns what a check found, before it has a severity. Invariant: `bad` counts everything that breaks the rule, `rows` shows at most ten of it.

use arrow::array::RecordBatch;
use serde_json::Value;

use crate::engine::checks::error::CheckError;
use crate::engine::table_cells::cell;
use crate::engine::table_types::canonical;
use crate::model::check::{Age, Report, Severity, Verdict};

/// How many rows a report shows.
pub const SHOWN: usize = 10;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Found {
    /// What breaks the rule, counted.
    pub bad: u64,
    /// The finding in a sentence.
    pub what: String,
    /// How old the table is, where that decides.
    pub age: Option<Age>,
    /// The worst rows.
    pub shown: Shown,
}

/// Rows under their columns' names.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Shown {
    /// The columns.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<Value>>,
}

impl Found {
    /// Nothing that breaks the rule.
    #[must_use]
    pub fn nothing(what: impl Into<String>) -> Self {
        Self { what: what.into(), ..Self::default() }
    }

    /// Something that does.
    #[must_use]
    pub fn bad(bad: u64, what: impl Into<String>, shown: Shown) -> Self {
        Self { bad, what: what.into(), age: None, shown }
    }

    /// The rows that a query returned and should not have.
    ///
    /// # Errors
    /// When a column's type cannot be shown.
    pub fn of_query(rows: &RecordBatch) -> Result<Self, CheckError> {
        let count = rows.num_rows() as u64;
        if count == 0 {
            return Ok(Self::nothing("the query returns no rows"));
        }
        let shown = Shown::of(&rows.slice(0, rows.num_rows().min(SHOWN)))?;
        let first = shown.line(0);
        Ok(Self::bad(count, format!("the query returns {}, the first: {first}", counted(count, "row")), shown))
    }

    /// The finding as a report.
    #[must_use]
    pub fn report(self, check: String, severity: Severity) -> Report {
        let passed = self.bad == 0;
        let verdict = Verdict { check, severity, passed, bad: self.bad, what: self.what, age: self.age };
        Report { verdict, columns: self.shown.columns, rows: self.shown.rows }
    }
}

impl Shown {
    /// All rows of a result.
    ///
    /// # Errors
    /// When a column's type cannot be shown.
    pub fn of(rows: &RecordBatch) -> Result<Self, CheckError> {
        let rows = canonical(rows)?;
        let columns = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
        let row = |row: usize| rows.columns().iter().map(|column| cell(column, row)).collect();
        Ok(Self { columns, rows: (0..rows.num_rows()).map(row).collect() })
    }

    /// A row as `date 2025-10-14, price 33.64`.
    #[must_use]
    pub fn line(&self, row: usize) -> String {
        let cells = self.rows.get(row).into_iter().flatten();
        self.columns.iter().zip(cells).map(|(name, value)| format!("{name} {}", plain(value))).collect::<Vec<_>>().join(", ")
    }
}

/// A value without quotes.
#[must_use]
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "nothing".to_owned(),
        other => other.to_string(),
    }
}

/// `1 row`, `24 rows`.
#[must_use]
pub fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
