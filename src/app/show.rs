//! Owns `cbi show`. Invariant: everything shown was recorded when it happened; nothing is worked out anew.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::app::history::PastBuild;
use crate::app::looks;
use crate::app::mirroring::problems;
use crate::app::problem::{self, Outcome};
use crate::app::recall::{self, Reach};
use crate::app::resolve::{Records, Thing};
use crate::app::workspace::Options;
use crate::base::clock;
use crate::base::digest::{ActionKey, BlobId, BuildId, ManifestId};
use crate::io::fs;
use crate::kinds::tuned::TUNE;
use crate::kinds::{evaluate, evaluate_report, regime_classifier, regime_report, score, score_report, signal, signal_report, tune_rank};
use crate::mirror::looks::Looks;
use crate::model::action::Input;
use crate::model::build::Build;
use crate::model::check::TRIAL;
use crate::model::manifest::FileEntry;
use crate::model::result::{ActionResult, Cost};
use crate::registry::journal::{BuiltTargets, Journal, JournalError};
use crate::store::content::ContentStore as _;

/// Kinds that leave a text for people: the kind, the artifact, the file in it.
const READABLE: [(&str, &str, &str); 5] = [
    (evaluate::NAME, evaluate::ARTIFACT, evaluate_report::TEXT_FILE),
    (regime_classifier::NAME, regime_classifier::ARTIFACT, regime_report::TEXT_FILE),
    (signal::NAME, TRIAL, signal_report::TEXT_FILE),
    (score::NAME, score::ARTIFACT, score_report::TEXT_FILE),
    (TUNE, tune_rank::RESULTS, tune_rank::TEXT_FILE),
];

/// What there is to show.
#[derive(Debug, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Shown {
    /// A target's latest result.
    Target(Made),
    /// One artifact.
    Artifact(Made),
    /// One action.
    Action(Made),
    /// One build.
    Build(Told),
    /// One file's bytes.
    Blob(Bytes),
    /// A table of the warehouse that no target holds.
    WarehouseTable(Source),
}

/// A result: what it was made from and with, and what it is.
#[derive(Debug, Serialize)]
pub struct Made {
    /// The target.
    pub target: String,
    /// The kind.
    pub kind: String,
    /// The action's key.
    pub action: ActionKey,
    /// The artifacts shown.
    pub artifacts: BTreeMap<String, Artifact>,
    /// Slot → what fed it.
    pub inputs: BTreeMap<String, Fed>,
    /// The resolved spec.
    pub params: Value,
    /// What ran it.
    pub engines: BTreeMap<String, String>,
    /// Where it ran.
    pub platform: String,
    /// Threads it used.
    pub threads: u32,
    /// Named numbers.
    pub metrics: BTreeMap<String, f64>,
    /// Sentences.
    pub notes: Vec<String>,
    /// Of an evaluation: how many, itself included, have looked at the same test rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub looks: Option<u64>,
    /// Of an evaluation, a classifier of regimes, a signal, a score or a search: its text for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// What it cost.
    pub cost: Cost,
    /// When it ended.
    pub ended: String,
    /// What it printed.
    pub log: Option<BlobId>,
}

/// One artifact.
#[derive(Debug, Serialize)]
pub struct Artifact {
    /// Its hash.
    pub hash: ManifestId,
    /// Bytes of all its files.
    pub size: u64,
    /// Whether all of them are in the store.
    pub stored: bool,
    /// Its files.
    pub files: BTreeMap<String, FileEntry>,
}

/// What fed a slot.
#[derive(Debug, Serialize)]
pub struct Fed {
    /// The artifact's or the file's hash.
    pub hash: String,
    /// The target that made the artifact, as far as is recorded, or the file's name.
    pub from: Option<String>,
}

/// A build.
#[derive(Debug, Serialize)]
pub struct Told {
    /// As `cbi log` tells it.
    #[serde(flatten)]
    pub past: PastBuild,
    /// The state it left of every target; `null` where that is no longer in the store.
    pub targets: Option<BuiltTargets>,
}

/// One file's bytes.
#[derive(Debug, Serialize)]
pub struct Bytes {
    /// Their hash.
    pub hash: BlobId,
    /// Their number.
    pub size: u64,
    /// Artifacts that hold them: `target#artifact/path`, each once.
    pub found_in: Vec<String>,
}

