//! Owns the way of artifacts between store and folders. Invariant: a folder captured and placed again has the same manifest.

use std::io::Read;
use std::path::Path;

use crate::io::file::File;
use crate::io::fs::{self, What};
use crate::model::manifest::{FileEntry, Manifest};
use crate::store::content::{Batch, ContentStore};
use crate::store::error::{StoreError, StoreResult};
use crate::store::local::STAMP;

/// Puts an artifact's files into `folder`, which is made where it is missing: by hard link, or a copy where a link cannot be. The files
/// are read-only.
///
/// # Errors
/// [`StoreError::Missing`] when a blob is not in the store; or when the disk refuses.
pub fn place(store: &dyn ContentStore, manifest: &Manifest, folder: &Path) -> StoreResult<()> {
    fs::create_folders(folder)?;
    let mut made = folder.to_owned();
    for (name, entry) in &manifest.files {
        let path = folder.join(name);
        if let Some(parent) = path.parent()
            && parent != made
        {
            fs::create_folders(parent)?;
            parent.clone_into(&mut made);
        }
        place_file(store, entry, &path)?;
    }
    Ok(())
}

/// Puts one blob at `path`, where nothing may be yet.
///
/// # Errors
/// [`StoreError::Missing`] when it is not in the store; or when the disk refuses.
pub fn place_file(store: &dyn ContentStore, entry: &FileEntry, path: &Path) -> StoreResult<()> {
    if store.size_of(&entry.blob)? != Some(entry.size) {
        return Err(StoreError::Missing { blob: entry.blob });
    }
    match store.local_path(&entry.blob)? {
        // A copy, too, shares the file's blocks where the file system can (APFS): there it is as cheap as a link, and safer.
        Some(blob) if entry.executable || cfg!(target_os = "macos") => copy(&blob, path, entry.executable),
        Some(blob) => match fs::hard_link(&blob, path) {
            Err(error) if fs::cannot_link(error.kind()) => copy(&blob, path, false),
            done => Ok(done?),
        },
        None => write_out(store, entry, path),
    }
}

/// Puts a copy of one blob at `path`, where nothing may be yet: a file that others may come to write to.
///
/// # Errors
/// [`StoreError::Missing`] when it is not in the store; or when the disk refuses.
pub fn copy_file(store: &dyn ContentStore, entry: &FileEntry, path: &Path) -> StoreResult<()> {
    if store.size_of(&entry.blob)? != Some(entry.size) {
        return Err(StoreError::Missing { blob: entry.blob });
    }
    write_out(store, entry, path)
}

fn copy(blob: &Path, path: &Path, executable: bool) -> StoreResult<()> {
    fs::copy(blob, path)?;
    finish(path, executable)
}

fn write_out(store: &dyn ContentStore, entry: &FileEntry, path: &Path) -> StoreResult<()> {
    let mut reader = store.open(&entry.blob)?.ok_or(StoreError::Missing { blob: entry.blob })?;
    let mut file = File::create_new(path)?;
    let mut buffer = vec![0; 256 << 10];
    loop {
        let n = reader.read(&mut buffer).map_err(|_| StoreError::Missing { blob: entry.blob })?;
        if n == 0 {
            return finish(path, entry.executable);
        }
        file.write(&buffer[..n])?;
    }
}

fn finish(path: &Path, executable: bool) -> StoreResult<()> {
    fs::set_mode(path, 0o644)?;
    fs::set_modified(path, STAMP)?;
    fs::set_mode(path, if executable { 0o555 } else { 0o444 })?;
    Ok(())
}

/// Takes all files below `folder` into the store, once the batch is committed, and returns their manifest. The folder must stay until then;
/// the files are gone from it afterwards.
///
/// # Errors
/// When something in it is not a plain file, a name is not text, or the disk refuses.
pub fn capture(store: &dyn ContentStore, folder: &Path, batch: &mut Batch) -> StoreResult<Manifest> {
    let mut files = Vec::new();
    walk(folder, "", &mut |name, path| {
        let executable = fs::link_stat(path)?.is_some_and(|s| s.executable());
        let (blob, size) = store.adopt_file(path, batch)?;
        files.push((name.to_owned(), FileEntry { blob, size, executable }));
        Ok(())
    })?;
    Ok(Manifest::new(files)?)
}

/// Hands every file below `folder` on, with its name relative to it.
fn walk(folder: &Path, prefix: &str, each: &mut dyn FnMut(&str, &Path) -> StoreResult<()>) -> StoreResult<()> {
    for entry in fs::list(folder)? {
        let path = folder.join(&entry.name);
        let Some(name) = entry.name.to_str() else { return Err(StoreError::Name { path }) };
        let name = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        match entry.what {
            What::File => each(&name, &path)?,
            What::Folder => walk(&path, &name, each)?,
            What::Link => return Err(StoreError::Link { path }),
            What::Other => return Err(StoreError::Special { path }),
        }
    }
    Ok(())
}
