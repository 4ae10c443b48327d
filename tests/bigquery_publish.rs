//! Promises about delivering into BigQuery: once, whatever breaks and whoever else delivers, and back again. Invariant: what is looked at is the table in
//! the server, asked past the line that breaks.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop where it stands")]

#[path = "bigquery_kit/mod.rs"]
mod bigquery_kit;
mod proxy_kit;
#[path = "common/space.rs"]
mod space;

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use bigquery_kit::{BigQuery, PROJECT, settings};
use cbi::base::diagnostic::ExitCode;
use cbi::base::digest::{ActionKey, Digest, ManifestId};
use cbi::engine::bigquery::account::{Account, Credentials};
use cbi::engine::table_columns::{Values, table};
use cbi::engine::table_file;
use cbi::kinds::dispatch;
use cbi::kinds::export::Reach;
use cbi::kinds::publish::FROM_SLOT;
use cbi::kinds::publish_bigquery::{Delivering, Whose};
use cbi::kinds::reach::Work;
use cbi::kinds::request::Request;
use proxy_kit::{Fault, Proxy, Seen};
use serde_json::{Value, json};
use space::TestSpace;

type Row<'a> = (&'a str, &'a str, u32);

const FIRST: &[Row] = &[("a", "zl", 1), ("b", "zl", 2), ("b2", "wti", 3)];
const SECOND: &[Row] = &[("b", "zl", 20), ("c", "zl", 30)];

/// A server with the line to it, and the dataset `out` in it.
fn server() -> Option<(BigQuery, Proxy)> {
    let server = BigQuery::start()?;
    server.dataset("out");
    let proxy = Proxy::before(&server.rest);
    Some((server, proxy))
}

/// A workspace whose warehouse is the server behind the line.
fn space(server: &BigQuery, proxy: &Proxy) -> TestSpace {
    let space = TestSpace::empty();
    let reached = settings(&proxy.address, &server.storage);
    space.write("cbi.toml", format!("[workspace]\nname = \"oil\"\nwarehouse = \"bigquery\"\n{reached}"));
    space
}

/// The rows that are delivered from now on. They are made by a query, so that no table is read for them.
fn give(space: &TestSpace, rows: &[Row], more: &str) {
    let row = |(day, market, price): &Row| format!("SELECT '{day}' AS day, '{market}' AS market, {price}.0 AS price{more}");
    let query = rows.iter().map(row).collect::<Vec<_>>().join(" UNION ALL ");
    space.write("recipes/rows.toml", format!("[sql.\"m.daily\"]\nquery = \"{query}\"\nkey = [\"day\"]\n"));
}

/// A target that delivers them into `out.TABLE`.
fn publish(space: &TestSpace, table: &str, more: &str) -> String {
    let name = format!("publish/{table}");
    space.write(&format!("recipes/{table}.toml"), format!("[publish.\"{name}\"]\nfrom = \"m.daily\"\nto = \"out.{table}\"\n{more}\n"));
    name
}

const MERGE: &str = "mode = \"merge\"\nkey = [\"day\"]";

/// The rows of a table as the server has them.
fn held(server: &BigQuery, table: &str) -> String {
    let rows = server.query(&format!("SELECT day, price FROM out.{table} ORDER BY day, price"));
    let told = |row: &Vec<Option<String>>| format!("{}={}", row[0].as_deref().unwrap(), row[1].as_deref().unwrap().trim_end_matches(".0"));
    rows.iter().map(told).collect::<Vec<_>>().join(" ")
}

fn listed(all: &[(u64, &str)]) -> Vec<(u64, String)> {
    all.iter().map(|(number, state)| (*number, (*state).to_owned())).collect()
}

fn jobs(proxy: &Proxy) -> usize {
    proxy.seen().iter().filter(|seen| seen.method == "POST" && seen.path.contains("/jobs")).count()
}

/// Tables of loaded rows that were left.
fn left(server: &BigQuery) -> Vec<String> {
    let address = format!("{}/bigquery/v2/projects/{PROJECT}/datasets/out/tables?maxResults=10000", server.rest);
    let text = ureq::get(&address).call().unwrap().body_mut().read_to_string().unwrap();
    let found: Value = serde_json::from_str(&text).unwrap();
    let names = found["tables"].as_array().into_iter().flatten().filter_map(|table| table["tableReference"]["tableId"].as_str());
    names.filter(|name| name.starts_with("_cbi_staging_")).map(str::to_owned).collect()
}

