//! Owns how a result is written down in a mirror. Invariant: what is read back is a result whose key, outputs and manifests are what they claim to be.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::digest::{ActionKey, BlobId, ManifestId};
use crate::mirror::error::{MirrorError, MirrorResult};
use crate::model::manifest::Manifest;
use crate::model::result::ActionResult;

/// The record of an action in a mirror.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Artifact name → its manifest, an object of its own.
    pub artifacts: BTreeMap<String, ManifestId>,
    /// Bytes of the log, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_size: Option<u64>,
    /// The rest of the result; its outputs are left out.
    pub result: ActionResult,
}

impl Record {
    /// The record of a result.
    #[must_use]
    pub fn of(result: &ActionResult, log_size: Option<u64>) -> Self {
        let artifacts = result.outputs.iter().map(|(name, manifest)| (name.clone(), manifest.id())).collect();
        Self { artifacts, log_size, result: ActionResult { outputs: BTreeMap::new(), ..result.clone() } }
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

    /// The result, with its manifests; `None` where one is missing.
    #[must_use]
    pub fn into_result(self, manifests: &BTreeMap<ManifestId, Manifest>) -> Option<ActionResult> {
        let output = |(name, id): (String, ManifestId)| Some((name, manifests.get(&id)?.clone()));
        let outputs = self.artifacts.into_iter().map(output).collect::<Option<_>>()?;
        Some(ActionResult { outputs, ..self.result })
    }
}

/// A manifest's bytes.
///
/// # Errors
/// When it cannot be written.
pub fn manifest_bytes(manifest: &Manifest) -> MirrorResult<Vec<u8>> {
    serde_json::to_vec(manifest).map_err(|error| MirrorError::Record { why: error.to_string() })
}

/// The manifest in these bytes; `None` where they are not those of `id`, or name a file that could lie outside its folder or over another.
#[must_use]
pub fn read_manifest(bytes: &[u8], id: &ManifestId) -> Option<Manifest> {
    let read: Manifest = serde_json::from_slice(bytes).ok()?;
    Manifest::new(read.files).ok().filter(|manifest| manifest.id() == *id)
}

/// The blobs of a result and their sizes, each once.
#[must_use]
pub fn blobs(result: &ActionResult, log_size: Option<u64>) -> BTreeMap<BlobId, u64> {
    let files = result.outputs.values().flat_map(|manifest| manifest.files.values()).map(|file| (file.blob, file.size));
    files.chain(result.log.zip(log_size)).collect()
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
            let hostile = Manifest { files: names.iter().map(|name| ((*name).to_owned(), entry)).collect() };
            assert_eq!(read_manifest(&manifest_bytes(&hostile).unwrap(), &hostile.id()), None, "{names:?}");
        }
        let good = Manifest::new([("a/b".to_owned(), entry)]).unwrap();
        assert_eq!(read_manifest(&manifest_bytes(&good).unwrap(), &good.id()), Some(good.clone()));
        assert_eq!(read_manifest(&manifest_bytes(&good).unwrap(), &Manifest::default().id()), None, "another one's hash");
    }
}
