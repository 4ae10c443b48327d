//! What a session of the action cache promises: across processes, lost indexes and other writers.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use cbi::base::digest::{BlobId, Digest};
use cbi::io::fs;
use cbi::io::lock::{Lock, Mode};
use cbi::model::action::Action;
use cbi::model::manifest::{FileEntry, Manifest};
use cbi::model::result::{ActionResult, Cost};
use cbi::store::action_cache::Session;
use cbi::store::content::{Batch, ContentStore};
use cbi::store::error::StoreError;
use cbi::store::fsck;
use cbi::store::index;
use cbi::store::root::Root;

/// Records a result that made `bytes`, for the action number `n`.
fn record(session: &Session, n: u64, bytes: &[u8]) -> ActionResult {
    let mut batch = Batch::new();
    let result = result(session, n, bytes, &mut batch);
    session.record(&result, &batch).unwrap();
    result
}

fn result(session: &Session, n: u64, bytes: &[u8], batch: &mut Batch) -> ActionResult {
    let blob = session.content().put_bytes(bytes, batch).unwrap();
    let action = Action {
        kind: "command".into(),
        version: 1,
        engines: BTreeMap::new(),
        platform: "test".into(),
        threads: 1,
        params: serde_json::json!({ "n": n }),
        inputs: BTreeMap::new(),
        outputs: BTreeSet::from(["out".into()]),
    };
    let manifest = Manifest::new([("o".to_owned(), FileEntry { blob, size: bytes.len() as u64, executable: false })]).unwrap();
    ActionResult {
        key: action.key(),
        action,
        target: format!("t/{n}"),
        outputs: BTreeMap::from([("out".into(), manifest)]),
        metrics: BTreeMap::from([("mae".into(), 0.1)]),
        notes: Vec::new(),
        checks: Vec::new(),
        log: None,
        cost: Cost { wall_ms: n, cpu_ms: n, peak_bytes: n, input_bytes: n },
        ended_ms: n,
    }
}

fn cache(folder: &tempfile::TempDir) -> std::path::PathBuf {
    folder.path().join("cache")
}

#[test]
fn a_result_is_found_by_this_session_and_by_the_next_however_the_index_stands() {
    let folder = tempfile::tempdir().unwrap();
    let path = cache(&folder);
    let session = Session::open(&path).unwrap();
    let first = record(&session, 1, b"one");
    assert_eq!(session.lookup(&first.key).unwrap(), Some(first.clone()));
    let second = record(&session, 2, b"two");
    assert_eq!(session.lookup(&second.key).unwrap(), Some(second.clone()));
    session.release().unwrap();
    let third = record(&session, 3, b"three");
    for result in [&first, &second, &third] {
        assert_eq!(session.lookup(&result.key).unwrap().as_ref(), Some(result));
    }
    assert_eq!(session.cost_of("command", "t/3").unwrap(), Some(third.cost));
    drop(session);

    let session = Session::open(&path).unwrap();
    for result in [&first, &second, &third] {
        assert_eq!(session.lookup(&result.key).unwrap().as_ref(), Some(result));
    }
    assert_eq!(session.cost_of("command", "t/1").unwrap(), Some(first.cost));
    assert_eq!(session.cost_of("command", "t/9").unwrap(), None);
}

#[test]
fn the_newest_result_of_a_key_counts() {
    let folder = tempfile::tempdir().unwrap();
    let session = Session::open(&cache(&folder)).unwrap();
    record(&session, 1, b"one");
    let newest = record(&session, 1, b"other");
    assert_eq!(session.lookup(&newest.key).unwrap(), Some(newest.clone()));
    drop(session);
    assert_eq!(Session::open(&cache(&folder)).unwrap().lookup(&newest.key).unwrap(), Some(newest));
}

#[test]
fn a_result_with_a_hole_is_a_miss_and_whole_again_when_the_blob_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let session = Session::open(&cache(&folder)).unwrap();
    let result = record(&session, 1, b"one");
    let blob = BlobId(Digest::of(b"one"));
    fs::remove_file(&session.content().path_of(&blob)).unwrap();
    assert_eq!(session.lookup(&result.key).unwrap(), None);
    assert_eq!(session.hole(&result).unwrap(), Some(blob));
    let mut batch = Batch::new();
    session.content().put_bytes(b"one", &mut batch).unwrap();
    session.content().commit(&batch).unwrap();
    assert_eq!(session.lookup(&result.key).unwrap(), Some(result));
}

#[test]
fn a_session_that_let_go_of_the_index_sees_what_others_record() {
    let folder = tempfile::tempdir().unwrap();
    let path = cache(&folder);
    let (one, two) = (Session::open(&path).unwrap(), Session::open(&path).unwrap());
    let a = record(&one, 1, b"one");
    one.lookup(&a.key).unwrap();
    one.release().unwrap();
    one.lookup(&a.key).unwrap();
    let b = record(&two, 2, b"two");
    two.release().unwrap();
    let c = record(&two, 3, b"three");
    for result in [a, b, c] {
        assert_eq!(one.lookup(&result.key).unwrap(), Some(result.clone()));
        assert_eq!(two.lookup(&result.key).unwrap(), Some(result));
    }
}

#[test]
fn an_action_is_claimed_by_one_at_a_time_and_the_next_finds_its_result() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (Session::open(&cache(&folder)).unwrap(), Session::open(&cache(&folder)).unwrap());
    let mut batch = Batch::new();
    let result = result(&one, 1, b"one", &mut batch);
    let claim = one.claim(&result.key).unwrap().unwrap();
    assert!(two.claim(&result.key).unwrap().is_none());
    one.record(&result, &batch).unwrap();
    drop(claim);
    assert!(two.claim(&result.key).unwrap().is_some());
    assert_eq!(two.lookup(&result.key).unwrap(), Some(result));
}

