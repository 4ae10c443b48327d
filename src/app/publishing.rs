//! Owns what a workspace publishes, as a whole. Invariant: a table that is replaced has one writer.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::app::problem::Problems;
use crate::app::texts::Texts;
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::graph::build::{Node, NodeId, TargetGraph};
use crate::registry::destination::Destination;

/// The table that a node delivers into.
fn table(node: &Node) -> Option<&str> {
    node.declared.params.get("to").filter(|_| node.declared.delivers)?.as_str()
}

/// The files that say whether what is chosen was delivered: tables, and their ledgers.
#[must_use]
pub fn files(destination: Option<&Destination>, graph: &TargetGraph, chosen: &[NodeId]) -> Vec<PathBuf> {
    let tables = chosen.iter().filter_map(|id| table(&graph[*id]));
    tables.flat_map(|table| destination.into_iter().flat_map(move |d| [d.file(table), d.ledger_file(table)])).collect()
}

/// Every target that delivers into a table which another one replaces, or replaces one that another delivers into.
#[must_use]
pub fn clashes(graph: &TargetGraph, texts: &Texts) -> Problems {
    let mut writers: BTreeMap<&str, Vec<&Node>> = BTreeMap::new();
    for (table, node) in graph.nodes.iter().filter_map(|node| Some((table(node)?, node))) {
        writers.entry(table).or_default().push(node);
    }
    let replaces = |node: &&Node| node.declared.params["mode"] == "replace";
    let clashing = writers.into_iter().filter(|(_, all)| all.len() > 1 && all.iter().any(replaces));
    let problem = |(table, all): (&str, Vec<&Node>)| {
        let message = format!("'{}' and '{}' both publish into {table}, and one of them replaces it", all[0].name(), all[1].name());
        let mut problem = Diagnostic::new(ExitCode::Invalid, message).hint("publish into two tables, or merge by a key");
        problem.snippets.extend(all.iter().take(2).filter_map(|node| texts.snippet(&node.stanza.place, "")));
        problem
    };
    clashing.map(problem).collect()
}
