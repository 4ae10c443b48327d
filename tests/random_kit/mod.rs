//! Shared by tests of random graphs: a workspace beside an oracle that rebuilds everything, naively, and remembers everything that ever
//! completed. Invariant: what the oracle expects follows from the recipes' meaning alone; it never looks into the cache.
#![allow(dead_code, clippy::unwrap_used, reason = "each test binary uses a part")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use cbi::app::latest;
use cbi::registry::journal::BuiltTargets;
use cbi::store::action_cache::Session;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::build_kit::{Said, Workspace};

/// Everything a person can edit, and what it means.
pub trait State: Clone + Debug {
    /// One change that a person makes.
    type Edit: Clone + Debug;
    /// Makes the change.
    fn edit(&mut self, edit: &Self::Edit);
    /// Every file of the workspace, by its path.
    fn files(&self) -> BTreeMap<String, String>;
    /// Every target, inputs before what reads them.
    fn nodes(&self) -> Vec<Node>;
    /// Fails unless the target's latest output is this content, as far as the oracle knows it.
    fn check(workspace: &Workspace, target: &str, content: &str);
}

/// A target as the oracle sees it.
pub struct Node {
    /// Its name, and those of others that do the very same.
    pub names: Vec<String>,
    /// All that determines it, beside the content of its inputs.
    pub what: String,
    /// What it reads.
    pub inputs: Vec<Input>,
    /// What it makes of its inputs.
    pub run: Box<Program>,
}

/// Contents of inputs to the content made of them; nothing where it fails.
pub type Program = dyn Fn(&[&str]) -> Option<String>;

/// What a target reads.
#[derive(Debug, Clone)]
pub enum Input {
    /// A file, with its content.
    File(String, String),
    /// Another target.
    Target(String),
}

/// What happens to a workspace.
#[derive(Debug, Clone)]
pub enum Step<E> {
    Edit(E),
    /// Back to how everything was after that many steps.
    Revert(usize),
    Build {
        keep_going: bool,
        only: Option<prop::sample::Index>,
        jobs: u8,
    },
    /// Builds and dies at the n-th file operation.
    KillAt(u16),
    /// Builds and is killed after some milliseconds.
    KillAfter(u16),
}

/// A few of all the things that can happen.
pub fn steps<E: Clone + Debug>(edit: impl Strategy<Value = E>, slowest_ms: u16) -> impl Strategy<Value = Vec<Step<E>>> {
    let step = prop_oneof![
        6 => edit.prop_map(Step::Edit),
        2 => (0usize..20).prop_map(Step::Revert),
        6 => (prop::bool::weighted(0.8), prop::option::weighted(0.2, any::<prop::sample::Index>()), 1u8..5)
            .prop_map(|(keep_going, only, jobs)| Step::Build { keep_going, only, jobs }),
        1 => (1u16..900).prop_map(Step::KillAt),
        1 => (0..slowest_ms).prop_map(Step::KillAfter),
    ];
    prop::collection::vec(step, 6..16)
}

