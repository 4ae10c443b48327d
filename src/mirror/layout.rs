//! Owns the names of objects in a mirror. Invariant: of every object that is not an epoch's mark, the name says what it must hold.

use crate::base::digest::{ActionKey, ManifestId, PackId};

/// The longest record or artifact.
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

    /// Where all of the epoch is.
    #[must_use]
    pub fn all(self) -> String {
        format!("{:08}/", self.0)
    }

    /// Where a pack is.
    #[must_use]
    pub fn pack(self, id: &PackId) -> String {
        let hex = id.to_string();
        format!("{}{}/{hex}", self.packs(), &hex[..2])
    }

    /// Where the manifest of an artifact is, and where its blobs lie.
    #[must_use]
    pub fn artifact(self, id: &ManifestId) -> String {
        let hex = id.to_string();
        format!("{}{}/{hex}", self.artifacts(), &hex[..2])
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
        format!("{:08}/results/", self.0)
    }

    /// Where all packs are.
    #[must_use]
    pub fn packs(self) -> String {
        format!("{:08}/packs/", self.0)
    }

    /// Where all artifacts are.
    #[must_use]
    pub fn artifacts(self) -> String {
        format!("{:08}/artifacts/", self.0)
    }
}
