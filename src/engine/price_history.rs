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

/// Why the prices beside a frame's rows cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PriceHistoryError {
    /// The file cannot be looked for.
    #[error(transparent)]
    Io(#[from] FsError),
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] TableFileError),
    /// A column is missing or of another type.
    #[error("a frame's prices: {0}")]
    Column(#[from] ColumnError),
    /// A date or a price is missing.
    #[error("a frame's prices: row {row} lacks its date or its price")]
    Null {
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
pub fn read(folder: &Path) -> Result<PriceHistory, PriceHistoryError> {
    let path = folder.join(PRICES_FILE);
    if fs::stat(&path)?.is_none() {
        return Ok(PriceHistory::default());
    }
    let rows = table_file::read(&path)?;
    let days = dates(&rows, "date")?.into_iter().zip(floats(&rows, "price")?).enumerate();
    let known = days.map(|(row, (date, price))| date.zip(price).ok_or(PriceHistoryError::Null { row: row + 1 }));
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
