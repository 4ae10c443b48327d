//! Owns where a blob is cut into chunks. Invariant: where is said by the bytes around, so blobs that share a run of bytes share the chunks within it.
//!
//! `FastCDC` (Xia et al. 2020) cuts where a hash of the last bytes says so. Chunks are short enough that a day added to a table of a few hundred kilobytes
//! costs a few of them, and for large blobs long enough that their list stays short: figures in `docs/performance.md`.

use std::io::{self, Read};

use fastcdc::v2020::StreamCDC;

/// The usual chunk of a blob that is not large.
const USUAL: u64 = 4 << 10;

/// Chunks of a blob whose usual chunk is longer than that.
const MOST: u64 = 4096;

/// The longest usual chunk.
const LONGEST_USUAL: u64 = 512 << 10;

/// No chunk is longer.
pub const LONGEST: u64 = 4 * LONGEST_USUAL;

/// The chunks of a blob of `size` bytes, in order.
pub fn chunks(blob: impl Read, size: u64) -> impl Iterator<Item = io::Result<Vec<u8>>> {
    let usual = usual(size);
    StreamCDC::new(blob, usual / 4, usual, usual * 4).map(|chunk| Ok(chunk.map_err(io::Error::from)?.data))
}

/// The usual chunk of a blob, a power of two: so one that grows keeps its chunks but where it passes one.
fn usual(size: u64) -> usize {
    let usual = (size / MOST).next_power_of_two().clamp(USUAL, LONGEST_USUAL);
    usize::try_from(usual).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
        bytes
    }

    fn cut(bytes: &[u8]) -> Vec<Vec<u8>> {
        chunks(bytes, bytes.len() as u64).collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn large_blobs_have_long_chunks_and_not_too_many() {
        assert_eq!([0, 1 << 20, 16 << 20, 32 << 20, 1 << 30, 1 << 40].map(usual), [4096, 4096, 4096, 8192, 262_144, 524_288]);
        let bytes = noise(1, 40 << 20);
        let cut = cut(&bytes);
        assert!((1000..8000).contains(&cut.len()), "{}", cut.len());
    }

    #[test]
    fn what_is_put_in_the_middle_costs_a_few_chunks() {
        let bytes = noise(2, 1 << 20);
        let before: HashSet<Vec<u8>> = cut(&bytes).into_iter().collect();
        let more = [&bytes[..500_000], b"a few bytes", &bytes[500_000..]].concat();
        let new: usize = cut(&more).into_iter().filter(|chunk| !before.contains(chunk)).map(|chunk| chunk.len()).sum();
        assert!((1..64 << 10).contains(&new), "{new} bytes are new");
    }

    proptest! {
        #[test]
        fn the_chunks_are_the_blob(seed: u64, length in 0..200_000_usize) {
            let bytes = noise(seed, length);
            let cut = cut(&bytes);
            prop_assert!(cut.iter().all(|chunk| !chunk.is_empty() && chunk.len() as u64 <= LONGEST));
            prop_assert_eq!(cut.concat(), bytes);
        }
    }
}
