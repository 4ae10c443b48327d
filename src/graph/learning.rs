//! Owns what stands under a frame. Invariant: whatever a frame learns from comes through queries from tables that say when their rows are known, and
//! is joined by the date that those rows carry.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::graph::build::{Node, NodeId, TargetGraph};
use crate::graph::error::GraphError;
use crate::graph::implicit::IMPLICIT_KIND;
use crate::graph::unknowable::{Learners, Unknowable};
use crate::model::available::{Available, Lag};
use crate::model::check::CHECKS;
use crate::model::recipe::{Ahead, DEFAULT_KEY, Source, TABLE_SLOT};

/// Everything among `chosen` that a frame would learn from and that nobody could have known, as far as the recipes show it.
#[must_use]
pub fn refusals(graph: &TargetGraph, chosen: &[NodeId]) -> Vec<GraphError> {
    let mut under: BTreeMap<NodeId, Vec<NodeId>> = BTreeMap::new();
    let mut errors = Vec::new();
    for frame in chosen.iter().copied().filter(|id| !graph[*id].declared.learns.is_empty()) {
        errors.extend(joined(graph, frame));
        for id in beneath(graph, frame) {
            under.entry(id).or_default().push(frame);
        }
    }
    for (id, frames) in under {
        errors.extend(refusal(graph, &graph[id], &frames));
    }
    errors
}

/// Tells every query that a frame stands on when the rows of what it reads are known, so that it is tested on them; a query on which none stands
/// is the step it always was.
pub fn mark(graph: &mut TargetGraph) {
    let queries = learnt(graph).into_iter().filter(|id| graph[*id].declared.text.is_some());
    let known: Vec<_> = queries.map(|id| (id, known(graph, &graph[id]))).filter(|(_, known)| !known.is_empty()).collect();
    for (id, known) in known {
        let declared = &mut graph.nodes[id.index()].declared;
        declared.params["known"] = json!(known);
        declared.outputs.insert(CHECKS.to_owned());
    }
}

/// The targets that stand beneath some frame.
#[must_use]
pub fn learnt(graph: &TargetGraph) -> BTreeSet<NodeId> {
    let frames = graph.ids().filter(|id| !graph[*id].declared.learns.is_empty());
    frames.flat_map(|frame| beneath(graph, frame)).collect()
}

/// When the rows of the tables that a query reads are known, of all that are not known always.
fn known(graph: &TargetGraph, node: &Node) -> BTreeMap<String, Available> {
    let tables = node.declared.inputs.keys().filter_map(|slot| Some((slot.strip_prefix(TABLE_SLOT)?, feeds(graph, node, slot)?)));
    let available = |id: NodeId| match (&graph[id].declared.text, &graph[id].declared.available) {
        (Some(_), _) => {
            let key = key_of(&graph[id]).into_iter().map(str::to_owned).collect();
            Some(Available { after: Lag::Days(0), key, dates: None, made: true })
        }
        (None, Some(said)) => (said.after != Lag::Always).then(|| said.clone()),
        (None, None) => None,
    };
    tables.filter_map(|(table, id)| Some((table.to_owned(), available(id)?))).collect()
}

/// The targets whose rows reach this one as something to learn from: empty for all that is no frame.
#[must_use]
pub fn beneath(graph: &TargetGraph, frame: NodeId) -> BTreeSet<NodeId> {
    let mut met = BTreeSet::new();
    let mut left: Vec<NodeId> = graph[frame].declared.learns.keys().filter_map(|slot| feeds(graph, &graph[frame], slot)).collect();
    while let Some(id) = left.pop() {
        if met.insert(id) {
            let slots = graph[id].declared.inputs.keys().filter(|slot| slot.starts_with(TABLE_SLOT));
            left.extend(slots.filter_map(|slot| feeds(graph, &graph[id], slot)));
        }
    }
    met
}

/// The target whose table comes in by a slot.
fn feeds(graph: &TargetGraph, node: &Node, slot: &str) -> Option<NodeId> {
    match node.declared.inputs.get(slot)? {
        Source::Target { name, .. } => graph.find(name.as_str()),
        _ => None,
    }
}

/// The columns that a target's rows are sorted by first.
fn key_of(node: &Node) -> Vec<&str> {
    let named = node.declared.params["key"].as_array();
    named.map_or_else(|| vec![DEFAULT_KEY], |key| key.iter().filter_map(Value::as_str).collect())
}

/// What is wrong with how a frame joins the tables that it learns from.
fn joined(graph: &TargetGraph, frame: NodeId) -> Vec<GraphError> {
    let mut errors = Vec::new();
    for (slot, date) in &graph[frame].declared.learns {
        let Some(table) = feeds(graph, &graph[frame], slot).map(|id| &graph[id]).filter(|table| !table.refused) else { continue };
        let about = |what: Unknowable| GraphError::Unknowable { place: graph[frame].stanza.place.clone(), what: Box::new(what) };
        let waits = graph[frame].declared.waits.contains(slot);
        let (frame, table_name) = (graph[frame].name().clone(), table.name().clone());
        if key_of(table).first() != Some(&date.as_str()) {
            errors.push(about(Unknowable::OtherDate { frame, table: table_name, date: date.clone() }));
        } else if !waits && let Some(Lag::Days(days @ 1..)) = table.declared.available.as_ref().map(|known| known.after) {
            errors.push(about(Unknowable::NotYet { frame, table: table_name, days }));
        }
    }
    errors
}

/// What is wrong with a target that frames learn from.
fn refusal(graph: &TargetGraph, node: &Node, frames: &[NodeId]) -> Vec<GraphError> {
    let learners = || Learners { first: graph[frames[0]].name().clone(), others: frames.len() - 1 };
    let at_stanza = |what: Unknowable| vec![GraphError::Unknowable { place: node.stanza.place.clone(), what: Box::new(what) }];
    let target = node.name().clone();
    if let Some((place, why)) = &node.declared.only_there {
        let what = Unknowable::Elsewhere { target, why: why.clone(), learners: learners() };
        vec![GraphError::Unknowable { place: place.clone(), what: Box::new(what) }]
    } else if node.declared.text.is_some() {
        let about = |ahead: &Ahead| {
            let what = Unknowable::LooksAhead { target: target.clone(), how: ahead.how.clone(), hint: ahead.hint, learners: learners() };
            GraphError::Unknowable { place: ahead.place.clone(), what: Box::new(what) }
        };
        node.declared.ahead.iter().map(about).collect()
    } else if node.refused || node.declared.available.is_some() {
        Vec::new()
    } else if node.stanza.kind == IMPLICIT_KIND {
        at_stanza(Unknowable::NoLag { table: target, learners: learners(), implicit: node.implicit })
    } else {
        at_stanza(Unknowable::OtherKind { target, kind: node.stanza.kind.clone(), learners: learners() })
    }
}