#[test]
fn a_table_is_delivered_once_in_every_mode_and_an_earlier_one_is_put_back() {
    let Some((server, proxy)) = server() else { return };
    each_mode_makes_place_for_its_rows_and_a_repeat_asks_and_sends_nothing(&server, &proxy);
    an_earlier_delivery_is_put_back_as_a_delivery_of_its_own(&server, &proxy);
    every_type_comes_as_it_is(&server, &proxy);
    nothing_of_another_shape_is_delivered(&server, &proxy);
    nothing_empty_is_delivered(&server, &proxy);
    what_somebody_else_made_is_left_alone(&server, &proxy);
    assert_eq!(left(&server), Vec::<String>::new());
}

fn each_mode_makes_place_for_its_rows_and_a_repeat_asks_and_sends_nothing(server: &BigQuery, proxy: &Proxy) {
    let space = space(server, proxy);
    let of = |table: &str, more: &str| publish(&space, table, more);
    let all = [
        of("replaced", "mode = \"replace\""),
        of("merged", MERGE),
        of("added", "mode = \"add\"\nkey = [\"day\"]"),
        of("parts", "mode = \"partition\"\npartition = \"market\""),
    ];
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    give(&space, FIRST, "");
    space.build(&[]).ran(&["m.daily"]);
    space.build(&all).ran(&all);
    for table in ["replaced", "merged", "added", "parts"] {
        assert_eq!(held(server, table), "a=1 b=2 b2=3", "{table}");
    }
    proxy.plan(|_, _| None);
    space.build(&all).ran(&[]);
    // Two looks a table: at the table, and at its ledger.
    let asked: Vec<String> = proxy.seen().iter().map(|seen| format!("{} {}", seen.method, seen.path)).collect();
    assert!(asked.len() == 8 && asked.iter().all(|asked| asked.starts_with("GET ")), "{asked:?}");
    let status = space.command(&["status", "--json", "publish/merged"]).output().unwrap();
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["totals"]["not_fresh"], 0, "{status}");
    // A store that knows nothing of it delivers nothing again.
    std::fs::remove_dir_all(space.path(".cbi-cache")).unwrap();
    proxy.plan(|_, _| None);
    space.build(&all).ok();
    assert_eq!(jobs(proxy), 0, "{:?}", proxy.seen());
    assert_eq!(space.deliveries("publish/merged"), listed(&[(1, "stands")]));
    give(&space, SECOND, "");
    space.build(&all).ok();
    let now = ["replaced", "merged", "added", "parts"].map(|table| held(server, table));
    assert_eq!(now, ["b=20 c=30", "a=1 b=20 b2=3 c=30", "a=1 b=2 b2=3 c=30", "b=20 b2=3 c=30"]);
    space.build(&all).ran(&[]);
    give(&space, &[("a", "zl", 1), ("a", "zl", 2)], "");
    let twice = space.build(&["publish/merged"]);
    assert_eq!(twice.code, 8, "{twice:?}");
    assert!(twice.failure("publish/merged")["error"].as_str().unwrap().contains("1 of the new rows share their key (day)"));
    assert_eq!(held(server, "merged"), "a=1 b=20 b2=3 c=30");
}

