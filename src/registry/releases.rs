//! Owns the log of releases of one cache folder: all there is without a mirror, else a copy of the mirror's. Invariant: it only grows, and of several
//! processes that would add the next entry of a release one does.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use crate::io::fs;
use crate::io::lock::{Lock, Mode};
use crate::model::release::{BadEntry, Entry, History};
use crate::store::error::StoreError;
use crate::store::log::{Item, Log};
use crate::store::root::Root;

/// Who adds an entry holds the log for milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// The log.
#[derive(Debug)]
pub struct Releases {
    log: Log,
    lock: PathBuf,
}

/// A log that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReleasesError {
    /// The file failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It holds what is no record.
    #[error("the log of releases '{path}' is damaged at byte {offset}")]
    Damaged {
        /// The file.
        path: String,
        /// Where.
        offset: u64,
    },
    /// It holds a record that is no entry, or cannot follow those before it.
    #[error(transparent)]
    Entry(#[from] BadEntry),
}

impl Releases {
    /// That of `root`, whether or not there is one yet.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(root: &Root) -> Result<Self, ReleasesError> {
        Ok(Self { log: Log::open(&root.releases_log())?, lock: root.lock_file("releases") })
    }

    /// The releases that it tells of.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged.
    pub fn names(&mut self) -> Result<BTreeSet<String>, ReleasesError> {
        Ok(self.all()?.into_iter().map(|(name, _)| name).collect())
    }

    /// Every entry of every release, in the order in which they came here.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged.
    pub fn all_entries(&mut self) -> Result<Vec<Entry>, ReleasesError> {
        Ok(self.all()?.into_iter().filter_map(|(_, bytes)| serde_json::from_slice(&bytes).ok()).collect())
    }

    /// The entries of one release as they are kept, the oldest first.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged.
    pub fn entries(&mut self, release: &str) -> Result<Vec<Vec<u8>>, ReleasesError> {
        Ok(self.all()?.into_iter().filter(|(name, _)| name == release).map(|(_, bytes)| bytes).collect())
    }

    /// What the entries of one release come to.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged.
    pub fn history(&mut self, release: &str) -> Result<History, ReleasesError> {
        Ok(History::read(release, &self.entries(release)?)?)
    }

    /// Adds entries of a release after `known` others; says whether it did, and not somebody else before. They survive a crash when this returns.
    ///
    /// # Errors
    /// When somebody else holds the log for long, or the disk refuses.
    pub fn append(&mut self, release: &str, known: usize, entries: &[Vec<u8>]) -> Result<bool, ReleasesError> {
        for folder in [self.lock.parent(), self.log.path().parent()].into_iter().flatten() {
            fs::create_folders(folder).map_err(StoreError::Fs)?;
        }
        let _held = Lock::take(&self.lock, Mode::Exclusive, PATIENCE).map_err(|error| StoreError::lock("the log of releases", error))?;
        if self.entries(release)?.len() != known {
            return Ok(false);
        }
        self.log.append_all(entries)?;
        Ok(true)
    }

    /// Every entry with its release. What a crash tore off at the end is none, and is cut by the next one.
    fn all(&mut self) -> Result<Vec<(String, Vec<u8>)>, ReleasesError> {
        self.log.reopen()?;
        let mut all = Vec::new();
        for item in self.log.read_from(0) {
            let damaged = |offset| ReleasesError::Damaged { path: self.log.path().display().to_string(), offset };
            match item? {
                Item::Record { offset, payload, .. } => {
                    let entry: Entry = serde_json::from_slice(&payload).map_err(|_| damaged(offset))?;
                    all.push((entry.release, payload));
                }
                Item::Damaged { offset, .. } => return Err(damaged(offset)),
                Item::Torn { .. } => break,
            }
        }
        Ok(all)
    }
}
