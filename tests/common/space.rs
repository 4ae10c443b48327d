//! A workspace of a test's own, and what a build in it came to. Invariant: a build sees the variables named here and no others, so it goes the same
//! way on every machine.
#![allow(dead_code, clippy::unwrap_used, reason = "each test binary uses a part, and a test stops where something is not as it should be")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The program under test.
pub const CBI: &str = env!("CARGO_BIN_EXE_cbi");

/// A workspace in a folder that goes with it.
pub struct TestSpace {
    folder: TempDir,
}

/// How a run of `cbi` ended.
#[derive(Debug)]
pub struct Built {
    /// The exit code.
    pub code: i32,
    /// Targets whose step ran and was recorded, sorted.
    pub targets: BTreeSet<String>,
    /// Steps run, reused and failed, from the last line of `--json`; `None` where there was none.
    pub counts: Option<(u64, u64, u64)>,
    /// Every event.
    pub events: Vec<Value>,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl TestSpace {
    /// An empty workspace: settings and nothing else.
    pub fn empty() -> Self {
        let space = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(space.path("warehouse")).unwrap();
        fs::create_dir(space.path("recipes")).unwrap();
        space.write("cbi.toml", "[workspace]\nname = \"test\"\n");
        space
    }

    /// A copy of the repository's own recipes, SQL and warehouse.
    pub fn wti() -> Self {
        let space = Self { folder: tempfile::tempdir().unwrap() };
        for part in ["cbi.toml", "recipes", "sql", "warehouse"] {
            copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join(part), &space.path(part));
        }
        space
    }

    /// The same, but that soybean oil's networks look at their rows once, and in backtests learn from a year: what is promised of the set does not
    /// hang on how much they learn, and all of it takes an hour of a processor.
    pub fn with_short_networks() -> Self {
        let space = Self::wti();
        space.edit("cbi.toml", "epochs = 50", "epochs = 1");
        space.edit("recipes/zl/neural.toml", "train = \"expanding\"", "train = \"12 months\"");
        space
    }

    /// A copy of everything, the cache included.
    pub fn twin(&self) -> Self {
        let space = Self { folder: tempfile::tempdir().unwrap() };
        for entry in fs::read_dir(self.root()).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &space.root().join(entry.file_name()));
        }
        space
    }

    /// The workspace's folder.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// A path in it.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root().join(relative)
    }

    /// A file's text.
    pub fn read(&self, relative: &str) -> String {
        fs::read_to_string(self.path(relative)).unwrap_or_else(|error| panic!("{relative}: {error}"))
    }

    /// Writes a file, and its folders.
    pub fn write(&self, relative: &str, text: impl AsRef<[u8]>) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Replaces the only occurrence of `from`.
    pub fn edit(&self, relative: &str, from: &str, to: &str) {
        let text = self.read(relative);
        assert_eq!(text.matches(from).count(), 1, "'{from}' in {relative}");
        self.write(relative, text.replace(from, to));
    }

    /// `cbi` with these arguments, in the workspace, ready to be started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(CBI);
        command.args(arguments).current_dir(self.root()).stdin(Stdio::null()).env_clear();
        command.env("PATH", "/usr/bin:/bin").env("HOME", self.root()).env("LC_ALL", "C.UTF-8");
        command.envs(std::env::var("CBI_NATIVE_DIR").map(|v| ("CBI_NATIVE_DIR", v)));
        command
    }

    /// Runs `cbi build --json` with these arguments.
    pub fn build(&self, arguments: &[&str]) -> Built {
        let all: Vec<&str> = ["build", "--json"].iter().chain(arguments).copied().collect();
        Built::of(&self.command(&all).output().unwrap())
    }

    /// Runs `cbi build` as a person would, its output not a terminal.
    pub fn build_plainly(&self, arguments: &[&str]) -> Built {
        let all: Vec<&str> = ["build"].iter().chain(arguments).copied().collect();
        Built::of(&self.command(&all).output().unwrap())
    }

    /// Runs `cbi rollback --json` with these arguments, and what it said.
    pub fn rollback(&self, arguments: &[&str]) -> (Built, Value) {
        let all: Vec<&str> = ["rollback", "--json"].iter().chain(arguments).copied().collect();
        let built = Built::of(&self.command(&all).output().unwrap());
        let said = serde_json::from_str(&built.stdout).unwrap_or_default();
        (built, said)
    }

    /// Number and state of every delivery of a target, the newest first.
    pub fn deliveries(&self, target: &str) -> Vec<(u64, String)> {
        let (built, said) = self.rollback(&[target, "--list"]);
        assert_eq!(built.code, 0, "{built:?}");
        let all = said["deliveries"].as_array().unwrap().iter();
        all.map(|d| (d["delivery"].as_u64().unwrap(), d["state"].as_str().unwrap().to_owned())).collect()
    }

    /// How many results have ever been recorded.
    pub fn results(&self) -> usize {
        use cbi::store::action_cache::Session;
        if !self.path(".cbi-cache").exists() {
            return 0;
        }
        let mut count = 0;
        let session = Session::open(&self.path(".cbi-cache")).unwrap();
        session
            .each_result(|_| {
                count += 1;
                true
            })
            .unwrap();
        count
    }

    /// What lies in the cache's folder of unfinished work.
    pub fn leftovers(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path(".cbi-cache/tmp"));
        entries.into_iter().flatten().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Built {
    /// Reads what a finished run left.
    pub fn of(output: &Output) -> Self {
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let events: Vec<Value> = stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let ran = events.iter().filter(|e| e["event"] == "ran");
        let number = |e: &Value, key: &str| e[key].as_u64().unwrap();
        let counts = events.last().filter(|e| e["event"] == "finished");
        Self {
            code: output.status.code().unwrap_or(-1),
            targets: ran.map(|e| e["target"].as_str().unwrap().to_owned()).collect(),
            counts: counts.map(|e| (number(e, "ran"), number(e, "reused"), number(e, "failed"))),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            stdout,
            events,
        }
    }

    /// The run went well; its counts agree with its events.
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{}\n{}", self.stdout, self.stderr);
        assert_eq!(self.counts.expect("a last line").0, self.targets.len() as u64);
        self
    }

    /// The run went well, and exactly these steps ran.
    pub fn ran(self, targets: &[&str]) -> Self {
        let built = self.ok();
        let expected: BTreeSet<String> = targets.iter().map(ToString::to_string).collect();
        assert_eq!(built.targets, expected);
        built
    }

    /// The `failed` event of a target.
    pub fn failure(&self, target: &str) -> &Value {
        let found = self.events.iter().find(|e| e["event"] == "failed" && e["target"] == target);
        found.unwrap_or_else(|| panic!("'{target}' did not fail:\n{}\n{}", self.stdout, self.stderr))
    }
}

/// Copies a file or folder with its times, which a cache goes by.
pub fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success(), "cp {} {}", from.display(), to.display());
}

/// Runs `cbi` with `--json`, which must end with this code; what it printed, and what it said beside.
pub fn run(space: &TestSpace, arguments: &[&str], code: i32) -> (Value, String) {
    let output = space.command(&[arguments, &["--json"]].concat()).output().unwrap();
    let (text, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr).into_owned());
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}{told}");
    (serde_json::from_str(&text).unwrap_or_default(), told)
}
