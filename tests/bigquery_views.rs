//! Promises about the recipes' queries in BigQuery that nobody runs: they are tried by dry runs. Invariant: the server is a process of its own; what it
//! cannot say is said by the proxy before it, as the REST reference has it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop where it stands")]

mod bigquery_kit;
mod proxy_kit;
#[path = "common/space.rs"]
mod space;

use bigquery_kit::BigQuery;
use proxy_kit::{Fault, Proxy, Seen};
use serde_json::{Value, json};
use space::{Built, TestSpace};

const RECIPES: &str = r#"
[table."m.renamed"]
from = "m.t"
columns = ["date", "price"]
types = { price = "FLOAT64" }

[sql."a.mean"]
file = "sql/mean.sql"

[sql."a.top"]
engine = "warehouse"
description = "What is dear."
query = "SELECT mean.date, mean.price * @n AS price, tags FROM a.mean WHERE mean.price IN UNNEST(@few) -- a comment"
params = { n = 4, few = [2.25, 1.5] }
"#;

const MEAN: &str = "-- The mean of a day.\nSELECT\n\tdate, AVG(renamed.price) AS price,\n\tARRAY_AGG(v.other) AS tags\n\
    FROM m.renamed JOIN m.v AS v USING (date)\nGROUP BY date;\n";

fn begun() -> Option<(BigQuery, Proxy, TestSpace)> {
    let server = BigQuery::start()?;
    server.dataset("m");
    server.query(
        "CREATE TABLE m.t AS SELECT DATE '2025-01-02' AS date, 1.5 AS price, 'x' AS other UNION ALL SELECT DATE '2025-01-03', 2.25, 'y'",
    );
    server.query("CREATE VIEW m.v AS SELECT date, other FROM m.t");
    let proxy = Proxy::before(&server.rest);
    let space = TestSpace::empty();
    let settings = bigquery_kit::settings(&proxy.address, &server.storage);
    space.write("cbi.toml", format!("[workspace]\nname = \"Soy oil\"\nwarehouse = \"bigquery\"\n\n{settings}price_per_tib = 8\n"));
    space.write("recipes/all.toml", RECIPES);
    space.write("sql/mean.sql", MEAN);
    Some((server, proxy, space))
}

/// How `cbi sql … --json` ended, and what it said.
fn sql(space: &TestSpace, words: &[&str]) -> (Built, Value) {
    let built = Built::of(&space.command(&[&["sql"][..], words, &["--json"]].concat()).output().unwrap());
    let said = serde_json::from_str(&built.stdout).unwrap_or_default();
    (built, said)
}

fn told(status: u16, answer: &Value) -> Fault {
    Fault::Answer(status, vec![("content-type".into(), "application/json".into())], answer.to_string())
}

fn refusal(status: u16, reason: &str, message: &str) -> Fault {
    told(status, &json!({"error": {"code": status, "message": message, "errors": [{"reason": reason, "message": message}]}}))
}

