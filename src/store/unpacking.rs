//! Owns how a blob is read out of packs from its beginning to its end. Invariant: whoever comes to the end had the blob's bytes.

use std::io::{self, ErrorKind, Read};

use crate::base::digest::BlobId;
use crate::store::pack::{Segment, unpack};

/// What gives the bytes of a segment as they are in its pack; `None` where they are not there.
pub type Fetch<'a> = Box<dyn Fn(&Segment) -> io::Result<Option<Vec<u8>>> + Send + 'a>;

/// A blob that is read segment by segment. What is not there, or is not what it should be, is [`ErrorKind::InvalidData`]; other errors are those of who
/// fetches.
pub struct Unpacking<'a> {
    blob: BlobId,
    segments: std::vec::IntoIter<Segment>,
    fetch: Fetch<'a>,
    bytes: Vec<u8>,
    /// How many of them were handed on.
    at: usize,
    hasher: blake3::Hasher,
}

impl<'a> Unpacking<'a> {
    /// A blob that lies in these segments.
    #[must_use]
    pub fn new(blob: BlobId, segments: Vec<Segment>, fetch: Fetch<'a>) -> Self {
        Self { blob, segments: segments.into_iter(), fetch, bytes: Vec::new(), at: 0, hasher: blake3::Hasher::new() }
    }

    /// Reads it to its end and hands its bytes on; `false` where it is not there whole.
    ///
    /// # Errors
    /// As who fetches, and as `each`.
    pub fn each<E: From<io::Error>>(mut self, mut each: impl FnMut(&[u8]) -> Result<(), E>) -> Result<bool, E> {
        loop {
            match self.next_segment() {
                Ok(true) => each(&self.bytes)?,
                Ok(false) => return Ok(true),
                Err(error) if error.kind() == ErrorKind::InvalidData => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Fetches the next segment; `false` at the end of the blob.
    fn next_segment(&mut self) -> io::Result<bool> {
        let wrong = |blob: BlobId| io::Error::new(ErrorKind::InvalidData, format!("blob {blob} is damaged"));
        self.bytes.clear();
        self.at = 0;
        let Some(segment) = self.segments.next() else {
            return if BlobId(self.hasher.finalize().into()) == self.blob { Ok(false) } else { Err(wrong(self.blob)) };
        };
        let kept = (self.fetch)(&segment)?.ok_or_else(|| wrong(self.blob))?;
        let unpacked = unpack(&segment, &kept, |_, chunk| {
            self.bytes.extend_from_slice(chunk);
            Ok::<_, io::Error>(())
        });
        if !unpacked? {
            return Err(wrong(self.blob));
        }
        self.hasher.update(&self.bytes);
        Ok(true)
    }
}

impl Read for Unpacking<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.bytes.len() {
            if !self.next_segment()? {
                return Ok(0);
            }
        }
        let length = buffer.len().min(self.bytes.len() - self.at);
        buffer[..length].copy_from_slice(&self.bytes[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}
