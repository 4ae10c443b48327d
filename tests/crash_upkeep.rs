//! A collection or a repair that is killed anywhere, or that a disk fails: nothing that is needed is lost, and the next one ends as a clean one would.
#![allow(missing_docs, clippy::unwrap_used)]

mod build_kit;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use build_kit::{Workspace, run, runs, sweep};
use cbi::base::digest::Digest;

const RECIPE: &str = r#"
[command."t/0"]
shell = "cat src/a.txt > o0; echo said"
files = ["src/a.txt"]
outputs = ["o0"]

[command."t/1"]
shell = "tr a-z A-Z < o0 > o1"
needs = ["t/0"]
outputs = ["o1"]
"#;

const GC: [&str; 5] = ["gc", "--keep-builds", "1", "--keep-days", "0"];

/// The faults that are tried, each at every so many operations.
const FAULTS: [(&str, usize); 4] = [("kill", 1), ("eio", 5), ("tear", 11), ("enospc", 13)];

fn workspace() -> Workspace {
    let workspace = Workspace::new();
    workspace.write("recipes/all.toml", RECIPE);
    build(&workspace, "alpha", 2, "at first");
    workspace
}

/// Builds this content; so many steps run, and what is there is right.
fn build(workspace: &Workspace, content: &str, ran: u64, after: &str) {
    workspace.write("src/a.txt", content);
    let said = workspace.build(&[]);
    assert_eq!((said.code, said.counts()), (Some(0), [ran, 2 - ran, 0]), "{after}: {said:?}");
    for (target, file, right) in [("t/0", "o0", content.to_owned()), ("t/1", "o1", content.to_ascii_uppercase())] {
        assert_eq!(workspace.out(target, file), Some(right), "{target} {after}: {said:?}");
    }
}

fn blobs(workspace: &Workspace) -> BTreeSet<PathBuf> {
    let shards = fs::read_dir(workspace.path(".cbi-cache/blobs")).unwrap();
    shards.flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap()).map(|blob| blob.unwrap().path()).collect()
}

fn blob(workspace: &Workspace, bytes: &str) -> PathBuf {
    let name = Digest::of(bytes.as_bytes()).to_string();
    workspace.path(".cbi-cache/blobs").join(&name[..2]).join(&name)
}

#[test]
fn a_collection_that_ends_anywhere_loses_nothing_and_the_next_one_goes_on() {
    let workspace = workspace();
    runs(&workspace, &GC, "nothing");
    let kept = blobs(&workspace).len();
    // What the build before left is nobody's any more.
    let prepare = |fault: &str| build(&workspace, fault, 2, fault);
    let check = |fault: &str| {
        build(&workspace, fault, 0, fault);
        runs(&workspace, &["fsck"], fault);
        runs(&workspace, &GC, fault);
        assert_eq!(blobs(&workspace).len(), kept, "{fault}: as much is left as a clean one leaves");
    };
    let operations = sweep(&FAULTS, prepare, |fault| run(&workspace, &GC, Some(fault)), check);
    assert!(operations > 80, "{operations} operations");
}

#[test]
fn a_repair_that_ends_anywhere_destroys_nothing_and_the_next_one_goes_on() {
    let workspace = workspace();
    let before = RefCell::new("alpha".to_owned());
    let damage = |fault: &str| {
        // Now and then, what earlier rounds left is taken away: it makes each round longer.
        if fault.contains("0:") {
            runs(&workspace, &GC, fault);
        }
        build(&workspace, fault, 2, fault);
        // An older result lacks a blob, one of the last build is damaged, something strange lies about, and somebody died while appending.
        fs::remove_file(blob(&workspace, &before.replace(fault.to_owned()).to_ascii_uppercase())).unwrap();
        let damaged = blob(&workspace, &fault.to_ascii_uppercase());
        fs::set_permissions(&damaged, Permissions::from_mode(0o644)).unwrap();
        fs::write(&damaged, "other bytes").unwrap();
        workspace.write(".cbi-cache/blobs/00/notes.txt", "?");
        let mut log = fs::File::options().append(true).open(workspace.path(".cbi-cache/journal/builds.log")).unwrap();
        log.write_all(b"half a rec").unwrap();
    };
    let check = |fault: &str| {
        runs(&workspace, &["fsck", "--repair"], fault);
        build(&workspace, fault, 1, fault);
        runs(&workspace, &["fsck"], fault);
        let log = run(&workspace, &["log", "--json", "-n", "2"], None);
        let log: serde_json::Value = serde_json::from_slice(&log.stdout).unwrap();
        assert_eq!((&log[0]["ran"], &log[1]["ran"]), (&1.into(), &2.into()), "no build was forgotten, {fault}: {log}");
    };
    let operations = sweep(&FAULTS, damage, |fault| run(&workspace, &["fsck", "--repair"], Some(fault)), check);
    assert!(operations > 150, "{operations} operations");
}
