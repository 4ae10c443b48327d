//! Owns folders with all that is in them. Invariant: a copy has the files of the original, and its links as the files that they lead to.

use std::path::Path;

use crate::io::fs::{self, FsResult, What};

/// Copies a folder's files, those of its folders included.
///
/// # Errors
/// When one cannot be read or written; what was copied before stays.
pub fn copy(from: &Path, to: &Path) -> FsResult<()> {
    fs::create_folders(to)?;
    for entry in fs::list(from)? {
        let (source, target) = (from.join(&entry.name), to.join(&entry.name));
        if entry.what == What::Folder { copy(&source, &target)? } else { fs::write(&target, &fs::read(&source)?)? }
    }
    Ok(())
}
