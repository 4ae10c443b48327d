//! Owns `out/`: each target's latest outputs, for people to look at. Invariant: it holds links only, so it can be deleted at any time, and
//! nothing reads it back.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::base::digest::{BlobId, ManifestId};
use crate::io::fs::{self, What};
use crate::model::build::BuiltTarget;
use crate::model::check::is_main;
use crate::model::manifest::Manifest;
use crate::registry::journal::BuiltTargets;
use crate::store::content::ContentStore;
use crate::store::error::StoreError;
use crate::store::local::LocalStore;
use crate::store::root::Root;

/// Makes the outputs of every target what its links lead to. Links of a build that was killed may lead anywhere, so each is looked at.
///
/// # Errors
/// When the folder cannot be written to.
pub fn link(root: &Root, store: &LocalStore, made: &BuiltTargets, manifests: &HashMap<ManifestId, Manifest>) -> Result<(), StoreError> {
    for (name, built) in made {
        link_target(root, store, &root.out().join(name), built, manifests)?;
    }
    Ok(())
}

fn link_target(
    root: &Root,
    store: &LocalStore,
    folder: &Path,
    built: &BuiltTarget,
    manifests: &HashMap<ManifestId, Manifest>,
) -> Result<(), StoreError> {
    let one = built.artifacts.keys().filter(|name| is_main(name)).count() == 1;
    for (artifact, id) in &built.artifacts {
        let Some(manifest) = manifests.get(id) else { continue };
        let place = if one && is_main(artifact) { folder.to_owned() } else { folder.join(artifact) };
        for (path, entry) in &manifest.files {
            link_file(store, &entry.blob, root, &place.join(path))?;
        }
    }
    Ok(())
}

/// Makes `path`, somewhere below `root`, a relative link to `blob`, also below `root`. Where a target's name is in the way of another's file,
/// the link is left out. The link is made elsewhere and renamed, for another build may be making it too.
fn link_file(store: &LocalStore, blob: &BlobId, root: &Root, path: &Path) -> Result<(), StoreError> {
    let blob = &store.local_path(blob)?.unwrap_or_else(|| store.path_of(blob));
    let parent = path.parent().unwrap_or(root.path());
    let depth = parent.strip_prefix(root.path()).map_or(0, |p| p.components().count());
    let up: PathBuf = std::iter::repeat_n("..", depth).collect();
    let target = up.join(blob.strip_prefix(root.path()).unwrap_or(blob));
    match fs::link_stat(path)? {
        Some(stat) if stat.what == What::Link && fs::read_link(path)? == target => return Ok(()),
        Some(stat) if stat.what == What::Folder => return Ok(()),
        Some(_) => {}
        None => match fs::create_folders(parent) {
            Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NotADirectory) => return Ok(()),
            done => done?,
        },
    }
    let scratch = root.scratch()?;
    fs::symlink(&target, &scratch)?;
    Ok(fs::rename(&scratch, path)?)
}
