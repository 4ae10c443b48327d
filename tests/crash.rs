//! Killed anywhere, with a disk that fails or is full: the next build ends as a clean one would, and nothing that was told to have run runs again.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stderr)]

mod build_kit;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use build_kit::{Said, Workspace};

/// Every named step that a crash must not break. Those of collections are not met by builds, nor those of packs by builds of small files; `tests/store_faults.rs`,
/// `tests/store_damage.rs` and `tests/store_packs.rs` have them.
const STEPS: [&str; 17] = [
    "blob.renamed",
    "blobs.synced",
    "blobs.written",
    "gc.forgotten",
    "index.flushed",
    "index.sealed",
    "log.filtered",
    "pack.named",
    "pack.written",
    "packed.listed",
    "packed.removed",
    "records.before",
    "records.synced",
    "records.written",
    "repacked.filtered",
    "repacked.listed",
    "shards.synced",
];

const CHAIN: &str = r#"
[command."t/0"]
shell = "cat src/a.txt src/b.txt > o/0"
files = ["src/*.txt"]
outputs = ["o/0"]

[command."t/1"]
shell = "tr a-z A-Z < o/0 > o/1"
needs = ["t/0"]
outputs = ["o/1"]

[command."t/2"]
shell = "cat src/b.txt o/1 > o/2; cat o/1 o/1 > o/also"
files = ["src/b.txt"]
needs = ["t/1"]
outputs = ["o/2", "o/also"]
"#;

/// A chain of three steps over a file that is edited.
fn chain() -> Workspace {
    chain_in(build_kit::temporary())
}

fn chain_in(folder: tempfile::TempDir) -> Workspace {
    let workspace = Workspace::inside(folder);
    workspace.write("src/b.txt", "beta\n");
    workspace.write("recipes/chain.toml", CHAIN);
    workspace
}

/// Brings the file to this content, builds, and holds what is there against what must be; returns what the build said.
fn assert_builds(workspace: &Workspace, content: &str, after: &str) -> Said {
    workspace.write("src/a.txt", content);
    let said = workspace.build(&[]);
    assert_eq!((said.code, said.count("ran") + said.count("reused")), (Some(0), 3), "{after}: {said:?}");
    assert_right(workspace, content, &format!("{after}: {said:?}"));
    said
}

fn assert_right(workspace: &Workspace, content: &str, after: &str) {
    let upper = format!("{}BETA\n", content.to_ascii_uppercase());
    let files = [
        ("t/0", "o/0", format!("{content}beta\n")),
        ("t/1", "o/1", upper.clone()),
        ("t/2", "o/2", format!("beta\n{upper}")),
        ("t/2", "o/also", upper.repeat(2)),
    ];
    for (target, file, right) in files {
        assert_eq!(workspace.out(target, file), Some(right), "{target} {after}");
    }
}

/// Edits and builds with a fault; then goes back to the content of the build before, and then builds the edit. Returns what the faulted build said.
fn strike(workspace: &Workspace, fault: &str, before: &str, content: &str) -> Said {
    workspace.write("src/a.txt", content);
    let said = workspace.build_with(fault, &["-j1"]);
    if said.code == Some(0) {
        assert_right(workspace, content, &format!("{fault}: {said:?}"));
    }
    let back = assert_builds(workspace, before, &format!("{fault}, then back"));
    assert_eq!(back.count("ran"), 0, "{fault}, then back: what was recorded before is not lost");
    let healed = assert_builds(workspace, content, &format!("{fault}, then built"));
    assert_eq!(healed.targets("ran").intersection(&said.targets("ran")).count(), 0, "{fault}: {said:?} {healed:?}");
    said
}

/// Strikes one workspace with faults at the 1st, 2nd, … file operation of a build, until a build goes through all of them alive.
/// Returns how many operations a build has.
fn sweep(fault: impl Fn(usize) -> Vec<String>) -> usize {
    let workspace = chain();
    let mut before = "alpha\n".to_owned();
    assert_builds(&workspace, &before, "at first");
    for n in 1.. {
        let rules = fault(n);
        for rule in &rules {
            let content = format!("{rule}\n");
            strike(&workspace, rule, &before, &content);
            before = content;
        }
        // An error may be survived; that a build lives through this says that it has no n-th operation.
        workspace.write("src/a.txt", &format!("probe {n}\n"));
        if workspace.build_with(&format!("nth={n}:kill"), &["-j1"]).code.is_some() {
            return n;
        }
    }
    unreachable!()
}

