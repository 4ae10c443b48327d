//! Promises about the recipes' queries in BigQuery that nobody runs: they are tried by dry runs, and stand there as views. Invariant: the server is a process of its own; what it
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

/// Name and state of each view.
fn views(said: &Value) -> Vec<(&str, &str)> {
    said["views"].as_array().unwrap().iter().map(|view| (view["view"].as_str().unwrap(), view["state"].as_str().unwrap())).collect()
}

/// What the server has of something in the workspace's dataset.
fn there(server: &BigQuery, name: &str) -> Value {
    let address = format!("{}/bigquery/v2/projects/p1/datasets/cbi_Soy_oil/tables/{name}", server.rest);
    let answer = ureq::get(&address).config().http_status_as_error(false).build().call().unwrap();
    serde_json::from_str(&answer.into_body().read_to_string().unwrap()).unwrap()
}

/// Another's hand on a view.
fn describe(rest: &str, name: &str, description: &str) {
    let address = format!("{rest}/bigquery/v2/projects/p1/datasets/cbi_Soy_oil/tables/{name}");
    ureq::patch(&address).header("content-type", "application/json").send(json!({"description": description}).to_string()).unwrap();
}

/// What `cbi status` says of the views of `a.mean` and `a.top`, and how often it looked at them.
fn drift(space: &TestSpace, proxy: &Proxy, words: &[&str]) -> ([Value; 2], usize) {
    proxy.plan(|_, _| None);
    let output = space.command(&[&["status", "--json"][..], words].concat()).output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let of = |target: &str| said["targets"].as_array().unwrap().iter().find(|row| row["target"] == target).unwrap()["view"].clone();
    let looks: Vec<Seen> = proxy.seen().into_iter().filter(|seen| seen.path.contains("cbi_Soy_oil")).collect();
    assert!(
        looks.iter().all(|seen| seen.method == "GET")
            && proxy.seen().iter().all(|seen| !seen.body.contains("\"query\":{") || tried(seen).is_some())
    );
    ([of("a.mean"), of("a.top")], looks.len())
}

#[test]
fn the_recipes_views_stand_in_bigquery_and_say_what_the_recipes_say() {
    let Some((server, proxy, space)) = begun() else { return };
    space.build(&["a.mean"]).ok();
    assert_eq!(drift(&space, &proxy, &[]), ([Value::Null, Value::Null], 0), "nothing was deployed, and nothing is asked");

    // What would be, and nothing is made, not even the dataset.
    proxy.plan(|_, _| None);
    let (built, said) = sql(&space, &["deploy", "--dry-run"]);
    assert_eq!((built.code, views(&said)), (0, vec![("a_mean", "to be made"), ("a_top", "to be made")]), "{built:?}");
    assert!(proxy.seen().iter().all(|seen| seen.method == "GET"), "{:?}", proxy.seen());

    let (built, said) = sql(&space, &["deploy"]);
    assert_eq!((built.code, views(&said)), (0, vec![("a_mean", "made"), ("a_top", "made")]), "{built:?}");
    let prices = |view: &str| {
        server.query(&format!("SELECT price FROM cbi_Soy_oil.{view} ORDER BY price")).concat().into_iter().flatten().collect::<Vec<_>>()
    };
    assert_eq!(prices("a_top"), ["6.0", "9.0"]);
    let mean = there(&server, "a_mean");
    let query = mean["view"]["query"].as_str().unwrap();
    assert!(query.starts_with("-- The mean of a day.\nSELECT\n\tdate") && query.contains("JOIN `p1.m.v` AS v"), "{query}");
    assert!(query.ends_with("GROUP BY date"), "{query}");
    let top = there(&server, "a_top");
    assert!(top["view"]["query"].as_str().unwrap().contains("FROM `p1.cbi_Soy_oil.a_mean` AS `mean`"), "{top}");
    assert_eq!(top["description"], "What is dear. The query of 'a.top', kept by cbi sql deploy.");

    // Again: a list and a look at each, and nothing else. The same is told by status.
    proxy.plan(|_, _| None);
    let (built, said) = sql(&space, &["deploy"]);
    assert_eq!(
        (built.code, &said["totals"]),
        (0, &json!({"made": 0, "changed": 0, "dropped": 0, "same": 2, "left": 0, "gone": 0})),
        "{built:?}"
    );
    assert!(proxy.seen().len() == 3 && proxy.seen().iter().all(|seen| seen.method == "GET"), "{:?}", proxy.seen());
    assert_eq!(drift(&space, &proxy, &[]), (["deployed".into(), "deployed".into()], 2));
    assert_eq!(drift(&space, &proxy, &["--offline"]), ([Value::Null, Value::Null], 0));

    // Another recipe, and somebody who changes the view between the look and the change: it is not changed blindly.
    space.edit("sql/mean.sql", "AVG(", "MAX(");
    assert_eq!(drift(&space, &proxy, &[]).0, ["differs from the recipe", "deployed"]);
    let rest = server.rest.clone();
    proxy.plan(move |_, seen| {
        if seen.method == "PATCH" {
            describe(&rest, "a_mean", "mine");
        }
        None
    });
    let (built, _) = sql(&space, &["deploy"]);
    assert!(built.code == 6 && built.stderr.contains("412"), "{built:?}");
    proxy.plan(|_, _| None);
    let (built, said) = sql(&space, &["deploy"]);
    assert_eq!((built.code, views(&said)), (8, vec![("a_mean", "by hand"), ("a_top", "same")]), "{built:?}");
    assert!(built.stderr.contains("somebody else made or changed the view p1.cbi_Soy_oil.a_mean") && built.stderr.contains("--force"));
    assert!(there(&server, "a_mean")["view"]["query"].as_str().unwrap().contains("AVG("));
    assert_eq!(drift(&space, &proxy, &[]).0, ["changed by hand", "deployed"]);
    let (built, said) = sql(&space, &["deploy", "--force"]);
    assert_eq!((built.code, views(&said)[0]), (0, ("a_mean", "changed")), "{built:?}");
    assert!(there(&server, "a_mean")["view"]["query"].as_str().unwrap().contains("MAX("));
    assert_eq!(drift(&space, &proxy, &[]).0, ["deployed", "deployed"]);

    what_others_made_stays_and_what_no_recipe_makes_goes(&server, &proxy, &space);
    what_cannot_be_a_view_is_refused_where_it_is_written(&server, &proxy, &space);
}

