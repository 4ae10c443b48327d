//! Owns the way of blobs into packs. Invariant: a blob's own file goes only after the blob was read back out of its packs.
//!
//! What is at hand is kept in files of its own, so that it can be linked into place; what is only kept is kept in chunks, so that versions of a table that
//! share most of their bytes take little more room than one.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::base::digest::{BlobId, Digest};
use crate::io::file::File;
use crate::io::fs;
use crate::io::lock::Lock;
use crate::store::content::ContentStore;
use crate::store::cutting::chunks;
use crate::store::error::StoreResult;
use crate::store::local::LocalStore;
use crate::store::pack::{Segment, head, joined};
use crate::store::packs::{Gathering, Packed, Packs};
use crate::store::root::Root;

/// Shorter blobs stay files: their place in a list would be as long as what it saves.
pub const WORTH: u64 = 32 << 10;

/// What packing did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// Blobs that are kept in packs now and were files before.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of packs that were written for them.
    pub written: u64,
}

/// Puts those of these blobs that are worth it into packs, and removes their files. `alone` is the lock of [`Root::alone`].
///
/// # Errors
/// When the store cannot be read, or the disk refuses; what is not packed stays as it was.
pub fn pack(root: &Root, store: &LocalStore, blobs: &[BlobId], _alone: &Lock) -> StoreResult<Done> {
    let packs = store.packs();
    let mut files = Vec::new();
    for blob in blobs {
        if let Some(stat) = fs::link_stat(&store.path_of(blob))?
            && stat.size >= WORTH
        {
            files.push((*blob, stat.size));
        }
    }
    let mut done = Done::default();
    if files.is_empty() {
        return Ok(done);
    }
    root.raise()?;
    let mut new = Vec::new();
    for (blob, size) in &files {
        if packs.size_of(blob)? != Some(*size) {
            new.push((*blob, *size));
        }
    }
    let mut gathering = Gathering::new(packs, if new.is_empty() { HashMap::new() } else { known(packs)? });
    let mut all = Vec::new();
    for (blob, size) in new {
        all.extend(cut(&mut gathering, store, blob, size)?);
    }
    gathering.finish()?;
    let place = |(blob, size, chunks): (BlobId, u64, Vec<Digest>)| {
        let segments = chunks.iter().map(|chunk| gathering.places.get(chunk).copied()).collect::<Option<Vec<_>>>()?;
        Some(Packed { blob, size, segments: Some(joined(segments)) })
    };
    packs.list(&all.into_iter().filter_map(place).collect::<Vec<_>>())?;
    done.written = gathering.written;
    fs::step("packed.listed", root.path())?;
    for (blob, size) in files {
        if packs.each(&blob, |_| Ok(()))? {
            fs::remove_file(&store.path_of(&blob))?;
            fs::step("packed.removed", root.path())?;
            (done.blobs, done.bytes) = (done.blobs + 1, done.bytes + size);
        }
    }
    Ok(done)
}

/// Where the chunks of all packs are.
fn known(packs: &Packs) -> StoreResult<HashMap<Digest, Segment>> {
    let mut known = HashMap::new();
    for (pack, _) in packs.packs()? {
        let Some(file) = File::open_if_any(&packs.path_of(&pack))? else { continue };
        let read = |at, length| {
            let mut bytes = vec![0; length];
            let filled = file.read_at(&mut bytes, at).map_err(std::io::Error::other)?;
            bytes.truncate(filled);
            Ok::<_, std::io::Error>(bytes)
        };
        // What cannot be read is no use to build on; `fsck` names the blobs that suffer.
        known.extend(head(pack, read).unwrap_or_default());
    }
    Ok(known)
}

/// Cuts a blob, and gathers its chunks; nothing where it is damaged.
fn cut(gathering: &mut Gathering, store: &LocalStore, blob: BlobId, size: u64) -> StoreResult<Option<(BlobId, u64, Vec<Digest>)>> {
    let Some(reader) = store.open(&blob)? else { return Ok(None) };
    let mut all = Vec::new();
    for chunk in chunks(reader, size) {
        // Who needs it will find it damaged, too, and quarantine it.
        let Ok(chunk) = chunk else { return Ok(None) };
        let digest = Digest::of(&chunk);
        all.push(digest);
        gathering.add(digest, &chunk)?;
    }
    Ok(Some((blob, size, all)))
}

/// The files that are blobs of their own and not among these, with their sizes.
///
/// # Errors
/// When the store cannot be read.
pub fn files_but(root: &Root, hot: &dyn Fn(&BlobId) -> bool) -> StoreResult<Vec<BlobId>> {
    let mut cold = Vec::new();
    for shard in fs::list_if_any(&root.blobs())? {
        let folder: PathBuf = root.blobs().join(&shard.name);
        let names = fs::list_if_any(&folder)?.into_iter();
        let blobs = names.filter_map(|entry| entry.name.to_str()?.parse().ok().map(BlobId));
        cold.extend(blobs.filter(|blob| !hot(blob)));
    }
    Ok(cold)
}
