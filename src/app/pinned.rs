//! Owns `cbi pin`. Invariant: what is pinned is pinned by its hash, so it is the same thing whatever is built afterwards.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::app::problem::{self, Outcome};
use crate::app::resolve::{Records, Thing};
use crate::app::workspace::Options;
use crate::base::clock;
use crate::base::diagnostic::{Diagnostic, ExitCode};
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

/// A thing that is pinned, or is not any more.
#[derive(Debug, Clone, Serialize)]
pub struct Pinned {
    /// Its hash.
    pub hash: Digest,
    /// What it is.
    #[serde(flatten)]
    pub pin: Pin,
    /// Whether something changed: it may have been so before.
    pub changed: bool,
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

/// Everything that is pinned.
///
/// # Errors
/// When the workspace or a pin cannot be read.
pub fn list(options: &Options) -> Outcome<Vec<Pinned>> {
    let Some(records) = Records::open_if_any(options)? else { return Ok(Vec::new()) };
    let pins = all(records.session.root()).map_err(problem::stores)?;
    Ok(pins.into_iter().map(|(hash, pin)| Pinned { hash, pin, changed: false }).collect())
}

/// Pins what `text` stands for, or with `remove` lets go of it.
///
/// # Errors
/// When it stands for nothing that can be pinned, or the disk refuses.
pub fn pin(options: &Options, text: &str, remove: bool) -> Outcome<Pinned> {
    let records = Records::open(options, text)?;
    let root = records.session.root();
    // A collection at this moment would not know of it.
    let _building = root.building().map_err(problem::stores)?;
    let (hash, what) = match records.find(text)? {
        Thing::Build(id, _) => (id.0, "build".to_owned()),
        Thing::Artifact(artifact) => (artifact.id.0, format!("artifact {} of {}", artifact.name, artifact.made.target)),
        Thing::Target { name, made } => (made.key.0, format!("what made {name}")),
        Thing::Action(made) => (made.key.0, format!("what made {}", made.target)),
        Thing::Blob(..) | Thing::Source { .. } => {
            let problem = Diagnostic::new(ExitCode::Usage, format!("'{text}' is no build, artifact, action or target"));
            return Err(vec![problem.hint("cbi log lists builds")]);
        }
    };
    let there = all(root).map_err(problem::stores)?.get(&hash).cloned();
    let changed = there.is_some() == remove;
    let pin = there.unwrap_or_else(|| Pin { what, at: clock::rfc3339(clock::now_ms()) });
    if changed {
        write(root, &hash, &pin, remove).map_err(problem::stores)?;
    }
    Ok(Pinned { hash, pin, changed })
}

fn write(root: &Root, hash: &Digest, pin: &Pin, remove: bool) -> StoreResult<()> {
    let path = root.pinned().join(hash.to_string());
    if remove {
        fs::remove_file(&path)?;
        return Ok(fs::sync(&root.pinned())?);
    }
    fs::create_folders(&root.pinned())?;
    let text = serde_json::to_vec(pin).map_err(|error| StoreError::Record { why: error.to_string() })?;
    Ok(file::replace(&path, &text, &root.scratch()?)?)
}
