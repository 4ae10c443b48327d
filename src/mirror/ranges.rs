//! Owns which runs of packs are asked for to get some blobs. Invariant: every segment that is wanted lies in one run, and no run is longer than a request may be.

use crate::base::digest::BlobId;
use crate::store::pack::Segment;

/// Bytes between two segments that cost less than another request.
const GAP: u64 = 64 << 10;

/// The longest run, but where one segment is longer.
const LONGEST: u64 = 4 << 20;

/// A blob that is asked for, and where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The blob.
    pub blob: BlobId,
    /// Its bytes.
    pub size: u64,
    /// Where they lie, in order.
    pub segments: Vec<Segment>,
}

/// A segment of one of the blobs that are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Which of them, by its place.
    pub of: usize,
    /// Where in the blob it begins.
    pub from: u64,
    /// Where it lies.
    pub segment: Segment,
}

/// Segments that are asked for together, in the order in which they lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// From where to where; `size` has no meaning.
    pub whole: Segment,
    /// What is wanted of it.
    pub pieces: Vec<Piece>,
}

/// The runs that hold all segments of the blobs.
#[must_use]
pub fn runs(wanted: &[Wanted]) -> Vec<Run> {
    let mut pieces: Vec<Piece> = wanted.iter().enumerate().flat_map(|(of, wanted)| pieces(of, wanted)).collect();
    pieces.sort_by_key(|piece| (piece.segment.pack, piece.segment.at, piece.segment.length));
    let mut runs: Vec<Run> = Vec::new();
    for piece in pieces {
        match runs.last_mut() {
            Some(run) if run.takes(&piece.segment) => {
                run.whole.length = run.whole.end().max(piece.segment.end()) - run.whole.at;
                run.pieces.push(piece);
            }
            _ => runs.push(Run { whole: piece.segment, pieces: vec![piece] }),
        }
    }
    runs
}

fn pieces(of: usize, wanted: &Wanted) -> impl Iterator<Item = Piece> + '_ {
    wanted.segments.iter().scan(0, move |from, segment| {
        let piece = Piece { of, from: *from, segment: *segment };
        *from += segment.size;
        Some(piece)
    })
}

impl Run {
    /// Whether a segment that lies behind all of it, or begins in it, is asked for with it.
    fn takes(&self, segment: &Segment) -> bool {
        let end = self.whole.end().max(segment.end());
        self.whole.pack == segment.pack && segment.at <= self.whole.end().saturating_add(GAP) && end - self.whole.at <= LONGEST
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::digest::{Digest, PackId};

    fn wanted(segments: &[(u8, u64, u64)]) -> Wanted {
        let segment = |(pack, at, length): &(u8, u64, u64)| Segment {
            pack: PackId(Digest::of(&[*pack])),
            at: *at,
            length: *length,
            size: 2 * length,
        };
        let segments: Vec<Segment> = segments.iter().map(segment).collect();
        Wanted { blob: BlobId(Digest::of(b"")), size: segments.iter().map(|segment| segment.size).sum(), segments }
    }

    #[test]
    fn what_lies_near_is_asked_for_together_and_what_lies_far_is_not() {
        let all = runs(&[wanted(&[(1, 0, 100), (1, 5000, 100)]), wanted(&[(1, 100, 50), (1, 3 << 20, 10), (2, 0, 10)])]);
        let lengths: Vec<(u64, usize)> = all.iter().map(|run| (run.whole.length, run.pieces.len())).collect();
        assert_eq!(
            {
                let mut lengths = lengths;
                lengths.sort_unstable();
                lengths
            },
            [(10, 1), (10, 1), (5100, 3)]
        );
        let second = all.iter().flat_map(|run| &run.pieces).find(|piece| piece.of == 0 && piece.from > 0).unwrap();
        assert_eq!((second.from, second.segment.at), (200, 5000));
    }

    proptest! {
        #[test]
        fn every_segment_lies_in_one_run(blobs in proptest::collection::vec(proptest::collection::vec((0..3_u8, 0..6_000_000_u64, 1..2_000_000_u64), 0..9), 0..9)) {
            let blobs: Vec<Wanted> = blobs.iter().map(|segments| wanted(segments)).collect();
            let runs = runs(&blobs);
            for run in &runs {
                prop_assert!(run.whole.length <= LONGEST || run.pieces.len() == 1);
                for piece in &run.pieces {
                    prop_assert!(piece.segment.pack == run.whole.pack && run.whole.at <= piece.segment.at && piece.segment.end() <= run.whole.end());
                }
            }
            prop_assert_eq!(runs.iter().map(|run| run.pieces.len()).sum::<usize>(), blobs.iter().map(|blob| blob.segments.len()).sum::<usize>());
        }
    }
}
