//! Owns the memory of files already hashed. Invariant: an entry is believed only while nothing about the file has changed, and is made
//! only when a change that leaves its attributes as they are could no longer happen.

use std::path::Path;

use crate::base::clock;
use crate::base::digest::{BlobId, Digest};
use crate::io::file::File;
use crate::io::fs::{self, Stat, What};
use crate::store::error::{StoreError, StoreResult};
use crate::store::hash::hash;

/// Files change unnoticed within one tick of the file system's clock. No clock in use ticks slower.
const TICK_NS: i128 = 50_000_000;

/// What a file was like when it was hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memo {
    size: u64,
    mtime_ns: i128,
    ctime_ns: i128,
    inode: u64,
    blob: BlobId,
}

/// Bytes of an encoded entry.
pub const ENCODED: usize = 80;

impl Memo {
    /// The digest, if the file is as it was.
    #[must_use]
    pub fn digest_if(&self, now: &Stat) -> Option<BlobId> {
        let same = (self.size, self.mtime_ns, self.ctime_ns, self.inode) == (now.size, now.mtime_ns, now.ctime_ns, now.inode);
        same.then_some(self.blob)
    }

    /// Its bytes, for the index.
    #[must_use]
    pub fn encode(&self) -> [u8; ENCODED] {
        let mut bytes = [0; ENCODED];
        bytes[..8].copy_from_slice(&self.size.to_le_bytes());
        bytes[8..24].copy_from_slice(&self.mtime_ns.to_le_bytes());
        bytes[24..40].copy_from_slice(&self.ctime_ns.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.inode.to_le_bytes());
        bytes[48..].copy_from_slice(self.blob.0.as_bytes());
        bytes
    }

    /// Reads what [`encode`](Self::encode) wrote.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; ENCODED] = bytes.try_into().ok()?;
        Some(Self {
            size: u64::from_le_bytes(bytes[..8].try_into().ok()?),
            mtime_ns: i128::from_le_bytes(bytes[8..24].try_into().ok()?),
            ctime_ns: i128::from_le_bytes(bytes[24..40].try_into().ok()?),
            inode: u64::from_le_bytes(bytes[40..48].try_into().ok()?),
            blob: BlobId(Digest::from_bytes(bytes[48..].try_into().ok()?)),
        })
    }
}

/// A file's digest and what it was like, read now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hashed {
    /// Its digest.
    pub blob: BlobId,
    /// Its attributes, before and after it was read.
    pub stat: Stat,
    /// The entry to remember, where it may be believed.
    pub memo: Option<Memo>,
}

/// Reads a file for its digest, again if it changes meanwhile.
///
/// # Errors
/// When it cannot be read, is no file, or keeps changing.
pub fn hash_file(path: &Path) -> StoreResult<Hashed> {
    for _ in 0..3 {
        // Before it is opened: a change in the same tick as one before must not go unnoticed, however long the reading takes.
        let opened_ns = clock::now_ns();
        let file = File::open(path)?;
        let before = file.stat()?;
        if before.what != What::File {
            return Err(StoreError::Special { path: path.to_owned() });
        }
        let (blob, size) = hash(&file)?;
        // By its name: it may have been replaced by another.
        let after = fs::stat(path)?;
        if after == Some(before) && size == before.size {
            return Ok(Hashed { blob, stat: before, memo: believable(&before, opened_ns).then(|| memo(&before, blob)) });
        }
    }
    Err(StoreError::Changing { path: path.to_owned() })
}

/// Whether any later change will show in the attributes. A time in the future never lets one be sure.
fn believable(stat: &Stat, now_ns: i128) -> bool {
    now_ns - stat.mtime_ns.max(stat.ctime_ns) > TICK_NS
}

fn memo(stat: &Stat, blob: BlobId) -> Memo {
    Memo { size: stat.size, mtime_ns: stat.mtime_ns, ctime_ns: stat.ctime_ns, inode: stat.inode, blob }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_just_written_is_hashed_and_not_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, b"x").unwrap();
        let hashed = hash_file(&path).unwrap();
        assert_eq!((hashed.blob, hashed.memo), (BlobId(Digest::of(b"x")), None));
        assert!(believable(&hashed.stat, hashed.stat.ctime_ns + TICK_NS + 1));
        assert!(!believable(&hashed.stat, hashed.stat.ctime_ns - TICK_NS), "a time in the future");
    }

    #[test]
    fn an_entry_is_believed_only_while_every_attribute_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, b"x").unwrap();
        let stat = fs::stat(&path).unwrap().unwrap();
        let entry = memo(&stat, BlobId(Digest::of(b"x")));
        assert_eq!(Memo::decode(&entry.encode()), Some(entry));
        assert_eq!(entry.digest_if(&stat), Some(entry.blob));
        let others = [
            Stat { size: 2, ..stat },
            Stat { mtime_ns: stat.mtime_ns + 1, ..stat },
            Stat { ctime_ns: stat.ctime_ns + 1, ..stat },
            Stat { inode: stat.inode + 1, ..stat },
        ];
        for other in others {
            assert_eq!(entry.digest_if(&other), None);
        }
    }
}
