//! Owns `cbi build --at`. Invariant: what is built stands on what that build stood on; what the workspace is now stays as it is.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use crate::app::build::{Ask, Done, warned};
use crate::app::grounds;
use crate::app::mirroring::{Remote, problems};
use crate::app::past::{self, At, Past};
use crate::app::past_tables;
use crate::app::problem::{self, Outcome};
use crate::app::remote_builds;
use crate::app::resolve::Records;
use crate::app::sources::{self, Sources};
use crate::app::workspace::{Options, Workspace};
use crate::app::{adapters, locate, observe, releasing};
use crate::base::clock;
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::base::digest::{BlobId, ManifestId};
use crate::exec::deliver::Deliveries;
use crate::exec::executor::Executor;
use crate::exec::outcome::Outcome as Built;
use crate::graph::build::{NodeId, TargetGraph};
use crate::io::fs;
use crate::kinds::publish;
use crate::mirror::bucket::Bucket;
use crate::mirror::builds;
use crate::mirror::client::Mirror;
use crate::model::event::{Event, EventSink};
use crate::model::grounds::Grounds;
use crate::plan::judge::Judge;
use crate::plan::planner::Planner;
use crate::registry::journal::BuiltTargets;
use crate::store::action_cache::Session;
use crate::store::content::ContentStore;

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
    let remote = Remote::open(&records.workspace, session.root(), !ask.no_remote)?;
    let bucket = remote.mirror().map(Mirror::bucket);
    let past = past::find(&records, bucket, at)?;
    let grounds = grounds_of(session, bucket, &past)?;
    let folder = grounds::lay_out(session, &grounds).map_err(problem::stores)?;
    let (mut tables, mut lost) = grounds::tables(session, &grounds, &records.workspace.tables);
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
    releasing::resolve_then(&records.workspace, session, &mut graph, &selection.closure, (&past.build, &past.targets), !ask.no_remote)?;
    adapters::look(&mut graph, &selection.closure);
    let (identities, _) = sources::identities(session, &graph, &selection.closure).map_err(problem::engines)?;
    if let Some(mirror) = remote.mirror().filter(|_| !lost.is_empty()) {
        let sources = Sources::then(session, &workspace, tables.clone());
        let needed = past_tables::needed((session, mirror), (&graph, &selection.roots), &identities, &sources)?;
        if past_tables::bring((session, mirror.bucket()), &past, &needed, &lost)? {
            (tables, lost) = grounds::tables(session, &grounds, &records.workspace.tables);
        }
    }
    let sources = Sources::then(session, &workspace, tables);
    let mut planner = Planner::new(&graph, &selection.roots);
    let judge = judge(&grounds, ask)?;
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
    let wall_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    sink.event(&Event::Finished { counts: built.counts, outcome: built.word().to_owned(), wall_ms });
    let code = match built.code() {
        ExitCode::Ok if !same => ExitCode::Differs,
        code => code,
    };
    let mut summary: Vec<String> = warned(&built.checked).into_iter().collect();
    if built.counts.failed > 0 && !lost.is_empty() {
        summary.push(format!("tables of then that are neither in the store nor in the warehouse any more: {}", lost.join(", ")));
    }
    Ok(Done { counts: built.counts, summary, forecasts: Vec::new(), checked: built.checked, failures: built.failures, code })
}

/// What a build stood on, all of it but its tables in the store: from here, else from the mirror.
fn grounds_of(session: &Session, bucket: Option<&Bucket>, past: &Past) -> Outcome<Grounds> {
    let gone = |why: &str| {
        let problem = Diagnostic::new(ExitCode::Usage, format!("build {} cannot be gone back to: {why}", past.id.0.short()));
        vec![problem.hint(format!("cbi show {} lists what it made; cbi checkout HASH -o DIR takes that", past.id.0.short()))]
    };
    let Some(blob) = &past.build.grounds else { return Err(gone("it was made before recipes and queries were kept with builds")) };
    let there = |blob: &BlobId| matches!(session.content().size_of(blob), Ok(Some(_)));
    let whole = |grounds: &Grounds| grounds.files.files.values().all(|entry| there(&entry.blob));
    if past.told.is_none()
        && let Some(grounds) = grounds::read(session.content(), blob).map_err(problem::stores)?.filter(whole)
    {
        return Ok(grounds);
    }
    let Some(bucket) = bucket else { return Err(gone("its recipes are not in the store any more; cbi gc keeps those of the last builds")) };
    session.release().map_err(problem::stores)?;
    let told = match &past.told {
        Some(told) => Some(told.clone()),
        None => remote_builds::of(bucket, past.id).map_err(problems)?,
    };
    let brought = told.map(|told| builds::grounds(bucket, session, &told)).transpose().map_err(problems)?.flatten();
    brought.filter(whole).ok_or_else(|| gone("its recipes are neither in the store nor in the mirror any more"))
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
