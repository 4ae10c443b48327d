//! Owns what a workspace remembers of a mirror. Invariant: what was seen once is never unseen: a mirror that shows less than before is not believed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::digest::Digest;
use crate::io::file;
use crate::io::fs;
use crate::io::lock::{Lock, Mode};
use crate::mirror::error::{MirrorError, MirrorResult};
use crate::store::error::StoreError;
use crate::store::root::Root;

/// How long one process waits while another writes down what it saw.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a workspace has seen of one mirror. Threads and processes may share it.
#[derive(Debug)]
pub struct Seen {
    mirror: String,
    path: PathBuf,
    root: Root,
    known: Mutex<State>,
}

/// The highest state seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// The mirror, for people.
    mirror: String,
    /// The newest epoch that was opened.
    #[serde(default)]
    opened: u32,
    /// Epochs that were fenced.
    #[serde(default)]
    fenced: BTreeSet<u32>,
    /// Log → its last number.
    #[serde(default)]
    logs: BTreeMap<String, u64>,
}

impl Seen {
    /// What the workspace with this cache has seen of the mirror of this name.
    #[must_use]
    pub fn of(root: &Root, mirror: &str) -> Self {
        let path = root.mirrors().join(Digest::derive("cbi 1 mirror seen", mirror.as_bytes()).short());
        Self { mirror: mirror.to_owned(), path, root: root.clone(), known: Mutex::default() }
    }

    /// Where it is remembered: files beside it whose names begin so are of the same mirror.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.path
    }

    /// What the mirror is called here.
    #[must_use]
    pub fn mirror(&self) -> &str {
        &self.mirror
    }

    /// Looks at the epochs that the mirror shows now, and remembers them.
    ///
    /// # Errors
    /// When it shows less than it did before, or what is remembered cannot be read or written.
    pub fn epochs(&self, opened: u32, fenced: &BTreeSet<u32>) -> MirrorResult<()> {
        self.at_least(|state| {
            if opened < state.opened {
                return Err(self.withheld(format!("epoch {} was opened, and the newest is {opened} now", state.opened)));
            }
            if let Some(open) = state.fenced.difference(fenced).next() {
                return Err(self.withheld(format!("epoch {open} was fenced, and is not now")));
            }
            state.opened = opened;
            state.fenced.extend(fenced);
            Ok(())
        })
    }

    /// Looks at the last number of a log that the mirror shows now, and remembers it; 0 for an empty one.
    ///
    /// # Errors
    /// When it shows less than it did before, or what is remembered cannot be read or written.
    pub fn log(&self, name: &str, last: u64) -> MirrorResult<()> {
        self.at_least(|state| {
            let before = state.logs.get(name).copied().unwrap_or_default();
            if last < before {
                return Err(self.withheld(format!("the log of '{name}' went to {before}, and ends at {last} now")));
            }
            if last > before {
                state.logs.insert(name.to_owned(), last);
            }
            Ok(())
        })
    }

    /// Forgets the mirror: the next look at it is the first one.
    ///
    /// # Errors
    /// When it cannot be forgotten.
    pub fn forget(&self) -> MirrorResult<bool> {
        let there = fs::stat(&self.path)?.is_some();
        fs::remove_file(&self.path)?;
        Ok(there)
    }

    fn withheld(&self, what: String) -> MirrorError {
        MirrorError::Withheld { mirror: self.mirror.clone(), what }
    }

    /// Changes what is remembered. Where nothing changes no file is touched.
    fn at_least(&self, look: impl Fn(&mut State) -> MirrorResult<()>) -> MirrorResult<()> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut now = known.clone();
        if known.mirror == self.mirror && look(&mut now).is_ok() && now == *known {
            return Ok(());
        }
        let _lock = remembering(&self.root)?;
        let mut state = self.read()?;
        let before = state.clone();
        look(&mut state)?;
        if state != before {
            remember(&self.root, &self.path, &state)?;
        }
        *known = state;
        Ok(())
    }

    fn read(&self) -> MirrorResult<State> {
        let Some(bytes) = fs::read_if_any(&self.path)? else { return Ok(State { mirror: self.mirror.clone(), ..State::default() }) };
        serde_json::from_slice(&bytes).map_err(|_| MirrorError::Memory { mirror: self.mirror.clone(), path: self.path.clone() })
    }
}

/// Keeps other processes of a workspace from changing what it remembers of mirrors, until the lock is dropped.
///
/// # Errors
/// When the disk refuses, or another process does not come to an end.
pub(super) fn remembering(root: &Root) -> MirrorResult<Lock> {
    fs::create_folders(&root.mirrors())?;
    let lock = Lock::take(&root.lock_file("mirror"), Mode::Exclusive, PATIENCE);
    Ok(lock.map_err(|error| StoreError::lock("what was seen of the mirror", error))?)
}

/// Replaces a file of what is remembered, all of it at once, by who is [`remembering`].
///
/// # Errors
/// When the disk refuses.
pub(super) fn remember(root: &Root, path: &Path, what: &impl Serialize) -> MirrorResult<()> {
    let bytes = serde_json::to_vec(what).map_err(|error| MirrorError::Record { why: error.to_string() })?;
    Ok(file::replace(path, &bytes, &root.scratch()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_that_shows_less_than_before_is_not_believed_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(&folder.path().join("cache")).unwrap();
        let seen = Seen::of(&root, "gs://a");
        seen.epochs(0, &BTreeSet::new()).unwrap();
        seen.epochs(2, &BTreeSet::from([1])).unwrap();
        seen.log("models", 3).unwrap();
        // Another process of the same workspace knows it as well.
        for seen in [&seen, &Seen::of(&root, "gs://a")] {
            seen.epochs(2, &BTreeSet::from([1])).unwrap();
            seen.log("models", 3).unwrap();
            assert!(matches!(seen.epochs(1, &BTreeSet::from([1])), Err(MirrorError::Withheld { .. })));
            assert!(matches!(seen.epochs(2, &BTreeSet::new()), Err(MirrorError::Withheld { .. })));
            assert!(matches!(seen.log("models", 2), Err(MirrorError::Withheld { .. })));
            seen.log("others", 0).unwrap();
        }
        Seen::of(&root, "gs://b").epochs(0, &BTreeSet::new()).unwrap();
        assert!(seen.forget().unwrap());
        Seen::of(&root, "gs://a").epochs(1, &BTreeSet::new()).unwrap();
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(&folder.path().join("cache")).unwrap();
        let seen = Seen::of(&root, "gs://a");
        seen.epochs(2, &BTreeSet::new()).unwrap();
        std::fs::write(&seen.path, "torn").unwrap();
        assert!(matches!(Seen::of(&root, "gs://a").epochs(1, &BTreeSet::new()), Err(MirrorError::Memory { .. })));
    }
}
