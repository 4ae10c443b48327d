//! Promises about what is printed and does not arrive. Invariant: a part is never taken for the whole, and what was to be done is done all the same.
#![allow(clippy::unwrap_used)]

#[path = "common/space.rs"]
mod space;

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use space::TestSpace;

/// A chain of two commands; the first takes its time.
fn chain() -> TestSpace {
    let space = TestSpace::empty();
    let recipes = "[command.a]\nshell = \"sleep 0.3; echo 1 > a\"\noutputs = [\"a\"]\n\
                   [command.b]\nshell = \"cat a > b\"\nneeds = [\"a\"]\noutputs = [\"b\"]\n";
    space.write("recipes/a.toml", recipes);
    space
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_an_error_of_every_command() {
    let space = chain();
    space.build(&["b"]).ran(&["a", "b"]);
    space.write("warehouse/m.prices.csv", "date,price\n2020-01-01,1.5\n");
    for arguments in [
        &["build"][..],
        &["build", "--json"],
        &["build", "--dry-run"],
        &["plan", "--json"],
        &["status"],
        &["why", "b"],
        &["graph"],
        &["log"],
        &["log", "b"],
        &["show", "b"],
        &["cat", "m.prices"],
        &["diff", "a", "b"],
        &["get", "b", "-o", "copy"],
        &["reproduce", "b"],
        &["gc", "--dry-run"],
        &["fsck"],
        &["doctor"],
        &["schema"],
        &["completions", "bash"],
        &["init", "new"],
        &["--help"],
        &["build", "--help"],
        &["--version"],
    ] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = space.command(arguments).stdout(full).output().unwrap();
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {complaint}");
        assert!(complaint.contains("error: what was to be printed could not be written"), "{arguments:?}: {complaint}");
        assert!(complaint.contains("No space left"), "{arguments:?}: {complaint}");
    }
    assert_eq!(fs::read_to_string(space.path("copy/b")).unwrap(), "1\n", "what was to be done is done");
    let full = File::options().write(true).open("/dev/full").unwrap();
    let quiet = space.command(&["-q", "build"]).stdout(full).output().unwrap();
    assert_eq!(quiet.status.code(), Some(0), "who prints nothing loses nothing");
}

#[cfg(target_os = "linux")]
#[test]
fn a_build_that_cannot_say_what_it_does_does_it_and_keeps_its_own_code() {
    let space = chain();
    let full = || File::options().write(true).open("/dev/full").unwrap();
    assert_eq!(space.command(&["build", "b"]).stdout(full()).output().unwrap().status.code(), Some(1));
    space.build(&["b"]).ran(&[]);
    assert_eq!(space.command(&["build", "c"]).stdout(full()).output().unwrap().status.code(), Some(2));
    space.edit("recipes/a.toml", "cat a > b", "exit 3");
    let failed = space.command(&["build", "b"]).stdout(full()).output().unwrap();
    assert_eq!(failed.status.code(), Some(1));
}

#[test]
fn a_reader_that_goes_away_ends_a_look_in_silence_and_cuts_no_build_off() {
    for form in ["--json", "--no-progress"] {
        let space = chain();
        let mut building = space.command(&["build", "b", form]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(building.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let built = building.wait_with_output().unwrap();
        assert_eq!((built.status.code(), String::from_utf8(built.stderr).unwrap().as_str()), (Some(0), ""), "{form}");
        space.build(&["b"]).ran(&[]);
    }
    let space = chain();
    let mut looking = space.command(&["schema"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(looking.stdout.take());
    let looked = looking.wait_with_output().unwrap();
    assert_eq!((looked.status.code(), String::from_utf8(looked.stderr).unwrap().as_str()), (Some(0), ""));
}
