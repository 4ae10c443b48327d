//! Random graphs, edits, reverts, failures and kills against an oracle that knows every content and remembers everything that ever completed.
#![allow(missing_docs, clippy::unwrap_used)]

mod build_kit;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::thread;
use std::time::{Duration, Instant};

use build_kit::{Said, Workspace};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const FILES: usize = 3;

/// Some of these words end in the same output after some of the programs, so that a change often stops early; `bad` makes checks fail.
const WORDS: [&str; 6] = ["a", "A", "b", "b\nx", "a\nbad", "a\ny"];

/// What a target does with its inputs, put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Program {
    Cat,
    Head,
    Upper,
    Count,
    Refuse,
}

impl Program {
    fn shell(self, inputs: &str, output: &str) -> String {
        match self {
            Self::Cat => format!("cat {inputs} > {output}"),
            Self::Head => format!("cat {inputs} | head -n 1 > {output}"),
            Self::Upper => format!("cat {inputs} | tr a-z A-Z > {output}"),
            Self::Count => format!("cat {inputs} | wc -l | tr -d ' ' > {output}"),
            Self::Refuse => format!("cat {inputs} > {output}; ! grep -q bad {output}"),
        }
    }

    /// What it writes; nothing where it fails.
    fn output(self, input: &str) -> Option<String> {
        match self {
            Self::Cat => Some(input.to_owned()),
            Self::Head => Some(input.split_inclusive('\n').next().unwrap_or_default().to_owned()),
            Self::Upper => Some(input.to_ascii_uppercase()),
            Self::Count => Some(format!("{}\n", input.matches('\n').count())),
            Self::Refuse => (!input.contains("bad")).then(|| input.to_owned()),
        }
    }
}

/// An input: a file of the workspace or an earlier target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Input {
    File(usize),
    Target(usize),
}

#[derive(Debug, Clone)]
struct Target {
    program: Program,
    inputs: BTreeSet<Input>,
    /// Whether another target, of another name, does the very same.
    twin: bool,
}

/// Everything a person can edit.
#[derive(Debug, Clone)]
struct State {
    files: [usize; FILES],
    targets: Vec<Target>,
}

#[derive(Debug, Clone)]
enum Step {
    File(usize, usize),
    Program(usize, Program),
    /// Back to how everything was after that many steps.
    Revert(usize),
    Build {
        keep_going: bool,
        only: Option<usize>,
        jobs: u8,
    },
    /// Builds and dies at the n-th file operation.
    KillAt(u16),
    /// Builds and is killed after some milliseconds.
    KillAfter(u8),
}

fn programs() -> impl Strategy<Value = Program> {
    prop_oneof![Just(Program::Cat), Just(Program::Head), Just(Program::Upper), Just(Program::Count), Just(Program::Refuse)]
}

/// Whether an input is a file, and which file or target.
type Pick = (bool, prop::sample::Index);

fn targets() -> impl Strategy<Value = Vec<Target>> {
    let raw = (programs(), prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 1..4), prop::bool::weighted(0.2));
    prop::collection::vec(raw, 2..9).prop_map(|raw| {
        let target = |(at, (program, inputs, twin)): (usize, (Program, Vec<Pick>, bool))| {
            let input = |(file, index): Pick| match file || at == 0 {
                true => Input::File(index.index(FILES)),
                false => Input::Target(index.index(at)),
            };
            Target { program, inputs: inputs.into_iter().map(input).collect(), twin }
        };
        raw.into_iter().enumerate().map(target).collect()
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..FILES, 0..WORDS.len()).prop_map(|(file, word)| Step::File(file, word)),
        2 => (0usize..9, programs()).prop_map(|(target, program)| Step::Program(target, program)),
        2 => (0usize..20).prop_map(Step::Revert),
        6 => (prop::bool::weighted(0.8), prop::option::weighted(0.2, 0usize..9), 1u8..5)
            .prop_map(|(keep_going, only, jobs)| Step::Build { keep_going, only, jobs }),
        1 => (1u16..900).prop_map(Step::KillAt),
        1 => (0u8..120).prop_map(Step::KillAfter),
    ];
    prop::collection::vec(step, 6..16)
}

/// All that determines an action, said naively.
type Key = (Program, usize, Vec<(Input, String)>);

