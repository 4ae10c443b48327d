//! Owns how long a build will still take. Invariant: it says nothing unless history knows every step that may still run.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::base::clock;
use crate::graph::build::NodeId;
use crate::model::event::TimeLeft;
use crate::plan::planner::{Planner, State};

/// Least time between two estimates: each walks the whole graph.
const PAUSE: Duration = Duration::from_secs(1);

/// What is needed to tell.
#[derive(Debug)]
pub struct Left {
    /// How long each step took last, milliseconds.
    past_ms: Vec<Option<u64>>,
    cpus: u32,
    running: HashMap<NodeId, Instant>,
    told: Option<Instant>,
}

impl Left {
    /// For a build with so many threads for its steps; `past_ms` tells how long each step of the graph took last, milliseconds.
    #[must_use]
    pub fn new(past_ms: Vec<Option<u64>>, cpus: u32) -> Self {
        Self { past_ms, cpus: cpus.max(1), running: HashMap::new(), told: None }
    }

    /// A step begins.
    pub fn started(&mut self, id: NodeId) {
        self.running.insert(id, clock::start());
    }

    /// A step is over.
    pub fn ended(&mut self, id: NodeId) {
        self.running.remove(&id);
    }

    /// Whether it is time to tell again.
    pub fn is_due(&mut self) -> bool {
        let due = self.told.is_none_or(|told| told.elapsed() >= PAUSE);
        if due {
            self.told = Some(clock::start());
        }
        due
    }

    /// How long all that is not done will take: as long as the longest path through it, or as all of it on the threads there are, whichever is
    /// longer. Steps that turn out to be fresh make it less.
    #[must_use]
    pub fn estimate(&self, planner: &Planner) -> Option<TimeLeft> {
        let graph = planner.graph();
        let mut path_ms = vec![0; graph.nodes.len()];
        let (mut longest_ms, mut work_ms, mut sure) = (0, 0, true);
        // Dependencies stand first, so from the end everything above a step is known before it.
        for id in graph.ids().rev() {
            match planner.state(id) {
                State::Waiting => sure = false,
                State::Ready => {}
                _ => continue,
            }
            let spent = self.running.get(&id).map_or(0, |began| u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
            let own_ms = self.past_ms[id.index()]?.saturating_sub(spent);
            path_ms[id.index()] = own_ms + graph[id].dependants.iter().map(|above| path_ms[above.index()]).max().unwrap_or(0);
            longest_ms = longest_ms.max(path_ms[id.index()]);
            work_ms += own_ms * u64::from(graph[id].stanza.common.threads.min(self.cpus));
        }
        Some(TimeLeft { ms: longest_ms.max(work_ms / u64::from(self.cpus)), sure })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::base::digest::{ActionKey, Digest};
    use crate::graph::build::{TargetGraph, build};
    use crate::graph::expand::expand;
    use crate::kinds::context::KindError;
    use crate::model::recipe::{Declared, Source, Stanza};
    use crate::plan::planner::Made;
    use crate::syntax::lets::Lets;
    use crate::syntax::recipe::parse;

    /// `a` and `b` stand below `c`; `d` stands alone, with two threads.
    fn graph() -> TargetGraph {
        let text = "[x.a]\n[x.b]\n[x.c]\nneeds = [\"a\", \"b\"]\n[x.d]\nthreads = 2\n";
        let (recipe, mut errors) = parse("recipes/a.toml", text);
        let mut stanzas = Vec::new();
        expand(recipe, &Lets::default(), &mut stanzas, &mut errors);
        let declare = |stanza: &Stanza| -> Result<(u32, Declared), Vec<KindError>> {
            let needs = stanza.body.get("needs").and_then(|needs| needs.as_array()).into_iter().flatten();
            let needs = needs.map(|name| Source::Target { name: name.as_str().unwrap().parse().unwrap(), artifact: "out".into() });
            let inputs: BTreeMap<String, Source> = needs.enumerate().map(|(at, source)| (format!("need:{at}"), source)).collect();
            Ok((1, Declared { inputs, outputs: BTreeSet::from(["out".to_owned()]), ..Declared::default() }))
        };
        build(stanzas, &BTreeSet::new(), declare).map_err(|errors| errors.len()).unwrap()
    }

    fn done(planner: &mut Planner, name: &str) {
        let id = planner.graph().find(name).unwrap();
        planner.done(id, Made { key: ActionKey(Digest::of(name.as_bytes())), artifacts: BTreeMap::new() });
    }

    #[test]
    fn it_is_the_longest_path_or_the_work_shared_among_the_threads() {
        let graph = graph();
        let times = |cpus| {
            let past = graph.nodes.iter().map(|node| {
                Some(match node.name().as_str() {
                    "a" => 10_000,
                    "b" => 4_000,
                    "c" => 3_000,
                    _ => 1_000,
                })
            });
            Left::new(past.collect(), cpus)
        };
        let all: Vec<NodeId> = graph.ids().collect();
        let mut planner = Planner::new(&graph, &all);
        let up_to = |ms| Some(TimeLeft { ms, sure: false });
        assert_eq!(times(8).estimate(&planner), up_to(13_000), "a, then c");
        assert_eq!(times(1).estimate(&planner), up_to(18_000), "one after the other");
        let part: Vec<NodeId> = ["b", "d"].iter().map(|name| graph.find(name).unwrap()).collect();
        let sure = |ms| Some(TimeLeft { ms, sure: true });
        assert_eq!(times(2).estimate(&Planner::new(&graph, &part)), sure(4_000), "what was not asked for does not count");
        done(&mut planner, "a");
        assert_eq!(times(8).estimate(&planner), up_to(7_000));
        done(&mut planner, "b");
        assert_eq!(times(8).estimate(&planner), sure(3_000), "all that is left is known to run");
        done(&mut planner, "c");
        done(&mut planner, "d");
        assert_eq!(times(8).estimate(&planner), sure(0));
    }

    #[test]
    fn what_history_does_not_know_is_not_guessed() {
        let graph = graph();
        let all: Vec<NodeId> = graph.ids().collect();
        let mut planner = Planner::new(&graph, &all);
        let past = graph.nodes.iter().map(|node| (node.name().as_str() != "b").then_some(1_000));
        let left = Left::new(past.collect(), 2);
        assert_eq!(left.estimate(&planner), None);
        done(&mut planner, "b");
        assert!(left.estimate(&planner).is_some());
    }
}
