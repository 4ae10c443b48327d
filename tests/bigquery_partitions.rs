//! Promises about partitioned tables of BigQuery: only what changed of them is read again, and what comes of it is what a reading of the whole gives.
//! Invariant: rows come from a server process of its own; when a partition was changed, which that server does not say, is said by the proxy before it.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test that cannot go on may stop where it stands")]

mod bigquery_kit;
mod partition_kit;
mod proxy_kit;
#[path = "common/space.rs"]
mod space;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use bigquery_kit::line::Line;
use bigquery_kit::{BigQuery, PROJECT};
use cbi::engine::bigquery::account::{Account, Credentials};
use cbi::engine::bigquery::partitioning::{NULLS, PartitionVersion, Partitioning};
use cbi::engine::bigquery::parts::{MOST, parts};
use cbi::engine::bigquery::read::{self, Wanted};
use cbi::engine::bigquery::tokens::Tokens;
use cbi::store::action_cache::Session;
use partition_kit::Partitions;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use proxy_kit::Proxy;
use serde_json::{Value, json};
use space::TestSpace;

/// A table that gives no rows without a condition on its partitions, by day.
const DAILY: &str = "CREATE OR REPLACE TABLE m.daily PARTITION BY date OPTIONS(require_partition_filter=true) AS ";
const DAYS: &str = "SELECT COALESCE(FORMAT_DATE('%Y%m%d', date), '__NULL__'), CAST(SUM(n * n * 1000 + price * 100) AS INT64), COUNT(*), 24 * COUNT(*) \
                    FROM m.daily WHERE (date >= DATE '0001-01-01' OR date IS NULL) GROUP BY 1";
const MONTHS: &str =
    "SELECT FORMAT_DATE('%Y%m', date), CAST(SUM(n * n * 1000 + price * 100) AS INT64), COUNT(*), 24 * COUNT(*) FROM m.daily GROUP BY 1";

/// Rows of it: date, number, price.
fn rows(of: &[(&str, u32, f64)]) -> String {
    let row = |(date, n, price): &(&str, u32, f64)| {
        let date = if date.is_empty() { "CAST(NULL AS DATE)".to_owned() } else { format!("DATE '{date}'") };
        format!("SELECT {date} AS date, {n} AS n, {price:?} AS price")
    };
    of.iter().map(row).collect::<Vec<_>>().join(" UNION ALL ")
}

struct Scene {
    server: BigQuery,
    proxy: Proxy,
    line: Line,
    space: TestSpace,
}

impl Scene {
    /// The artifact of a target, as `cbi status` tells it.
    fn artifact(space: &TestSpace, target: &str) -> Value {
        let output = space.command(&["status", "--json", target]).output().unwrap();
        let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        told["targets"].as_array().unwrap().iter().find(|row| row["target"] == target).unwrap()["artifacts"].clone()
    }

    /// A build of the same recipes that reads every table whole, for nobody tells it of partitions.
    fn whole(&self) -> TestSpace {
        let space = TestSpace::empty();
        space.write("cbi.toml", format!("[workspace]\nname = \"t\"\nwarehouse = \"bigquery\"\n{}", self.server.settings()));
        space.write("recipes/all.toml", self.space.read("recipes/all.toml"));
        space.build(&["a.sum", "a.typed"]).ok().ran(&["a.sum", "a.typed", "export/m.daily", "m.daily"]);
        space
    }

    /// From now on partitions are told by this query, and requests are counted from zero.
    fn told_by(&self, query: &str) {
        let partitions = Partitions::of(&self.server.rest, &[("m.daily", query)]);
        self.proxy.plan(move |_, seen| partitions.answer(seen));
    }

    /// Questions for partitions since then.
    fn questions(&self) -> usize {
        self.proxy.seen().iter().filter(|seen| Partitions::is_question(seen)).count()
    }

    /// Builds, and sees that exactly these steps ran, each reading one with a session of its own, and that what comes of parts is what a reading of the whole
    /// table gives. How many rows were read.
    fn builds(&self, ran: &[&str]) -> u64 {
        let before = self.line.connections();
        let built = self.space.build(&["a.sum", "a.typed"]).ran(ran);
        let read = ran.iter().filter(|step| step.starts_with("export/")).count();
        assert_eq!(self.line.connections() - before, read, "a session for each step that reads");
        if ran.iter().any(|step| step.starts_with("export/m.daily/")) {
            let whole = self.whole();
            for target in ["m.daily", "a.typed"] {
                assert_eq!(Self::artifact(&self.space, target), Self::artifact(&whole, target), "{target}");
            }
        }
        self.rows_read(&built.events)
    }

