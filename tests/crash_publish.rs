//! A delivery or a rollback that is killed anywhere, or that a disk fails: the next one finishes it, and the destination holds each row once, equal to
//! the artifact.
#![allow(missing_docs, clippy::unwrap_used)]

mod build_kit;

use std::cell::Cell;
use std::collections::BTreeMap;

use build_kit::{Workspace, run, runs, sweep};
use cbi::engine::table_columns::strings;
use cbi::engine::table_file;
use serde_json::Value;

const RECIPE: &str = r#"
[table."m.raw"]
[publish."publish/days"]
from = "m.raw"
to = "out.days"
mode = "merge"
key = ["day"]
"#;

/// The faults that are tried, each at every so many operations.
const FAULTS: [(&str, usize); 3] = [("kill", 1), ("tear", 6), ("eio", 9)];

fn workspace() -> Workspace {
    let workspace = Workspace::new();
    workspace.write("cbi.toml", "[workspace]\nname = \"test\"\npublished = \"published\"\n");
    workspace.write("recipes/all.toml", RECIPE);
    workspace
}

/// The days of the published table with what they hold, each once.
fn days(workspace: &Workspace) -> BTreeMap<String, String> {
    let rows = table_file::read(&workspace.path("published/out.days.parquet")).unwrap();
    let texts = |name: &str| strings(&rows, name).unwrap().into_iter().map(|t| t.unwrap().to_owned()).collect::<Vec<_>>();
    let all: BTreeMap<String, String> = texts("day").into_iter().zip(texts("said")).collect();
    assert_eq!(all.len(), rows.num_rows(), "each row once");
    all
}

/// Deliveries and their states, the newest first.
fn deliveries(workspace: &Workspace) -> Vec<Value> {
    let output = run(workspace, &["rollback", "publish/days", "--list", "--json"], None);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    said["deliveries"].as_array().unwrap().clone()
}

#[test]
fn a_delivery_that_ends_anywhere_is_finished_by_the_next_one_and_no_row_comes_twice() {
    let workspace = workspace();
    let deliver = ["build", "publish/days"];
    let content = |round: usize| format!("day,said\nfirst,{round}\nd{},new\n", round % 7);
    let round = Cell::new(0);
    let prepare = |_: &str| {
        round.set(round.get() + 1);
        workspace.write("warehouse/m.raw.csv", &content(round.get()));
        runs(&workspace, &["build", "m.raw"], "what came before");
    };
    let strike = |fault: &str| run(&workspace, &deliver, Some(fault));
    let check = |fault: &str| {
        let round = round.get();
        runs(&workspace, &deliver, fault);
        let mut expected: BTreeMap<String, String> = (1..=round).map(|n| (format!("d{}", n % 7), "new".to_owned())).collect();
        expected.insert("first".to_owned(), round.to_string());
        assert_eq!(days(&workspace), expected, "{fault}");
        let again = workspace.build(&["publish/days"]);
        assert_eq!(again.counts()[0], 0, "{fault}: {again:?}");
        if round.is_multiple_of(20) {
            let all = deliveries(&workspace);
            assert!(all.len() == round && all.iter().all(|delivery| delivery["state"] == "stands"), "{fault}: one for each round, {all:?}");
        }
    };
    let operations = sweep(&FAULTS, prepare, strike, check);
    assert!(operations > 40, "{operations} operations");
}

#[test]
fn a_rollback_that_ends_anywhere_is_finished_by_the_next_one() {
    let workspace = workspace();
    for content in ["day,said\na,1\n", "day,said\na,2\n"] {
        workspace.write("warehouse/m.raw.csv", content);
        runs(&workspace, &["build", "publish/days"], content);
    }
    let said = |n: usize| (1 + n % 2).to_string();
    let words = |round: usize| ["rollback".to_owned(), "publish/days".to_owned(), "--to".to_owned(), said(round)];
    let round = Cell::new(0);
    let back = |fault: Option<&str>| {
        let words = words(round.get());
        run(&workspace, &words.each_ref().map(String::as_str), fault)
    };
    let check = |fault: &str| {
        let healed = back(None);
        assert_eq!(healed.status.code(), Some(0), "{fault}: {healed:?}");
        assert_eq!(days(&workspace), BTreeMap::from([("a".to_owned(), said(round.get()))]), "{fault}");
        assert!(deliveries(&workspace).iter().all(|delivery| delivery["state"] != "begun"), "{fault}");
    };
    let operations = sweep(&FAULTS, |_| round.set(round.get() + 1), |fault| back(Some(fault)), check);
    assert!(operations > 20, "{operations} operations");
}
