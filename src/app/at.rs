//! Owns `cbi build --at`. Invariant: what is built stands on what that build stood on; what the workspace is now stays as it is.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use crate::app::build::{Ask, Done, warned};
use crate::app::grounds;
use crate::app::mirroring::Remote;
use crate::app::problem::{self, Outcome};
use crate::app::resolve::{Records, Thing};
use crate::app::sources::{self, Sources};
use crate::app::workspace::{Options, Workspace};
use crate::app::{adapters, locate, observe, releasing};
use crate::base::clock;
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::base::digest::{ActionKey, BuildId, ManifestId};
use crate::exec::deliver::Deliveries;
use crate::exec::executor::Executor;
use crate::exec::outcome::Outcome as Built;
use crate::graph::build::{NodeId, TargetGraph};
use crate::io::fs;
use crate::kinds::publish;
use crate::model::build::{Build, BuiltTarget};
use crate::model::event::{Event, EventSink};
use crate::model::grounds::Grounds;
use crate::plan::judge::Judge;
use crate::plan::planner::Planner;
use crate::registry::journal::{BuiltTargets, Journal};
use crate::store::action_cache::Session;

/// Which past build is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// The last one that had ended by then, milliseconds since 1970 UTC.
    Time(u64),
    /// The one whose hash begins so; or the first that has what this hash or name stands for.
    Hash(String),
}

/// A past build, and what is to be built of it where nothing is named.
#[derive(Debug)]
pub struct Past {
    /// Its hash.
    pub id: BuildId,
    /// Its record.
    pub build: Build,
    /// What it left.
    pub targets: BuiltTargets,
    /// The target that the hash stood for.
    pub target: Option<String>,
}

/// The build that is meant.
///
/// # Errors
/// When there is none, or the journal cannot be read.
pub fn find(records: &Records, at: &At) -> Outcome<Past> {
    let session = &records.session;
    let builds = Journal::open(session.root()).and_then(|mut journal| journal.newest_first()).map_err(problem::journal)?;
    let usage = |message: String| Err(vec![Diagnostic::new(ExitCode::Usage, message).hint("cbi log lists builds")]);
    let targets = |id, build: &Build| Journal::targets(session.content(), id, build).map_err(problem::journal);
    let (key, artifact) = match at {
        At::Time(ms) => {
            let Some((id, build)) = builds.into_iter().find(|(_, build)| build.ended_ms <= *ms) else {
                return usage(format!("no build had ended here by {}", clock::rfc3339(*ms)));
            };
            return Ok(Past { id, targets: targets(id, &build)?, build, target: None });
        }
        At::Hash(text) => match records.find(text)? {
            Thing::Build(id, build) => return Ok(Past { id, targets: targets(id, &build)?, build: *build, target: None }),
            Thing::Artifact(artifact) => (artifact.made.key, Some(artifact.id)),
            Thing::Target { made, .. } | Thing::Action(made) => (made.key, None),
            Thing::Blob(..) | Thing::Source { .. } => return usage(format!("'{text}' is neither a build nor what one made")),
        },
    };
    // The one that made it: in later ones it may stand beside recipes that have changed.
    for (id, build) in builds.into_iter().rev() {
        let Ok(targets) = Journal::targets(session.content(), id, &build) else { continue };
        if let Some(name) = holder(&targets, &key, artifact.as_ref()) {
            return Ok(Past { id, build, target: Some(name), targets });
        }
    }
    usage("no build that is still recorded has it".to_owned())
}

/// The target that a build made by this action, or that has this artifact.
fn holder(targets: &BuiltTargets, key: &ActionKey, artifact: Option<&ManifestId>) -> Option<String> {
    let has = |built: &BuiltTarget| built.key == *key || artifact.is_some_and(|id| built.artifacts.values().any(|made| made == id));
    targets.iter().find(|(_, built)| has(built)).map(|(name, _)| name.clone())
}

