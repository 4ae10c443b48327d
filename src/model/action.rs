//! Owns actions and their keys. Invariant: the key is the hash of exactly the fields that `walk` names, and `walk` names everything that
//! determines the outputs: never the target's name, a path of this machine, the time, the user or the scheduler's budget.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::canon::{ExplainSink, HashSink, Sink, walk_json};
use crate::base::digest::{ActionKey, BlobId, ManifestId};

/// Stands in a platform class between the processor and the graphics adapter.
pub const ADAPTER: &str = "+";

/// Everything that determines an action's outputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// The recipe kind that implements it.
    pub kind: String,
    /// The implementation's version; raised when the same spec would give other bytes.
    pub version: u32,
    /// Engine name → identity: digest of the library loaded, or version of the code compiled in.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub engines: BTreeMap<String, String>,
    /// Operating system, architecture and SIMD level, and after a `+` the graphics adapter where one computes: results can depend on them.
    pub platform: String,
    /// Threads the action uses.
    pub threads: u32,
    /// The resolved spec: parameters, SQL text without comments and layout, seeds.
    pub params: Value,
    /// Input slot → content.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, Input>,
    /// Artifacts it must make.
    pub outputs: BTreeSet<String>,
}

/// The content that feeds one input slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// An artifact made by another action.
    Artifact(ManifestId),
    /// A single file: a source of the workspace or a warehouse table's file. The name is kept, for its ending tells the format.
    File {
        /// Its bytes.
        blob: BlobId,
        /// Its base name.
        name: String,
        /// Whether it may be executed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        executable: bool,
    },
}

impl Input {
    /// The artifact, where it is one.
    #[must_use]
    pub fn artifact(&self) -> Option<&ManifestId> {
        if let Self::Artifact(id) = self { Some(id) } else { None }
    }
}

impl Action {
    /// The key under which its result is kept.
    #[must_use]
    pub fn key(&self) -> ActionKey {
        let mut sink = HashSink::new("cbi 1 action");
        self.walk(&mut sink);
        ActionKey(sink.finish())
    }

    /// The processor's part of the platform class.
    #[must_use]
    pub fn processor(&self) -> &str {
        self.platform.split_once(ADAPTER).map_or(&self.platform, |(processor, _)| processor)
    }

    /// The graphics adapter that computes it, where one does.
    #[must_use]
    pub fn adapter(&self) -> Option<&str> {
        self.platform.split_once(ADAPTER).map(|(_, adapter)| adapter)
    }

    /// One of `cbi` itself, of which neither a platform nor an engine decides anything: without inputs and outputs.
    #[must_use]
    pub fn plain(kind: &str, version: u32, params: Value) -> Self {
        Self {
            kind: kind.to_owned(),
            version,
            engines: BTreeMap::new(),
            platform: String::new(),
            threads: 1,
            params,
            inputs: BTreeMap::new(),
            outputs: BTreeSet::new(),
        }
    }

    /// Every field that enters the key, as path and value.
    #[must_use]
    pub fn explain(&self) -> Vec<(String, String)> {
        let mut sink = ExplainSink::default();
        self.walk(&mut sink);
        sink.finish()
    }

    /// Each input's hash by its slot: the artifact's, or the file's bytes'.
    #[must_use]
    pub fn digests(&self) -> BTreeMap<String, String> {
        let digest = |input: &Input| match input {
            Input::Artifact(id) => id.to_string(),
            Input::File { blob, .. } => blob.to_string(),
        };
        self.inputs.iter().map(|(slot, input)| (slot.clone(), digest(input))).collect()
    }

    fn walk(&self, sink: &mut dyn Sink) {
        sink.field("kind", &self.kind);
        sink.field("version", &self.version.to_string());
        sink.open("engines");
        for (name, identity) in &self.engines {
            sink.field(name, identity);
        }
        sink.close();
        sink.field("platform", &self.platform);
        sink.field("threads", &self.threads.to_string());
        walk_json(sink, "params", &self.params);
        sink.open("inputs");
        for (slot, input) in &self.inputs {
            sink.open(slot);
            match input {
                Input::Artifact(id) => sink.field("artifact", &id.to_string()),
                Input::File { blob, name, executable } => {
                    sink.field("file", &blob.to_string());
                    sink.field("name", name);
                    sink.field("executable", if *executable { "1" } else { "0" });
                }
            }
            sink.close();
        }
        sink.close();
        sink.open("outputs");
        for name in &self.outputs {
            sink.field(name, "");
        }
        sink.close();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::base::digest::Digest;

    fn action() -> Action {
        Action {
            kind: "sql".into(),
            version: 1,
            engines: BTreeMap::from([("duckdb".into(), "abc".into())]),
            platform: "linux-x86_64-avx2".into(),
            threads: 1,
            params: json!({"sql": "SELECT 1", "key": ["date"]}),
            inputs: BTreeMap::from([("table:a.b".into(), Input::Artifact(ManifestId(Digest::of(b"a"))))]),
            outputs: BTreeSet::from(["table".into()]),
        }
    }

    #[test]
    fn the_key_notices_every_field() {
        let base = action();
        let changes: [fn(&mut Action); 8] = [
            |a| a.kind = "table".into(),
            |a| a.version = 2,
            |a| _ = a.engines.insert("duckdb".into(), "abd".into()),
            |a| a.platform = "macos-aarch64".into(),
            |a| a.threads = 2,
            |a| a.params = json!({"sql": "SELECT 1", "key": ["time"]}),
            |a| _ = a.inputs.insert("table:a.c".into(), Input::Artifact(ManifestId(Digest::of(b"a")))),
            |a| _ = a.outputs.insert("extra".into()),
        ];
        for change in changes {
            let mut other = base.clone();
            change(&mut other);
            assert_ne!(other.key(), base.key(), "{other:?}");
            assert_ne!(other.explain(), base.explain());
        }
    }

    #[test]
    fn the_key_of_a_known_action_never_changes_unnoticed() {
        // A change here makes every cached result unreachable: raise the schema number in the context with it.
        insta::assert_snapshot!(action().key(), @"1d85b8e7be2abc1bf62101748a56edf72e8a7d7f5ba915cf6df25f57b7ee7d85");
    }

    #[test]
    fn an_action_read_back_from_its_record_has_the_same_key() {
        let text = serde_json::to_string(&action()).unwrap();
        assert_eq!(serde_json::from_str::<Action>(&text).unwrap().key(), action().key());
    }
}
