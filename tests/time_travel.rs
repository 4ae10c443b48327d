//! Going back: what was on that day is built again from what it stood on, or copied by its hash.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "common/space.rs"]
mod space;

use std::collections::BTreeSet;
use std::fs;

use cbi::base::digest::BlobId;
use cbi::model::action::Input;
use cbi::registry::journal::Journal;
use cbi::store::action_cache::Session;
use serde_json::Value;
use space::{Built, TestSpace, run};

/// One step whose output is another every time, and one that is steady, each beneath another.
const RECIPES: &str = r#"
[command."noise"]
shell = "date +%s%N > when.txt"
outputs = ["when.txt"]

[command."last"]
shell = "wc -l < when.txt > lines.txt"
needs = ["noise"]
outputs = ["lines.txt"]

[command."ground"]
shell = "echo always > same.txt"
outputs = ["same.txt"]

[command."steady"]
shell = "cat same.txt > again.txt"
needs = ["ground"]
outputs = ["again.txt"]
"#;

const MODEL: &str = "model/wti/lightgbm/1w";

/// The hash of the model as it is now.
fn model(space: &TestSpace) -> String {
    run(space, &["show", MODEL], 0).0["artifacts"]["model"]["hash"].as_str().unwrap().to_owned()
}

/// Every build, the newest first: its hash and when it began.
fn builds(space: &TestSpace) -> Vec<(String, String)> {
    let text = String::from_utf8(space.command(&["log", "--json", "-n", "0"]).output().unwrap().stdout).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    let all = value.as_array().cloned().or_else(|| value["builds"].as_array().cloned()).unwrap_or_else(|| panic!("{text}"));
    all.iter().map(|build| (build["build"].as_str().unwrap().to_owned(), build["started"].as_str().unwrap().to_owned())).collect()
}

fn went_back(built: &Built) -> &Value {
    let found = built.events.iter().find(|event| event["event"] == "went_back");
    found.unwrap_or_else(|| panic!("it went nowhere:\n{}\n{}", built.stdout, built.stderr))
}

/// Takes the bytes of everything that actions made out of the store; with `sources`, those of what they read too.
fn forget(space: &TestSpace, sources: bool) {
    let session = Session::open(&space.path(".cbi-cache")).unwrap();
    let mut blobs: BTreeSet<BlobId> = BTreeSet::new();
    session
        .each_result(|result| {
            blobs.extend(result.outputs.values().flat_map(|manifest| manifest.files.values()).map(|file| file.blob));
            let read =
                result.action.inputs.values().filter_map(|input| if let Input::File { blob, .. } = input { Some(*blob) } else { None });
            blobs.extend(read.filter(|_| sources));
            true
        })
        .unwrap();
    assert!(!blobs.is_empty());
    for blob in blobs {
        _ = fs::remove_file(session.content().path_of(&blob));
        session.content().packs().forget(&[blob]).unwrap();
    }
}

/// A workspace whose query, parameters and prices have changed between two builds of the model; the hash of the first one.
fn changed() -> (TestSpace, String) {
    let space = TestSpace::wti();
    space.build(&[MODEL]).ok();
    let first = model(&space);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    space.edit("sql/wti/features.sql", "EXTRACT(DAY FROM date) AS cal_day", "2 * EXTRACT(DAY FROM date) AS cal_day");
    space.edit("recipes/wti/models.toml", "learning_rate = 0.02", "learning_rate = 0.05");
    let prices = "warehouse/fred.dcoilwtico.csv";
    let text = space.read(prices);
    space.write(prices, text.trim_end().rsplit_once('\n').unwrap().0);
    space.build(&[MODEL]).ok();
    assert_ne!(model(&space), first);
    (space, first)
}

#[test]
fn a_past_build_is_there_again_without_a_step_and_after_its_bytes_are_gone_with_the_same_bits() {
    let (space, first) = changed();
    let second = model(&space);
    let list = builds(&space);
    let [(_, began), (past, _)] = &list[..] else { panic!("two builds: {list:?}") };
    let as_it_was = |built: Built, ran: bool| {
        let back = went_back(&built).clone();
        assert_eq!((back["same"].as_bool(), back["artifacts"]["model"].as_str()), (Some(true), Some(first.as_str())), "{back}");
        assert_eq!(built.counts.unwrap().0 > 0, ran, "{:?}", built.targets);
    };
    as_it_was(space.build(&["--at", past, MODEL]).ok(), false);
    as_it_was(space.build(&["--at", past]).ok(), false);
    as_it_was(space.build(&["--at", began, MODEL]).ok(), false);
    as_it_was(space.build(&["--at", &first[..12]]).ok(), false);

    // What the workspace is now stays as it is.
    assert_eq!((model(&space), builds(&space).len()), (second, 2));
    space.build(&[MODEL]).ran(&[]);
    // What is pinned stays, whatever is collected.
    assert_eq!(run(&space, &["pin", past], 0).0["what"], "build");
    run(&space, &["gc", "--keep-builds", "1", "--keep-days", "0"], 0);
    as_it_was(space.build(&["--at", past, MODEL]).ok(), false);
    assert_eq!(run(&space, &["pin", "--list"], 0).0["pinned"][0]["hash"].as_str(), Some(past.as_str()));

    // The prices of then are in no file of the warehouse any more, and in the store.
    forget(&space, false);
    as_it_was(space.build(&["--at", past, MODEL]).ok(), true);
    forget(&space, true);
    let lost = space.build_plainly(&["--at", past, MODEL]);
    assert_ne!(lost.code, 0);
    assert_eq!(run(&space, &["pin", past, "--remove"], 0).0["changed"], true);
    run(&space, &["gc", "--keep-builds", "1", "--keep-days", "0"], 0);
    assert_eq!(builds(&space).len(), 1, "and goes when it is not pinned any more");
    assert!(lost.stdout.contains("neither in the store nor in the warehouse any more: fred.dcoilwtico"), "{}{}", lost.stdout, lost.stderr);
}

