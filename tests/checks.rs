//! Promises about checks in a build: what refuses, what blocks, what runs again, and what only time changes. Invariant: each test drives the program as a
//! person would.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/space.rs"]
mod space;

use serde_json::Value;
use space::{Built, TestSpace};

/// A raw table with a weekend and a double day, a cleaned one with checks, and one above.
fn built_on(checks: &str) -> TestSpace {
    let space = TestSpace::empty();
    space.write("warehouse/m.raw.csv", "date,price\n2025-01-02,10\n2025-01-03,11\n2025-01-03,11\n2025-01-04,99\n");
    recipe(&space, checks);
    space
}

fn recipe(space: &TestSpace, checks: &str) {
    let text = format!(
        "[table.\"m.raw\"]\ntypes = {{ date = \"DATE\", price = \"FLOAT64\" }}\nchecks = [{{ unique = [\"date\"] }}]\n\
         [sql.\"m.clean\"]\nquery = \"SELECT DISTINCT date, price FROM m.raw\"\nchecks = [{checks}]\n\
         [sql.\"m.above\"]\nquery = \"SELECT date, price * 2 AS twice FROM m.clean\"\n"
    );
    space.write("recipes/all.toml", text);
}

/// The warnings of a target.
fn warnings(built: &Built, target: &str) -> Vec<String> {
    let events = built.events.iter().filter(|e| e["event"] == "warned" && e["target"] == target);
    events.flat_map(|e| e["warnings"].as_array().unwrap()).map(|w| w.as_str().unwrap().to_owned()).collect()
}

/// What `cbi check --json` says, and its exit code.
fn check(space: &TestSpace, arguments: &[&str]) -> (Value, i32) {
    let all: Vec<&str> = ["check", "--json"].iter().chain(arguments).copied().collect();
    let output = space.command(&all).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}\n{}", String::from_utf8_lossy(&output.stderr)));
    (said, output.status.code().unwrap())
}

const LOW: &str = "{ range = { column = \"price\", max = 50 } }";
const HIGH: &str = "{ range = { column = \"price\", max = 100 } }";

#[test]
fn a_failing_check_blocks_what_is_above_and_is_not_made_again() {
    let space = built_on(LOW);
    let first = space.build(&[]);
    assert_eq!((first.code, first.counts), (8, Some((1, 0, 1))), "{}", first.stderr);
    let failure = first.failure("m.clean");
    assert_eq!(failure["error"], "check 'range price at most 50': 1 of 3 rows with price above 50: row 3, date 2025-01-04, price 99.0");
    assert_eq!(failure["hint"], "cbi check m.clean");
    assert!(first.events.iter().any(|e| e["event"] == "blocked" && e["target"] == "m.above" && e["by"] == "m.clean"));
    let results = space.results();
    let second = space.build(&[]);
    assert_eq!((second.code, second.counts), (8, Some((0, 1, 1))), "refused again without running");
    assert_eq!(second.failure("m.clean")["error"], failure["error"]);
    assert_eq!(space.results(), results, "nothing was recorded again");
    let plan = Built::of(&space.command(&["plan"]).output().unwrap());
    assert!(plan.stdout.contains("broken") && plan.stdout.contains("check 'range price at most 50'"), "{}", plan.stdout);
}

#[test]
fn a_loosened_threshold_runs_that_step_alone() {
    let space = built_on(HIGH);
    space.build(&[]).ran(&["m.raw", "m.clean", "m.above"]);
    recipe(&space, &HIGH.replace("100", "200"));
    let again = space.build(&[]).ran(&["m.clean"]);
    assert!(again.events.iter().any(|e| e["event"] == "started" && e["why"].as_str().unwrap().contains("100 → 200")), "{:?}", again.events);
    recipe(&space, LOW);
    assert_eq!(space.build(&[]).code, 8);
    recipe(&space, HIGH);
    space.build(&[]).ran(&[]);
}

#[test]
fn a_stanza_without_checks_is_the_action_it_was_and_the_table_has_the_same_bytes() {
    let space = built_on(HIGH);
    space.build(&[]).ok();
    let table = std::fs::read(space.path(".cbi-cache/out/m.clean/table.parquet")).unwrap();
    let report: Value = serde_json::from_str(&space.read(".cbi-cache/out/m.clean/checks/checks.json")).unwrap();
    assert_eq!(report[0]["check"], "range price at most 100");
    let recipes = space.read("recipes/all.toml").lines().filter(|line| !line.starts_with("checks")).collect::<Vec<_>>().join("\n");
    space.write("recipes/all.toml", recipes);
    space.build(&[]).ran(&["m.raw", "m.clean"]);
    assert_eq!(std::fs::read(space.path(".cbi-cache/out/m.clean/table.parquet")).unwrap(), table);
}

