//! Owns what happened to the versions of a model. Invariant: entries are only added, each names the one before it, and whatever is asked, of now or of any
//! day past, is worked out from them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::digest::{ActionKey, BlobId, Digest, ManifestId};

/// The channel that `promote` and `rollback` move.
pub const CURRENT: &str = "current";

/// What an entry did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// A candidate became a version, or an earlier version was promoted again.
    Promoted,
    /// A channel went back to an earlier version.
    RolledBack,
    /// A channel other than `current` was moved.
    Moved,
}

impl Act {
    /// In a word or two.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Promoted => "promoted",
            Self::RolledBack => "rolled back",
            Self::Moved => "moved",
        }
    }
}

/// What a gate said of a candidate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gated {
    /// The gate, as the recipe has it.
    pub gate: String,
    /// Whether it lets the candidate through.
    pub holds: bool,
    /// What it saw, in one sentence.
    pub what: String,
}

/// One entry of the log of releases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The release.
    pub release: String,
    /// 1, 2, 3 … for each release.
    pub sequence: u64,
    /// The digest of the entry before; none for the first.
    pub before: Option<Digest>,
    /// What it did.
    pub act: Act,
    /// The channel that it moved.
    pub channel: String,
    /// The version that the channel is at from here on: 1, 2, 3 …
    pub version: u32,
    /// The artifact of that version.
    pub candidate: ManifestId,
    /// The action that made it.
    pub action: ActionKey,
    /// The candidate's figures on test rows.
    pub figures: BTreeMap<String, f64>,
    /// What the gates said; where one does not hold, it was promoted all the same, for `reason`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Gated>,
    /// Why, where somebody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who, as `user@host`.
    pub by: String,
    /// When, milliseconds since 1970 UTC, by that machine's clock.
    pub at_ms: u64,
    /// Every action that the candidate stands on, its own left out, and the comparisons that its gates were judged by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lineage: Vec<ActionKey>,
    /// The files from outside that it stands on, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sources: BTreeMap<String, BlobId>,
    /// Differs in every entry, so that a machine knows its own again.
    pub nonce: String,
}

impl Entry {
    /// The bytes that are kept.
    ///
    /// # Errors
    /// When it could not be read back.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Whether gates refused it and somebody promoted it all the same.
    #[must_use]
    pub fn forced(&self) -> bool {
        self.gates.iter().any(|gate| !gate.holds)
    }
}

/// An entry that cannot follow the ones before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entry {sequence} of the log of release '{release}' {why}")]
pub struct BadEntry {
    /// The release.
    pub release: String,
    /// The number it should have.
    pub sequence: u64,
    /// What is wrong with it.
    pub why: String,
}

/// A version by its number: `v001`.
#[must_use]
pub fn version_name(version: u32) -> String {
    format!("v{version:03}")
}

/// The version that a text names: `v002`, `v2`, or `2` with three digits at most.
#[must_use]
pub fn parse_version(text: &str) -> Option<u32> {
    let digits = text.strip_prefix('v').or_else(|| (text.len() <= 3).then_some(text))?;
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|version| plain && *version > 0)
}

/// Whether a channel may be called so: letters, digits, `_` and `-`, and not like a version.
#[must_use]
pub fn is_channel_name(text: &str) -> bool {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    plain && text.len() <= 60 && parse_version(text).is_none()
}

/// The digest of an entry, which the next one names.
#[must_use]
pub fn entry_digest(bytes: &[u8]) -> Digest {
    Digest::derive("cbi 1 release entry", bytes)
}

/// All entries of one release, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    release: String,
    entries: Vec<Entry>,
    last: Option<Digest>,
}

impl History {
    /// That of a release of which nothing happened yet.
    #[must_use]
    pub fn new(release: &str) -> Self {
        Self { release: release.to_owned(), entries: Vec::new(), last: None }
    }

