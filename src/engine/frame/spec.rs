//! Owns what a frame is asked to be. Invariant: it says nothing of the rows there are, so a spec is known before any data is.

use std::collections::BTreeMap;

use chrono::{Datelike, NaiveDate};
use serde::{Deserialize, Serialize};

use crate::engine::frame::error::FrameError;
use crate::engine::frame::splits::Splits;
use crate::model::folds::Folds;
use crate::model::training::{FrameRecord, Label, PriceColumn, Split, TableColumn};

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
    /// The authority on row weights, where rows are weighted.
    pub weight: Option<TableColumn>,
    /// Its column of dates.
    pub weight_date: String,
    /// Further tables of features, joined by what was known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub join: Vec<JoinSpec>,
    /// Slot of a joined table → how many days after its date a row of it is known; 0 where it is not here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lags: BTreeMap<String, u32>,
    /// How to cut a history into folds, where there is to be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folds: Option<Folds>,
    /// How often models are to be trained again on all that is known, where they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refit: Option<Refit>,
    /// How many rows of features before each row are kept, where models read windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub past: Option<u32>,
}

/// A further table of features.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinSpec {
    /// The table, `dataset.table`.
    pub table: String,
    /// Names and patterns of its feature columns, in order.
    pub columns: Vec<String>,
    /// Its column of dates.
    pub date: String,
    /// How many days after its date a row says nothing any more.
    pub max_age_days: u32,
}

/// The slot of the joined table with this index.
#[must_use]
pub fn join_slot(index: usize) -> String {
    format!("join:{index}")
}

/// How often models are trained again on all that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refit {
    /// When a month ends.
    Monthly,
    /// When a quarter of the year ends.
    Quarterly,
    /// When a year ends.
    Yearly,
}

impl Refit {
    /// The first day of the period that `date` lies in: outcomes before it are learnt from.
    #[must_use]
    pub fn period_of(self, date: NaiveDate) -> NaiveDate {
        let month = match self {
            Self::Monthly => date.month(),
            Self::Quarterly => (date.month() - 1) / 3 * 3 + 1,
            Self::Yearly => 1,
        };
        NaiveDate::from_ymd_opt(date.year(), month, 1).unwrap_or(date)
    }
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
        self.unsplit_record(features, None)
    }

    /// The record of the `folds` artifact.
    #[must_use]
    pub fn folds_record(&self, features: &[String]) -> FrameRecord {
        FrameRecord { folds: self.folds.clone(), ..self.unsplit_record(features, self.weight.clone()) }
    }

    /// The record of the `refit` artifact: nothing in it says how far it reaches, for its rows do.
    #[must_use]
    pub fn refit_record(&self, features: &[String]) -> FrameRecord {
        self.unsplit_record(features, self.weight.clone())
    }

    /// How many days after its date a row of the joined table with this index is known.
    #[must_use]
    pub fn lag(&self, index: usize) -> u32 {
        self.lags.get(&join_slot(index)).copied().unwrap_or_default()
    }

    fn unsplit_record(&self, features: &[String], weight: Option<TableColumn>) -> FrameRecord {
        self.record(features, Split { train: None, valid: None, test: None }, weight)
    }

    fn record(&self, features: &[String], split: Split, weight: Option<TableColumn>) -> FrameRecord {
        FrameRecord {
            features: features.to_vec(),
            label: self.label,
            price: self.price.clone(),
            split,
            weight,
            folds: None,
            joined: Vec::new(),
            past: self.past,
        }
    }
}