#[test]
fn raw_tables_warn_and_cleaned_ones_fail() {
    let space = built_on("{ unique = [\"date\"] }, { row_count = { min = 5 }, severity = \"warn\" }");
    let first = space.build(&[]).ok();
    assert_eq!(warnings(&first, "m.raw"), ["'unique date': 1 row too many: 1 value of date more than once, date 2025-01-03"]);
    assert_eq!(warnings(&first, "m.clean"), ["'row_count at least 5': 3 rows, 2 too few"]);
    let shown = space.build_plainly(&[]);
    assert!(
        shown.stdout.contains("2 warnings of checks on 2 tables; cbi check shows them"),
        "said again by a build with nothing to do: {}",
        shown.stdout
    );
    recipe(&space, "{ row_count = { min = 5 } }");
    assert_eq!(space.build(&[]).code, 8);
}

#[test]
fn age_is_judged_in_every_build_and_nothing_runs_for_it() {
    let space = built_on("{ fresh = { column = \"date\", max_age_days = 5 } }");
    space.build(&["--as-of", "2025-01-09"]).ran(&["m.raw", "m.clean", "m.above"]);
    let stale = space.build(&["--as-of", "2025-01-10"]);
    assert_eq!((stale.code, stale.counts), (8, Some((0, 1, 1))));
    let said = "check 'fresh date 5 days': the newest date is 2025-01-04, 6 days before 2025-01-10; 5 are allowed";
    assert_eq!(stale.failure("m.clean")["error"], said);
    space.build(&["--as-of", "2025-01-09"]).ran(&[]);
    let allowed = space.build(&["--as-of", "2025-01-10", "--allow-stale"]).ran(&[]);
    assert!(warnings(&allowed, "m.clean")[0].ends_with("(let pass by --allow-stale)"));
    assert_eq!(space.build(&["--as-of", "2025-01-10"]).code, 8, "what was let pass once is not let pass again");
    // Without a date it is today's.
    assert_eq!(space.build(&[]).code, 8);
}

#[test]
fn check_shows_every_verdict_with_its_rows() {
    let space = built_on(&format!("{LOW}, {{ unique = [\"date\"] }}, {{ fresh = {{ column = \"date\", max_age_days = 5 }} }}"));
    let (said, code) = check(&space, &["**", "--as-of", "2025-01-06"]);
    assert_eq!(code, 8);
    assert_eq!(said["totals"], serde_json::json!({"tables": 2, "passed": 2, "warnings": 1, "refused": 1, "unchecked_tables": 0}));
    let low = said["checks"].as_array().unwrap().iter().find(|c| c["check"] == "range price at most 50").unwrap();
    assert_eq!((&low["target"], &low["bad"]), (&"m.clean".into(), &1.into()));
    assert_eq!(low["rows"][0], serde_json::json!([3, "2025-01-04", 99.0]));
    let shown = Built::of(&space.command(&["check", "m.clean", "--as-of", "2025-01-06"]).output().unwrap());
    assert_eq!(shown.code, 8);
    for line in ["REFUSED", "m.clean: range price at most 50", "2 tables: 2 passed, 1 warning, 1 refused"] {
        assert!(shown.stdout.contains(line), "{}", shown.stdout);
    }
    recipe(&space, HIGH);
    assert_eq!(check(&space, &["m.above"]).1, 0, "the checks of what a target needs");
    assert_eq!(space.build(&[]).code, 0);
    assert_eq!(check(&space, &[]).0["totals"]["tables"], 2, "after a build with nothing to do");
}

