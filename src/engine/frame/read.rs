//! Owns how tables become the columns of a frame. Invariant: a missing value is NaN from here on and is never filled.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use chrono::NaiveDate;

use crate::engine::frame::columns::select;
use crate::engine::frame::error::FrameError;
use crate::engine::frame::labels::PriceSeries;
use crate::engine::frame::spec::FrameSpec;
use crate::engine::table_columns::{self as table, ColumnError};

const PRICES: &str = "the price table";
const FEATURES: &str = "the feature table";
const WEIGHTS: &str = "the table of weights";

/// The chosen columns of the feature table, and after them those of the tables joined to its rows.
#[derive(Debug, Clone)]
pub struct Features {
    /// The chosen columns, in the order of the frame.
    pub names: Vec<String>,
    /// Their values, NaN where missing: one list a column, one value a row of the table.
    pub columns: Vec<Vec<f64>>,
    /// Where each date's row is.
    pub row_of: BTreeMap<NaiveDate, usize>,
    /// The tables joined to these rows, in the order of the spec.
    pub joined: Vec<JoinedRows>,
}

/// What was joined of one table.
#[derive(Debug, Clone)]
pub struct JoinedRows {
    /// The table.
    pub table: String,
    /// The features that come from it.
    pub names: Vec<String>,
    /// For each row of the feature table the age in days of what was joined to it.
    pub ages: Vec<Option<i64>>,
}

impl Features {
    /// The table that a feature comes from, in words.
    #[must_use]
    pub fn source_of(&self, name: &String) -> Option<String> {
        let joined = self.joined.iter().find(|joined| joined.names.contains(name));
        let joined = joined.map(|joined| format!("'{}'", joined.table));
        joined.or_else(|| self.names.contains(name).then(|| FEATURES.to_owned()))
    }
}

/// The price series of the price table.
///
/// # Errors
/// When a column is missing or has another type, or the prices are no series.
pub fn prices(table: &RecordBatch, spec: &FrameSpec) -> Result<PriceSeries, FrameError> {
    let column = &spec.price.column;
    let values = numbers(table, std::slice::from_ref(column), PRICES)?.into_iter().flatten();
    let dates = dates(table, &spec.price_date, PRICES)?;
    PriceSeries::new(dates.into_iter().zip(values), column)
}

/// The columns of the feature table that the frame asks for.
///
/// # Errors
/// When a column is missing or has another type, or dates are missing or doubled.
pub fn features(table: &RecordBatch, spec: &FrameSpec) -> Result<Features, FrameError> {
    let skip: Vec<&str> = std::iter::once(spec.date.as_str()).chain(spec.weight.as_ref().map(|of| of.column.as_str())).collect();
    let names = select(&spec.columns, &table::names(table), &skip, FEATURES)?;
    let row_of = rows_by_date(dates(table, &spec.date, FEATURES)?, FEATURES)?;
    let columns = numbers(table, &names, FEATURES)?;
    Ok(Features { names, columns, row_of, joined: Vec::new() })
}

/// The weight of each date in the table of weights, NaN where it has none.
///
/// # Errors
/// When a column is missing or has another type, or dates are missing or doubled.
pub fn weights(table: &RecordBatch, spec: &FrameSpec) -> Result<BTreeMap<NaiveDate, f64>, FrameError> {
    let columns: Vec<String> = spec.weight.iter().map(|of| of.column.clone()).collect();
    let values: Vec<f64> = numbers(table, &columns, WEIGHTS)?.into_iter().flatten().collect();
    let row_of = rows_by_date(dates(table, &spec.weight_date, WEIGHTS)?, WEIGHTS)?;
    Ok(row_of.into_iter().map(|(date, row)| (date, values[row])).collect())
}

/// Where the row of each date is.
///
/// # Errors
/// When a date has two.
pub fn rows_by_date(dates: Vec<NaiveDate>, input: &str) -> Result<BTreeMap<NaiveDate, usize>, FrameError> {
    let mut row_of = BTreeMap::new();
    let mut twice = Vec::new();
    for (row, date) in dates.into_iter().enumerate() {
        if row_of.insert(date, row).is_some() {
            twice.push(date);
        }
    }
    twice.sort_unstable();
    twice.dedup();
    if twice.is_empty() { Ok(row_of) } else { Err(FrameError::DuplicateDates { input: input.to_owned(), dates: twice }) }
}

/// A column of dates without gaps.
///
/// # Errors
/// When it is missing, has another type or lacks a date.
pub fn dates(rows: &RecordBatch, column: &str, input: &str) -> Result<Vec<NaiveDate>, FrameError> {
    let days = table::dates(rows, column).map_err(|error| match error {
        ColumnError::Type { column, found, .. } => FrameError::NotDates { input: input.to_owned(), column, found },
        ColumnError::Missing { column, nearest } => FrameError::UnknownColumn { input: input.to_owned(), column, nearest },
    })?;
    let missing = days.iter().filter(|day| day.is_none()).count();
    if missing > 0 {
        return Err(FrameError::NoDate { input: input.to_owned(), rows: missing });
    }
    let date = |day| NaiveDate::from_epoch_days(day).ok_or_else(|| FrameError::BadDate { text: format!("day {day} after 1970-01-01") });
    days.into_iter().flatten().map(date).collect()
}

/// Columns of numbers, NaN where missing; those that hold none are refused together.
///
/// # Errors
/// When one is missing or holds no numbers.
pub fn numbers(rows: &RecordBatch, columns: &[String], input: &str) -> Result<Vec<Vec<f64>>, FrameError> {
    let (mut found, mut refused) = (Vec::with_capacity(columns.len()), Vec::new());
    for column in columns {
        match table::floats(rows, column) {
            Ok(values) => found.push(values.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect()),
            Err(ColumnError::Type { column, found, .. }) => refused.push((column, found)),
            Err(ColumnError::Missing { column, nearest }) => {
                return Err(FrameError::UnknownColumn { input: input.to_owned(), column, nearest });
            }
        }
    }
    if refused.is_empty() { Ok(found) } else { Err(FrameError::NotNumbers { input: input.to_owned(), columns: refused }) }
}