    /// How many rows the steps of a build read from the server.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
    fn rows_read(&self, events: &[Value]) -> u64 {
        let read = events.iter().filter(|event| event["event"] == "ran" && event["target"].as_str().unwrap().starts_with("export/"));
        let keys: BTreeSet<String> = read.map(|event| event["key"].as_str().unwrap().to_owned()).collect();
        let session = Session::open(&self.space.path(".cbi-cache")).unwrap();
        let mut rows = 0.0;
        session
            .each_result(|result| {
                rows += if keys.contains(&result.key.to_string()) { result.metrics["rows"] } else { 0.0 };
                true
            })
            .unwrap();
        rows as u64
    }

    fn says(&self, words: &[&str]) -> String {
        let output = self.space.command(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

const RECIPES: &str = r#"
[table."m.daily"]

[table."a.typed"]
from = "m.daily"
types = { n = "STRING" }

[sql."b.other"]
query = "SELECT 1 AS one"

[sql."a.sum"]
query = "SELECT date, SUM(price) AS price FROM m.daily WHERE date IS NOT NULL GROUP BY date"
"#;

fn scene() -> Option<Scene> {
    let server = BigQuery::start()?;
    server.dataset("m");
    let proxy = Proxy::before(&server.rest);
    let line = Line::before(&server.storage, |_| None);
    let space = TestSpace::empty();
    let settings = bigquery_kit::settings(&proxy.address, &line.address);
    space.write("cbi.toml", format!("[workspace]\nname = \"t\"\nwarehouse = \"bigquery\"\n{settings}"));
    space.write("recipes/all.toml", RECIPES);
    Some(Scene { server, proxy, line, space })
}

#[test]
fn of_a_partitioned_table_only_what_changed_is_read_again() {
    let Some(scene) = scene() else { return };
    let day = |n: u32| format!("export/m.daily/2024-01-{n:02}");
    let (first, second, third, fourth) = (day(1), day(2), day(3), day(4));
    let (rest, above) = ("export/m.daily/rest", ["a.sum", "a.typed", "m.daily"]);
    let steps = |read: &[&str]| -> Vec<String> { read.iter().chain(&above).map(|step| (*step).to_owned()).collect() };
    let builds = |read: &[&str]| scene.builds(&steps(read).iter().map(String::as_str).collect::<Vec<_>>());
    let load = |of: &[(&str, u32, f64)]| _ = scene.server.query(&format!("{DAILY}{}", rows(of)));

    scene.told_by(DAYS);
    let begun = [("2024-01-01", 1, 1.5), ("2024-01-01", 2, 2.5), ("2024-01-02", 3, 3.5), ("", 4, 4.5)];
    load(&begun);
    assert_eq!(builds(&[&first, &second, rest]), 4);
    assert_eq!(scene.questions(), 1);

    // Nothing changed: no query, and nothing read.
    scene.told_by(DAYS);
    scene.builds(&[]);
    assert_eq!((scene.questions(), scene.proxy.seen().iter().filter(|seen| seen.method == "POST").count()), (0, 0));

    // Parts are targets: one by its name, all by the table's. A build of something else forgets none of them.
    scene.space.build(&[&second]).ran(&[]);
    assert_eq!(scene.space.build(&["export/m.daily"]).ran(&[]).counts, Some((0, 3, 0)));
    scene.space.build(&["b.other"]).ran(&["b.other"]);

    // One partition has a row more. Whoever looks first asks, once.
    load(&[&begun[..], &[("2024-01-02", 5, 5.5)]].concat());
    let plan = scene.says(&["plan", "a.sum"]);
    assert!(plan.contains(&second) && !plan.contains(&first) && plan.contains("partition 20240102 was changed"), "{plan}");
    let why = scene.says(&["why", &second]);
    assert!(
        why.contains("part.partitions.20240102.rows") && why.contains(&format!("{second} is stale: partition 20240102 was changed")),
        "{why}"
    );
    assert_eq!(builds(&[&second]), 2, "two rows of five");
    assert_eq!(scene.questions(), 1);
    let why = scene.says(&["why", "m.daily"]);
    assert!(why.contains("input source:2024-01-02: 1 rows added"), "{why}");

    // Other values in as many rows; then one partition is dropped and two come.
    load(&[("2024-01-01", 1, 1.5), ("2024-01-01", 2, 9.5), ("2024-01-02", 3, 3.5), ("2024-01-02", 5, 5.5), ("", 4, 4.5)]);
    assert_eq!(builds(&[&first]), 2);
    load(&[("2024-01-02", 3, 3.5), ("2024-01-02", 5, 5.5), ("2024-01-03", 6, 6.5), ("2024-01-04", 7, 7.5), ("", 4, 4.5)]);
    assert_eq!(builds(&[&third, &fourth]), 2);

    // Rows that are written again as they were: the table's version is another one, and nothing is read.
    load(&[("2024-01-02", 3, 3.5), ("2024-01-02", 5, 5.5), ("2024-01-03", 6, 6.5), ("2024-01-04", 7, 7.5), ("", 4, 4.5)]);
    scene.builds(&[]);

    // Nobody is asked for what was seen last.
    scene.told_by(DAYS);
    scene.space.build(&["--offline", "a.sum"]).ran(&[]);
    assert!(scene.proxy.seen().is_empty());

    // What a table was before its last change is known by the instant alone.
    let instant = (chrono::Utc::now() - chrono::TimeDelta::hours(1)).to_rfc3339();
    scene.space.build(&["--as-of", &instant, "m.daily"]).ran(&["export/m.daily", "m.daily"]);
    scene.space.build(&["m.daily"]).ran(&[]);

    // So many days that they are read by the month.
    let dates = "FROM UNNEST(GENERATE_DATE_ARRAY('2024-01-01', '2024-02-20')) AS date";
    scene.server.query(&format!("{DAILY}SELECT date, UNIX_DATE(date) AS n, 0.5 AS price {dates}"));
    assert_eq!(builds(&["export/m.daily/2024-01", "export/m.daily/2024-02"]), 51);
    scene.server.query(&format!("{DAILY}SELECT date, UNIX_DATE(date) AS n, IF(date = '2024-02-03', 2.5, 0.5) AS price {dates}"));
    assert_eq!(builds(&["export/m.daily/2024-02"]), 20);

    partitioned_otherwise(&scene, dates);
}

/// The same table, partitioned in another way, or not at all.
fn partitioned_otherwise(scene: &Scene, dates: &str) {
    let table = |n: u32| format!("SELECT date, UNIX_DATE(date) AS n, {n}.5 AS price {dates}");
    let by_month = |n| format!("CREATE OR REPLACE TABLE m.daily PARTITION BY DATE_TRUNC(date, MONTH) AS {}", table(n));
    let above = ["a.sum", "a.typed", "m.daily"];
    let whole = [&["export/m.daily"][..], &above].concat();
    scene.told_by(MONTHS);
    scene.server.query("DROP TABLE m.daily");
    scene.server.query(&by_month(1));
    scene.builds(&[&["export/m.daily/2024-01", "export/m.daily/2024-02"][..], &above].concat());
    scene.server.query("DROP TABLE m.daily");
    scene.server.query(&format!("CREATE OR REPLACE TABLE m.daily AS {}", table(2)));
    scene.builds(&whole);
    assert_eq!(scene.questions(), 1, "of what has no partitions nobody asks");

    // This server says of ranges of numbers that they are days, which is not understood.
    scene.server.query("DROP TABLE m.daily");
    scene
        .server
        .query(&format!("CREATE OR REPLACE TABLE m.daily PARTITION BY RANGE_BUCKET(n, GENERATE_ARRAY(0, 100000, 10)) AS {}", table(3)));
    scene.builds(&whole);
    assert_eq!(scene.questions(), 1);

    // Partitions that do not account for all rows, and a refusal, are no reason to fail: the table is read whole.
    for (query, n) in [("SELECT '202401', 1, 5, 8", 4), ("SELECT '202401', 1, 51, NULL", 5), ("", 6)] {
        scene.server.query("DROP TABLE m.daily");
        scene.server.query(&by_month(n));
        if query.is_empty() {
            scene.proxy.plan(|_, _| None);
        } else {
            scene.told_by(query);
        }
        scene.builds(&whole);
        assert_eq!(scene.questions(), 1, "{query}");
    }

    // One that is changed between the look and the question is not told apart; it is read as it was, or not at all.
    scene.server.query(&by_month(7));
    let partitions = Partitions::of(&scene.server.rest, &[("m.daily", MONTHS)]);
    let (rest, statement) = (scene.server.rest.clone(), by_month(8));
    scene.proxy.plan(move |_, seen| {
        if Partitions::is_question(seen) {
            std::thread::sleep(std::time::Duration::from_millis(1100));
            bigquery_kit::post(&rest, "queries", &json!({"useLegacySql": false, "query": statement}));
        }
        partitions.answer(seen)
    });
    let changed = scene.space.build(&["a.sum"]);
    assert!(changed.code == 6 && changed.stdout.contains("was changed while it was read"), "{changed:?}");
    scene.told_by(MONTHS);
    scene.builds(&[&["export/m.daily/2024-01", "export/m.daily/2024-02"][..], &above].concat());
}

/// One way of partitioning: what the description says, the ids of partitions in SQL, and the column's type there.
struct Way {
    table: &'static str,
    described: Value,
    id: String,
}

/// The ids of partitions of time, as BigQuery documents them.
fn ids(column: &str, function: &str, literal: &str, form: &str) -> String {
    let year = |year: u32| if literal == "DATE" { format!("DATE '{year}-01-01'") } else { format!("{literal} '{year}-01-01 00:00:00'") };
    format!(
        "CASE WHEN {column} IS NULL THEN '__NULL__' WHEN {column} < {} OR {column} >= {} THEN '__UNPARTITIONED__' \
         ELSE FORMAT_{function}('{form}', {column}) END",
        year(1960),
        year(2160)
    )
}

fn ways() -> Vec<Way> {
    let units = [("HOUR", "%Y%m%d%H"), ("DAY", "%Y%m%d"), ("MONTH", "%Y%m"), ("YEAR", "%Y")];
    let mut ways = Vec::new();
    for (unit, form) in units {
        for (column, kind) in [("d", "DATE"), ("dt", "DATETIME"), ("ts", "TIMESTAMP")] {
            if (unit, kind) != ("HOUR", "DATE") {
                let described = json!({"timePartitioning": {"type": unit, "field": column}});
                ways.push(Way { table: "m.every", described, id: ids(column, kind, kind, form) });
            }
        }
        let described = json!({"timePartitioning": {"type": unit}});
        ways.push(Way { table: "m.came", described, id: format!("FORMAT_TIMESTAMP('{form}', _PARTITIONTIME)") });
    }
    for (start, end, interval) in [(-500, 500, 1), (-500, 500, 7), (0, 3, 5)] {
        let range = json!({"start": start.to_string(), "end": end.to_string(), "interval": interval.to_string()});
        let described = json!({"rangePartitioning": {"field": "k", "range": range}});
        let id = format!(
            "CASE WHEN k IS NULL THEN '__NULL__' WHEN k < {start} OR k >= {end} THEN '__UNPARTITIONED__' \
             ELSE CAST(k - MOD(k - ({start}), {interval}) AS STRING) END"
        );
        ways.push(Way { table: "m.every", described, id });
    }
    ways
}

/// The numbers of the rows that fulfil a condition, read as a build reads them.
fn read_rows(server: &BigQuery, table: &str, restriction: &str) -> Vec<i64> {
    let account = Account {
        project: PROJECT.into(),
        billing_project: PROJECT.into(),
        endpoint: server.rest.clone(),
        storage_endpoint: server.storage.clone(),
        credentials: Credentials::None,
    };
    let columns = ["id".to_owned()];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let wanted = Wanted { columns: &columns, restriction, instant_ms: None };
        let mut session = read::open(&account, Arc::new(Tokens::None), &format!("{PROJECT}.{table}"), wanted).await.unwrap();
        let mut rows = Vec::new();
        while let Some(batch) = session.next().await {
            rows.extend(batch.unwrap().column(0).as_primitive::<Int64Type>().values().iter().copied());
        }
        rows
    })
}

/// Rows of moments, in hours since 1970, and numbers.
fn table_of(rows: &[(Option<i64>, Option<i64>)]) -> String {
    let moment = |hours: &i64| chrono::DateTime::from_timestamp(hours * 3600 + 1799, 0).unwrap().naive_utc();
    let row = |(id, (hours, k)): (usize, &(Option<i64>, Option<i64>))| {
        let at = |kind: &str, form: &str| match hours.as_ref().map(moment) {
            None => format!("CAST(NULL AS {kind})"),
            Some(at) => format!("{kind} '{}'", at.format(form)),
        };
        let k = k.map_or_else(|| "CAST(NULL AS INT64)".to_owned(), |k| k.to_string());
        let time = "%Y-%m-%d %H:%M:%S";
        format!(
            "SELECT CAST({id} AS INT64) AS id, {} AS d, {} AS dt, {} AS ts, {k} AS k",
            at("DATE", "%Y-%m-%d"),
            at("DATETIME", time),
            at("TIMESTAMP", &format!("{time}+00:00"))
        )
    };
    rows.iter().enumerate().map(row).collect::<Vec<_>>().join(" UNION ALL ")
}

#[test]
fn the_parts_of_a_table_hold_each_of_its_rows_once_however_it_is_partitioned() {
    let Some(server) = BigQuery::start() else { return };
    server.dataset("m");
    // Years around the first and the last that have partitions, so many rows that they come together by the year; or a few hours.
    let hours = |from: i64, to: i64| (from - 1970) * 8766..(to - 1970) * 8766;
    let wide = prop_oneof![option_of(hours(1955, 1962)), option_of(hours(2157, 2162))];
    let narrow = option_of(473_000..473_012);
    let numbers = || option_of(-600i64..600);
    let tables = [vec((wide, numbers()), 60..64).boxed(), vec((narrow, numbers()), 1..20).boxed()];
    let holds = |rows: Vec<(Option<i64>, Option<i64>)>| {
        server.query(&format!("CREATE OR REPLACE TABLE m.every AS {}", table_of(&rows)));
        server.query("CREATE OR REPLACE TABLE m.came (id INT64) PARTITION BY TIMESTAMP_TRUNC(_PARTITIONTIME, HOUR)");
        server.query("INSERT INTO m.came (_PARTITIONTIME, id) SELECT ts, id FROM m.every WHERE ts IS NOT NULL");
        ways().iter().try_for_each(|way| holds_each_row_once(&server, way))
    };
    for tables in tables {
        let mut runner = TestRunner::new(Config { cases: 1, max_shrink_iters: 10, failure_persistence: None, ..Config::default() });
        runner.run(&tables, holds).unwrap_or_else(|error| panic!("{error}"));
    }
}

fn option_of(range: std::ops::Range<i64>) -> impl Strategy<Value = Option<i64>> {
    proptest::option::weighted(0.9, range)
}

fn holds_each_row_once(server: &BigQuery, way: &Way) -> Result<(), TestCaseError> {
    let mut described = way.described.clone();
    let fields = [("d", "DATE"), ("dt", "DATETIME"), ("ts", "TIMESTAMP"), ("k", "INTEGER")];
    described["schema"]["fields"] = fields.iter().map(|(name, kind)| json!({"name": name, "type": kind})).collect();
    let partitioning = Partitioning::of(&described).unwrap();
    let mut listed: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    for row in server.query(&format!("SELECT {}, id FROM {}", way.id, way.table)) {
        listed.entry(row[0].clone().unwrap()).or_default().insert(row[1].as_ref().unwrap().parse().unwrap());
    }
    let one = |(id, rows): (&String, &BTreeSet<i64>)| (id.clone(), PartitionVersion { modified: 1, rows: rows.len() as u64, bytes: 8 });
    let Some(parts) = parts(&partitioning, &listed.iter().map(one).collect()) else {
        prop_assert!(listed.is_empty(), "{listed:?}");
        return Ok(());
    };
    prop_assert!(parts.len() <= MOST + 1);
    for (name, part) in &parts {
        let mut read = read_rows(server, way.table, &part.restriction);
        read.sort_unstable();
        let mut wanted: Vec<i64> = part.partitions.keys().flat_map(|id| listed[id].iter().copied()).collect();
        wanted.sort_unstable();
        prop_assert_eq!(read, wanted, "{} of {:?}: {}", name, way.described, part.restriction);
    }
    let in_parts: usize = parts.values().map(|part| part.partitions.len()).sum();
    prop_assert_eq!(in_parts, listed.len(), "each partition is in one part");
    let all: BTreeSet<i64> = read_rows(server, way.table, &partitioning.everything()).into_iter().collect();
    prop_assert_eq!(all, listed.values().flatten().copied().collect::<BTreeSet<i64>>());
    prop_assert!(!listed.contains_key(NULLS) || parts.contains_key("rest"));
    Ok(())
}
