//! Owns the known prices that stand beside a frame's rows, for models that read the series itself. Invariant: dates ascend, each once, and what is
//! known on a day never holds a later price.

use std::path::Path;

use chrono::NaiveDate;

use crate::engine::table_columns::{ColumnError, Values, dates, floats, table};
use crate::engine::table_file::{self, TableFileError};
use crate::io::fs::{self, FsError};

/// What the prices are called inside each of a frame's artifacts.
pub const PRICES_FILE: &str = "prices.parquet";

/// Days with a price, in the order of time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PriceHistory {
    /// Days since 1970-01-01.
    pub dates: Vec<i32>,
    /// The price of each.
    pub prices: Vec<f64>,
}

/// Prices that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PricesError {
    /// The file cannot be inspected.
    #[error(transparent)]
    Io(#[from] FsError),
    /// The file cannot be read.
    #[error(transparent)]
    Rows(#[from] TableFileError),
    /// A column is missing or of another type.
    #[error("a frame's prices: {0}")]
    Column(#[from] ColumnError),
    /// A value is missing where none may.
    #[error("a frame's prices: column '{column}' has no value in row {row}")]
    Null {
        /// The column.
        column: &'static str,
        /// The row, counted from 1.
        row: usize,
    },
}

impl PriceHistory {
    /// The days and prices of a series whose dates ascend.
    #[must_use]
    pub fn new(days: &[(NaiveDate, f64)]) -> Self {
        days.iter().map(|(date, price)| (date.to_epoch_days(), *price)).collect()
    }

    /// Where the day with this date stands.
    #[must_use]
    pub fn position(&self, date: i32) -> Option<usize> {
        self.dates.binary_search(&date).ok()
    }

    /// The days from `first` to `last`, both included.
    #[must_use]
    pub fn between(&self, first: i32, last: i32) -> Self {
        let days = self.dates.iter().zip(&self.prices).filter(|(date, _)| (first..=last).contains(*date));
        days.map(|(date, price)| (*date, *price)).collect()
    }
}

impl FromIterator<(i32, f64)> for PriceHistory {
    fn from_iter<I: IntoIterator<Item = (i32, f64)>>(days: I) -> Self {
        let (dates, prices) = days.into_iter().unzip();
        Self { dates, prices }
    }
}

/// Reads the prices in the artifact's `folder`; none where the artifact holds no such file.
///
/// # Errors
/// When the file holds something else.
pub fn read(folder: &Path) -> Result<PriceHistory, PricesError> {
    let path = folder.join(PRICES_FILE);
    if fs::stat(&path)?.is_none() {
        return Ok(PriceHistory::default());
    }
    let rows = table_file::read(&path)?;
    let days = dates(&rows, "date")?.into_iter().zip(floats(&rows, "price")?).enumerate();
    let known = days.map(|(row, (date, price))| match (date, price) {
        (Some(date), Some(price)) => Ok((date, price)),
        (None, _) => Err(PricesError::Null { column: "date", row: row + 1 }),
        (_, None) => Err(PricesError::Null { column: "price", row: row + 1 }),
    });
    known.collect()
}

/// Writes the prices into the artifact's `folder`.
///
/// # Errors
/// When the file cannot be written.
pub fn write(folder: &Path, history: &PriceHistory) -> Result<(), TableFileError> {
    let path = folder.join(PRICES_FILE);
    let columns = [
        ("date".to_owned(), Values::Dates(history.dates.iter().copied().map(Some).collect())),
        ("price".to_owned(), Values::Floats(history.prices.iter().copied().map(Some).collect())),
    ];
    let rows = table(columns).map_err(|source| TableFileError::Rows { path: path.clone(), source })?;
    table_file::write(&path, &rows, &["date".to_owned()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history() -> PriceHistory {
        [(3, 40.5), (4, 41.0), (7, -37.63)].into_iter().collect()
    }

    #[test]
    fn prices_read_as_they_were_written_and_an_artifact_without_any_has_none() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).unwrap(), PriceHistory::default());
        write(folder.path(), &history()).unwrap();
        assert_eq!(read(folder.path()).unwrap(), history());
    }

    #[test]
    fn a_stretch_holds_both_its_ends() {
        assert_eq!(history().between(4, 7).dates, [4, 7]);
        assert_eq!((history().position(7), history().position(5)), (Some(2), None));
    }
}