/// Takes random graphs through random steps, for as long as there is time: a slow machine tries fewer, never fewer than one.
pub fn try_many<S: State>(cases: u32, time: Duration, graphs: impl Strategy<Value = (S, Vec<Step<S::Edit>>)>) {
    let began = Instant::now();
    let mut runner = TestRunner::new(Config { cases, max_shrink_time: 60_000, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&graphs, |(state, steps)| {
        if began.elapsed() < time {
            let mut world = World::new(state);
            for step in &steps {
                world.take(step);
            }
            world.finish();
        }
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

/// All that determines an action, said naively: what it does, and the names and contents of its inputs.
type Key = (String, Vec<(String, String)>);

/// What a build must come to, by target.
#[derive(Debug, Default)]
struct Expected {
    made: BTreeMap<String, String>,
    failed: BTreeSet<String>,
    /// Of those that fail, too.
    keys: BTreeMap<String, Key>,
}

impl Expected {
    /// Rebuilds everything, naively.
    fn of(nodes: &[Node], only: Option<&str>) -> Self {
        let wanted = wanted(nodes, only);
        let mut all = Self::default();
        for node in nodes {
            let read = |input: &Input| match input {
                Input::File(path, content) => Some((path.clone(), content.clone())),
                Input::Target(name) => all.made.get(name).map(|content| (name.clone(), content.clone())),
            };
            let Some(inputs) = node.inputs.iter().map(read).collect::<Option<Vec<_>>>() else { continue };
            let output = (node.run)(&inputs.iter().map(|(_, content)| content.as_str()).collect::<Vec<_>>());
            for name in node.names.iter().filter(|name| wanted.contains(*name)) {
                all.keys.insert(name.clone(), (node.what.clone(), inputs.clone()));
                match &output {
                    Some(output) => _ = all.made.insert(name.clone(), output.clone()),
                    None => _ = all.failed.insert(name.clone()),
                }
            }
        }
        all
    }

    fn recordable(&self) -> BTreeSet<Key> {
        self.made.keys().map(|name| self.keys[name].clone()).collect()
    }
}

/// The target asked for and all it needs; everything where none is named.
fn wanted(nodes: &[Node], only: Option<&str>) -> BTreeSet<String> {
    let Some(only) = only else { return nodes.iter().flat_map(|node| node.names.clone()).collect() };
    let mut wanted = BTreeSet::from([only.to_owned()]);
    for node in nodes.iter().rev() {
        if node.names.iter().any(|name| wanted.contains(name)) {
            wanted.extend(node.inputs.iter().filter_map(|input| if let Input::Target(name) = input { Some(name.clone()) } else { None }));
        }
    }
    wanted
}

/// A workspace beside the oracle's knowledge of it.
struct World<S> {
    workspace: Workspace,
    state: S,
    past: Vec<S>,
    /// Actions known to be recorded.
    recorded: BTreeSet<Key>,
    /// Actions that a killed build may or may not have recorded.
    perhaps: BTreeSet<Key>,
}

impl<S: State> World<S> {
    fn new(state: S) -> Self {
        let workspace = Workspace::new();
        save(&workspace, &state);
        Self { workspace, past: vec![state.clone()], state, recorded: BTreeSet::new(), perhaps: BTreeSet::new() }
    }

    fn take(&mut self, step: &Step<S::Edit>) {
        match step {
            Step::Edit(edit) => {
                self.state.edit(edit);
                save(&self.workspace, &self.state);
            }
            Step::Revert(to) => {
                self.state = self.past[to % self.past.len()].clone();
                save(&self.workspace, &self.state);
            }
            Step::Build { keep_going, only, jobs } => self.build(*keep_going, only.as_ref(), *jobs),
            Step::KillAt(n) => {
                let said = self.workspace.build_with(&format!("nth={n}:kill"), &["-k"]);
                self.killed(&said);
            }
            Step::KillAfter(ms) => {
                let mut child = self.workspace.command(&["-k"]).spawn().unwrap();
                thread::sleep(Duration::from_millis(u64::from(*ms)));
                child.kill().unwrap();
                let said = Said::of(child.wait_with_output().unwrap());
                self.killed(&said);
            }
        }
        self.past.push(self.state.clone());
    }

    /// What a build that died had told is recorded; anything else it wanted may be.
    fn killed(&mut self, said: &Said) {
        let expected = Expected::of(&self.state.nodes(), None);
        self.note(said, &expected);
        self.perhaps.extend(expected.recordable().difference(&self.recorded).cloned());
    }

    /// Takes note of what ran, and returns it: nothing that was recorded, and nothing twice.
    fn note(&mut self, said: &Said, expected: &Expected) -> BTreeSet<Key> {
        let mut ran = BTreeSet::new();
        for name in said.targets("ran") {
            let key = expected.keys[&name].clone();
            assert!(self.recorded.insert(key.clone()), "{name} ran again: {said:?}");
            self.perhaps.remove(&key);
            ran.insert(key);
        }
        ran
    }

    fn build(&mut self, keep_going: bool, only: Option<&prop::sample::Index>, jobs: u8) {
        let nodes = self.state.nodes();
        let names: Vec<&String> = nodes.iter().flat_map(|node| &node.names).collect();
        let only = only.map(|at| at.get(&names).as_str());
        let expected = Expected::of(&nodes, only);
        let mut words = vec![format!("-j{jobs}")];
        words.extend(keep_going.then(|| "-k".to_owned()));
        words.extend(only.map(str::to_owned));
        let new: BTreeSet<Key> = expected.recordable().difference(&self.recorded).cloned().collect();
        let surely: BTreeSet<Key> = new.difference(&self.perhaps).cloned().collect();

        let said = self.workspace.build(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let ran = self.note(&said, &expected);
        // A failed action, or a table that was refused.
        let codes = if expected.failed.is_empty() { 0..=0 } else { 1..=8 };
        assert!(said.code.is_some_and(|code| codes.contains(&code)), "{said:?}\n{expected:?}");
        assert_eq!(said.count("ran"), ran.len() as u64, "{said:?}");
        assert!(ran.is_subset(&new), "may run {new:?}: {said:?}");
        if !keep_going && !expected.failed.is_empty() {
            assert!(said.count("failed") >= 1, "{said:?}");
            return;
        }
        assert!(surely.is_subset(&ran), "must run {surely:?}: {said:?}");
        assert_eq!(said.count("failed"), expected.failed.len() as u64, "{said:?}\n{expected:?}");
        assert_eq!(said.count("ran") + said.count("reused"), expected.made.len() as u64, "{said:?}\n{expected:?}");
        self.perhaps.retain(|key| !new.contains(key));
        self.recorded.extend(new);
        for (name, content) in &expected.made {
            S::check(&self.workspace, name, content);
        }
    }

    /// Whatever happened before: a build goes well, another has nothing to do, and a clean one elsewhere makes the same of every target.
    fn finish(mut self) {
        self.build(true, None, 3);
        self.build(true, None, 3);
        let clean = Workspace::new();
        save(&clean, &self.state);
        let said = clean.build(&["-k"]);
        let (ours, theirs) = (built(&self.workspace), built(&clean));
        for name in Expected::of(&self.state.nodes(), None).made.keys() {
            assert!(theirs.contains_key(name), "{name}: {said:?}");
            assert_eq!(ours.get(name), theirs.get(name), "{name}");
        }
    }
}

/// Writes what changed, as an editor does.
fn save<S: State>(workspace: &Workspace, state: &S) {
    for (path, content) in state.files() {
        if fs::read_to_string(workspace.path(&path)).ok().as_ref() != Some(&content) {
            workspace.write(&path, &content);
        }
    }
}

fn built(workspace: &Workspace) -> BuiltTargets {
    latest::targets(&Session::open(&workspace.path(".cbi-cache")).unwrap()).unwrap()
}
