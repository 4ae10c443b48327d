//! Promises about queries that run in BigQuery: they read pinned tables, their results are what the same files give here, and nothing is computed or paid
//! for twice. Invariant: the server is a process of its own; what it cannot do is answered by the proxy before it, as the REST reference says.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop where it stands")]

mod bigquery_kit;
mod proxy_kit;
#[path = "common/space.rs"]
mod space;

use bigquery_kit::BigQuery;
use proxy_kit::{Fault, Proxy, Seen};
use serde_json::{Value, json};
use space::TestSpace;

const RECIPES: &str = r#"
[table."m.renamed"]
from = "m.t"
columns = ["date", "price"]

[sql."a.mean"]
engine = "warehouse"
query = "SELECT date, AVG(price) AS price FROM m.t GROUP BY date"

[sql."a.top"]
engine = "warehouse"
query = "SELECT mean.date, mean.price * @n AS price, '@n' AS text FROM a.mean WHERE date >= @as_of -- a comment"
params = { n = 4 }
checks = [{ unique = ["date"] }]

[sql."a.both"]
engine = "warehouse"
query = "SELECT date, renamed.price AS a, v.price AS b FROM m.renamed JOIN m.v AS v USING (date)"

[sql."a.local"]
query = "SELECT date, price + 1 AS price FROM m.renamed"

[sql."a.mixed"]
engine = "warehouse"
query = "SELECT date, MAX(price) AS price FROM a.local GROUP BY date"
"#;

/// A workspace over a server with two small tables of exact numbers, and a proxy before it. One step at a time: this server refuses one of two
/// changes that are made at the same moment.
fn begun() -> Option<(BigQuery, Proxy, TestSpace)> {
    let server = BigQuery::start()?;
    server.dataset("m");
    server.query(
        "CREATE TABLE m.t AS SELECT DATE '2025-01-02' AS date, 1.5 AS price, 'x' AS other UNION ALL SELECT DATE '2025-01-03', 2.25, 'y'",
    );
    server.query("CREATE VIEW m.v AS SELECT date, price * 2 AS price FROM m.t");
    let proxy = Proxy::before(&server.rest);
    let space = TestSpace::empty();
    let settings = bigquery_kit::settings(&proxy.address, &server.storage);
    space.write(
        "cbi.toml",
        format!("[workspace]\nname = \"soy oil\"\nwarehouse = \"bigquery\"\nas_of = 2025-01-02\n\n[limits]\njobs = 1\n\n{settings}"),
    );
    space.write("recipes/all.toml", RECIPES);
    Some((server, proxy, space))
}

/// Jobs that were begun, but for dry runs.
fn jobs(proxy: &Proxy) -> Vec<Seen> {
    let begun = |seen: &Seen| {
        seen.method == "POST" && seen.path.split('?').next().unwrap().ends_with("/jobs") && !seen.body.contains("\"dryRun\":true")
    };
    proxy.seen().into_iter().filter(begun).collect()
}

/// The artifacts of some targets.
fn artifacts(space: &TestSpace, targets: &[&str]) -> Vec<Value> {
    let output = space.command(&[&["status", "--json"][..], targets].concat()).output().unwrap();
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let of = |target: &&str| rows["targets"].as_array().unwrap().iter().find(|row| row["target"] == **target).unwrap()["artifacts"].clone();
    targets.iter().map(of).collect()
}

const PUSHED: [&str; 4] = ["a.mean", "a.top", "a.both", "a.mixed"];

#[test]
fn a_query_that_runs_there_gives_what_it_gives_here_and_is_run_once() {
    let Some((server, proxy, space)) = begun() else { return };
    space.build(&["a.mean", "a.top", "a.both"]).ok().ran(&["a.both", "a.mean", "a.top"]);
    let asked = jobs(&proxy);
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(asked.iter().all(|job| job.body.contains("destinationTable") && !job.body.contains("FROM m.t")), "{asked:?}");
    let pinned = asked.iter().filter(|job| job.body.contains("`p1.m.t` FOR SYSTEM_TIME AS OF")).count();
    assert_eq!(pinned, 2, "a view is read as what it stands on: {asked:?}");

    // What runs here is brought there.
    space.build(&["a.mixed"]).ok().ran(&["a.local", "a.mixed", "export/m.t", "m.renamed"]);

    // Nothing is asked a second time but for descriptions of the tables.
    proxy.plan(|_, _| None);
    space.build(&PUSHED).ok().ran(&[]);
    assert!(jobs(&proxy).is_empty());

    // The same files, run here.
    let here = space.twin();
    here.write("recipes/all.toml", RECIPES.replace("engine = \"warehouse\"\n", ""));
    here.build(&PUSHED).ok();
    assert_eq!(artifacts(&here, &PUSHED), artifacts(&space, &PUSHED));

    // Names carry the key, and labels the digest of the rows.
    let listed = ureq::get(format!("{}/bigquery/v2/projects/p1/datasets/cbi_soy_oil/tables", server.rest)).call().unwrap();
    let listed: Value = serde_json::from_str(&listed.into_body().read_to_string().unwrap()).unwrap();
    for table in listed["tables"].as_array().unwrap() {
        let (name, labels) = (table["tableReference"]["tableId"].as_str().unwrap(), &table["labels"]);
        let ending = name.rsplit_once('_').unwrap().1;
        assert_eq!(ending.len(), 16, "{name}");
        assert!(
            labels["cbi_rows"].as_str().unwrap().starts_with(ending) || labels["cbi_key"].as_str().unwrap().starts_with(ending),
            "{table}"
        );
    }
    assert_eq!(listed["tables"].as_array().unwrap().len(), 5, "{listed}");

    // A store that is lost is filled again from what stands there, and no query is run.
    std::fs::remove_dir_all(space.path(".cbi-cache")).unwrap();
    proxy.plan(|_, _| None);
    space.build(&["a.mean", "a.top"]).ok().ran(&["a.mean", "a.top"]);
    assert!(jobs(&proxy).is_empty(), "{:?}", jobs(&proxy));
}

