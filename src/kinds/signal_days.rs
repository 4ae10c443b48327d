//! Owns the figures of a day that rules are read from: those of its forecast and those of its row of features. Invariant: a day of the past has the
//! intervals that could have been known then, and a figure that is missing is `null`.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use chrono::NaiveDate;
use serde_json::{Value, json};

use crate::engine::conformal::{self, Scale};
use crate::engine::past_forecasts::{PastError, Prediction};
use crate::engine::table_cells;
use crate::engine::table_columns::{self, ColumnError};
use crate::engine::table_file::{self, TableFileError};
use crate::io::fs::FsError;
use crate::kinds::request::RunError;
use crate::kinds::signal_rules::{RuleError, Rules, Said};

/// Why there are no signals.
#[derive(Debug, thiserror::Error)]
pub enum SignalError {
    /// A rule means nothing, or not on some day.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// The forecasts cannot be used.
    #[error("the forecasts: {0}")]
    Forecasts(ColumnError),
    /// A forecast lacks its date, price or level.
    #[error("the forecasts: row {row} lacks a date, a price or a level")]
    Hole {
        /// The row, counted from 1.
        row: usize,
    },
    /// The table of features cannot be used.
    #[error("the features: {0}")]
    Features(ColumnError),
    /// A day has two rows of features.
    #[error("the features: {date} stands there twice")]
    Twice {
        /// The day.
        date: NaiveDate,
    },
    /// The backtest cannot be read.
    #[error(transparent)]
    Backtest(#[from] PastError),
    /// Every day of the backtest lacks a figure that the rules read.
    #[error("the rules decide no day of the backtest: each lacks a figure that they read")]
    NeverDecided,
    /// A table cannot be made.
    #[error(transparent)]
    Columns(#[from] ArrowError),
    /// A table cannot be read or written.
    #[error(transparent)]
    Table(#[from] TableFileError),
    /// What is told of the trial cannot be written.
    #[error("trial.json: {0}")]
    Json(#[from] serde_json::Error),
    /// A file cannot be written.
    #[error(transparent)]
    Io(#[from] FsError),
}

impl SignalError {
    /// As the action's failure: what the rules cannot read is the recipe's mistake.
    #[must_use]
    pub fn as_failure(&self) -> RunError {
        match self {
            Self::Rule(RuleError::Unknown { nearest: Some(name), .. })
            | Self::Features(ColumnError::Missing { nearest: Some(name), .. }) => {
                RunError::invalid(self).hint(format!("did you mean '{name}'?"))
            }
            Self::Backtest(PastError::Question(_)) => RunError::invalid(self).hint("name a backtest of the forecast's frame"),
            Self::Rule(_) | Self::Features(_) | Self::Forecasts(_) => RunError::invalid(self),
            Self::Hole { .. } | Self::Twice { .. } | Self::NeverDecided => RunError::refused(self),
            _ => RunError::failed(self),
        }
    }
}

/// A day's forecast.
#[derive(Debug, Clone, PartialEq)]
pub struct Day {
    /// The day.
    pub date: NaiveDate,
    /// When it comes due.
    pub target_date: NaiveDate,
    /// How far ahead that is, in words.
    pub horizon: String,
    /// Whether it is the newest complete one.
    pub newest: bool,
    /// Whether it was made from all that the model reads.
    pub complete: bool,
    /// The price known on the day.
    pub price: f64,
    /// The price that is forecast.
    pub predicted: f64,
    /// The ends of the intervals, lower and upper, of 80 % and of 95 %.
    pub intervals: [Option<f64>; 4],
}

impl Day {
    /// The expected change as a share of the price; a price at or below zero has none.
    #[must_use]
    pub fn change(&self) -> Option<f64> {
        (self.price > 0.0).then(|| self.predicted / self.price - 1.0)
    }

    fn figures(&self) -> BTreeMap<String, Value> {
        let [lower_80, upper_80, lower_95, upper_95] = self.intervals.map(|end| json!(end));
        let figures = [
            ("date", json!(self.date.to_string())),
            ("price", json!(self.price)),
            ("predicted", json!(self.predicted)),
            ("change", json!(self.change())),
            ("lower_80", lower_80),
            ("upper_80", upper_80),
            ("lower_95", lower_95),
            ("upper_95", upper_95),
        ];
        figures.map(|(name, value)| (name.to_owned(), value)).into()
    }
}

/// The forecasts in a `forecast` target's folder.
///
/// # Errors
/// When they cannot be read, or one lacks its date, price or level.
pub fn forecasts(folder: &Path) -> Result<Vec<Day>, SignalError> {
    let rows = table_file::read(&folder.join(table_file::FILE_NAME))?;
    let dates = |name| table_columns::dates(&rows, name).map_err(SignalError::Forecasts);
    let floats = |name| table_columns::floats(&rows, name).map_err(SignalError::Forecasts);
    let (made, due, price, predicted) = (dates("date")?, dates("target_date")?, floats("price")?, floats("predicted")?);
    let horizons = table_columns::strings(&rows, "horizon").map_err(SignalError::Forecasts)?;
    let (newest, complete) = (floats("newest")?, floats("complete")?);
    let ends = [floats("lower_80")?, floats("upper_80")?, floats("lower_95")?, floats("upper_95")?];
    let day = |value: Option<i32>| value.and_then(NaiveDate::from_epoch_days);
    let one = |at: usize| {
        Some(Day {
            date: day(made[at])?,
            target_date: day(due[at])?,
            horizon: horizons[at]?.to_owned(),
            newest: newest[at].is_some_and(|flag| flag > 0.0),
            complete: complete[at].is_some_and(|flag| flag > 0.0),
            price: price[at]?,
            predicted: predicted[at]?,
            intervals: [0, 1, 2, 3].map(|end| ends[end][at]),
        })
    };
    (0..rows.num_rows()).map(|at| one(at).ok_or(SignalError::Hole { row: at + 1 })).collect()
}

/// The days of a backtest, in the order of its forecasts, each with intervals from errors whose outcome was known on it.
#[must_use]
pub fn past(predictions: &[Prediction]) -> Vec<Day> {
    let scale = Scale::of(predictions, &[]);
    let reaches = conformal::looking_back(predictions, scale);
    let day = |(prediction, reaches): (&Prediction, [Option<f64>; 2])| {
        let [narrow, wide] = reaches.map(|reach| reach.map(|reach| scale.around(prediction.predicted, reach)));
        let Prediction { row, predicted } = *prediction;
        Day {
            date: row.date,
            target_date: row.outcome_date,
            horizon: String::new(),
            newest: false,
            complete: true,
            price: row.price,
            predicted,
            intervals: [narrow.map(|i| i.low), narrow.map(|i| i.high), wide.map(|i| i.low), wide.map(|i| i.high)],
        }
    };
    predictions.iter().zip(reaches).map(day).collect()
}

/// The columns of a table of features that the rules read, by day.
#[derive(Debug)]
pub struct Features {
    names: Vec<String>,
    days: BTreeMap<NaiveDate, Vec<Value>>,
}

/// Reads those columns.
///
/// # Errors
/// When the table has no such column, or a day twice.
pub fn features(folder: &Path, date: &str, rules: &Rules) -> Result<Features, SignalError> {
    let rows = table_file::read(&folder.join(table_file::FILE_NAME))?;
    rules.know(Some(&table_columns::names(&rows)))?;
    let names: Vec<String> = rules.columns().into_iter().map(ToOwned::to_owned).collect();
    let columns = names.iter().map(|name| values(&rows, name)).collect::<Result<Vec<_>, _>>().map_err(SignalError::Features)?;
    let mut days = BTreeMap::new();
    for (at, day) in table_columns::dates(&rows, date).map_err(SignalError::Features)?.into_iter().enumerate() {
        let Some(day) = day.and_then(NaiveDate::from_epoch_days) else { continue };
        if days.insert(day, columns.iter().map(|column| column[at].clone()).collect()).is_some() {
            return Err(SignalError::Twice { date: day });
        }
    }
    Ok(Features { names, days })
}

fn values(rows: &RecordBatch, name: &str) -> Result<Vec<Value>, ColumnError> {
    let column = table_columns::column(rows, name)?;
    match column.data_type() {
        DataType::Float64 | DataType::Int64 | DataType::Decimal128(..) => {
            Ok(table_columns::floats(rows, name)?.into_iter().map(|v| json!(v)).collect())
        }
        _ => Ok((0..column.len()).map(|row| table_cells::cell(column, row)).collect()),
    }
}

/// What the rules say of a day.
///
/// # Errors
/// When one compares what cannot be compared.
pub fn say(rules: &Rules, day: &Day, features: Option<&Features>) -> Result<Said, SignalError> {
    let mut figures = day.figures();
    if let Some(features) = features
        && let Some(values) = features.days.get(&day.date)
    {
        figures.extend(features.names.iter().cloned().zip(values.iter().cloned()));
    }
    Ok(rules.say(&day.date.to_string(), &figures)?)
}
