//! Blobs that are kept in chunks: they are read as any other, whatever fails or dies on the way into packs or between them, and what is damaged is a miss.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::HashSet;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use cbi::base::digest::{BlobId, Digest};
use cbi::io::failpoint::{self, Rule};
use cbi::io::fs;
use cbi::store::action_cache::Session;
use cbi::store::content::{Batch, ContentStore};
use cbi::store::error::StoreResult;
use cbi::store::fsck::{self, Finding};
use cbi::store::gc::{self, Keep};
use cbi::store::packing::{WORTH, pack};
use cbi::store::root::Root;

/// Rules are armed for a whole process: one test at a time.
static ARMED: Mutex<()> = Mutex::new(());

fn memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..length).map(|_| random.u8(..)).collect()
}

/// Versions of one thing that share most of their bytes, each a little longer than the one before; and something else.
fn blobs() -> Vec<Vec<u8>> {
    let mut grown = noise(1, 300_000);
    let mut versions = Vec::new();
    for day in 0..4 {
        grown.extend(noise(100 + day, 500));
        versions.push(grown.clone());
    }
    versions.push(b"the same again and again, ".repeat(20_000));
    versions
}

fn id(bytes: &[u8]) -> BlobId {
    BlobId(Digest::of(bytes))
}

fn filled(cache: &Path) -> Session {
    let session = Session::open(cache).unwrap();
    let mut batch = Batch::new();
    for bytes in blobs() {
        session.content().put_bytes(&bytes, &mut batch).unwrap();
    }
    session.content().commit(&batch).unwrap();
    session
}

fn pack_all(session: &Session) -> StoreResult<()> {
    let alone = session.root().alone()?;
    pack(session.root(), session.content(), &blobs().iter().map(|bytes| id(bytes)).collect::<Vec<_>>(), &alone).map(|_| ())
}

fn assert_all(cache: &Path, when: &str) {
    let session = Session::open(cache).unwrap();
    for bytes in blobs() {
        assert_eq!(session.content().read(&id(&bytes)).unwrap().as_ref(), Some(&bytes), "{when}");
    }
    let report = fsck::check(session.root()).unwrap();
    let wrong = report.findings.iter().find(|finding| !matches!(finding, Finding::Torn { .. }));
    assert_eq!(wrong, None, "{when}");
}

/// All bytes in a folder.
fn size(folder: &Path) -> u64 {
    let entries = fs::list_if_any(folder).unwrap().into_iter();
    entries.map(|entry| folder.join(entry.name)).map(|path| if path.is_dir() { size(&path) } else { path.metadata().unwrap().len() }).sum()
}

#[test]
fn versions_that_share_most_of_their_bytes_take_little_more_room_than_one_and_are_read_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let session = filled(&cache);
    pack_all(&session).unwrap();
    assert_eq!(size(&session.root().blobs()), 0, "no file is left");
    let kept = size(&session.root().packs());
    assert!(kept < 360_000, "{kept} bytes for five blobs of {}", blobs().iter().map(Vec::len).sum::<usize>());
    assert_all(&cache, "packed");
    for bytes in blobs() {
        let blob = id(&bytes);
        assert_eq!(session.content().size_of(&blob).unwrap(), Some(bytes.len() as u64));
        let mut read = Vec::new();
        session.content().open(&blob).unwrap().unwrap().read_to_end(&mut read).unwrap();
        assert_eq!(read, bytes);
        let mut batch = Batch::new();
        session.content().put_bytes(&bytes, &mut batch).unwrap();
        assert_eq!(batch.waiting().count(), 0, "what is packed is there and is not put again");
        let path = session.content().local_path(&blob).unwrap().unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes, "a file again, for who needs one");
    }
    pack_all(&session).unwrap();
    assert_eq!((size(&session.root().blobs()), size(&session.root().packs())), (0, kept), "put back, nothing is written for it");
}