#[test]
fn a_check_may_read_other_tables_and_its_own() {
    let space = built_on(
        "{ sql = \"SELECT date FROM m.clean WHERE EXTRACT(DAYOFWEEK FROM date) IN (1, 7) -- closed\", name = \"no weekends\" }, \
         { references = { column = \"date\", table = \"m.days\" }, severity = \"warn\" }",
    );
    space.write("warehouse/m.days.csv", "date\n2025-01-02\n2025-01-03\n");
    space.write("recipes/days.toml", "[table.\"m.days\"]\ntypes = { date = \"DATE\" }\n");
    let built = space.build(&[]);
    assert_eq!(built.failure("m.clean")["error"], "check 'no weekends': the query returns 1 row, the first: date 2025-01-04");
    let (said, _) = check(&space, &["m.clean"]);
    let reference = said["checks"].as_array().unwrap().iter().find(|c| c["check"] == "references m.days: date").unwrap();
    assert_eq!((&reference["passed"], &reference["bad"]), (&false.into(), &1.into()));
    // Layout and comments of the query are not part of the key.
    space.edit("recipes/all.toml", " -- closed", "");
    assert_eq!(space.build(&[]).counts.unwrap().0, 0);
    space.write("warehouse/m.days.csv", "date\n2025-01-02\n2025-01-03\n2025-01-04\n");
    assert_eq!(space.build(&["m.clean"]).counts.unwrap().0, 1, "the calendar ran; the table whose check reads it was refused anew");
}

#[test]
fn mistakes_in_checks_are_shown_where_they_stand() {
    for (checks, part) in [
        ("{ unique = [\"date\"], not_null = [\"date\"] }", "says one thing, and this says 2"),
        ("{ severity = \"warn\" }", "says one thing, and this says 0"),
        ("{ range = { column = \"price\" } }", "'min', 'max' or both"),
        ("{ uniqe = [\"date\"] }", "did you mean 'unique'?"),
        ("{ sql = \"SELEC 1\" }", "expected SELECT"),
        ("{ sql = \"SELECT @n AS n\" }", "takes no parameters"),
        ("{ references = { column = \"date\", table = \"m.nothing\" } }", "m.nothing"),
        ("{ row_count = { min = 1 }, severity = \"fatal\" }", "\"error\" or \"warn\""),
    ] {
        let space = built_on(checks);
        let built = space.build_plainly(&[]);
        assert_eq!(built.code, 3, "{checks}: {}", built.stderr);
        assert!(built.stderr.contains(part) && built.stderr.contains("recipes/all.toml:6:"), "{checks}: {}", built.stderr);
    }
}

#[test]
fn a_column_that_a_check_names_and_the_table_has_not_is_the_recipes_mistake() {
    let space = built_on("{ not_null = [\"pric\"] }");
    let built = space.build(&["m.clean"]);
    let failure = built.failure("m.clean");
    assert_eq!((built.code, &failure["hint"]), (3, &"did you mean 'price'?".into()));
    assert_eq!(failure["error"], "check 'not_null pric': no column 'pric' in the table");
    // Where the columns are listed it is seen before anything runs.
    space.edit(
        "recipes/all.toml",
        "checks = [{ unique = [\"date\"] }]",
        "columns = [\"date\", \"price\"]\nchecks = [{ unique = [\"dat\"] }]",
    );
    let seen = space.build_plainly(&["m.raw"]);
    assert_eq!(seen.code, 3);
    assert!(seen.stderr.contains("'dat' is not among 'columns'") && seen.stderr.contains("recipes/all.toml:4:"), "{}", seen.stderr);
}

#[test]
fn a_table_with_checks_is_still_one_table_to_those_who_use_it() {
    let space = built_on(HIGH);
    space.write(
        "recipes/count.toml",
        "[command.\"o/count\"]\nshell = \"ls > o/names.txt\"\nneeds = [\"m.clean\"]\noutputs = [\"o/names.txt\"]\n",
    );
    space.build(&["o/count"]).ok();
    assert_eq!(space.read(".cbi-cache/out/o/count/o/names.txt"), "m.clean.parquet\no\n");
    let cat = Built::of(&space.command(&["cat", "m.clean", "--json"]).output().unwrap());
    assert_eq!((cat.code, cat.stdout.lines().count()), (0, 3), "{}", cat.stderr);
    let got = Built::of(&space.command(&["get", "m.clean", "-o", "got"]).output().unwrap());
    assert_eq!(got.code, 0, "{}", got.stderr);
    assert!(space.path("got/table.parquet").exists() && space.path("got/checks/checks.json").exists());
    let same = Built::of(&space.command(&["reproduce", "m.clean"]).output().unwrap());
    assert_eq!(same.code, 0, "{}{}", same.stdout, same.stderr);
}
