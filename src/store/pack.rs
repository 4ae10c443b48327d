//! Owns what a pack looks like: `magic · how many · (chunk, length, size)… · frames…`. Invariant: a pack's name is the hash of its bytes, and what is read out
//! of it is as many bytes as were put in, or nothing.
//!
//! A frame is one chunk: how it is kept (0 as it is, 1 compressed with zstd, which is done where it saves an eighth), its length as it is kept, its size as
//! it is, both four bytes, the least first; then its bytes. So frames that lie next to each other can be read without the pack's head, which is for those who
//! look for chunks that are there already.

use std::collections::HashSet;
use std::io;

use serde::{Deserialize, Serialize};
use zstd::bulk::{Compressor, Decompressor};

use crate::base::digest::{Digest, PackId};
use crate::store::cutting::LONGEST;

/// A pack whose chunks have as many bytes takes no more.
pub const FULL: u64 = 4 << 20;

/// Nor does one that has as many chunks.
const MOST: usize = 1 << 16;

/// No pack is longer: with its last chunk its chunks have no more than six MiB, and each of them takes 49 bytes beside its own.
pub const LONGEST_PACK: u64 = 16 << 20;

const MAGIC: &[u8; 11] = b"cbi pack 1\n";
/// Bytes before the chunks' lines, and of one of them.
const LINES: usize = MAGIC.len() + 4;
const LINE: usize = 32 + 4 + 4;
/// Bytes of a frame before the chunk's.
const FRAME: usize = 1 + 4 + 4;

const PLAIN: u8 = 0;
const ZSTD: u8 = 1;
/// How hard chunks are compressed.
const LEVEL: i32 = 3;

/// Frames that lie next to each other in a pack and are a run of a blob's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The pack.
    pub pack: PackId,
    /// Where in it they begin.
    pub at: u64,
    /// Their bytes there.
    pub length: u64,
    /// The blob's bytes.
    pub size: u64,
}

impl Segment {
    /// Where in the pack they end.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.at.saturating_add(self.length)
    }
}

/// The segments of a blob whose chunks lie there, in order: as few as can be.
#[must_use]
pub fn joined(chunks: impl IntoIterator<Item = Segment>) -> Vec<Segment> {
    let mut joined: Vec<Segment> = Vec::new();
    for chunk in chunks {
        match joined.last_mut() {
            Some(last) if last.pack == chunk.pack && last.end() == chunk.at => {
                last.length += chunk.length;
                last.size += chunk.size;
            }
            _ => joined.push(chunk),
        }
    }
    joined
}

/// How many bytes lie in at least one of some runs, each from where to where.
#[must_use]
pub fn covered(mut runs: Vec<(u64, u64)>) -> u64 {
    runs.sort_unstable();
    let (mut bytes, mut end) = (0, 0);
    for (from, to) in runs {
        bytes += to.saturating_sub(from.max(end));
        end = end.max(to);
    }
    bytes
}

/// A chunk as it is kept.
fn frame(chunk: &[u8]) -> Vec<u8> {
    // For want of memory at most: then it is kept as it is.
    let small = Compressor::new(LEVEL).and_then(|mut zstd| zstd.compress(chunk));
    let small = small.ok().filter(|small| small.len() <= chunk.len() - chunk.len() / 8);
    let (kind, bytes) = small.as_ref().map_or((PLAIN, chunk), |small| (ZSTD, &small[..]));
    let mut frame = Vec::with_capacity(FRAME + bytes.len());
    frame.push(kind);
    frame.extend_from_slice(&short(bytes.len()));
    frame.extend_from_slice(&short(chunk.len()));
    frame.extend_from_slice(bytes);
    frame
}

/// A length in four bytes; none here is longer.
fn short(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}

/// A frame and the chunk in it.
struct Frame<'a> {
    /// As it is kept.
    whole: &'a [u8],
    /// Bytes of the chunk.
    size: u64,
}

/// Splits the bytes of a segment; `None` where they are no frames, or not the segment's bytes of chunks together.
fn frames<'a>(segment: &Segment, mut bytes: &'a [u8]) -> Option<Vec<Frame<'a>>> {
    let (mut frames, mut left) = (Vec::new(), Some(segment.size).filter(|size| *size <= FULL + LONGEST)?);
    while !bytes.is_empty() {
        let length = usize::try_from(number(bytes.get(1..5)?)?).ok()?;
        let size = u64::from(number(bytes.get(5..FRAME)?)?);
        let whole = bytes.get(..FRAME.checked_add(length)?)?;
        let fits = size <= LONGEST && (whole[0] == ZSTD || whole[0] == PLAIN && size == length as u64);
        left = left.checked_sub(size).filter(|_| fits)?;
        frames.push(Frame { whole, size });
        bytes = &bytes[whole.len()..];
    }
    (left == 0).then_some(frames)
}