#[test]
fn killed_at_every_file_operation_of_a_build_and_in_the_middle_of_its_writes() {
    let calls = sweep(|n| [Some(format!("nth={n}:kill")), (n % 4 == 0).then(|| format!("nth={n}:tear"))].into_iter().flatten().collect());
    assert!(calls > 50, "{calls} operations");
}

#[test]
fn every_one_file_operation_of_a_build_fails_and_from_some_on_the_disk_is_full() {
    let calls = sweep(|n| [Some(format!("nth={n}:eio")), (n % 4 == 0).then(|| format!("from={n}:enospc"))].into_iter().flatten().collect());
    assert!(calls > 50, "{calls} operations");
}

/// The first build makes the cache folder, with hundreds of operations that are all alike: every 17th is tried.
#[test]
fn any_file_operation_of_the_very_first_build_fails_or_is_the_last() {
    for n in (1..).step_by(17) {
        let mut alive = false;
        for what in ["eio", "enospc", "kill"] {
            let workspace = chain();
            workspace.write("src/a.txt", "alpha\n");
            let fault = format!("nth={n}:{what}");
            let said = workspace.build_with(&fault, &[]);
            alive = what == "kill" && said.code.is_some();
            let healed = assert_builds(&workspace, "alpha\n", &fault);
            assert_eq!(healed.targets("ran").intersection(&said.targets("ran")).count(), 0, "{fault}: {said:?} {healed:?}");
        }
        if alive {
            return;
        }
    }
}

