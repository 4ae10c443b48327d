//! Owns source files that releases stand on, in a mirror. Invariant: each is a result of its own, whose action follows from its name and its bytes, so it is found
//! by who knows these and by nobody's list.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::base::digest::{ActionKey, BlobId};
use crate::mirror::artifact;
use crate::mirror::bucket::Bucket;
use crate::mirror::epochs::Epochs;
use crate::mirror::error::MirrorResult;
use crate::mirror::records;
use crate::model::action::Action;
use crate::model::manifest::{FileEntry, Manifest};
use crate::model::result::{ActionResult, Cost};
use crate::store::action_cache::Session;
use crate::store::content::ContentStore;
use crate::store::error::StoreResult;

/// The kind of a source's record. No recipe has it.
const KIND: &str = "source";
/// Raised when a source lies there otherwise.
const VERSION: u32 = 1;
/// The artifact with the file.
const ARTIFACT: &str = "file";

fn action(name: &str, blob: &BlobId) -> Action {
    Action {
        kind: KIND.to_owned(),
        version: VERSION,
        engines: BTreeMap::new(),
        platform: String::new(),
        threads: 1,
        params: json!({ "name": name, "blob": blob }),
        inputs: BTreeMap::new(),
        outputs: BTreeSet::from([ARTIFACT.to_owned()]),
    }
}

/// The action under which a source's record lies.
fn key(name: &str, blob: &BlobId) -> ActionKey {
    action(name, blob).key()
}

/// Sources as results that can be pushed; those that are not in the store are left out.
///
/// # Errors
/// When the store cannot be read.
pub fn results_of(store: &dyn ContentStore, sources: &BTreeMap<String, BlobId>, at_ms: u64) -> StoreResult<Vec<ActionResult>> {
    let mut results = Vec::new();
    for (name, blob) in sources {
        let Some(size) = store.size_of(blob)? else { continue };
        let Ok(files) = Manifest::new([(name.clone(), FileEntry { blob: *blob, size, executable: false })]) else { continue };
        let action = action(name, blob);
        results.push(ActionResult {
            key: action.key(),
            action,
            target: format!("source {name}"),
            outputs: BTreeMap::from([(ARTIFACT.to_owned(), files)]),
            metrics: BTreeMap::new(),
            notes: Vec::new(),
            checks: Vec::new(),
            log: None,
            cost: Cost::default(),
            ended_ms: at_ms,
        });
    }
    Ok(results)
}

/// Whether a source's record is there and believed.
///
/// # Errors
/// When the bucket does not answer.
pub fn is_there(bucket: &Bucket, key: &ActionKey) -> MirrorResult<bool> {
    for epoch in Epochs::of(bucket)?.readable() {
        if records::get(bucket, epoch, key)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Brings a source into the store; says whether it is there now.
///
/// # Errors
/// When the bucket does not answer, or the store cannot be written to.
pub fn bring(bucket: &Bucket, session: &Session, name: &str, blob: &BlobId) -> MirrorResult<bool> {
    let key = key(name, blob);
    for epoch in Epochs::of(bucket)?.readable() {
        let Some(record) = records::get(bucket, epoch, &key)? else { continue };
        if let Some(id) = record.artifacts.get(ARTIFACT)
            && artifact::bring(bucket, session, id)?.is_some()
            && session.content().size_of(blob)?.is_some()
        {
            return Ok(true);
        }
    }
    Ok(false)
}