fn an_earlier_delivery_is_put_back_as_a_delivery_of_its_own(server: &BigQuery, proxy: &Proxy) {
    let space = space(server, proxy);
    let target = publish(&space, "back", MERGE);
    give(&space, FIRST, "");
    space.build(&[&target]).ok();
    assert_eq!(space.rollback(&[&target]).0.code, 2, "there is nothing before the first");
    give(&space, SECOND, "");
    space.build(&[&target]).ok();
    assert_eq!(held(server, "back"), "a=1 b=20 b2=3 c=30");
    let (built, said) = space.rollback(&[&target]);
    assert_eq!(said["said"], "out.back is as delivery 1 left it, 3 rows; this is delivery 3", "{built:?}");
    assert_eq!(held(server, "back"), "a=1 b=2 b2=3");
    assert_eq!(space.deliveries(&target), listed(&[(3, "put back 1"), (2, "taken back"), (1, "stands")]));
    let why = String::from_utf8(space.command(&["why", &target]).output().unwrap().stdout).unwrap();
    assert!(why.contains("p1.out.back holds an earlier delivery, number 1"), "{why}");
    space.build(&[&target]).ran(&[&target]);
    assert_eq!(held(server, "back"), "a=1 b=20 b2=3 c=30");
    assert_eq!(space.deliveries(&target)[0], (4, "stands".to_owned()));
    // What a delivery left is made of all that stood then, and not of its own rows alone.
    assert_eq!(space.rollback(&[&target, "--to", "2"]).0.code, 0);
    assert_eq!(held(server, "back"), "a=1 b=20 b2=3 c=30");
    assert_eq!(space.rollback(&[&target, "--to", "9"]).0.code, 2);
    assert_eq!(space.rollback(&["m.daily"]).0.code, 2);
    space.write("recipes/wrong.toml", "[nonsense");
    assert_eq!(space.rollback(&[&target, "--to", "1"]).0.code, 0, "also while the recipes are wrong");
    assert_eq!(held(server, "back"), "a=1 b=2 b2=3");
    std::fs::remove_dir_all(space.path(".cbi-cache")).unwrap();
    let (built, _) = space.rollback(&[&target, "--to", "2"]);
    assert!(
        built.code == 1 && built.stderr.contains("the rows of delivery 1, which the table was made of then, are not in this store"),
        "{built:?}"
    );
    assert_eq!(held(server, "back"), "a=1 b=2 b2=3");
}

/// BYTES are left out: this server takes those of a Parquet file for text.
fn every_type_comes_as_it_is(server: &BigQuery, proxy: &Proxy) {
    let space = space(server, proxy);
    let query = "SELECT 1 AS n, 0.5 AS f, TRUE AS yes, 'é' AS s, DATE '2024-02-29' AS d, TIMESTAMP '2024-02-29 12:00:00.000001+00' AS t, \
                 DATETIME '2024-02-29 12:00:00' AS dt, NUMERIC '12.345678901' AS num, TIME '12:34:56' AS tm, [1, 2] AS list, STRUCT(1 AS x, 'y' AS y) AS part, \
                 CAST(NULL AS STRING) AS nothing";
    server.dataset("src");
    server.query(&format!("CREATE TABLE src.types AS {query}"));
    let target = "publish/types";
    space.write("recipes/types.toml", format!("[publish.\"{target}\"]\nfrom = \"src.types\"\nto = \"out.types\"\nmode = \"replace\"\n"));
    space.build(&[target]).ok();
    let types = server
        .query("SELECT column_name, data_type FROM out.INFORMATION_SCHEMA.COLUMNS WHERE table_name = 'types' ORDER BY ordinal_position");
    let types: Vec<String> = types.iter().map(|row| format!("{} {}", row[0].as_deref().unwrap(), row[1].as_deref().unwrap())).collect();
    let wanted = "n INT64, f FLOAT64, yes BOOL, s STRING, d DATE, t TIMESTAMP, dt DATETIME, num NUMERIC, tm TIME, list ARRAY<INT64>, \
                  part STRUCT<x INT64, y STRING>, nothing STRING";
    assert_eq!(types.join(", "), wanted);
    let equal = server.query(&format!("SELECT COUNT(*) FROM out.types AS h, ({query}) AS w WHERE h.nothing IS NULL AND ARRAY_LENGTH(h.list) = 2 AND (SELECT SUM(x) FROM UNNEST(h.list) AS x) = 3 AND h.part.y = w.part.y AND (h.n, h.f, h.yes, h.s, h.d, h.t, h.dt, h.num, h.tm) = (w.n, w.f, w.yes, w.s, w.d, w.t, w.dt, w.num, w.tm)"));
    assert_eq!(equal, [[Some("1".to_owned())]]);
}

