//! Owns the pins of a workspace. Invariant: what is pinned is pinned by its hash, so it is the same thing whatever is built afterwards.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::digest::Digest;
use crate::io::{file, fs};
use crate::store::error::{StoreError, StoreResult};
use crate::store::root::Root;

/// What a pin says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// What it is, for people: `build`, or `artifact model of model/wti/lightgbm/1m`.
    pub what: String,
    /// When it was pinned.
    pub at: String,
}

/// All pins, by what they keep.
///
/// # Errors
/// When one cannot be read: what it keeps must not be deleted.
pub fn all(root: &Root) -> StoreResult<BTreeMap<Digest, Pin>> {
    let mut pins = BTreeMap::new();
    for entry in fs::list_if_any(&root.pinned())? {
        let Some(digest) = entry.name.to_str().and_then(|name| name.parse().ok()) else { continue };
        let bytes = fs::read(&root.pinned().join(&entry.name))?;
        pins.insert(digest, serde_json::from_slice(&bytes).map_err(|error| StoreError::Record { why: error.to_string() })?);
    }
    Ok(pins)
}

/// Writes a pin, or with `remove` takes it away.
///
/// # Errors
/// When the disk refuses.
pub fn write(root: &Root, hash: &Digest, pin: &Pin, remove: bool) -> StoreResult<()> {
    let path = root.pinned().join(hash.to_string());
    if remove {
        fs::remove_file(&path)?;
        return Ok(fs::sync(&root.pinned())?);
    }
    fs::create_folders(&root.pinned())?;
    let text = serde_json::to_vec(pin).map_err(|error| StoreError::Record { why: error.to_string() })?;
    Ok(file::replace(&path, &text, &root.scratch()?)?)
}
