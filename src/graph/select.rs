//! Owns the choice of targets by name and glob. Invariant: what is chosen comes with everything it needs, or not at all.

use globset::GlobBuilder;

use crate::graph::build::{NodeId, TargetGraph};
use crate::graph::error::GraphError;
use crate::graph::implicit::{CHANNEL_KIND, whole_of};
use crate::graph::learning;
use crate::model::recipe::Part;

/// Targets that were asked for, with what they need.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// The targets asked for, in the graph's order.
    pub roots: Vec<NodeId>,
    /// They and all they need, dependencies first.
    pub closure: Vec<NodeId>,
}

/// Chooses by names, words and globs, of which only a name chooses what delivers or follows a release's channel: a name is one target, a word all that have it as a segment or dataset; `*` and `?` stay within a segment, `**` crosses segments, `{a,b}` and `[ab]` choose. Tables of the warehouse
/// without a stanza are chosen only by their full name.
///
/// # Errors
/// Every pattern that matches nothing, and every name that a chosen target needs and nobody has.
pub fn select(graph: &TargetGraph, patterns: &[String]) -> Result<Selection, Vec<GraphError>> {
    let (mut chosen, mut errors) = (vec![false; graph.nodes.len()], Vec::new());
    for pattern in patterns {
        match matches(graph, pattern) {
            Ok(ids) => ids.into_iter().for_each(|id| chosen[id.index()] = true),
            Err(error) => errors.push(error),
        }
    }
    let roots: Vec<NodeId> = graph.ids().filter(|id| chosen[id.index()]).collect();
    let closure = closure(graph, &roots);
    // What a part lacks, the stanza that brought it lacks too, and says so once for all of them.
    let told = |part: &Part| graph.find(part.of.as_str()).is_some_and(|whole| closure.binary_search(&whole).is_ok());
    let telling = closure.iter().filter(|id| !graph[**id].stanza.part.as_ref().is_some_and(told));
    errors.extend(telling.flat_map(|id| missing(graph, *id)));
    errors.extend(learning::refusals(graph, &closure));
    if errors.is_empty() { Ok(Selection { roots, closure }) } else { Err(errors) }
}

/// The targets that one name or glob chooses.
///
/// # Errors
/// When it cannot be read or matches nothing.
pub fn matches(graph: &TargetGraph, pattern: &str) -> Result<Vec<NodeId>, GraphError> {
    if let Some(id) = graph.find(pattern) {
        return Ok(vec![id]);
    }
    // Whether a remote table is read in parts is known when it was looked at.
    if let Some(whole) = whole_of(pattern).and_then(|whole| graph.find(whole)) {
        return Ok(vec![whole]);
    }
    let parts: Vec<NodeId> = graph.ids().filter(|id| whole_of(graph[*id].name().as_str()) == Some(pattern)).collect();
    if !parts.is_empty() {
        return Ok(parts);
    }
    if !pattern.contains(['*', '?', '[', '{']) {
        let part: Vec<NodeId> = choosable(graph).filter(|id| is_part_of(pattern, graph[*id].name().as_str())).collect();
        if !part.is_empty() {
            return Ok(part);
        }
        return Err(GraphError::NoMatch { pattern: pattern.to_owned(), nearest: nearest(graph, pattern) });
    }
    let glob = GlobBuilder::new(pattern).literal_separator(true).backslash_escape(false).build();
    let glob = glob.map_err(|error| GraphError::BadGlob { pattern: pattern.to_owned(), reason: error.kind().to_string() })?;
    let matcher = glob.compile_matcher();
    let hits = choosable(graph).filter(|id| matcher.is_match(graph[*id].name().as_str()));
    let hits: Vec<NodeId> = hits.collect();
    if hits.is_empty() { Err(GraphError::NoMatch { pattern: pattern.to_owned(), nearest: nearest(graph, pattern) }) } else { Ok(hits) }
}

/// The targets that need not be named to be chosen: neither bare tables of the warehouse, nor what has an effect outside the store, nor what follows a
/// channel, which may stand at nothing yet.
fn choosable(graph: &TargetGraph) -> impl Iterator<Item = NodeId> + '_ {
    let channels: Vec<NodeId> = graph.ids().filter(|id| graph[*id].stanza.kind == CHANNEL_KIND).collect();
    let following = above(graph, &channels);
    graph.ids().filter(move |id| !graph[*id].implicit && !graph[*id].declared.delivers && following.binary_search(id).is_err())
}

/// Whether a word is a whole segment of a name, or a table's dataset: `zl` is part of `model/zl/1w` and of `zl.daily`.
fn is_part_of(word: &str, name: &str) -> bool {
    match name.split_once('.') {
        Some((dataset, _)) if !name.contains('/') => dataset == word,
        _ => name.split('/').any(|segment| segment == word),
    }
}

/// `roots` and all they need, dependencies first.
#[must_use]
pub fn closure(graph: &TargetGraph, roots: &[NodeId]) -> Vec<NodeId> {
    spread(graph, roots, |id| &graph[id].deps)
}

/// `roots` and all that need them, dependencies first.
#[must_use]
pub fn above(graph: &TargetGraph, roots: &[NodeId]) -> Vec<NodeId> {
    spread(graph, roots, |id| &graph[id].dependants)
}

fn spread<'g>(graph: &'g TargetGraph, roots: &[NodeId], next: impl Fn(NodeId) -> &'g Vec<NodeId>) -> Vec<NodeId> {
    let mut reached = vec![false; graph.nodes.len()];
    let mut open = roots.to_vec();
    while let Some(id) = open.pop() {
        if !std::mem::replace(&mut reached[id.index()], true) {
            open.extend(next(id).iter().filter(|other| !reached[other.index()]));
        }
    }
    graph.ids().filter(|id| reached[id.index()]).collect()
}

/// The names that a node needs and nobody has, as errors.
fn missing(graph: &TargetGraph, id: NodeId) -> impl Iterator<Item = GraphError> + '_ {
    graph[id].missing.iter().map(move |missing| GraphError::UnknownTarget {
        name: missing.name.clone(),
        wanted_by: graph[id].name().clone(),
        place: missing.place.clone(),
        // Other tables that are missing too would be no help.
        nearest: nearest(graph, &missing.name)
            .into_iter()
            .filter(|n| graph.find(n).is_none_or(|id| graph[id].missing.is_empty()))
            .collect(),
    })
}

/// Up to three known names most like `wanted`.
fn nearest(graph: &TargetGraph, wanted: &str) -> Vec<String> {
    let scored = graph.names().map(|name| (strsim::normalized_damerau_levenshtein(wanted, name), name));
    let mut near: Vec<_> = scored.filter(|(score, name)| *score >= 0.5 && *name != wanted).collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    near.into_iter().take(3).map(|(_, name)| name.to_owned()).collect()
}
