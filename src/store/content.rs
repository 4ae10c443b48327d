//! Owns the content store's promise. Invariant: what is read under an id has that digest, or is not there.

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

    /// Keeps `bytes`. Durable after [`commit`](Self::commit) of the batch.
    ///
    /// # Errors
    /// When they cannot be kept.
    fn put_bytes(&self, bytes: &[u8], batch: &mut Batch) -> StoreResult<BlobId>;

    /// Keeps a copy of the file's bytes, hashed as they are copied, and returns its id and size.
    ///
    /// # Errors
    /// When it cannot be read or kept.
    fn put_file(&self, path: &Path, batch: &mut Batch) -> StoreResult<(BlobId, u64)>;

    /// Takes over a file that is ours alone, without copying where that can be; `path` is gone afterwards.
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

    /// The read-only file that holds the blob, for stores that have one.
    fn local_path(&self, id: &BlobId) -> Option<PathBuf>;

    /// Returns when everything put with this batch survives a crash. Only then may a record name it.
    ///
    /// # Errors
    /// When the disk refuses.
    fn commit(&self, batch: Batch) -> StoreResult<()>;
}

/// The folders whose new entries are not yet known to be on the disk: each is synced once for all blobs put with the batch.
#[derive(Debug, Default)]
#[must_use = "what was put survives a crash only after the batch is committed"]
pub struct Batch {
    shards: std::collections::BTreeSet<u8>,
}

impl Batch {
    /// A batch with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that `id` was put, or found, by this batch. A blob found may have been put a moment ago by somebody who has not synced yet.
    pub fn touch(&mut self, id: &BlobId) {
        self.shards.insert(id.0.as_bytes()[0]);
    }

    /// First bytes of the ids touched.
    pub fn shards(&self) -> impl Iterator<Item = u8> + '_ {
        self.shards.iter().copied()
    }
}
