//! Owns what a running action says of how far it is. Invariant: it only shows; nothing that an action makes depends on whether anybody looks.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What the file is called, in the folder that an action may keep things in between runs.
pub const FILE: &str = "progress.json";

/// How far an action is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What is counted: `epoch` or `fold`.
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
    /// How far the part is that runs now, which says so in its own folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Box<Progress>>,
}

/// The folder, in that of an action, of the part that comes after so many.
#[must_use]
pub fn part(folder: &Path, done: u64) -> PathBuf {
    folder.join(done.to_string())
}

impl Progress {
    /// As people read it: `epoch 3 of 50, train_loss 0.4312, valid_loss 0.5120`, and of the part that runs `fold 2 of 12, epoch 3 of 50, …`.
    #[must_use]
    pub fn in_words(&self) -> String {
        let at = if self.within.is_some() { self.done + 1 } else { self.done };
        let mut words = format!("{} {at} of {}", self.unit, self.of);
        for (name, value) in &self.figures {
            let _ = write!(words, ", {name} {value:.4}");
        }
        if let Some(within) = &self.within {
            let _ = write!(words, ", {}", within.in_words());
        }
        words
    }
}
