//! Owns how a result is written down in a mirror. Invariant: what is read back is a result whose key, outputs and manifests are what they claim to be.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::digest::{ActionKey, BlobId, ManifestId};
use crate::mirror::contents::Contents;
use crate::mirror::error::{MirrorError, MirrorResult};
use crate::model::manifest::Manifest;
use crate::model::result::ActionResult;
use crate::store::pack::Segment;

/// The record of an action in a mirror.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Artifact name → its manifest, an object of its own.
    pub artifacts: BTreeMap<String, ManifestId>,
    /// Bytes of the log, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_size: Option<u64>,
    /// Where it lies.
    #[serde(default)]
    pub log_at: Contents,
    /// The rest of the result; its outputs are left out.
    pub result: ActionResult,
}

impl Record {
    /// The record of a result. Where its log lies is said when that is known.
    #[must_use]
    pub fn of(result: &ActionResult, log_size: Option<u64>) -> Self {
        let artifacts = result.outputs.iter().map(|(name, manifest)| (name.clone(), manifest.id())).collect();
        let result = ActionResult { outputs: BTreeMap::new(), ..result.clone() };
        Self { artifacts, log_size, log_at: Contents::default(), result }
    }

    /// Its log, with its size.
    #[must_use]
    pub fn log(&self) -> Option<(BlobId, u64)> {
        self.result.log.zip(self.log_size)
    }

    /// Its bytes.
    ///
    /// # Errors
    /// When it could not be read back.
    pub fn to_bytes(&self) -> MirrorResult<Vec<u8>> {
        self.result.to_record().map_err(|why| MirrorError::Record { why })?;
        serde_json::to_vec(self).map_err(|error| MirrorError::Record { why: error.to_string() })
    }

    /// The record in these bytes; `None` where they are not that of the action `key`.
    #[must_use]
    pub fn read(bytes: &[u8], key: &ActionKey) -> Option<Self> {
        let record: Self = serde_json::from_slice(bytes).ok()?;
        let result = &record.result;
        let honest = result.key == *key && result.action.key() == *key && result.outputs.is_empty();
        let complete = record.artifacts.keys().eq(&result.action.outputs) && result.log.is_some() == record.log_size.is_some();
        (honest && complete).then_some(record)
    }

    /// The result, with its artifacts; `None` where one is missing.
    #[must_use]
    pub fn into_result(self, artifacts: &Artifacts) -> Option<ActionResult> {
        let output = |(name, id): (String, ManifestId)| Some((name, artifacts.get(&id)?.manifest.clone()));
        let outputs = self.artifacts.into_iter().map(output).collect::<Option<_>>()?;
        Some(ActionResult { outputs, ..self.result })
    }

    /// Where its blobs lie, each with its size and once: those of its artifacts and its log. `None` for one of which it is not said.
    #[must_use]
    pub fn blobs(&self, artifacts: &Artifacts) -> BTreeMap<BlobId, (u64, Option<Vec<Segment>>)> {
        let mut blobs = BTreeMap::new();
        for artifact in self.artifacts.values().filter_map(|id| artifacts.get(id)) {
            blobs.extend(artifact.blobs());
        }
        if let Some((log, size)) = self.log() {
            blobs.entry(log).or_insert_with(|| (size, self.log_at.segments(&log, size)));
        }
        blobs
    }
}

/// Artifacts by their hashes.
pub type Artifacts = BTreeMap<ManifestId, Stored>;

/// An artifact in a mirror.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    /// What is in it.
    #[serde(rename = "files")]
    pub manifest: Manifest,
    /// Where that lies.
    pub contents: Contents,
}

impl Stored {
    /// Its bytes.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn to_bytes(&self) -> MirrorResult<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| MirrorError::Record { why: error.to_string() })
    }

    /// The artifact in these bytes; `None` where they are not those of `id`, or name a file that could lie outside its folder or over another.
    #[must_use]
    pub fn read(bytes: &[u8], id: &ManifestId) -> Option<Self> {
        let Self { manifest, contents } = serde_json::from_slice(bytes).ok()?;
        let manifest = Manifest::new(manifest.files).ok().filter(|manifest| manifest.id() == *id)?;
        Some(Self { manifest, contents })
    }

    /// Its blobs, each once: size, and where it lies if that is said.
    pub fn blobs(&self) -> impl Iterator<Item = (BlobId, (u64, Option<Vec<Segment>>))> + '_ {
        sizes(&self.manifest).into_iter().map(|(blob, size)| (blob, (size, self.contents.segments(&blob, size))))
    }
}

/// The blobs of an artifact and their sizes, each once.
#[must_use]
pub fn sizes(manifest: &Manifest) -> BTreeMap<BlobId, u64> {
    manifest.files.values().map(|file| (file.blob, file.size)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::Digest;
    use crate::model::manifest::FileEntry;

    #[test]
    fn a_manifest_that_leads_out_of_its_folder_or_over_itself_is_refused_whatever_its_hash() {
        let entry = FileEntry { blob: BlobId(Digest::of(b"x")), size: 1, executable: false };
        for names in [&["../x"][..], &["/etc/x"], &["a/../../x"], &["a\\x"], &["a", "A"], &["e\u{301}", "\u{e9}"], &["a//b"], &["."]] {
            let manifest = Manifest { files: names.iter().map(|name| ((*name).to_owned(), entry)).collect() };
            let hostile = Stored { manifest, contents: Contents::default() };
            assert_eq!(Stored::read(&hostile.to_bytes().unwrap(), &hostile.manifest.id()), None, "{names:?}");
        }
        let good = Stored { manifest: Manifest::new([("a/b".to_owned(), entry)]).unwrap(), contents: Contents::default() };
        assert_eq!(Stored::read(&good.to_bytes().unwrap(), &good.manifest.id()), Some(good.clone()));
        assert_eq!(Stored::read(&good.to_bytes().unwrap(), &Manifest::default().id()), None, "another one's hash");
    }
}
