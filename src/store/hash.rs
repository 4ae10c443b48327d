//! Owns reading a file for its digest. Invariant: memory stays the same whatever the file's size.

use crate::base::digest::{BlobId, Digest};
use crate::io::file::File;
use crate::io::fs::FsResult;

/// What is read at a time: large enough for several threads, small enough for a processor's cache.
const BLOCK: usize = 1 << 20;
/// Below this, more threads cost more than they give.
const PARALLEL: usize = 256 << 10;

/// Reads `file` to its end, hands every block on to `each`, and returns the digest and the size of what was read.
///
/// # Errors
/// When reading fails, or `each` does.
pub fn hash_blocks(file: &mut File, mut each: impl FnMut(&[u8]) -> FsResult<()>) -> FsResult<(BlobId, u64)> {
    let expected = usize::try_from(file.stat()?.size).unwrap_or(BLOCK);
    // One byte more than expected shows the end without another look.
    let mut buffer = vec![0; (expected + 1).clamp(1, BLOCK)];
    let mut hasher = blake3::Hasher::new();
    let mut size = 0;
    loop {
        let filled = file.read_block(&mut buffer)?;
        let block = &buffer[..filled];
        if filled >= PARALLEL {
            hasher.update_rayon(block);
        } else {
            hasher.update(block);
        }
        size += filled as u64;
        each(block)?;
        if filled < buffer.len() {
            return Ok((BlobId(Digest::from(hasher.finalize())), size));
        }
    }
}

/// Reads `file` to its end for its digest and size.
///
/// # Errors
/// When reading fails.
pub fn hash(file: &mut File) -> FsResult<(BlobId, u64)> {
    hash_blocks(file, |_| Ok(()))
}
