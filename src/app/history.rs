//! Owns `cbi log`. Invariant: it lists what was recorded, newest first, and leaves nothing out before it says so.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::app::problem::{self, Outcome};
use crate::app::resolve::Records;
use crate::app::workspace::Options;
use crate::base::clock;
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::base::digest::{ActionKey, BuildId, ManifestId};
use crate::model::action::Action;
use crate::model::build::{Build, Counts};
use crate::model::result::Cost;
use crate::plan::explain;
use crate::registry::journal::Journal;

/// One build.
#[derive(Debug, Serialize)]
pub struct PastBuild {
    /// Its hash.
    pub build: BuildId,
    /// When it began.
    pub started: String,
    /// How long it took.
    pub wall_ms: u64,
    /// How it ended.
    pub outcome: String,
    /// Steps run, reused, failed.
    #[serde(flatten)]
    pub counts: Counts,
    /// What was asked for; empty for the workspace's defaults.
    pub requested: Vec<String>,
}

impl PastBuild {
    /// What the journal says of it.
    #[must_use]
    pub fn of(build: BuildId, record: Build) -> Self {
        Self {
            build,
            started: clock::rfc3339(record.started_ms),
            wall_ms: record.ended_ms.saturating_sub(record.started_ms),
            outcome: record.outcome,
            counts: record.counts,
            requested: record.requested,
        }
    }
}

/// One result of a target.
#[derive(Debug, Serialize)]
pub struct PastResult {
    /// The action's key.
    pub action: ActionKey,
    /// When it ended.
    pub ended: String,
    /// Artifact → hash.
    pub artifacts: BTreeMap<String, ManifestId>,
    /// Why it ran: what differs from the result before.
    pub why: String,
    /// What it cost.
    pub cost: Cost,
    /// Named numbers.
    pub metrics: BTreeMap<String, f64>,
    /// Whether it is what the last build left.
    pub current: bool,
}

/// Past builds, newest first, at most `limit` (0: all).
///
/// # Errors
/// When the workspace or its journal cannot be read.
pub fn builds(options: &Options, limit: usize) -> Outcome<Vec<PastBuild>> {
    let Some(records) = Records::open_if_any(options)? else { return Ok(Vec::new()) };
    let builds = Journal::open(records.session.root()).and_then(|mut j| j.newest_first()).map_err(problem::journal)?;
    Ok(builds.into_iter().take(most(limit)).map(|(build, record)| PastBuild::of(build, record)).collect())
}

/// One target's past results, newest first, at most `limit` (0: all).
///
/// # Errors
/// When the workspace cannot be read, or has no such target with a result.
pub fn results(options: &Options, target: &str, limit: usize) -> Outcome<Vec<PastResult>> {
    let records = Records::open(options, target)?;
    let current = records.state.get(target).map(|built| built.key);
    let mut before: Option<&Action> = None;
    let mut past = Vec::new();
    for result in records.results.iter().filter(|r| r.target == target || Some(r.key) == current) {
        past.push(PastResult {
            action: result.key,
            ended: clock::rfc3339(result.ended_ms),
            artifacts: result.outputs.iter().map(|(name, files)| (name.clone(), files.id())).collect(),
            why: explain::reason(before, before.is_some(), &result.action),
            cost: result.cost,
            metrics: result.metrics.clone(),
            current: Some(result.key) == current,
        });
        before = Some(&result.action);
    }
    if past.is_empty() {
        // Says what is wrong with the name.
        records.artifact(target)?;
        return Err(vec![Diagnostic::new(ExitCode::Usage, format!("'{target}' is not a target"))]);
    }
    Ok(past.into_iter().rev().take(most(limit)).collect())
}

fn most(limit: usize) -> usize {
    if limit == 0 { usize::MAX } else { limit }
}
