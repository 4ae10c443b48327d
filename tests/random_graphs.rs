//! Random graphs of commands, with edits, reverts, failures and kills, against an oracle that knows every content.
#![allow(missing_docs, clippy::unwrap_used)]

mod build_kit;
mod random_kit;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use build_kit::Workspace;
use proptest::prelude::*;
use random_kit::{Node, State, steps, try_many};

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
struct Commands {
    files: [usize; FILES],
    targets: Vec<Target>,
}

#[derive(Debug, Clone)]
enum Edit {
    File(usize, usize),
    Program(usize, Program),
}

fn programs() -> impl Strategy<Value = Program> {
    prop_oneof![Just(Program::Cat), Just(Program::Head), Just(Program::Upper), Just(Program::Count), Just(Program::Refuse)]
}

/// Whether an input is a file, and which file or target.
type Pick = (bool, prop::sample::Index);

fn graphs() -> impl Strategy<Value = Commands> {
    let raw = (programs(), prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 1..4), prop::bool::weighted(0.2));
    prop::collection::vec(raw, 2..9).prop_map(|raw| {
        let target = |(at, (program, inputs, twin)): (usize, (Program, Vec<Pick>, bool))| {
            let input = |(file, index): Pick| match file || at == 0 {
                true => Input::File(index.index(FILES)),
                false => Input::Target(index.index(at)),
            };
            Target { program, inputs: inputs.into_iter().map(input).collect(), twin }
        };
        Commands { files: [0; FILES], targets: raw.into_iter().enumerate().map(target).collect() }
    })
}

fn edits() -> impl Strategy<Value = Edit> {
    prop_oneof![
        2 => (0..FILES, 0..WORDS.len()).prop_map(|(file, word)| Edit::File(file, word)),
        1 => (0usize..9, programs()).prop_map(|(target, program)| Edit::Program(target, program)),
    ]
}

impl Commands {
    fn content(&self, file: usize) -> String {
        format!("{}\n", WORDS[self.files[file]])
    }

    fn recipe(&self) -> String {
        let mut text = String::new();
        for (at, target) in self.targets.iter().enumerate() {
            let paths: Vec<String> = target.inputs.iter().map(|input| input.path()).collect();
            let files: Vec<&String> = paths.iter().filter(|p| p.starts_with("src/")).collect();
            let needs: Vec<String> = paths.iter().filter_map(|p| p.strip_prefix("o/")).map(|other| format!("t/{other}")).collect();
            let shell = target.shell(at);
            for name in target.names(at) {
                writeln!(text, "[command.\"{name}\"]\nshell = \"{shell}\"\nfiles = {files:?}\nneeds = {needs:?}\noutputs = [\"o/{at}\"]\n")
                    .unwrap();
            }
        }
        text
    }
}

impl Input {
    fn path(self) -> String {
        match self {
            Self::File(file) => format!("src/{file}.txt"),
            Self::Target(other) => format!("o/{other}"),
        }
    }
}

impl Target {
    fn names(&self, at: usize) -> Vec<String> {
        let names = [format!("t/{at}"), format!("twin/{at}")];
        names.into_iter().take(1 + usize::from(self.twin)).collect()
    }

    fn shell(&self, at: usize) -> String {
        let paths: Vec<String> = self.inputs.iter().map(|input| input.path()).collect();
        self.program.shell(&paths.join(" "), &format!("o/{at}"))
    }
}

impl State for Commands {
    type Edit = Edit;

    fn edit(&mut self, edit: &Edit) {
        match *edit {
            Edit::File(file, word) => self.files[file] = word,
            Edit::Program(target, program) => {
                let target = target % self.targets.len();
                self.targets[target].program = program;
            }
        }
    }

    fn files(&self) -> BTreeMap<String, String> {
        let sources = (0..FILES).map(|file| (Input::File(file).path(), self.content(file)));
        sources.chain([("recipes/all.toml".to_owned(), self.recipe())]).collect()
    }

    fn nodes(&self) -> Vec<Node> {
        let node = |(at, target): (usize, &Target)| {
            let input = |input: &Input| match *input {
                Input::File(file) => random_kit::Input::File(input.path(), self.content(file)),
                Input::Target(other) => random_kit::Input::Target(format!("t/{other}")),
            };
            let program = target.program;
            Node {
                names: target.names(at),
                what: target.shell(at),
                inputs: target.inputs.iter().map(input).collect(),
                run: Box::new(move |contents| program.output(&contents.concat())),
            }
        };
        self.targets.iter().enumerate().map(node).collect()
    }

    fn check(workspace: &Workspace, target: &str, content: &str) {
        let at = target.rsplit('/').next().unwrap();
        assert_eq!(workspace.out(target, &format!("o/{at}")).as_deref(), Some(content), "{target}");
    }
}

#[test]
fn whatever_is_edited_reverted_broken_or_killed_builds_give_the_right_bytes_and_run_only_what_must() {
    try_many(48, Duration::from_secs(40), (graphs(), steps(edits(), 120)));
}
