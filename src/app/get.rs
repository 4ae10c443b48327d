//! Owns `cbi get`. Invariant: the folder appears with everything in it or not at all, and nothing in it leads back into the store.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::app::problem::{self, Outcome};
use crate::app::resolve::{Records, Thing};
use crate::app::tables;
use crate::app::workspace::Options;
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::io::fs::{self, FsError, What};
use crate::model::check::is_main;
use crate::model::manifest::Manifest;
use crate::store::action_cache::Session;
use crate::store::content::ContentStore;
use crate::store::error::{StoreError, StoreResult};
use crate::store::local::LocalStore;

/// What was copied.
#[derive(Debug, Serialize)]
pub struct Got {
    /// The target.
    pub target: String,
    /// The folder.
    pub folder: PathBuf,
    /// Files in it, relative to it.
    pub files: Vec<String>,
    /// Their bytes together.
    pub size: u64,
}

/// Copies a target's artifacts, or one artifact, into `folder`: the files of a single artifact as they are, those of several in a folder each.
///
/// # Errors
/// When there is no such artifact, the folder is not free, or the disk refuses.
pub fn get(options: &Options, text: &str, folder: &Path) -> Outcome<Got> {
    let records = Records::open(options, text)?;
    let (target, artifacts) = match records.find(text)? {
        Thing::Target { made, .. } | Thing::Action(made) if made.outputs.len() > 1 => {
            let named = made.outputs.keys().map(|name| records.artifact(&format!("{text}#{name}")));
            (made.target, named.collect::<Outcome<Vec<_>>>()?)
        }
        _ => {
            let one = records.artifact(text)?;
            (one.made.target.clone(), vec![one])
        }
    };
    if let Some(lost) = artifacts.iter().find(|a| !records.is_whole(&a.files)) {
        return Err(vec![tables::gone(lost)]);
    }
    check_free(folder)?;
    let _reading = records.session.root().building().map_err(problem::stores)?;
    let artifacts = artifacts.into_iter().map(|artifact| (artifact.name, artifact.files)).collect();
    put(&records.session, target, &artifacts, folder)
}

/// Copies artifacts, all of which are in the store, into a folder that is free.
///
/// # Errors
/// When the disk refuses.
pub(super) fn put(session: &Session, target: String, artifacts: &BTreeMap<String, Manifest>, folder: &Path) -> Outcome<Got> {
    let (files, size) = layout(artifacts);
    copy_whole(session.content(), &files, folder).map_err(|error| vec![Diagnostic::of(ExitCode::ActionFailed, &error)])?;
    Ok(Got { target, folder: folder.to_owned(), files: files.files.into_keys().collect(), size })
}

/// All files under the paths they get.
fn layout(artifacts: &BTreeMap<String, Manifest>) -> (Manifest, u64) {
    let (alone, several) = (artifacts.len() == 1, artifacts.keys().filter(|name| is_main(name)).count() > 1);
    let mut all = Manifest::default();
    for (name, files) in artifacts {
        for (path, entry) in &files.files {
            let own_folder = !alone && (several || !is_main(name));
            let path = if own_folder { format!("{name}/{path}") } else { path.clone() };
            all.files.insert(path, *entry);
        }
    }
    let size = all.size();
    (all, size)
}

/// Refuses a folder that holds anything.
pub(super) fn check_free(folder: &Path) -> Outcome<()> {
    let taken = |what: &str| {
        let message = format!("'{}' {what}", folder.display());
        Err(vec![Diagnostic::new(ExitCode::Usage, message).hint("name a folder that is empty or does not exist")])
    };
    let problem = |error: FsError| vec![Diagnostic::of(ExitCode::ActionFailed, &error)];
    match fs::link_stat(folder).map_err(problem)?.map(|stat| stat.what) {
        None => Ok(()),
        Some(What::Folder) if fs::list(folder).map_err(problem)?.is_empty() => Ok(()),
        Some(What::Folder) => taken("is not empty"),
        Some(_) => taken("is not a folder"),
    }
}

/// Copies into a folder beside the one asked for, which then gets its name.
fn copy_whole(store: &LocalStore, files: &Manifest, folder: &Path) -> StoreResult<()> {
    let parent = folder.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_folders(parent)?;
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let scratch = parent.join(format!(".{name}.cbi-{}", std::process::id()));
    let done = copy(store, files, &scratch).and_then(|()| Ok(fs::rename(&scratch, folder)?));
    if done.is_err() {
        // What failed is told; what is left of it would only be in the way.
        _ = fs::remove_tree(&scratch);
    }
    done
}

fn copy(store: &LocalStore, files: &Manifest, folder: &Path) -> StoreResult<()> {
    fs::create_folder(folder)?;
    for (name, entry) in &files.files {
        let path = folder.join(name);
        fs::create_folders(path.parent().unwrap_or(folder))?;
        let blob = store.local_path(&entry.blob)?.ok_or(StoreError::Missing { blob: entry.blob })?;
        fs::copy(&blob, &path)?;
        fs::set_mode(&path, if entry.executable { 0o755 } else { 0o644 })?;
    }
    Ok(())
}
