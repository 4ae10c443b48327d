//! Owns `out/`: each target's latest outputs, for people to look at. Invariant: it holds links only, so it can be deleted at any time, and
//! nothing reads it back.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::base::digest::ManifestId;
use crate::io::fs::{self, FsError, What};
use crate::model::build::BuiltTarget;
use crate::model::manifest::Manifest;
use crate::registry::journal::BuiltTargets;
use crate::store::error::StoreError;
use crate::store::local::LocalStore;
use crate::store::root::Root;

/// Links the outputs of every target that was made anew or whose links are gone.
///
/// # Errors
/// When the folder cannot be written to.
pub fn link(
    root: &Root,
    store: &LocalStore,
    made: &BuiltTargets,
    last: &BuiltTargets,
    manifests: &HashMap<ManifestId, Manifest>,
) -> Result<(), StoreError> {
    for (name, built) in made {
        let folder = root.out().join(name);
        let same = last.get(name).is_some_and(|b| b.artifacts == built.artifacts) && fs::link_stat(&folder)?.is_some();
        if !same {
            link_target(root, store, &folder, built, manifests)?;
        }
    }
    Ok(())
}

fn link_target(
    root: &Root,
    store: &LocalStore,
    folder: &Path,
    built: &BuiltTarget,
    manifests: &HashMap<ManifestId, Manifest>,
) -> Result<(), FsError> {
    let one = built.artifacts.len() == 1;
    for (artifact, id) in &built.artifacts {
        let Some(manifest) = manifests.get(id) else { continue };
        let place = if one { folder.to_owned() } else { folder.join(artifact) };
        for (path, entry) in &manifest.files {
            link_file(&store.path_of(&entry.blob), root.path(), &place.join(path))?;
        }
    }
    Ok(())
}

/// Makes `path`, somewhere below `root`, a relative link to `blob`, also below `root`. Where a target's name is in the way of another's file,
/// the link is left out.
fn link_file(blob: &Path, root: &Path, path: &Path) -> Result<(), FsError> {
    let parent = path.parent().unwrap_or(root);
    if fs::create_folders(parent).is_err() {
        return Ok(());
    }
    let depth = parent.strip_prefix(root).map_or(0, |p| p.components().count());
    let up: PathBuf = std::iter::repeat_n("..", depth).collect();
    let target = up.join(blob.strip_prefix(root).unwrap_or(blob));
    match fs::link_stat(path)? {
        Some(stat) if stat.what == What::Folder => return Ok(()),
        Some(_) => fs::remove_file(path)?,
        None => {}
    }
    fs::symlink(&target, path)
}
