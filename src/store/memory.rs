//! Owns the content store in memory, for tests. Invariant: the same promises as the local store, without a disk.

use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::digest::{BlobId, Digest};
use crate::io::fs;
use crate::store::content::{Batch, ContentStore};
use crate::store::error::StoreResult;

/// Blobs in a map.
#[derive(Debug, Default)]
pub struct MemoryStore {
    blobs: Mutex<HashMap<BlobId, Arc<[u8]>>>,
}

impl MemoryStore {
    fn blobs(&self) -> MutexGuard<'_, HashMap<BlobId, Arc<[u8]>>> {
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ContentStore for MemoryStore {
    fn size_of(&self, id: &BlobId) -> StoreResult<Option<u64>> {
        Ok(self.blobs().get(id).map(|b| b.len() as u64))
    }

    fn put_bytes(&self, bytes: &[u8], batch: &mut Batch) -> StoreResult<BlobId> {
        let id = BlobId(Digest::of(bytes));
        batch.touch(&id);
        self.blobs().entry(id).or_insert_with(|| bytes.into());
        Ok(id)
    }

    fn put_file(&self, path: &Path, batch: &mut Batch) -> StoreResult<(BlobId, u64)> {
        let bytes = fs::read(path)?;
        Ok((self.put_bytes(&bytes, batch)?, bytes.len() as u64))
    }

    fn adopt_file(&self, path: &Path, batch: &mut Batch) -> StoreResult<(BlobId, u64)> {
        let put = self.put_file(path, batch)?;
        fs::remove_file(path)?;
        Ok(put)
    }

    fn open(&self, id: &BlobId) -> StoreResult<Option<Box<dyn Read + Send>>> {
        Ok(self.blobs().get(id).map(|b| Box::new(Cursor::new(Arc::clone(b))) as _))
    }

    fn read(&self, id: &BlobId) -> StoreResult<Option<Vec<u8>>> {
        Ok(self.blobs().get(id).map(|b| b.to_vec()))
    }

    fn local_path(&self, _id: &BlobId) -> StoreResult<Option<PathBuf>> {
        Ok(None)
    }

    fn commit(&self, _batch: &Batch) -> StoreResult<()> {
        Ok(())
    }
}
