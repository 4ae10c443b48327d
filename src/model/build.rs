//! Owns the record of one build. Invariant: a build names every target's action key and artifacts, so any past state can be shown again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::digest::{ActionKey, BlobId, BuildId, Digest, ManifestId};

/// One run of `cbi build` that changed something or asked for other targets than the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// When it began, milliseconds since 1970 UTC.
    pub started_ms: u64,
    /// When it ended.
    pub ended_ms: u64,
    /// What was asked for, as typed; empty for the workspace's defaults.
    pub requested: Vec<String>,
    /// Steps run, reused and failed.
    pub counts: Counts,
    /// How it ended: `ok`, `failed` or `interrupted`.
    pub outcome: String,
    /// The list of `BuiltTarget`s, as JSON in the content store: one name → one entry.
    pub targets: BlobId,
    /// What ran and did not make its target, in the order in which it ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// The instant that the tables of a remote warehouse were read at, by its clock, milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instant_ms: Option<i64>,
    /// What it stood on, as JSON in the content store; nothing in records of before that was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grounds: Option<BlobId>,
}

impl Build {
    /// Its line of the journal.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn to_record(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// The hash of the build whose line of the journal this is.
    #[must_use]
    pub fn id_of(record: &[u8]) -> BuildId {
        BuildId(Digest::derive("cbi 1 build", record))
    }
}

/// A run that did not make its target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The target.
    pub target: String,
    /// When it began, milliseconds since 1970 UTC.
    pub started_ms: u64,
    /// When it ended.
    pub ended_ms: u64,
    /// `failed`, or `outgrew`: it was ended for its memory and ran again.
    pub outcome: String,
}

/// How many steps a build ran, reused and saw fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Executed observe, compute and deliver steps that succeeded.
    pub ran: u64,
    /// Steps whose recorded result was taken.
    pub reused: u64,
    /// Steps that failed.
    pub failed: u64,
}

/// What a build made of one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltTarget {
    /// The action that made it.
    pub key: ActionKey,
    /// Artifact name → hash.
    pub artifacts: BTreeMap<String, ManifestId>,
}
