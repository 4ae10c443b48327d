//! Owns how a running action says how far it is. Invariant: what it says is for people to look at, so a disk that refuses it stops nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;

use crate::base::clock;
use crate::io::fs;
use crate::model::progress::{self, Progress};

/// Says how far an action is, or a part of one, where there is a folder to say it in.
pub struct Teller {
    folder: Option<PathBuf>,
    unit: &'static str,
    began: Instant,
    /// Units that were done before this run.
    before: u64,
}

impl Teller {
    /// Of an action that counts these, in the folder that it keeps between runs.
    #[must_use]
    pub fn new(folder: Option<&Path>, unit: &'static str) -> Self {
        Self { folder: folder.map(Path::to_owned), unit, began: clock::start(), before: 0 }
    }

    /// So many units were done by an earlier run, which says nothing of the pace.
    pub fn goes_on_from(&mut self, before: u64) {
        self.before = before;
    }

    /// So many units of so many are done, and this is what the last one came to.
    pub fn tell(&self, done: u64, of: u64, figures: BTreeMap<String, f64>) {
        let Some(folder) = &self.folder else { return };
        let spent = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let left_ms = spent.checked_div(done.saturating_sub(self.before)).map(|each| each.saturating_mul(of.saturating_sub(done)));
        let progress = Progress { unit: self.unit.to_owned(), done, of, figures, left_ms, within: None };
        _ = fs::create_folders(folder).and_then(|()| fs::write(&folder.join(progress::FILE), json!(progress).to_string().as_bytes()));
    }

    /// The folder of the part that comes after so many, which it keeps and says in what is its own.
    #[must_use]
    pub fn part(&self, done: u64) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| progress::part(folder, done))
    }
}