fn nothing_of_another_shape_is_delivered(server: &BigQuery, proxy: &Proxy) {
    let space = space(server, proxy);
    let target = publish(&space, "shaped", MERGE);
    give(&space, FIRST, "");
    space.build(&[&target]).ok();
    let refused = |said: &str| {
        let built = space.build(&[&target]);
        assert_eq!(built.code, 8, "{built:?}");
        assert_eq!(built.failure(&target)["error"], said);
    };
    give(&space, &[("d", "zl", 4)], ", 'x' AS more");
    refused("p1.out.shaped: the new rows have columns that the table lacks: more");
    let recipe = |query: &str| space.write("recipes/rows.toml", format!("[sql.\"m.daily\"]\nquery = \"{query}\"\n"));
    recipe("SELECT 'd' AS day, 4.0 AS price");
    refused("p1.out.shaped: the table has columns that the new rows lack: market");
    recipe("SELECT 'd' AS day, 'zl' AS market, '4' AS price");
    refused("p1.out.shaped: column 'price' is FLOAT64 in the table, and STRING in the new rows");
    assert_eq!(held(server, "shaped"), "a=1 b=2 b2=3");
    publish(&space, "shaped", &format!("{MERGE}\nallow_schema_change = true"));
    give(&space, &[("d", "zl", 4)], ", 'x' AS more");
    space.build(&[&target]).ok();
    let more = server.query("SELECT more FROM out.shaped ORDER BY day");
    assert_eq!(more, [[None], [None], [None], [Some("x".to_owned())]]);
    // A column that came later stays, without values, when what was before it is put back.
    assert_eq!(space.rollback(&[&target]).0.code, 0);
    assert_eq!(held(server, "shaped"), "a=1 b=2 b2=3");
}

/// A step without rows is refused where it is made; a table that has none all the same does not get past here.
fn nothing_empty_is_delivered(server: &BigQuery, proxy: &Proxy) {
    let folder = tempfile::tempdir().unwrap();
    let rows = table([("day".to_owned(), Values::Strings(Vec::new()))]).unwrap();
    table_file::write(&folder.path().join(table_file::FILE_NAME), &rows, &[]).unwrap();
    let account = Account {
        project: PROJECT.into(),
        billing_project: PROJECT.into(),
        endpoint: proxy.address.clone(),
        storage_endpoint: server.storage.clone(),
        credentials: Credentials::None,
    };
    let reach =
        Reach { account, env: Vec::new(), instant_ms: None, offline: false, work: Work::default(), step: None, modified: BTreeMap::new() };
    let any = Digest::of(b"x");
    let delivery = Whose { target: "publish/empty".into(), action: ActionKey(any), artifact: ManifestId(any) };
    let inputs = BTreeMap::from([(FROM_SLOT.to_owned(), folder.path().to_owned())]);
    let params = json!({"to": "out.empty", "mode": "replace", "columns": [], "allow_schema_change": false});
    let told = Request::of("publish", params, inputs, folder.path().join("out"));
    proxy.plan(|_, _| None);
    let refused = dispatch::run(&Request { reach: Some(json!(Delivering { reach, delivery })), ..told }).unwrap_err();
    assert_eq!((refused.code, refused.message.as_str()), (ExitCode::Refused, "what it delivers has no rows"));
    assert!(proxy.seen().is_empty(), "{:?}", proxy.seen());
}

fn what_somebody_else_made_is_left_alone(server: &BigQuery, proxy: &Proxy) {
    let space = space(server, proxy);
    give(&space, FIRST, "");
    let refused = |target: &str, code: i32, said: &str, hint: &str| {
        let built = space.build(&[target]);
        assert_eq!(built.code, code, "{built:?}");
        let failure = built.failure(target);
        assert!(failure["error"].as_str().unwrap().contains(said), "{failure}");
        assert!(failure["hint"].as_str().unwrap().contains(hint), "{failure}");
    };
    let foreign = publish(&space, "foreign", MERGE);
    server.query("CREATE TABLE out.foreign AS SELECT 'mine' AS day, 'zl' AS market, 1.0 AS price");
    refused(&foreign, 8, "p1.out.foreign is there already, and was not published", "another table");
    assert_eq!(held(server, "foreign"), "mine=1");
    let status = space.command(&["status", &foreign]).output().unwrap();
    assert!(String::from_utf8(status.stdout).unwrap().contains("broken"));
    let gone = publish(&space, "gone", MERGE);
    space.build(&[&gone]).ok();
    server.query("DROP TABLE out.gone");
    refused(&gone, 8, "p1.out.gone is gone since it was published (delivery 1, ", &format!("cbi rollback {gone} --to 1"));
    assert_eq!(space.rollback(&[&gone, "--to", "1"]).0.code, 0);
    assert_eq!(held(server, "gone"), "a=1 b=2 b2=3");
    space.build(&[&gone]).ran(&[]);
    server.query("DROP TABLE out._cbi_ledger_gone");
    refused(&gone, 5, "its ledger p1.out._cbi_ledger_gone is gone", "seven days");
    space.write("recipes/nowhere.toml", "[publish.\"publish/nowhere\"]\nfrom = \"m.daily\"\nto = \"nowhere.t\"\nmode = \"replace\"\n");
    refused("publish/nowhere", 6, "there is no dataset nowhere in the project p1", "bq mk --dataset p1:nowhere");
}

