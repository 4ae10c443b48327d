//! Owns where in a mirror's packs the blobs of a result lie. Invariant: a blob's segments, one after the other, are as many bytes as it has, or it counts
//! as not there.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::base::digest::{BlobId, PackId};
use crate::store::pack::Segment;

/// Which of the packs, where in it, bytes there, bytes of the blob.
type Short = (usize, u64, u64, u64);

/// Where the blobs of a result lie.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// The packs, each once.
    packs: Vec<PackId>,
    /// Blob → its segments.
    blobs: BTreeMap<BlobId, Vec<Short>>,
}

impl Contents {
    /// Where blobs lie whose segments are these.
    #[must_use]
    pub fn of(blobs: &BTreeMap<BlobId, Vec<Segment>>) -> Self {
        let packs: BTreeSet<PackId> = blobs.values().flatten().map(|segment| segment.pack).collect();
        let packs: Vec<PackId> = packs.into_iter().collect();
        let short = |segment: &Segment| {
            let pack = packs.binary_search(&segment.pack).unwrap_or_default();
            (pack, segment.at, segment.length, segment.size)
        };
        let blobs = blobs.iter().map(|(blob, segments)| (*blob, segments.iter().map(short).collect())).collect();
        Self { packs, blobs }
    }

    /// The segments of a blob of `size` bytes; `None` where it is not said where they are.
    #[must_use]
    pub fn segments(&self, blob: &BlobId, size: u64) -> Option<Vec<Segment>> {
        let segments: Vec<Segment> = self.blobs.get(blob)?.iter().map(|short| self.segment(*short)).collect::<Option<_>>()?;
        let together = segments.iter().try_fold(0_u64, |sum, segment| sum.checked_add(segment.size))?;
        (together == size).then_some(segments)
    }

    /// All segments.
    pub fn all(&self) -> impl Iterator<Item = Segment> + '_ {
        self.blobs.values().flatten().filter_map(|short| self.segment(*short))
    }

    fn segment(&self, (pack, at, length, size): Short) -> Option<Segment> {
        Some(Segment { pack: *self.packs.get(pack)?, at, length, size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::Digest;

    #[test]
    fn where_a_blob_lies_is_said_as_it_was_put_and_for_its_size_only() {
        let (a, b) = (BlobId(Digest::of(b"a")), BlobId(Digest::of(b"b")));
        let at = |pack: &[u8], at| Segment { pack: PackId(Digest::of(pack)), at, length: 10, size: 20 };
        let blobs = BTreeMap::from([(a, vec![at(b"1", 0), at(b"2", 7)]), (b, Vec::new())]);
        let contents: Contents = serde_json::from_str(&serde_json::to_string(&Contents::of(&blobs)).unwrap()).unwrap();
        assert_eq!(contents.segments(&a, 40).as_ref(), Some(&blobs[&a]));
        assert_eq!(contents.segments(&b, 0), Some(Vec::new()));
        assert_eq!(contents.all().collect::<Vec<_>>(), blobs[&a]);
        assert_eq!(contents.segments(&a, 41), None);
        assert_eq!(contents.segments(&BlobId(Digest::of(b"c")), 0), None);
    }

    #[test]
    fn a_pack_that_is_not_listed_or_sizes_that_overflow_are_nowhere() {
        let a = BlobId(Digest::of(b"a"));
        let hostile = |segments: &str| -> Contents {
            serde_json::from_str(&format!(r#"{{"packs": ["{a}"], "blobs": {{"{a}": {segments}}}}}"#)).unwrap()
        };
        assert_eq!(hostile("[[1, 0, 1, 1]]").segments(&a, 1), None);
        assert_eq!(hostile("[[0, 0, 1, 18446744073709551615], [0, 0, 1, 2]]").segments(&a, 1), None);
    }
}
