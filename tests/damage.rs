//! Whatever in the cache is flipped, cut, zeroed or removed: the next build gives the right bytes, and a lost index costs time only.
#![allow(missing_docs, clippy::unwrap_used)]

mod build_kit;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use build_kit::{Said, Workspace};
use cbi::store::fsck;
use cbi::store::root::Root;

const RECIPE: &str = r#"
[command."t/0"]
shell = "cat src/a.txt > o0"
files = ["src/a.txt"]
outputs = ["o0"]

[command."t/1"]
shell = "tr a-z A-Z < o0 > o1"
needs = ["t/0"]
outputs = ["o1"]

[command."t/2"]
shell = "cat o0 o1 > o2"
needs = ["t/0", "t/1"]
outputs = ["o2"]
"#;

/// A workspace that was built twice, so that the cache holds older results too.
fn built() -> Workspace {
    let workspace = Workspace::new();
    workspace.write("recipes/all.toml", RECIPE);
    for content in ["first\n", "alpha\n"] {
        workspace.write("src/a.txt", content);
        assert_eq!(workspace.build(&[]).code, Some(0));
    }
    // The second time around nothing is too young to be trusted: this leaves the index of the last build.
    std::thread::sleep(std::time::Duration::from_millis(120));
    assert_eq!(workspace.build(&[]).counts(), [0, 3, 0]);
    workspace
}

fn assert_builds(workspace: &Workspace, after: &str) -> Said {
    let said = workspace.build(&[]);
    assert_eq!((said.code, said.count("ran") + said.count("reused")), (Some(0), 3), "{after}: {said:?}");
    for (target, file, right) in [("t/0", "o0", "alpha\n"), ("t/1", "o1", "ALPHA\n"), ("t/2", "o2", "alpha\nALPHA\n")] {
        assert_eq!(workspace.out(target, file).as_deref(), Some(right), "{target} {after}: {said:?}");
    }
    said
}

/// Every file of the cache that holds something, by its path in it.
fn files(cache: &Path) -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.symlink_metadata().unwrap() {
                m if m.is_dir() => walk(&path, found),
                m if m.is_file() && m.len() > 0 => found.push(path),
                _ => {}
            }
        }
    }
    let mut found = Vec::new();
    for entry in ["blobs", "journal", "cache", "cache.seal", "index"] {
        let path = cache.join(entry);
        if path.is_dir() { walk(&path, &mut found) } else { found.push(path) }
    }
    let mut found: Vec<PathBuf> = found.iter().map(|p| p.strip_prefix(cache).unwrap().to_owned()).collect();
    found.sort();
    found
}

type Change = fn(&mut Vec<u8>);

const CHANGES: [(&str, Option<Change>); 5] = [
    ("flipped in the middle", Some(|bytes| flip(bytes, 2))),
    ("flipped near the end", Some(|bytes| flip(bytes, 1))),
    ("cut", Some(|bytes| bytes.truncate(bytes.len() / 2))),
    ("zeroed", Some(|bytes| bytes.fill(0))),
    ("removed", None),
];

fn flip(bytes: &mut [u8], from_the_end: usize) {
    let at = if from_the_end == 1 { bytes.len() - 1 } else { bytes.len() / 2 };
    bytes[at] ^= 0x10;
}

fn damage(path: &Path, change: Option<Change>) {
    match change {
        None => fs::remove_file(path).unwrap(),
        Some(change) => {
            let mut bytes = fs::read(path).unwrap();
            change(&mut bytes);
            fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
}

#[test]
fn any_file_of_the_cache_damaged_in_any_way_costs_work_and_never_bytes() {
    let count = files(&built().path(".cbi-cache")).len();
    for (how, change) in CHANGES {
        for at in 0..count {
            let workspace = built();
            let cache = workspace.path(".cbi-cache");
            let Some(file) = files(&cache).get(at).cloned() else { continue };
            damage(&cache.join(&file), change);
            let after = format!("{} {how}", file.display());
            // Cutting a log at the end of a record is a crash, not damage; what matters is that the build is right.
            let findings = fsck::check(&Root::at(&cache)).unwrap().findings;
            if file.starts_with("blobs") && how != "removed" {
                assert!(!findings.is_empty(), "{after}: fsck must name it");
            }
            assert_builds(&workspace, &after);
            // The index of the last build may have answered without a look at what is damaged; a change of state does look.
            let both = || {
                workspace.write("src/a.txt", "first\n");
                let first = workspace.build(&[]);
                assert_eq!(first.code, Some(0), "{after}, then another state: {first:?}");
                assert_eq!(workspace.out("t/2", "o2").as_deref(), Some("first\nFIRST\n"), "{after}, then another state");
                workspace.write("src/a.txt", "alpha\n");
                first.count("ran") + assert_builds(&workspace, &after).count("ran")
            };
            both();
            assert_eq!(both(), 0, "{after}: healed");
        }
    }
}

#[test]
fn without_its_database_a_cache_forgets_nothing() {
    let workspace = built();
    fs::remove_dir_all(workspace.path(".cbi-cache/cache")).unwrap();
    fs::remove_file(workspace.path(".cbi-cache/index")).unwrap();
    assert_eq!(assert_builds(&workspace, "database removed").counts(), [0, 3, 0]);
    workspace.write("src/a.txt", "first\n");
    assert_eq!(workspace.build(&[]).counts(), [0, 3, 0], "nor what was built before");
}

#[test]
fn out_can_be_deleted_at_any_time() {
    let workspace = built();
    fs::remove_dir_all(workspace.path(".cbi-cache/out")).unwrap();
    assert_eq!(workspace.build(&[]).counts(), [0, 3, 0]);
    fs::remove_file(workspace.path(".cbi-cache/index")).unwrap();
    assert_eq!(assert_builds(&workspace, "the next build that looks").counts(), [0, 3, 0]);
}

#[test]
fn a_cache_removed_altogether_is_built_again() {
    let workspace = built();
    fs::remove_dir_all(workspace.path(".cbi-cache")).unwrap();
    assert_eq!(assert_builds(&workspace, "all removed").counts(), [3, 0, 0]);
}
