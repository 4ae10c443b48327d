//! Owns out-of-sample forecasts on disk: `predictions.parquet`. Invariant: one row a date, each forecast by a model that had seen no row whose
//! outcome came on or after that date (in purged folds: in its stretch).

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::error::ArrowError;

use crate::engine::quantiles::Quantiles;
use crate::engine::table_columns::{ColumnError, Values, dates, floats, strings, table};
use crate::engine::table_file::{self, TableFileError};
use crate::io::fs::{self, FsError};
use crate::model::backtest::BacktestRecord;
use crate::model::training::level_name;

/// The artifact of a target that makes such forecasts.
pub const ARTIFACT: &str = "backtest";

/// What the forecasts are called inside the artifact.
pub const PREDICTIONS_FILE: &str = "predictions.parquet";

/// What the record of the folds is called inside the artifact.
pub const RECORD_FILE: &str = "backtest.json";

/// Out-of-sample forecasts, column by column, in the order of their dates.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Predictions {
    /// When each was made, days since 1970-01-01.
    pub dates: Vec<i32>,
    /// When each came due.
    pub outcome_dates: Vec<i32>,
    /// The first date of the fold that each belongs to.
    pub folds: Vec<String>,
    /// The price known when it was made.
    pub price: Vec<f64>,
    /// The price that came.
    pub actual: Vec<f64>,
    /// The price forecast.
    pub predicted: Vec<f64>,
    /// The quantiles forecast, where a quantile set did; its middle one is also the price forecast.
    pub quantiles: Option<Quantiles>,
}

/// Forecasts that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BacktestFileError {
    /// The file.
    #[error(transparent)]
    File(#[from] TableFileError),
    /// A column is missing or of another type.
    #[error("out-of-sample forecasts: {0}")]
    Column(#[from] ColumnError),
    /// The columns make no table.
    #[error(transparent)]
    Columns(#[from] ArrowError),
    /// The record cannot be read or written.
    #[error(transparent)]
    Io(#[from] FsError),
    /// The record is none.
    #[error("{}: {source}", path.display())]
    Record {
        /// The record's file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A value is missing.
    #[error("out-of-sample forecasts: a value is missing in column '{0}'")]
    Null(&'static str),
}

/// Reads the forecasts in `folder`.
///
/// # Errors
/// When there are none, or the file holds something else.
pub fn read(folder: &Path) -> Result<Predictions, BacktestFileError> {
    let rows = table_file::read(&folder.join(PREDICTIONS_FILE))?;
    let numbers = |name: &'static str| whole(name, floats(&rows, name)?);
    Ok(Predictions {
        dates: whole("date", dates(&rows, "date")?)?,
        outcome_dates: whole("outcome_date", dates(&rows, "outcome_date")?)?,
        folds: whole("fold", strings(&rows, "fold")?)?.into_iter().map(ToOwned::to_owned).collect(),
        price: numbers("price")?,
        actual: numbers("actual")?,
        predicted: numbers("predicted")?,
        quantiles: quantiles(&rows, &read_record(folder)?.levels)?,
    })
}

fn quantiles(rows: &RecordBatch, levels: &[f64]) -> Result<Option<Quantiles>, BacktestFileError> {
    if levels.is_empty() {
        return Ok(None);
    }
    let of = |name: &dyn Fn(f64) -> String| levels.iter().map(|level| whole("p…", floats(rows, &name(*level))?)).collect::<Result<_, _>>();
    Ok(Some(Quantiles {
        levels: levels.to_vec(),
        predicted: of(&level_name)?,
        naive: of(&naive_name)?,
        crossed: whole("crossed", floats(rows, "crossed")?)?.into_iter().map(|crossed| crossed > 0.5).collect(),
    }))
}

/// What the column of the naive quantile of a level is called.
fn naive_name(level: f64) -> String {
    format!("naive_{}", level_name(level))
}

fn whole<T>(name: &'static str, values: Vec<Option<T>>) -> Result<Vec<T>, BacktestFileError> {
    values.into_iter().collect::<Option<Vec<T>>>().ok_or(BacktestFileError::Null(name))
}

/// Reads what the backtest in `folder` says of itself.
///
/// # Errors
/// When it cannot be read.
pub fn read_record(folder: &Path) -> Result<BacktestRecord, BacktestFileError> {
    let path = folder.join(RECORD_FILE);
    let bytes = fs::read(&path)?;
    serde_json::from_slice(&bytes).map_err(|source| BacktestFileError::Record { path, source })
}

/// Writes the forecasts and the record into `folder`, which is made where it is missing.
///
/// # Errors
/// When a file cannot be written.
pub fn write(folder: &Path, forecasts: &Predictions, record: &BacktestRecord) -> Result<(), BacktestFileError> {
    fs::create_folders(folder)?;
    let path = folder.join(RECORD_FILE);
    let text = serde_json::to_string_pretty(record).map_err(|source| BacktestFileError::Record { path: path.clone(), source })?;
    fs::write(&path, format!("{text}\n").as_bytes())?;
    let floats = |values: &[f64]| Values::Floats(values.iter().map(|v| Some(*v)).collect());
    let days = |values: &[i32]| Values::Dates(values.iter().map(|v| Some(*v)).collect());
    let columns = [
        ("date", days(&forecasts.dates)),
        ("outcome_date", days(&forecasts.outcome_dates)),
        ("fold", Values::Strings(forecasts.folds.iter().cloned().map(Some).collect())),
        ("price", floats(&forecasts.price)),
        ("actual", floats(&forecasts.actual)),
        ("predicted", floats(&forecasts.predicted)),
    ];
    let mut columns: Vec<_> = columns.map(|(name, values)| (name.to_owned(), values)).into();
    if let Some(all) = &forecasts.quantiles {
        for (at, level) in all.levels.iter().enumerate() {
            columns.push((level_name(*level), floats(&all.predicted[at])));
            columns.push((naive_name(*level), floats(&all.naive[at])));
        }
        columns.push(("crossed".to_owned(), Values::Bools(all.crossed.iter().copied().map(Some).collect())));
    }
    Ok(table_file::write(&folder.join(PREDICTIONS_FILE), &table(columns)?, &["date".to_owned()])?)
}
