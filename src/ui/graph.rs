//! Owns what a drawn graph is, and its forms for programs. Invariant: the same drawing gives the same text, byte for byte.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// Nodes and the edges between them. An edge `(a, b)` says that `b` needs `a`: data flows from `a` to `b`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drawing {
    nodes: Vec<DrawnNode>,
    edges: Vec<(usize, usize)>,
    needs: Vec<Vec<usize>>,
    users: Vec<Vec<usize>>,
    depths: Vec<usize>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrawnNode {
    /// The target's name.
    pub name: String,
    /// Its recipe kind; `source` for what no recipe makes.
    pub kind: String,
    /// `fresh`, `stale`, or whatever else is known; may be empty.
    pub state: String,
}

impl Drawing {
    /// A drawing of these nodes, sorted by name; edges without two such ends are left out.
    #[must_use]
    pub fn new(nodes: Vec<DrawnNode>, edges: &[(usize, usize)]) -> Self {
        let mut sorted: Vec<(usize, DrawnNode)> = nodes.into_iter().enumerate().collect();
        sorted.sort_by(|a, b| a.1.name.cmp(&b.1.name));
        let mut place = vec![0; sorted.len()];
        for (new, (old, _)) in sorted.iter().enumerate() {
            place[*old] = new;
        }
        let nodes: Vec<DrawnNode> = sorted.into_iter().map(|(_, node)| node).collect();
        let inside = edges.iter().filter(|(from, to)| *from < nodes.len() && *to < nodes.len() && from != to);
        let mut edges: Vec<_> = inside.map(|(from, to)| (place[*from], place[*to])).collect();
        edges.sort_unstable();
        edges.dedup();
        let mut drawing = Self { needs: vec![Vec::new(); nodes.len()], users: vec![Vec::new(); nodes.len()], ..Self::default() };
        for (from, to) in &edges {
            drawing.needs[*to].push(*from);
            drawing.users[*from].push(*to);
        }
        drawing.nodes = nodes;
        drawing.edges = edges;
        drawing.depths = drawing.longest_paths();
        drawing
    }

    /// The nodes, sorted by name.
    #[must_use]
    pub fn nodes(&self) -> &[DrawnNode] {
        &self.nodes
    }

    /// The edges, sorted.
    #[must_use]
    pub fn edges(&self) -> &[(usize, usize)] {
        &self.edges
    }

    /// What `node` needs.
    #[must_use]
    pub fn needs(&self, node: usize) -> &[usize] {
        &self.needs[node]
    }

    /// What needs `node`.
    #[must_use]
    pub fn users(&self, node: usize) -> &[usize] {
        &self.users[node]
    }

    /// Steps on the longest way from anything that needs nothing to `node`.
    #[must_use]
    pub fn depth(&self, node: usize) -> usize {
        self.depths[node]
    }

    fn longest_paths(&self) -> Vec<usize> {
        let mut depths = vec![0; self.nodes.len()];
        let mut waits: Vec<usize> = self.needs.iter().map(Vec::len).collect();
        let mut ready: Vec<usize> = (0..waits.len()).filter(|node| waits[*node] == 0).collect();
        while let Some(node) = ready.pop() {
            for &user in &self.users[node] {
                depths[user] = depths[user].max(depths[node] + 1);
                waits[user] -= 1;
                if waits[user] == 0 {
                    ready.push(user);
                }
            }
        }
        depths
    }

    /// Nodes and edges as JSON, edges by name.
    #[must_use]
    pub fn json(&self) -> Value {
        let node = |(index, node): (usize, &DrawnNode)| json!({"name": node.name, "kind": node.kind, "state": node.state, "depth": self.depths[index]});
        let edge = |(from, to): &(usize, usize)| json!({"from": self.nodes[*from].name, "to": self.nodes[*to].name});
        json!({
            "nodes": self.nodes.iter().enumerate().map(node).collect::<Vec<_>>(),
            "edges": self.edges.iter().map(edge).collect::<Vec<_>>(),
        })
    }

