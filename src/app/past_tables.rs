//! Owns which tables of a past build are brought from the mirror. Invariant: a table whose step has a result is left where it is, however large.

use std::collections::BTreeSet;

use crate::app::mirroring::problems;
use crate::app::past::Past;
use crate::app::problem::{self, Outcome};
use crate::app::remote_builds;
use crate::app::sources::Sources;
use crate::exec::deliver::delivers;
use crate::graph::build::{NodeId, TargetGraph};
use crate::mirror::bucket::Bucket;
use crate::mirror::builds;
use crate::mirror::client::Mirror;
use crate::model::recipe::Source;
use crate::plan::key::{self, Identities};
use crate::plan::planner::{Made, Planner};
use crate::store::action_cache::Session;

/// The tables that steps without a result here or in the mirror would read. Results of the mirror are taken on the way, as the build would take them.
///
/// # Errors
/// When the store cannot be used.
pub fn needed(
    (session, mirror): (&Session, &Mirror),
    (graph, roots): (&TargetGraph, &[NodeId]),
    identities: &Identities,
    sources: &Sources,
) -> Outcome<BTreeSet<String>> {
    let mut planner = Planner::new(graph, roots);
    let mut needed = BTreeSet::new();
    while let Some(id) = planner.next_ready() {
        let inputs = planner.inputs(id, |_, source| sources.pin(source).map(|(input, _)| input));
        let action = inputs.ok().map(|inputs| key::action(&graph[id], inputs, identities)).filter(|action| !delivers(action));
        let key = action.map(|action| action.key());
        let mut found = key.map(|key| session.lookup(&key)).transpose().map_err(problem::stores)?.flatten();
        if let Some(key) = key.filter(|_| found.is_none()) {
            session.release().map_err(problem::stores)?;
            found = mirror.fetch(session, &key);
        }
        if let Some(result) = found {
            planner.done(id, Made::of(&result));
            continue;
        }
        for id in planner.failed(id).into_iter().chain([id]) {
            needed.extend(graph[id].declared.inputs.values().filter_map(|source| match source {
                Source::WarehouseTable(table) => Some(table.clone()),
                _ => None,
            }));
        }
    }
    Ok(needed)
}

/// Brings those of the lost tables that are needed from the mirror; says whether one came.
///
/// # Errors
/// When the mirror does not answer, or the store cannot be written to.
pub fn bring((session, bucket): (&Session, &Bucket), past: &Past, needed: &BTreeSet<String>, lost: &[String]) -> Outcome<bool> {
    let wanted: Vec<&String> = lost.iter().filter(|table| needed.contains(*table)).collect();
    if wanted.is_empty() {
        return Ok(false);
    }
    session.release().map_err(problem::stores)?;
    let told = match &past.told {
        Some(told) => Some(told.clone()),
        None => remote_builds::of(bucket, past.id).map_err(problems)?,
    };
    let Some(told) = told else { return Ok(false) };
    let mut came = false;
    for table in wanted {
        came |= builds::table(bucket, session, &told, table).map_err(problems)?;
    }
    Ok(came)
}
