//! Owns `cbi gc` and `cbi fsck`. Invariant: what the last build left stays whatever is asked, and after anything was taken away the next build looks
//! at everything again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::app::problem::{self, Outcome};
use crate::app::workspace;
use crate::base::clock;
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::io::fs;
use crate::model::action::Input;
use crate::registry::journal::{Journal, JournalError};
use crate::store::action_cache::Session;
use crate::store::error::StoreError;
use crate::store::fsck::{self, Finding, Report, Seen};
use crate::store::gc::{self, GcPlan, Keep};
use crate::store::root::Root;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// What a collection threw away, or would.
#[derive(Debug, Default)]
pub struct Collected {
    /// What goes and what stays.
    pub plan: GcPlan,
    /// Builds that stay.
    pub builds_kept: u64,
    /// Whether it is gone.
    pub applied: bool,
}

/// How long things are kept.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// What the last so many builds left.
    pub builds: usize,
    /// What builds of so many days left.
    pub days: u32,
}

/// Throws away what no kept build needs; with `dry_run` only says what that is.
///
/// # Errors
/// When there is no workspace, a build is at work, or the store refuses.
pub fn gc(directory: &Path, span: Span, dry_run: bool) -> Outcome<Collected> {
    let Some(cache) = existing(directory)? else { return Ok(Collected::default()) };
    let session = Session::open(&cache).map_err(problem::stores)?;
    let alone = if dry_run { None } else { Some(session.root().alone().map_err(problem::stores)?) };
    let (keep, builds_kept) = keep(&session, span)?;
    let plan = gc::plan(session.root(), &keep).map_err(problem::stores)?;
    if let Some(alone) = &alone {
        look_again(session.root())?;
        gc::apply(session.root(), &plan, alone).map_err(problem::stores)?;
    }
    Ok(Collected { plan, builds_kept, applied: alone.is_some() })
}

/// What must stay: the results that the kept builds' targets came from, young results of builds that were killed, and what all of them read.
fn keep(session: &Session, span: Span) -> Outcome<(Keep, u64)> {
    let since = clock::now_ms().saturating_sub(u64::from(span.days) * DAY_MS);
    let young = |ended_ms: u64| span.days > 0 && ended_ms >= since;
    let mut keep = Keep::default();
    let builds = Journal::open(session.root()).and_then(|mut journal| journal.newest_first()).map_err(problem::journal)?;
    let mut kept = 0;
    for (index, (id, build)) in builds.iter().enumerate().filter(|(i, (_, b))| *i < span.builds.max(1) || young(b.ended_ms)) {
        match Journal::targets(session.content(), *id, build) {
            Ok(targets) => {
                keep.actions.extend(targets.values().map(|t| t.key));
                keep.manifests.extend(targets.values().flat_map(|t| t.artifacts.values()));
                keep.blobs.insert(build.targets);
                kept += 1;
            }
            // Without the newest list nobody can say what is in use.
            Err(lost @ JournalError::TargetsLost { .. }) if index == 0 => {
                return Err(vec![Diagnostic::of(ExitCode::Damaged, &lost).hint("cbi build writes the list anew; then collect again")]);
            }
            Err(JournalError::TargetsLost { .. }) => {}
            Err(error) => return Err(problem::journal(error)),
        }
    }
    let inputs = |result: crate::model::result::ActionResult| {
        if young(result.ended_ms) {
            keep.actions.insert(result.key);
        }
        if keep.actions.contains(&result.key) {
            keep.blobs.extend(result.action.inputs.values().filter_map(|input| match input {
                Input::File { blob, .. } => Some(*blob),
                Input::Artifact(_) => None,
            }));
        }
        true
    };
    session.each_result(inputs).map_err(problem::stores)?;
    Ok((keep, kept))
}

/// What a check found and what was done about it.
#[derive(Debug, Default)]
pub struct Checked {
    /// What was looked at and found.
    pub report: Report,
    /// Whether what was found was put right.
    pub repaired: bool,
    /// Targets that the next build makes again, if it needs them.
    pub again: BTreeSet<String>,
}

impl Checked {
    /// How the program ends.
    #[must_use]
    pub fn code(&self) -> ExitCode {
        if self.report.findings.is_empty() || self.repaired { ExitCode::Ok } else { ExitCode::Damaged }
    }
}

/// Reads the whole store; with `repair` takes out of use what is damaged.
///
/// # Errors
/// When there is no workspace, the store cannot be read, or, to repair, a build is at work.
pub fn fsck(directory: &Path, repair: bool, seen: Seen) -> Outcome<Checked> {
    let Some(cache) = existing(directory)? else { return Ok(Checked::default()) };
    let root = Root::at(&cache);
    let alone = if repair { Some(root.alone().map_err(problem::stores)?) } else { None };
    let report = fsck::check_showing(&root, seen).map_err(problem::stores)?;
    let again = report.findings.iter().filter_map(|finding| match finding {
        Finding::Hole { target, .. } => Some(target.clone()),
        _ => None,
    });
    let again = again.collect();
    let repaired = match &alone {
        Some(alone) if !report.findings.is_empty() => {
            look_again(&root)?;
            fsck::repair(&root, &report, alone).map_err(problem::stores)?;
            true
        }
        _ => false,
    };
    Ok(Checked { report, repaired, again })
}

/// The cache folder, where there is one.
fn existing(directory: &Path) -> Outcome<Option<PathBuf>> {
    let cache = workspace::cache_of(directory)?;
    let found = fs::stat(&cache).map_err(|e| problem::stores(e.into()))?;
    Ok(found.map(|_| cache))
}

/// Makes the next build look at everything instead of trusting what the last one saw.
fn look_again(root: &Root) -> Outcome<()> {
    fs::remove_file(&root.last_build_index()).map_err(|e| problem::stores(root.explain(StoreError::from(e))))
}

/// One word for what a finding is about, for programs.
#[must_use]
pub fn word(finding: &Finding) -> &'static str {
    match finding {
        Finding::Format { .. } => "format",
        Finding::Blob { .. } => "blob",
        Finding::Stranger { .. } => "stranger",
        Finding::Damaged { .. } => "damaged_log",
        Finding::Torn { .. } => "torn_log",
        Finding::Record { .. } => "record",
        Finding::Hole { .. } => "missing_blob",
        Finding::Targets { .. } => "missing_targets",
        Finding::Index { .. } => "index",
    }
}
