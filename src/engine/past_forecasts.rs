//! Owns forecasts of the past, row by row: made of days that the model had not seen, each with what came. Invariant: they are in the order of their
//! dates, and every date and number in them is one.

use std::path::Path;

use chrono::NaiveDate;

use crate::engine::backtest_file::{self, BacktestFileError, Predictions};
use crate::engine::evaluation::TestRow;
use crate::model::training::FrameRecord;

/// One forecast of a backtest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// When it was made, when it came due, and what came.
    pub row: TestRow,
    /// The price that was forecast.
    pub predicted: f64,
}

/// Forecasts of the past that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    /// They cannot be read.
    #[error(transparent)]
    File(#[from] BacktestFileError),
    /// A number that is none, or a day that no calendar has.
    #[error("a backtest's forecasts: row {row} has a date or a number that is none")]
    Hole {
        /// The row, counted from 1.
        row: usize,
    },
    /// A forecast that came due before it was made.
    #[error("a backtest's forecasts: that of {date} came due on {outcome_date}")]
    Backwards {
        /// When it was made.
        date: NaiveDate,
        /// When it came due.
        outcome_date: NaiveDate,
    },
    /// There are none.
    #[error("the backtest holds no forecast")]
    Empty,
    /// They are of something else.
    #[error(transparent)]
    Question(#[from] OtherQuestion),
}

/// A backtest of something else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the backtest is of {backtest}, the forecasts are of {forecasts}: its errors say nothing of theirs")]
pub struct OtherQuestion {
    /// What the backtest forecast.
    pub backtest: String,
    /// What is forecast here.
    pub forecasts: String,
}

/// Refuses the backtest in `folder` unless it forecast the same price at the same horizon as a frame with this record.
///
/// # Errors
/// When it did not, or its record cannot be read.
pub fn same_question(folder: &Path, frame: &FrameRecord) -> Result<(), PastError> {
    let asked = backtest_file::read_record(folder)?.frame;
    if asked.asks_the_same(frame) {
        return Ok(());
    }
    let told = |frame: &FrameRecord| format!("{}.{}, {} ahead", frame.price.table, frame.price.column, frame.label.horizon.in_words());
    Err(OtherQuestion { backtest: told(&asked), forecasts: told(frame) }.into())
}

/// Refuses the backtest in `folder` unless its horizon is this one, in words.
///
/// # Errors
/// When it is another, or its record cannot be read.
pub fn same_horizon(folder: &Path, horizon: &str) -> Result<(), PastError> {
    let asked = backtest_file::read_record(folder)?.frame.label.horizon.in_words();
    if asked == horizon {
        Ok(())
    } else {
        Err(OtherQuestion { backtest: format!("{asked} ahead"), forecasts: format!("{horizon} ahead") }.into())
    }
}

/// Reads the forecasts of the `backtest` artifact in `folder`.
///
/// # Errors
/// When they cannot be read or used.
pub fn read(folder: &Path) -> Result<Vec<Prediction>, PastError> {
    from_columns(&backtest_file::read(folder)?)
}

/// The forecasts, row by row.
///
/// # Errors
/// When one is no number, came due before it was made, or there is none.
pub fn from_columns(columns: &Predictions) -> Result<Vec<Prediction>, PastError> {
    let day = NaiveDate::from_epoch_days;
    let number = |value: f64| value.is_finite().then_some(value);
    let one = |at: usize| {
        let row = TestRow {
            date: day(columns.dates[at])?,
            outcome_date: day(columns.outcome_dates[at])?,
            price: number(columns.price[at])?,
            actual: number(columns.actual[at])?,
        };
        Some(Prediction { row, predicted: number(columns.predicted[at])? })
    };
    let mut all = Vec::with_capacity(columns.dates.len());
    for at in 0..columns.dates.len() {
        all.push(one(at).ok_or(PastError::Hole { row: at + 1 })?);
    }
    if let Some(Prediction { row, .. }) = all.iter().find(|p| p.row.outcome_date <= p.row.date) {
        return Err(PastError::Backwards { date: row.date, outcome_date: row.outcome_date });
    }
    all.sort_by_key(|p| (p.row.date, p.row.outcome_date));
    if all.is_empty() { Err(PastError::Empty) } else { Ok(all) }
}

#[cfg(test)]
mod tests {
    use super::*;
    fn columns(due: i32, predicted: f64) -> Predictions {
        Predictions {
            dates: vec![17_002, 17_000],
            outcome_dates: vec![17_007, due],
            folds: vec!["1".into(); 2],
            price: vec![46.0; 2],
            actual: vec![47.0; 2],
            predicted: vec![46.5, predicted],
            quantiles: None,
        }
    }

    #[test]
    fn forecasts_come_in_the_order_of_their_dates() {
        let all = from_columns(&columns(17_005, 45.0)).unwrap();
        assert_eq!(all.iter().map(|p| p.predicted).collect::<Vec<_>>(), [45.0, 46.5]);
    }

    #[test]
    fn a_hole_and_a_forecast_due_before_it_was_made_are_refused() {
        assert!(matches!(from_columns(&columns(17_005, f64::NAN)), Err(PastError::Hole { row: 2 })));
        assert!(matches!(from_columns(&columns(17_000, 45.0)), Err(PastError::Backwards { .. })));
        assert!(matches!(from_columns(&Predictions::default()), Err(PastError::Empty)));
    }
}
