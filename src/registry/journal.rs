//! Owns the journal of builds. Invariant: it only grows, and a build in it names a list of targets that was in the store before it.

use std::collections::BTreeMap;

use crate::base::digest::{BuildId, DigestPrefix};
use crate::model::build::{Build, BuiltTarget};
use crate::store::content::{Batch, ContentStore};
use crate::store::error::StoreError;
use crate::store::log::{Item, Log};
use crate::store::root::Root;

/// The builds of one cache folder, in the order in which they ended.
#[derive(Debug)]
pub struct Journal {
    log: Log,
}

/// What a build made of its targets, by name.
pub type BuiltTargets = BTreeMap<String, BuiltTarget>;

/// Why the journal has no answer.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No build begins like that.
    #[error("no build begins with '{}'", prefix.as_str())]
    Unknown {
        /// What was asked for.
        prefix: DigestPrefix,
    },
    /// Several builds begin like that.
    #[error("{} builds begin with '{}'", candidates.len(), prefix.as_str())]
    Ambiguous {
        /// What was asked for.
        prefix: DigestPrefix,
        /// The builds, newest first.
        candidates: Vec<BuildId>,
    },
    /// The list of a build's targets is gone or damaged.
    #[error("the targets of build {build} are no longer in the store")]
    TargetsLost {
        /// The build.
        build: BuildId,
    },
}

impl Journal {
    /// The journal of `root`, whether or not there is one yet.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(root: &Root) -> Result<Self, JournalError> {
        Ok(Self { log: Log::open(&root.builds_log())? })
    }

    /// Puts the targets into the store and appends the build, which names them. It survives a crash when this returns.
    ///
    /// # Errors
    /// When the disk refuses; nothing is appended then.
    pub fn append(&mut self, store: &dyn ContentStore, build: Build, targets: &BuiltTargets) -> Result<(BuildId, Build), JournalError> {
        let text = |e: serde_json::Error| StoreError::Record { why: e.to_string() };
        let mut batch = Batch::new();
        let list = store.put_bytes(&serde_json::to_vec(targets).map_err(text)?, &mut batch)?;
        store.commit(&batch)?;
        let build = Build { targets: list, ..build };
        let payload = build.to_record().map_err(text)?;
        self.log.append(&payload)?;
        Ok((Build::id_of(&payload), build))
    }

    /// All builds, newest first. Damaged records are left out; `fsck` names them.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn newest_first(&mut self) -> Result<Vec<(BuildId, Build)>, JournalError> {
        self.log.reopen()?;
        let mut builds = Vec::new();
        let mut whole_to = 0;
        for item in self.log.read_from(0) {
            if let Item::Record { payload, end, .. } = item? {
                whole_to = end;
                builds.extend(serde_json::from_slice(&payload).map(|build| (Build::id_of(&payload), build)));
            }
        }
        self.log.known_whole(whole_to);
        builds.reverse();
        Ok(builds)
    }

    /// The newest build.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn last(&mut self) -> Result<Option<(BuildId, Build)>, JournalError> {
        Ok(self.newest_first()?.into_iter().next())
    }

    /// The one build that begins like `prefix`.
    ///
    /// # Errors
    /// When there is none or several, or the journal cannot be read.
    pub fn find(&mut self, prefix: &DigestPrefix) -> Result<(BuildId, Build), JournalError> {
        let mut found: Vec<_> = self.newest_first()?.into_iter().filter(|(id, _)| prefix.matches(&id.0)).collect();
        match found.len() {
            0 => Err(JournalError::Unknown { prefix: prefix.clone() }),
            1 => Ok(found.remove(0)),
            _ => Err(JournalError::Ambiguous { prefix: prefix.clone(), candidates: found.into_iter().map(|(id, _)| id).collect() }),
        }
    }

    /// What a build made of its targets.
    ///
    /// # Errors
    /// When the list is no longer in the store, or the store cannot be asked.
    pub fn targets(store: &dyn ContentStore, id: BuildId, build: &Build) -> Result<BuiltTargets, JournalError> {
        let bytes = store.read(&build.targets)?.ok_or(JournalError::TargetsLost { build: id })?;
        serde_json::from_slice(&bytes).map_err(|_| JournalError::TargetsLost { build: id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::{ActionKey, BlobId, Digest, ManifestId};
    use crate::model::build::Counts;
    use crate::store::local::LocalStore;

    fn build(n: u64) -> Build {
        Build {
            started_ms: n,
            ended_ms: n + 1,
            requested: Vec::new(),
            counts: Counts { ran: n, ..Counts::default() },
            outcome: "ok".to_owned(),
            targets: BlobId(Digest::of(b"set by append")),
            attempts: Vec::new(),
            instant_ms: None,
            grounds: None,
        }
    }

    fn targets(n: u64) -> BuiltTargets {
        let artifacts = BTreeMap::from([("out".to_owned(), ManifestId(Digest::of(&n.to_le_bytes())))]);
        BTreeMap::from([("a/b".to_owned(), BuiltTarget { key: ActionKey(Digest::of(b"key")), artifacts })])
    }

    #[test]
    fn builds_are_told_newest_first_and_found_by_what_their_id_begins_with() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(&folder.path().join("cache")).unwrap();
        let store = LocalStore::new(root.clone());
        let mut journal = Journal::open(&root).unwrap();
        assert!(journal.last().unwrap().is_none());
        let ids: Vec<BuildId> = (0..300).map(|n| journal.append(&store, build(n), &targets(n % 7)).unwrap().0).collect();

        let mut again = Journal::open(&root).unwrap();
        let all = again.newest_first().unwrap();
        assert!(all.iter().map(|(id, _)| id).eq(ids.iter().rev()));
        let (id, last) = again.last().unwrap().unwrap();
        assert_eq!((id, last.counts.ran), (ids[299], 299));
        assert_eq!(Journal::targets(&store, id, &last).unwrap(), targets(299 % 7));

        let whole: DigestPrefix = ids[3].to_string().parse().unwrap();
        assert_eq!(again.find(&whole).unwrap().0, ids[3]);
        let unknown: DigestPrefix = Digest::of(b"no build").to_string().parse().unwrap();
        assert!(matches!(again.find(&unknown), Err(JournalError::Unknown { .. })));
    }

    #[test]
    fn a_lost_list_of_targets_is_named_with_its_build() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(&folder.path().join("cache")).unwrap();
        let store = LocalStore::new(root.clone());
        let mut journal = Journal::open(&root).unwrap();
        journal.append(&store, build(1), &targets(1)).unwrap();
        let (id, last) = journal.last().unwrap().unwrap();
        store.quarantine(&last.targets).unwrap();
        assert!(matches!(Journal::targets(&store, id, &last), Err(JournalError::TargetsLost { build }) if build == id));
    }
}
