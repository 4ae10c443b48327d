//! Owns how a blob is read out of a mirror's packs from its beginning to its end. Invariant: whoever comes to the end had the blob's bytes.

use std::io::{self, ErrorKind, Read};

use crate::base::digest::BlobId;
use crate::mirror::bucket::Bucket;
use crate::mirror::error::{MirrorError, MirrorResult};
use crate::mirror::layout::Epoch;
use crate::store::pack::{LONGEST_PACK, Segment, unpack};

/// A blob that is read segment by segment. What is not there, or is not what it should be, is [`ErrorKind::InvalidData`]; a bucket that does not answer
/// is the [`MirrorError`] inside of another error.
pub struct Reading<'a> {
    bucket: &'a Bucket,
    epoch: Epoch,
    blob: BlobId,
    segments: std::vec::IntoIter<Segment>,
    bytes: Vec<u8>,
    /// How many of them were handed on.
    at: usize,
    hasher: blake3::Hasher,
}

impl<'a> Reading<'a> {
    /// A blob that lies in these segments.
    #[must_use]
    pub fn new(bucket: &'a Bucket, epoch: Epoch, blob: BlobId, segments: Vec<Segment>) -> Self {
        Self { bucket, epoch, blob, segments: segments.into_iter(), bytes: Vec::new(), at: 0, hasher: blake3::Hasher::new() }
    }

    /// Reads it to its end; `false` where it is not there whole.
    ///
    /// # Errors
    /// When the bucket does not answer.
    pub fn is_whole(mut self) -> MirrorResult<bool> {
        match io::copy(&mut self, &mut io::sink()) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::InvalidData => Ok(false),
            Err(source) => Err(match source.downcast::<MirrorError>() {
                Ok(failure) => failure,
                Err(source) => MirrorError::Unread { blob: self.blob, source },
            }),
        }
    }

    fn wrong(&self) -> io::Error {
        io::Error::new(ErrorKind::InvalidData, format!("blob {} is not whole in the mirror", self.blob))
    }
}

impl Read for Reading<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.bytes.len() {
            let Some(segment) = self.segments.next() else {
                return if BlobId(self.hasher.finalize().into()) == self.blob { Ok(0) } else { Err(self.wrong()) };
            };
            let packed = range(self.bucket, self.epoch, &segment).map_err(io::Error::other)?;
            self.bytes.clear();
            self.at = 0;
            let whole = packed.is_some_and(|packed| {
                let kept = unpack(&segment, &packed, |_, chunk| {
                    self.bytes.extend_from_slice(chunk);
                    Ok::<_, ()>(())
                });
                kept.is_ok_and(|whole| whole)
            });
            if !whole {
                return Err(self.wrong());
            }
            self.hasher.update(&self.bytes);
        }
        let length = buffer.len().min(self.bytes.len() - self.at);
        buffer[..length].copy_from_slice(&self.bytes[self.at..self.at + length]);
        self.at += length;
        Ok(length)
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
