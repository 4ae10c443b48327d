//! Owns the local warehouse: a folder with one file a table, `<dataset>.<table>.parquet` or `.csv`. Invariant: what tables there are is read
//! off the file names alone; no file is opened for it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::base::name::is_table_name;
use crate::io::fs;

/// A warehouse that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum WarehouseError {
    /// The folder cannot be listed.
    #[error(transparent)]
    Folder(#[from] fs::FsError),
    /// Two files for one table.
    #[error("two files hold the table '{table}': {} and {}", first.display(), second.display())]
    Twice {
        /// The table.
        table: String,
        /// One file.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// A folder that must hold one table's file.
    #[error("{}: not exactly one table file", folder.display())]
    NotOne {
        /// The folder.
        folder: PathBuf,
    },
}

/// How a table's file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Parquet: columns have types.
    Parquet,
    /// CSV with a header: columns are text.
    Csv,
}

/// The table that a file of this name holds, and how; `None` for any other file.
#[must_use]
pub fn table_of(file_name: &str) -> Option<(&str, Format)> {
    let (table, ending) = file_name.rsplit_once('.')?;
    let format = match ending {
        "parquet" => Format::Parquet,
        "csv" => Format::Csv,
        _ => return None,
    };
    is_table_name(table).then_some((table, format))
}

/// The tables of the warehouse in `folder`, by name, each with its file. Other files are none of its business.
///
/// # Errors
/// When the folder cannot be listed, or two files hold one table.
pub fn tables(folder: &Path) -> Result<BTreeMap<String, PathBuf>, WarehouseError> {
    let mut all = BTreeMap::new();
    for entry in fs::list(folder)? {
        let Some((table, _)) = entry.name.to_str().and_then(table_of) else { continue };
        let second = folder.join(&entry.name);
        if let Some(first) = all.insert(table.to_owned(), second.clone()) {
            return Err(WarehouseError::Twice { table: table.to_owned(), first, second });
        }
    }
    Ok(all)
}

/// The files of a table that comes in these parts, one in each folder.
///
/// # Errors
/// When a folder has none, or more than one.
pub fn files(folders: &[&Path]) -> Result<(Vec<PathBuf>, Format), WarehouseError> {
    let mut format = Format::Parquet;
    let mut files = Vec::with_capacity(folders.len());
    for folder in folders {
        let (file, own) = only_file(folder)?;
        files.push(file);
        format = own;
    }
    Ok((files, format))
}

/// The one table file in an action's input folder.
///
/// # Errors
/// When there is none, or more than one.
pub fn only_file(folder: &Path) -> Result<(PathBuf, Format), WarehouseError> {
    let mut found = None;
    for entry in fs::list(folder)? {
        let Some((_, format)) = entry.name.to_str().and_then(table_of) else { continue };
        if found.replace((folder.join(&entry.name), format)).is_some() {
            return Err(WarehouseError::NotOne { folder: folder.to_owned() });
        }
    }
    found.ok_or_else(|| WarehouseError::NotOne { folder: folder.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_says_which_table_it_holds() {
        assert_eq!(table_of("wti.daily.parquet"), Some(("wti.daily", Format::Parquet)));
        assert_eq!(table_of("fred.dcoilwtico.csv"), Some(("fred.dcoilwtico", Format::Csv)));
        for other in ["PROVENANCE.md", "regime_weights.yaml", "a.b.c.parquet", "a.parquet", "a.b.parquet.tmp", ".parquet"] {
            assert_eq!(table_of(other), None, "{other}");
        }
    }

    #[test]
    fn two_files_for_one_table_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.b.csv", "c.d.parquet", "README.md"] {
            fs::write(&folder.path().join(name), b"").unwrap();
        }
        assert_eq!(tables(folder.path()).unwrap().into_keys().collect::<Vec<_>>(), ["a.b", "c.d"]);
        fs::write(&folder.path().join("a.b.parquet"), b"").unwrap();
        assert!(matches!(tables(folder.path()), Err(WarehouseError::Twice { table, .. }) if table == "a.b"));
    }
}