/// Builds what was asked for as it was in a past build: from its recipes, queries, parameters and tables. Results are recorded; `out/` and what the last build
/// left stay as they are. Each target asked for is told with its hashes, and whether they are those of then.
///
/// # Errors
/// When there is no such build, what it stood on is not kept, or the store cannot be used. A failed step is not an error here.
pub fn build(ask: &Ask, at: &At, cancel: &AtomicBool, sink: &mut dyn EventSink) -> Outcome<Done> {
    let began = clock::start();
    let Some(records) = Records::open_if_any(&ask.options)? else {
        return Err(vec![Diagnostic::new(ExitCode::Usage, "nothing was ever built here")]);
    };
    let session = &records.session;
    let _building = session.root().building().map_err(problem::stores)?;
    let past = find(&records, at)?;
    let grounds = grounds_of(session, &past)?;
    let folder = grounds::lay_out(session, &grounds).map_err(problem::stores)?;
    let (tables, lost) = grounds::tables(session, &grounds, &records.workspace.tables);
    let files = grounds.tables.keys().map(|table| (table.clone(), records.workspace.warehouse.join(table))).collect();
    let mut options = Options { profile: grounds.profile.clone(), as_of: grounds.as_of.clone(), ..ask.options.clone() };
    if past.build.instant_ms.is_none() {
        // Its warehouse was a folder.
        options.warehouse = Some(records.workspace.warehouse.clone());
    }
    let mut workspace = Workspace::of_then(&options, folder.clone(), files)?;
    workspace.reading.instant_ms = past.build.instant_ms;
    let mut graph = workspace.graph()?;
    let wanted = wanted(ask, &past);
    let selection = workspace.select(&graph, &wanted)?;
    if let Some(id) = selection.closure.iter().find(|id| graph[**id].stanza.kind == publish::NAME) {
        let problem =
            Diagnostic::new(ExitCode::Usage, format!("'{}' delivers: what was delivered then is not delivered again", graph[*id].name()));
        return Err(vec![problem.hint(format!("cbi rollback {} --list", graph[*id].name()))]);
    }
    let (selection, observed) = observe::selected(&workspace, session.root(), &mut graph, (selection, &wanted))?;
    if let Some(observed) = &observed {
        sink.event(&observed.event());
    }
    let reach = observe::reach(&workspace, &graph, &selection.closure, observed.as_ref())?;
    releasing::resolve_then(&records.workspace, session, &mut graph, &selection.closure, &past.targets, !ask.no_remote)?;
    adapters::look(&mut graph, &selection.closure);
    let (identities, _) = sources::identities(session, &graph, &selection.closure).map_err(problem::engines)?;
    let sources = Sources::then(session, &workspace, tables);
    let mut planner = Planner::new(&graph, &selection.roots);
    let judge = judge(&grounds, ask)?;
    let remote = Remote::open(&records.workspace, session.root(), !ask.no_remote)?;
    let executor = Executor {
        session,
        mirror: remote.mirror(),
        judge: &judge,
        identities: &identities,
        budget: workspace.budget(ask.limits),
        keep_going: ask.keep_going,
        cancel,
        last: &past.targets,
        deliveries: &Deliveries { outlet: None },
        reach: reach.as_ref(),
        locate: &|node, failure| locate::place(&workspace.texts, node, failure),
    };
    let run = |sink: &mut dyn EventSink| executor.run(&mut planner, &|source| sources.pin(source), sink);
    let built = remote.during(session, cancel, sink, run).map_err(problem::stores)?;
    // What was laid out is of no use to anybody else; the next process takes away what cannot be removed now.
    _ = fs::remove_tree(&folder);
    session.release().map_err(problem::stores)?;
    let same = tell(&graph, &selection.roots, &Built::built(&planner), &past, sink);
    let outcome = if built.interrupted {
        "interrupted"
    } else if built.counts.failed > 0 {
        "failed"
    } else {
        "ok"
    };
    let wall_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    sink.event(&Event::Finished { counts: built.counts, outcome: outcome.to_owned(), wall_ms });
    let failed = ExitCode::of_all(built.failures.iter().map(|(_, failure)| failure.code));
    let code = match (built.interrupted, failed) {
        (true, _) => ExitCode::Interrupted,
        (_, ExitCode::Ok) if !same => ExitCode::Differs,
        (_, failed) => failed,
    };
    let mut summary: Vec<String> = warned(&built.checked).into_iter().collect();
    if built.counts.failed > 0 && !lost.is_empty() {
        summary.push(format!("tables of then that are neither in the store nor in the warehouse any more: {}", lost.join(", ")));
    }
    Ok(Done { counts: built.counts, summary, forecasts: Vec::new(), checked: built.checked, failures: built.failures, code })
}

fn grounds_of(session: &Session, past: &Past) -> Outcome<Grounds> {
    let gone = |why: &str| {
        let problem = Diagnostic::new(ExitCode::Usage, format!("build {} cannot be gone back to: {why}", past.id.0.short()));
        vec![problem.hint(format!("cbi show {} lists what it made; cbi checkout HASH -o DIR takes that", past.id.0.short()))]
    };
    let Some(blob) = &past.build.grounds else { return Err(gone("it was made before recipes and queries were kept with builds")) };
    let grounds = grounds::read(session.content(), blob).map_err(problem::stores)?;
    let whole = |grounds: &Grounds| {
        let there = |blob| matches!(crate::store::content::ContentStore::size_of(session.content(), blob), Ok(Some(_)));
        grounds.files.files.values().all(|entry| there(&entry.blob))
    };
    grounds.filter(whole).ok_or_else(|| gone("its recipes are not in the store any more; cbi gc keeps those of the last builds"))
}

/// What is built: what is named now, else what the hash stood for, else what that build was asked for.
fn wanted(ask: &Ask, past: &Past) -> Vec<String> {
    match (&ask.targets, &past.target) {
        (named, _) if !named.is_empty() => named.clone(),
        (_, Some(target)) => vec![target.clone()],
        _ => past.build.requested.clone(),
    }
}

/// Checks are judged on the day of that build.
fn judge(grounds: &Grounds, ask: &Ask) -> Outcome<Judge> {
    let day = grounds.day.parse().map_err(|_| vec![Diagnostic::new(ExitCode::Damaged, format!("'{}' is not a date", grounds.day))])?;
    Ok(Judge { day, allow_stale: grounds.allow_stale || ask.allow_stale })
}

/// Tells what was made of each target asked for, and whether all of it is what it was.
fn tell(graph: &TargetGraph, roots: &[NodeId], made: &BuiltTargets, past: &Past, sink: &mut dyn EventSink) -> bool {
    let mut all = true;
    for name in roots.iter().map(|id| graph[*id].stanza.name.as_str()) {
        let Some(built) = made.get(name) else { continue };
        let then: Option<&BTreeMap<String, ManifestId>> = past.targets.get(name).map(|then| &then.artifacts);
        let same = then.map(|then| *then == built.artifacts);
        all &= same != Some(false);
        sink.event(&Event::WentBack { build: past.id, target: name.to_owned(), artifacts: built.artifacts.clone(), same });
    }
    all
}
