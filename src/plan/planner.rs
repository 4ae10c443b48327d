//! Owns the walk over the graph. Invariant: a step becomes ready exactly once, when all it needs is done; what stands above a failure is
//! blocked and never runs.

use std::collections::BTreeMap;

use crate::base::digest::{ActionKey, ManifestId};
use crate::graph::build::{NodeId, TargetGraph};
use crate::model::action::Input;
use crate::model::recipe::Source;
use crate::model::result::ActionResult;

/// What a target is made of in this build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The action that made it.
    pub key: ActionKey,
    /// Artifact name → hash.
    pub artifacts: BTreeMap<String, ManifestId>,
}

/// Where one step stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Not in the part of the graph asked for.
    Unwanted,
    /// Something it needs is not done; its key is not known.
    Waiting,
    /// All it needs is done: its key can be made, and it was handed out by `next_ready` or will be.
    Ready,
    /// Its artifacts are known.
    Done(Made),
    /// It ran and failed, or its inputs could not be read.
    Failed,
    /// It needs this failed step and was not tried.
    Blocked(NodeId),
}

/// The walk: which steps are ready, done, failed or blocked.
#[derive(Debug)]
pub struct Planner<'g> {
    graph: &'g TargetGraph,
    state: Vec<State>,
    unmet: Vec<u32>,
    ready: Vec<NodeId>,
}

impl Made {
    /// What a recorded result made.
    #[must_use]
    pub fn of(result: &ActionResult) -> Self {
        Self { key: result.key, artifacts: result.outputs.iter().map(|(name, manifest)| (name.clone(), manifest.id())).collect() }
    }
}

impl<'g> Planner<'g> {
    /// A walk over `wanted` and everything they need.
    #[must_use]
    pub fn new(graph: &'g TargetGraph, wanted: &[NodeId]) -> Self {
        let mut state = vec![State::Unwanted; graph.nodes.len()];
        let mut unmet = vec![0; graph.nodes.len()];
        let mut ready = Vec::new();
        let mut stack = wanted.to_vec();
        while let Some(id) = stack.pop() {
            if state[id.index()] != State::Unwanted {
                continue;
            }
            let deps = &graph[id].deps;
            unmet[id.index()] = u32::try_from(deps.len()).unwrap_or(u32::MAX);
            state[id.index()] = if deps.is_empty() { State::Ready } else { State::Waiting };
            if deps.is_empty() {
                ready.push(id);
            }
            stack.extend(deps);
        }
        // Handed out from the end: the smallest id first, so that a walk is the same every time.
        ready.sort_unstable_by(|a, b| b.cmp(a));
        Self { graph, state, unmet, ready }
    }

    /// The graph walked.
    #[must_use]
    pub fn graph(&self) -> &'g TargetGraph {
        self.graph
    }

    /// Where a step stands.
    #[must_use]
    pub fn state(&self, id: NodeId) -> &State {
        &self.state[id.index()]
    }

    /// What a step made, once it is done.
    #[must_use]
    pub fn made(&self, id: NodeId) -> Option<&Made> {
        match &self.state[id.index()] {
            State::Done(made) => Some(made),
            _ => None,
        }
    }

    /// Every step asked for, dependencies first.
    pub fn wanted(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.graph.ids().filter(|id| self.state[id.index()] != State::Unwanted)
    }

    /// Hands out a step whose needs are all done; each once.
    pub fn next_ready(&mut self) -> Option<NodeId> {
        self.ready.pop()
    }

    /// The content of a ready step's inputs; `observe`, told the slot, pins what no other step made.
    ///
    /// # Errors
    /// What `observe` fails with.
    pub fn inputs<E>(&self, id: NodeId, mut observe: impl FnMut(&str, &Source) -> Result<Input, E>) -> Result<BTreeMap<String, Input>, E> {
        let input = |(slot, source): (&String, &Source)| {
            let made = self.artifact(source).map(Input::Artifact);
            Ok((slot.clone(), made.map_or_else(|| observe(slot, source), Ok)?))
        };
        self.graph[id].declared.inputs.iter().map(input).collect()
    }

    /// The artifact that a done step made.
    fn artifact(&self, source: &Source) -> Option<ManifestId> {
        let Source::Target { name, artifact } = source else { return None };
        self.made(self.graph.find(name.as_str())?)?.artifacts.get(artifact).copied()
    }

    /// Takes note of what a step made; what waited for it alone becomes ready.
    pub fn done(&mut self, id: NodeId, made: Made) {
        self.state[id.index()] = State::Done(made);
        let graph = self.graph;
        for &above in &graph[id].dependants {
            if self.state[above.index()] == State::Waiting {
                self.unmet[above.index()] -= 1;
                if self.unmet[above.index()] == 0 {
                    self.state[above.index()] = State::Ready;
                    self.ready.push(above);
                }
            }
        }
    }

    /// Takes note of a failure; returns what it blocks, which never becomes ready.
    pub fn failed(&mut self, id: NodeId) -> Vec<NodeId> {
        self.state[id.index()] = State::Failed;
        let graph = self.graph;
        let mut blocked = Vec::new();
        let mut stack: Vec<NodeId> = graph[id].dependants.clone();
        while let Some(above) = stack.pop() {
            if matches!(self.state[above.index()], State::Waiting) {
                self.state[above.index()] = State::Blocked(id);
                blocked.push(above);
                stack.extend(&graph[above].dependants);
            }
        }
        blocked.sort_unstable();
        blocked
    }
}
