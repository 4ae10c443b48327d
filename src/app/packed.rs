//! Owns when blobs are put into packs: those that a build replaced, and in a collection all that the last build left nothing of. Invariant: what any target
//! has now stays a file, so that it is linked into place and not put together first.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::base::digest::{BlobId, ManifestId};
use crate::io::lock::Lock;
use crate::model::action::Input;
use crate::model::manifest::Manifest;
use crate::model::result::ActionResult;
use crate::registry::journal::BuiltTargets;
use crate::store::action_cache::Session;
use crate::store::error::StoreResult;
use crate::store::packing::{self, Done};

/// Packs what a build replaced, and what it read from outside: `before` and `now` are what all targets had. Nothing where another build is at work; what
/// is left then is packed by a collection.
///
/// # Errors
/// When the store cannot be read, or the disk refuses. Nothing is lost then.
pub fn after(session: &Session, before: &BuiltTargets, now: &BuiltTargets, known: &HashMap<ManifestId, Manifest>) -> StoreResult<Done> {
    let mut cold = HashSet::new();
    for (name, built) in now {
        let replaced = before.get(name).filter(|old| old.key != built.key);
        if before.get(name).is_some() && replaced.is_none() {
            continue;
        }
        if let Some(old) = replaced
            && let Some(result) = session.lookup(&old.key)?
        {
            cold.extend(blobs(&result));
        }
        if let Some(result) = session.lookup(&built.key)? {
            cold.extend(result.action.inputs.values().filter_map(|input| match input {
                Input::File { blob, .. } => Some(*blob),
                Input::Artifact(_) => None,
            }));
        }
    }
    let hot = if cold.is_empty() { HashSet::new() } else { hot(session, now, known)? };
    session.release()?;
    let cold: Vec<BlobId> = cold.into_iter().filter(|blob| !hot.contains(blob)).collect();
    match session.root().try_alone()? {
        Some(alone) if !cold.is_empty() => packing::pack(session.root(), session.content(), &cold, &alone),
        _ => Ok(Done::default()),
    }
}

/// Packs everything but what the targets have now.
///
/// # Errors
/// When the store cannot be read, or the disk refuses. Nothing is lost then.
pub fn all(session: &Session, now: &BuiltTargets, alone: &Lock) -> StoreResult<Done> {
    let hot = hot(session, now, &HashMap::new())?;
    session.release()?;
    let cold = packing::files_but(session.root(), &|blob| hot.contains(blob))?;
    packing::pack(session.root(), session.content(), &cold, alone)
}

/// The blobs of what all targets have.
fn hot(session: &Session, now: &BuiltTargets, known: &HashMap<ManifestId, Manifest>) -> StoreResult<HashSet<BlobId>> {
    let mut hot = HashSet::new();
    for built in now.values() {
        let manifests: BTreeMap<_, _> = built.artifacts.values().filter_map(|id| Some((id, known.get(id)?))).collect();
        if manifests.len() == built.artifacts.len() {
            hot.extend(manifests.into_values().flat_map(|manifest| manifest.files.values()).map(|file| file.blob));
        } else if let Some(result) = session.lookup(&built.key)? {
            hot.extend(blobs(&result));
        }
    }
    Ok(hot)
}

fn blobs(result: &ActionResult) -> impl Iterator<Item = BlobId> + '_ {
    result.outputs.values().flat_map(|manifest| manifest.files.values()).map(|file| file.blob)
}
