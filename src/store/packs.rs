//! Owns blobs that are kept in chunks, in packs. Invariant: a blob is on the list only when all packs that it names were on the disk before, and a pack is
//! removed only when no blob on the list names it.
//!
//! `packs/HASH` are packs as [`crate::store::pack`] has them, `journal/packed.log` is the list: the newest record of a blob says where it lies, or that it is
//! kept so no more.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::base::digest::{BlobId, Digest, PackId};
use crate::io::file::File;
use crate::io::fs::{self, FsError};
use crate::store::error::{StoreError, StoreResult};
use crate::store::log::{Item, Log};
use crate::store::pack::{Filling, LONGEST_PACK, Pack, Segment};
use crate::store::root::Root;
use crate::store::unpacking::Unpacking;

/// A record of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packed {
    /// The blob.
    pub blob: BlobId,
    /// Its bytes.
    pub size: u64,
    /// Where they lie, in order; `None` where it is kept so no more.
    pub segments: Option<Vec<Segment>>,
}

/// The blobs of a cache that are kept in chunks.
#[derive(Debug, Clone)]
pub struct Packs {
    root: Root,
    list: Arc<Mutex<Option<List>>>,
}

/// Why a blob could not be handed on.
enum Unread {
    Pack(io::Error),
    Other(StoreError),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Self::Pack(error)
    }
}

/// The list as far as it was read.
#[derive(Debug)]
struct List {
    log: Log,
    read_to: u64,
    blobs: HashMap<BlobId, Packed>,
}

impl Packs {
    /// Those in `root`. Nothing is read yet.
    #[must_use]
    pub fn new(root: Root) -> Self {
        Self { root, list: Arc::default() }
    }

    /// Where a pack is, or would be.
    #[must_use]
    pub fn path_of(&self, pack: &PackId) -> PathBuf {
        self.root.packs().join(pack.to_string())
    }

