//! Owns `cbi build`. Invariant: whatever ended it, what was recorded stands, and the next build goes on from there.

use std::collections::BTreeSet;
use std::path::{Path, absolute};
use std::sync::atomic::AtomicBool;

use crate::app::index::{self, LastBuild, Watch};
use crate::app::mirroring::Remote;
use crate::app::packed;
use crate::app::problem::{self, Outcome, Problems};
use crate::app::sources::{self, Sources};
use crate::app::workspace::{self, CACHE_FOLDER, Limits, Options, Workspace};
use crate::app::{adapters, grounds, latest, locate, observe, outputs, publishing, releasing};
use crate::base::clock;
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::base::digest::{BlobId, BuildId, Digest};
use crate::exec::checked::Checked;
use crate::exec::executor::Executor;
use crate::exec::failure::Failure;
use crate::exec::outcome::Outcome as Built;
use crate::graph::build::{NodeId, TargetGraph};
use crate::graph::implicit::whole_of;
use crate::io::fs;
use crate::model::build::{Build, Counts};
use crate::model::event::{Event, EventSink};
use crate::plan::judge::Judge;
use crate::plan::planner::Planner;
use crate::registry::journal::{BuiltTargets, Journal};
use crate::store::action_cache::Session;
use crate::store::root::Root;

/// What `cbi build` was asked.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one switch of the command line")]
pub struct Ask {
    /// The workspace.
    pub options: Options,
    /// Targets and globs; none for the defaults.
    pub targets: Vec<String>,
    /// Whether to go on after a failure.
    pub keep_going: bool,
    /// What steps may use side by side.
    pub limits: Limits,
    /// Whether a table that is too old for its `fresh` check may pass, with a warning.
    pub allow_stale: bool,
    /// Whether the mirror is left alone.
    pub no_remote: bool,
    /// Whether the verdicts of checks are wanted, even of a build with nothing to do.
    pub verdicts: bool,
}

/// How a build ended.
#[derive(Debug)]
pub struct Done {
    /// Steps run, reused, failed.
    pub counts: Counts,
    /// What is worth reading at the end: one line for each forecast asked for.
    pub summary: Vec<String>,
    /// What the forecasts asked for say; nothing where the build had nothing to do and verdicts were not asked for.
    pub forecasts: Vec<String>,
    /// What checks said; nothing where the build had nothing to do and verdicts were not asked for.
    pub checked: Vec<Checked>,
    /// Targets that failed.
    pub failures: Vec<(String, Failure)>,
    /// The exit code.
    pub code: ExitCode,
}

