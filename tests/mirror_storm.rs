//! Four machines on one mirror, two processes on each, with edits, pushes, prunes and kills at any moment, for minutes: what is made in the end is what a
//! naive reading of the recipes says, nothing was recorded twice, and every store and the mirror are whole. Invariant: while the storm lasts any process may
//! die or be refused; after it none may.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop where it stands")]

mod build_kit;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use build_kit::{Workspace, run};
use cbi::store::action_cache::Session;
use fastrand::Rng;
use serde_json::Value;

const MACHINES: u64 = 4;
const PROCESSES: u64 = 2;
const FILES: usize = 4;
const WIDTH: usize = 6;
const DEPTH: usize = 3;
/// Few, so that machines often want the same.
const WORDS: [&str; 3] = ["rain", "frost", "sun"];

/// The word that each file holds.
type Words = [usize; FILES];

fn file(at: usize) -> String {
    format!("src/{at}.txt")
}

/// What target `at` of a layer reads: files, or two targets of the layer below.
fn reads(layer: usize, at: usize) -> [String; 2] {
    match layer {
        0 => [file(at % FILES), file((at + 1) % FILES)],
        _ => [at, (at + 2) % WIDTH].map(|below| format!("o/{}_{below}", layer - 1)),
    }
}

fn recipes() -> String {
    let mut text = String::new();
    for (layer, at) in (0..DEPTH).flat_map(|layer| (0..WIDTH).map(move |at| (layer, at))) {
        let [left, right] = reads(layer, at);
        let shell = format!("sleep 0.0{}; (cat {left}; echo {layer}.{at}; cat {right}) > o/{layer}_{at}", 1 + at);
        let from = match layer {
            0 => format!("files = [{left:?}, {right:?}]"),
            _ => format!("needs = {:?}", [left, right].map(|path| path.replace("o/", "t/"))),
        };
        writeln!(text, "[command.\"t/{layer}_{at}\"]\nshell = \"{shell}\"\n{from}\noutputs = [\"o/{layer}_{at}\"]\n").unwrap();
    }
    text
}

/// What every target holds, by a naive reading of the recipes.
fn oracle(words: &Words) -> BTreeMap<String, String> {
    let mut made: BTreeMap<String, String> = (0..FILES).map(|at| (file(at), format!("{}\n", WORDS[words[at]]))).collect();
    for (layer, at) in (0..DEPTH).flat_map(|layer| (0..WIDTH).map(move |at| (layer, at))) {
        let [left, right] = reads(layer, at).map(|path| made[&path].clone());
        made.insert(format!("o/{layer}_{at}"), format!("{left}{layer}.{at}\n{right}"));
    }
    made
}

/// A workspace, and what its files hold.
struct Machine {
    workspace: Workspace,
    words: Mutex<Words>,
}

impl Machine {
    fn new(mirror: &Path) -> Self {
        let machine = Self { workspace: Workspace::new(), words: Mutex::new([0; FILES]) };
        let settings = fs::read_to_string(machine.workspace.path("cbi.toml")).unwrap();
        machine.workspace.write("cbi.toml", &format!("{settings}\n[mirror]\nurl = \"file://{}\"\n", mirror.display()));
        machine.workspace.write("recipes/all.toml", &recipes());
        (0..FILES).for_each(|at| machine.save(at, 0));
        machine
    }

    /// Writes a file as editors do: the new one takes the old one's place.
    fn save(&self, at: usize, word: usize) {
        self.workspace.write(&format!("{}.new", file(at)), &format!("{}\n", WORDS[word]));
        fs::rename(self.workspace.path(&format!("{}.new", file(at))), self.workspace.path(&file(at))).unwrap();
    }

    fn set(&self, words: Words) {
        (0..FILES).for_each(|at| self.save(at, words[at]));
        *self.words.lock().unwrap() = words;
    }

