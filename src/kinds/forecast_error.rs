//! Owns why there is no forecast. Invariant: data that is not there or not fit to forecast from is a refusal, never a forecast from less.

use arrow::error::ArrowError;
use chrono::NaiveDate;
use serde_json::json;

use crate::engine::calendar::CalendarError;
use crate::engine::combining::CombineError;
use crate::engine::frame_file::FrameFileError;
use crate::engine::past_forecasts::PastError;
use crate::engine::table_columns::ColumnError;
use crate::engine::table_file::TableFileError;
use crate::io::fs::FsError;
use crate::kinds::request::RunError;
use crate::kinds::trained::TrainedError;

/// Why nothing was forecast.
#[derive(Debug, thiserror::Error)]
pub enum ForecastError {
    /// The newest rows cannot be read.
    #[error(transparent)]
    Frame(#[from] FrameFileError),
    /// The model cannot be read or cannot forecast these rows.
    #[error("the model: {0}")]
    Model(#[from] TrainedError),
    /// The calendar does not say when a forecast comes due.
    #[error("{0}")]
    Calendar(#[from] CalendarError),
    /// The calendar's column cannot be used.
    #[error("the calendar: {0}")]
    Column(#[from] ColumnError),
    /// A source's column of dates cannot be used.
    #[error("'{table}': {source}")]
    SourceColumn {
        /// The table.
        table: String,
        /// Why not.
        source: ColumnError,
    },
    /// A source without a single date.
    #[error("'{table}' has no date in its column '{column}'")]
    NoDate {
        /// The table.
        table: String,
        /// Its column of dates.
        column: String,
    },
    /// The target that is to give quantiles is no set of them.
    #[error("'quantiles' names a model of one price, which has none")]
    NoQuantiles,
    /// No day has all the features that the model needs.
    #[error("none of the {rows} newest days is complete: {newest} lacks {}", missing.join(", "))]
    NoCompleteDay {
        /// How many days were looked at.
        rows: usize,
        /// The newest of them.
        newest: NaiveDate,
        /// What it lacks.
        missing: Vec<String>,
    },
    /// A pattern of `optional` that names no feature.
    #[error("'optional': the frame has no feature '{pattern}'")]
    Optional {
        /// The pattern.
        pattern: String,
    },
    /// The backtest cannot be read.
    #[error(transparent)]
    Residuals(#[from] PastError),
    /// A row without a date of this calendar's.
    #[error("day {0} after 1970-01-01 is no date")]
    Date(i32),
    /// The table cannot be made.
    #[error(transparent)]
    Columns(#[from] ArrowError),
    /// A table cannot be read or written.
    #[error(transparent)]
    Table(#[from] TableFileError),
    /// What is told beside the table cannot be written.
    #[error("intervals.json: {0}")]
    Json(#[from] serde_json::Error),
    /// A file cannot be written.
    #[error(transparent)]
    Io(#[from] FsError),
}

impl ForecastError {
    /// As the action's failure: a calendar that ends or a day that lacks features is a data check's refusal, a model of another horizon the
    /// recipe's mistake.
    #[must_use]
    pub fn as_failure(&self) -> RunError {
        match self {
            Self::Calendar(_) => RunError::refused(self).hint("extend the table of trading days"),
            Self::NoCompleteDay { missing, .. } => RunError::refused(self)
                .hint(format!("bring these inputs up to date, or say that a day may lack them: optional = {}", json!(missing))),
            Self::Column(ColumnError::Missing { nearest: Some(name), .. })
            | Self::SourceColumn { source: ColumnError::Missing { nearest: Some(name), .. }, .. } => {
                RunError::invalid(self).hint(format!("did you mean '{name}'?"))
            }
            Self::Model(TrainedError::Combine(CombineError::Regimes(_))) => {
                RunError::refused(self).hint("extend the calendar of regimes, and make the ensemble anew")
            }
            Self::Model(TrainedError::NotAsked { .. }) => RunError::invalid(self).hint("name the frame that the model was trained on"),
            Self::NoQuantiles => RunError::invalid(self).hint("name a target of the kind 'quantiles', or a refit of one"),
            Self::Residuals(PastError::Question(_)) => RunError::invalid(self).hint("name a backtest of the same frame"),
            Self::Column(_)
            | Self::SourceColumn { .. }
            | Self::Optional { .. }
            | Self::Model(TrainedError::OtherQuestion { .. } | TrainedError::Frame(FrameFileError::Feature { .. })) => {
                RunError::invalid(self)
            }
            _ => RunError::failed(self),
        }
    }
}
