//! A fresh copy of this repository's workspace for a test to build and change. Invariant: a test touches nothing outside its own temporary folder.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;

/// The copy: settings, recipes, SQL and the demo warehouse.
pub struct Workspace {
    folder: tempfile::TempDir,
}

/// What a build says it did.
#[derive(Debug)]
pub struct Built {
    /// The targets that ran.
    pub ran: BTreeSet<String>,
    pub reused: u64,
}

impl Workspace {
    pub fn copy() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
        fs::copy(repository.join("cbi.toml"), folder.path().join("cbi.toml")).unwrap();
        for part in ["recipes", "sql", "warehouse"] {
            copy(&repository.join(part), &folder.path().join(part));
        }
        Self { folder }
    }

    /// `cbi build --json` with more arguments; it must succeed.
    pub fn build(&self, args: &[&str]) -> Built {
        let done = Command::new(env!("CARGO_BIN_EXE_cbi")).current_dir(self.folder.path()).args(["build", "--json"]).args(args).assert();
        let done = done.success();
        let out = String::from_utf8(done.get_output().stdout.clone()).unwrap();
        let events: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let ran = events.iter().filter(|event| event["event"] == "ran").map(|event| event["target"].as_str().unwrap().to_owned());
        let ran: BTreeSet<String> = ran.collect();
        let last = events.last().unwrap();
        assert_eq!((&last["event"], &last["failed"]), (&Value::from("finished"), &Value::from(0)));
        assert_eq!(last["ran"].as_u64().unwrap(), ran.len() as u64, "what is counted is what ran");
        Built { ran, reused: last["reused"].as_u64().unwrap() }
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Where the newest output of a target is found.
    pub fn output(&self, path: &str) -> PathBuf {
        self.path(".cbi-cache/out").join(path)
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    pub fn write(&self, path: &str, text: &str) {
        fs::write(self.path(path), text).unwrap();
    }

    /// Replaces a text that a file holds once.
    pub fn edit(&self, path: &str, from: &str, to: &str) {
        let text = self.read(path);
        assert_eq!(text.matches(from).count(), 1, "'{from}' stands once in {path}");
        self.write(path, &text.replace(from, to));
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
