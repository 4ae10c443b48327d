//! Owns what a search of parameters hands on. Invariant: it holds a choice and the rows the choice was made by, and nothing of how well it did, so the
//! same choice is the same bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::training::TrainedOn;

/// `tuned.json`: parameters that a search chose, or that its next rung goes on with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuned {
    /// The kind whose parameters they are.
    pub learner: String,
    /// The parameters as a recipe would give them: what was searched and what was the same in every trial.
    pub params: BTreeMap<String, Value>,
    /// The rows that trials learnt from and were ranked on.
    pub tuned_on: Vec<TrainedOn>,
}
