//! Owns what a frame and a trained model say of themselves. Invariant: a `FrameRecord` holds nothing that moves when rows are appended, and a
//! `ModelRecord` names every row its model learnt from, early stopping and weighting included.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::digest::Digest;
use crate::model::folds::Folds;
use crate::model::joined::Joined;
use crate::model::series::Series;

/// The word for rows that parameters were chosen by, where a record names the rows a model has seen.
pub const TUNING: &str = "tuning";

/// `frame.json`: what a frame's columns mean. Beside the rows of each of a frame's artifacts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrameRecord {
    /// The feature columns, in the order of the columns.
    pub features: Vec<String>,
    /// What is learnt.
    pub label: Label,
    /// Where the price comes from.
    pub price: PriceColumn,
    /// The date ranges the rows were assigned by.
    pub split: Split,
    /// The authority on row weights, where rows are weighted.
    pub weight: Option<TableColumn>,
    /// How a history is cut into folds; of the artifact `folds` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folds: Option<Folds>,
    /// The tables joined by what was known, and how old their rows were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joined: Vec<Joined>,
    /// How many rows of features before each of its own stand beside it, for models that read windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub past: Option<u32>,
}

impl FrameRecord {
    /// Whether both ask for the same price at the same horizon.
    #[must_use]
    pub fn asks_the_same(&self, other: &Self) -> bool {
        self.label.horizon == other.label.horizon && self.price == other.price
    }
}

/// What a frame's label is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// Level or return.
    pub kind: LabelKind,
    /// How far ahead.
    pub horizon: Horizon,
}

/// The form of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelKind {
    /// The price at the outcome.
    Level,
    /// The logarithm of the price at the outcome over today's price.
    LogReturn,
}

impl LabelKind {
    /// The price level that a label (or a prediction of one) stands for, given the price known on the row's date.
    #[must_use]
    pub fn to_level(self, value: f64, price: f64) -> f64 {
        match self {
            Self::Level => value,
            Self::LogReturn => price * value.exp(),
        }
    }
}

/// How far ahead a label lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Horizon {
    /// So many later rows with a price.
    Rows(u32),
    /// The first row with a price at or after so many calendar days.
    Days(u32),
}

impl Horizon {
    /// As people read it: `21 rows`.
    #[must_use]
    pub fn in_words(self) -> String {
        match self {
            Self::Rows(n) => format!("{n} rows"),
            Self::Days(n) => format!("{n} days"),
        }
    }
}

/// The price series: where it stands and what it follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceColumn {
    /// The table, `dataset.table`.
    pub table: String,
    /// Its column.
    pub column: String,
    /// What it is a series of.
    pub series: Series,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableColumn {
    /// The table, `dataset.table`.
    pub table: String,
    /// Its column.
    pub column: String,
}

/// The date ranges of a frame. An artifact's record names only the ranges that determine its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// Rows to learn from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<DateRange>,
    /// Rows for early stopping and for weighting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid: Option<DateRange>,
    /// Rows for evaluation alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<DateRange>,
}

/// First and last date, `2019-01-03` each, both included; no last date leaves the range open. Written as a list of one or two dates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct DateRange {
    /// The first date.
    pub from: String,
    /// The last date.
    pub to: Option<String>,
}

impl TryFrom<Vec<String>> for DateRange {
    type Error = String;

    fn try_from(dates: Vec<String>) -> Result<Self, String> {
        let count = dates.len();
        let mut dates = dates.into_iter();
        match (dates.next(), dates.next(), dates.next()) {
            (Some(from), to, None) => Ok(Self { from, to }),
            _ => Err(format!("a date range is a list of one or two dates, not of {count}")),
        }
    }
}

impl From<DateRange> for Vec<String> {
    fn from(range: DateRange) -> Self {
        std::iter::once(range.from).chain(range.to).collect()
    }
}

