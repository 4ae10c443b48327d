//! Shared by tests that run the real `cbi`: throw-away workspaces, builds and what they said. Invariant: a workspace is driven through the program
//! and its files alone, as a person would.
#![allow(dead_code, clippy::unwrap_used, reason = "each test binary uses a part")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A folder with a `cbi.toml`, an empty warehouse, and whatever the test puts there.
pub struct Workspace {
    folder: tempfile::TempDir,
}

/// What a build said with `--json`, as far as it lived.
#[derive(Debug)]
pub struct Said {
    /// The exit code; none where it was killed.
    pub code: Option<i32>,
    /// Whole lines of events.
    pub events: Vec<Value>,
    /// Standard error.
    pub errors: String,
}

/// In memory where that can be: syncing to a real disk thousands of times shows nothing more.
pub fn temporary() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Runs `cbi` with these words, with a fault at one of its file operations where one is given.
pub fn run(workspace: &Workspace, words: &[&str], fault: Option<&str>) -> Output {
    let mut command = workspace.cbi(words);
    command.envs(fault.map(|fault| ("CBI_FAILPOINT", fault)));
    let output = command.output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"), "{words:?} {fault:?}: {output:?}");
    output
}

/// The command goes well.
pub fn runs(workspace: &Workspace, words: &[&str], after: &str) {
    let output = run(workspace, words, None);
    assert_eq!(output.status.code(), Some(0), "{words:?} after {after}: {output:?}");
}

/// Tries faults at every operation of a command, each of them at every so many, `kill` at all: `prepare` brings things to where the command has work,
/// `strike` runs it with the fault, and `check` looks at what is left. Returns how many operations the command has.
pub fn sweep(faults: &[(&str, usize)], prepare: impl Fn(&str), strike: impl Fn(&str) -> Output, check: impl Fn(&str)) -> usize {
    for n in 1.. {
        for (what, _) in faults.iter().filter(|(_, every)| n % every == 0) {
            let fault = format!("nth={n}:{what}");
            prepare(&fault);
            let struck = strike(&fault);
            check(&fault);
            if *what == "kill" && struck.status.code().is_some() {
                assert_eq!(struck.status.code(), Some(0), "{fault}: {struck:?}");
                return n;
            }
        }
    }
    unreachable!()
}

impl Workspace {
    /// An empty one.
    pub fn new() -> Self {
        Self::inside(temporary())
    }

    /// An empty one in a given folder.
    pub fn inside(folder: tempfile::TempDir) -> Self {
        let workspace = Self { folder };
        fs::create_dir_all(workspace.path("warehouse")).unwrap();
        workspace.write("cbi.toml", "[workspace]\nname = \"test\"\ndefault = [\"**\"]\n");
        workspace
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// `cbi -C HERE build --json` with more words, not yet started.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = self.cbi(&["build", "--json"]);
        command.args(words);
        command
    }

    /// `cbi -C HERE` with these words, not yet started.
    pub fn cbi(&self, words: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("cbi"));
        command.arg("-C").arg(self.root()).args(words).env_remove("CBI_FAILPOINT");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Builds, and reads what was said.
    pub fn build(&self, words: &[&str]) -> Said {
        Said::of(self.command(words).output().unwrap())
    }

    /// Builds with an injected fault; see `io::failpoint`.
    pub fn build_with(&self, fault: &str, words: &[&str]) -> Said {
        Said::of(self.command(words).env("CBI_FAILPOINT", fault).output().unwrap())
    }

    /// A file among a target's latest outputs.
    pub fn out(&self, target: &str, file: &str) -> Option<String> {
        fs::read_to_string(self.path(".cbi-cache/out").join(target).join(file)).ok()
    }
}

impl Said {
    pub fn of(output: Output) -> Self {
        let text = String::from_utf8(output.stdout).unwrap();
        let events = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let said = Self { code: output.status.code(), events, errors: String::from_utf8(output.stderr).unwrap() };
        assert!(!said.errors.contains("panicked"), "{said:?}");
        said
    }

    /// Targets with an event of this kind.
    pub fn targets(&self, event: &str) -> BTreeSet<String> {
        self.events.iter().filter(|e| e["event"] == event).map(|e| e["target"].as_str().unwrap().to_owned()).collect()
    }

    /// A number of the last line.
    pub fn count(&self, name: &str) -> u64 {
        self.events.iter().find(|e| e["event"] == "finished").and_then(|e| e[name].as_u64()).unwrap_or_else(|| panic!("{self:?}"))
    }

    /// How many ran, were reused, failed.
    pub fn counts(&self) -> [u64; 3] {
        ["ran", "reused", "failed"].map(|name| self.count(name))
    }
}