/// Builds what was asked for.
///
/// # Errors
/// When the recipes are wrong or the store cannot be used. A failed step is not an error here; it is told through the events.
pub fn build(ask: &Ask, cancel: &AtomicBool, sink: &mut dyn EventSink) -> Outcome<Done> {
    let began = clock::start();
    let began_ns = clock::now_ns();
    let started_ms = clock::now_ms();
    let folder = workspace::find_root(&ask.options.directory)?;
    let invocation = invocation(ask);
    let finish = |sink: &mut dyn EventSink, counts, outcome: &str| {
        let wall_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        sink.event(&Event::Finished { counts, outcome: outcome.to_owned(), wall_ms });
    };
    let cache = Root::at(&folder.join(CACHE_FOLDER));
    if let Some(last) = (!ask.verdicts).then(|| LastBuild::still_true(&folder, &cache, invocation)).flatten() {
        sink.event(&Event::Planned { total: last.total, reused: last.total, expected_ms: None });
        let counts = Counts { reused: last.total, ..Counts::default() };
        finish(sink, counts, "ok");
        return Ok(nothing_to_do(counts, last.summary));
    }
    let workspace = Workspace::open(&ask.options)?;
    let mut graph = workspace.graph()?;
    let selection = workspace.select(&graph, &ask.targets)?;
    let session = Session::open(&workspace.cache()).map_err(problem::stores)?;
    // Held to the end, so that nothing is collected or repaired under the build.
    let building = session.root().building().map_err(problem::stores)?;
    let (selection, observed) = observe::selected(&workspace, session.root(), &mut graph, (selection, &ask.targets))?;
    if let Some(observed) = &observed {
        observed.keep(session.root()).map_err(problem::stores)?;
        sink.event(&observed.event());
    }
    let reach = observe::reach(&workspace, &graph, &selection.closure, observed.as_ref())?;
    let releases = releasing::resolve(&workspace, &session, &mut graph, &selection.closure, !ask.no_remote)?;
    let mut journal = Journal::open(session.root()).map_err(problem::journal)?;
    let last = latest::from(&mut journal, session.content()).map_err(problem::journal)?;
    adapters::look(&mut graph, &selection.closure);
    let (identities, engine_files) = sources::identities(&session, &graph, &selection.closure).map_err(problem::engines)?;
    let sources = Sources::new(&session, &workspace);
    let mut planner = Planner::new(&graph, &selection.roots);
    let judge = workspace.judge(ask.allow_stale)?;
    let deliveries = workspace.deliveries();
    let remote = Remote::open(&workspace, session.root(), !ask.no_remote)?;
    let executor = Executor {
        session: &session,
        mirror: remote.mirror(),
        judge: &judge,
        identities: &identities,
        budget: workspace.budget(ask.limits),
        keep_going: ask.keep_going,
        cancel,
        last: &last,
        deliveries: &deliveries,
        reach: reach.as_ref(),
        locate: &|node, failure| locate::place(&workspace.texts, node, failure),
    };
    let run = |sink: &mut dyn EventSink| executor.run(&mut planner, &|source| sources.pin(source), sink);
    let built = remote.during(&session, cancel, sink, run).map_err(problem::stores)?;
    let made = Built::built(&planner);
    let outcome = built.word();
    // Until this build has ended well, `out/` is not what the index of an earlier one stands for.
    fs::remove_file(&session.root().last_build_index()).map_err(|e| problem::stores(e.into()))?;
    outputs::link(session.root(), session.content(), &made, &built.manifests).map_err(problem::stores)?;
    let state = next_state(&graph, &last, &made);
    let mut untold = None;
    if built.counts.ran + built.counts.failed > 0 || state != last {
        let record = Build {
            started_ms,
            ended_ms: clock::now_ms(),
            requested: ask.targets.clone(),
            counts: built.counts,
            outcome: outcome.to_owned(),
            targets: BlobId(Digest::of(b"")),
            attempts: built.attempts.clone(),
            instant_ms: observed.as_ref().map(|observed| observed.instant_ms),
            grounds: None,
        };
        let ended = append(&session, &mut journal, (&workspace, &sources, &judge), (ask, record), &state)?;
        untold = remote.tell(&session, cancel, sink, (&ended, &state));
    }
    session.release().map_err(problem::stores)?;
    let forecasts = summary(&session, &graph, &selection.roots, &made).map_err(problem::stores)?;
    let summary: Vec<String> = forecasts.iter().cloned().chain(warned(&built.checked)).collect();
    // What lies outside is looked at in every build.
    if outcome == "ok" && workspace.remote.is_none() && !(releases && workspace.settings.mirror.is_some()) {
        let mut watch: Watch = engine_files.into_iter().map(|path| (path, None)).collect();
        watch.extend(workspace.texts.watched());
        watch.extend(sources.watched());
        watch.extend(publishing::files(deliveries.folder(), &graph, &selection.closure).into_iter().map(|path| (path, None)));
        watch.extend(releases.then(|| (session.root().releases_log(), None)));
        watch.insert(workspace.warehouse.clone(), workspace.warehouse_names);
        let blobs = built.manifests.values().flat_map(|m| m.files.values().map(|f| (f.blob, f.size))).collect();
        let total = built.counts.ran + built.counts.reused;
        // Without an index the next build only takes longer.
        let until = turns(&built.checked, &workspace);
        _ = save_index(&session, (invocation, total, summary.clone(), until), (&workspace.root, &watch), blobs, began_ns);
    }
    drop(building);
    if built.counts.ran > 0 && !built.interrupted {
        // What is not packed now is so later, and takes room until then.
        _ = packed::after(&session, &last, &state, &built.manifests);
    }
    let untold = untold.map(|why| format!("this build is not in the mirror: {why}; cbi mirror push brings it there"));
    let summary = summary.into_iter().chain(untold).collect();
    finish(sink, built.counts, outcome);
    let code = if remote.stopped() { ExitCode::Interrupted } else { built.code() };
    Ok(Done { counts: built.counts, summary, forecasts, checked: built.checked, failures: built.failures, code })
}

/// Writes the build down, with what it stood on.
fn append(
    session: &Session,
    journal: &mut Journal,
    (workspace, sources, judge): (&Workspace, &Sources, &Judge),
    (ask, record): (&Ask, Build),
    state: &BuiltTargets,
) -> Outcome<(BuildId, Build)> {
    let before = journal.last().map_err(problem::journal)?.map(|(_, build)| build);
    let profile = ask.options.profile.as_deref();
    let grounds = grounds::keep(session, workspace, sources, (profile, judge), before.as_ref()).map_err(problem::stores)?;
    journal.append(session.content(), Build { grounds: Some(grounds), ..record }, state).map_err(problem::journal)
}