#[test]
fn what_changes_there_runs_what_stands_on_it_as_far_as_rows_differ() {
    let Some((server, proxy, space)) = begun() else { return };
    space.build(&["a.top"]).ok().ran(&["a.mean", "a.top"]);

    // Another version with the same rows: what stands on the rows stays.
    server.query("CREATE OR REPLACE TABLE m.t AS SELECT * FROM m.t ORDER BY date DESC");
    space.build(&["a.top"]).ok().ran(&["a.mean"]);
    server.query("CREATE OR REPLACE TABLE m.t AS SELECT date, price + 1 AS price FROM m.t");
    let built = space.build(&["a.top"]).ok().ran(&["a.mean", "a.top"]);
    let why = built.events.iter().find(|e| e["event"] == "started" && e["target"] == "a.mean").unwrap()["why"].to_string();
    assert!(why.contains("the table m.t was changed"), "{why}");

    // Somebody drops what stands there: rows that are known are brought there again.
    for row in server.query("SELECT table_name FROM cbi_soy_oil.INFORMATION_SCHEMA.TABLES") {
        server.query(&format!("DROP TABLE cbi_soy_oil.{}", row[0].as_ref().unwrap()));
    }
    space.edit("recipes/all.toml", "n = 4", "n = 5");
    proxy.plan(|_, _| None);
    space.build(&["a.top"]).ok().ran(&["a.top"]);
    let asked = jobs(&proxy);
    assert_eq!(asked.iter().map(|job| job.path.contains("/upload/")).collect::<Vec<_>>(), [true, false], "{asked:?}");

    // A query that is lost on its way is one job.
    space.edit("recipes/all.toml", "n = 5", "n = 6");
    let mut lost = false;
    proxy.plan(move |_, seen| {
        let first = !lost && seen.method == "POST" && seen.path.ends_with("/jobs");
        lost |= first;
        first.then_some(Fault::LoseReply)
    });
    space.build(&["a.top"]).ok().ran(&["a.top"]);
    let asked = jobs(&proxy);
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].body, asked[1].body, "sent again under the same id");

    // What cannot be told apart from a mistake in the recipe is told as one.
    space.edit("recipes/all.toml", "mean.price * @n", "mean.nope * @n");
    let wrong = space.build(&["a.top"]);
    assert_eq!(wrong.code, 3, "{wrong:?}");
    let line = RECIPES[..RECIPES.find("mean.price * @n").unwrap()].lines().count();
    let place = wrong.failure("a.top")["place"].as_str().unwrap();
    assert!(place.starts_with(&format!("recipes/all.toml:{line}:")), "{place} {wrong:?}");
    let offline = space.build(&["--offline", "a.top"]);
    assert!(offline.code == 3, "{offline:?}");
}

/// A frame, and a model of it, on the features of a query that runs there.
const LEARNING: &str = r#"
[table."m.p"]
available_after = "0 days"

[sql."a.f"]
engine = "warehouse"
query = "SELECT date, LN(price / LAG(price) OVER (ORDER BY date)) AS x FROM m.p"

[frame."frame/a"]
features = "a.f"
columns = ["x"]
price = { table = "m.p", column = "price", series = "spot" }
horizon = { rows = 1 }
label = "log_return"
split = { train = [2010-01-05, 2012-12-31], valid = [2013-01-01, 2013-12-31], test = [2014-01-01] }

[ridge."model/a"]
frame = "frame/a"
params = { alpha = 1.0 }
"#;

