//! Owns `cbi log`. Invariant: it lists what was recorded, newest first, and leaves nothing out before it says so.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::app::mirroring;
use crate::app::problem::{self, Outcome};
use crate::app::remote_builds;
use crate::app::resolve::Records;
use crate::app::workspace::{Options, Workspace};
use crate::base::clock;
use crate::base::diagnostic::{Diagnostic, ExitCode, in_one_line};
use crate::base::digest::{ActionKey, BuildId, ManifestId};
use crate::mirror::error::MirrorError;
use crate::model::action::Action;
use crate::model::build::{Build, Counts};
use crate::model::result::Cost;
use crate::plan::explain;
use crate::registry::journal::Journal;
use crate::store::root::Root;

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
    /// Who built, where it was found in the mirror.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// Past builds.
#[derive(Debug)]
pub struct Past {
    /// The newest first.
    pub builds: Vec<PastBuild>,
    /// Why the mirror was not asked for those of other machines, where it should have been.
    pub unread: Option<String>,
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
            by: None,
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

/// Past builds, at most `limit` (0: all): those of this workspace, and with `ask_mirror` those that others put into its mirror.
///
/// # Errors
/// When the workspace or its journal cannot be read. A mirror that does not answer is none.
pub fn builds(options: &Options, limit: usize, ask_mirror: bool) -> Outcome<Past> {
    let workspace = Workspace::open(options)?;
    let root = Root::at(&workspace.cache());
    let here = Journal::open(&root).and_then(|mut j| j.newest_first()).map_err(problem::journal)?;
    let known: BTreeSet<BuildId> = here.iter().map(|(id, _)| *id).collect();
    let there = match if ask_mirror { mirroring::bucket(&workspace, &root, None)? } else { None } {
        Some(bucket) => {
            root.create().map_err(MirrorError::from).and(bucket).and_then(|bucket| remote_builds::newest(&bucket, &known, most(limit)))
        }
        None => Ok(Vec::new()),
    };
    let (there, unread) = there.map_or_else(|error| (Vec::new(), Some(in_one_line(&error))), |there| (there, None));
    let here = here.into_iter().take(most(limit)).map(|(id, build)| (build.ended_ms, PastBuild::of(id, build)));
    let there = there.into_iter().map(|told| (told.build.ended_ms, PastBuild { by: Some(told.by), ..PastBuild::of(told.id, told.build) }));
    let mut all: Vec<(u64, PastBuild)> = here.chain(there).collect();
    all.sort_by_key(|(ended_ms, _)| std::cmp::Reverse(*ended_ms));
    Ok(Past { builds: all.into_iter().take(most(limit)).map(|(_, build)| build).collect(), unread })
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
