//! Owns how what lies in a mirror's packs is asked for. Invariant: bytes that are not there are no failure of the bucket.

use std::io;

use crate::base::digest::BlobId;
use crate::mirror::bucket::Bucket;
use crate::mirror::error::{MirrorError, MirrorResult};
use crate::mirror::layout::Epoch;
use crate::store::pack::{LONGEST_PACK, Segment};
use crate::store::unpacking::Unpacking;

/// A blob that lies in these segments, read as they come. A bucket that does not answer is the [`MirrorError`] inside of the reader's error.
#[must_use]
pub fn open(bucket: &Bucket, epoch: Epoch, blob: BlobId, segments: Vec<Segment>) -> Unpacking<'_> {
    Unpacking::new(blob, segments, Box::new(move |segment| range(bucket, epoch, segment).map_err(io::Error::other)))
}

/// Reads a blob to its end; `false` where it is not there whole.
///
/// # Errors
/// When the bucket does not answer.
pub fn is_whole(bucket: &Bucket, epoch: Epoch, blob: BlobId, segments: Vec<Segment>) -> MirrorResult<bool> {
    open(bucket, epoch, blob, segments).each(|_| Ok::<_, io::Error>(())).map_err(|error| failure(&blob, error))
}

/// What a reader failed with: the mirror's own failure where it was one.
#[must_use]
pub fn failure(blob: &BlobId, error: io::Error) -> MirrorError {
    match error.downcast::<MirrorError>() {
        Ok(failure) => failure,
        Err(source) => MirrorError::Unread { blob: *blob, source },
    }
}

/// The bytes of a run of a pack; `None` where they are not there.
///
/// # Errors
/// When the bucket does not answer.
pub fn range(bucket: &Bucket, epoch: Epoch, run: &Segment) -> MirrorResult<Option<Vec<u8>>> {
    if run.end() > LONGEST_PACK {
        return Ok(None);
    }
    let name = epoch.pack(&run.pack);
    match bucket.get_range(&name, run.at, run.end()) {
        Ok(bytes) => Ok(bytes.filter(|bytes| bytes.len() as u64 == run.length)),
        // A pack that ends before is no failure of the bucket.
        Err(MirrorError::Request { .. }) if bucket.size_of(&name)?.is_none_or(|size| size < run.end()) => Ok(None),
        Err(error) => Err(error),
    }
}