/// Hands on the chunks of a segment, which has these bytes in its pack, in order and each with its own place; `false` where they are none.
///
/// # Errors
/// As `each`.
pub fn unpack<E>(segment: &Segment, bytes: &[u8], mut each: impl FnMut(Segment, &[u8]) -> Result<(), E>) -> Result<bool, E> {
    let Some(frames) = frames(segment, bytes) else { return Ok(false) };
    let Ok(mut zstd) = Decompressor::new() else { return Ok(false) };
    let mut at = segment.at;
    for Frame { whole, size } in frames {
        let place = Segment { pack: segment.pack, at, length: whole.len() as u64, size };
        at = place.end();
        let kept = &whole[FRAME..];
        if whole[0] == PLAIN {
            each(place, kept)?;
            continue;
        }
        match zstd.decompress(kept, usize::try_from(size).unwrap_or_default()) {
            Ok(chunk) if chunk.len() as u64 == size => each(place, &chunk)?,
            _ => return Ok(false),
        }
    }
    Ok(true)
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// A pack that is being filled.
#[derive(Debug, Default)]
pub struct Filling {
    /// Chunk, its place among the frames, its length there, its size.
    chunks: Vec<(Digest, u64, u64, u64)>,
    held: HashSet<Digest>,
    frames: Vec<u8>,
    size: u64,
}

impl Filling {
    /// Adds a chunk.
    pub fn add(&mut self, digest: Digest, chunk: &[u8]) {
        let frame = frame(chunk);
        self.held.insert(digest);
        self.chunks.push((digest, self.frames.len() as u64, frame.len() as u64, chunk.len() as u64));
        self.frames.extend_from_slice(&frame);
        self.size += chunk.len() as u64;
    }

    /// Whether a chunk is in it.
    #[must_use]
    pub fn holds(&self, digest: &Digest) -> bool {
        self.held.contains(digest)
    }

    /// Whether it takes no more.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.size >= FULL || self.chunks.len() >= MOST
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The pack, and where in it the chunks are.
    #[must_use]
    pub fn finish(self) -> Pack {
        let mut bytes = Vec::with_capacity(LINES + self.chunks.len() * LINE + self.frames.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&short(self.chunks.len()));
        for (digest, _, length, size) in &self.chunks {
            bytes.extend_from_slice(digest.as_bytes());
            bytes.extend_from_slice(&short(usize::try_from(*length).unwrap_or(usize::MAX)));
            bytes.extend_from_slice(&short(usize::try_from(*size).unwrap_or(usize::MAX)));
        }
        let head = bytes.len() as u64;
        bytes.extend_from_slice(&self.frames);
        drop(self.frames);
        let pack = PackId(Digest::of(&bytes));
        let place = |(chunk, at, length, size)| (chunk, Segment { pack, at: head + at, length, size });
        Pack { id: pack, bytes, chunks: self.chunks.into_iter().map(place).collect() }
    }
}

/// A pack.
#[derive(Debug)]
pub struct Pack {
    /// Its name.
    pub id: PackId,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Where its chunks are.
    pub chunks: Vec<(Digest, Segment)>,
}

/// Where the chunks of a pack are, as its head says; `read` gives so many bytes from a place, fewer only at its end.
///
/// # Errors
/// When it cannot be read. A head that is none is [`io::ErrorKind::InvalidData`].
pub fn head<E: From<io::Error>>(pack: PackId, read: impl Fn(u64, usize) -> Result<Vec<u8>, E>) -> Result<Vec<(Digest, Segment)>, E> {
    let none = || io::Error::new(io::ErrorKind::InvalidData, format!("{pack} is no pack"));
    let start = read(0, LINES)?;
    let count = start.strip_prefix(MAGIC).and_then(number).ok_or_else(none)?;
    let length = (count as usize).checked_mul(LINE).filter(|length| *length as u64 <= LONGEST_PACK).ok_or_else(none)?;
    let lines = read(LINES as u64, length)?;
    if lines.len() != length {
        return Err(none().into());
    }
    let mut at = (LINES + length) as u64;
    let line = |line: &[u8]| {
        let chunk = Digest::from_bytes(line[..32].try_into().ok()?);
        let (length, size) = (u64::from(number(&line[32..36])?), u64::from(number(&line[36..])?));
        at += length;
        Some((chunk, Segment { pack, at: at - length, length, size }))
    };
    lines.chunks_exact(LINE).map(line).collect::<Option<_>>().ok_or_else(|| none().into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn noise(seed: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
        bytes
    }

    fn packed(chunks: &[Vec<u8>]) -> Pack {
        let mut filling = Filling::default();
        for chunk in chunks {
            filling.add(Digest::of(chunk), chunk);
        }
        filling.finish()
    }

    fn head_of(pack: &Pack) -> io::Result<Vec<(Digest, Segment)>> {
        head(pack.id, |from, length| {
            let from = usize::try_from(from).unwrap().min(pack.bytes.len());
            Ok(pack.bytes[from..(from + length).min(pack.bytes.len())].to_vec())
        })
    }

    fn read(pack: &Pack, segment: &Segment) -> Option<Vec<u8>> {
        let (from, to) = (usize::try_from(segment.at).unwrap(), usize::try_from(segment.end()).unwrap());
        let mut all = Vec::new();
        let whole = unpack(segment, pack.bytes.get(from..to)?, |_, chunk| {
            all.extend_from_slice(chunk);
            Ok::<_, ()>(())
        });
        whole.unwrap().then_some(all)
    }

    #[test]
    fn chunks_come_out_as_they_went_in_one_by_one_and_together() {
        let chunks = [b"x".to_vec(), vec![7; 100_000], noise(1, 5000), noise(2, 1 << 20)];
        let pack = packed(&chunks);
        assert!(pack.bytes.len() < (1 << 20) + 7000, "what can be compressed is");
        assert_eq!(head_of(&pack).unwrap(), pack.chunks);
        for (chunk, (digest, place)) in chunks.iter().zip(&pack.chunks) {
            assert_eq!((Digest::of(chunk), read(&pack, place).as_ref()), (*digest, Some(chunk)));
        }
        let together = joined(pack.chunks.iter().map(|(_, place)| *place));
        assert_eq!(together.len(), 1);
        assert_eq!(read(&pack, &together[0]).unwrap(), chunks.concat());
        let (from, to) = (usize::try_from(together[0].at).unwrap(), usize::try_from(together[0].end()).unwrap());
        let mut places = Vec::new();
        let all = unpack(&together[0], &pack.bytes[from..to], |place, chunk| {
            places.push((Digest::of(chunk), place));
            Ok::<_, ()>(())
        });
        assert_eq!((all, places), (Ok(true), pack.chunks.clone()), "each with its own place");
    }

    #[test]
    fn bytes_that_several_runs_hold_count_once() {
        assert_eq!(covered(vec![(5, 10), (0, 3), (8, 12), (6, 7), (12, 12)]), 10);
        assert_eq!(covered(Vec::new()), 0);
    }

    #[test]
    fn a_segment_of_another_size_or_another_place_is_none() {
        let pack = packed(&[vec![7; 1000], noise(1, 1000)]);
        let (first, second) = (pack.chunks[0].1, pack.chunks[1].1);
        for wrong in [
            Segment { size: 999, ..first },
            Segment { size: 1001, ..first },
            Segment { length: first.length - 1, ..first },
            Segment { length: first.length + 1, ..first },
            Segment { at: second.at + 1, length: second.length - 1, ..second },
        ] {
            assert_eq!(read(&pack, &wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_chunk_that_would_be_larger_than_any_may_be_is_none() {
        let mut hostile = frame(&vec![0; 100_000]);
        hostile[5..9].copy_from_slice(&u32::MAX.to_le_bytes());
        let segment = Segment { pack: PackId(Digest::of(b"")), at: 0, length: hostile.len() as u64, size: u64::from(u32::MAX) };
        assert!(!unpack(&segment, &hostile, |_, _| Ok::<_, ()>(())).unwrap());
    }

    #[test]
    fn a_head_that_is_cut_or_of_something_else_is_none() {
        let mut pack = packed(&[vec![7; 1000], noise(1, 1000)]);
        pack.bytes.truncate(60);
        assert!(head_of(&pack).is_err());
        pack.bytes = b"PAR1 and so on, for long enough".to_vec();
        assert!(head_of(&pack).is_err());
    }

    proptest! {
        #[test]
        fn what_is_no_segment_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), size in 0..500_u64) {
            let segment = Segment { pack: PackId(Digest::of(b"")), at: 0, length: bytes.len() as u64, size };
            _ = unpack(&segment, &bytes, |_, _| Ok::<_, ()>(()));
        }
    }
}