/// A table of the warehouse.
#[derive(Debug, Serialize)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Its file.
    pub file: String,
    /// The file's bytes.
    pub size: u64,
}

/// Shows what `text` stands for.
///
/// # Errors
/// When it is nothing, or several things.
pub fn show(options: &Options, text: &str) -> Outcome<Shown> {
    let (records, build) = recall::open(options, text, Reach::Inputs)?;
    if let Some(build) = build {
        let past = told(&records, build.id, build.build)?;
        return Ok(Shown::Build(Told { past: PastBuild { by: Some(build.by), ..past.past }, ..past }));
    }
    let looked = looks::told(&records).map_err(problems)?;
    Ok(match records.find(text)? {
        Thing::Target { name, made: result } => Shown::Target(Made { target: name, ..made(&records, &looked, &result, None) }),
        Thing::Artifact(a) => Shown::Artifact(made(&records, &looked, &a.made, Some(&a.name))),
        Thing::Action(result) => Shown::Action(made(&records, &looked, &result, None)),
        Thing::Build(id, build) => Shown::Build(told(&records, id, *build)?),
        Thing::Blob(hash, size) => Shown::Blob(Bytes { hash, size, found_in: found_in(&records, &hash) }),
        Thing::Source { name, path } => {
            let size = fs::stat(&path).ok().flatten().map_or(0, |s| s.size);
            Shown::WarehouseTable(Source { name, file: path.display().to_string(), size })
        }
    })
}

fn made(records: &Records, looked: &Looks, result: &ActionResult, only: Option<&str>) -> Made {
    let outputs = result.outputs.iter().filter(|(name, _)| only.is_none_or(|o| o == name.as_str()));
    let artifact = |files: &crate::model::manifest::Manifest| Artifact {
        hash: files.id(),
        size: files.size(),
        stored: records.is_whole(files),
        files: files.files.clone(),
    };
    let action = &result.action;
    Made {
        target: result.target.clone(),
        kind: action.kind.clone(),
        action: result.key,
        artifacts: outputs.map(|(name, files)| (name.clone(), artifact(files))).collect(),
        inputs: action.inputs.iter().map(|(slot, input)| (slot.clone(), fed(records, input))).collect(),
        params: action.params.clone(),
        engines: action.engines.clone(),
        platform: action.platform.clone(),
        threads: action.threads,
        metrics: result.metrics.clone(),
        notes: result.notes.clone(),
        looks: looks::looks(&records.results, looked, result),
        table: table(records, result),
        cost: result.cost,
        ended: clock::rfc3339(result.ended_ms),
        log: result.log,
    }
}

/// The readable text of a result, where it has one that is still in the store.
fn table(records: &Records, result: &ActionResult) -> Option<String> {
    let (_, artifact, file) = READABLE.iter().find(|(kind, ..)| *kind == result.action.kind)?;
    let entry = result.outputs.get(*artifact)?.files.get(*file)?;
    let bytes = records.session.content().read(&entry.blob).ok()??;
    String::from_utf8(bytes).ok()
}

fn fed(records: &Records, input: &Input) -> Fed {
    match input {
        Input::Artifact(id) => {
            let from = records.maker(id).map(|(result, name)| match result.outputs.len() {
                1 => result.target.clone(),
                _ => format!("{}#{name}", result.target),
            });
            Fed { hash: id.to_string(), from }
        }
        Input::File { blob, name, .. } => Fed { hash: blob.to_string(), from: Some(name.clone()) },
    }
}

fn told(records: &Records, build: BuildId, record: Build) -> Outcome<Told> {
    let targets = match Journal::targets(records.session.content(), build, &record) {
        Err(JournalError::TargetsLost { .. }) => None,
        other => Some(other.map_err(problem::journal)?),
    };
    Ok(Told { past: PastBuild::of(build, record), targets })
}

fn found_in(records: &Records, blob: &BlobId) -> Vec<String> {
    let mut found = Vec::new();
    for result in records.results.iter().rev() {
        for (artifact, files) in &result.outputs {
            for (path, _) in files.files.iter().filter(|(_, f)| f.blob == *blob) {
                let name = format!("{}#{artifact}/{path}", result.target);
                if !found.contains(&name) {
                    found.push(name);
                }
            }
        }
    }
    found
}