#[test]
fn killed_at_every_step_of_the_durability_order() {
    assert_eq!(BTreeSet::from(STEPS.map(str::to_owned)), steps_of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")));
    let mut met = BTreeSet::new();
    for step in STEPS {
        for time in 1.. {
            let workspace = chain();
            workspace.write("src/a.txt", "alpha\n");
            let fault = format!("at={step}#{time}:kill");
            let said = workspace.build_with(&fault, &[]);
            if said.code.is_some() {
                break;
            }
            met.insert(step);
            let healed = assert_builds(&workspace, "alpha\n", &fault);
            assert_eq!(healed.targets("ran").intersection(&said.targets("ran")).count(), 0, "{fault}: {said:?} {healed:?}");
        }
    }
    let unmet: Vec<_> = STEPS.iter().filter(|s| !met.contains(*s)).collect();
    let elsewhere = |step: &&&str| ["gc.", "log.filtered", "pack.", "packed.", "repacked."].iter().any(|begin| step.starts_with(begin));
    assert_eq!(unmet, STEPS.iter().filter(elsewhere).collect::<Vec<_>>());
}

/// The names of all steps in the sources.
fn steps_of(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(steps_of(&path));
        } else if let Ok(text) = fs::read_to_string(&path) {
            found.extend(text.split("fs::step(\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()));
        }
    }
    found
}

const MANY: usize = 50;

/// Fifty steps that all run side by side.
fn wide() -> Workspace {
    let workspace = Workspace::new();
    let mut recipe = String::new();
    for at in 0..MANY {
        let shell = format!("cat src/a.txt > o/{at}; echo {at} >> o/{at}; sleep 0.{}", 1 + at % 5);
        writeln!(recipe, "[command.\"t/{at}\"]\nshell = \"{shell}\"\nfiles = [\"src/a.txt\"]\noutputs = [\"o/{at}\"]\n").unwrap();
    }
    workspace.write("src/a.txt", "alpha\n");
    workspace.write("recipes/wide.toml", &recipe);
    workspace
}

const ALL_AT_ONCE: [&str; 3] = ["-j50", "--memory", "64GiB"];

#[test]
fn killed_in_the_middle_of_fifty_parallel_actions_what_was_told_to_have_run_stays() {
    for lived in [0, 1, 17, MANY - 1] {
        let workspace = wide();
        let mut child = workspace.command(&ALL_AT_ONCE).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let (mut text, mut ran, mut started) = (String::new(), 0, 0);
        while ran < lived || started < MANY {
            let from = text.len();
            assert!(out.read_line(&mut text).unwrap() > 0, "{text}");
            ran += usize::from(text[from..].contains(r#""event":"ran""#));
            started += usize::from(text[from..].contains(r#""event":"started""#));
        }
        child.kill().unwrap();
        out.read_to_string(&mut text).unwrap();
        assert_eq!(child.wait().unwrap().code(), None);
        let told = text.lines().filter(|l| l.contains(r#""event":"ran""#)).count() as u64;
        let said = workspace.build(&ALL_AT_ONCE);
        let [again, reused, failed] = said.counts();
        assert_eq!((said.code, again + reused, failed), (Some(0), MANY as u64, 0), "{said:?}");
        assert!(reused >= told, "{told} were recorded: {said:?}");
        for at in 0..MANY {
            assert_eq!(workspace.out(&format!("t/{at}"), &format!("o/{at}")), Some(format!("alpha\n{at}\n")));
        }
        assert_eq!(workspace.build(&ALL_AT_ONCE).counts(), [0, MANY as u64, 0]);
    }
}

#[test]
fn a_disk_that_is_really_full_fails_the_build_and_the_next_one_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(folder.path()).stderr(Stdio::null()).status();
    if !mount.is_ok_and(|s| s.success()) {
        eprintln!("skipped: needs the right to mount a tmpfs");
        return;
    }
    let path = folder.path().to_owned();
    let outcome = std::panic::catch_unwind(|| {
        // From too little room to make the cache, to enough for everything.
        for room in (0..3000).step_by(150) {
            let workspace = chain_in(tempfile::tempdir_in(&path).unwrap());
            workspace.write("src/a.txt", "alpha\n");
            let ballast = path.join("ballast");
            let _full = fs::write(&ballast, vec![1; (4000 - room) << 10]);
            let said = workspace.build(&[]);
            fs::remove_file(&ballast).unwrap();
            let healed = assert_builds(&workspace, "alpha\n", &format!("{room} KiB of room ({said:?})"));
            assert_eq!(healed.targets("ran").intersection(&said.targets("ran")).count(), 0, "{said:?} {healed:?}");
        }
    });
    assert!(Command::new("umount").arg(folder.path()).status().unwrap().success());
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

/// `out/` shows what the last build that ended well made, also where one with other variables did not end in between.
#[test]
fn a_build_that_failed_in_between_leaves_no_foreign_outputs() {
    let workspace = Workspace::new();
    let recipe = "[command.\"t/0\"]\nshell = \"echo $CBI_TEST_V > o\"\npass_env = [\"CBI_TEST_V\"]\noutputs = [\"o\"]\n\n\
                  [command.\"t/1\"]\nshell = \"cat o > p; grep -q one p\"\nneeds = [\"t/0\"]\noutputs = [\"p\"]\n";
    workspace.write("recipes/all.toml", recipe);
    let build = |value: &str| {
        std::thread::sleep(Duration::from_millis(120));
        Said::of(workspace.command(&[]).env("CBI_TEST_V", value).output().unwrap())
    };
    assert_eq!(build("one").counts(), [2, 0, 0]);
    assert_eq!(build("two").counts(), [1, 0, 1]);
    assert_eq!(build("one").counts(), [0, 2, 0]);
    assert_eq!(workspace.out("t/0", "o").as_deref(), Some("one\n"));
}

#[test]
fn two_builds_in_two_terminals_run_each_action_once() {
    let workspace = wide();
    let terminals: Vec<_> = (0..3).map(|_| workspace.command(&["-j4"]).spawn().unwrap()).collect();
    let said: Vec<Said> = terminals.into_iter().map(|t| Said::of(t.wait_with_output().unwrap())).collect();
    for one in &said {
        assert_eq!((one.code, one.count("ran") + one.count("reused")), (Some(0), MANY as u64), "{one:?}");
    }
    assert_eq!(said.iter().map(|s| s.count("ran")).sum::<u64>(), MANY as u64);
}
