//! Owns why a frame is refused. Invariant: a refusal names the columns, dates or ranges it is about.

use std::fmt::Write as _;

use chrono::NaiveDate;

use crate::engine::table_file::TableFileError;
use crate::io::fs::FsError;
use crate::model::training::TableColumn;

/// How many examples a message names before it says how many more there are.
const SHOWN: usize = 5;

/// A feature that is an outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutcomeFeature {
    /// The feature.
    pub column: String,
    /// What it is.
    pub form: &'static str,
    /// How many rows ahead.
    pub ahead: usize,
    /// On so many rows it is.
    pub same: usize,
    /// Of so many.
    pub of: usize,
}

/// Why no frame can be made.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// A column that an input does not have.
    #[error("{input} has no column '{column}'")]
    UnknownColumn {
        /// The input, in words: `the feature table`.
        input: String,
        /// The column asked for.
        column: String,
        /// The column that may have been meant.
        nearest: Option<String>,
    },
    /// A pattern that no column of an input matches.
    #[error("no column of {input} matches '{pattern}'")]
    NoMatch {
        /// The input.
        input: String,
        /// The pattern.
        pattern: String,
        /// The column that may have been meant.
        nearest: Option<String>,
    },
    /// A pattern that is none.
    #[error("'{pattern}' is not a pattern of column names: {why}")]
    BadPattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
    /// A feature named as one of the frame's own columns.
    #[error("a feature may not be called '{column}': the frame has a column of that name")]
    Reserved {
        /// The feature.
        column: String,
    },
    /// A feature that two tables have.
    #[error("the feature '{column}' comes twice, from {first} and from {second}")]
    Clash {
        /// The feature.
        column: String,
        /// One table.
        first: String,
        /// The other.
        second: String,
    },
    /// A column that should hold dates and does not.
    #[error("column '{column}' of {input} is {found}, not DATE")]
    NotDates {
        /// The input.
        input: String,
        /// The column.
        column: String,
        /// The type found.
        found: String,
    },
    /// Columns that should hold numbers and do not.
    #[error("not numbers in {input}: {}", listed(columns, |(name, found)| format!("'{name}' ({found})")))]
    NotNumbers {
        /// The input.
        input: String,
        /// Column and type found.
        columns: Vec<(String, String)>,
    },
    /// Rows without a date.
    #[error("{rows} rows of {input} have no date")]
    NoDate {
        /// The input.
        input: String,
        /// How many.
        rows: usize,
    },
    /// Several rows for one date.
    #[error("{input} has several rows for one date: {}", listed(dates, ToString::to_string))]
    DuplicateDates {
        /// The input.
        input: String,
        /// The dates, ascending.
        dates: Vec<NaiveDate>,
    },
    /// An infinite number.
    #[error("column '{column}' of {input} is infinite on {}", listed(dates, ToString::to_string))]
    Infinite {
        /// The input.
        input: String,
        /// The column.
        column: String,
        /// The dates.
        dates: Vec<NaiveDate>,
    },
    /// A price series without a price.
    #[error("column '{column}' of the price table holds no price")]
    NoPrices {
        /// The column.
        column: String,
    },
    /// Prices that have no logarithm.
    #[error("a log return needs prices above zero, but the price is {}", listed(days, |(date, price)| format!("{price} on {date}")))]
    NotPositive {
        /// The days and their prices.
        days: Vec<(NaiveDate, f64)>,
    },
    /// A price that does not move for so long that it cannot be a market's.
    #[error("the price stays at {price} for {rows} rows in a row, {first} to {last}")]
    Frozen {
        /// The price.
        price: f64,
        /// How many rows.
        rows: usize,
        /// The first.
        first: NaiveDate,
        /// The last.
        last: NaiveDate,
    },
    /// A split that no row falls into.
    #[error("no {split} rows: no price from {from} to {to} has an outcome that the split may see (prices run from {first} to {last})")]
    NoRows {
        /// `train`, `valid` or `test`.
        split: &'static str,
        /// The range's first date.
        from: NaiveDate,
        /// The range's last date, or `today` where it is open.
        to: String,
        /// The first price.
        first: NaiveDate,
        /// The last price.
        last: NaiveDate,
    },
    /// No row to forecast from.
    #[error("no row to forecast from: the feature table has no row for any of the newest {rows} prices, {first} to {last}")]
    NothingToScore {
        /// How many prices have no outcome yet.
        rows: usize,
        /// The first of them.
        first: NaiveDate,
        /// The last.
        last: NaiveDate,
    },
    /// Too many train days without features.
    #[error("{} of {days} train days have no row in the feature table: {}", missing.len(), listed(missing, ToString::to_string))]
    MissingFeatures {
        /// The days without.
        missing: Vec<NaiveDate>,
        /// All train days.
        days: usize,
    },
    /// Features without a single value in the rows learners see.
    #[error("no value at all from {first} to {last} in: {}", listed(columns, |c| format!("'{c}'")))]
    AllMissing {
        /// The features.
        columns: Vec<String>,
        /// The first row's date.
        first: NaiveDate,
        /// The last row's date.
        last: NaiveDate,
    },
    /// Features that are what is to be forecast.
    #[error("not features but outcomes: {}", listed(columns, |c| format!("'{}' is {} {} rows later (on {} of {} train rows)", c.column, c.form, c.ahead, c.same, c.of)))]
    Outcomes {
        /// The features.
        columns: Vec<OutcomeFeature>,
    },
    /// A label that never changes.
    #[error("the label is constant: {label} on all {rows} train rows")]
    ConstantLabel {
        /// The label.
        label: f64,
        /// How many rows.
        rows: usize,
    },
    /// Days to learn from without a weight.
    #[error("'{}' has no weight in '{}' for {} of {days} days to learn from: {}", of.table, of.column, without.len(), ends(without))]
    NoWeight {
        /// The authority on weights.
        of: TableColumn,
        /// The days, ascending.
        without: Vec<NaiveDate>,
        /// All days to learn from.
        days: usize,
    },
    /// Weights that are none: below zero, infinite, or zero on every day.
    #[error("the weight '{}' of '{}' is {}", of.column, of.table, listed(days, |(date, weight)| format!("{weight} on {date}")))]
    BadWeight {
        /// The authority on weights.
        of: TableColumn,
        /// The days and their weights.
        days: Vec<(NaiveDate, f64)>,
    },
    /// A date that is none.
    #[error("'{text}' is not a date")]
    BadDate {
        /// The text.
        text: String,
    },
    /// The table cannot be read or written.
    #[error(transparent)]
    Table(#[from] TableFileError),
    /// Columns that do not fit together.
    #[error(transparent)]
    Arrow(#[from] arrow::error::ArrowError),
    /// A file cannot be written.
    #[error(transparent)]
    Files(#[from] FsError),
    /// `frame.json` is not what a frame says of itself.
    #[error("frame.json: {0}")]
    Json(#[from] serde_json::Error),
}

impl FrameError {
    /// What a person can do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownColumn { nearest: Some(name), .. } | Self::NoMatch { nearest: Some(name), .. } => {
                Some(format!("did you mean '{name}'?"))
            }
            Self::Reserved { column } => Some(format!("rename it in the SQL that makes it: {column} AS {column}_feature")),
            Self::Clash { column, .. } => {
                Some(format!("name it in one list of 'columns', or rename one in SQL: {column} AS other_{column}"))
            }
            Self::NotDates { column, .. } => Some(format!("cast it in the SQL that makes the table: CAST({column} AS DATE) AS {column}")),
            Self::NotNumbers { .. } => Some("leave them out of 'columns', or turn them into numbers in SQL".into()),
            Self::DuplicateDates { .. } => {
                Some("make one row a date in SQL: GROUP BY date, or QUALIFY ROW_NUMBER() OVER (PARTITION BY date …) = 1".into())
            }
            Self::NotPositive { .. } => Some("use label = \"level\", or leave those days out of the price table".into()),
            Self::NothingToScore { .. } => Some("the feature table is older than the price table: rebuild or extend it".into()),
            Self::MissingFeatures { missing, .. } => missing
                .last()
                .map(|last| format!("extend the feature table, or start 'train' after {last} if only its beginning is missing")),
            Self::NoDate { .. } => Some("leave them out in the SQL that makes the table: WHERE date IS NOT NULL".into()),
            Self::Infinite { column, .. } => {
                Some(format!("in the SQL that makes it, divide with SAFE_DIVIDE, or leave '{column}' out of 'columns'"))
            }
            Self::NoPrices { .. } => Some("name the column that holds prices: price = { table = …, column = … }".into()),
            Self::Frozen { .. } => {
                Some("leave those days out of the price table, in SQL: its source stood still, or the market was closed".into())
            }
            Self::NoRows { first, last, .. } => {
                Some(format!("move the ranges of 'split' to where prices are, {first} to {last}; each must be longer than the horizon"))
            }
            Self::Outcomes { .. } => Some("leave them out of 'columns': the frame makes the label itself, from the price series".into()),
            Self::ConstantLabel { .. } => Some("choose a range for 'train' in which the price moves".into()),
            Self::NoWeight { of, .. } => {
                Some(format!("extend '{}' to these days, or move the ranges of 'split': a weight is never made up", of.table))
            }
            Self::BadWeight { of, .. } => Some(format!("give every day a weight of zero or more in '{}', and some day more", of.table)),
            Self::AllMissing { .. } => Some("leave them out of 'columns', or start 'train' where they have values".into()),
            _ => None,
        }
    }
}

/// The first and the last of these days.
fn ends(days: &[NaiveDate]) -> String {
    match days {
        [] => String::new(),
        [day] => day.to_string(),
        [first, .., last] => format!("{first} to {last}"),
    }
}

/// The first few of `items`, and how many more there are.
fn listed<T>(items: &[T], show: impl Fn(&T) -> String) -> String {
    let mut text = items.iter().take(SHOWN).map(show).collect::<Vec<_>>().join(", ");
    if items.len() > SHOWN {
        let _ = write!(text, " and {} more", items.len() - SHOWN);
    }
    text
}
