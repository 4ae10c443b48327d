//! Promises about delivering a table: once, only when named, never over what somebody else wrote, and back again. Invariant: what is looked at is the
//! destination's own file, read as anybody would.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop where it stands")]

mod common;
#[path = "common/space.rs"]
mod space;

use std::fs;
use std::path::Path;

use cbi::engine::table_columns::{floats, names, strings};
use cbi::engine::table_file;
use serde_json::Value;
use space::{Built, TestSpace};

const RECIPES: &str = r#"
[table."m.raw"]
types = { price = "FLOAT64" }
[sql."m.daily"]
query = "SELECT * FROM m.raw WHERE price > 0"
key = ["day"]
[publish."publish/replaced"]
from = "m.daily"
to = "out.replaced"
mode = "replace"
[publish."publish/merged"]
from = "m.daily"
to = "out.merged"
mode = "merge"
key = ["day"]
[publish."publish/added"]
from = "m.daily"
to = "out.added"
mode = "add"
key = ["day"]
[publish."publish/parts"]
from = "m.daily"
to = "out.parts"
mode = "partition"
partition = "market"
"#;

const FIRST: &str = "day,market,price\na,zl,1\nb,zl,2\nb2,wti,3\n";
const SECOND: &str = "day,market,price\nb,zl,20\nc,zl,30\n";

fn space() -> TestSpace {
    let space = TestSpace::empty();
    space.write("cbi.toml", "[workspace]\nname = \"oil\"\npublished = \"published\"\n");
    space.write("recipes/all.toml", RECIPES);
    space.write("warehouse/m.raw.csv", FIRST);
    space
}

/// Every day of a published table with its price.
fn rows(file: &Path) -> Vec<(String, f64)> {
    let rows = table_file::read(file).unwrap();
    let days = strings(&rows, "day").unwrap().into_iter().map(|day| day.unwrap().to_owned());
    days.zip(floats(&rows, "price").unwrap()).map(|(day, price)| (day, price.unwrap())).collect()
}

fn published(space: &TestSpace, table: &str) -> Vec<(String, f64)> {
    rows(&space.path(&format!("published/{table}.parquet")))
}

fn told(rows: &[(String, f64)]) -> String {
    rows.iter().map(|(day, price)| format!("{day}={price}")).collect::<Vec<_>>().join(" ")
}

fn listed(all: &[(u64, &str)]) -> Vec<(u64, String)> {
    all.iter().map(|(number, state)| (*number, (*state).to_owned())).collect()
}

#[test]
fn a_table_is_delivered_byte_for_byte_and_a_repeat_does_nothing() {
    let space = space();
    space.build(&["publish/replaced"]).ran(&["m.raw", "m.daily", "publish/replaced"]);
    let file = space.path("published/out.replaced.parquet");
    assert_eq!(fs::read(&file).unwrap(), fs::read(space.path(".cbi-cache/out/m.daily/table.parquet")).unwrap());
    space.build(&["publish/replaced"]).ran(&[]);
    // Another word for the same, so that nothing is known beforehand.
    space.build(&["m.daily", "publish/replaced"]).ran(&[]);
    let status = space.command(&["status", "--json", "publish/replaced"]).output().unwrap();
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["totals"]["not_fresh"], 0, "{status}");
    // A store that knows nothing of it delivers nothing again.
    fs::remove_dir_all(space.path(".cbi-cache")).unwrap();
    space.build(&["publish/replaced"]).ok();
    assert_eq!(space.deliveries("publish/replaced"), listed(&[(1, "stands")]));
}

#[test]
fn new_rows_take_the_place_of_their_key_or_partition_and_of_no_others() {
    let space = space();
    let all = ["publish/replaced", "publish/merged", "publish/added", "publish/parts"];
    space.build(&all).ok();
    space.write("warehouse/m.raw.csv", SECOND);
    space.build(&all).ran(&["m.raw", "m.daily", "publish/replaced", "publish/merged", "publish/added", "publish/parts"]);
    assert_eq!(told(&published(&space, "out.replaced")), "b=20 c=30");
    assert_eq!(told(&published(&space, "out.merged")), "a=1 b=20 b2=3 c=30");
    assert_eq!(told(&published(&space, "out.added")), "a=1 b=2 b2=3 c=30", "what was published stays as it was");
    assert_eq!(told(&published(&space, "out.parts")), "b2=3 b=20 c=30");
    space.build(&all).ran(&[]);
    space.write("warehouse/m.raw.csv", "day,market,price\na,zl,1\na,zl,2\n");
    let twice = space.build(&["publish/merged"]);
    assert_eq!(twice.code, 8, "{twice:?}");
    assert!(twice.failure("publish/merged")["error"].as_str().unwrap().contains("1 of the new rows share their key (day)"));
    assert_eq!(told(&published(&space, "out.merged")), "a=1 b=20 b2=3 c=30");
}

