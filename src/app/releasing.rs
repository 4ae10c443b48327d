//! Owns which version of a release a build uses. Invariant: all targets of a build that name one channel use one version, the one that the log of releases
//! said at its beginning.

use std::collections::BTreeMap;

use serde_json::json;

use crate::app::problem::Outcome;
use crate::app::release_log::Book;
use crate::app::workspace::Workspace;
use crate::graph::build::{NodeId, TargetGraph};
use crate::graph::implicit::CHANNEL_KIND;
use crate::kinds::channel::WHY;
use crate::model::build::Build;
use crate::model::release::{Entry, History, parse_version, version_name};
use crate::registry::journal::BuiltTargets;
use crate::store::action_cache::Session;

/// Lets each target that stands for a version of a release stand for the recorded result of that version; says whether there is one. One without a version
/// fails where it is built, and says why.
///
/// # Errors
/// When the log of releases cannot be read.
pub fn resolve(workspace: &Workspace, session: &Session, graph: &mut TargetGraph, targets: &[NodeId], ask_mirror: bool) -> Outcome<bool> {
    let params = |id: NodeId| &graph[id].declared.params;
    let used = targets.iter().copied().filter(|id| graph[*id].stanza.kind == CHANNEL_KIND);
    let used: Vec<(NodeId, String, String)> =
        used.filter_map(|id| Some((id, params(id)["of"].as_str()?.to_owned(), params(id)["at"].as_str()?.to_owned()))).collect();
    if used.is_empty() {
        return Ok(false);
    }
    let mut book = Book::to_read(workspace, session, ask_mirror)?;
    let mut histories: BTreeMap<String, History> = BTreeMap::new();
    for (id, of, at) in used {
        if !histories.contains_key(&of) {
            histories.insert(of.clone(), book.history(&of)?);
        }
        let Some(entry) = histories.get(&of).and_then(|history| history.named(&at)) else { continue };
        match book.result(&entry.action)? {
            Some(result) => graph.stand_for(id, result.action),
            None => graph.tell(id, WHY, json!(gone(entry))),
        }
    }
    Ok(true)
}

/// The same for a past build, which left these targets: each stands for the version that was used then, wherever the channel is now. Where the build used none,
/// it is the one that the log of releases says was current when the build ended.
///
/// # Errors
/// When the store cannot be asked, or the log cannot be read.
pub fn resolve_then(
    workspace: &Workspace,
    session: &Session,
    graph: &mut TargetGraph,
    targets: &[NodeId],
    (build, then): (&Build, &BuiltTargets),
    ask_mirror: bool,
) -> Outcome<()> {
    let used: Vec<NodeId> = targets.iter().copied().filter(|id| graph[*id].stanza.kind == CHANNEL_KIND).collect();
    if used.is_empty() {
        return Ok(());
    }
    let mut book = Book::to_read(workspace, session, ask_mirror)?;
    for id in used {
        let params = graph[id].declared.params.clone();
        let mut key = then.get(graph[id].name().as_str()).map(|built| built.key);
        if let (None, Some(of), Some(at)) = (key, params["of"].as_str(), params["at"].as_str()) {
            let history = book.history(of)?;
            let entry = if parse_version(at).is_some() { history.named(at) } else { history.at_instant(at, build.ended_ms) };
            key = entry.map(|entry| entry.action);
        }
        match key.map(|key| book.result(&key)).transpose()?.flatten() {
            Some(result) => graph.stand_for(id, result.action),
            None => graph.tell(id, WHY, json!("no version that was used then is known here, and none was current when that build ended")),
        }
    }
    Ok(())
}

fn gone(entry: &Entry) -> String {
    format!("the files of {} of the release '{}' are neither here nor in a mirror", version_name(entry.version), entry.release)
}
