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

/// The files in a folder, those of its folders included, as paths relative to it with `/` between.
///
/// # Errors
/// When a folder cannot be read.
pub fn files(folder: &Path) -> FsResult<Vec<String>> {
    let (mut found, mut open) = (Vec::new(), vec![String::new()]);
    while let Some(below) = open.pop() {
        for entry in fs::list(&folder.join(&below))? {
            let name = entry.name.to_string_lossy();
            let path = if below.is_empty() { name.into_owned() } else { format!("{below}/{name}") };
            if entry.what == What::Folder { open.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    Ok(found)
}