#[test]
fn neither_a_glob_nor_a_word_nor_a_default_delivers() {
    let space = space();
    space.build(&[]).ran(&["m.raw", "m.daily"]);
    space.build(&["**"]).ran(&[]);
    for pattern in ["publish/*", "publish", "**/merged"] {
        assert_eq!(space.build(&[pattern]).code, 2, "{pattern}");
    }
    assert!(!space.path("published").exists());
    let plan = space.command(&["plan", "--json", "publish/merged"]).output().unwrap();
    let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
    assert_eq!((&plan["steps"][0]["target"], &plan["steps"][0]["state"]), (&"publish/merged".into(), &"stale".into()), "{plan}");
}

#[test]
fn what_somebody_else_wrote_is_noticed_and_can_be_put_right() {
    let space = space();
    let file = space.path("published/out.merged.parquet");
    space.build(&["publish/merged"]).ok();
    let delivered = fs::read(&file).unwrap();
    fs::write(&file, "other bytes").unwrap();
    let refused = space.build(&["publish/merged"]);
    assert_eq!(refused.code, 8, "{refused:?}");
    let failure = refused.failure("publish/merged");
    assert!(
        failure["error"].as_str().unwrap().contains("out.merged.parquet' was changed since it was published (delivery 1, "),
        "{failure}"
    );
    assert_eq!(failure["hint"], "cbi rollback publish/merged --to 1 puts back what was published");
    let status = space.command(&["status", "publish/merged"]).output().unwrap();
    assert!(String::from_utf8(status.stdout).unwrap().contains("broken"));
    assert_eq!(fs::read(&file).unwrap(), b"other bytes");
    assert_eq!(space.rollback(&["publish/merged", "--to", "1"]).0.code, 0);
    assert_eq!(fs::read(&file).unwrap(), delivered);
    space.build(&["publish/merged"]).ran(&[]);
    fs::remove_file(&file).unwrap();
    assert!(space.build(&["publish/merged"]).failure("publish/merged")["error"].as_str().unwrap().contains("is gone since"));
    // One that was there before anything was published is left alone, too.
    space.write("published/out.parts.parquet", "mine");
    let refused = space.build(&["publish/parts"]);
    assert!(refused.failure("publish/parts")["error"].as_str().unwrap().contains("is there already, and was not published"), "{refused:?}");
    assert_eq!(space.read("published/out.parts.parquet"), "mine");
}

#[test]
fn an_earlier_delivery_is_put_back_as_a_delivery_of_its_own() {
    let space = space();
    space.build(&["publish/merged"]).ok();
    assert_eq!(space.rollback(&["publish/merged"]).0.code, 2, "there is nothing before the first");
    let first = fs::read(space.path("published/out.merged.parquet")).unwrap();
    space.write("warehouse/m.raw.csv", SECOND);
    space.build(&["publish/merged"]).ok();
    let (built, said) = space.rollback(&["publish/merged"]);
    assert_eq!(said["said"], "out.merged is as delivery 1 left it, 3 rows; this is delivery 3", "{built:?}");
    assert_eq!(fs::read(space.path("published/out.merged.parquet")).unwrap(), first);
    assert_eq!(space.deliveries("publish/merged"), listed(&[(3, "put back 1"), (2, "taken back"), (1, "stands")]));
    let why = String::from_utf8(space.command(&["why", "publish/merged"]).output().unwrap().stdout).unwrap();
    assert!(why.contains("out.merged holds an earlier delivery, number 1"), "{why}");
    space.build(&["publish/merged"]).ran(&["publish/merged"]);
    assert_eq!(told(&published(&space, "out.merged")), "a=1 b=20 b2=3 c=30");
    assert_eq!(space.deliveries("publish/merged")[0], (4, "stands".to_owned()));
    assert_eq!(space.rollback(&["m.daily"]).0.code, 2);
    space.write("recipes/wrong.toml", "[nonsense");
    assert_eq!(space.rollback(&["publish/merged"]).0.code, 0, "also while the recipes are wrong");
    assert_eq!(space.rollback(&["publish/merged", "--to", "9"]).0.code, 2);
}

