//! Owns `cbi mirror`. Invariant: what it says is in the mirror was found there now, not remembered.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::app::mirroring::{bucket, problems, takes_sources};
use crate::app::problem::{self, Outcome};
use crate::app::release_log::Book;
use crate::app::sources::{self, Sources};
use crate::app::workspace::{Options, Workspace};
use crate::app::{adapters, latest, looks, observe, pinned_there, releasing, remote_builds};
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::base::digest::{ActionKey, BuildId};
use crate::exec::deliver::delivers;
use crate::mirror::bucket::Bucket;
use crate::mirror::builds;
use crate::mirror::epochs::Epochs;
use crate::mirror::error::MirrorResult;
use crate::mirror::pull;
use crate::mirror::push;
use crate::mirror::records;
use crate::mirror::seen::Seen;
use crate::mirror::transfer::filter;
use crate::mirror::verify::{self, Report};
use crate::model::action::Action;
use crate::model::result::ActionResult;
use crate::plan::key;
use crate::plan::planner::{Made, Planner};
use crate::registry::journal::Journal;
use crate::store::action_cache::Session;

/// Results that go up together.
const TOGETHER: usize = 64;

/// What went up.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Pushed {
    /// The mirror.
    pub url: String,
    /// Results that were not in it and are now.
    pub pushed: u64,
    /// Bytes that went up.
    pub bytes: u64,
    /// Results that were in it before.
    pub there: u64,
    /// Results of which something is missing here.
    pub broken: u64,
    /// Builds that were not in it and are now.
    pub builds: u64,
    /// Builds of which something is missing here.
    pub builds_broken: u64,
}

/// What came down.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Pulled {
    /// The mirror.
    pub url: String,
    /// Results that were not here and are now.
    pub pulled: u64,
    /// Bytes that came down.
    pub bytes: u64,
    /// Results that were here before.
    pub here: u64,
    /// Targets whose result is in neither place.
    pub missing: Vec<String>,
    /// How many results are in the mirror and not believed, by why.
    pub refused: BTreeMap<String, u64>,
    /// Targets above those: which results they are is known only when those are made.
    pub above: u64,
}

/// What is where.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Status {
    /// The mirror.
    pub url: String,
    /// Results in it, of whatever workspace.
    pub results: u64,
    /// Bytes of the packs that hold blobs.
    pub bytes: u64,
    /// Results here.
    pub here: u64,
    /// Those of them that are not in the mirror.
    pub unpushed: u64,
    /// Builds in it, of whatever workspace.
    pub builds: u64,
    /// Builds of this workspace that are not in it.
    pub builds_unpushed: u64,
    /// Targets of the last build whose result is not in the mirror.
    pub last_unpushed: Vec<String>,
}

/// The workspace, its store, and its mirror; with `limit` no more than so many bytes pass in a second.
///
/// # Errors
/// When there is no workspace or no mirror, or its address is none.
pub fn open(options: &Options, limit: Option<u64>) -> Outcome<(Workspace, Session, Bucket)> {
    let workspace = Workspace::open(options)?;
    let session = Session::open(&workspace.cache()).map_err(problem::stores)?;
    let Some(bucket) = bucket(&workspace, session.root(), limit)? else {
        let problem = Diagnostic::new(ExitCode::Usage, "the workspace has no mirror");
        return Err(vec![problem.hint("add to cbi.toml: [mirror] url = \"gs://BUCKET/PATH\"")]);
    };
    Ok((workspace, session, bucket.map_err(problems)?))
}

/// Every result here that another machine could use, the newest of each action.
fn local(session: &Session) -> Outcome<BTreeMap<ActionKey, ActionResult>> {
    let mut results = BTreeMap::new();
    let each = |result: ActionResult| {
        if !delivers(&result.action) {
            results.insert(result.key, result);
        }
        true
    };
    session.each_result(each).map_err(problem::stores)?;
    Ok(results)
}