#[test]
fn what_is_short_stays_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let session = Session::open(&folder.path().join("cache")).unwrap();
    let bytes = noise(1, usize::try_from(WORTH).unwrap() - 1);
    let mut batch = Batch::new();
    session.content().put_bytes(&bytes, &mut batch).unwrap();
    session.content().commit(&batch).unwrap();
    let done = pack(session.root(), session.content(), &[id(&bytes)], &session.root().alone().unwrap()).unwrap();
    assert_eq!(done.blobs, 0);
    assert!(session.content().path_of(&id(&bytes)).exists());
}

#[test]
fn a_collection_takes_what_nobody_needs_out_of_the_packs_and_leaves_the_rest_readable() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let session = filled(&cache);
    pack_all(&session).unwrap();
    let before = size(&session.root().packs());
    let all = blobs();
    let keep = Keep { blobs: HashSet::from([id(&all[0])]), ..Keep::default() };
    let plan = gc::plan(session.root(), &keep).unwrap();
    assert_eq!((plan.delete.len(), plan.kept), (4, 1));
    gc::apply(session.root(), &plan, &session.root().alone().unwrap()).unwrap();
    assert_eq!(session.content().read(&id(&all[0])).unwrap().as_ref(), Some(&all[0]));
    assert!(all[1..].iter().all(|bytes| session.content().size_of(&id(bytes)).unwrap().is_none()));
    assert!(size(&session.root().packs()) <= before, "no more than before");
    let nothing = gc::plan(session.root(), &Keep::default()).unwrap();
    gc::apply(session.root(), &nothing, &session.root().alone().unwrap()).unwrap();
    assert_eq!(size(&session.root().packs()), 0);
    assert_eq!(fsck::check(session.root()).unwrap().findings, []);
}

#[test]
fn a_pack_of_which_most_is_needed_by_nobody_is_written_anew_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let session = Session::open(&folder.path().join("cache")).unwrap();
    let all: Vec<Vec<u8>> = (0..5).map(|seed| noise(seed, 200_000)).collect();
    let mut batch = Batch::new();
    for bytes in &all {
        session.content().put_bytes(bytes, &mut batch).unwrap();
    }
    session.content().commit(&batch).unwrap();
    let alone = session.root().alone().unwrap();
    pack(session.root(), session.content(), &all.iter().map(|bytes| id(bytes)).collect::<Vec<_>>(), &alone).unwrap();
    let keep = Keep { blobs: HashSet::from([id(&all[2])]), ..Keep::default() };
    let plan = gc::plan(session.root(), &keep).unwrap();
    assert!(plan.bytes > 750_000, "{}", plan.bytes);
    gc::apply(session.root(), &plan, &alone).unwrap();
    let kept = size(&session.root().packs());
    assert!((200_000..210_000).contains(&kept), "{kept}");
    assert_eq!(session.content().read(&id(&all[2])).unwrap().as_ref(), Some(&all[2]));
    assert_eq!(gc::plan(session.root(), &keep).unwrap().bytes, 0, "nothing more is to be won");
}

#[test]
fn a_damaged_pack_is_a_miss_for_the_blobs_in_it_and_fsck_names_them_and_puts_it_right() {
    let damages: [fn(&mut Vec<u8>); 3] =
        [|bytes| *bytes.last_mut().unwrap() ^= 1, |bytes| bytes.truncate(bytes.len() / 2), |bytes| bytes.fill(0)];
    for (number, damage) in damages.iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("cache");
        let session = filled(&cache);
        pack_all(&session).unwrap();
        for (pack, _) in session.content().packs().packs().unwrap() {
            let path = session.content().packs().path_of(&pack);
            let mut bytes = fs::read(&path).unwrap();
            damage(&mut bytes);
            fs::set_mode(&path, 0o644).unwrap();
            fs::write(&path, &bytes).unwrap();
        }
        let report = fsck::check(session.root()).unwrap();
        let named: Vec<BlobId> = report
            .findings
            .iter()
            .filter_map(|finding| if let Finding::Blob { blob, .. } = finding { Some(*blob) } else { None })
            .collect();
        assert!(!named.is_empty(), "damage {number}");
        for bytes in blobs() {
            let read = session.content().read(&id(&bytes)).unwrap();
            assert!(read.is_none_or(|read| read == bytes), "damage {number}: never other bytes");
        }
        fsck::repair(session.root(), &report, &session.root().alone().unwrap()).unwrap();
        assert_eq!(fsck::check(session.root()).unwrap().findings, [], "damage {number}");
        assert!(named.iter().all(|blob| session.content().size_of(blob).unwrap().is_none()), "damage {number}");
        // Made again, they are there again.
        drop(session);
        filled(&cache);
        assert_all(&cache, "made again");
    }
}