    /// What these entries come to.
    ///
    /// # Errors
    /// At the first that cannot follow those before it.
    pub fn read<'b>(release: &str, entries: impl IntoIterator<Item = &'b Vec<u8>>) -> Result<Self, BadEntry> {
        let mut history = Self::new(release);
        entries.into_iter().try_for_each(|bytes| history.push(bytes))?;
        Ok(history)
    }

    /// Takes the next entry.
    ///
    /// # Errors
    /// When it cannot follow those before it.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), BadEntry> {
        let bad = |why: String| BadEntry { release: self.release.clone(), sequence: self.next_sequence(), why };
        let entry: Entry = serde_json::from_slice(bytes).map_err(|error| bad(format!("is none: {error}")))?;
        if entry.release != self.release || entry.sequence != self.next_sequence() {
            return Err(bad(format!("says that it is entry {} of '{}'", entry.sequence, entry.release)));
        }
        if entry.before != self.last {
            return Err(bad("does not follow the entry before it".into()));
        }
        let expected = match entry.act {
            Act::Promoted => Some(self.version_for(&entry.candidate)),
            Act::RolledBack | Act::Moved => self.version_of(&entry.candidate),
        };
        if expected != Some(entry.version) {
            return Err(bad(format!("has the wrong version, {}", version_name(entry.version))));
        }
        self.last = Some(entry_digest(bytes));
        self.entries.push(entry);
        Ok(())
    }

    /// The release.
    #[must_use]
    pub fn release(&self) -> &str {
        &self.release
    }

    /// The entries, the oldest first.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The digest of the last entry.
    #[must_use]
    pub fn last(&self) -> Option<Digest> {
        self.last
    }

    /// The number of the next entry.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.entries.len() as u64 + 1
    }

    /// Each version with the entry that made it one.
    #[must_use]
    pub fn versions(&self) -> BTreeMap<u32, &Entry> {
        let mut versions = BTreeMap::new();
        for entry in &self.entries {
            versions.entry(entry.version).or_insert(entry);
        }
        versions
    }

    /// The version that a candidate is.
    #[must_use]
    pub fn version_of(&self, candidate: &ManifestId) -> Option<u32> {
        self.entries.iter().find(|entry| entry.candidate == *candidate).map(|entry| entry.version)
    }

    /// The version that a candidate is, or would be if it were promoted now.
    #[must_use]
    pub fn version_for(&self, candidate: &ManifestId) -> u32 {
        let next = self.entries.iter().map(|entry| entry.version).max().unwrap_or(0) + 1;
        self.version_of(candidate).unwrap_or(next)
    }

    /// The entry that put a channel where it is.
    #[must_use]
    pub fn at(&self, channel: &str) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.channel == channel)
    }

    /// The entry that put a channel where it was at an instant.
    #[must_use]
    pub fn at_instant(&self, channel: &str, instant_ms: u64) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.channel == channel && entry.at_ms <= instant_ms)
    }

    /// Where every channel is.
    #[must_use]
    pub fn channels(&self) -> BTreeMap<&str, &Entry> {
        self.entries.iter().map(|entry| (entry.channel.as_str(), entry)).collect()
    }

    /// The version at which `at` points: a channel, or a version by its name.
    #[must_use]
    pub fn named(&self, at: &str) -> Option<&Entry> {
        match parse_version(at) {
            Some(version) => self.versions().get(&version).copied(),
            None => self.at(at),
        }
    }

    /// The version that a channel goes back to: the one that stood before the one that stands. What was rolled back does not stand.
    #[must_use]
    pub fn before(&self, channel: &str) -> Option<u32> {
        let mut standing: Vec<u32> = Vec::new();
        for entry in self.entries.iter().filter(|entry| entry.channel == channel) {
            if entry.act == Act::RolledBack
                && let Some(at) = standing.iter().rposition(|version| *version == entry.version)
            {
                standing.truncate(at);
            }
            standing.push(entry.version);
        }
        let now = standing.pop()?;
        standing.into_iter().rev().find(|version| *version != now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Told(Vec<Vec<u8>>);

    impl Told {
        fn history(&self) -> History {
            History::read("m", &self.0).unwrap()
        }

        fn add(&mut self, act: Act, channel: &str, candidate: &str, at_ms: u64) -> &mut Self {
            let entry = self.entry(act, channel, candidate, at_ms);
            self.0.push(entry.to_bytes().unwrap());
            self
        }

        fn entry(&self, act: Act, channel: &str, candidate: &str, at_ms: u64) -> Entry {
            let (history, candidate) = (self.history(), ManifestId(Digest::of(candidate.as_bytes())));
            Entry {
                release: "m".into(),
                sequence: history.next_sequence(),
                before: history.last(),
                act,
                channel: channel.into(),
                version: history.version_for(&candidate),
                candidate,
                action: ActionKey(Digest::of(b"key")),
                figures: BTreeMap::new(),
                gates: Vec::new(),
                reason: None,
                by: "a@b".into(),
                at_ms,
                lineage: Vec::new(),
                sources: BTreeMap::new(),
                nonce: at_ms.to_string(),
            }
        }
    }

    #[test]
    fn a_candidate_has_one_number_however_often_it_is_promoted() {
        let mut told = Told(Vec::new());
        told.add(Act::Promoted, CURRENT, "a", 10).add(Act::Promoted, CURRENT, "b", 20).add(Act::Promoted, CURRENT, "a", 30);
        let history = told.history();
        assert_eq!(history.entries().iter().map(|e| e.version).collect::<Vec<_>>(), [1, 2, 1]);
        assert_eq!((history.at(CURRENT).unwrap().version, history.versions().len()), (1, 2));
    }

    #[test]
    fn what_was_current_is_known_of_any_instant() {
        let mut told = Told(Vec::new());
        told.add(Act::Promoted, CURRENT, "a", 10).add(Act::Promoted, CURRENT, "b", 20).add(Act::RolledBack, CURRENT, "a", 30);
        told.add(Act::Moved, "shadow", "b", 40);
        let history = told.history();
        let at = |ms| history.at_instant(CURRENT, ms).map(|entry| entry.version);
        assert_eq!([at(9), at(10), at(29), at(30), at(99)], [None, Some(1), Some(2), Some(1), Some(1)]);
        assert_eq!((history.named("shadow").unwrap().version, history.named("v002").unwrap().version), (2, 2));
        assert!(history.named("v003").is_none() && history.named("beta").is_none());
    }

    #[test]
    fn going_back_and_back_again_leads_to_what_stood_before_and_never_to_what_was_rolled_back() {
        let mut told = Told(Vec::new());
        for (at_ms, candidate) in [(1, "a"), (2, "b"), (3, "c")] {
            told.add(Act::Promoted, CURRENT, candidate, at_ms);
        }
        assert_eq!(told.history().before(CURRENT), Some(2));
        told.add(Act::RolledBack, CURRENT, "b", 4);
        assert_eq!(told.history().before(CURRENT), Some(1));
        told.add(Act::Promoted, CURRENT, "c", 5);
        assert_eq!(told.history().before(CURRENT), Some(2));
        told.add(Act::RolledBack, CURRENT, "a", 6);
        assert_eq!(told.history().before(CURRENT), None);
    }

    #[test]
    fn an_entry_that_does_not_follow_the_others_is_refused() {
        let mut told = Told(Vec::new());
        told.add(Act::Promoted, CURRENT, "a", 1).add(Act::Promoted, CURRENT, "b", 2);
        let good = told.entry(Act::Promoted, CURRENT, "c", 3);
        let wrong = [
            Entry { sequence: 4, ..good.clone() },
            Entry { before: None, ..good.clone() },
            Entry { version: 4, ..good.clone() },
            Entry { release: "n".into(), ..good.clone() },
            Entry { act: Act::RolledBack, ..good.clone() },
        ];
        let all = |entry: &Entry| History::read("m", told.0.iter().chain([&entry.to_bytes().unwrap()]));
        assert!(all(&good).is_ok());
        for entry in wrong {
            assert_eq!(all(&entry).unwrap_err().sequence, 3, "{entry:?}");
        }
        // Left out, the one before is missed.
        assert!(History::read("m", told.0.iter().skip(1)).is_err());
    }

    #[test]
    fn versions_and_channels_are_told_apart() {
        assert_eq!(["v001", "v2", "17"].map(parse_version), [Some(1), Some(2), Some(17)]);
        assert_eq!(["1234", "v", "v0", "", "current", "v1x", "+1"].map(parse_version), [None; 7]);
        assert!(is_channel_name("shadow-2") && !is_channel_name("v2") && !is_channel_name("a/b") && !is_channel_name(""));
    }
}
