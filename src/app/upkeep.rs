//! Owns `cbi gc` and `cbi fsck`. Invariant: what the last build left stays whatever is asked, and after anything was taken away the next build looks
//! at everything again.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use crate::app::grounds;
use crate::app::latest;
use crate::app::observe;
use crate::app::packed;
use crate::app::pinned;
use crate::app::problem::{self, Outcome};
use crate::app::release_log;
use crate::app::workspace::{self, Options, Workspace};
use crate::base::clock;
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::base::digest::{ActionKey, BlobId, BuildId, Digest};
use crate::io::fs;
use crate::kinds::sweep::Sweep;
use crate::model::action::Input;
use crate::model::build::Build;
use crate::model::manifest::Manifest;
use crate::registry::journal::{Journal, JournalError};
use crate::registry::releases::Releases;
use crate::store::action_cache::Session;
use crate::store::error::StoreError;
use crate::store::fsck::{self, Finding, Report, Seen};
use crate::store::gc::{self, GcPlan, Keep};
use crate::store::local::LocalStore;
use crate::store::packing::Done;
use crate::store::root::Root;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// What a collection threw away, or would.
#[derive(Debug, Default)]
pub struct Collected {
    /// What goes and what stays.
    pub plan: GcPlan,
    /// Builds that stay.
    pub builds_kept: u64,
    /// Tables of the workspace's own dataset in BigQuery that go too.
    pub tables: Vec<String>,
    /// What was put into packs.
    pub packed: Done,
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
pub fn gc(options: &Options, span: Span, dry_run: bool) -> Outcome<Collected> {
    let Some(cache) = existing(&options.directory)? else { return Ok(Collected::default()) };
    let session = Session::open(&cache).map_err(problem::stores)?;
    let alone = if dry_run { None } else { Some(session.root().alone().map_err(problem::stores)?) };
    let (keep, builds_kept) = keep(&session, span)?;
    let plan = gc::plan(session.root(), &keep).map_err(problem::stores)?;
    let tables = sweep(options, &keep, span, !dry_run)?;
    let mut packed = Done::default();
    if let Some(alone) = &alone {
        look_again(session.root())?;
        gc::apply(session.root(), &plan, alone).map_err(problem::stores)?;
        let now = latest::targets(&session).map_err(problem::journal)?;
        packed = packed::all(&session, &now, alone).map_err(problem::stores)?;
    }
    Ok(Collected { plan, builds_kept, tables, packed, applied: alone.is_some() })
}

/// What goes in the warehouse, where that is BigQuery: settings that cannot be read are no reason to keep what lies here.
fn sweep(options: &Options, keep: &Keep, span: Span, drop: bool) -> Outcome<Vec<String>> {
    let Ok(workspace) = Workspace::open(options) else { return Ok(Vec::new()) };
    let digests = keep.actions.iter().map(ToString::to_string).chain(keep.manifests.iter().map(ToString::to_string));
    let kept = digests.map(|digest| digest.chars().take(16).collect()).collect();
    let since_ms = (span.days > 0).then(|| clock::now_ms().saturating_sub(u64::from(span.days) * DAY_MS));
    observe::sweep(&workspace, &Sweep { kept, since_ms, drop })
}

/// What must stay: the results that the kept builds' targets came from, all versions of releases with all they stand on, young results of builds that were
/// killed, and what all of them read; and how many builds are kept.
///
/// # Errors
/// When the journal, the releases or the store cannot be read.
pub fn keep(session: &Session, span: Span) -> Outcome<(Keep, u64)> {
    let pinned = pinned::all(session.root()).map_err(problem::stores)?;
    let pinned = |digest: &Digest| pinned.contains_key(digest);
    let young = |ended_ms: u64| is_young(span, ended_ms);
    let mut keep = Keep::default();
    let mut kept = 0;
    for (index, id, build) in &kept_of(session, span)? {
        let index = *index;
        match Journal::targets(session.content(), *id, build) {
            Ok(targets) => {
                keep.actions.extend(targets.values().map(|t| t.key));
                keep.manifests.extend(targets.values().flat_map(|t| t.artifacts.values()));
                keep.blobs.insert(build.targets);
                keep_grounds(session, build, &mut keep)?;
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
    let mut releases = Releases::open(session.root()).map_err(|error| release_log::unusable(&error))?;
    for entry in releases.all_entries().map_err(|error| release_log::unusable(&error))? {
        keep.manifests.insert(entry.candidate);
        keep.actions.extend(entry.lineage.iter().chain([&entry.action]));
    }
    let inputs = |result: crate::model::result::ActionResult| {
        if young(result.ended_ms) || pinned(&result.key.0) || result.outputs.values().any(|files| pinned(&files.id().0)) {
            keep.actions.insert(result.key);
        }
        if keep.actions.contains(&result.key) {
            keep.manifests.extend(result.outputs.values().map(Manifest::id));
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

/// The builds of this workspace that stay.
///
/// # Errors
/// When the journal or the pins cannot be read.
pub fn kept_builds(session: &Session, span: Span) -> Outcome<BTreeSet<BuildId>> {
    Ok(kept_of(session, span)?.into_iter().map(|(_, id, _)| id).collect())
}

/// The same, the newest first, each with its place among all.
fn kept_of(session: &Session, span: Span) -> Outcome<Vec<(usize, BuildId, Build)>> {
    let pinned = pinned::all(session.root()).map_err(problem::stores)?;
    let builds = Journal::open(session.root()).and_then(|mut journal| journal.newest_first()).map_err(problem::journal)?;
    let numbered = builds.into_iter().enumerate().map(|(place, (id, build))| (place, id, build));
    Ok(numbered.filter(|(place, id, b)| *place < span.builds.max(1) || is_young(span, b.ended_ms) || pinned.contains_key(&id.0)).collect())
}

fn is_young(span: Span, ended_ms: u64) -> bool {
    span.days > 0 && ended_ms >= clock::now_ms().saturating_sub(u64::from(span.days) * DAY_MS)
}

/// What a kept build stood on stays too, so that it can be gone back to.
fn keep_grounds(session: &Session, build: &Build, keep: &mut Keep) -> Outcome<()> {
    let Some(blob) = build.grounds else { return Ok(()) };
    keep.blobs.insert(blob);
    if let Some(grounds) = grounds::read(session.content(), &blob).map_err(problem::stores)? {
        keep.blobs.extend(grounds.files.files.values().map(|entry| entry.blob));
    }
    Ok(())
}

/// What a check found and what was done about it.
#[derive(Debug, Default)]
pub struct Checked {
    /// What was looked at and found.
    pub report: Report,
    /// Whether what a repair puts right was put right.
    pub repaired: bool,
    /// Older results and builds that were forgotten, for what they name is gone.
    pub forgotten: u64,
    last: Last,
}

/// What puts a finding right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cure {
    /// A repair.
    Repair,
    /// A build: what is missing is of what the last build left, and is made again.
    Build,
}

/// What the last build left.
#[derive(Debug, Default)]
struct Last {
    list: Option<BlobId>,
    /// The results; `None` where their list is lost, and any may be among them.
    results: Option<HashSet<ActionKey>>,
}

impl Checked {
    /// What puts a finding right.
    #[must_use]
    pub fn cure(&self, finding: &Finding) -> Cure {
        let of_the_last = match finding {
            Finding::Hole { key, .. } => self.last.results.as_ref().is_none_or(|results| results.contains(key)),
            Finding::Targets { blob, .. } => self.last.list == Some(*blob),
            _ => false,
        };
        if of_the_last { Cure::Build } else { Cure::Repair }
    }

    /// Targets that the next build makes again, if it needs them.
    #[must_use]
    pub fn again(&self) -> BTreeSet<&str> {
        let cured = self.report.findings.iter().filter(|finding| self.cure(finding) == Cure::Build);
        let targets = cured.filter_map(|finding| match finding {
            Finding::Hole { target, .. } => Some(target.as_str()),
            _ => None,
        });
        targets.collect()
    }

    /// How the program ends.
    #[must_use]
    pub fn code(&self) -> ExitCode {
        if self.report.findings.is_empty() || self.repaired { ExitCode::Ok } else { ExitCode::Damaged }
    }
}

/// Reads the whole store; with `repair` takes out of use what is damaged, and forgets older results and builds that lack something.
///
/// # Errors
/// When there is no workspace, the store cannot be read, or, to repair, a build is at work.
pub fn fsck(directory: &Path, repair: bool, seen: Seen) -> Outcome<Checked> {
    let Some(cache) = existing(directory)? else { return Ok(Checked::default()) };
    let root = Root::at(&cache);
    let alone = if repair { Some(root.alone().map_err(problem::stores)?) } else { None };
    let report = fsck::check_showing(&root, seen).map_err(problem::stores)?;
    let last = last(&root, &report)?;
    let mut checked = Checked { report, last, ..Checked::default() };
    if let Some(alone) = alone.filter(|_| !checked.report.findings.is_empty()) {
        look_again(&root)?;
        fsck::repair(&root, &checked.report, &alone).map_err(problem::stores)?;
        if let Some(needed) = &checked.last.results {
            checked.forgotten = gc::forget(&root, needed, &alone).map_err(problem::stores)?;
        }
        checked.repaired = true;
    }
    Ok(checked)
}

/// What the last build left, read without a touch on what is damaged.
fn last(root: &Root, report: &Report) -> Outcome<Last> {
    let Some((id, build)) = Journal::open(root).and_then(|mut journal| journal.last()).map_err(problem::journal)? else {
        return Ok(Last { list: None, results: Some(HashSet::new()) });
    };
    let damaged = report.findings.iter().any(|f| matches!(f, Finding::Blob { blob, .. } if *blob == build.targets));
    let results = match damaged {
        true => None,
        false => match Journal::targets(&LocalStore::new(root.clone()), id, &build) {
            Ok(targets) => Some(targets.values().map(|target| target.key).collect()),
            Err(JournalError::TargetsLost { .. }) => None,
            Err(error) => return Err(problem::journal(error)),
        },
    };
    Ok(Last { list: Some(build.targets), results })
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