    /// One thing that happens on the machine.
    fn suffer(&self, random: &mut Rng) {
        match random.u8(..20) {
            0..4 => {
                let mut words = self.words.lock().unwrap();
                let (at, word) = (random.usize(..FILES), random.usize(..WORDS.len()));
                self.save(at, word);
                words[at] = word;
            }
            4..17 => {
                let jobs = format!("-j{}", random.u8(1..4));
                let mut words = vec!["build".to_owned(), "-k".to_owned(), jobs];
                words.extend((0..random.u8(1..4)).map(|_| format!("t/{}_{}", random.usize(..DEPTH), random.usize(..WIDTH))));
                self.strike(&words, random);
            }
            17..19 => self.strike(&["mirror".to_owned(), "push".to_owned()], random),
            _ => self.strike(&["mirror", "prune", "--apply", "--grace", "0s"].map(str::to_owned), random),
        }
    }

    /// Runs a command that goes its way, dies at some file operation, or is killed after a while.
    fn strike(&self, words: &[String], random: &mut Rng) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut command = self.workspace.cbi(&words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if random.u8(..3) == 0 {
            command.env("CBI_FAILPOINT", format!("nth={}:kill", random.u16(1..900)));
        }
        let mut child = command.spawn().unwrap();
        if random.bool() {
            thread::sleep(Duration::from_millis(random.u64(..600)));
            _ = child.kill();
        }
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        // Killed; done; an input was changed meanwhile; the mirror was pruned under it again and again; somebody else holds the cache.
        let code = output.status.code();
        assert!(matches!(code, None | Some(0 | 1 | 6 | 7)) && !said.contains("panicked"), "{words:?}: {code:?}\n{said}");
    }

    fn json(&self, words: &[&str]) -> Value {
        let output = run(&self.workspace, &[words, &["--json"]].concat(), None);
        assert_eq!(output.status.code(), Some(0), "{words:?}: {output:?}");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        serde_json::from_str(text.lines().last().unwrap_or_default()).unwrap_or_else(|error| panic!("{words:?}: {error}: {text}"))
    }

    /// Everything is as the oracle says, nothing stands in the journal twice, and the store is whole.
    fn is_right(&self) {
        let words = *self.words.lock().unwrap();
        self.json(&["build", "**"]);
        assert_eq!(self.json(&["build", "**"])["ran"], 0);
        for (path, content) in oracle(&words).into_iter().filter(|(path, _)| path.starts_with("o/")) {
            let target = path.replace("o/", "t/");
            assert_eq!(self.workspace.out(&target, &path).as_deref(), Some(content.as_str()), "{target}");
        }
        let mut recorded: BTreeMap<String, u32> = BTreeMap::new();
        let session = Session::open(&self.workspace.path(".cbi-cache")).unwrap();
        session
            .each_result(|result| {
                *recorded.entry(result.key.to_string()).or_default() += 1;
                true
            })
            .unwrap();
        drop(session);
        recorded.retain(|_, times| *times > 1);
        assert!(recorded.is_empty(), "recorded more than once: {recorded:?}");
        self.json(&["fsck"]);
    }
}

#[test]
fn whoever_dies_on_however_many_machines_at_once_every_build_comes_to_the_right_bytes_and_the_mirror_is_whole() {
    let time = std::env::var("CBI_STORM_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(300);
    let mirror = build_kit::temporary();
    let machines: Vec<Machine> = (0..MACHINES).map(|_| Machine::new(mirror.path())).collect();
    let end = Instant::now() + Duration::from_secs(time);
    thread::scope(|scope| {
        for (number, machine) in (0..).zip(&machines) {
            for process in 0..PROCESSES {
                scope.spawn(move || {
                    let mut random = Rng::with_seed(number * PROCESSES + process);
                    while Instant::now() < end {
                        machine.suffer(&mut random);
                    }
                });
            }
        }
    });
    let whole = |machine: &Machine| assert_eq!(machine.json(&["mirror", "verify", "--deep"])["findings"], serde_json::json!([]));
    whole(&machines[0]);
    for machine in &machines {
        machine.is_right();
    }

    // What one has, the others have without running anything.
    for machine in &machines {
        machine.set([0, 1, 2, 0]);
    }
    machines[0].is_right();
    machines[0].json(&["mirror", "push"]);
    for machine in &machines[1..] {
        assert_eq!(machine.json(&["build", "**"])["ran"], 0);
        machine.is_right();
    }
    whole(&machines[3]);
}
