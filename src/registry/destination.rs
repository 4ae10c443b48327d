//! Owns a folder that tables are published into. Invariant: a table's file is whole at every moment, and is replaced by one publisher at a time.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::clock;
use crate::io::fs::{self, FsError};
use crate::io::lock::{Lock, Mode};
use crate::model::manifest::FileEntry;
use crate::registry::ledger::{Ledger, LedgerError};
use crate::store::content::ContentStore;
use crate::store::error::StoreError;
use crate::store::materialize;

/// The folder inside it that is ours: ledgers, locks, files on their way.
const OWN: &str = ".cbi";

/// How long a publisher waits for another one of the same table.
const PATIENCE: Duration = Duration::from_secs(30);

/// The file of published tables: whoever may see the folder may read them.
const MODE: u32 = 0o644;

/// A folder with one Parquet file a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    folder: PathBuf,
}

/// One table of it, held by this process alone.
#[derive(Debug)]
pub struct Desk {
    _lock: Lock,
    /// What was delivered before.
    pub ledger: Ledger,
    file: PathBuf,
    scratch: PathBuf,
}

impl Destination {
    /// The folder; it is made when something is delivered.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where the table is, or would be.
    #[must_use]
    pub fn file(&self, table: &str) -> PathBuf {
        self.folder.join(format!("{table}.parquet"))
    }

    /// Where the table's ledger is.
    #[must_use]
    pub fn ledger_file(&self, table: &str) -> PathBuf {
        self.folder.join(OWN).join(format!("{table}.ledger"))
    }

    /// The tables that have a ledger, sorted.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn tables(&self) -> Result<Vec<String>, StoreError> {
        let entries = fs::list_if_any(&self.folder.join(OWN))?;
        let table = |name: &str| name.strip_suffix(".ledger").map(str::to_owned);
        Ok(entries.iter().filter_map(|entry| table(entry.name.to_str()?)).collect())
    }

    /// What was delivered into the table; nothing is made or held for it.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn ledger(&self, table: &str) -> Result<Ledger, LedgerError> {
        Ledger::read(&self.ledger_file(table))
    }

    /// Holds the table, so that nobody else delivers into it meanwhile.
    ///
    /// # Errors
    /// When somebody else does for longer than we wait, or the folder cannot be used.
    pub fn hold(&self, table: &str) -> Result<Desk, LedgerError> {
        let own = self.folder.join(OWN);
        fs::create_folders(&own).map_err(StoreError::Fs)?;
        let lock = Lock::take(&own.join(format!("{table}.lock")), Mode::Exclusive, PATIENCE);
        let lock = lock.map_err(|e| StoreError::lock("the table that is published into", e))?;
        let scratch = own.join(format!("{table}.coming"));
        Ok(Desk { _lock: lock, ledger: self.ledger(table)?, file: self.file(table), scratch })
    }
}

impl Desk {
    /// Where the table is.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Puts the blob in place of the table's file: readers and crashes see the one or the other.
    ///
    /// # Errors
    /// When it is not in the store, or the disk refuses; the old file is still there then.
    pub fn put(&self, store: &dyn ContentStore, entry: &FileEntry) -> Result<(), StoreError> {
        // What a publisher left that was killed.
        fs::remove_file(&self.scratch)?;
        materialize::copy_file(store, entry, &self.scratch)?;
        // Who reads it goes by its time; blobs have none.
        let now = clock::now_ms() / 1000;
        fs::set_mode(&self.scratch, MODE).and_then(|()| fs::set_modified(&self.scratch, now))?;
        let files = [self.scratch.clone()];
        fs::sync_all(&files).and_then(|()| fs::rename(&self.scratch, &self.file))?;
        let folder = self.file.parent().map_or(Ok(()), fs::sync);
        folder.map_err(|error: FsError| error.into())
    }
}
