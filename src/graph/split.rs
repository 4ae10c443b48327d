//! Owns how one target becomes several, when it is found out that it has parts. Invariant: whoever read the whole reads all of its parts; nothing else in
//! the graph changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::base::name::TargetName;
use crate::graph::build::{Node, NodeId, TargetGraph};
use crate::model::recipe::{Source, Stanza};

/// The parts of one target, each with what its action is told.
pub type Parts = BTreeMap<TargetName, Value>;

/// The graph with these targets, which need no other ones, as their parts. A slot that took the whole becomes one for each part: `source:2024-01`.
#[must_use]
pub fn split(graph: TargetGraph, wholes: &BTreeMap<NodeId, Parts>) -> TargetGraph {
    let TargetGraph { nodes: old, tables, .. } = graph;
    let names: BTreeMap<TargetName, &Parts> = wholes.iter().map(|(id, parts)| (old[id.index()].name().clone(), parts)).collect();
    let mut nodes: Vec<Node> = Vec::with_capacity(old.len());
    let mut places: Vec<Vec<NodeId>> = Vec::with_capacity(old.len());
    for (id, node) in old.into_iter().enumerate() {
        let begin = nodes.len();
        match wholes.get(&NodeId::at(id)) {
            None => nodes.push(node),
            Some(parts) => nodes.extend(parts.iter().map(|(name, params)| part(&node, name, params))),
        }
        places.push((begin..nodes.len()).map(NodeId::at).collect());
    }
    for node in &mut nodes {
        for links in [&mut node.deps, &mut node.dependants] {
            *links = links.iter().flat_map(|id| places[id.index()].iter().copied()).collect();
        }
        let inputs = std::mem::take(&mut node.declared.inputs);
        for (slot, source) in inputs {
            match &source {
                Source::Target { name, artifact } if names.contains_key(name) => {
                    let input =
                        |name: &TargetName| (slot_of(&slot, name), Source::Target { name: name.clone(), artifact: artifact.clone() });
                    node.declared.inputs.extend(names[name].keys().map(input));
                }
                _ => _ = node.declared.inputs.insert(slot, source),
            }
        }
    }
    TargetGraph::of(nodes, tables)
}

/// The slot that takes one part of what `slot` took.
fn slot_of(slot: &str, part: &TargetName) -> String {
    let last = part.as_str().rsplit('/').next().unwrap_or_default();
    format!("{slot}:{last}")
}

fn part(whole: &Node, name: &TargetName, params: &Value) -> Node {
    let mut node = whole.clone();
    node.stanza = Arc::new(Stanza { name: name.clone(), ..(*whole.stanza).clone() });
    node.declared.params = params.clone();
    node
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::graph::build;
    use crate::graph::select::select;
    use crate::model::recipe::{Common, Declared, Place};

    fn stanza(name: &str) -> Stanza {
        let place = Place { file: "recipes/x.toml".into(), span: 0..1 };
        let (body, spots) = (BTreeMap::new(), BTreeMap::new());
        Stanza { kind: "export".into(), name: name.parse().unwrap(), body, common: Common::default(), place, spots, part: None }
    }

    /// `a.b` and `c.d` read `export/a.b`; `e` reads both.
    fn graph() -> TargetGraph {
        let reads = |of: &str| match of {
            "a.b" | "c.d" => vec![("source", "export/a.b")],
            "e" => vec![("x", "a.b"), ("y", "c.d")],
            _ => Vec::new(),
        };
        let declare = |stanza: &Stanza| {
            let source =
                |(slot, name): (&str, &str)| (slot.to_owned(), Source::Target { name: name.parse().unwrap(), artifact: "rows".into() });
            let inputs = reads(stanza.name.as_str()).into_iter().map(source).collect();
            Ok::<_, Vec<()>>((1, Declared { inputs, outputs: ["rows".to_owned()].into(), ..Declared::default() }))
        };
        build::build(["a.b", "c.d", "e", "export/a.b"].map(stanza).into(), &BTreeSet::new(), declare).unwrap()
    }

    #[test]
    fn readers_of_the_whole_read_its_parts_and_names_of_either_choose_them() {
        let whole = graph();
        let id = whole.find("export/a.b").unwrap();
        let parts: Parts = ["2023", "2024"].map(|part| (format!("export/a.b/{part}").parse().unwrap(), json!({"part": part}))).into();
        assert_eq!(select(&whole, &["export/a.b/2024".into()]).unwrap().roots, [id], "before a part is known, it is the whole");
        let graph = split(whole, &[(id, parts)].into());
        let named = |ids: &[NodeId]| ids.iter().map(|id| graph[*id].name().to_string()).collect::<Vec<_>>();
        assert!(graph.find("export/a.b").is_none());
        let reader = &graph[graph.find("c.d").unwrap()];
        assert_eq!(named(&reader.deps), ["export/a.b/2023", "export/a.b/2024"]);
        assert_eq!(reader.declared.inputs.keys().collect::<Vec<_>>(), ["source:2023", "source:2024"]);
        let part = &graph[graph.find("export/a.b/2024").unwrap()];
        assert_eq!((&part.declared.params["part"], named(&part.dependants)), (&json!("2024"), vec!["a.b".to_owned(), "c.d".into()]));
        let chosen = |pattern: &str| named(&select(&graph, &[pattern.to_owned()]).unwrap().closure);
        assert_eq!(chosen("e").len(), 5);
        assert_eq!(chosen("export/a.b"), ["export/a.b/2023", "export/a.b/2024"]);
        assert_eq!(chosen("export/a.b/2024"), ["export/a.b/2024"]);
        assert!(select(&graph, &["export/a.b/1999".into()]).is_err());
        for id in graph.ids() {
            assert!(graph[id].deps.iter().all(|dep| *dep < id && graph[*dep].dependants.contains(&id)), "dependencies come first");
        }
    }
}
