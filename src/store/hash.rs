//! Owns reading a file for its digest. Invariant: memory stays the same whatever the file's size, and so does the digest however many
//! threads read.
//!
//! BLAKE3 is a tree: equal segments whose size is a power of two are whole subtrees. So each thread reads and hashes segments of its own
//! through a buffer that fits its processor's cache, and only their 32-byte values meet.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

use crate::base::digest::{BlobId, Digest};
use crate::io::file::File;
use crate::io::fs::FsResult;

/// What is read at a time.
const BLOCK: usize = 256 << 10;
/// What one thread hashes at a time: a power of two.
const SEGMENT: u64 = 4 << 20;
/// Smaller files are hashed before another thread would have begun.
const PARALLEL: u64 = 4 * SEGMENT;

/// Reads `file` to its end for its digest and size. The position in the file stays where it is.
///
/// # Errors
/// When reading fails.
pub fn hash(file: &File) -> FsResult<(BlobId, u64)> {
    let size = file.stat()?.size;
    if size >= PARALLEL
        && let Some(digest) = hash_segments(file, size)?
    {
        return Ok((BlobId(digest), size));
    }
    hash_blocks(file, |_| Ok(()))
}

/// Reads `file` to its end, hands every block on to `each`, and returns the digest and the size of what was read.
///
/// # Errors
/// When reading fails, or `each` does.
pub fn hash_blocks(file: &File, mut each: impl FnMut(&[u8]) -> FsResult<()>) -> FsResult<(BlobId, u64)> {
    let expected = usize::try_from(file.stat()?.size).unwrap_or(BLOCK);
    // One byte more than expected shows the end without another look.
    let mut buffer = vec![0; (expected + 1).clamp(1, BLOCK)];
    let mut hasher = blake3::Hasher::new();
    let mut size = 0;
    loop {
        let filled = file.read_at(&mut buffer, size)?;
        let block = &buffer[..filled];
        hasher.update(block);
        size += filled as u64;
        each(block)?;
        if filled < buffer.len() {
            return Ok((BlobId(Digest::from(hasher.finalize())), size));
        }
    }
}

/// The digest of the file's first `size` bytes, by several threads; `None` where it is shorter now.
fn hash_segments(file: &File, size: u64) -> FsResult<Option<Digest>> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(16);
    let count = size.div_ceil(SEGMENT);
    let next = AtomicU64::new(0);
    let work = || {
        let mut buffer = vec![0; BLOCK];
        let mut done = Vec::new();
        loop {
            let segment = next.fetch_add(1, Ordering::Relaxed);
            if segment >= count {
                return Ok(done);
            }
            let from = segment * SEGMENT;
            if let Some(value) = hash_segment(file, from, (from + SEGMENT).min(size), &mut buffer)? {
                done.push((segment, value));
            }
        }
    };
    let mut values = thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut values: Vec<(u64, ChainingValue)> = work()?;
        for helper in helpers {
            // A thread that panicked leaves segments out, and the file is hashed the plain way.
            values.extend(helper.join().unwrap_or_else(|_| Ok(Vec::new()))?);
        }
        FsResult::Ok(values)
    })?;
    values.sort_unstable_by_key(|(segment, _)| *segment);
    let values: Vec<ChainingValue> = values.into_iter().map(|(_, value)| value).collect();
    Ok((values.len() as u64 == count).then(|| Digest::from(root(&values))))
}

/// The value of the subtree over the bytes `from..to`; `None` where the file ends before.
fn hash_segment(file: &File, from: u64, to: u64, buffer: &mut [u8]) -> FsResult<Option<ChainingValue>> {
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(from);
    let mut at = from;
    while at < to {
        let want = usize::try_from(to - at).unwrap_or(BLOCK).min(buffer.len());
        if file.read_at(&mut buffer[..want], at)? < want {
            return Ok(None);
        }
        hasher.update(&buffer[..want]);
        at += want as u64;
    }
    Ok(Some(hasher.finalize_non_root()))
}

/// The whole tree's value, of two segments or more.
fn root(values: &[ChainingValue]) -> blake3::Hash {
    let (left, right) = values.split_at(left_of(values.len()));
    merge_subtrees_root(&subtree(left), &subtree(right), Mode::Hash)
}

fn subtree(values: &[ChainingValue]) -> ChainingValue {
    if let [one] = values {
        return *one;
    }
    let (left, right) = values.split_at(left_of(values.len()));
    merge_subtrees_non_root(&subtree(left), &subtree(right), Mode::Hash)
}

/// The left subtree has the largest power of two that leaves something for the right one.
fn left_of(count: usize) -> usize {
    count.next_power_of_two() / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::fs;

    #[test]
    fn a_file_has_the_same_digest_however_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let mut bytes = vec![0; usize::try_from(SEGMENT * 7 + 1).unwrap()];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        let segment = usize::try_from(SEGMENT).unwrap();
        for size in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, segment * 4, segment * 4 + 1, segment * 5 - 1, segment * 6, segment * 7 + 1] {
            fs::write(&path, &bytes[..size]).unwrap();
            let file = File::open(&path).unwrap();
            let expected = (BlobId(Digest::of(&bytes[..size])), size as u64);
            assert_eq!(hash(&file).unwrap(), expected, "{size} bytes");
            assert_eq!(hash_blocks(&file, |_| Ok(())).unwrap(), expected, "{size} bytes");
        }
    }

    #[test]
    fn a_file_that_is_shorter_than_expected_is_no_digest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, &vec![1; usize::try_from(SEGMENT * 2).unwrap()]).unwrap();
        assert_eq!(hash_segments(&File::open(&path).unwrap(), SEGMENT * 2 + 1).unwrap(), None);
    }
}