/// `model.json`: what a model is, what made it and which rows it has seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRecord {
    /// The kind that made it: `lightgbm`, `xgboost`, `naive`, `ensemble`.
    pub kind: String,
    /// The record of the frame's `fit`.
    pub frame: FrameRecord,
    /// The features the model reads, in its order.
    pub features: Vec<String>,
    /// The learner's parameters as run, defaults set by us included.
    pub params: BTreeMap<String, Value>,
    /// The seed, where the learner has one.
    pub seed: Option<u64>,
    /// Rounds kept, where the learner has rounds.
    pub rounds: Option<u32>,
    /// Every row the model has seen, by split.
    pub trained_on: Vec<TrainedOn>,
    /// The library that trained it.
    pub engine: Option<Engine>,
    /// The models of a quantile set, by ascending level.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub levels: Vec<LevelRecord>,
    /// Members of an ensemble, in the order of their folders `members/<i>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Member>,
}

impl ModelRecord {
    /// The rounds that each of its models kept; none where the learner has no rounds.
    #[must_use]
    pub fn rounds_kept(&self) -> Vec<u32> {
        self.rounds.into_iter().chain(self.levels.iter().filter_map(|level| level.rounds)).collect()
    }

    /// The rows that its parameters were chosen by, where a search chose them.
    #[must_use]
    pub fn tuned_on(&self) -> Vec<TrainedOn> {
        self.trained_on.iter().filter(|seen| seen.split == TUNING).cloned().collect()
    }
}

/// One model of a quantile set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LevelRecord {
    /// The share of the prices that is meant to come at or below it.
    pub level: f64,
    /// Rounds kept, where the learner has rounds.
    pub rounds: Option<u32>,
}

/// What the quantile of a level is called: `p10`, `p2.5`.
#[must_use]
pub fn level_name(level: f64) -> String {
    format!("p{}", (level * 1e6).round() / 1e4)
}

/// Rows a model has seen: those of one split.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainedOn {
    /// `train` or `valid`; `tuning` of rows that parameters were chosen by, `weights` of those that an ensemble's weights were earned on.
    pub split: String,
    /// Date of the first row.
    pub first: String,
    /// Date of the last row.
    pub last: String,
    /// How many rows.
    pub rows: u64,
    /// The latest date on which one of these rows' outcomes became known.
    pub outcome_last: String,
}

/// A learner's library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    /// Its name.
    pub name: String,
    /// Its version, where the library tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The library file that was loaded.
    pub library: Digest,
}

/// One member of an ensemble.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The kind that made it.
    pub kind: String,
    /// Its share of the forecast, which add up to 1; of stacked ones the naive forecast has what is lacking; where weights hang on regimes, those of
    /// all rows; of trees over members, its share of what they gained.
    pub weight: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_record_reads_as_it_is_written_in_frame_json() {
        let text = r#"{"features":["ret_1"],"label":{"kind":"level","horizon":{"rows":21}},"price":{"table":"wti.daily","column":"price","series":"spot"},"split":{"train":["2000-01-01","2009-12-31"],"valid":["2010-01-01"]},"weight":null}"#;
        let record: FrameRecord = serde_json::from_str(text).unwrap();
        assert_eq!(record.label.horizon, Horizon::Rows(21));
        assert_eq!(record.split.valid, Some(DateRange { from: "2010-01-01".into(), to: None }));
        assert_eq!(serde_json::to_string(&record).unwrap(), text);
    }

    #[test]
    fn a_level_is_called_by_its_percent() {
        assert_eq!([0.1, 0.07, 0.025, 0.5].map(level_name), ["p10", "p7", "p2.5", "p50"]);
    }

    #[test]
    fn a_log_return_is_turned_back_into_a_level() {
        assert!((LabelKind::LogReturn.to_level(1.1_f64.ln(), 50.0) - 55.0).abs() < 1e-12);
        assert!((LabelKind::Level.to_level(55.0, 50.0) - 55.0).abs() < 1e-12);
    }
}