#[test]
fn a_frame_learns_from_a_query_there_that_is_tested_here() {
    let Some((server, proxy, space)) = begun() else { return };
    server.query(
        "CREATE TABLE m.p AS SELECT DATE_ADD(DATE '2010-01-01', INTERVAL n DAY) AS date, 100 + MOD(n * 7919, 101) / 10 AS price \
         FROM UNNEST(GENERATE_ARRAY(0, 1600)) AS n",
    );
    space.write("recipes/all.toml", LEARNING);
    proxy.plan(|_, _| None);
    let built = space.build(&["model/a"]).ok().ran(&["a.f", "export/m.p", "frame/a", "m.p", "model/a"]);
    assert_eq!(jobs(&proxy).len(), 1, "the query ran there, and its rows were not brought there: {built:?}");
    space.build(&["model/a"]).ok().ran(&[]);

    // What it gives is seen not to have been known: by what it says, or by running it here without the rows that came later.
    space.edit("recipes/all.toml", "LAG(price)", "LEAD(price)");
    let refused = space.build_plainly(&["model/a"]);
    assert!(refused.code == 3 && refused.stderr.contains("'a.f', which 'frame/a' would learn from, looks ahead"), "{refused:?}");
    space.edit("recipes/all.toml", "LN(price / LEAD(price) OVER (ORDER BY date))", "price - (SELECT AVG(price) FROM m.p)");
    let refused = space.build_plainly(&["model/a"]);
    let said = format!("{}{}", refused.stdout, refused.stderr);
    assert!(refused.code == 8 && said.contains("it would learn what was not known on the day: 'a.f', on "), "{said}");
    space.build(&["a.f"]).ok();
}

#[test]
fn a_frame_does_not_learn_from_what_cannot_be_tested_here() {
    let space = TestSpace::empty();
    let settings = bigquery_kit::settings("http://127.0.0.1:9", "http://127.0.0.1:9");
    space.write("recipes/all.toml", LEARNING.replace("LN(price / LAG(price) OVER (ORDER BY date))", "FORMAT('%d', 1)"));
    space.write("cbi.toml", format!("[workspace]\nname = \"t\"\nwarehouse = \"bigquery\"\n{settings}"));
    let refused = space.build_plainly(&["frame/a"]);
    let said = "'a.f', which 'frame/a' would learn from, cannot run here, where it is tested whether it reads later rows: ";
    assert!(refused.code == 3 && refused.stderr.contains(said) && refused.stderr.contains("^^^"), "{}", refused.stderr);
}