/// Ends `cbi` and all that it began, at once.
fn end_at_once(pid: u32) {
    let mut all = vec![pid];
    let parents: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            Some((pid, stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?))
        })
        .collect();
    let mut at = 0;
    while let Some(parent) = all.get(at).copied() {
        all.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    _ = Command::new("kill").arg("-9").args(all.iter().map(ToString::to_string)).stderr(Stdio::null()).status();
}

fn faults() -> [(&'static str, Fault); 4] {
    [("before", Fault::CutBefore), ("during", Fault::CutDuring), ("lost", Fault::LoseReply), ("cut", Fault::CutReply(20))]
}

/// Breaks request `k` with `fault`, and does `strike` as it comes. Faults that come after the server has heard of a request are tried with those alone
/// that change something: for a look they are no other than the first.
fn breaks(proxy: &Proxy, (k, fault): (usize, &Fault), strike: impl Fn() + Send + 'static) -> Arc<AtomicBool> {
    let (struck, fault, mut counted) = (Arc::new(AtomicBool::new(false)), fault.clone(), 0);
    let told = struck.clone();
    proxy.plan(move |_, seen: &Seen| {
        if seen.method == "GET" && !matches!(fault, Fault::CutBefore) {
            return None;
        }
        counted += 1;
        (counted == k + 1).then(|| {
            told.store(true, Ordering::SeqCst);
            strike();
            fault.clone()
        })
    });
    struck
}

/// Runs a build that is killed as it sends request `k`, which meets `fault`; whether it got that far.
fn killed_at(space: &TestSpace, proxy: &Proxy, target: &str, (k, fault): (usize, &Fault)) -> bool {
    let pid = Arc::new(AtomicU32::new(0));
    let whose = pid.clone();
    let struck = breaks(proxy, (k, fault), move || {
        while whose.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        end_at_once(whose.load(Ordering::SeqCst));
    });
    let mut child: Child = space.command(&["build", target]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    pid.store(child.id(), Ordering::SeqCst);
    let ended = child.wait().unwrap();
    let struck = struck.load(Ordering::SeqCst);
    assert!(struck != ended.success(), "request {k}: {ended:?}");
    proxy.plan(|_, _| None);
    struck
}

/// Removes a table and its ledger: many of them make the server slow.
fn remove(server: &BigQuery, table: &str) {
    server.query(&format!("DROP TABLE out.{table}"));
    server.query(&format!("DROP TABLE out._cbi_ledger_{table}"));
}

/// The numbers in a table's ledger.
fn numbers(server: &BigQuery, table: &str) -> String {
    let rows = server.query(&format!("SELECT sequence FROM out._cbi_ledger_{table} ORDER BY sequence"));
    rows.iter().map(|row| row[0].clone().unwrap()).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_delivery_killed_at_any_request_is_finished_by_the_next_one_and_no_row_comes_twice() {
    let Some((server, proxy)) = server() else { return };
    let space = space(&server, &proxy);
    let mut tables = 0;
    for (name, fault) in &faults() {
        for k in 0.. {
            // A table that is not there yet, and all that goes with it.
            tables += 1;
            let table = format!("t{tables}");
            let target = publish(&space, &table, MERGE);
            give(&space, &[("a", "zl", 1), ("b", "zl", tables)], "");
            let struck = killed_at(&space, &proxy, &target, (k, fault));
            space.build(&[&target]).ok();
            assert_eq!(held(&server, &table), format!("a=1 b={tables}"), "{name} {k}");
            assert_eq!(numbers(&server, &table), "0 1", "{name} {k}");
            assert_eq!(left(&server), Vec::<String>::new(), "{name} {k}");
            remove(&server, &table);
            if !struck {
                assert!(k >= 6, "{k} requests");
                break;
            }
        }
    }
}

#[test]
fn a_later_delivery_killed_at_any_request_is_finished_too() {
    let Some((server, proxy)) = server() else { return };
    let space = space(&server, &proxy);
    let target = publish(&space, "days", &format!("{MERGE}\nallow_schema_change = true"));
    let (mut round, mut all) = (0, BTreeMap::new());
    for (name, fault) in [("before", Fault::CutBefore), ("lost", Fault::LoseReply)] {
        for k in 0.. {
            round += 1;
            let day = format!("d{}", round % 5);
            let more = (1..=round).map(|n| format!(", {n} AS more{n}")).collect::<Vec<_>>().concat();
            give(&space, &[("first", "zl", round), (&day, "zl", 7)], &more);
            all.extend([("first".to_owned(), round), (day, 7)]);
            let struck = killed_at(&space, &proxy, &target, (k, &fault));
            space.build(&[&target]).ok();
            let expected = all.iter().map(|(day, price)| format!("{day}={price}")).collect::<Vec<_>>().join(" ");
            assert_eq!(held(&server, "days"), expected, "{name} {k}");
            assert_eq!(left(&server), Vec::<String>::new(), "{name} {k}");
            if !struck {
                break;
            }
        }
    }
    let done = space.deliveries(&target);
    assert!(done.len() == round as usize && done.iter().all(|(_, state)| state == "stands"), "one for each round: {done:?}");
}

#[test]
fn a_line_that_breaks_once_is_no_matter() {
    let Some((server, proxy)) = server() else { return };
    let space = space(&server, &proxy);
    give(&space, FIRST, "");
    let mut tables = 0;
    for (name, fault) in faults() {
        for k in 0.. {
            tables += 1;
            let table = format!("s{tables}");
            let target = publish(&space, &table, MERGE);
            let struck = breaks(&proxy, (k, &fault), || {});
            space.build(&[&target]).ok();
            assert_eq!((held(&server, &table).as_str(), numbers(&server, &table).as_str()), ("a=1 b=2 b2=3", "0 1"), "{name} {k}");
            remove(&server, &table);
            if !struck.load(Ordering::SeqCst) {
                break;
            }
        }
    }
    proxy.plan(|_, _| None);
    assert_eq!(left(&server), Vec::<String>::new());
}

#[test]
fn publishers_of_several_workspaces_take_their_turns() {
    let Some((server, proxy)) = server() else { return };
    let (server, proxy) = (&server, &proxy);
    let days = ["d0", "d1", "d2", "d3"];
    let spaces: Vec<TestSpace> = days
        .iter()
        .map(|day| {
            let space = space(server, proxy);
            publish(&space, "shared", MERGE);
            give(&space, &[(day, "zl", 1), ("all", "zl", 5)], "");
            space.build(&[]).ok();
            space
        })
        .collect();
    let running: Vec<Child> =
        spaces.iter().map(|space| space.command(&["build", "publish/shared"]).stderr(Stdio::piped()).spawn().unwrap()).collect();
    for child in running {
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
    assert_eq!(held(server, "shared"), "all=5 d0=1 d1=1 d2=1 d3=1");
    assert_eq!(spaces[0].deliveries("publish/shared"), listed(&[(4, "stands"), (3, "stands"), (2, "stands"), (1, "stands")]));
}

#[test]
fn the_settings_say_where_tables_go() {
    let space = TestSpace::empty();
    space.write("cbi.toml", "[workspace]\nname = \"oil\"\npublished = \"bigquery\"\n");
    let built = space.build(&[]);
    assert!(built.code == 3 && built.stderr.contains("published = \"bigquery\" goes with warehouse = \"bigquery\""), "{built:?}");
    // A folder that is named takes them, whatever the warehouse is.
    space.write(
        "cbi.toml",
        format!(
            "[workspace]\nname = \"oil\"\nwarehouse = \"bigquery\"\npublished = \"here\"\n{}",
            settings("http://127.0.0.1:9", "http://127.0.0.1:9")
        ),
    );
    give(&space, FIRST, "");
    let target = publish(&space, "t", MERGE);
    space.build(&[&target]).ok();
    assert!(space.path("here/out.t.parquet").exists());
}