fn nothing_to_do(counts: Counts, summary: Vec<String>) -> Done {
    Done { counts, summary, forecasts: Vec::new(), checked: Vec::new(), failures: Vec::new(), code: ExitCode::Ok }
}

/// Everything outside the watched files that decides what a build does.
fn invocation(ask: &Ask) -> Digest {
    let text = |v: &Option<String>| v.clone().unwrap_or_default();
    let me = std::env::current_exe().ok().and_then(|p| fs::stat(&p).ok().flatten());
    let mut words = vec![
        ("program", format!("{:?}", me.map(|s| (s.size, s.mtime_ns, s.inode)))),
        ("profile", text(&ask.options.profile)),
        ("warehouse", ask.options.warehouse.as_ref().map_or_else(String::new, |w| absolute(w).unwrap_or_default().display().to_string())),
        ("as_of", text(&ask.options.as_of)),
        ("allow_stale", ask.allow_stale.to_string()),
    ];
    words.extend(ask.targets.iter().map(|t| ("target", t.clone())));
    // Recipes may pass variables on; which ones is only known after reading them, so any change counts.
    let mut env: Vec<String> = std::env::vars().filter(|(k, _)| !is_volatile(k)).map(|(k, v)| format!("{k}={v}")).collect();
    env.sort();
    words.extend(env.into_iter().map(|v| ("env", v)));
    index::invocation(&words)
}

/// The first day on which a verdict would be another; none where the build's date does not move.
fn turns(checked: &[Checked], workspace: &Workspace) -> Option<i32> {
    let moves = workspace.as_of.is_none();
    checked.iter().filter_map(|checked| checked.until).min().filter(|_| moves).map(|day| day.to_epoch_days())
}

/// One line for all warnings of checks.
pub(super) fn warned(checked: &[Checked]) -> Option<String> {
    let counts: Vec<usize> = checked.iter().map(|checked| checked.warnings().len()).filter(|count| *count > 0).collect();
    let told = |count: usize, what: &str| if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") };
    let all = told(counts.iter().sum(), "warning");
    (!counts.is_empty()).then(|| format!("{all} of checks on {}; cbi check shows them", told(counts.len(), "table")))
}

/// Variables that differ from shell to shell and that nothing but a `pass_env` of the very name could read.
fn is_volatile(name: &str) -> bool {
    matches!(name, "_" | "SHLVL" | "OLDPWD" | "PWD" | "COLUMNS" | "LINES" | "TERM" | "NO_COLOR")
}

/// The state of all targets: the last one, with what was made now, without targets that no recipe makes any more.
fn next_state(graph: &TargetGraph, last: &BuiltTargets, made: &BuiltTargets) -> BuiltTargets {
    let known = |name: &str| graph.find(name).or_else(|| graph.find(whole_of(name)?)).is_some();
    let kept = last.iter().filter(|(name, _)| known(name));
    kept.chain(made).map(|(name, built)| (name.clone(), built.clone())).collect()
}

/// One line for each forecast among the targets asked for, as its action noted it.
fn summary(
    session: &Session,
    graph: &TargetGraph,
    roots: &[NodeId],
    made: &BuiltTargets,
) -> Result<Vec<String>, crate::store::error::StoreError> {
    let mut lines = Vec::new();
    for id in roots.iter().filter(|id| graph[**id].stanza.kind == "forecast") {
        let name = graph[*id].stanza.name.as_str();
        let Some(result) = made.get(name).map(|b| session.lookup(&b.key)).transpose()?.flatten() else { continue };
        lines.extend(result.notes.iter().map(|note| format!("{name}  {note}")));
    }
    Ok(lines)
}

fn save_index(
    session: &Session,
    what: (Digest, u64, Vec<String>, Option<i32>),
    watch: (&Path, &Watch),
    blobs: BTreeSet<(BlobId, u64)>,
    began_ns: i128,
) -> Result<(), Problems> {
    let fs_problem = |e: fs::FsError| vec![Diagnostic::of(ExitCode::ActionFailed, &e)];
    let hash = |path: &Path| session.hash_file(path).ok().map(|blob| blob.0);
    let observed = LastBuild::observe(what, watch, blobs, began_ns, &hash).map_err(fs_problem)?;
    if let Some(last) = observed {
        let scratch = session.root().scratch().map_err(problem::stores)?;
        last.save(&session.root().last_build_index(), &scratch).map_err(fs_problem)?;
    }
    Ok(())
}