#[test]
fn a_query_costs_what_it_may_and_what_it_cost_is_told() {
    let Some((server, proxy, space)) = begun() else { return };
    let plain = space.read("cbi.toml");
    // What the test server does not know the proxy says for it, as the REST reference has it: what a query would read, what it is charged for, and that
    // it is ended where it may not cost so much.
    let rest = server.rest.clone();
    let answers = move |_: usize, seen: &Seen| {
        let body: Value = serde_json::from_str(&seen.body).ok()?;
        let configuration = &body["configuration"];
        let told = |answer: &Value| Some(Fault::Answer(200, vec![("content-type".into(), "application/json".into())], answer.to_string()));
        let of_view = seen.body.contains("SELECT * FROM `p1.m.v`");
        if configuration["dryRun"] == true && (of_view || seen.body.contains("FOR SYSTEM_TIME")) {
            let query = json!({"totalBytesProcessed": (1_u64 << 41).to_string(), "referencedTables": []});
            return told(&json!({"status": {"state": "DONE"}, "statistics": {"query": query}}));
        }
        let query = configuration["query"].as_object().filter(|query| of_view || query.contains_key("destinationTable"))?;
        let billed = 20_u64 << 20;
        if query["maximumBytesBilled"].as_str().is_some_and(|most| most.parse::<u64>().unwrap() < billed) {
            let message = format!(
                "Query exceeded limit for bytes billed: {}. {billed} or higher required.",
                query["maximumBytesBilled"].as_str().unwrap()
            );
            let error = json!({"reason": "bytesBilledLimitExceeded", "message": message});
            return told(&json!({"jobReference": body["jobReference"], "status": {"state": "DONE", "errorResult": error}}));
        }
        let sent =
            ureq::post(&format!("{rest}{}", seen.path)).header("content-type", "application/json").send(seen.body.as_bytes()).unwrap();
        let mut done: Value = serde_json::from_str(&sent.into_body().read_to_string().unwrap()).unwrap();
        assert_eq!(done["status"]["state"], "DONE", "{done}");
        done["statistics"]["query"]["totalBytesBilled"] = billed.to_string().into();
        told(&done)
    };
    proxy.plan(answers.clone());

    // Before: what it would read, and the money.
    let plan = |words: &[&str]| {
        let output = space.command(&[&["plan", "--json"][..], words].concat()).output().unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    };
    let planned = plan(&["a.top"]);
    let step =
        |planned: &Value, target: &str| planned["steps"].as_array().unwrap().iter().find(|step| step["target"] == target).unwrap().clone();
    assert_eq!((&step(&planned, "a.mean")["scan_bytes"], &step(&planned, "a.mean")["scan_cost"]), (&json!(1_u64 << 41), &json!(12.5)));
    assert_eq!(step(&planned, "a.top")["scan_bytes"], Value::Null, "what it reads is not there yet");
    assert!(jobs(&proxy).is_empty());

    // A target's own limit, and the build's, are the server's own.
    space.edit("recipes/all.toml", "[sql.\"a.mean\"]\n", "[sql.\"a.mean\"]\nmax_bytes_billed = \"10MiB\"\n");
    let refused = space.build(&["a.top"]);
    assert_eq!(refused.code, 8, "{refused:?}");
    assert!(refused.failure("a.mean")["hint"].as_str().unwrap().contains("max_bytes_billed"));
    assert!(jobs(&proxy)[0].body.contains("\"maximumBytesBilled\":\"10485760\""));
    space.edit("recipes/all.toml", "10MiB", "20MiB");
    let budget = |size: &str| space.write("cbi.toml", format!("{plain}budget = \"{size}\"\nprice_per_tib = 1024\n"));
    for (size, counts, why) in [("20MiB", (1, 0, 1), "used up this build's budget"), ("10MiB", (0, 1, 1), "bytes billed: 10485760")] {
        budget(size);
        let refused = space.build(&["a.mean", "a.top"]);
        assert_eq!((refused.code, refused.counts), (8, Some(counts)), "{refused:?}");
        assert!(refused.failure("a.top")["error"].as_str().unwrap().contains(why), "{refused:?}");
    }
    budget("30MiB");
    space.build(&["a.mean", "a.top"]).ok().ran(&["a.top"]);

    // After: what it cost, by month and target.
    let output = space.command(&["log", "--cost", "--json"]).output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["totals"], json!({"jobs": 2, "bytes_billed": 40 << 20, "cost": 0.039_062_5}));
    let rows: Vec<_> = told["costs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["target"].as_str().unwrap(), row["bytes_billed"].as_u64().unwrap()))
        .collect();
    assert_eq!(rows, [("a.mean", 20 << 20), ("a.top", 20 << 20)]);
    let said = space.command(&["log", "--cost", "a.top"]).output().unwrap();
    assert!(String::from_utf8_lossy(&said.stdout).ends_with("1 job, 20.0 MiB billed, 0.02\n"), "{said:?}");

    // What nothing stands on any more is dropped there too, and what others made is left.
    server.query("CREATE TABLE cbi_soy_oil.mine AS SELECT 1 AS x");
    let tables = || server.query("SELECT table_name FROM cbi_soy_oil.INFORMATION_SCHEMA.TABLES").len();
    space.edit("recipes/all.toml", "n = 4", "n = 5");
    space.build(&["a.top"]).ok().ran(&["a.top"]);
    assert_eq!(tables(), 4);
    let collect = |words: &[&str]| {
        let all = [&["gc", "--json", "--keep-builds", "1", "--keep-days", "0"][..], words].concat();
        let output = space.command(&all).output().unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))["deleted"]["tables"].clone()
    };
    let would = collect(&["--dry-run"]);
    assert_eq!((would.as_array().unwrap().len(), tables()), (1, 4), "{would}");
    assert_eq!((collect(&[]), tables()), (would, 3));
    assert_eq!(collect(&[]), json!([]));
    space.build(&["a.top"]).ok().ran(&[]);

    // A view that is computed to be read is a query like any other.
    space.write("recipes/view.toml", "[table.\"b.seen\"]\nfrom = \"m.v\"\nmax_bytes_billed = \"10MiB\"\n");
    assert_eq!(step(&plan(&["b.seen"]), "export/m.v")["scan_cost"], json!(2048.0));
    for (limit, size) in [("10MiB", "30MiB"), ("20MiB", "10MiB")] {
        space.write("recipes/view.toml", format!("[table.\"b.seen\"]\nfrom = \"m.v\"\nmax_bytes_billed = \"{limit}\"\n"));
        budget(size);
        let refused = space.build(&["b.seen"]);
        assert_eq!(refused.code, 8, "{refused:?}");
        assert!(refused.failure("export/m.v")["hint"].as_str().unwrap().contains("max_bytes_billed"), "{refused:?}");
        assert!(jobs(&proxy).last().unwrap().body.contains("\"maximumBytesBilled\":\"10485760\""));
    }
    budget("20MiB");
    space.build(&["b.seen"]).ok().ran(&["b.seen", "export/m.v"]);
    let output = space.command(&["log", "--cost", "--json", "export/m.v"]).output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["totals"], json!({"jobs": 1, "bytes_billed": 20 << 20, "cost": 0.019_531_25}));
}
