//! One suite for every content store. A store passes all of it or is none.
#![allow(missing_docs, clippy::unwrap_used)]

use std::io::Read;
use std::path::Path;

use cbi::base::digest::{BlobId, Digest};
use cbi::io::fs;
use cbi::model::manifest::{FileEntry, Manifest};
use cbi::store::content::{Batch, ContentStore};
use cbi::store::local::LocalStore;
use cbi::store::materialize::{capture, place};
use cbi::store::memory::MemoryStore;
use cbi::store::root::Root;

/// Runs `check` on every implementation, each with an empty folder beside it on the same file system.
fn every_store(check: fn(&dyn ContentStore, &Path)) {
    let folder = tempfile::tempdir().unwrap();
    let root = Root::open(&folder.path().join("cache")).unwrap();
    for (name, store) in [("local", Box::new(LocalStore::new(root)) as Box<dyn ContentStore>), ("memory", Box::new(MemoryStore::default()))]
    {
        let beside = folder.path().join(name);
        fs::create_folder(&beside).unwrap();
        check(&*store, &beside);
    }
}

fn id(bytes: &[u8]) -> BlobId {
    BlobId(Digest::of(bytes))
}

fn read_all(store: &dyn ContentStore, id: &BlobId) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.open(id).unwrap().unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn what_is_put_is_found_under_the_digest_of_its_bytes() {
    every_store(|store, folder| {
        let contents: [&[u8]; 4] = [b"", b"x", b"two\nlines", &vec![7; 3 << 20]];
        for bytes in contents {
            let mut batch = Batch::new();
            assert_eq!(store.size_of(&id(bytes)).unwrap(), None);
            assert!(store.open(&id(bytes)).unwrap().is_none());
            assert_eq!(store.read(&id(bytes)).unwrap(), None);
            let file = folder.join("file");
            fs::write(&file, bytes).unwrap();
            assert_eq!(store.put_file(&file, &mut batch).unwrap(), (id(bytes), bytes.len() as u64));
            assert_eq!(store.put_bytes(bytes, &mut batch).unwrap(), id(bytes));
            assert_eq!(fs::read(&file).unwrap(), bytes, "a file that is copied stays");
            store.commit(&batch).unwrap();
            assert_eq!(store.size_of(&id(bytes)).unwrap(), Some(bytes.len() as u64));
            assert_eq!(read_all(store, &id(bytes)), bytes);
            assert_eq!(store.read(&id(bytes)).unwrap().unwrap(), bytes);
        }
    });
}

#[test]
fn an_adopted_file_is_gone_whether_or_not_its_bytes_were_known() {
    every_store(|store, folder| {
        for round in 0..2 {
            let mut batch = Batch::new();
            let file = folder.join("file");
            fs::write(&file, b"made here").unwrap();
            assert_eq!(store.adopt_file(&file, &mut batch).unwrap(), (id(b"made here"), 9), "round {round}");
            store.commit(&batch).unwrap();
            assert_eq!(fs::stat(&file).unwrap(), None);
        }
        assert_eq!(store.read(&id(b"made here")).unwrap().unwrap(), b"made here");
    });
}

#[test]
fn a_file_with_another_name_is_adopted_without_giving_that_name_a_way_in() {
    every_store(|store, folder| {
        let (file, other) = (folder.join("file"), folder.join("other"));
        fs::write(&file, b"shared").unwrap();
        fs::hard_link(&file, &other).unwrap();
        let mut batch = Batch::new();
        store.adopt_file(&file, &mut batch).unwrap();
        store.commit(&batch).unwrap();
        fs::write(&other, b"change").unwrap();
        assert_eq!(store.read(&id(b"shared")).unwrap().unwrap(), b"shared");
    });
}

