//! Owns what an action left behind. Invariant: a result is recorded only when every output it names is in the store.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::digest::{ActionKey, BlobId};
use crate::model::action::Action;
use crate::model::check::Verdict;
use crate::model::manifest::Manifest;

/// The record of one executed action: what it was, what it made, what it cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionResult {
    /// The action's key.
    pub key: ActionKey,
    /// The whole action, so that it can be explained, compared and run again.
    pub action: Action,
    /// The target it was run for first; a hint for people, never part of the key.
    pub target: String,
    /// Artifact name → its files.
    pub outputs: BTreeMap<String, Manifest>,
    /// Named numbers the action reported.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
    /// Sentences the action reported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What the checks of the table it made found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Verdict>,
    /// Its standard output and error, where there was any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<BlobId>,
    /// What it cost.
    pub cost: Cost,
    /// When it ended, milliseconds since 1970 UTC.
    pub ended_ms: u64,
}

impl ActionResult {
    /// One that no step made: these outputs, and nothing that running says.
    #[must_use]
    pub fn plain(action: Action, target: String, outputs: BTreeMap<String, Manifest>, ended_ms: u64) -> Self {
        Self {
            key: action.key(),
            action,
            target,
            outputs,
            metrics: BTreeMap::new(),
            notes: Vec::new(),
            checks: Vec::new(),
            log: None,
            cost: Cost::default(),
            ended_ms,
        }
    }

    /// The record's bytes.
    ///
    /// # Errors
    /// When it could not be read back as it is, with what is wrong with it.
    pub fn to_record(&self) -> Result<Vec<u8>, String> {
        if let Some((name, value)) = self.metrics.iter().find(|(_, v)| !v.is_finite()) {
            return Err(format!("metric '{name}' is {value}"));
        }
        if self.key != self.action.key() {
            return Err(format!("key {} is not that of the action", self.key));
        }
        serde_json::to_vec(self).map_err(|e| e.to_string())
    }
}

/// What one run of an action cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cost {
    /// Elapsed milliseconds.
    pub wall_ms: u64,
    /// User and system CPU milliseconds.
    pub cpu_ms: u64,
    /// Peak resident memory in bytes.
    pub peak_bytes: u64,
    /// Bytes that it was given to read; 0 where that was not recorded.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub input_bytes: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::Digest;

    #[test]
    fn a_record_from_before_there_were_checks_is_read() {
        let hash = Digest::of(b"x");
        let text = format!(
            r#"{{"key":"{hash}","action":{{"kind":"sql","version":1,"platform":"","threads":1,"params":{{}},"outputs":[]}},"target":"a.b",
            "outputs":{{}},"cost":{{"wall_ms":1,"cpu_ms":1,"peak_bytes":1}},"ended_ms":0}}"#
        );
        let result: ActionResult = serde_json::from_str(&text).unwrap();
        assert_eq!(result.checks, []);
        assert!(!serde_json::to_string(&result).unwrap().contains("checks"), "and is written as it was");
    }
}
