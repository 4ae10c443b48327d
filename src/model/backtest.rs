//! Owns what a backtest says of itself. Invariant: it names every row that the training of each fold saw.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::training::{FrameRecord, LevelRecord, TrainedOn};

/// `backtest.json`: what was trained, and on which rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BacktestRecord {
    /// The kind of model.
    pub kind: String,
    /// The frame's record, with how its history was cut.
    pub frame: FrameRecord,
    /// The learner's parameters in every fold.
    pub params: BTreeMap<String, serde_json::Value>,
    /// The levels of a quantile set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub levels: Vec<f64>,
    /// The folds, in order.
    pub folds: Vec<FoldRecord>,
}

/// One fold: what it forecast and what it had seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoldRecord {
    /// First date forecast from.
    pub first: String,
    /// Last date forecast from.
    pub last: String,
    /// Rows forecast.
    pub rows: u64,
    /// Rounds kept, where the learner has rounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounds: Option<u32>,
    /// The models of a quantile set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub levels: Vec<LevelRecord>,
    /// Every row that its training saw.
    pub trained_on: Vec<TrainedOn>,
}