    /// The drawing in Graphviz's language.
    #[must_use]
    pub fn dot(&self) -> String {
        let quote = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let mut text = String::from(
            "digraph cbi {\n  rankdir=LR;\n  node [shape=box, style=\"rounded,filled\", fontname=\"monospace\", fontcolor=white];\n",
        );
        for node in &self.nodes {
            let (name, tip) = (quote(&node.name), quote(&about(node)));
            let colour = colour(&node.kind);
            let _ = writeln!(text, "  {name} [fillcolor=\"{colour}\", color=\"{colour}\", tooltip={tip}];");
        }
        for (from, to) in &self.edges {
            let _ = writeln!(text, "  {} -> {};", quote(&self.nodes[*from].name), quote(&self.nodes[*to].name));
        }
        text.push_str("}\n");
        text
    }
}

/// A node's kind and state in words.
#[must_use]
pub fn about(node: &DrawnNode) -> String {
    [node.kind.as_str(), node.state.as_str()].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(", ")
}

/// The colour of a kind: dark enough for white text, light enough for a dark page.
#[must_use]
pub fn colour(kind: &str) -> &'static str {
    const OTHERS: [&str; 4] = ["#8a6d3b", "#4b7a8c", "#7a4b8c", "#5c7a3d"];
    match kind {
        "source" => "#6e7781",
        "table" => "#2f6fdf",
        "sql" => "#0f8a8a",
        "frame" => "#8250df",
        "naive" => "#57606a",
        "lightgbm" => "#1a8f4b",
        "xgboost" => "#4d8f1a",
        "ensemble" => "#bf6a02",
        "evaluate" => "#a8860b",
        "forecast" => "#cf3d4f",
        "command" => "#5a6b8c",
        other => OTHERS[other.bytes().map(usize::from).sum::<usize>() % OTHERS.len()],
    }
}

#[cfg(test)]
pub(crate) mod tests {
    //! The drawing that the other forms are tested with, and the tests of these.

    use super::*;

    /// The WTI pipeline at one horizon.
    pub fn wti() -> Drawing {
        let node = |(name, kind, state): (&str, &str, &str)| DrawnNode { name: name.into(), kind: kind.into(), state: state.into() };
        let nodes = [
            ("fred.dcoilwtico", "source", ""),
            ("fred.cpilfesl", "source", ""),
            ("wti.daily", "sql", "fresh"),
            ("wti.features", "sql", "fresh"),
            ("frame/wti/1m", "frame", "stale"),
            ("model/wti/naive/1m", "naive", "stale"),
            ("model/wti/lightgbm/1m", "lightgbm", "stale"),
            ("model/wti/ensemble/1m", "ensemble", "stale"),
            ("forecast/wti/1m", "forecast", "stale"),
        ];
        let edges = [(0, 2), (2, 3), (1, 3), (3, 4), (2, 4), (4, 5), (4, 6), (5, 7), (6, 7), (4, 7), (4, 8), (7, 8), (0, 8)];
        Drawing::new(nodes.into_iter().map(node).collect(), &edges)
    }

    #[test]
    fn the_order_nodes_and_edges_come_in_does_not_show() {
        let first = wti();
        let count = first.nodes().len();
        let nodes = first.nodes().iter().rev().cloned().collect();
        let edges: Vec<_> = first.edges().iter().rev().map(|(from, to)| (count - 1 - from, count - 1 - to)).collect();
        assert_eq!(Drawing::new(nodes, &edges), first);
    }

    #[test]
    fn depth_is_the_longest_way() {
        let drawing = wti();
        let depth = |name: &str| drawing.depth(drawing.nodes().iter().position(|node| node.name == name).unwrap());
        assert_eq!(["fred.cpilfesl", "wti.features", "frame/wti/1m", "forecast/wti/1m"].map(depth), [0, 2, 3, 6]);
    }

