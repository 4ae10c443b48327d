//! Owns reading a frame's artifact: its rows and `frame.json`. Invariant: rows are in the order of their dates, and a missing feature is NaN.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use chrono::{Days, NaiveDate};

use crate::base::name::nearest;
use crate::engine::frame_past::{self, Past, PastError};
use crate::engine::price_history::{self, PriceHistory, PriceHistoryError};
use crate::engine::table_columns::{ColumnError, dates, floats, names, strings};
use crate::engine::table_file::{self, TableFileError};
use crate::io::fs::{self, FsError};
use crate::model::joined::Joined;
use crate::model::training::{FrameRecord, TrainedOn};

/// What a frame's rows are called inside each of its artifacts.
pub const ROWS_FILE: &str = table_file::FILE_NAME;

/// What a frame's record is called inside each of its artifacts.
pub const RECORD_FILE: &str = "frame.json";

/// Which part of a frame a row belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// To learn from.
    Train,
    /// For early stopping and weighting.
    Valid,
    /// For evaluation.
    Test,
}

impl Part {
    /// As it stands in the column `split`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Test => "test",
        }
    }
}

/// One artifact of a frame, in memory. Of a `score`, whose outcomes are not known yet, `outcome_dates`, `split` and `label` are empty.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameData {
    /// What the columns mean.
    pub record: FrameRecord,
    /// The rows' dates, days since 1970-01-01.
    pub dates: Vec<i32>,
    /// When each row's outcome became known.
    pub outcome_dates: Vec<i32>,
    /// Each row's part.
    pub split: Vec<Part>,
    /// The price known on each row's date.
    pub price: Vec<f64>,
    /// Each row's label, in the form the record names.
    pub label: Vec<f64>,
    /// Each row's weight, where the frame has weights.
    pub weight: Option<Vec<f64>>,
    /// The values of each feature, column by column.
    pub features: Vec<Vec<f64>>,
    /// The prices from the first train row to this artifact's last row: for models that read the series, and look no further than the row they forecast from.
    pub prices: PriceHistory,
    /// Rows of features that are none of these: for models that read windows.
    pub past: Past,
}

