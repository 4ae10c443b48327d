//! Owns what is known of the partitions of a remote warehouse's tables. Invariant: it is true of the table's version that it names, whoever asked; losing it
//! costs one query a dataset.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::io::file;
use crate::io::fs::{self, FsError};
use crate::kinds::export::{Found, Known};
use crate::store::error::StoreError;
use crate::store::root::Root;

/// Partitions by project and table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory(BTreeMap<String, BTreeMap<String, Known>>);

impl Memory {
    /// What is known so far; nothing where the file is not there, or is not understood.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(root: &Root) -> Result<Self, FsError> {
        let bytes = fs::read_if_any(&root.partitions())?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
    }

    /// What is known of some tables of a project, `dataset.table`.
    #[must_use]
    pub fn of(&self, project: &str, tables: &BTreeSet<String>) -> BTreeMap<String, Known> {
        let known = self.0.get(project).into_iter().flatten().filter(|(table, _)| tables.contains(*table));
        known.map(|(table, known)| (table.clone(), known.clone())).collect()
    }

    /// Takes what a look found, and writes it down where it is new.
    ///
    /// # Errors
    /// When the cache folder cannot be written to.
    pub fn take(&mut self, project: &str, found: &Found, root: &Root) -> Result<(), StoreError> {
        let before = self.clone();
        let tables = self.0.entry(project.to_owned()).or_default();
        for (table, partitions) in &found.partitions {
            let Some(version) = found.versions.get(table) else { continue };
            let (modified, etag) = (version.modified.clone(), version.etag.clone());
            tables.insert(table.clone(), Known { modified, etag, partitions: partitions.clone() });
        }
        if *self != before {
            file::replace(&root.partitions(), &serde_json::to_vec(self).unwrap_or_default(), &root.scratch()?)?;
        }
        Ok(())
    }
}
