//! A delivery or a rollback that is killed anywhere, or that a disk fails: the next one finishes it, and the destination holds each row once, equal to
//! the artifact.
#![allow(missing_docs, clippy::unwrap_used)]

mod build_kit;

use std::collections::BTreeMap;
use std::process::Output;

use build_kit::Workspace;
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

fn workspace() -> Workspace {
    let workspace = Workspace::new();
    workspace.write("cbi.toml", "[workspace]\nname = \"test\"\npublished = \"published\"\n");
    workspace.write("recipes/all.toml", RECIPE);
    workspace
}

fn run(workspace: &Workspace, words: &[&str], fault: Option<&str>) -> Output {
    let mut command = workspace.cbi(words);
    command.envs(fault.map(|fault| ("CBI_FAILPOINT", fault)));
    let output = command.output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"), "{words:?} {fault:?}: {output:?}");
    output
}

fn runs(workspace: &Workspace, words: &[&str], after: &str) {
    let output = run(workspace, words, None);
    assert_eq!(output.status.code(), Some(0), "{words:?} after {after}: {output:?}");
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

/// Every operation of the command is its last, and now and then fails; `check` looks at what the next one, unharmed, comes to. Returns how many there are.
fn sweep(prepare: impl Fn(usize), strike: impl Fn(&str) -> Output, check: impl Fn(usize, &str)) -> usize {
    let mut round = 0;
    for n in 1.. {
        for (what, every) in [("kill", 1), ("tear", 6), ("eio", 9)] {
            if n % every == 0 {
                round += 1;
                prepare(round);
                let fault = format!("nth={n}:{what}");
                let struck = strike(&fault);
                check(round, &fault);
                if what == "kill" && struck.status.code().is_some() {
                    assert_eq!(struck.status.code(), Some(0), "{fault}: {struck:?}");
                    return n;
                }
            }
        }
    }
    unreachable!()
}

#[test]
fn a_delivery_that_ends_anywhere_is_finished_by_the_next_one_and_no_row_comes_twice() {
    let workspace = workspace();
    let deliver = ["build", "publish/days"];
    let content = |round: usize| format!("day,said\nfirst,{round}\nd{},new\n", round % 7);
    let prepare = |round: usize| {
        workspace.write("warehouse/m.raw.csv", &content(round));
        runs(&workspace, &["build", "m.raw"], "what came before");
    };
    let strike = |fault: &str| run(&workspace, &deliver, Some(fault));
    let check = |round: usize, fault: &str| {
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
    let operations = sweep(prepare, strike, check);
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
    let round = std::cell::Cell::new(0);
    let back = |fault: Option<&str>| {
        let words = words(round.get());
        run(&workspace, &words.each_ref().map(String::as_str), fault)
    };
    let check = |now: usize, fault: &str| {
        let healed = back(None);
        assert_eq!(healed.status.code(), Some(0), "{fault}: {healed:?}");
        assert_eq!(days(&workspace), BTreeMap::from([("a".to_owned(), said(now))]), "{fault}");
        assert!(deliveries(&workspace).iter().all(|delivery| delivery["state"] != "begun"), "{fault}");
    };
    let operations = sweep(|now| round.set(now), |fault| back(Some(fault)), check);
    assert!(operations > 20, "{operations} operations");
}
