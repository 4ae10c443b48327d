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
    let mut play = Play {
        graph,
        todo,
        scheduler: Scheduler::new(graph, &expected_ms),
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
        ready.into_iter().for_each(|id| self.push(id));
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
