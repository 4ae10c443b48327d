//! Promises about `cbi sql check` over a folder: every query is understood by the engine that would run it, none is run, and a mistake is shown where it
//! was written. What it does over BigQuery is promised in `bigquery_views.rs`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop where it stands")]

#[path = "common/space.rs"]
mod space;

use std::collections::BTreeMap;

use cbi::engine::table_columns::{Values, table};
use cbi::engine::table_file;
use cbi::kinds::dispatch;
use cbi::kinds::request::Request;
use cbi::kinds::tries::{Feed, TRIED, Tried, Tries, Try};
use serde_json::{Map, Value, json};
use space::{Built, TestSpace};

const RECIPES: &str = r#"
[table."m.typed"]
from = "m.t"
columns = ["date", "price"]
types = { date = "DATE", price = "FLOAT64" }

[sql."a.one"]
file = "sql/one.sql"
params = { n = 2 }

[sql."a.two"]
query = """
SELECT one.date, -- a comment
  one.price / 0 AS price
FROM a.one AS one"""
"#;

const ONE: &str = "-- prices\nSELECT date,\n  SUM(price) * @n AS price\nFROM m.typed\nGROUP BY date\n";

fn begun() -> TestSpace {
    let space = TestSpace::empty();
    // No value of it is a date: whoever reads a row fails.
    space.write("warehouse/m.t.csv", "date,price,other\nnever,x,y\n");
    space.write("recipes/all.toml", RECIPES);
    space.write("sql/one.sql", ONE);
    space
}

/// How `cbi sql check --json` ended, and what it said.
fn check(space: &TestSpace, words: &[&str]) -> (Built, Value) {
    let built = Built::of(&space.command(&[&["sql", "check", "--json"][..], words].concat()).output().unwrap());
    let said = serde_json::from_str(&built.stdout).unwrap_or_default();
    (built, said)
}

/// State and place of each query.
fn states(said: &Value) -> Vec<(&str, &str)> {
    said["queries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|query| (query["state"].as_str().unwrap(), query["place"].as_str().unwrap_or("")))
        .collect()
}

#[test]
fn every_query_is_understood_and_none_is_run() {
    let space = begun();
    let (built, said) = check(&space, &[]);
    assert_eq!((built.code, states(&said)), (0, vec![("valid", ""), ("valid", "")]), "{built:?}");
    assert_eq!(said["totals"], json!({"valid": 2, "invalid": 0, "not_tried": 0}));
    assert!(!space.path(".cbi-cache").exists(), "nothing is kept");
    let plain = space.command(&["sql", "check", "a.two"]).output().unwrap();
    let told = String::from_utf8(plain.stdout).unwrap();
    assert!(told.starts_with("target  state") && told.ends_with("2 queries: 2 valid, 0 invalid\n"), "{told}");
    let none = space.command(&["sql", "check", "m.typed"]).output().unwrap();
    assert_eq!(none.status.code(), Some(2));
}

#[test]
fn a_mistake_is_shown_where_it_was_written_and_what_reads_it_is_not_tried() {
    let space = begun();
    space.edit("sql/one.sql", "  SUM(price)", "  SUM(prise)");
    let (built, said) = check(&space, &[]);
    assert_eq!((built.code, states(&said)), (3, vec![("invalid", "sql/one.sql:3:7"), ("not tried", "")]), "{built:?}");
    assert!(built.stderr.contains("--> sql/one.sql:3:7") && built.stderr.contains("did you mean 'price'?"), "{}", built.stderr);
    assert!(built.stderr.contains("^^^^^"), "{}", built.stderr);
    assert_eq!(said["queries"][1]["error"], "it reads 'a.one', whose columns are not known");

    // In a recipe, past a comment and in any quotes.
    space.write("sql/one.sql", ONE);
    space.edit("recipes/all.toml", "one.price / 0", "one.nope / 0");
    let (built, said) = check(&space, &[]);
    let line = RECIPES[..RECIPES.find("one.price").unwrap()].lines().count();
    assert_eq!((built.code, states(&said)[1]), (3, ("invalid", format!("recipes/all.toml:{line}:7").as_str())), "{built:?}");

    // A column that the warehouse's table has not is the recipe's mistake too, and all mistakes are told at once.
    space.edit("recipes/all.toml", "columns = [\"date\", \"price\"]", "columns = [\"date\", \"price\", \"volume\"]");
    space.write("recipes/more.toml", "[sql.\"a.broken\"]\nquery = \"SELECT FROM\"\n");
    let (built, said) = check(&space, &["**"]);
    assert_eq!((built.code, said["totals"]["invalid"].as_u64()), (3, Some(2)), "{built:?}");
    assert!(built.stderr.contains("no column 'volume'") && built.stderr.contains("--> recipes/more.toml:2"), "{}", built.stderr);
}

#[test]
fn a_table_that_a_step_made_is_known_by_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("made.parquet");
    table_file::write(&file, &table([("x".to_owned(), Values::Floats(vec![Some(1.5)]))]).unwrap(), &[]).unwrap();
    let tried = |column: &str| {
        let tables = BTreeMap::from([("a.made".to_owned(), Feed::File(file.clone()))]);
        let query = Try { query: format!("SELECT {column} FROM a . made"), params: Map::new(), tables };
        let tries = Tries { queries: BTreeMap::from([("a.q".to_owned(), query)]) };
        let out = folder.path().join(column);
        std::fs::create_dir(&out).unwrap();
        dispatch::run(&Request::of("probe:sql", json!(tries), BTreeMap::new(), out.clone())).unwrap();
        let found: BTreeMap<String, Tried> = serde_json::from_slice(&std::fs::read(out.join(TRIED)).unwrap()).unwrap();
        found["a.q"].fault.clone()
    };
    assert_eq!(tried("x"), None);
    assert_eq!(tried("y").unwrap().at, Some("SELECT ".len()));
}
