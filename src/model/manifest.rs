//! Owns manifests. Invariant: equal trees have equal manifests, whatever order, owner, time or machine they came from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use crate::base::canon::{HashSink, Sink};
use crate::base::digest::{BlobId, ManifestId};

/// The files of one artifact: sorted relative path → content. Links are refused, empty folders dropped.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Manifest {
    /// Path with `/` between segments, normalised to Unicode NFC → what is there.
    pub files: BTreeMap<String, FileEntry>,
}

/// One file of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// The file's bytes.
    pub blob: BlobId,
    /// Their number.
    pub size: u64,
    /// Whether the file may be executed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
}

/// A tree that cannot be an artifact.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Two names that some file systems cannot hold side by side.
    #[error("'{first}' and '{second}' are the same name where case is folded")]
    CaseClash {
        /// The one met first.
        first: String,
        /// The one met second.
        second: String,
    },
    /// A path that is absolute or climbs out.
    #[error("'{path}' is not a path inside the artifact")]
    Outside {
        /// The path.
        path: String,
    },
}

impl Manifest {
    /// A manifest of these files; paths are normalised.
    ///
    /// # Errors
    /// When a path leaves the folder, or two paths are one where case is folded.
    pub fn new(files: impl IntoIterator<Item = (String, FileEntry)>) -> Result<Self, ManifestError> {
        let mut folded: BTreeMap<String, String> = BTreeMap::new();
        let mut manifest = Self::default();
        for (path, entry) in files {
            let path: String = path.nfc().collect();
            if path.split('/').any(|s| matches!(s, "" | "." | "..")) || path.contains(['\\', '\0']) {
                return Err(ManifestError::Outside { path });
            }
            if let Some(first) = folded.insert(path.to_lowercase(), path.clone()) {
                return Err(ManifestError::CaseClash { first, second: path });
            }
            manifest.files.insert(path, entry);
        }
        Ok(manifest)
    }

    /// The digest that names the artifact.
    #[must_use]
    pub fn id(&self) -> ManifestId {
        let mut sink = HashSink::new("cbi 1 manifest");
        for (path, entry) in &self.files {
            sink.open(path);
            sink.field("blob", &entry.blob.to_string());
            sink.field("size", &entry.size.to_string());
            sink.field("executable", if entry.executable { "1" } else { "0" });
            sink.close();
        }
        ManifestId(sink.finish())
    }

    /// Bytes of all files together.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.files.values().map(|f| f.size).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::Digest;

    fn entry(text: &str) -> FileEntry {
        FileEntry { blob: BlobId(Digest::of(text.as_bytes())), size: text.len() as u64, executable: false }
    }

    #[test]
    fn the_order_of_files_does_not_count_and_every_field_does() {
        let (a, b) = (("a".to_owned(), entry("1")), ("b".to_owned(), entry("2")));
        let one = Manifest::new([a.clone(), b.clone()]).unwrap();
        assert_eq!(one.id(), Manifest::new([b, a]).unwrap().id());
        for change in [
            Manifest::new([("a".to_owned(), entry("1"))]).unwrap(),
            Manifest::new([("a".to_owned(), entry("1")), ("c".to_owned(), entry("2"))]).unwrap(),
            Manifest::new([("a".to_owned(), FileEntry { executable: true, ..entry("1") }), ("b".to_owned(), entry("2"))]).unwrap(),
        ] {
            assert_ne!(one.id(), change.id());
        }
    }

    #[test]
    fn a_tree_that_some_machine_cannot_hold_is_refused() {
        assert!(matches!(
            Manifest::new([("A".to_owned(), entry("1")), ("a".to_owned(), entry("2"))]),
            Err(ManifestError::CaseClash { .. })
        ));
        for path in ["/etc/x", "../x", "a/../b", "a//b", ""] {
            assert!(matches!(Manifest::new([(path.to_owned(), entry("1"))]), Err(ManifestError::Outside { .. })), "{path}");
        }
    }

    #[test]
    fn decomposed_and_composed_names_are_one_name() {
        let composed = Manifest::new([("\u{e9}".to_owned(), entry("1"))]).unwrap();
        assert_eq!(composed, Manifest::new([("e\u{301}".to_owned(), entry("1"))]).unwrap());
    }
}
