//! Whatever call fails and wherever the process dies: nothing wrong is in the store, and nothing recorded is lost.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod store_kit;

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use cbi::io::failpoint::{self, Rule};
use cbi::io::fs;
use cbi::store::action_cache::Session;
use cbi::store::error::StoreResult;
use cbi::store::fsck::{self, Finding};
use cbi::store::root::Root;

const RESULTS: u64 = 3;

/// Rules are armed for a whole process: one test at a time.
static ARMED: Mutex<()> = Mutex::new(());

/// In memory where that can be: syncing to a real disk thousands of times shows nothing more.
fn memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Builds all results and calls `recorded` after each; then lets go of the index, and looks everything up again.
fn work(cache: &Path, recorded: &mut dyn FnMut(u64)) -> StoreResult<()> {
    let session = Session::open(cache)?;
    for n in 0..RESULTS {
        store_kit::build(&session, n)?;
        recorded(n);
    }
    session.release()?;
    session.hash_file(&cache.join("format"))?;
    for n in 0..RESULTS {
        session.lookup(&store_kit::action(n).key())?;
    }
    Ok(())
}

/// After a fault: no wrong bytes anywhere, everything in `recorded` found, and the next build ends as a clean one would.
fn assert_sound(cache: &Path, recorded: &[u64], fault: &str) {
    if cache.join("format").exists() {
        let report = fsck::check(&Root::at(cache)).unwrap();
        let harmless = |f: &&Finding| matches!(f, Finding::Index { .. } | Finding::Torn { .. });
        assert_eq!(report.findings.iter().find(|f| !harmless(f)), None, "{fault}: {recorded:?} recorded");
    }
    {
        let session = Session::open(cache).unwrap();
        for n in recorded {
            store_kit::assert_whole(&session, *n);
        }
    }
    work(cache, &mut |_| ()).unwrap();
    let session = Session::open(cache).unwrap();
    for n in 0..RESULTS {
        store_kit::assert_whole(&session, n);
    }
    // Makes this process's work area, and removes those of the dead.
    let scratch = session.root().scratch().unwrap();
    assert_eq!(fs::list(scratch.parent().unwrap().parent().unwrap()).unwrap().len(), 2, "{fault}: tmp is clean but for our own");
    drop(session);
    assert_eq!(fsck::check(&Root::at(cache)).unwrap().findings, [], "{fault}, then built");
}

#[test]
fn when_any_one_call_fails_nothing_is_wrong_and_nothing_recorded_is_lost() {
    let _one = ARMED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let clean = memory();
    failpoint::arm(Rule::COUNT);
    work(&clean.path().join("cache"), &mut |_| ()).unwrap();
    let calls = failpoint::disarm();
    assert!(calls > 200, "{calls} calls");

    let (mut tried, mut failed) = (0, 0);
    for n in 1..=calls {
        for what in ["nth={n}:eio", "nth={n}:enospc", "from={n}:enospc"] {
            let rule = what.replace("{n}", &n.to_string());
            let folder = memory();
            let cache = folder.path().join("cache");
            let mut recorded = Vec::new();
            failpoint::arm(Rule::parse(&rule).unwrap());
            let outcome = work(&cache, &mut |n| recorded.push(n));
            failpoint::disarm();
            failed += u64::from(outcome.is_err());
            tried += 1;
            assert_sound(&cache, &recorded, &rule);
        }
    }
    println!("{tried} faults over {calls} calls; {failed} ended the work");
}

/// Runs [`the_child`] in a process of its own; returns what it had recorded, and whether it died.
fn die(cache: &Path, rule: &str) -> (Vec<u64>, bool) {
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", "the_child", "--nocapture", "--test-threads=1"]).env("CBI_TEST_CACHE", cache).env("CBI_FAILPOINT", rule);
    let output = child.stderr(Stdio::null()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let recorded = said.lines().filter_map(|l| l.strip_prefix("recorded ")?.parse().ok()).collect();
    (recorded, !output.status.success())
}

#[test]
fn the_child() {
    if let Some(cache) = env::var_os("CBI_TEST_CACHE") {
        work(Path::new(&cache), &mut |n| println!("\nrecorded {n}")).unwrap();
    }
}

#[test]
fn killed_at_any_step_of_the_durability_order_nothing_is_wrong_and_nothing_recorded_is_lost() {
    let _one = ARMED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let each_result =
        ["blobs.written", "blobs.synced", "blob.renamed", "shards.synced", "records.before", "records.written", "records.synced"];
    let mut rules: Vec<String> = each_result.iter().flat_map(|s| (1..=RESULTS).map(move |n| format!("at={s}#{n}:kill"))).collect();
    rules.extend(["index.flushed", "index.sealed"].map(|s| format!("at={s}:kill")));
    for rule in rules {
        let folder = memory();
        let cache = folder.path().join("cache");
        let (recorded, died) = die(&cache, &rule);
        assert!(died, "{rule} did not strike");
        assert_sound(&cache, &recorded, &rule);
    }
}

#[test]
fn killed_at_any_call_or_in_the_middle_of_a_write_nothing_is_wrong_and_nothing_recorded_is_lost() {
    let _one = ARMED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = memory();
    let cache = folder.path().join("cache");
    failpoint::arm(Rule::COUNT);
    work(&cache, &mut |_| ()).unwrap();
    let calls = failpoint::disarm();
    for n in (1..=calls).filter(|n| n % 2 == 0) {
        let folder = memory();
        let cache = folder.path().join("cache");
        let rule = format!("nth={n}:tear");
        let (recorded, _) = die(&cache, &rule);
        assert_sound(&cache, &recorded, &rule);
    }
}

#[test]
fn a_disk_that_is_really_full_refuses_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1500k", "tmpfs"]).arg(folder.path()).stderr(Stdio::null()).status();
    if !mount.is_ok_and(|s| s.success()) {
        println!("skipped: needs the right to mount a tmpfs");
        return;
    }
    let outcome = std::panic::catch_unwind(|| {
        let cache = folder.path().join("cache");
        let ballast = folder.path().join("ballast");
        // From too little room to make the cache, to too little for the last record.
        for room in (0..1400).step_by(35) {
            let refused = cbi::io::fs::write(&ballast, &vec![1; (1400 - room) << 10]).is_err();
            let mut recorded = Vec::new();
            let full = work(&cache, &mut |n| recorded.push(n));
            fs::remove_file(&ballast).unwrap();
            assert_sound(&cache, &recorded, &format!("{room} KiB of room ({refused}, {full:?})"));
            fs::remove_tree(&cache).unwrap();
        }
    });
    assert!(Command::new("umount").arg(folder.path()).status().unwrap().success());
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}