/// The actions whose records the epochs that are read hold.
fn remote(bucket: &Bucket) -> MirrorResult<BTreeSet<ActionKey>> {
    let mut keys = BTreeSet::new();
    for epoch in Epochs::of(bucket)?.readable() {
        let names = bucket.list(&epoch.records())?.into_iter();
        keys.extend(names.filter_map(|listed| listed.name.rsplit('/').next()?.parse().ok().map(ActionKey)));
    }
    Ok(keys)
}

/// Those of these actions whose record is believed here.
fn believed(bucket: &Bucket, keys: &BTreeSet<ActionKey>) -> MirrorResult<BTreeSet<ActionKey>> {
    let epochs = Epochs::of(bucket)?;
    let keys: Vec<ActionKey> = keys.iter().copied().collect();
    Ok(filter(&keys, |key| records::is_there(bucket, &epochs, key))?.into_iter().copied().collect())
}

/// Puts every result that is here into the mirror, every build of the journal, every look at test rows, and every pin.
///
/// # Errors
/// When there is no mirror, or it does not answer; what went up before stays.
pub fn push(options: &Options, limit: Option<u64>) -> Outcome<Pushed> {
    let (workspace, session, bucket) = open(options, limit)?;
    let _building = session.root().building().map_err(problem::stores)?;
    let mut there = remote(&bucket).map_err(problems)?;
    if bucket.trust().required() {
        there = believed(&bucket, &there).map_err(problems)?;
    }
    let (known, missing): (Vec<_>, Vec<_>) = local(&session)?.into_values().partition(|result| there.contains(&result.key));
    let mut pushed = Pushed { url: bucket.url().to_owned(), there: known.len() as u64, ..Pushed::default() };
    for results in missing.chunks(TOGETHER) {
        let done = push::push(&bucket, session.content(), results).map_err(problems)?;
        pushed.pushed += done.results;
        pushed.bytes += done.bytes;
        pushed.broken += done.broken;
    }
    let journal = Journal::open(session.root()).and_then(|mut journal| journal.newest_first()).map_err(problem::journal)?;
    let builds = remote_builds::push(&bucket, &session, &journal, takes_sources(&workspace)).map_err(problems)?;
    pushed.bytes += builds.bytes;
    (pushed.builds, pushed.builds_broken) = (builds.builds, builds.broken);
    let mut results = Vec::new();
    let each = |result| {
        results.push(result);
        true
    };
    session.each_result(each).map_err(problem::stores)?;
    looks::meet(session.root(), &bucket, &results).map_err(problems)?;
    pinned_there::tell_all(&bucket, &session, &results)?;
    if bucket.trust().own().is_some() {
        Book::to_read(&workspace, &session, true)?.vouch()?;
    }
    Ok(pushed)
}

/// Takes the results of these targets and all they need from the mirror, and runs nothing.
///
/// # Errors
/// When there is no mirror, it does not answer, or the recipes are wrong.
pub fn pull(options: &Options, targets: &[String], limit: Option<u64>) -> Outcome<Pulled> {
    let (workspace, session, bucket) = open(options, limit)?;
    let mut graph = workspace.graph()?;
    let selection = workspace.select(&graph, targets)?;
    let _building = session.root().building().map_err(problem::stores)?;
    let (selection, observed) = observe::selected(&workspace, session.root(), &mut graph, (selection, targets))?;
    if let Some(observed) = &observed {
        observed.keep(session.root()).map_err(problem::stores)?;
    }
    releasing::resolve(&workspace, &session, &mut graph, &selection.closure, true)?;
    adapters::look(&mut graph, &selection.closure);
    let (identities, _) = sources::identities(&session, &graph, &selection.closure).map_err(problem::engines)?;
    let sources = Sources::new(&session, &workspace);
    let epochs = Epochs::of(&bucket).map_err(problems)?;
    let mut planner = Planner::new(&graph, &selection.roots);
    let mut pulled = Pulled { url: bucket.url().to_owned(), ..Pulled::default() };
    while let Some(id) = planner.next_ready() {
        let inputs = planner.inputs(id, |_, source| sources.pin(source).map(|(input, _)| input)).map_err(problem::engines)?;
        let action = key::action(&graph[id], inputs, &identities);
        if let Some(result) = find(&session, (&bucket, &epochs), &action, &mut pulled)? {
            planner.done(id, Made::of(&result));
        } else {
            pulled.missing.push(graph[id].name().to_string());
            pulled.above += planner.failed(id).len() as u64;
        }
    }
    pulled.refused = bucket.trust().refused();
    Ok(pulled)
}