/// What a build must come to.
#[derive(Debug, Default)]
struct Expected {
    contents: BTreeMap<usize, String>,
    /// Keys of targets, those that fail too.
    keys: BTreeMap<usize, Key>,
    failed: BTreeSet<usize>,
    /// All targets asked for and what they need, twins not counted.
    wanted: BTreeSet<usize>,
}

impl State {
    fn content(&self, file: usize) -> String {
        format!("{}\n", WORDS[self.files[file]])
    }

    /// Rebuilds everything, naively.
    fn expected(&self, only: Option<usize>) -> Expected {
        let mut all = Expected { wanted: self.wanted(only), ..Expected::default() };
        for at in all.wanted.clone() {
            let target = &self.targets[at];
            let read = |input: &Input| match input {
                Input::File(file) => Some((*input, self.content(*file))),
                Input::Target(other) => all.contents.get(other).map(|content| (*input, content.clone())),
            };
            let Some(inputs) = target.inputs.iter().map(read).collect::<Option<Vec<_>>>() else { continue };
            let text: String = inputs.iter().map(|(_, content)| content.as_str()).collect();
            all.keys.insert(at, (target.program, at, inputs));
            match target.program.output(&text) {
                Some(output) => _ = all.contents.insert(at, output),
                None => _ = all.failed.insert(at),
            }
        }
        all
    }

    fn wanted(&self, only: Option<usize>) -> BTreeSet<usize> {
        let Some(only) = only else { return (0..self.targets.len()).collect() };
        let mut wanted = BTreeSet::from([only]);
        for at in (0..=only).rev().filter(|at| *at <= only) {
            if wanted.contains(&at) {
                wanted.extend(self.targets[at].inputs.iter().filter_map(|i| if let Input::Target(t) = i { Some(*t) } else { None }));
            }
        }
        wanted
    }

    fn recipe(&self) -> String {
        let mut text = String::new();
        for (at, target) in self.targets.iter().enumerate() {
            let path = |input: &Input| match input {
                Input::File(file) => format!("src/{file}.txt"),
                Input::Target(other) => format!("o/{other}"),
            };
            let paths: Vec<String> = target.inputs.iter().map(path).collect();
            let files: Vec<&String> = paths.iter().filter(|p| p.starts_with("src/")).collect();
            let needs: Vec<String> = paths.iter().filter_map(|p| p.strip_prefix("o/")).map(|other| format!("t/{other}")).collect();
            let shell = target.program.shell(&paths.join(" "), &format!("o/{at}"));
            for name in [format!("t/{at}"), format!("twin/{at}")].iter().take(1 + usize::from(target.twin)) {
                writeln!(text, "[command.\"{name}\"]\nshell = \"{shell}\"\nfiles = {files:?}\nneeds = {needs:?}\noutputs = [\"o/{at}\"]\n")
                    .unwrap();
            }
        }
        text
    }
}

/// A workspace beside the oracle's knowledge of it.
struct World {
    workspace: Workspace,
    state: State,
    past: Vec<State>,
    /// Actions known to be recorded.
    recorded: BTreeSet<Key>,
    /// Actions that a killed build may or may not have recorded.
    perhaps: BTreeSet<Key>,
}

impl World {
    fn new(targets: Vec<Target>) -> Self {
        let state = State { files: [0; FILES], targets };
        let world =
            Self { workspace: Workspace::new(), past: vec![state.clone()], state, recorded: BTreeSet::new(), perhaps: BTreeSet::new() };
        world.save();
        world
    }

