//! Owns what the last look at a remote warehouse found. Invariant: each table stands with the version and the instant of one look, the last that
//! told of it; the file is replaced whole.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::app::problem::Outcome;
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::engine::bigquery::partitioning::Partitions;
use crate::engine::bigquery::version::TableVersion;
use crate::io::file;
use crate::io::fs::{self, FsError};
use crate::kinds::export::Found;
use crate::store::error::StoreError;
use crate::store::root::Root;

/// A table as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Its version.
    pub version: TableVersion,
    /// An instant of the warehouse's clock at which that was its version, milliseconds since 1970.
    pub instant_ms: i64,
    /// When it was seen, by this machine's clock, milliseconds since 1970.
    pub seen_ms: u64,
    /// Its partitions, where they are told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<Partitions>,
}

/// The tables that were seen, by `project.dataset.table`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pins(pub BTreeMap<String, Pin>);

impl Pins {
    /// What was seen so far; nothing where the file is not there, or is not understood: it is only used where somebody asks for the last versions.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(root: &Root) -> Result<Self, FsError> {
        let bytes = fs::read_if_any(&root.pins())?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
    }

    /// When the table was seen.
    ///
    /// # Errors
    /// When it never was.
    pub fn seen(&self, table: &str) -> Outcome<u64> {
        self.0.get(table).map(|pin| pin.seen_ms).ok_or_else(|| {
            let problem = Diagnostic::new(ExitCode::Usage, format!("no version of {table} is known, and --offline asks nobody"));
            vec![problem.hint("build once without --offline")]
        })
    }

    /// Takes what a look found.
    pub fn take(&mut self, found: &Found, seen_ms: u64) {
        for (table, version) in &found.versions {
            let partitions = found.partitions.get(table).cloned();
            let pin = Pin { version: version.clone(), instant_ms: found.instant_ms, seen_ms, partitions };
            self.0.insert(version.table.clone(), pin);
        }
    }

    /// Writes it down.
    ///
    /// # Errors
    /// When the cache folder cannot be written to.
    pub fn save(&self, root: &Root) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        file::replace(&root.pins(), &bytes, &root.scratch()?)?;
        Ok(())
    }
}
