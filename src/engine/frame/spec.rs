//! Owns what a frame is asked to be. Invariant: it says nothing of the rows there are, so a spec is known before any data is.

use serde::{Deserialize, Serialize};

use crate::engine::frame::error::FrameError;
use crate::engine::frame::splits::Splits;
use crate::model::training::{FrameRecord, Label, PriceColumn, Split};

/// What a frame is made from and how; the params of a `frame` action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrameSpec {
    /// The feature table's column of dates.
    pub date: String,
    /// Names and patterns of feature columns, in order.
    pub columns: Vec<String>,
    /// Where the price comes from.
    pub price: PriceColumn,
    /// The price table's column of dates.
    pub price_date: String,
    /// What is learnt.
    pub label: Label,
    /// The date ranges; all three are needed.
    pub split: Split,
    /// The feature table's column of row weights.
    pub weight: Option<String>,
}

impl FrameSpec {
    /// The date ranges, read.
    ///
    /// # Errors
    /// When a date is none or a range is missing.
    pub fn splits(&self) -> Result<Splits, FrameError> {
        Splits::new(&self.split)
    }

    /// The record of the `fit` artifact: nothing in it says where testing begins or ends, for that must not retrain a model.
    #[must_use]
    pub fn fit_record(&self, features: &[String]) -> FrameRecord {
        self.record(features, Split { test: None, ..self.split.clone() }, self.weight.clone())
    }

    /// The record of the `test` artifact.
    #[must_use]
    pub fn test_record(&self, features: &[String]) -> FrameRecord {
        self.record(features, Split { train: None, valid: None, test: self.split.test.clone() }, None)
    }

    /// The record of the `score` artifact, whose rows no range determines.
    #[must_use]
    pub fn score_record(&self, features: &[String]) -> FrameRecord {
        self.record(features, Split { train: None, valid: None, test: None }, None)
    }

    fn record(&self, features: &[String], split: Split, weight: Option<String>) -> FrameRecord {
        FrameRecord { features: features.to_vec(), label: self.label, price: self.price.clone(), split, weight }
    }
}
