//! Owns what a build would be like before it is one. Invariant: the order is that of the real scheduler and the real pool; only the clock is another.

use std::collections::BTreeMap;

use crate::exec::pool::{Budget, Need, Pool};
use crate::exec::scheduler::{Scheduler, UNKNOWN_MS};
use crate::graph::build::{NodeId, TargetGraph};

/// One step of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// The step.
    pub id: NodeId,
    /// When it would begin, milliseconds after the build.
    pub start_ms: u64,
    /// When it would end.
    pub end_ms: u64,
    /// What it would be given.
    pub taken: Need,
}

/// A build that was only played.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rehearsal {
    /// Its steps, in the order in which they would begin.
    pub slots: Vec<Slot>,
    /// When the last one would end, milliseconds.
    pub wall_ms: u64,
    /// The most memory that would be reserved at once, bytes.
    pub peak_bytes: u64,
    /// The longest chain of steps that need each other, milliseconds: no number of threads makes it shorter.
    pub critical_ms: u64,
}

/// Plays a build of the steps in `todo`, each with what it asks for; all others are there already. `expected_ms` tells a step's duration where
/// history knows it.
#[must_use]
pub fn rehearse(
    graph: &TargetGraph,
    todo: &BTreeMap<NodeId, Need>,
    expected_ms: impl Fn(NodeId) -> Option<u64>,
    budget: Budget,
) -> Rehearsal {
    let past_ms: Vec<Option<u64>> = graph.ids().map(&expected_ms).collect();
    let mut play = Play {
        graph,
        todo,
        scheduler: Scheduler::new(graph, &past_ms),
        pool: Pool::new(budget),
        unmet: todo.keys().map(|id| (*id, graph[*id].deps.iter().filter(|dep| todo.contains_key(dep)).count())).collect(),
        running: Vec::new(),
        done: Rehearsal::default(),
    };
    let took = |id: NodeId| expected_ms(id).unwrap_or(UNKNOWN_MS);
    play.run(took);
    let mut chain: BTreeMap<NodeId, u64> = BTreeMap::new();
    for id in todo.keys() {
        let below = graph[*id].deps.iter().filter_map(|dep| chain.get(dep)).max().copied().unwrap_or(0);
        chain.insert(*id, below + took(*id));
    }
    Rehearsal { critical_ms: chain.values().max().copied().unwrap_or(0), ..play.done }
}

struct Play<'a> {
    graph: &'a TargetGraph,
    todo: &'a BTreeMap<NodeId, Need>,
    scheduler: Scheduler,
    pool: Pool,
    /// What each step still waits for.
    unmet: BTreeMap<NodeId, usize>,
    running: Vec<Slot>,
    done: Rehearsal,
}

