//! Owns the names of objects in a mirror. Invariant: of every object that is not an epoch's mark, the name says what it must hold.

use crate::base::digest::{ActionKey, BlobId, ManifestId};

/// Bytes of a blob in one object; the last part has what is left.
pub const PART: u64 = 4 << 20;

/// The longest name of any kind of record, and the longest record.
pub const LONGEST_RECORD: u64 = 64 << 20;

/// Where epochs are marked.
pub const EPOCHS: &str = "epochs/";

/// Where wishes that results stay are.
pub const PINS: &str = "pins/";

/// Says that the result of an action stays.
#[must_use]
pub fn pin(key: &ActionKey) -> String {
    format!("{PINS}{key}")
}

/// Says the same, as a wish of somebody's that can be taken back.
#[must_use]
pub fn pin_of(key: &ActionKey, who: &str) -> String {
    format!("{PINS}{key}.{who}")
}

/// The action that the name of a pin says stays, whoever wished it.
#[must_use]
pub fn pinned(name: &str) -> Option<ActionKey> {
    let name = name.strip_prefix(PINS)?;
    name.split_once('.').map_or(name, |(key, _)| key).parse().ok().map(ActionKey)
}

/// An epoch of a mirror: 1, 2, 3, …
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u32);

impl Epoch {
    /// Says that the epoch was opened.
    #[must_use]
    pub fn opened(self) -> String {
        format!("{EPOCHS}{:08}", self.0)
    }

    /// Says that it was fenced.
    #[must_use]
    pub fn fenced(self) -> String {
        format!("{EPOCHS}{:08}.fenced", self.0)
    }

    /// The epoch after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// Where a part of a blob is.
    #[must_use]
    pub fn part(self, blob: &BlobId, index: u64) -> String {
        let hex = blob.to_string();
        format!("{:08}/blobs/{}/{hex}.{index}", self.0, &hex[..2])
    }

    /// Where a manifest is.
    #[must_use]
    pub fn manifest(self, id: &ManifestId) -> String {
        let hex = id.to_string();
        format!("{:08}/manifests/{}/{hex}", self.0, &hex[..2])
    }

    /// Where the record of an action is.
    #[must_use]
    pub fn record(self, key: &ActionKey) -> String {
        let hex = key.to_string();
        format!("{}{}/{hex}", self.records(), &hex[..2])
    }

    /// Where the record of an action is that a key signed, where another lies in its place that is not believed.
    #[must_use]
    pub fn record_by(self, key: &ActionKey, signer: &str) -> String {
        format!("{}.{signer}", self.record(key))
    }

    /// Where all records are.
    #[must_use]
    pub fn records(self) -> String {
        format!("{:08}/actions/", self.0)
    }

    /// Where all parts of blobs are.
    #[must_use]
    pub fn blobs(self) -> String {
        format!("{:08}/blobs/", self.0)
    }

    /// Where all manifests are.
    #[must_use]
    pub fn manifests(self) -> String {
        format!("{:08}/manifests/", self.0)
    }
}

/// Parts that a blob of `size` bytes has; an empty one has one.
#[must_use]
pub fn parts(size: u64) -> u64 {
    size.div_ceil(PART).max(1)
}

/// The bytes of part `index` of a blob of `size` bytes.
#[must_use]
pub fn part_size(size: u64, index: u64) -> u64 {
    size.saturating_sub(index * PART).min(PART)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_blob_are_all_of_it() {
        for size in [0, 1, PART - 1, PART, PART + 1, 3 * PART + 7] {
            let sizes: Vec<u64> = (0..parts(size)).map(|index| part_size(size, index)).collect();
            assert_eq!(sizes.iter().sum::<u64>(), size);
            assert!(size == 0 || sizes.iter().all(|part| (1..=PART).contains(part)), "{sizes:?}");
        }
    }
}