/// Builds what nobody has built yet; says on standard output which.
#[test]
fn the_child() {
    let Some(path) = std::env::var_os("CBI_TEST_CACHE") else { return };
    let session = Session::open(Path::new(&path)).unwrap();
    for n in 0..40 {
        let mut batch = Batch::new();
        let result = result(&session, n, &n.to_le_bytes(), &mut batch);
        while session.lookup(&result.key).unwrap().is_none() {
            session.release().unwrap();
            let Some(claim) = session.claim(&result.key).unwrap() else { continue };
            if session.lookup(&result.key).unwrap().is_none() {
                session.record(&result, &batch).unwrap();
                println!("\nbuilt {n}");
            }
            drop(claim);
        }
    }
}

#[test]
fn processes_at_work_on_the_same_actions_run_each_once() {
    let folder = tempfile::tempdir().unwrap();
    drop(Session::open(&cache(&folder)).unwrap());
    let child = || {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "the_child", "--nocapture"]).env("CBI_TEST_CACHE", cache(&folder)).stdout(Stdio::piped()).spawn().unwrap()
    };
    let mut built = Vec::new();
    for child in [child(), child(), child()] {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let said = String::from_utf8(output.stdout).unwrap();
        built.extend(said.lines().filter_map(|l| l.strip_prefix("built ")?.parse::<u64>().ok()));
    }
    built.sort_unstable();
    assert_eq!(built, (0..40).collect::<Vec<_>>());
    assert_eq!(fsck::check(&Root::at(&cache(&folder))).unwrap().findings, []);
}

#[test]
fn an_index_lost_or_changed_behind_our_back_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = cache(&folder);
    let results = {
        let session = Session::open(&path).unwrap();
        (0..20).map(|n| record(&session, n, &n.to_le_bytes())).collect::<Vec<_>>()
    };
    let db = path.join("cache/db");
    let damages: [(&str, &dyn Fn()); 5] = [
        ("removed", &|| fs::remove_tree(&path.join("cache")).unwrap()),
        ("its file removed", &|| fs::remove_file(&db).unwrap()),
        ("zeroed", &|| fs::write(&db, &vec![0; 4096]).unwrap()),
        ("cut", &|| {
            let bytes = fs::read(&db).unwrap();
            fs::write(&db, &bytes[..bytes.len() / 3]).unwrap();
        }),
        ("flipped", &|| {
            let mut bytes = fs::read(&db).unwrap();
            bytes.iter_mut().step_by(97).for_each(|b| *b ^= 0x55);
            fs::write(&db, &bytes).unwrap();
        }),
    ];
    for (name, damage) in damages {
        damage();
        let session = Session::open(&path).unwrap();
        for result in &results {
            assert_eq!(session.lookup(&result.key).unwrap().as_ref(), Some(result), "{name}");
        }
        drop(session);
        assert_eq!(index::check_seal(&cbi::store::root::Root::at(&path)).unwrap(), None, "{name}: sealed again");
    }
}

#[test]
fn the_index_is_sealed_every_time_it_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let session = Session::open(&cache(&folder)).unwrap();
    for n in 0..60 {
        let result = record(&session, n, b"x");
        session.release().unwrap();
        assert_eq!(index::check_seal(session.root()).unwrap(), None, "round {n}");
        assert_eq!(session.lookup(&result.key).unwrap(), Some(result));
    }
}

#[test]
fn a_file_is_read_again_only_when_it_may_have_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("input.csv");
    fs::write(&path, b"a,b\n").unwrap();
    // Reading leaves a trace in the time of last access; a memo leaves none. Attributes are aged, for a fresh file is never remembered.
    std::thread::sleep(Duration::from_millis(60));
    let digest = BlobId(Digest::of(b"a,b\n"));
    {
        let session = Session::open(&cache(&folder)).unwrap();
        assert_eq!(session.hash_file(&path).unwrap(), digest);
    }
    let session = Session::open(&cache(&folder)).unwrap();
    assert_eq!(session.remembered(&path).unwrap(), Some(digest));
    session.release().unwrap();
    assert_eq!(session.remembered(&path).unwrap(), Some(digest), "also without the index");
    touch(&path);
    assert_eq!(session.remembered(&path).unwrap(), None);
    assert_eq!(session.hash_file(&path).unwrap(), digest);
}

fn touch(path: &Path) {
    std::fs::File::options().append(true).open(path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
}

#[test]
fn an_index_that_somebody_holds_is_waited_for_and_the_holder_named() {
    let folder = tempfile::tempdir().unwrap();
    let session = Session::open(&cache(&folder)).unwrap();
    let result = record(&session, 1, b"one");
    let held = Lock::try_take(&session.root().lock_file("index"), Mode::Exclusive).unwrap().unwrap();
    let refused = session.lookup(&result.key).unwrap_err();
    assert!(matches!(refused, StoreError::Busy { pid: Some(pid), .. } if pid == std::process::id()), "{refused}");
    drop(held);
    assert_eq!(session.lookup(&result.key).unwrap(), Some(result));
}

#[test]
fn a_result_that_could_not_be_read_back_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let session = Session::open(&cache(&folder)).unwrap();
    let mut batch = Batch::new();
    let mut odd = result(&session, 1, b"x", &mut batch);
    odd.metrics.insert("rmse".into(), f64::NAN);
    let refused = session.record(&odd, &batch).unwrap_err();
    assert!(refused.to_string().contains("metric 'rmse' is NaN"), "{refused}");
}
