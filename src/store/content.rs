//! Owns the content store's promise. Invariant: what is read under an id has that digest, or is not there.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::base::digest::BlobId;
use crate::store::error::StoreResult;

/// Bytes by their digest. One conformance suite (`tests/store_conformance.rs`) holds for every implementation.
pub trait ContentStore: Send + Sync {
    /// The size of a blob that is there whole; `None` is a miss. A blob that somebody wrote to is quarantined and a miss.
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn size_of(&self, id: &BlobId) -> StoreResult<Option<u64>>;

    /// Keeps `bytes`, once the batch is committed.
    ///
    /// # Errors
    /// When they cannot be kept.
    fn put_bytes(&self, bytes: &[u8], batch: &mut Batch) -> StoreResult<BlobId>;

    /// Keeps a copy of the file's bytes, hashed as they are copied, once the batch is committed; returns its id and size.
    ///
    /// # Errors
    /// When it cannot be read or kept.
    fn put_file(&self, path: &Path, batch: &mut Batch) -> StoreResult<(BlobId, u64)>;

    /// Takes over a file that is ours alone, without copying where that can be; it is gone from its place afterwards.
    ///
    /// # Errors
    /// When it cannot be read or kept.
    fn adopt_file(&self, path: &Path, batch: &mut Batch) -> StoreResult<(BlobId, u64)>;

    /// Opens a blob. Its reader fails at the end if the bytes were not the blob's.
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn open(&self, id: &BlobId) -> StoreResult<Option<Box<dyn Read + Send>>>;

    /// All bytes of a blob, checked; a damaged one is quarantined and a miss.
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn read(&self, id: &BlobId) -> StoreResult<Option<Vec<u8>>>;

    /// The read-only file that holds the blob, for stores that have one; made where the blob is kept in another way.
    ///
    /// # Errors
    /// When it cannot be made.
    fn local_path(&self, id: &BlobId) -> StoreResult<Option<PathBuf>>;

    /// Makes everything put with this batch readable, and returns when it survives a crash. Only then may a record name it. A batch may
    /// be committed again after a failure.
    ///
    /// # Errors
    /// When the disk refuses.
    fn commit(&self, batch: &Batch) -> StoreResult<()>;
}

/// Blobs on their way into the store. The disk is waited for once for all of them, not once for each.
#[derive(Debug, Default)]
#[must_use = "what was put is kept only when the batch is committed"]
pub struct Batch {
    /// Finished files that wait for their name.
    waiting: BTreeMap<BlobId, Waiting>,
    /// First bytes of the ids put or found: folders with entries that may not be on the disk yet. A blob found may have been put a
    /// moment ago by somebody who has not come to that.
    shards: BTreeSet<u8>,
    /// Finished files of bytes that another file already waits with.
    surplus: Vec<PathBuf>,
}

/// A finished file that waits for its name.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// Where it is now.
    pub path: PathBuf,
    /// Its bytes.
    pub size: u64,
}

impl Batch {
    /// A batch with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that `id` was put, or found, by this batch.
    pub fn touch(&mut self, id: &BlobId) {
        self.shards.insert(id.0.as_bytes()[0]);
    }

    /// Takes in a finished file.
    pub fn wait(&mut self, id: BlobId, path: PathBuf, size: u64) {
        self.touch(&id);
        self.waiting.insert(id, Waiting { path, size });
    }

    /// Whether a finished file of these bytes is in the batch.
    #[must_use]
    pub fn holds(&self, id: &BlobId) -> bool {
        self.waiting.contains_key(id)
    }

    /// The finished files.
    pub fn waiting(&self) -> impl Iterator<Item = (&BlobId, &Waiting)> {
        self.waiting.iter()
    }

    /// First bytes of the ids put or found.
    pub fn shards(&self) -> impl Iterator<Item = u8> + '_ {
        self.shards.iter().copied()
    }

    /// Puts two batches together, to be committed at once.
    pub fn merge(&mut self, other: &Self) {
        self.shards.extend(&other.shards);
        self.surplus.extend_from_slice(&other.surplus);
        for (id, waiting) in &other.waiting {
            match self.waiting.entry(*id) {
                Entry::Vacant(entry) => _ = entry.insert(waiting.clone()),
                Entry::Occupied(_) => self.surplus.push(waiting.path.clone()),
            }
        }
    }

    /// Files that can be removed once the batch is committed.
    #[must_use]
    pub fn surplus(&self) -> &[PathBuf] {
        &self.surplus
    }
}
