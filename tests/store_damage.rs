//! A zoo of damaged stores: each damage is found and named by `fsck`, is a miss and never wrong bytes, and is healed by the next build.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod store_kit;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cbi::io::fs;
use cbi::io::fs::What;
use cbi::store::action_cache::Session;
use cbi::store::error::StoreError;
use cbi::store::fsck::{self, Finding};
use cbi::store::gc::{self, Keep};
use cbi::store::local::LocalStore;
use cbi::store::root::Root;

const RESULTS: u64 = 4;

fn store() -> (tempfile::TempDir, Root) {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    assert_eq!(build_all(&cache), RESULTS);
    (folder, Root::at(&cache))
}

/// Builds every result that is a miss; returns how many were.
fn build_all(cache: &Path) -> u64 {
    let session = Session::open(cache).unwrap();
    let missed = (0..RESULTS).filter(|n| store_kit::build(&session, *n).unwrap()).count() as u64;
    for n in 0..RESULTS {
        store_kit::assert_whole(&session, n);
    }
    missed
}

fn findings(root: &Root) -> Vec<Finding> {
    fsck::check(root).unwrap().findings
}

type Damage = (&'static str, fn(&Path));

/// The ways to damage a file.
fn damages() -> [Damage; 4] {
    fn rewrite(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(path).unwrap();
        change(&mut bytes);
        // In place, as a disk or a careless editor would.
        fs::set_mode(path, 0o644).unwrap();
        fs::write(path, &bytes).unwrap();
        fs::set_mode(path, 0o444).unwrap();
    }
    [
        ("flipped", |p| rewrite(p, |b| b[0] ^= 1)),
        ("cut", |p| rewrite(p, |b| b.truncate(b.len() / 2))),
        ("zeroed", |p| rewrite(p, |b| b.fill(0))),
        ("removed", |p| fs::remove_file(p).unwrap()),
    ]
}

fn path_of(root: &Root, bytes: &[u8]) -> PathBuf {
    LocalStore::new(root.clone()).path_of(&store_kit::blob(bytes))
}

#[test]
fn a_damaged_blob_is_named_with_who_needs_it_and_only_that_is_built_again() {
    for (name, damage) in damages() {
        for (bytes, users) in [(b"own 2".to_vec(), 1), (store_kit::log(1), 1), (b"common".to_vec(), RESULTS)] {
            let (_folder, root) = store();
            damage(&path_of(&root, &bytes));
            let blob = store_kit::blob(&bytes);
            let found = findings(&root);
            let holes = found.iter().filter(|f| matches!(f, Finding::Hole { blob: b, .. } if *b == blob)).count() as u64;
            assert_eq!(holes, users, "{name}: {found:?}");
            let named = found.iter().any(|f| matches!(f, Finding::Blob { blob: b, .. } if *b == blob));
            assert_eq!(named, name != "removed", "{found:?}");
            // One build puts a common blob back for all that need it.
            assert_eq!(build_all(root.path()), 1, "{name}");
            assert_eq!(findings(&root), [], "{name}, then built");
        }
    }
}

#[test]
fn a_blob_changed_by_a_disk_that_kept_its_times_is_found_by_fsck_and_by_whoever_reads_it() {
    let (_folder, root) = store();
    let path = path_of(&root, b"own 2");
    let stat = fs::stat(&path).unwrap().unwrap();
    damages()[0].1(&path);
    fs::set_mode(&path, 0o644).unwrap();
    fs::set_modified(&path, u64::try_from(stat.mtime_ns / 1_000_000_000).unwrap()).unwrap();
    assert!(findings(&root).iter().any(|f| matches!(f, Finding::Blob { .. })));
    let report = fsck::check(&root).unwrap();
    fsck::repair(&root, &report, &root.alone().unwrap()).unwrap();
    assert!(findings(&root).iter().all(|f| matches!(f, Finding::Hole { .. })));
    assert_eq!(fs::list(&root.quarantine()).unwrap().len(), 1, "kept for a person to look at");
    assert_eq!(build_all(root.path()), 1);
    assert_eq!(findings(&root), []);
}

#[test]
fn a_write_through_a_hard_link_is_a_miss() {
    let (folder, root) = store();
    let link = folder.path().join("link");
    fs::hard_link(&path_of(&root, b"own 2"), &link).unwrap();
    fs::set_mode(&link, 0o644).unwrap();
    fs::write(&link, b"OWN 2").unwrap();
    assert_eq!(build_all(root.path()), 1);
    assert_eq!(findings(&root), []);
}

#[test]
fn a_folder_or_a_strange_file_in_a_blobs_place_is_named_and_set_aside() {
    let (_folder, root) = store();
    let path = path_of(&root, b"own 2");
    fs::remove_file(&path).unwrap();
    fs::create_folders(&path.join("x")).unwrap();
    let stranger = path.with_file_name("notes.txt");
    fs::write(&stranger, b"?").unwrap();
    let found = findings(&root);
    for strange in [path, stranger] {
        assert!(found.contains(&Finding::Stranger { path: strange }), "{found:?}");
    }
    assert_eq!(build_all(root.path()), 1);
    let report = fsck::check(&root).unwrap();
    fsck::repair(&root, &report, &root.alone().unwrap()).unwrap();
    assert_eq!(findings(&root), []);
}

#[test]
fn lost_shard_folders_are_made_again() {
    let (_folder, root) = store();
    fs::remove_tree(&root.blobs()).unwrap();
    assert_eq!(build_all(root.path()), RESULTS);
    assert_eq!(findings(&root), []);
}

#[test]
fn damage_anywhere_in_the_log_costs_the_records_it_hit_and_is_named() {
    let (_folder, root) = store();
    let whole = fs::read(&root.actions_log()).unwrap();
    let each = whole.len() / usize::try_from(RESULTS).unwrap();
    for at in (0..whole.len()).step_by(211) {
        for zeroes in [1, 64, 700] {
            let mut damaged = whole.clone();
            let end = (at + zeroes).min(whole.len());
            if damaged[at..end].iter().all(|b| *b == 0) {
                continue;
            }
            damaged[at..end].fill(0);
            fs::write(&root.actions_log(), &damaged).unwrap();
            let found = findings(&root);
            assert!(found.iter().any(|f| matches!(f, Finding::Damaged { .. } | Finding::Torn { .. })), "{zeroes} at {at}: {found:?}");
            let hit = (end - 1) / each - at / each + 1;
            assert_eq!(build_all(root.path()), hit as u64, "{zeroes} at {at}");
            let report = fsck::check(&root).unwrap();
            assert!(report.findings.iter().all(|f| matches!(f, Finding::Damaged { .. })), "the torn tail was cut: {report:?}");
            fsck::repair(&root, &report, &root.alone().unwrap()).unwrap();
            assert_eq!((findings(&root), build_all(root.path())), (vec![], 0));
        }
    }
}

#[test]
fn a_lost_log_is_built_again_and_a_lost_index_costs_no_build() {
    let (_folder, root) = store();
    fs::remove_tree(&root.cache()).unwrap();
    assert_eq!(build_all(root.path()), 0);
    fs::remove_file(&root.actions_log()).unwrap();
    assert_eq!(build_all(root.path()), RESULTS);
    assert_eq!(findings(&root), []);
}

#[test]
fn a_damaged_index_is_named_and_costs_no_build() {
    for (name, damage) in damages() {
        let (_folder, root) = store();
        for entry in fs::list(&root.cache()).unwrap().into_iter().filter(|e| e.what == What::File) {
            let path = root.cache().join(entry.name);
            if fs::stat(&path).unwrap().unwrap().size > 0 {
                damage(&path);
            }
        }
        let found = findings(&root);
        // With all its files removed it is merely absent.
        assert!(matches!(found[..], [Finding::Index { .. }]) || name == "removed", "{name}: {found:?}");
        assert_eq!(build_all(root.path()), 0, "{name}");
        assert_eq!(findings(&root), [], "{name}, then used");
    }
}

#[test]
fn an_index_that_disagrees_with_the_log_is_named_and_made_anew() {
    let (_folder, root) = store();
    let (log, index) = (fs::read(&root.actions_log()).unwrap(), root.cache());
    {
        let session = Session::open(root.path()).unwrap();
        store_kit::build(&session, RESULTS).unwrap();
    }
    // The index knows one result more than the log.
    fs::write(&root.actions_log(), &log).unwrap();
    assert!(fs::stat(&index).unwrap().is_some());
    assert_eq!(build_all(root.path()), 0);
    assert_eq!(findings(&root), []);
}

#[test]
fn a_cache_of_a_newer_format_or_of_something_else_is_refused_and_left_alone() {
    let (folder, root) = store();
    fs::write(&root.format_file(), b"cbi-cache 3\n").unwrap();
    let refused = Session::open(root.path()).err().unwrap();
    assert!(matches!(refused, StoreError::NewerFormat { found: 3, known: 2, .. }), "{refused}");
    assert!(matches!(fsck::check(&root), Err(StoreError::NewerFormat { .. })));

    fs::write(&root.format_file(), b"xbi-cache 1\n").unwrap();
    assert!(matches!(Session::open(root.path()).err().unwrap(), StoreError::BadFormat { .. }));
    let report = fsck::check(&root).unwrap();
    assert_eq!(report.findings, [Finding::Format { path: root.format_file() }]);
    fsck::repair(&root, &report, &root.alone().unwrap()).unwrap();
    assert_eq!((findings(&root), build_all(root.path())), (vec![], 0));

    for lost in [&b""[..], &[0; 12]] {
        fs::write(&root.format_file(), lost).unwrap();
        assert_eq!(build_all(root.path()), 0, "a cut or zeroed format is written again");
    }

    let home = folder.path().join("home");
    fs::create_folders(&home.join("letters")).unwrap();
    let refused = Session::open(&home).err().unwrap();
    assert!(refused.to_string().ends_with("is not a cache folder: it holds 'letters'"), "{refused}");
    assert_eq!(fs::list(&home).unwrap().len(), 1);
}

#[test]
fn a_cache_that_cannot_be_written_answers_and_says_so_when_it_should_record() {
    let folder = tempfile::tempdir().unwrap();
    let mount = |arguments: &[&str]| {
        Command::new("mount").args(arguments).arg(folder.path()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
    };
    if !mount(&["-t", "tmpfs", "-o", "size=20m", "tmpfs"]) {
        println!("skipped: needs the right to mount a tmpfs");
        return;
    }
    let outcome = std::panic::catch_unwind(|| {
        let cache = folder.path().join("cache");
        build_all(&cache);
        assert!(mount(&["-o", "remount,ro"]));
        let session = Session::open(&cache).unwrap();
        store_kit::assert_whole(&session, 1);
        assert_eq!(session.cost_of("command", "t/1").unwrap().unwrap().wall_ms, 1);
        session.release().unwrap();
        store_kit::assert_whole(&session, 1);
        let refused = store_kit::build(&session, RESULTS).unwrap_err();
        assert!(matches!(refused, StoreError::ReadOnly { .. }), "{refused}");
        assert_eq!(findings(&Root::at(&cache)), []);
        let refused = Session::open(&folder.path().join("other")).err().unwrap();
        assert!(matches!(refused, StoreError::ReadOnly { .. }), "{refused}");
    });
    assert!(Command::new("umount").arg(folder.path()).status().unwrap().success());
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn a_collection_deletes_what_nobody_keeps_and_nothing_else() {
    let (_folder, root) = store();
    let kept = store_kit::action(1).key();
    let keep = Keep { actions: [kept].into(), ..Keep::default() };
    let alone = root.alone().unwrap();
    let plan = gc::plan(&root, &keep).unwrap();
    assert_eq!((plan.delete.len() as u64, plan.kept, plan.results), ((RESULTS - 1) * 2, 3, RESULTS - 1));
    gc::apply(&root, &plan, &alone).unwrap();
    drop(alone);
    assert_eq!(findings(&root), []);
    store_kit::assert_whole(&Session::open(root.path()).unwrap(), 1);
    assert_eq!(gc::plan(&root, &keep).unwrap().delete, []);
    assert_eq!(build_all(root.path()), RESULTS - 1);
}

#[test]
fn a_collection_waits_for_builds_and_builds_for_a_collection() {
    let (_folder, root) = store();
    let (_one, two) = (root.building().unwrap(), root.building().unwrap());
    drop(two);
    let refused = root.alone().unwrap_err();
    assert!(matches!(refused, StoreError::Busy { pid: Some(_), .. }), "{refused}");
}
