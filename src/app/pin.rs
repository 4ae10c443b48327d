//! Owns `cbi pin`. Invariant: what is pinned here is pinned in the mirror too, or it is said why not.

use serde::Serialize;

use crate::app::mirroring::{self, problems};
use crate::app::pinned::{self, Pin};
use crate::app::pinned_there;
use crate::app::problem::{self, Outcome};
use crate::app::recall::{self, Reach};
use crate::app::resolve::{Records, Thing};
use crate::app::workspace::Options;
use crate::base::clock;
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::base::digest::Digest;

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
    /// Why it is not pinned in the mirror too, where there is one and it could not be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Everything that is pinned.
///
/// # Errors
/// When the workspace or a pin cannot be read.
pub fn list(options: &Options) -> Outcome<Vec<Pinned>> {
    let Some(records) = Records::open_if_any(options)? else { return Ok(Vec::new()) };
    let pins = pinned::all(records.session.root()).map_err(problem::stores)?;
    Ok(pins.into_iter().map(|(hash, pin)| Pinned { hash, pin, changed: false, note: None }).collect())
}

/// Pins what `text` stands for, or with `remove` lets go of it: here, and in the mirror.
///
/// # Errors
/// When it stands for nothing that can be pinned, or the disk refuses. A mirror that does not answer is told by the next `cbi mirror push`.
pub fn pin(options: &Options, text: &str, remove: bool) -> Outcome<Pinned> {
    let (records, build) = recall::open(options, text, Reach::Inputs)?;
    let root = records.session.root();
    // A collection at this moment would not know of it.
    let _building = root.building().map_err(problem::stores)?;
    let (hash, what) = match build {
        Some(build) => (build.id.0, "build".to_owned()),
        None => thing(&records, text)?,
    };
    let there = pinned::all(root).map_err(problem::stores)?.get(&hash).cloned();
    let changed = there.is_some() == remove;
    let pin = there.unwrap_or_else(|| Pin { what, at: clock::rfc3339(clock::now_ms()) });
    if changed {
        pinned::write(root, &hash, &pin, remove).map_err(problem::stores)?;
    }
    records.session.release().map_err(problem::stores)?;
    let told = match mirroring::bucket(&records.workspace, root, None)? {
        Some(bucket) => {
            let bucket = bucket.map_err(problems);
            bucket.and_then(|bucket| pinned_there::tell(&bucket, &records.session, &records.results, &hash, remove))
        }
        None => Ok(()),
    };
    let note = told.err().map(|why| why.into_iter().map(|problem| problem.message).collect::<Vec<_>>().join("; "));
    Ok(Pinned { hash, pin, changed, note })
}

/// The hash of what can be pinned, and what it is.
fn thing(records: &Records, text: &str) -> Outcome<(Digest, String)> {
    Ok(match records.find(text)? {
        Thing::Build(id, _) => (id.0, "build".to_owned()),
        Thing::Artifact(artifact) => (artifact.id.0, format!("artifact {} of {}", artifact.name, artifact.made.target)),
        Thing::Target { name, made } => (made.key.0, format!("what made {name}")),
        Thing::Action(made) => (made.key.0, format!("what made {}", made.target)),
        Thing::Blob(..) | Thing::Source { .. } => {
            let problem = Diagnostic::new(ExitCode::Usage, format!("'{text}' is no build, artifact, action or target"));
            return Err(vec![problem.hint("cbi log lists builds")]);
        }
    })
}