    fn save(&self) {
        for file in 0..FILES {
            self.workspace.write(&format!("src/{file}.txt"), &self.state.content(file));
        }
        self.workspace.write("recipes/all.toml", &self.state.recipe());
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::File(file, word) => {
                self.state.files[file] = word;
                // Only what changed is written, as an editor does.
                self.workspace.write(&format!("src/{file}.txt"), &self.state.content(file));
            }
            Step::Program(target, program) => {
                let target = target % self.state.targets.len();
                self.state.targets[target].program = program;
                self.workspace.write("recipes/all.toml", &self.state.recipe());
            }
            Step::Revert(to) => {
                self.state = self.past[to % self.past.len()].clone();
                self.save();
            }
            Step::Build { keep_going, only, jobs } => self.build(keep_going, only.map(|t| t % self.state.targets.len()), jobs),
            Step::KillAt(n) => {
                let said = self.workspace.build_with(&format!("nth={n}:kill"), &["-k"]);
                self.killed(&said);
            }
            Step::KillAfter(ms) => {
                let mut child = self.workspace.command(&["-k"]).spawn().unwrap();
                thread::sleep(Duration::from_millis(u64::from(ms)));
                child.kill().unwrap();
                let said = Said::of(child.wait_with_output().unwrap());
                self.killed(&said);
            }
        }
        self.past.push(self.state.clone());
    }

    /// What a build that died had told is recorded; anything else it wanted may be.
    fn killed(&mut self, said: &Said) {
        let expected = self.state.expected(None);
        self.note(said, &expected);
        self.perhaps.extend(expected.keys.iter().filter(|(at, _)| !expected.failed.contains(at)).map(|(_, key)| key.clone()));
    }

    fn note(&mut self, said: &Said, expected: &Expected) {
        for at in said.targets("ran").iter().map(|name| number(name)) {
            let key = &expected.keys[&at];
            assert!(!self.recorded.contains(key), "{at} ran again: {said:?}");
            self.recorded.insert(key.clone());
            self.perhaps.remove(key);
        }
    }

    fn build(&mut self, keep_going: bool, only: Option<usize>, jobs: u8) {
        let expected = self.state.expected(only);
        let mut words = vec![format!("-j{jobs}")];
        words.extend(keep_going.then(|| "-k".to_owned()));
        words.extend(only.map(|at| format!("t/{at}")));
        let known = self.recorded.clone();
        let said = self.workspace.build(&words.iter().map(String::as_str).collect::<Vec<_>>());
        self.note(&said, &expected);
        assert_eq!(said.code, Some(i32::from(!expected.failed.is_empty())), "{said:?}\n{expected:?}");
        if !keep_going && !expected.failed.is_empty() {
            assert!(said.count("failed") >= 1, "{said:?}");
            return;
        }
        let twin = |at: &usize| only.is_none() && self.state.targets[*at].twin;
        let each = |set: &mut dyn Iterator<Item = usize>| set.map(|at| 1 + u64::from(twin(&at))).sum::<u64>();
        assert_eq!(said.count("failed"), each(&mut expected.failed.iter().copied()), "{said:?}\n{expected:?}");
        let made: Vec<usize> = expected.contents.keys().copied().collect();
        assert_eq!(said.count("ran") + said.count("reused"), each(&mut made.iter().copied()), "{said:?}\n{expected:?}");
        let new: BTreeSet<usize> = made.iter().copied().filter(|at| !known.contains(&expected.keys[at])).collect();
        let surely: BTreeSet<usize> = new.iter().copied().filter(|at| !self.perhaps.contains(&expected.keys[at])).collect();
        let ran: BTreeSet<usize> = said.targets("ran").iter().map(|name| number(name)).collect();
        assert_eq!(said.count("ran"), ran.len() as u64, "no action ran twice: {said:?}");
        assert!(surely.is_subset(&ran) && ran.is_subset(&new), "must run {surely:?}, may run {new:?}: {said:?}");
        for at in made {
            self.recorded.insert(expected.keys[&at].clone());
            self.perhaps.remove(&expected.keys[&at]);
            for name in [format!("t/{at}"), format!("twin/{at}")].iter().take(1 + usize::from(twin(&at))) {
                assert_eq!(
                    self.workspace.out(name, &format!("o/{at}")).as_deref(),
                    Some(expected.contents[&at].as_str()),
                    "{name}: {said:?}"
                );
            }
        }
    }
}

fn number(name: &str) -> usize {
    name.rsplit('/').next().unwrap().parse().unwrap()
}

/// As long as there is time: a slow machine tries fewer graphs, never fewer than one.
const TIME: Duration = Duration::from_secs(40);

#[test]
fn whatever_is_edited_reverted_broken_or_killed_builds_give_the_right_bytes_and_run_only_what_must() {
    let began = Instant::now();
    let mut runner = TestRunner::new(Config { cases: 48, max_shrink_time: 60_000, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&(targets(), steps()), |(targets, steps)| {
        if began.elapsed() < TIME {
            let mut world = World::new(targets);
            for step in &steps {
                world.take(step);
            }
            world.build(true, None, 3);
            world.build(true, None, 3);
        }
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}
