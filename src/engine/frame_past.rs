//! Owns the rows that stand beside a frame's own: features alone, for models that read windows. Invariant: dates ascend, each once, none is a row of the
//! artifact's own, and none is later than its last.

use std::path::Path;

use crate::engine::table_columns::{ColumnError, Values, dates, floats, table};
use crate::engine::table_file::{self, TableFileError};
use crate::io::fs::{self, FsError};

/// What these rows are called inside an artifact.
pub const PAST_FILE: &str = "past.parquet";

/// Rows of features without labels.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Past {
    /// Days since 1970-01-01.
    pub dates: Vec<i32>,
    /// The values of each feature, column by column.
    pub features: Vec<Vec<f64>>,
}

/// Why these rows cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    /// The file cannot be looked for.
    #[error(transparent)]
    Io(#[from] FsError),
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] TableFileError),
    /// A column is missing or of another type.
    #[error("the rows before a frame's: {0}")]
    Column(#[from] ColumnError),
    /// A date is missing.
    #[error("the rows before a frame's: row {row} has no date")]
    Null {
        /// The row, counted from 1.
        row: usize,
    },
}

impl Past {
    /// These rows, in the order of their dates, each with its features.
    #[must_use]
    pub fn of(mut rows: Vec<(i32, Vec<f64>)>) -> Self {
        rows.sort_by_key(|(date, _)| *date);
        rows.dedup_by_key(|(date, _)| *date);
        let wide = rows.first().map_or(0, |(_, values)| values.len());
        let features = (0..wide).map(|at| rows.iter().map(|(_, values)| values[at]).collect()).collect();
        Self { dates: rows.into_iter().map(|(date, _)| date).collect(), features }
    }

    /// Row by row.
    pub fn rows(&self) -> impl Iterator<Item = (i32, Vec<f64>)> + '_ {
        self.dates.iter().enumerate().map(|(row, date)| (*date, self.features.iter().map(|values| values[row]).collect()))
    }
}

/// Reads them from the artifact's `folder`; none where it holds no such file.
///
/// # Errors
/// When the file holds something else.
pub fn read(folder: &Path, names: &[String]) -> Result<Past, PastError> {
    let path = folder.join(PAST_FILE);
    if fs::stat(&path)?.is_none() {
        return Ok(Past::default());
    }
    let rows = table_file::read(&path)?;
    let days = dates(&rows, "date")?.into_iter().enumerate();
    let dates = days.map(|(row, date)| date.ok_or(PastError::Null { row: row + 1 })).collect::<Result<_, _>>()?;
    let known = |name: &String| Ok(floats(&rows, name)?.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect());
    Ok(Past { dates, features: names.iter().map(known).collect::<Result<_, ColumnError>>()? })
}

/// Writes them into the artifact's `folder`.
///
/// # Errors
/// When the file cannot be written.
pub fn write(folder: &Path, past: &Past, names: &[String]) -> Result<(), TableFileError> {
    let path = folder.join(PAST_FILE);
    let known = |values: &Vec<f64>| Values::Floats(values.iter().map(|v| (!v.is_nan()).then_some(*v)).collect());
    let mut columns = vec![("date".to_owned(), Values::Dates(past.dates.iter().copied().map(Some).collect()))];
    for (at, name) in names.iter().enumerate() {
        columns.push((name.clone(), past.features.get(at).map_or(Values::Floats(Vec::new()), known)));
    }
    let rows = table(columns).map_err(|source| TableFileError::Rows { path: path.clone(), source })?;
    table_file::write(&path, &rows, &["date".to_owned()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_read_as_they_were_written_and_an_artifact_without_any_has_none() {
        let (folder, names) = (tempfile::tempdir().unwrap(), ["a".to_owned(), "b".to_owned()]);
        assert_eq!(read(folder.path(), &names).unwrap(), Past::default());
        let past = Past::of(vec![(9, vec![3.0, 0.5]), (2, vec![1.0, -2.0])]);
        assert_eq!((past.dates.as_slice(), past.features[1].as_slice()), (&[2, 9][..], &[-2.0, 0.5][..]));
        write(folder.path(), &past, &names).unwrap();
        assert_eq!(read(folder.path(), &names).unwrap(), past);
    }
}
