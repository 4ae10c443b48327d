//! Owns source files that releases stand on, in a mirror. Invariant: each is a result of its own, whose action follows from its name and its bytes, so it is found
//! by who knows these and by nobody's list.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::base::digest::BlobId;
use crate::mirror::artifact;
use crate::mirror::bucket::Bucket;
use crate::mirror::epochs::Epochs;
use crate::mirror::error::MirrorResult;
use crate::mirror::records;
use crate::model::action::Action;
use crate::model::manifest::{FileEntry, Manifest};
use crate::model::result::ActionResult;
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
    let params = json!({ "name": name, "blob": blob });
    Action { outputs: BTreeSet::from([ARTIFACT.to_owned()]), ..Action::plain(KIND, VERSION, params) }
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
        let outputs = BTreeMap::from([(ARTIFACT.to_owned(), files)]);
        results.push(ActionResult::plain(action(name, blob), format!("source {name}"), outputs, at_ms));
    }
    Ok(results)
}

/// Brings a source into the store; says whether it is there now.
///
/// # Errors
/// When the bucket does not answer, or the store cannot be written to.
pub fn bring(bucket: &Bucket, session: &Session, name: &str, blob: &BlobId) -> MirrorResult<bool> {
    let key = action(name, blob).key();
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
