//! Owns what is fresh and what is stale before anything runs. Invariant: a step is called fresh only when its key is known and its result is
//! there; what stands above a stale step is only maybe stale, for the step may give the same output again.

use std::collections::BTreeMap;

use crate::graph::build::NodeId;
use crate::model::action::{Action, Input};
use crate::model::recipe::Source;
use crate::model::result::ActionResult;
use crate::plan::judge::{Judge, unlearnable};
use crate::plan::key::{self, Identities};
use crate::plan::planner::{Made, Planner};

/// How one step stands.
#[derive(Debug, Clone)]
pub enum Freshness {
    /// Its result is there.
    Fresh(Box<ActionResult>),
    /// It must run.
    Stale(Box<Action>),
    /// Nobody knows before these have run.
    Waits(Vec<NodeId>),
    /// Its inputs cannot be read, or a check refuses what it made, for this reason.
    Broken(String),
}

/// Walks the planner's steps without running any: `observe` pins a source, `lookup` finds the recorded result of a target's action.
///
/// # Errors
/// What `lookup` fails with.
pub fn survey<E>(
    planner: &mut Planner,
    (identities, judge): (&Identities, &Judge),
    observe: impl Fn(&Source) -> Result<Input, String>,
    lookup: impl Fn(&str, &Action) -> Result<Option<ActionResult>, E>,
) -> Result<BTreeMap<NodeId, Freshness>, E> {
    let mut found = BTreeMap::new();
    while let Some(id) = planner.next_ready() {
        let said = |below: NodeId| match found.get(&below) {
            Some(Freshness::Fresh(result)) => Some(result.checks.as_slice()),
            _ => None,
        };
        if let Some((below, why)) = unlearnable(planner.graph(), id, said) {
            found.insert(id, Freshness::Broken(format!("'{below}' holds what was not known: {why}")));
            continue;
        }
        let freshness = match planner.inputs(id, |_, source| observe(source)) {
            Err(why) => Freshness::Broken(why),
            Ok(inputs) => {
                let action = key::action(&planner.graph()[id], inputs, identities);
                let Some(result) = lookup(planner.graph()[id].name().as_str(), &action)? else {
                    found.insert(id, Freshness::Stale(Box::new(action)));
                    continue;
                };
                if let Some(why) = judge.refusal(&result.checks) {
                    Freshness::Broken(why)
                } else {
                    planner.done(id, Made::of(&result));
                    Freshness::Fresh(Box::new(result))
                }
            }
        };
        found.insert(id, freshness);
    }
    let waiting: Vec<NodeId> = planner.wanted().filter(|id| !found.contains_key(id)).collect();
    for id in waiting {
        let graph = planner.graph();
        let on = graph[id].deps.iter().filter(|d| !matches!(found.get(d), Some(Freshness::Fresh(_)))).copied().collect();
        found.insert(id, Freshness::Waits(on));
    }
    Ok(found)
}