#[test]
fn what_cannot_be_gone_back_to_is_said_and_how_its_results_are_had() {
    let space = TestSpace::wti();
    let refused = |at: &str, why: &str| {
        let output = space.command(&["build", "--at", at, "wti.daily"]).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && told.contains(why), "{at}: {told}");
    };
    refused("2026-01-01", "nothing was ever built here");
    space.build(&["wti.daily"]).ok();
    refused("2001-01-01", "no build had ended here by 2001-01-01T23:59:59Z");
    refused("ffff0000", "hint: ");
    // A build of a time when recipes were not kept.
    {
        let session = Session::open(&space.path(".cbi-cache")).unwrap();
        let mut journal = Journal::open(session.root()).unwrap();
        let (id, build) = journal.last().unwrap().unwrap();
        let targets = Journal::targets(session.content(), id, &build).unwrap();
        journal.append(session.content(), cbi::model::build::Build { grounds: None, ..build }, &targets).unwrap();
    }
    refused(&builds(&space)[0].0, "it was made before recipes and queries were kept with builds");
    let other = space.command(&["build", "--at", &builds(&space)[1].0, "wti.features"]).output().unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&other.stdout), String::from_utf8_lossy(&other.stderr));
    assert!(told.contains("that build did not read the table 'fred.cpilfesl'"), "{told}");
}

#[test]
fn an_artifact_is_checked_out_by_its_hash_from_here_from_then_and_from_the_mirror() {
    let mirror = tempfile::tempdir().unwrap();
    let settings = format!("\n[mirror]\nurl = \"file://{}\"\n", mirror.path().display());
    let (space, first) = changed();
    space.write("cbi.toml", space.read("cbi.toml") + &settings);
    run(&space, &["mirror", "push"], 0);
    let past = builds(&space)[1].0.clone();
    let folder = |name: &str| space.path(name).display().to_string();
    let bytes = |name: &str| fs::read(space.path(name).join("model.txt")).unwrap();
    run(&space, &["checkout", &first[..10], "-o", &folder("by-hash")], 0);
    run(&space, &["checkout", &format!("{MODEL}#model"), "--at", &past, "-o", &folder("by-build")], 0);
    run(&space, &["checkout", &format!("{MODEL}#model"), "-o", &folder("now")], 0);
    assert_eq!(bytes("by-hash"), bytes("by-build"));
    assert_ne!(bytes("by-hash"), bytes("now"));
    assert!(run(&space, &["checkout", &first, "-o", &folder("now")], 2).1.contains("is not empty"));

    // What is here needs no mirror.
    let away = mirror.path().with_extension("away");
    fs::rename(mirror.path(), &away).unwrap();
    run(&space, &["checkout", &first, "-o", &folder("offline")], 0);
    fs::rename(&away, mirror.path()).unwrap();
    // Its bytes are gone here, and in the mirror.
    forget(&space, false);
    run(&space, &["checkout", &first, "-o", &folder("brought")], 0);
    assert_eq!(bytes("brought"), bytes("by-hash"));
    // Another machine that has built nothing.
    let other = TestSpace::wti();
    other.write("cbi.toml", other.read("cbi.toml") + &settings);
    let there = other.path("there");
    run(&other, &["checkout", &first[..12], "-o", &there.display().to_string()], 0);
    assert_eq!(fs::read(there.join("model.txt")).unwrap(), bytes("by-hash"));
    let nowhere = other.path("nowhere").display().to_string();
    assert!(run(&other, &["checkout", "00000000000000", "-o", &nowhere], 2).1.contains("neither here nor in the mirror"));

    // What is nowhere any more leaves no folder behind.
    forget(&space, false);
    fs::remove_dir_all(mirror.path().join("00000001/packs")).unwrap();
    assert!(run(&space, &["checkout", &first, "-o", &folder("lost")], 2).1.contains("neither in the store nor in the mirror"));
    assert!(!space.path("lost").exists());
}

#[test]
fn a_deep_reproduction_begins_with_the_sources_and_names_the_first_action_that_differs() {
    let space = TestSpace::empty();
    space.write("recipes/a.toml", RECIPES);
    space.build(&["last", "steady"]).ok();
    let whole = run(&space, &["reproduce", "last"], 0).0;
    assert_eq!((whole["outcome"].as_str(), whole["compared"].as_u64()), (Some("identical"), Some(1)));
    let deep = run(&space, &["reproduce", "last", "--deep"], 4).0;
    assert_eq!((deep["target"].as_str(), deep["outcome"].as_str()), (Some("noise"), Some("differs")), "{deep}");
    assert!(deep["how"][0].as_str().unwrap().contains("bytes"), "{deep}");
    // What lies beside it and below it was made again and is the same.
    let steady = run(&space, &["reproduce", "steady", "--deep"], 0).0;
    assert_eq!((steady["outcome"].as_str(), steady["compared"].as_u64()), (Some("identical"), Some(2)));
}
