//! Owns the folders that actions run in, one after another. Invariant: when an action begins they hold its declared inputs and nothing else,
//! and what is kept of them afterwards is exactly its declared outputs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::base::digest::BlobId;
use crate::io::fs::{self, FsError, What};
use crate::model::manifest::{FileEntry, Manifest, ManifestError};
use crate::store::content::{Batch, ContentStore};
use crate::store::error::StoreError;
use crate::store::materialize;

/// What the process is asked to do, and what it answers; for engines.
pub const REQUEST: &str = "request.json";
/// See [`REQUEST`].
pub const RESPONSE: &str = "response.json";

/// The permissions of every folder that an action is given, whatever the umask.
const FOLDER_MODE: u32 = 0o755;

/// The folders of one action at a time, removed when dropped. They are kept from one action to the next, for making and removing folders
/// costs more than many an action.
#[derive(Debug)]
pub struct Sandbox {
    root: PathBuf,
    /// The folders in `work` that were made for the action, relative to it.
    folders: BTreeSet<String>,
}

/// Outputs that are not what was declared.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// A declared output was not written.
    #[error("the output '{path}' was not written")]
    Missing {
        /// The artifact or path.
        path: String,
    },
    /// Something was written that no output declares.
    #[error("'{path}' was written but is not a declared output")]
    Undeclared {
        /// Its path in the sandbox.
        path: String,
    },
    /// The files cannot be an artifact.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The store refused them.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// They could not be read.
    #[error(transparent)]
    Fs(#[from] FsError),
}

impl Sandbox {
    /// Makes the folders at `root`, which must be free.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn create(root: PathBuf) -> Result<Self, FsError> {
        fs::create_folder(&root)?;
        let sandbox = Self { root, folders: BTreeSet::new() };
        for folder in [sandbox.work(), sandbox.tmp()] {
            fs::create_folder(&folder)?;
            fs::set_mode(&folder, FOLDER_MODE)?;
        }
        Ok(sandbox)
    }

    /// Places the files of `inputs` in the working folder, and makes the folders that `outputs` go into.
    ///
    /// # Errors
    /// When a blob is not in the store, or the disk refuses.
    pub fn lay_out(&mut self, store: &dyn ContentStore, inputs: &Manifest, outputs: &BTreeSet<String>) -> Result<(), StoreError> {
        let work = self.work();
        let wanted: BTreeSet<String> = inputs.files.keys().chain(outputs).flat_map(|path| folders_above(path)).collect();
        // What is deeper sorts later: it goes first and comes last.
        for folder in self.folders.iter().rev().filter(|f| !wanted.contains(*f)) {
            fs::remove_tree(&work.join(folder))?;
        }
        for folder in wanted.iter().filter(|f| !self.folders.contains(*f)) {
            fs::create_folder(&work.join(folder))?;
            fs::set_mode(&work.join(folder), FOLDER_MODE)?;
        }
        self.folders = wanted;
        for (path, entry) in &inputs.files {
            materialize::place_file(store, entry, &work.join(path))?;
        }
        Ok(())
    }

    /// Leaves nothing of the action that ran here, save the folders it was given.
    ///
    /// # Errors
    /// When something cannot be removed: then these folders are of no more use.
    pub fn clear(&self) -> Result<(), FsError> {
        for folder in [self.inputs(), self.outputs()] {
            fs::remove_tree(&folder)?;
        }
        for file in [REQUEST, RESPONSE] {
            fs::remove_file(&self.file(file))?;
        }
        clear(&self.tmp(), "", &BTreeSet::new())?;
        clear(&self.work(), "", &self.folders)
    }

    /// Where the process works: inputs of a command, and all it may change.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// Where an engine's inputs are, one folder a slot.
    #[must_use]
    pub fn inputs(&self) -> PathBuf {
        self.root.join("in")
    }

    /// Where an engine writes its artifacts, one folder each.
    #[must_use]
    pub fn outputs(&self) -> PathBuf {
        self.root.join("out")
    }

    /// Scratch space for the process.
    #[must_use]
    pub fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// What the process printed.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// A file beside the folders.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Keeps every declared artifact, each from its folder under `outputs`.
    ///
    /// # Errors
    /// When one is missing or empty, one too many is there, or the store refuses.
    pub fn capture_artifacts(
        &self,
        store: &dyn ContentStore,
        names: &BTreeSet<String>,
        batch: &mut Batch,
    ) -> Result<BTreeMap<String, Manifest>, OutputError> {
        let folder = self.outputs();
        for entry in fs::list_if_any(&folder)? {
            let name = entry.name.to_string_lossy().into_owned();
            if !names.contains(&name) {
                return Err(OutputError::Undeclared { path: name });
            }
        }
        let mut artifacts = BTreeMap::new();
        for name in names {
            let place = folder.join(name);
            let missing = || OutputError::Missing { path: name.clone() };
            if fs::stat(&place)?.is_none() {
                return Err(missing());
            }
            let manifest = materialize::capture(store, &place, batch)?;
            if manifest.files.is_empty() {
                return Err(missing());
            }
            artifacts.insert(name.clone(), manifest);
        }
        Ok(artifacts)
    }

    /// Keeps exactly the files at `paths` in the working folder; `placed` are the inputs' paths there.
    ///
    /// # Errors
    /// When one is missing, something else was written, or the store refuses.
    pub fn capture_files(
        &self,
        store: &dyn ContentStore,
        paths: &BTreeSet<String>,
        placed: &BTreeSet<String>,
        batch: &mut Batch,
    ) -> Result<Manifest, OutputError> {
        let work = self.work();
        // What is missing is said first: a wrong name shows as both. Nothing is taken before all is known to be right.
        let mut stats = BTreeMap::new();
        for path in paths {
            match fs::link_stat(&work.join(path))? {
                None => return Err(OutputError::Missing { path: path.clone() }),
                Some(stat) if stat.what == What::Link => return Err(StoreError::Link { path: path.into() }.into()),
                Some(stat) if stat.what != What::File => return Err(StoreError::Special { path: path.into() }.into()),
                Some(stat) => stats.insert(path, stat),
            };
        }
        let mut extra = Vec::new();
        find_extra(&work, "", &mut |path| {
            if !paths.contains(path) && !placed.contains(path) {
                extra.push(path.to_owned());
            }
        })?;
        if let Some(path) = extra.into_iter().min() {
            return Err(OutputError::Undeclared { path });
        }
        let mut files = Vec::new();
        for (path, stat) in stats {
            let (blob, size) = store.adopt_file(&work.join(path), batch)?;
            files.push((path.clone(), FileEntry { blob, size, executable: stat.executable() }));
        }
        Ok(Manifest::new(files)?)
    }
}

