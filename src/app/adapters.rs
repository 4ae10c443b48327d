//! Owns the look at this machine's graphics adapters. Invariant: it is looked only where a target of the build wishes for one, by a process of its own, for
//! a driver may crash.

use std::time::Duration;

use serde_json::{Value, json};

use crate::exec::ask;
use crate::graph::build::{NodeId, TargetGraph};
use crate::kinds::probe::SAID;
use crate::model::adapter::Adapter;

/// A driver that takes longer than this to say what it drives is as good as none.
const PATIENCE: Duration = Duration::from_mins(1);

/// Tells the targets among `wanted` that wish for an adapter which one there is.
pub fn look(graph: &mut TargetGraph, wanted: &[NodeId]) {
    let wishing: Vec<NodeId> = wanted.iter().copied().filter(|id| graph[*id].declared.adapter.is_some()).collect();
    if wishing.is_empty() {
        return;
    }
    let there = list();
    for id in wishing {
        if let Some(wish) = &mut graph.nodes[id.index()].declared.adapter {
            wish.choose(&there);
        }
    }
}

/// All adapters that drivers name, cards before what is none.
///
/// # Errors
/// When they cannot be asked, with the reason as a part of a sentence.
pub fn list() -> Result<Vec<Adapter>, String> {
    if cfg!(not(feature = "gpu")) {
        return Err("this cbi was built without the feature `gpu`".to_owned());
    }
    let said = ask::ask_within(PATIENCE, "probe:engine", &json!({ "engine": "adapters" }), &Value::Null, SAID);
    let said = said.map_err(|failure| format!("the drivers cannot be asked: {}", failure.error))?;
    serde_json::from_slice(&said).map_err(|error| format!("what drivers say is not understood: {error}"))
}