/// An action's result, from here or from the mirror.
fn find(session: &Session, (bucket, epochs): (&Bucket, &Epochs), action: &Action, pulled: &mut Pulled) -> Outcome<Option<ActionResult>> {
    if delivers(action) {
        return Ok(None);
    }
    let key = action.key();
    if let Some(result) = session.lookup(&key).map_err(problem::stores)? {
        pulled.here += 1;
        return Ok(Some(result));
    }
    // The index is not held while the mirror is asked.
    session.release().map_err(problem::stores)?;
    let found = pull::pull(bucket, epochs, session, &key).map_err(problems)?;
    Ok(found.map(|found| {
        pulled.pulled += 1;
        pulled.bytes += found.bytes;
        found.result
    }))
}

/// What of this workspace is in the mirror.
///
/// # Errors
/// When there is no mirror, or it does not answer.
pub fn status(options: &Options) -> Outcome<Status> {
    let (_, session, bucket) = open(options, None)?;
    let there = remote(&bucket).map_err(problems)?;
    let here = local(&session)?;
    let builds = builds::announced(&bucket).map_err(problems)?;
    let announced: BTreeSet<BuildId> = builds.iter().map(|build| build.id).collect();
    let records: BTreeSet<ActionKey> = builds.iter().map(|build| build.key).collect();
    let mut bytes = 0;
    for epoch in Epochs::of(&bucket).map_err(problems)?.readable() {
        bytes += bucket.list(&epoch.packs()).map_err(problems)?.iter().map(|listed| listed.size).sum::<u64>();
    }
    let mut journal = Journal::open(session.root()).map_err(problem::journal)?;
    let last = latest::from(&mut journal, session.content()).map_err(problem::journal)?;
    let built = journal.newest_first().map_err(problem::journal)?;
    let unpushed = |key: &ActionKey| here.contains_key(key) && !there.contains(key);
    Ok(Status {
        url: bucket.url().to_owned(),
        results: there.difference(&records).count() as u64,
        builds: announced.len() as u64,
        builds_unpushed: built.iter().filter(|(id, build)| build.grounds.is_some() && !announced.contains(id)).count() as u64,
        bytes,
        here: here.len() as u64,
        unpushed: here.keys().filter(|key| unpushed(key)).count() as u64,
        last_unpushed: last.into_iter().filter(|(_, built)| unpushed(&built.key)).map(|(name, _)| name).collect(),
    })
}

/// Looks whether every record of the mirror has all that it names; with `deep` all of it is read and hashed.
///
/// # Errors
/// When there is no mirror, or it does not answer.
pub fn verify(options: &Options, deep: bool) -> Outcome<Report> {
    let (_, _, bucket) = open(options, None)?;
    verify::verify(&bucket, deep).map_err(problems)
}

/// Forgets what was seen of the mirror, so that one that was emptied or put back on purpose is believed again; says whether anything was remembered.
///
/// # Errors
/// When there is no mirror, or it cannot be forgotten.
pub fn forget(options: &Options) -> Outcome<bool> {
    let (_, _, bucket) = open(options, None)?;
    bucket.chunks().forget().map_err(problems)?;
    bucket.seen().map_or(Ok(false), Seen::forget).map_err(problems)
}
