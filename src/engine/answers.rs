//! Owns what a model that runs elsewhere said to the rows it was asked about. Invariant: an answer is found by the exact values of a row's features,
//! so a row that was never asked about, or has changed since, has none.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::error::ArrowError;

use crate::base::digest::Digest;
use crate::engine::frame_file::FrameFileError;
use crate::engine::table_columns::{ColumnError, Values, floats, strings, table};
use crate::engine::table_file::{self, TableFileError};

/// What the table of answers is called inside a model's artifact.
pub const FILE: &str = "answers.parquet";

/// Why answers cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum AnswersError {
    /// The table cannot be read or written.
    #[error(transparent)]
    Table(#[from] TableFileError),
    /// It is none of answers.
    #[error("a model's answers: {0}")]
    Column(#[from] ColumnError),
    /// It cannot be made.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    /// The frame's rows cannot be used.
    #[error(transparent)]
    Frame(#[from] FrameFileError),
}

/// Answers in the form of the label, by row.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answers {
    by_row: BTreeMap<String, (i32, f64)>,
}

impl Answers {
    /// Adds the answer to a row of this date (days since 1970-01-01) and these features. Of rows with the same features the first one's answer stands.
    pub fn add(&mut self, date: i32, features: &[f64], answer: f64) {
        self.by_row.entry(key(features)).or_insert((date, answer));
    }

    /// The answer to a row with these features.
    #[must_use]
    pub fn find(&self, features: &[f64]) -> Option<f64> {
        self.by_row.get(&key(features)).map(|(_, answer)| *answer)
    }

    /// Reads the answers in a model's folder.
    ///
    /// # Errors
    /// When there are none that can be read.
    pub fn read(folder: &Path) -> Result<Self, AnswersError> {
        let rows = table_file::read(&folder.join(FILE))?;
        let (keys, answers) = (strings(&rows, "row")?, floats(&rows, "answer")?);
        let by_row = keys.into_iter().zip(answers).filter_map(|(key, answer)| Some((key?.to_owned(), (0, answer?))));
        Ok(Self { by_row: by_row.collect() })
    }

    /// Writes them into a model's folder, in the order of their dates.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), AnswersError> {
        let all = || self.by_row.iter();
        let rows = table([
            ("date".to_owned(), Values::Dates(all().map(|(_, (date, _))| Some(*date)).collect())),
            ("row".to_owned(), Values::Strings(all().map(|(row, _)| Some(row.clone())).collect())),
            ("answer".to_owned(), Values::Floats(all().map(|(_, (_, answer))| Some(*answer)).collect())),
        ])?;
        Ok(table_file::write(&folder.join(FILE), &rows, &["date".to_owned()])?)
    }
}

/// What stands for a row: all missing values are one, and zero has no sign.
fn key(features: &[f64]) -> String {
    let one = |value: &f64| if value.is_nan() { f64::NAN } else { value + 0.0 };
    let bytes: Vec<u8> = features.iter().flat_map(|value| one(value).to_bits().to_le_bytes()).collect();
    Digest::of(&bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_belongs_to_the_very_values_it_was_asked_about() {
        let folder = tempfile::tempdir().unwrap();
        let mut answers = Answers::default();
        answers.add(3, &[1.0, f64::NAN], 7.5);
        answers.write(folder.path()).unwrap();
        let read = Answers::read(folder.path()).unwrap();
        assert_eq!(read.find(&[1.0, -f64::NAN]), Some(7.5));
        assert_eq!((read.find(&[1.0, 0.0]), read.find(&[1.0 + f64::EPSILON, f64::NAN]), read.find(&[f64::NAN, 1.0])), (None, None, None));
    }
}
