//! Owns what a running action says of how far it is. Invariant: it only shows; nothing that an action makes depends on whether anybody looks.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// What the file is called, in the folder that an action may keep things in between runs.
pub const FILE: &str = "progress.json";

/// How far an action is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What is counted: `epoch`.
    pub unit: String,
    /// How many are done.
    pub done: u64,
    /// How many there are at most.
    pub of: u64,
    /// Figures of the last one, by name.
    pub figures: BTreeMap<String, f64>,
    /// How long the rest takes at this pace, if all of it is done, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_ms: Option<u64>,
}

impl Progress {
    /// As people read it: `epoch 3 of 50, train_loss 0.4312, valid_loss 0.5120`.
    #[must_use]
    pub fn in_words(&self) -> String {
        let mut words = format!("{} {} of {}", self.unit, self.done, self.of);
        for (name, value) in &self.figures {
            let _ = write!(words, ", {name} {value:.4}");
        }
        words
    }
}