#[test]
fn nothing_empty_or_of_another_shape_is_delivered() {
    let space = space();
    let all = ["-k", "publish/replaced", "publish/merged"];
    space.build(&all).ok();
    let said = |space: &TestSpace, target: &str| {
        let built = space.build(&all);
        assert_eq!(built.code, 8, "{built:?}");
        built.failure(target)["error"].as_str().unwrap().to_owned()
    };
    space.write("warehouse/m.raw.csv", "day,market,price,more\nd,zl,4,x\n");
    assert_eq!(said(&space, "publish/merged"), "out.merged: the new rows have columns that the table lacks: more");
    space.write("warehouse/m.raw.csv", "day,price\nd,4\n");
    assert_eq!(said(&space, "publish/replaced"), "out.replaced: the table has columns that the new rows lack: market");
    space.write("warehouse/m.raw.csv", "day,market,price,more\nd,zl,4,x\n");
    space.edit("recipes/all.toml", "to = \"out.merged\"\n", "to = \"out.merged\"\nallow_schema_change = true\n");
    space.build(&["publish/merged"]).ok();
    let table = table_file::read(&space.path("published/out.merged.parquet")).unwrap();
    assert_eq!(names(&table), ["day", "market", "price", "more"]);
    assert_eq!(strings(&table, "more").unwrap(), [None, None, None, Some("x")]);
    assert_eq!(space.deliveries("publish/replaced").len(), 1);
}

#[test]
fn a_recipe_that_would_deliver_by_accident_is_refused() {
    for (more, said) in [
        (
            "[command.\"after\"]\nshell = \"echo x > o\"\nneeds = [\"publish/merged\"]\noutputs = [\"o\"]\n",
            "delivers a table, and no target can need that",
        ),
        (
            "[publish.\"p\"]\nfrom = \"m.daily\"\nto = \"out.replaced\"\nmode = \"merge\"\nkey = [\"day\"]\n",
            "both publish into out.replaced",
        ),
        (
            "[publish.\"p\"]\nfrom = \"m.daily\"\nto = \"out.p\"\nmode = \"replace\"\nkey = [\"day\"]\n",
            "'key' goes with mode = \"merge\" or \"add\"",
        ),
        ("[publish.\"p\"]\nfrom = \"m.daily\"\nto = \"out.p\"\nmode = \"merge\"\n", "mode = \"merge\" needs the key 'key'"),
    ] {
        let space = space();
        space.write("recipes/more.toml", more);
        let built = space.build(&[if more.contains("\"p\"") { "p" } else { "m.daily" }]);
        assert!(built.code == 3 && built.stderr.contains(said), "{said}: {built:?}");
    }
    let nowhere = space();
    nowhere.write("cbi.toml", "[workspace]\nname = \"oil\"\n");
    let built = nowhere.build(&["publish/merged"]);
    assert_eq!(built.code, 3, "{built:?}");
    assert!(built.failure("publish/merged")["error"].as_str().unwrap().contains("names no folder to publish into"));
}

#[test]
fn publishers_of_several_workspaces_wait_for_each_other() {
    let shared = tempfile::tempdir().unwrap();
    let spaces: Vec<TestSpace> = (0..4)
        .map(|n| {
            let space = space();
            space.write("cbi.toml", format!("[workspace]\nname = \"oil\"\npublished = \"{}\"\n", shared.path().display()));
            space.write("warehouse/m.raw.csv", format!("day,market,price\nd{n},zl,{}\n", n + 1));
            space
        })
        .collect();
    let running: Vec<_> = spaces.iter().map(|space| space.command(&["build", "publish/merged"]).spawn().unwrap()).collect();
    for child in running {
        assert!(child.wait_with_output().unwrap().status.success());
    }
    assert_eq!(told(&rows(&shared.path().join("out.merged.parquet"))), "d0=1 d1=2 d2=3 d3=4");
    assert_eq!(spaces[0].deliveries("publish/merged"), listed(&[(4, "stands"), (3, "stands"), (2, "stands"), (1, "stands")]));
}

#[test]
fn the_unattended_run_publishes_what_is_named_and_nothing_that_a_check_refuses() {
    let space = space();
    space.write(
        "cbi.toml",
        "[workspace]\nname = \"oil\"\npublished = \"published\"\ndefault = [\"m.*\"]\n[daily]\npublish = [\"publish/merged\"]\n",
    );
    let daily = |words: &[&str]| Built::of(&space.command(&[&["daily"], words].concat()).output().unwrap());
    assert_eq!(daily(&["m.daily"]).code, 0);
    assert!(!space.path("published").exists(), "what is named on the command line is all that is done");
    assert_eq!(daily(&[]).code, 0);
    assert_eq!(told(&published(&space, "out.merged")), "a=1 b=2 b2=3");
    space.edit(
        "recipes/all.toml",
        "key = [\"day\"]\n[publish.\"publish/replaced\"]",
        "key = [\"day\"]\nchecks = [{ unique = [\"day\"] }]\n[publish.\"publish/replaced\"]",
    );
    space.write("warehouse/m.raw.csv", "day,market,price\nz,zl,1\nz,zl,1\n");
    assert_eq!(daily(&[]).code, 8);
    assert_eq!(told(&published(&space, "out.merged")), "a=1 b=2 b2=3");
}
