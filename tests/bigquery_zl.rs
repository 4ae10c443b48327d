//! Promises about BigQuery as the warehouse: the same recipes make the same bytes from it, at one instant, and what has not changed there is not read
//! again. Invariant: the server is a process of its own and holds the platform's own tables.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop where it stands")]

mod bigquery_kit;
mod common;
mod proxy_kit;
#[path = "common/space.rs"]
mod space;

use std::collections::{BTreeMap, BTreeSet};

use bigquery_kit::BigQuery;
use proxy_kit::Proxy;
use serde_json::Value;
use space::{Built, TestSpace};

const PALM: &str = "forecasting_data_warehouse.palm_oil_prices";

/// A copy of the repository's workspace whose profile `bq` is `zl` with this server for a warehouse.
fn space(rest: &str, storage: &str) -> TestSpace {
    let space = TestSpace::with_short_networks();
    let settings = bigquery_kit::settings(rest, storage);
    let profile = "[profile.bq]\nwarehouse = \"bigquery\"\npublished = \"bigquery\"\nas_of = 2025-11-06\n";
    space.write("cbi.toml", format!("{}\n{profile}\n{settings}", space.read("cbi.toml")));
    space
}

/// What `cbi status` knows of these targets and all that they need: kind, and hashes of artifacts.
fn status(space: &TestSpace, words: &[&str]) -> BTreeMap<String, (String, Value)> {
    let output = space.command(&[&["status", "--json"][..], words].concat()).output().unwrap();
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let row = |row: &Value| {
        assert_eq!(row["state"], "fresh", "{row}");
        (row["target"].as_str().unwrap().to_owned(), (row["kind"].as_str().unwrap().to_owned(), row["artifacts"].clone()))
    };
    rows["targets"].as_array().unwrap().iter().map(row).collect()
}

/// Targets that a build ran, which read from the warehouse or pin what was read.
fn read(built: &Built) -> BTreeSet<&str> {
    let kind = |target: &str| built.events.iter().find(|e| e["event"] == "started" && e["target"] == target).map(|e| e["kind"].clone());
    built.targets.iter().map(String::as_str).filter(|target| kind(target).is_some_and(|kind| kind == "export" || kind == "table")).collect()
}

#[test]
fn the_soybean_set_is_the_same_from_bigquery_as_from_files_and_is_read_once() {
    let Some(shared) = common::shared() else { return };
    let Some(server) = BigQuery::start() else { return };
    server.load_folder(&shared.join("warehouse"));
    let proxy = Proxy::before(&server.rest);
    let space = space(&proxy.address, &server.storage);
    let remote = ["--profile", "bq", "zl"];
    let first = space.build(&remote).ok();
    let observed = first.events.iter().find(|e| e["event"] == "observed").unwrap();
    let tables = usize::try_from(observed["tables"].as_u64().unwrap()).unwrap();
    assert!(tables > 10 && first.targets.len() > 400, "{observed} {}", first.targets.len());

    // The same from files, where all that was made from BigQuery is known: nothing but the tables themselves is run.
    let files = space.twin();
    let warehouse = shared.join("warehouse");
    let local = ["--profile", "zl", "--warehouse", warehouse.to_str().unwrap(), "zl"];
    let again = files.build(&local).ok();
    assert_eq!(again.targets, read(&again).into_iter().map(str::to_owned).collect(), "{again:?}");
    assert_eq!(again.targets.len(), tables);
    let (from_bigquery, from_files) = (status(&space, &remote), status(&files, &local));
    for (target, (kind, artifacts)) in &from_files {
        assert_eq!(Some(&(kind.clone(), artifacts.clone())), from_bigquery.get(target), "{target}");
    }
    let only_there: Vec<&str> =
        from_bigquery.iter().filter(|(name, _)| !from_files.contains_key(*name)).map(|(_, (kind, _))| kind.as_str()).collect();
    assert_eq!(only_there, vec!["export"; tables]);

    // A second build runs nothing, and asks for one description a table and for the time.
    proxy.plan(|_, _| None);
    assert_eq!(space.build(&remote).ok().counts.unwrap().0, 0);
    let asked = proxy.seen();
    assert_eq!(asked.len(), tables + 1, "{asked:?}");
    assert!(asked.iter().all(|request| request.method == "GET" && !request.path.contains("/jobs")), "{asked:?}");

    // And one that may ask nobody asks nobody, and says how old its tables are.
    proxy.plan(|_, _| None);
    let offline = space.build(&["--profile", "bq", "--offline", "zl"]).ok();
    assert_eq!((offline.counts.unwrap().0, proxy.seen().len()), (0, 0));
    assert!(offline.events.iter().any(|e| e["event"] == "observed" && e["seen_ms"].is_u64()));

    // To the end: what readers are given, and once.
    server.dataset("predictions");
    space.build(&["--profile", "bq", "publish/zl/1w"]).ok().ran(&["publish/zl/1w"]);
    space.build(&["--profile", "bq", "publish/zl/1w"]).ok().ran(&[]);
    let counted = server.query("SELECT COUNT(*), COUNT(DISTINCT FORMAT('%t', t)) FROM predictions.zl_forecasts AS t");
    assert!(counted[0][0] == counted[0][1] && counted[0][0] != Some("0".into()), "{counted:?}");
}

