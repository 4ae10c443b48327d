//! Owns the rows of a frame. Invariant: every list of rows is ascending by date, each date once, and a row's features are those of its own date.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use crate::engine::frame::labels::Outcome;
use crate::engine::frame::read::Features;
use crate::engine::frame_file::Part;
use crate::engine::price_history::PriceHistory;

/// A frame, ready to be written.
#[derive(Debug)]
pub struct Frame {
    /// The feature table's chosen columns.
    pub features: Features,
    /// The weight of each date, NaN where it has none; where rows are weighted.
    pub weights: Option<BTreeMap<NaiveDate, f64>>,
    /// Rows to learn from.
    pub train: Vec<Row>,
    /// Rows for early stopping and weighting.
    pub valid: Vec<Row>,
    /// Rows for evaluation alone.
    pub test: Vec<Row>,
    /// The newest rows, whose outcome is not known yet.
    pub score: Vec<Row>,
    /// Every row whose outcome came by the end of the folds; empty where there are none.
    pub history: Vec<Row>,
    /// Every row whose outcome came before the present period of refits; empty where there are none.
    pub refit: Vec<Row>,
    /// Every row there is, whatever came of it; empty where no windows are read.
    pub timeline: Vec<Row>,
    /// Every known price.
    pub prices: PriceHistory,
    /// What was left out and why, and what deserves a look, in sentences.
    pub notes: Vec<String>,
}

/// A price's day with the feature row of the same date.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// The day.
    pub date: NaiveDate,
    /// The price known on it.
    pub price: f64,
    /// What came of it; known for all but the `score` rows.
    pub outcome: Option<Outcome>,
    /// Its row of the feature table.
    pub at: usize,
}

impl Frame {
    /// The rows of the timeline that are none of these, and stand among the `past` before one of them.
    #[must_use]
    pub fn past(&self, rows: &[Row], past: usize) -> Vec<Row> {
        let own: BTreeSet<NaiveDate> = rows.iter().map(|row| row.date).collect();
        let mut left = 0;
        let mut before: Vec<Row> = Vec::new();
        for row in self.timeline.iter().rev() {
            if own.contains(&row.date) {
                left = past;
            } else if left > 0 {
                before.push(*row);
                left -= 1;
            }
        }
        before.reverse();
        before
    }

    /// The rows that learners see: train, then valid.
    #[must_use]
    pub fn fit(&self) -> Vec<(Part, Row)> {
        let train = self.train.iter().map(|row| (Part::Train, *row));
        train.chain(self.valid.iter().map(|row| (Part::Valid, *row))).collect()
    }
}