/// Why a frame's artifact cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FrameFileError {
    /// A file cannot be read.
    #[error(transparent)]
    Io(#[from] FsError),
    /// The record is not one.
    #[error("{}: {source}", path.display())]
    Record {
        /// The record's file.
        path: PathBuf,
        /// What the reader says.
        source: serde_json::Error,
    },
    /// The rows cannot be read.
    #[error(transparent)]
    Rows(#[from] TableFileError),
    /// The prices beside them cannot be read.
    #[error(transparent)]
    Prices(#[from] PriceHistoryError),
    /// The rows before its own cannot be read.
    #[error(transparent)]
    Past(#[from] PastError),
    /// A column is missing or of another type.
    #[error("a frame's rows: {0}")]
    Column(#[from] ColumnError),
    /// A value is missing where none may.
    #[error("a frame's rows: column '{column}' has no value in row {row}")]
    Null {
        /// The column.
        column: &'static str,
        /// The row, counted from 1.
        row: usize,
    },
    /// A split that is none.
    #[error("a frame's rows: '{found}' is not 'train', 'valid' or 'test'")]
    Split {
        /// What was found.
        found: String,
    },
    /// A feature that the frame has not.
    #[error("the frame has no feature '{feature}'")]
    Feature {
        /// The feature asked for.
        feature: String,
        /// The one that may have been meant.
        nearest: Option<String>,
    },
}

/// Reads the artifact in `folder`: `fit`, `test` or `score`.
///
/// # Errors
/// When the files are not those of a frame.
pub fn read(folder: &Path) -> Result<FrameData, FrameFileError> {
    let path = folder.join(RECORD_FILE);
    let bytes = fs::read(&path)?;
    let record = serde_json::from_slice(&bytes).map_err(|source| FrameFileError::Record { path, source })?;
    let rows = from_rows(record, &table_file::read(&folder.join(ROWS_FILE))?)?;
    let past = frame_past::read(folder, &rows.record.features)?;
    Ok(FrameData { prices: price_history::read(folder)?, past, ..rows })
}

/// The frame with this record and these rows, without a price history.
///
/// # Errors
/// When a column is missing, of another type or has holes where none may be.
pub fn from_rows(record: FrameRecord, rows: &RecordBatch) -> Result<FrameData, FrameFileError> {
    let labelled = names(rows).iter().any(|name| name == "label");
    let mut data = FrameData {
        dates: whole("date", dates(rows, "date")?)?,
        price: whole("price", floats(rows, "price")?)?,
        outcome_dates: Vec::new(),
        split: Vec::new(),
        label: Vec::new(),
        weight: None,
        features: record.features.iter().map(|name| feature(rows, name)).collect::<Result<_, _>>()?,
        prices: PriceHistory::default(),
        past: Past::default(),
        record,
    };
    if labelled {
        data.outcome_dates = whole("outcome_date", dates(rows, "outcome_date")?)?;
        data.label = whole("label", floats(rows, "label")?)?;
        data.split = whole("split", strings(rows, "split")?)?.into_iter().map(part).collect::<Result<_, _>>()?;
        if data.record.weight.is_some() {
            data.weight = Some(whole("weight", floats(rows, "weight")?)?);
        }
    }
    Ok(data)
}

fn whole<T>(column: &'static str, values: Vec<Option<T>>) -> Result<Vec<T>, FrameFileError> {
    let checked = values.into_iter().enumerate().map(|(row, value)| value.ok_or(FrameFileError::Null { column, row: row + 1 }));
    checked.collect()
}

fn feature(rows: &RecordBatch, name: &str) -> Result<Vec<f64>, ColumnError> {
    Ok(floats(rows, name)?.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect())
}

fn part(word: &str) -> Result<Part, FrameFileError> {
    let known = [Part::Train, Part::Valid, Part::Test].into_iter().find(|part| part.word() == word);
    known.ok_or_else(|| FrameFileError::Split { found: word.to_owned() })
}

impl FrameData {
    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.dates.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.dates.is_empty()
    }

    /// The rows of one part, by index.
    #[must_use]
    pub fn rows_of(&self, part: Part) -> Vec<usize> {
        self.split.iter().enumerate().filter(|(_, p)| **p == part).map(|(row, _)| row).collect()
    }

    /// The values of the named features in the given rows, row after row, in the order of the names.
    ///
    /// # Errors
    /// When the frame lacks a feature.
    pub fn matrix(&self, features: &[String], rows: &[usize]) -> Result<Vec<f64>, FrameFileError> {
        let columns = features.iter().map(|name| self.column(name)).collect::<Result<Vec<_>, _>>()?;
        Ok(rows.iter().flat_map(|&row| columns.iter().map(move |column| column[row])).collect())
    }

    fn column(&self, feature: &str) -> Result<&[f64], FrameFileError> {
        let at = self.record.features.iter().position(|name| name == feature);
        at.map(|at| self.features[at].as_slice()).ok_or_else(|| FrameFileError::Feature {
            feature: feature.to_owned(),
            nearest: nearest(feature, self.record.features.iter().map(String::as_str)).map(str::to_owned),
        })
    }

    /// The price at each labelled row's outcome.
    #[must_use]
    pub fn outcome_levels(&self) -> Vec<f64> {
        let kind = self.record.label.kind;
        self.label.iter().zip(&self.price).map(|(&label, &price)| kind.to_level(label, price)).collect()
    }

    /// Every row there is up to this day, in the order of time: those of the past, and its own.
    #[must_use]
    pub fn timeline(&self, last: i32) -> Past {
        let own = self.dates.iter().enumerate().map(|(row, date)| (*date, self.features.iter().map(|values| values[row]).collect()));
        Past::of(own.chain(self.past.rows()).filter(|(date, _)| *date <= last).collect())
    }

    /// Some of the rows, each in the part given with it, and the prices from the first of them to the last. Where rows of the past are kept, those
    /// not chosen join them, as far as they are not later than the last that is.
    #[must_use]
    pub fn subset(&self, rows: &[(usize, Part)]) -> Self {
        let pick = |values: &[f64]| rows.iter().map(|(row, _)| values[*row]).collect::<Vec<_>>();
        let dates: Vec<i32> = rows.iter().map(|(row, _)| self.dates[*row]).collect();
        let ends = (dates.iter().min().copied().unwrap_or(i32::MAX), dates.iter().max().copied().unwrap_or(i32::MIN));
        Self {
            record: FrameRecord {
                folds: None,
                joined: self.record.joined.iter().map(|one| Joined { ages: None, ..one.clone() }).collect(),
                ..self.record.clone()
            },
            outcome_dates: rows.iter().map(|(row, _)| self.outcome_dates[*row]).collect(),
            split: rows.iter().map(|(_, part)| *part).collect(),
            price: pick(&self.price),
            label: pick(&self.label),
            weight: self.weight.as_deref().map(pick),
            features: self.features.iter().map(|values| pick(values)).collect(),
            prices: self.prices.between(ends.0, ends.1),
            past: if self.record.past.is_some() { self.without(&dates, ends.1) } else { Past::default() },
            dates,
        }
    }

    /// The timeline up to a day, less the rows of these dates.
    fn without(&self, dates: &[i32], last: i32) -> Past {
        let own: BTreeSet<&i32> = dates.iter().collect();
        Past::of(self.timeline(last).rows().filter(|(date, _)| !own.contains(date)).collect())
    }

    /// What a model that has seen the rows of `part` says of it; `None` where there are none.
    #[must_use]
    pub fn trained_on(&self, part: Part) -> Option<TrainedOn> {
        let rows = self.rows_of(part);
        let dates = || rows.iter().map(|&row| self.dates[row]);
        Some(TrainedOn {
            split: part.word().to_owned(),
            first: iso_date(dates().min()?),
            last: iso_date(dates().max()?),
            rows: rows.len() as u64,
            outcome_last: iso_date(rows.iter().map(|&row| self.outcome_dates[row]).max()?),
        })
    }
}

/// Days since 1970-01-01 as `2019-01-03`.
#[must_use]
pub fn iso_date(days: i32) -> String {
    let by = Days::new(u64::from(days.unsigned_abs()));
    let epoch = NaiveDate::default();
    let date = if days < 0 { epoch.checked_sub_days(by) } else { epoch.checked_add_days(by) };
    date.map_or_else(|| format!("day {days}"), |date| date.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::table_columns::{Values, table};
    use crate::model::series::Series;
    use crate::model::training::{Horizon, Label, LabelKind, PriceColumn, Split};

    fn record() -> FrameRecord {
        FrameRecord {
            features: vec!["a".into(), "b".into()],
            label: Label { kind: LabelKind::LogReturn, horizon: Horizon::Rows(1) },
            price: PriceColumn { table: "t.t".into(), column: "price".into(), series: Series::Spot },
            split: Split { train: None, valid: None, test: None },
            weight: None,
            folds: None,
            joined: Vec::new(),
            past: None,
        }
    }

    fn rows(split: &str) -> RecordBatch {
        let text = |word: &str| Some(word.to_owned());
        table([
            ("date".into(), Values::Dates(vec![Some(0), Some(1)])),
            ("outcome_date".into(), Values::Dates(vec![Some(1), Some(2)])),
            ("split".into(), Values::Strings(vec![text("train"), text(split)])),
            ("price".into(), Values::Floats(vec![Some(2.0), Some(4.0)])),
            ("label".into(), Values::Floats(vec![Some(0.0), Some(2.0_f64.ln())])),
            ("a".into(), Values::Floats(vec![Some(1.0), None])),
            ("b".into(), Values::Floats(vec![Some(3.0), Some(4.0)])),
        ])
        .unwrap()
    }

    #[test]
    fn a_frame_gives_features_by_name_and_prices_as_levels() {
        let frame = from_rows(record(), &rows("valid")).unwrap();
        assert_eq!(frame.matrix(&["b".into(), "a".into()], &[0]).unwrap(), [3.0, 1.0]);
        assert!(frame.matrix(&["a".into()], &[1]).unwrap()[0].is_nan(), "a missing value is NaN");
        assert_eq!(frame.outcome_levels(), [2.0, 8.0]);
        assert_eq!(frame.rows_of(Part::Valid), [1]);
        let seen = frame.trained_on(Part::Valid).unwrap();
        assert_eq!((seen.first.as_str(), seen.outcome_last.as_str(), seen.rows), ("1970-01-02", "1970-01-03", 1));
        assert_eq!(frame.trained_on(Part::Test), None);
    }

    #[test]
    fn a_frame_refuses_a_feature_it_has_not_and_a_split_that_is_none() {
        let frame = from_rows(record(), &rows("valid")).unwrap();
        assert_eq!(frame.matrix(&["c".into()], &[0]).unwrap_err().to_string(), "the frame has no feature 'c'");
        assert!(matches!(from_rows(record(), &rows("future")), Err(FrameFileError::Split { .. })));
    }

    #[test]
    fn days_read_as_dates_on_both_sides_of_1970() {
        assert_eq!((iso_date(-1).as_str(), iso_date(17_899).as_str()), ("1969-12-31", "2019-01-03"));
    }
}