#[test]
fn a_table_that_is_replaced_runs_what_stands_on_it_and_one_in_another_order_nothing() {
    let Some(shared) = common::shared() else { return };
    let Some(server) = BigQuery::start() else { return };
    server.load_folder(&shared.join("warehouse"));
    let space = space(&server.rest, &server.storage);
    let wanted = ["--profile", "bq", "zl.markets", "zl.dollar", "zl.palm"];
    space.build(&wanted).ok();
    let export = format!("export/{PALM}");

    server.query(&format!("CREATE OR REPLACE TABLE {PALM} AS SELECT * FROM {PALM} ORDER BY close DESC"));
    space.build(&wanted).ok().ran(&[PALM, &export]);

    server.query(&format!("CREATE OR REPLACE TABLE {PALM} AS SELECT * FROM {PALM} WHERE time < '2025-11-01'"));
    space.build(&wanted).ok().ran(&[PALM, &export, "zl.palm"]);
    space.build(&wanted).ok().ran(&[]);

    // A table that is gone is named, and nothing is lost.
    server.query(&format!("DROP TABLE {PALM}"));
    let gone = space.build(&wanted);
    assert!(gone.code != 0 && gone.stderr.contains(PALM), "{gone:?}");
    space.build(&["--profile", "bq", "--offline", "zl.palm"]).ok().ran(&[]);
}

#[test]
fn an_instant_that_is_not_remembered_is_refused_with_the_window() {
    let Some(server) = BigQuery::start() else { return };
    server.dataset("m");
    server.query("CREATE TABLE m.t AS SELECT DATE '2025-01-02' AS date, 1.5 AS price");
    let space = TestSpace::empty();
    space.write("cbi.toml", format!("[workspace]\nname = \"t\"\nwarehouse = \"bigquery\"\n{}", server.settings()));
    space.write("recipes/all.toml", "[sql.\"a.b\"]\nquery = \"SELECT * FROM m.t\"\nkey = [\"date\"]\n");
    let built = space.build(&["a.b"]).ok().ran(&["a.b", "export/m.t", "m.t"]);
    for instant in ["2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z"] {
        let refused = space.build(&["--as-of", instant, "a.b"]);
        assert!(refused.code == 3 && refused.stderr.contains("it is kept from"), "{refused:?}");
    }
    // Before the table's last change, its state is known by the instant alone; it is read once.
    let before = built.events[0]["instant_ms"].as_i64().unwrap() - 3_600_000;
    let instant = chrono::DateTime::from_timestamp_millis(before).unwrap().to_rfc3339();
    space.build(&["--as-of", &instant, "a.b"]).ok().ran(&["export/m.t"]);
    space.build(&["--as-of", &instant, "a.b"]).ok().ran(&[]);
}

#[test]
fn a_view_is_computed_when_what_it_stands_on_has_changed_and_not_otherwise() {
    let Some(server) = BigQuery::start() else { return };
    server.dataset("m");
    server.query("CREATE TABLE m.t AS SELECT DATE '2025-01-02' AS date, 1.5 AS price");
    server.query("CREATE VIEW m.v AS SELECT date, 2 * price AS price FROM m.t");
    server.query("CREATE VIEW m.w AS SELECT date, price FROM m.v");
    let proxy = Proxy::before(&server.rest);
    let space = TestSpace::empty();
    let settings = bigquery_kit::settings(&proxy.address, &server.storage);
    space.write("cbi.toml", format!("[workspace]\nname = \"t\"\nwarehouse = \"bigquery\"\n{settings}"));
    space.write("recipes/all.toml", "[sql.\"a.b\"]\nquery = \"SELECT * FROM m.w\"\nkey = [\"date\"]\n");
    space.build(&["a.b"]).ok().ran(&["a.b", "export/m.w", "m.w"]);
    let prices = |space: &TestSpace| String::from_utf8(space.command(&["cat", "a.b", "--json"]).output().unwrap().stdout).unwrap();
    assert!(prices(&space).contains("3.0"), "{}", prices(&space));

    // Nothing that it stands on has changed: descriptions and dry runs, and no query.
    proxy.plan(|_, _| None);
    space.build(&["a.b"]).ok().ran(&[]);
    let jobs: Vec<_> = proxy.seen().into_iter().filter(|request| request.method == "POST").collect();
    assert!(jobs.iter().all(|request| request.body.contains("\"dryRun\":true")), "{jobs:?}");

    server.query("CREATE OR REPLACE TABLE m.t AS SELECT DATE '2025-01-02' AS date, 2.5 AS price");
    space.build(&["a.b"]).ok().ran(&["a.b", "export/m.w", "m.w"]);
    assert!(prices(&space).contains("5.0"), "{}", prices(&space));

    // One that changes while it is computed is noticed, and what was read is not recorded.
    let before = space.results();
    server.query("CREATE OR REPLACE TABLE m.t AS SELECT DATE '2025-01-02' AS date, 3.5 AS price");
    let address = server.rest.clone();
    proxy.plan(move |_, request| {
        if request.body.contains("SELECT * FROM `p1.m.w`") {
            std::thread::sleep(std::time::Duration::from_secs(1));
            bigquery_kit::post(&address, "queries", &serde_json::json!({"useLegacySql": false, "query": "CREATE OR REPLACE TABLE m.t AS SELECT DATE '2025-01-02' AS date, 4.5 AS price"}));
        }
        None
    });
    let changed = space.build(&["a.b"]);
    assert!(changed.code == 6 && changed.stdout.contains("was changed while it was read"), "{changed:?}");
    assert_eq!(space.results(), before);
    proxy.plan(|_, _| None);
    space.build(&["a.b"]).ok().ran(&["a.b", "export/m.w", "m.w"]);
    assert!(prices(&space).contains("9.0"), "{}", prices(&space));
}