    /// The size of a blob that is kept here, if all packs that it lies in are there.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub fn size_of(&self, id: &BlobId) -> StoreResult<Option<u64>> {
        let Some(packed) = self.find(id)? else { return Ok(None) };
        let mut ends: HashMap<PackId, u64> = HashMap::new();
        for segment in packed.segments.iter().flatten() {
            let end = ends.entry(segment.pack).or_default();
            *end = segment.end().max(*end);
        }
        for (pack, end) in ends {
            if fs::link_stat(&self.path_of(&pack))?.is_none_or(|stat| stat.size < end) {
                return Ok(None);
            }
        }
        Ok(Some(packed.size))
    }

    /// Opens a blob that is kept here. Its reader fails at the end if the bytes were not the blob's.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub fn open(&self, id: &BlobId) -> StoreResult<Option<Unpacking<'static>>> {
        let segments = self.find(id)?.and_then(|packed| packed.segments);
        let packs = self.clone();
        Ok(segments.map(|segments| Unpacking::new(*id, segments, Box::new(move |segment| packs.segment(segment)))))
    }

    /// All bytes of a blob that is kept here; one that is damaged is taken off the list.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, id: &BlobId) -> StoreResult<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        let whole = self.each(id, |part| {
            bytes.extend_from_slice(part);
            Ok(())
        })?;
        Ok(whole.then_some(bytes))
    }

    /// Hands on the bytes of a blob that is kept here; one that is damaged is taken off the list. Says whether all of it was there.
    ///
    /// # Errors
    /// When it cannot be read, or as `each`.
    pub fn each(&self, id: &BlobId, mut each: impl FnMut(&[u8]) -> StoreResult<()>) -> StoreResult<bool> {
        let Some(reader) = self.open(id)? else { return Ok(false) };
        let whole = reader.each(|part| each(part).map_err(Unread::Other));
        match whole {
            Ok(true) => Ok(true),
            Ok(false) => {
                // In a read-only cache it stays on the list, and is found damaged each time.
                _ = self.forget(&[*id]);
                Ok(false)
            }
            Err(Unread::Other(error)) => Err(error),
            Err(Unread::Pack(source)) => Err(FsError { operation: "read", path: self.root.packs(), source }.into()),
        }
    }

    /// All blobs that are kept here.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub fn all(&self) -> StoreResult<HashMap<BlobId, Packed>> {
        self.with(|list| list.blobs.clone())
    }

    /// Reads all blobs that are kept here, and says of each whether it is whole.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn check(&self) -> StoreResult<Vec<(Packed, bool)>> {
        let mut read = Vec::new();
        for (blob, packed) in self.all()? {
            let Some(reader) = self.open(&blob)? else { continue };
            let whole = reader.each(|_| Ok::<_, io::Error>(()));
            read.push((packed, whole.map_err(|source| FsError { operation: "read", path: self.root.packs(), source })?));
        }
        Ok(read)
    }

    /// Puts blobs on the list; their packs are on the disk. They survive a crash when this returns.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn list(&self, packed: &[Packed]) -> StoreResult<()> {
        if packed.is_empty() {
            return Ok(());
        }
        let payloads = packed.iter().map(serde_json::to_vec).collect::<Result<Vec<_>, _>>();
        let payloads = payloads.map_err(|why| StoreError::Record { why: why.to_string() })?;
        _ = Log::open(&self.root.packed_log())?.append_all(&payloads)?;
        Ok(())
    }

    /// Takes blobs off the list.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn forget(&self, blobs: &[BlobId]) -> StoreResult<()> {
        let gone: Vec<Packed> = blobs.iter().map(|blob| Packed { blob: *blob, size: 0, segments: None }).collect();
        self.list(&gone)
    }

    /// Writes a pack. It survives a crash when this returns.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, pack: &Pack) -> StoreResult<()> {
        fs::create_folders(&self.root.packs())?;
        let scratch = self.root.scratch()?;
        let mut file = File::create_new(&scratch)?;
        file.write(&pack.bytes)?;
        file.set_mode(0o444)?;
        file.sync()?;
        fs::step("pack.written", &scratch)?;
        fs::rename(&scratch, &self.path_of(&pack.id))?;
        fs::sync(&self.root.packs())?;
        fs::step("pack.named", &self.root.packs())?;
        Ok(())
    }

    /// All packs and their bytes.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn packs(&self) -> StoreResult<Vec<(PackId, u64)>> {
        let mut packs = Vec::new();
        for entry in fs::list_if_any(&self.root.packs())? {
            let Some(id) = entry.name.to_str().and_then(|name| name.parse().ok()).map(PackId) else { continue };
            if let Some(stat) = fs::link_stat(&self.path_of(&id))? {
                packs.push((id, stat.size));
            }
        }
        Ok(packs)
    }

    fn find(&self, id: &BlobId) -> StoreResult<Option<Packed>> {
        self.with(|list| list.blobs.get(id).cloned())
    }

    /// Reads what was added to the list, by whatever process, and looks at it.
    fn with<T>(&self, look: impl FnOnce(&List) -> T) -> StoreResult<T> {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        let list = match &mut *list {
            Some(list) => list,
            none => none.insert(List { log: Log::open(&self.root.packed_log())?, read_to: 0, blobs: HashMap::new() }),
        };
        if list.log.reopen()? {
            (list.read_to, list.blobs) = (0, HashMap::new());
        }
        if list.log.size()? > list.read_to {
            for item in list.log.read_from(list.read_to) {
                if let Item::Record { end, payload, .. } = item? {
                    list.read_to = end;
                    if let Ok(packed) = serde_json::from_slice::<Packed>(&payload) {
                        match packed.segments {
                            Some(_) => _ = list.blobs.insert(packed.blob, packed),
                            None => _ = list.blobs.remove(&packed.blob),
                        }
                    }
                }
            }
        }
        Ok(look(list))
    }

    /// A segment's bytes in its pack; `None` where they are not there.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn segment(&self, segment: &Segment) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = File::open_if_any(&self.path_of(&segment.pack)).map_err(io::Error::other)? else { return Ok(None) };
        let Some(length) = usize::try_from(segment.length).ok().filter(|length| *length as u64 <= LONGEST_PACK) else {
            return Ok(None);
        };
        let mut bytes = vec![0; length];
        let filled = file.read_at(&mut bytes, segment.at).map_err(io::Error::other)?;
        Ok((filled == length).then_some(bytes))
    }
}

/// Chunks on their way into packs: each once, whoever adds it.
pub struct Gathering<'a> {
    packs: &'a Packs,
    /// Where chunks lie that are in packs.
    pub places: HashMap<Digest, Segment>,
    filling: Filling,
    /// Bytes of the packs that were written.
    pub written: u64,
}

impl<'a> Gathering<'a> {
    /// One that knows of chunks that lie in packs already.
    #[must_use]
    pub fn new(packs: &'a Packs, places: HashMap<Digest, Segment>) -> Self {
        Self { packs, places, filling: Filling::default(), written: 0 }
    }

    /// Adds a chunk, unless it is there, and writes the pack that it fills.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn add(&mut self, digest: Digest, chunk: &[u8]) -> StoreResult<()> {
        if !self.places.contains_key(&digest) && !self.filling.holds(&digest) {
            self.filling.add(digest, chunk);
            if self.filling.is_full() {
                self.finish()?;
            }
        }
        Ok(())
    }

    /// Writes what is left: all that was added has its place then.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish(&mut self) -> StoreResult<()> {
        if self.filling.is_empty() {
            return Ok(());
        }
        let pack = std::mem::take(&mut self.filling).finish();
        self.packs.write(&pack)?;
        self.written += pack.bytes.len() as u64;
        self.places.extend(pack.chunks);
        Ok(())
    }
}
