//! Owns the order. Invariant: among ready steps the higher recipe priority goes first, then the longer path of work above it; ties go by
//! name order of the graph, so two builds of one state choose alike. What does not fit is passed over a few times and then waited for.

use std::collections::BinaryHeap;

use crate::exec::pool::{Need, Pool};
use crate::graph::build::{NodeId, TargetGraph};

/// What is assumed of an action nobody has run yet.
pub const UNKNOWN_MS: u64 = 1000;

/// Steps looked at beyond the best, while it does not fit.
const LOOK: usize = 8;

/// How often others may go before a step that does not fit; then the budget is left to drain for it, so that nothing large starves.
const PATIENCE: u32 = 4;

/// Ready steps, best first.
#[derive(Debug)]
pub struct Scheduler {
    path_ms: Vec<u64>,
    ready: BinaryHeap<Ready>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ready {
    priority: i64,
    path_ms: u64,
    earlier: std::cmp::Reverse<NodeId>,
    cpus: u32,
    memory: u64,
    adapter: bool,
    passed: u32,
}

impl Scheduler {
    /// Ranks all steps of a graph by the work that waits for them; `past_ms` tells how long each took last, milliseconds.
    #[must_use]
    pub fn new(graph: &TargetGraph, past_ms: &[Option<u64>]) -> Self {
        let mut path_ms = vec![0; graph.nodes.len()];
        // Dependencies stand first, so from the end everything above a step is ranked before it.
        for id in graph.ids().rev() {
            let above = graph[id].dependants.iter().map(|a| path_ms[a.index()]).max().unwrap_or(0);
            path_ms[id.index()] = above + past_ms[id.index()].unwrap_or(UNKNOWN_MS);
        }
        Self { path_ms, ready: BinaryHeap::new() }
    }

    /// Adds a step that can run now.
    pub fn push(&mut self, id: NodeId, priority: i64, need: Need) {
        let (earlier, path_ms) = (std::cmp::Reverse(id), self.path_ms[id.index()]);
        self.ready.push(Ready { priority, path_ms, earlier, cpus: need.cpus, memory: need.memory, adapter: need.adapter, passed: 0 });
    }

    /// The best step that fits the budget now, with what was taken for it.
    pub fn pop(&mut self, pool: &mut Pool) -> Option<(NodeId, Need)> {
        let (mut too_large, mut aside) = (Vec::new(), Vec::new());
        let mut found = None;
        while let Some(next) = self.ready.pop() {
            // The adapter is one action's until that ends, hours perhaps: no reason to keep the rest of the machine free.
            if next.adapter && pool.adapter_is_taken() {
                aside.push(next);
                continue;
            }
            if let Some(taken) = pool.take(Need { cpus: next.cpus, memory: next.memory, adapter: next.adapter }) {
                found = Some((next.earlier.0, taken));
                break;
            }
            let waited_for = next.passed >= PATIENCE;
            too_large.push(next);
            // A full pool turns everything down: a short look past the best is enough.
            if waited_for || too_large.len() >= LOOK {
                break;
            }
        }
        if found.is_some() {
            for passed in &mut too_large {
                passed.passed += 1;
            }
        }
        self.ready.extend(too_large);
        self.ready.extend(aside);
        found
    }

    /// Whether nothing waits to run.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Drops everything that waits.
    pub fn clear(&mut self) {
        self.ready.clear();
    }
}