/// Calls `found` with the relative path of everything under `folder` that is not a folder.
fn find_extra(folder: &Path, prefix: &str, found: &mut dyn FnMut(&str)) -> Result<(), FsError> {
    for entry in fs::list(folder)? {
        let path = format!("{prefix}{}", entry.name.to_string_lossy());
        if entry.what == What::Folder {
            find_extra(&folder.join(&entry.name), &format!("{path}/"), found)?;
        } else {
            found(&path);
        }
    }
    Ok(())
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // The work area it stands in is removed by the next build where this fails.
        _ = fs::remove_tree(&self.root);
    }
}

/// Removes all below `folder` but the folders in `keep`, which get back the mode that they were made with.
fn clear(folder: &Path, prefix: &str, keep: &BTreeSet<String>) -> Result<(), FsError> {
    for entry in fs::list(folder)? {
        let (path, name) = (folder.join(&entry.name), format!("{prefix}{}", entry.name.to_string_lossy()));
        match entry.what {
            What::Folder if keep.contains(&name) => clear(&path, &format!("{name}/"), keep)?,
            What::Folder => fs::remove_tree(&path)?,
            _ => fs::remove_file(&path)?,
        }
    }
    match fs::link_stat(folder)? {
        Some(stat) if stat.mode & 0o7777 == FOLDER_MODE => Ok(()),
        _ => fs::set_mode(folder, FOLDER_MODE),
    }
}

/// The folders that a relative path lies in, the outermost first.
fn folders_above(path: &str) -> impl Iterator<Item = String> + '_ {
    path.match_indices('/').map(|(at, _)| path[..at].to_owned())
}

/// Every blob of these manifests.
pub fn blobs<'a>(manifests: impl IntoIterator<Item = &'a Manifest>) -> impl Iterator<Item = BlobId> {
    manifests.into_iter().flat_map(|m| m.files.values().map(|f| f.blob))
}
