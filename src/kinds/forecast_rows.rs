//! Owns what a forecast is made from: the newest rows, the table of trading days, a backtest's errors, and how old each source is. Invariant: a day counts
//! as complete only when it has every feature that the model reads and the recipe does not let it lack.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::engine::calendar::Calendar;
use crate::engine::conformal::{self, Calibration};
use crate::engine::frame::columns;
use crate::engine::frame_file::FrameData;
use crate::engine::judging::bootstrap::Bootstrap;
use crate::engine::past_forecasts;
use crate::engine::{table_columns, table_file};
use crate::kinds::forecast_error::ForecastError;
use crate::model::training::FrameRecord;

/// The slot of the model.
pub const MODEL_SLOT: &str = "model";
/// The slot of the table of trading days.
pub const CALENDAR_SLOT: &str = "calendar";
/// The slot of the backtest.
pub const RESIDUALS_SLOT: &str = "residuals";

/// The slot of the quantile set.
pub const QUANTILES_SLOT: &str = "quantiles";

/// The slot of a table whose age is told.
#[must_use]
pub fn source_slot(index: usize) -> String {
    format!("source:{index}")
}

/// The params of a `forecast` action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The calendar's column of dates.
    pub calendar_column: String,
    /// Features that a complete day may lack.
    #[serde(default)]
    pub optional: Vec<String>,
    /// How old the newest complete day may be.
    #[serde(default)]
    pub max_age_days: Option<u32>,
    /// Tables whose age is told, in the order of the slots `source:0`, `source:1`, ….
    #[serde(default)]
    pub sources: Vec<SourceColumn>,
    /// Whether a backtest's errors make intervals.
    #[serde(default)]
    pub residuals: bool,
    /// Whether a quantile set tells its quantiles beside the forecast.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub quantiles: bool,
}

/// A table whose age is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceColumn {
    /// Its name, for it stands in the forecasts.
    pub table: String,
    /// Its column of dates.
    pub column: String,
    /// How old it may be.
    pub max_age_days: Option<u32>,
}

/// What a forecast is made from.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The frame's `score` artifact.
    pub score: PathBuf,
    /// The model.
    pub model: PathBuf,
    /// The table of trading days.
    pub calendar: PathBuf,
    /// The backtest, where the spec has one.
    pub residuals: Option<PathBuf>,
    /// The quantile set, where the spec has one.
    pub quantiles: Option<PathBuf>,
    /// The tables whose age is told, in the order of the spec.
    pub sources: Vec<PathBuf>,
    /// Slot → hash of what feeds it.
    pub digests: BTreeMap<String, String>,
}

/// One forecast.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// The day it is made on.
    pub date: NaiveDate,
    /// The day it comes due.
    pub target_date: NaiveDate,
    /// The price known on its day.
    pub price: f64,
    /// The price that is forecast.
    pub predicted: f64,
    /// Features that the day lacks and should have.
    pub missing: Vec<String>,
}

/// A table whose age is told.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceDates {
    /// What was asked.
    pub asked: SourceColumn,
    /// Its hash, where it is known.
    pub hash: Option<String>,
    /// Its dates, ascending.
    pub dates: Vec<NaiveDate>,
}

impl SourceDates {
    /// The newest date at or before a day.
    #[must_use]
    pub fn newest_on(&self, day: NaiveDate) -> Option<NaiveDate> {
        self.dates[..self.dates.partition_point(|date| *date <= day)].last().copied()
    }
}

/// For each row, the features that the model reads, the row lacks, and no pattern of `optional` names.
///
/// # Errors
/// When the frame has no such feature, or a pattern names none that the model reads.
pub fn missing(frame: &FrameData, features: &[String], optional: &[String]) -> Result<Vec<Vec<String>>, ForecastError> {
    let mut needed: Vec<&String> = features.iter().collect();
    for pattern in optional {
        let glob = columns::compile(pattern).map_err(|_| ForecastError::Optional { pattern: pattern.clone() })?;
        let named = |feature: &String| feature == pattern || glob.is_match(feature);
        if !frame.record.features.iter().any(named) {
            return Err(ForecastError::Optional { pattern: pattern.clone() });
        }
        needed.retain(|feature| !named(feature));
    }
    let needed: Vec<String> = needed.into_iter().cloned().collect();
    let lacks = |row: usize| {
        let values = frame.matrix(&needed, &[row])?;
        Ok(needed.iter().zip(values).filter(|(_, value)| value.is_nan()).map(|(feature, _)| feature.clone()).collect())
    };
    (0..frame.len()).map(lacks).collect()
}