impl Play<'_> {
    fn run(&mut self, took: impl Fn(NodeId) -> u64) {
        let ready: Vec<NodeId> = self.unmet.iter().filter(|(_, count)| **count == 0).map(|(id, _)| *id).collect();
        for id in ready {
            self.push(id);
        }
        let mut now = 0;
        loop {
            while let Some((id, taken)) = self.scheduler.pop(&mut self.pool) {
                let slot = Slot { id, start_ms: now, end_ms: now + took(id), taken };
                self.running.push(slot);
                self.done.slots.push(slot);
            }
            let reserved = self.running.iter().map(|slot| slot.taken.memory).sum();
            self.done.peak_bytes = self.done.peak_bytes.max(reserved);
            let Some(first) = (0..self.running.len()).min_by_key(|at| (self.running[*at].end_ms, self.running[*at].id)) else { return };
            let ended = self.running.remove(first);
            now = ended.end_ms;
            self.done.wall_ms = now;
            self.pool.release(ended.taken);
            for above in &self.graph[ended.id].dependants {
                if let Some(count) = self.unmet.get_mut(above) {
                    *count -= 1;
                    if *count == 0 {
                        self.push(*above);
                    }
                }
            }
        }
    }

    fn push(&mut self, id: NodeId) {
        self.scheduler.push(id, self.graph[id].stanza.common.priority, self.todo[&id]);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::name::TargetName;
    use crate::graph::build::{BuildError, build};
    use crate::model::recipe::{Common, Declared, Place, Source, Stanza};

    /// A graph of steps, each with what it needs.
    fn graph(steps: &[(&str, &[&str])]) -> TargetGraph {
        let name = |text: &str| text.parse::<TargetName>().unwrap();
        let stanza = |(target, _): &(&str, &[&str])| Stanza {
            kind: "command".into(),
            name: name(target),
            body: BTreeMap::new(),
            common: Common::default(),
            place: Place { file: Arc::from("r.toml"), span: 0..0 },
            spots: BTreeMap::new(),
            part: None,
        };
        let declare = |stanza: &Stanza| -> Result<(u32, Declared), Vec<BuildError<String>>> {
            let needs = steps.iter().find(|(target, _)| *target == stanza.name.as_str()).unwrap().1;
            let inputs = needs.iter().map(|need| ((*need).to_owned(), Source::Target { name: name(need), artifact: String::new() }));
            Ok((1, Declared { inputs: inputs.collect(), outputs: ["out".to_owned()].into(), ..Declared::default() }))
        };
        build(steps.iter().map(stanza).collect(), &[].into(), declare).unwrap()
    }

    /// The build of all steps, each with its duration and memory: when each begins, and all of it.
    fn played(steps: &[(&str, &[&str], u64, u64)], budget: Budget) -> (BTreeMap<String, u64>, Rehearsal) {
        let graph = graph(&steps.iter().map(|(target, needs, ..)| (*target, *needs)).collect::<Vec<_>>());
        let of = |id: NodeId| steps.iter().find(|step| step.0 == graph[id].name().as_str()).unwrap();
        let todo = graph.ids().map(|id| (id, Need { cpus: 1, memory: of(id).3, adapter: false })).collect();
        let rehearsal = rehearse(&graph, &todo, |id| Some(of(id).2), budget);
        let starts = rehearsal.slots.iter().map(|slot| (graph[slot.id].name().to_string(), slot.start_ms)).collect();
        (starts, rehearsal)
    }

    #[test]
    fn steps_begin_when_what_they_need_is_there_and_a_thread_is_free() {
        let steps: &[(&str, &[&str], u64, u64)] =
            &[("a", &[], 100, 1), ("b", &["a"], 50, 1), ("c", &["a"], 80, 1), ("d", &["b", "c"], 10, 1)];
        let (starts, two) = played(steps, Budget { cpus: 2, memory: 100 });
        assert_eq!((starts["b"], starts["c"], starts["d"]), (100, 100, 180));
        assert_eq!((two.wall_ms, two.critical_ms, two.peak_bytes), (190, 190, 2));
        let (starts, one) = played(steps, Budget { cpus: 1, memory: 100 });
        assert_eq!((starts["c"], starts["b"]), (100, 180), "the longer way first");
        assert_eq!((one.wall_ms, one.critical_ms), (240, 190));
    }

    #[test]
    fn memory_keeps_apart_what_threads_would_not() {
        let steps: &[(&str, &[&str], u64, u64)] = &[("a", &[], 100, 60), ("b", &[], 90, 60), ("c", &[], 10, 30)];
        let (starts, all) = played(steps, Budget { cpus: 4, memory: 100 });
        assert_eq!((starts["a"], starts["c"], starts["b"]), (0, 0, 100));
        assert_eq!((all.wall_ms, all.peak_bytes), (190, 90));
    }

    #[test]
    fn a_large_step_does_not_starve_behind_small_ones() {
        let small: Vec<String> = (0..40).map(|n| format!("s/{n}")).collect();
        let mut steps: Vec<(&str, &[&str], u64, u64)> = vec![("large", &[], 101, 80)];
        // Small steps of uneven length: there is always one running when another ends.
        steps.extend(small.iter().enumerate().map(|(n, name)| (name.as_str(), &[] as &[&str], 60 + n as u64, 40)));
        steps.push(("first", &[], 500, 40));
        let (starts, all) = played(&steps, Budget { cpus: 2, memory: 100 });
        assert_eq!(starts["first"], 0);
        assert!(starts["large"] <= 1000, "{} of {}", starts["large"], all.wall_ms);
    }
}