#[test]
fn batches_with_the_same_bytes_may_be_committed_together_and_again() {
    every_store(|store, folder| {
        let mut together = Batch::new();
        for n in 0..3 {
            let file = folder.join(n.to_string());
            fs::write(&file, b"the same").unwrap();
            let mut batch = Batch::new();
            store.adopt_file(&file, &mut batch).unwrap();
            store.put_bytes(n.to_string().as_bytes(), &mut batch).unwrap();
            store.put_bytes(b"the same", &mut batch).unwrap();
            together.merge(&batch);
        }
        store.commit(&together).unwrap();
        store.commit(&together).unwrap();
        assert_eq!(fs::list(folder).unwrap(), []);
        for bytes in ["the same", "0", "1", "2"] {
            assert_eq!(store.read(&id(bytes.as_bytes())).unwrap().unwrap(), bytes.as_bytes());
        }
    });
}

#[test]
fn a_captured_folder_placed_again_has_the_same_manifest() {
    every_store(|store, folder| {
        let made = folder.join("made");
        fs::create_folders(&made.join("deep/empty")).unwrap();
        fs::write(&made.join("model.txt"), b"tree").unwrap();
        fs::write(&made.join("deep/copy.txt"), b"tree").unwrap();
        fs::write(&made.join("deep/run.sh"), b"#!/bin/sh\n").unwrap();
        fs::set_mode(&made.join("deep/run.sh"), 0o700).unwrap();
        let mut batch = Batch::new();
        let manifest = capture(store, &made, &mut batch).unwrap();
        store.commit(&batch).unwrap();
        assert_eq!(manifest.files.keys().collect::<Vec<_>>(), ["deep/copy.txt", "deep/run.sh", "model.txt"]);
        assert!(manifest.files["deep/run.sh"].executable);

        let placed = folder.join("placed");
        place(store, &manifest, &placed).unwrap();
        assert_eq!(fs::read(&placed.join("deep/copy.txt")).unwrap(), b"tree");
        assert_eq!(fs::stat(&placed.join("deep/run.sh")).unwrap().unwrap().mode, 0o555);
        assert_eq!(fs::stat(&placed.join("model.txt")).unwrap().unwrap().mode, 0o444);
        assert_eq!(capture(store, &placed, &mut Batch::new()).unwrap(), manifest);
    });
}

#[test]
fn a_folder_with_a_link_or_a_pipe_is_refused_and_the_culprit_named() {
    every_store(|store, folder| {
        let made = folder.join("made");
        fs::create_folder(&made).unwrap();
        fs::symlink(Path::new("/etc/passwd"), &made.join("link")).unwrap();
        let refused = capture(store, &made, &mut Batch::new()).unwrap_err();
        assert!(refused.to_string().contains("made/link' is a symbolic link"), "{refused}");
        fs::remove_file(&made.join("link")).unwrap();
        let socket = std::os::unix::net::UnixListener::bind(made.join("socket")).unwrap();
        let refused = capture(store, &made, &mut Batch::new()).unwrap_err();
        assert!(refused.to_string().contains("made/socket' is neither"), "{refused}");
        drop(socket);
    });
}

#[test]
fn placing_what_is_not_there_names_the_blob() {
    every_store(|store, folder| {
        let blob = id(b"never put");
        let manifest = Manifest::new([("x".to_owned(), FileEntry { blob, size: 9, executable: false })]).unwrap();
        let refused = place(store, &manifest, &folder.join("placed")).unwrap_err();
        assert!(refused.to_string().contains(&blob.to_string()), "{refused}");
    });
}

#[test]
fn several_threads_may_be_the_first_to_need_a_folder() {
    for _ in 0..40 {
        every_store(|store, _| {
            let together = std::sync::Barrier::new(4);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        let mut batch = Batch::new();
                        store.put_bytes(b"first", &mut batch).unwrap();
                        together.wait();
                        store.commit(&batch).unwrap();
                    });
                }
            });
            assert_eq!(store.size_of(&id(b"first")).unwrap(), Some(5));
        });
    }
}

#[test]
fn several_threads_may_put_the_same_bytes() {
    every_store(|store, _| {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for n in 0..20_u32 {
                        let mut batch = Batch::new();
                        store.put_bytes(&n.to_le_bytes(), &mut batch).unwrap();
                        store.commit(&batch).unwrap();
                    }
                });
            }
        });
        assert!((0..20_u32).all(|n| store.size_of(&id(&n.to_le_bytes())).unwrap() == Some(4)));
    });
}