    #[test]
    fn graphviz_gets_every_node_and_edge_with_names_quoted() {
        let odd = Drawing::new(vec![DrawnNode { name: "a\"b".into(), kind: "sql".into(), state: String::new() }], &[(0, 0), (0, 7)]);
        assert!(odd.dot().contains(r#""a\"b" [fillcolor"#) && !odd.dot().contains("->"));
        insta::assert_snapshot!(wti().dot(), @r##"
        digraph cbi {
          rankdir=LR;
          node [shape=box, style="rounded,filled", fontname="monospace", fontcolor=white];
          "forecast/wti/1m" [fillcolor="#cf3d4f", color="#cf3d4f", tooltip="forecast, stale"];
          "frame/wti/1m" [fillcolor="#8250df", color="#8250df", tooltip="frame, stale"];
          "fred.cpilfesl" [fillcolor="#6e7781", color="#6e7781", tooltip="source"];
          "fred.dcoilwtico" [fillcolor="#6e7781", color="#6e7781", tooltip="source"];
          "model/wti/ensemble/1m" [fillcolor="#bf6a02", color="#bf6a02", tooltip="ensemble, stale"];
          "model/wti/lightgbm/1m" [fillcolor="#1a8f4b", color="#1a8f4b", tooltip="lightgbm, stale"];
          "model/wti/naive/1m" [fillcolor="#57606a", color="#57606a", tooltip="naive, stale"];
          "wti.daily" [fillcolor="#0f8a8a", color="#0f8a8a", tooltip="sql, fresh"];
          "wti.features" [fillcolor="#0f8a8a", color="#0f8a8a", tooltip="sql, fresh"];
          "frame/wti/1m" -> "forecast/wti/1m";
          "frame/wti/1m" -> "model/wti/ensemble/1m";
          "frame/wti/1m" -> "model/wti/lightgbm/1m";
          "frame/wti/1m" -> "model/wti/naive/1m";
          "fred.cpilfesl" -> "wti.features";
          "fred.dcoilwtico" -> "forecast/wti/1m";
          "fred.dcoilwtico" -> "wti.daily";
          "model/wti/ensemble/1m" -> "forecast/wti/1m";
          "model/wti/lightgbm/1m" -> "model/wti/ensemble/1m";
          "model/wti/naive/1m" -> "model/wti/ensemble/1m";
          "wti.daily" -> "frame/wti/1m";
          "wti.daily" -> "wti.features";
          "wti.features" -> "frame/wti/1m";
        }
        "##);
    }

    #[test]
    fn programs_get_names_kinds_states_and_edges() {
        insta::assert_snapshot!(wti().json(), @r#"{"edges":[{"from":"frame/wti/1m","to":"forecast/wti/1m"},{"from":"frame/wti/1m","to":"model/wti/ensemble/1m"},{"from":"frame/wti/1m","to":"model/wti/lightgbm/1m"},{"from":"frame/wti/1m","to":"model/wti/naive/1m"},{"from":"fred.cpilfesl","to":"wti.features"},{"from":"fred.dcoilwtico","to":"forecast/wti/1m"},{"from":"fred.dcoilwtico","to":"wti.daily"},{"from":"model/wti/ensemble/1m","to":"forecast/wti/1m"},{"from":"model/wti/lightgbm/1m","to":"model/wti/ensemble/1m"},{"from":"model/wti/naive/1m","to":"model/wti/ensemble/1m"},{"from":"wti.daily","to":"frame/wti/1m"},{"from":"wti.daily","to":"wti.features"},{"from":"wti.features","to":"frame/wti/1m"}],"nodes":[{"depth":6,"kind":"forecast","name":"forecast/wti/1m","state":"stale"},{"depth":3,"kind":"frame","name":"frame/wti/1m","state":"stale"},{"depth":0,"kind":"source","name":"fred.cpilfesl","state":""},{"depth":0,"kind":"source","name":"fred.dcoilwtico","state":""},{"depth":5,"kind":"ensemble","name":"model/wti/ensemble/1m","state":"stale"},{"depth":4,"kind":"lightgbm","name":"model/wti/lightgbm/1m","state":"stale"},{"depth":4,"kind":"naive","name":"model/wti/naive/1m","state":"stale"},{"depth":1,"kind":"sql","name":"wti.daily","state":"fresh"},{"depth":2,"kind":"sql","name":"wti.features","state":"fresh"}]}"#);
    }
}
