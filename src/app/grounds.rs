//! Owns the grounds of builds in the store. Invariant: what is kept is what was read, not what lies there afterwards.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::app::sources::Sources;
use crate::app::workspace::Workspace;
use crate::base::digest::{BlobId, Digest};
use crate::io::fs;
use crate::model::action::Input;
use crate::model::build::Build;
use crate::model::grounds::Grounds;
use crate::model::manifest::{FileEntry, Manifest};
use crate::model::recipe::Source;
use crate::plan::judge::Judge;
use crate::store::action_cache::Session;
use crate::store::content::{Batch, ContentStore};
use crate::store::error::StoreResult;
use crate::store::materialize::copy_file;

/// Puts what a build stood on into the store, each file once however many builds read it. Tables are there because a step read them; where there is a
/// mirror, so are those that none had to read. Tables that this build did not need are as the last one had them, as targets that it did not need are.
///
/// # Errors
/// When the disk refuses.
pub fn keep(
    session: &Session,
    workspace: &Workspace,
    sources: &Sources,
    (profile, judge): (Option<&str>, &Judge),
    last: Option<&Build>,
) -> StoreResult<BlobId> {
    let shared = workspace.settings.mirror.is_some();
    let store = session.content();
    let mut batch = Batch::new();
    let mut files = BTreeMap::new();
    for (path, text) in workspace.texts.all_read() {
        let blob = store.put_bytes(text.as_bytes(), &mut batch)?;
        files.insert(path, FileEntry { blob, size: text.len() as u64, executable: false });
    }
    let mut tables: BTreeMap<String, Option<Input>> = workspace.tables.keys().map(|table| (table.clone(), None)).collect();
    for (source, (input, path)) in sources.pinned() {
        match (source, &input) {
            (Source::WarehouseTable(table), _) => {
                // What no step of this build read goes into the mirror all the same.
                if let Input::File { blob, .. } = &input
                    && shared
                {
                    kept(store, *blob, &path, &mut batch)?;
                }
                tables.insert(table, Some(input));
            }
            (Source::File(file), Input::File { blob, executable, .. }) => {
                if let Some(size) = kept(store, *blob, &path, &mut batch)? {
                    files.insert(file, FileEntry { blob: *blob, size, executable: *executable });
                }
            }
            _ => {}
        }
    }
    let before = last.and_then(|build| build.grounds).map(|blob| read(store, &blob)).transpose()?.flatten();
    for (table, input) in before.map(|before| before.tables).unwrap_or_default() {
        let unread = tables.get(&table).is_some_and(Option::is_none);
        if let Some(Input::File { blob, .. }) = &input
            && unread
            && store.size_of(blob)?.is_some()
        {
            tables.insert(table, input);
        }
    }
    let grounds = Grounds {
        files: Manifest { files },
        tables,
        profile: profile.map(str::to_owned),
        as_of: workspace.as_of.clone(),
        day: judge.day.to_string(),
        allow_stale: judge.allow_stale,
    };
    let blob = store.put_bytes(&serde_json::to_vec(&grounds).unwrap_or_default(), &mut batch)?;
    store.commit(&batch)?;
    Ok(blob)
}

/// A file's bytes in the store; nothing where it has changed since it was read: what ran with it has put it there before.
fn kept(store: &dyn ContentStore, blob: BlobId, path: &Path, batch: &mut Batch) -> StoreResult<Option<u64>> {
    if let Some(size) = store.size_of(&blob)? {
        return Ok(Some(size));
    }
    let (found, size) = store.put_file(path, batch)?;
    Ok((found == blob).then_some(size))
}

/// What is kept of a build's grounds; `None` where something of them is gone.
///
/// # Errors
/// When the store cannot be read.
pub fn read(store: &dyn ContentStore, blob: &BlobId) -> StoreResult<Option<Grounds>> {
    Ok(store.read(blob)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// Lays the files of a build's grounds out in a new folder, and tells its real path.
///
/// # Errors
/// When one of them is gone, or the disk refuses.
pub fn lay_out(session: &Session, grounds: &Grounds) -> StoreResult<PathBuf> {
    let folder = session.root().scratch()?;
    fs::create_folders(&folder)?;
    for (name, entry) in &grounds.files.files {
        let path = folder.join(name);
        fs::create_folders(path.parent().unwrap_or(&folder))?;
        copy_file(session.content(), entry, &path)?;
    }
    Ok(fs::real_path(&folder)?)
}

/// Where the tables of a build's grounds are now: in the store; else in the warehouse as it is today, if that has the same bytes.
#[must_use]
pub fn tables(
    session: &Session,
    grounds: &Grounds,
    today: &BTreeMap<String, PathBuf>,
) -> (BTreeMap<Source, (Input, PathBuf)>, Vec<String>) {
    let (mut found, mut lost) = (BTreeMap::new(), Vec::new());
    for (table, input) in &grounds.tables {
        let Some(input @ Input::File { blob, .. }) = input else { continue };
        let there = matches!(session.content().size_of(blob), Ok(Some(_)));
        let stored = session.content().local_path(blob).ok().flatten().filter(|_| there);
        let same = |path: &&PathBuf| matches!(session.hash_file(path), Ok(now) if now == *blob);
        let path = stored.or_else(|| today.get(table).filter(same).cloned()).unwrap_or_else(|| {
            lost.push(table.clone());
            PathBuf::from(format!("{table} as it was ({})", Digest::short(&blob.0)))
        });
        found.insert(Source::WarehouseTable(table.clone()), (input.clone(), path));
    }
    (found, lost)
}