/// The query that a request wants tried.
fn tried(seen: &Seen) -> Option<String> {
    let body: Value = serde_json::from_str(&seen.body).ok()?;
    (body["configuration"]["dryRun"] == true).then(|| body["configuration"]["query"]["query"].as_str().unwrap().to_owned())
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
fn every_query_is_tried_in_bigquery_and_none_is_run() {
    let Some((_server, proxy, space)) = begun() else { return };
    let (built, said) = sql(&space, &["check"]);
    assert_eq!((built.code, states(&said)), (0, vec![("valid", ""), ("valid", "")]), "{built:?}");
    let queries: Vec<String> = proxy.seen().iter().map(|seen| tried(seen).unwrap_or_else(|| panic!("{seen:?}"))).collect();
    assert_eq!(queries.len(), 2, "one dry run a query, and nothing else");
    assert!(queries[0].contains("FROM (SELECT `date`, CAST(`price` AS FLOAT64) AS `price` FROM `p1.m.t`) AS `renamed`"), "{queries:?}");
    let columns =
        "(SELECT CAST(NULL AS DATE) AS `date`, CAST(NULL AS FLOAT64) AS `price`, CAST(NULL AS ARRAY<STRING>) AS `tags` LIMIT 0) AS `mean`";
    assert!(queries[1].contains(columns) && queries[1].contains("* 4") && queries[1].contains("UNNEST ( [2.25, 1.5] )"), "{queries:?}");

    // Bytes and their price, which this server does not say; each query's own, so that they add up.
    let terabyte = 1_u64 << 40;
    proxy.plan(move |_, seen| {
        let bytes = if tried(seen)?.contains("p1.m.t") { terabyte } else { 0 };
        let column = |name: &str, of: &str| json!({"name": name, "type": of, "mode": "NULLABLE"});
        let schema = json!({"fields": [column("date", "DATE"), column("price", "FLOAT")]});
        let query = json!({"totalBytesProcessed": bytes.to_string(), "schema": schema});
        Some(told(200, &json!({"status": {"state": "DONE"}, "statistics": {"query": query}})))
    });
    let (built, said) = sql(&space, &["check", "a.top"]);
    assert_eq!(said["totals"], json!({"valid": 2, "invalid": 0, "not_tried": 0, "scan_bytes": terabyte, "scan_cost": 8.0}), "{built:?}");
    let plain = space.command(&["sql", "check"]).output().unwrap();
    let plain = String::from_utf8(plain.stdout).unwrap();
    assert!(plain.ends_with("2 queries: 2 valid, 0 invalid; BigQuery would read 1.0 TiB, for 8.00\n"), "{plain}");

    // A place of the text that BigQuery was sent is shown where it was written: past a comment, tabs, and a table's longer name.
    proxy.plan(|_, seen| {
        let query = tried(seen)?;
        let at = query.find("other")? + 1;
        Some(refusal(400, "invalidQuery", &format!("Name other not found inside v; Did you mean [x]? at [1:{at}]")))
    });
    let (built, said) = sql(&space, &["check"]);
    assert_eq!((built.code, states(&said)), (3, vec![("invalid", "sql/mean.sql:4:14"), ("not tried", "")]), "{built:?}");
    assert!(built.stderr.contains("error: target 'a.mean': Name other not found inside v; Did you mean [x]?\n"), "{}", built.stderr);
    proxy.plan(|_, seen| {
        let query = tried(seen)?;
        let at = query.find("tags FROM (SELECT CAST")? + 1;
        Some(refusal(400, "invalidQuery", &format!("Unrecognized name: tags at [1:{at}]")))
    });
    let (built, said) = sql(&space, &["check"]);
    let line = RECIPES[..RECIPES.find("query = ").unwrap()].lines().count() + 1;
    let column = RECIPES.lines().nth(line - 1).unwrap().find("tags").unwrap() + 1;
    assert_eq!((built.code, states(&said)[1]), (3, ("invalid", format!("recipes/all.toml:{line}:{column}").as_str())), "{built:?}");

    // The server's own refusals, at the table that it has not.
    proxy.plan(|_, _| None);
    space.edit("sql/mean.sql", "m.v AS v", "m.w AS v");
    let (built, said) = sql(&space, &["check"]);
    assert_eq!((built.code, states(&said)[0]), (3, ("invalid", "sql/mean.sql:5:21")), "{built:?}");

    // A server that refuses somebody, or is not asked, says nothing of the queries.
    proxy.plan(|_, _| {
        let denied = "Access Denied: Project p1: User does not have bigquery.jobs.create permission in project p1.";
        Some(refusal(403, "accessDenied", denied))
    });
    let (built, _) = sql(&space, &["check"]);
    assert!(built.code == 6 && built.stderr.contains("roles/bigquery.jobUser"), "{built:?}");
    assert_eq!(sql(&space, &["check", "--offline"]).0.code, 2);
}