fn what_others_made_stays_and_what_no_recipe_makes_goes(server: &BigQuery, proxy: &Proxy, space: &TestSpace) {
    server.query("CREATE TABLE cbi_Soy_oil.a_mine AS SELECT 1 AS x");
    server.query("CREATE VIEW cbi_Soy_oil.others AS SELECT 1 AS x");
    space.write("recipes/more.toml", "[sql.\"a.mine\"]\nquery = \"SELECT date FROM a.mean\"\n");
    for words in [&["deploy"][..], &["deploy", "--force"]] {
        let (built, said) = sql(space, words);
        assert_eq!((built.code, views(&said)[1]), (8, ("a_mine", "in the way")), "{built:?}");
    }
    assert_eq!(there(server, "a_mine")["type"], "TABLE");
    space.edit("recipes/more.toml", "a.mine", "a.more");
    let top = space.read("recipes/all.toml");
    let without = &top[..top.find("[sql.\"a.top\"]").unwrap()];
    space.write("recipes/all.toml", without);
    let (built, said) = sql(space, &["deploy"]);
    assert_eq!((built.code, views(&said)), (0, vec![("a_mean", "same"), ("a_more", "made"), ("a_top", "recipe gone")]), "{built:?}");
    let (built, said) = sql(space, &["deploy", "a.mean", "--prune"]);
    assert_eq!((built.code, views(&said)), (0, vec![("a_mean", "same"), ("a_top", "dropped")]), "{built:?}");
    assert_eq!(there(server, "a_top")["error"]["code"], 404);
    for kept in ["a_mine", "others", "a_more"] {
        assert_eq!(there(server, kept)["tableReference"]["tableId"], kept);
    }
    space.write("recipes/all.toml", top);
    assert_eq!(drift(space, proxy, &[]).0, ["deployed", "not deployed"]);
}

fn what_cannot_be_a_view_is_refused_where_it_is_written(server: &BigQuery, proxy: &Proxy, space: &TestSpace) {
    // A query that BigQuery does not take, at its place.
    proxy.plan(|_, seen| {
        let body: Value = serde_json::from_str(&seen.body).ok()?;
        let query = body["view"]["query"].as_str().filter(|_| seen.method == "POST")?;
        let at = query.find("price *")? + 1;
        Some(refusal(400, "invalidQuery", &format!("Unrecognized name: price at [1:{at}]")))
    });
    let (built, said) = sql(space, &["deploy", "a.top"]);
    let line = RECIPES[..RECIPES.find("query = ").unwrap()].lines().count() + 1;
    let column = RECIPES.lines().nth(line - 1).unwrap().find("price *").unwrap() + 1;
    assert_eq!((built.code, views(&said)[1]), (3, ("a_top", "refused")), "{built:?}");
    assert!(built.stderr.contains(&format!("--> recipes/all.toml:{line}:{column}\n")), "{}", built.stderr);
    proxy.plan(|_, _| None);

    // The day of one build, and two targets of one name; then nothing is changed at all.
    let settings = space.read("cbi.toml");
    space.write("cbi.toml", settings.replace("warehouse =", "as_of = 2025-01-03\nwarehouse ="));
    space.write("recipes/day.toml", "[sql.\"b.day\"]\nquery = \"SELECT date FROM m.t WHERE date < @as_of\"\n[sql.\"x.y_z\"]\nquery = \"SELECT 1 AS x\"\n[sql.\"x_y.z\"]\nquery = \"SELECT 1 AS x\"\n");
    let (built, _) = sql(space, &["deploy"]);
    assert!(
        built.code == 3
            && built.stderr.contains("@as_of is the day of one build (2025-01-03)")
            && built.stderr.contains("--> recipes/day.toml:2:"),
        "{built:?}"
    );
    assert!(built.stderr.contains("targets 'x.y_z' and 'x_y.z' would be one view, x_y_z"), "{}", built.stderr);
    assert!(proxy.seen().is_empty(), "{:?}", proxy.seen());
    assert_eq!(there(server, "b_day")["error"]["code"], 404);
    assert_eq!(sql(space, &["deploy", "--offline"]).0.code, 2);
    let here = space.twin();
    here.write("cbi.toml", "[workspace]\nname = \"t\"\n");
    let (built, _) = sql(&here, &["deploy"]);
    assert!(built.code == 2 && built.stderr.contains("the warehouse is a folder"), "{built:?}");
}