/// The newest day that lacks nothing.
///
/// # Errors
/// When there is none.
pub fn newest_complete(forecasts: &[Forecast]) -> Result<usize, ForecastError> {
    let complete = (0..forecasts.len()).filter(|at| forecasts[*at].missing.is_empty());
    complete.max_by_key(|at| forecasts[*at].date).ok_or_else(|| {
        let newest = forecasts.iter().max_by_key(|forecast| forecast.date);
        ForecastError::NoCompleteDay {
            rows: forecasts.len(),
            newest: newest.map(|forecast| forecast.date).unwrap_or_default(),
            missing: newest.map(|forecast| forecast.missing.clone()).unwrap_or_default(),
        }
    })
}

/// The dates in a table's column.
///
/// # Errors
/// When the table cannot be read or has no such column.
pub fn dates_of(folder: &Path, column: &str) -> Result<Vec<NaiveDate>, ForecastError> {
    let rows = table_file::read(&folder.join(table_file::FILE_NAME))?;
    Ok(table_columns::dates(&rows, column)?.into_iter().flatten().filter_map(NaiveDate::from_epoch_days).collect())
}

/// The rows' forecasts with the days they come due.
///
/// # Errors
/// When the calendar does not reach so far.
pub fn dated(frame: &FrameData, predicted: &[f64], missing: Vec<Vec<String>>, calendar: &Calendar) -> Result<Vec<Forecast>, ForecastError> {
    let rows = frame.dates.iter().zip(&frame.price).zip(predicted.iter().zip(missing));
    let one = |((day, price), (predicted, missing)): ((&i32, &f64), (&f64, Vec<String>))| {
        let date = NaiveDate::from_epoch_days(*day).ok_or(ForecastError::Date(*day))?;
        let target_date = calendar.target(date, frame.record.label.horizon)?;
        Ok(Forecast { date, target_date, price: *price, predicted: *predicted, missing })
    };
    rows.map(one).collect()
}

/// What a backtest's errors say of these forecasts from `frame`; nothing without a backtest.
///
/// # Errors
/// When it cannot be read, or is of another price or horizon.
pub fn calibration(folder: Option<&Path>, frame: &FrameRecord, forecasts: &[Forecast]) -> Result<Option<Calibration>, ForecastError> {
    let Some(folder) = folder else { return Ok(None) };
    past_forecasts::same_question(folder, frame)?;
    let predicted: Vec<f64> = forecasts.iter().map(|forecast| forecast.predicted).collect();
    Ok(conformal::calibrate(&past_forecasts::read(folder)?, &predicted, &Bootstrap::default()))
}

/// The dates of each table whose age is told.
///
/// # Errors
/// When one cannot be read, has no such column or no date.
pub fn sources(spec: &Spec, inputs: &Inputs) -> Result<Vec<SourceDates>, ForecastError> {
    let one = |(index, (asked, folder)): (usize, (&SourceColumn, &PathBuf))| {
        let table = || asked.table.clone();
        let mut dates = dates_of(folder, &asked.column).map_err(|error| match error {
            ForecastError::Column(source) => ForecastError::SourceColumn { table: table(), source },
            other => other,
        })?;
        dates.sort_unstable();
        if dates.is_empty() {
            return Err(ForecastError::NoDate { table: table(), column: asked.column.clone() });
        }
        Ok(SourceDates { asked: asked.clone(), hash: inputs.digests.get(&source_slot(index)).cloned(), dates })
    };
    spec.sources.iter().zip(&inputs.sources).enumerate().map(one).collect()
}
