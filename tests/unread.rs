//! An input that did not change is not read again, however large: Linux counts what a process and its children read.
#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::unwrap_used)]

mod build_kit;

use std::fs::{self, File};
use std::process::Command;
use std::thread;
use std::time::Duration;

use build_kit::{Said, Workspace};

const SIZE: u64 = 32 << 20;
/// Far more than a build reads beside its inputs, of which the index is a megabyte, now and then two.
const LITTLE: u64 = SIZE / 4;

/// Builds; the counts, and the bytes that were read, from the disk or from memory.
fn build(workspace: &Workspace, words: &[&str]) -> ([u64; 3], u64) {
    let plain = workspace.command(words);
    let mut command = Command::new("sh");
    command.args(["-c", "\"$0\" \"$@\" && cat /proc/$$/io >&2"]).arg(plain.get_program()).args(plain.get_args());
    let said = Said::of(command.env_remove("CBI_FAILPOINT").output().unwrap());
    assert_eq!(said.code, Some(0), "{said:?}");
    let read = said.errors.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap();
    (said.counts(), read)
}

#[test]
fn a_large_file_is_read_when_it_is_new_or_touched_and_never_while_it_is_as_it_was() {
    let workspace = Workspace::new();
    let recipe = "[command.\"o/size\"]\nshell = \"wc -c < src/large > o/size\"\nfiles = [\"src/large\"]\noutputs = [\"o/size\"]\n";
    workspace.write("recipes/all.toml", recipe);
    workspace.write("src/large", "");
    let large = workspace.path("src/large");
    File::options().write(true).open(&large).unwrap().set_len(SIZE).unwrap();
    // A file this young could change without a trace.
    thread::sleep(Duration::from_millis(200));

    let (counts, read) = build(&workspace, &[]);
    assert_eq!(counts, [1, 0, 0]);
    assert!(read >= SIZE, "{read} bytes");

    for (what, words) in [("nothing changed", [].as_slice()), ("asked in other words", &["o/*"])] {
        let (counts, read) = build(&workspace, words);
        assert_eq!(counts, [0, 1, 0], "{what}");
        assert!(read < LITTLE, "{what}: {read} bytes");
    }
    workspace.write("recipes/all.toml", &format!("{recipe}timeout = \"1h\"\n"));
    let (counts, read) = build(&workspace, &[]);
    assert_eq!(counts, [0, 1, 0]);
    assert!(read < LITTLE, "another file changed: {read} bytes");

    let touched = File::options().append(true).open(&large).unwrap();
    touched.set_modified(fs::metadata(&large).unwrap().modified().unwrap() - Duration::from_secs(1)).unwrap();
    thread::sleep(Duration::from_millis(200));
    let (counts, read) = build(&workspace, &[]);
    assert_eq!(counts, [0, 1, 0]);
    assert!((SIZE..SIZE + LITTLE).contains(&read), "touched: {read} bytes");
}
