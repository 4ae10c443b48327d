//! Owns which columns of a remote table a workspace reads. Invariant: they follow from the recipes alone, so what part of them is built changes
//! nothing.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::graph::build::{Node, NodeId, TargetGraph};
use crate::graph::implicit::IMPLICIT_KIND;

/// The columns that readers of this export keep, sorted; none where one of them keeps all.
#[must_use]
pub fn columns(graph: &TargetGraph, export: NodeId) -> Vec<String> {
    let table = &graph[export].declared.params["from"];
    let mut all = BTreeSet::new();
    for reader in &graph[export].dependants {
        let Some(kept) = kept(&graph[*reader], table) else { return Vec::new() };
        all.extend(kept);
    }
    all.into_iter().collect()
}

/// The columns that one reader keeps; `None` where it keeps all, or reads more than the one table.
fn kept(reader: &Node, table: &Value) -> Option<Vec<String>> {
    let params = &reader.declared.params;
    let own = reader.stanza.kind == IMPLICIT_KIND && params["from"] == *table;
    let columns: Vec<String> = params["columns"].as_array().filter(|_| own)?.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    (!columns.is_empty()).then_some(columns)
}