/// Packs all, then takes some out; what any fault in between must leave readable is the first blob.
fn work(cache: &Path) -> StoreResult<()> {
    let session = Session::open(cache)?;
    pack_all(&session)?;
    let all = blobs();
    let keep = Keep { blobs: HashSet::from([id(&all[0])]), ..Keep::default() };
    let plan = gc::plan(session.root(), &keep)?;
    gc::apply(session.root(), &plan, &session.root().alone()?)
}

fn assert_sound(cache: &Path, fault: &str) {
    let first = &blobs()[0];
    let session = Session::open(cache).unwrap();
    assert_eq!(session.content().read(&id(first)).unwrap().as_ref(), Some(first), "{fault}");
    for bytes in blobs() {
        assert!(session.content().read(&id(&bytes)).unwrap().is_none_or(|read| read == bytes), "{fault}");
    }
    drop(session);
    work(cache).unwrap();
    let session = Session::open(cache).unwrap();
    assert_eq!(session.content().read(&id(first)).unwrap().as_ref(), Some(first), "{fault}, then again");
    assert_eq!(fsck::check(&Root::at(cache)).unwrap().findings, [], "{fault}, then again");
}

#[test]
fn when_any_one_call_fails_on_the_way_into_packs_or_between_them_nothing_is_lost() {
    let _one = ARMED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let clean = memory();
    filled(&clean.path().join("cache"));
    failpoint::arm(Rule::COUNT);
    work(&clean.path().join("cache")).unwrap();
    let calls = failpoint::disarm();
    assert!(calls > 60, "{calls} calls");
    for n in 1..=calls {
        for what in ["eio", "enospc"] {
            let rule = format!("nth={n}:{what}");
            let folder = memory();
            let cache = folder.path().join("cache");
            filled(&cache);
            failpoint::arm(Rule::parse(&rule).unwrap());
            _ = work(&cache);
            failpoint::disarm();
            assert_sound(&cache, &rule);
        }
    }
}

#[test]
fn the_child() {
    if let Some(cache) = std::env::var_os("CBI_TEST_CACHE") {
        work(Path::new(&cache)).unwrap();
    }
}

#[test]
fn killed_at_any_step_on_the_way_into_packs_or_between_them_nothing_is_lost() {
    let _one = ARMED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let steps = ["pack.written", "pack.named", "packed.listed", "packed.removed", "gc.forgotten", "repacked.listed", "repacked.filtered"];
    let rules = steps.iter().map(|step| format!("at={step}:kill")).chain((1..8).map(|n| format!("nth={}:tear", 12 * n)));
    for rule in rules {
        let folder = memory();
        let cache = folder.path().join("cache");
        filled(&cache);
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "the_child", "--test-threads=1"]).env("CBI_TEST_CACHE", &cache).env("CBI_FAILPOINT", &rule);
        let died = !child.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success();
        assert!(died || rule.ends_with("tear"), "{rule} did not strike");
        assert_sound(&cache, &rule);
    }
}

#[test]
fn a_cache_of_the_format_before_is_used_as_it_is_and_raised_when_something_is_packed() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    drop(filled(&cache));
    fs::write(&cache.join("format"), b"cbi-cache 1\n").unwrap();
    fs::remove_tree(&cache.join("packs")).unwrap();
    assert_all(&cache, "as it was");
    assert_eq!(fs::read(&cache.join("format")).unwrap(), b"cbi-cache 1\n", "older programs may go on using it");
    pack_all(&Session::open(&cache).unwrap()).unwrap();
    assert_eq!(fs::read(&cache.join("format")).unwrap(), b"cbi-cache 2\n", "they would take what is packed for missing");
    assert_all(&cache, "raised");
}
