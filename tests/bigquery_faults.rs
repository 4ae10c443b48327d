//! What happens when BigQuery refuses, is busy, breaks off or changes under a build: it is asked again where that may help, the way out is told where
//! it does not, and nothing that is half read is kept.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "bigquery_kit/mod.rs"]
mod bigquery_kit;
#[path = "build_kit/mod.rs"]
mod build_kit;
mod proxy_kit;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use bigquery_kit::line::Line;
use bigquery_kit::{BigQuery, PROJECT};
use build_kit::{Said, Workspace};
use cbi::engine::bigquery::account::{Account, Credentials};
use cbi::engine::bigquery::charges::{self, Charges};
use cbi::engine::bigquery::fault::BigQueryError;
use cbi::engine::bigquery::jobs::{self, Job};
use cbi::engine::bigquery::rest::Rest;
use cbi::engine::bigquery::tokens::Tokens;
use cbi::engine::bigquery::version;
use cbi::engine::table_file;
use proxy_kit::{Fault, Proxy, Seen};
use serde_json::{Value, json};

/// What the scripted server answers: status, headers, body.
type Reply = (u16, Vec<(String, String)>, Value);

/// A server that answers each request as it is told to, as the REST reference says.
fn scripted(mut answer: impl FnMut(usize, &Seen) -> Reply + Send + 'static) -> Proxy {
    let proxy = Proxy::before("http://127.0.0.1:9");
    proxy.plan(move |number, seen| {
        let (status, headers, body) = answer(number, seen);
        Some(Fault::Answer(status, headers, body.to_string()))
    });
    proxy
}

fn refusal(status: u16, reason: &str, message: &str) -> Reply {
    (status, Vec::new(), json!({"error": {"code": status, "message": message, "errors": [{"reason": reason, "message": message}]}}))
}

fn date(at: &str) -> Reply {
    (404, vec![("date".into(), at.into())], json!({}))
}

/// A connection without a token, and what is done over it.
fn ask<T>(address: &str, conversation: impl AsyncFnOnce(Rest) -> T) -> T {
    let account = Account {
        project: PROJECT.into(),
        billing_project: PROJECT.into(),
        endpoint: address.to_owned(),
        storage_endpoint: address.to_owned(),
        credentials: Credentials::None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { conversation(Rest::open(&account, Tokens::None).unwrap()).await })
}

fn workspace(rest: &str, storage: &str, recipe: &str) -> Workspace {
    let workspace = Workspace::new();
    let settings = bigquery_kit::settings(rest, storage);
    workspace.write("cbi.toml", &format!("[workspace]\nname = \"test\"\nwarehouse = \"bigquery\"\ndefault = [\"**\"]\n\n{settings}"));
    workspace.write("recipes/a.toml", recipe);
    workspace
}

/// What a build says of a table where the server answers everything but the question for the time like this.
fn told(answer: impl Fn(&Seen) -> Reply + Send + 'static) -> (Option<i32>, String, Vec<Seen>) {
    let server = scripted(move |_, seen| if seen.path == "/" { date("Mon, 23 Nov 2026 06:00:00 GMT") } else { answer(seen) });
    let workspace = workspace(&server.address, &server.address, "[table.\"prices.daily\"]\n");
    let Said { code, events, errors } = workspace.build(&[]);
    assert!(workspace.path(".cbi-cache/pins").metadata().is_err(), "nothing was seen, so nothing is pinned");
    (code, format!("{events:?}{errors}"), server.seen())
}

#[test]
fn a_refusal_is_told_once_with_the_way_out() {
    let (code, said, seen) = told(|_| refusal(401, "authError", "Request had invalid authentication credentials."));
    assert!(code == Some(6) && said.contains("HTTP 401, authError") && said.contains("gcloud auth application-default login"), "{said}");
    assert_eq!(seen.len(), 2, "{seen:?}");

    let denied =
        "Access Denied: Table p1:prices.daily: Permission bigquery.tables.get denied on table p1:prices.daily (or it may not exist).";
    let (code, said, seen) = told(move |_| refusal(403, "accessDenied", denied));
    let command = "gcloud projects add-iam-policy-binding p1 --member=MEMBER --role=roles/bigquery.metadataViewer";
    assert!(code == Some(6) && said.contains("bigquery.tables.get") && said.contains(command), "{said}");
    assert_eq!(seen.len(), 2, "{seen:?}");

    let (code, said, seen) =
        told(|_| refusal(403, "quotaExceeded", "Quota exceeded: Your project exceeded quota for free query bytes scanned."));
    assert!(code == Some(6) && said.contains("Quota exceeded") && said.contains("IAM & Admin, Quotas"), "{said}");
    assert_eq!(seen.len(), 2, "a quota is not asked for again at once: {seen:?}");
}

#[test]
fn a_table_that_is_not_there_is_told_with_the_nearest_name() {
    let tables = |seen: &Seen| match seen.path.split('?').next().unwrap().rsplit_once("/projects/p1/").unwrap().1 {
        "datasets/prices/tables" => {
            (200, Vec::new(), json!({"tables": [{"tableReference": {"tableId": "dayly"}}, {"tableReference": {"tableId": "x"}}]}))
        }
        _ => refusal(404, "notFound", "Not found: Table p1:prices.daily"),
    };
    let (code, said, _) = told(tables);
    assert!(
        code == Some(3) && said.contains("BigQuery has no table p1.prices.daily") && said.contains("did you mean 'prices.dayly'?"),
        "{said}"
    );

    let datasets = |seen: &Seen| match seen.path.split('?').next().unwrap().rsplit_once("/projects/p1/").unwrap().1 {
        "datasets" => (200, Vec::new(), json!({"datasets": [{"datasetReference": {"datasetId": "price"}}]})),
        _ => refusal(404, "notFound", "Not found: Dataset p1:prices"),
    };
    let (code, said, _) = told(datasets);
    assert!(code == Some(3) && said.contains("BigQuery has no dataset p1.prices") && said.contains("did you mean 'price'?"), "{said}");
}

#[test]
fn a_busy_server_is_left_alone_as_long_as_it_asks() {
    for (status, reason, after, least) in [
        (429, "rateLimitExceeded", Some("1"), 1000),
        (500, "backendError", None, 250),
        (503, "backendError", Some("1"), 1000),
        (403, "rateLimitExceeded", None, 250),
    ] {
        let times = Arc::new(Mutex::new(Vec::new()));
        let kept = times.clone();
        let server = scripted(move |number, _| {
            kept.lock().unwrap().push(Instant::now());
            let (status, mut headers, body) =
                if number == 0 { refusal(status, reason, "later") } else { (200, Vec::new(), json!({"id": "x"})) };
            headers.extend(after.map(|after| ("retry-after".to_owned(), after.to_owned())));
            (status, headers, body)
        });
        let answer = ask(&server.address, async |rest| rest.get("projects/p1", &[], "ask").await).unwrap();
        let times = times.lock().unwrap();
        assert_eq!((answer, times.len()), (json!({"id": "x"}), 2), "{status}");
        let waited = times[1] - times[0];
        assert!(waited >= Duration::from_millis(least) && waited < Duration::from_secs(20), "{status}: {waited:?}");
    }
    let server = scripted(|_, _| {
        let (status, _, body) = refusal(503, "backendError", "closed for the day");
        (status, vec![("retry-after".into(), "86400".into())], body)
    });
    let error = ask(&server.address, async |rest| rest.get("projects/p1", &[], "ask").await).unwrap_err();
    assert!(error.to_string().contains("closed for the day") && server.seen().len() == 1, "{error}");
}

fn job(id: &str, sql: &str, patience: Duration) -> Job {
    Job {
        project: PROJECT.into(),
        id: id.into(),
        location: None,
        configuration: json!({"query": {"query": sql, "useLegacySql": false}}),
        what: "run the query of the test".into(),
        patience,
    }
}

#[test]
fn what_a_job_cost_is_written_down_whatever_became_of_it_and_once_however_often_it_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("charges.log");
    let charges = Charges { path: path.clone(), target: "a.mean".into(), price_per_tib: 1024.0 };
    let failed = json!({"status": {"state": "DONE", "errorResult": {"reason": "internalError", "message": "it broke at the end"}},
                        "statistics": {"endTime": "1795388400000", "query": {"totalBytesBilled": "1073741824"}}});
    let server = scripted(move |_, _| (200, Vec::new(), failed.clone()));
    let run = |id: &'static str| {
        let charges = charges.clone();
        ask(&server.address, async |rest| jobs::run(&rest.charged_to(Some(charges)), &job(id, "SELECT 1", jobs::PATIENCE)).await)
    };
    for id in ["cbi_1", "cbi_1", "cbi_2"] {
        assert!(matches!(run(id), Err(BigQueryError::Job { .. })));
    }
    let read: Vec<_> =
        charges::read(&path).unwrap().into_iter().map(|charge| (charge.job, charge.target, charge.ended_ms, charge.cost)).collect();
    assert_eq!(read, ["p1:cbi_1", "p1:cbi_2"].map(|job| (job.to_owned(), "a.mean".to_owned(), 1_795_388_400_000, 1.0)));
}

#[test]
fn a_job_that_does_not_end_is_cancelled_and_one_that_was_there_is_not_run_again() {
    let server = scripted(|_, _| (200, Vec::new(), json!({"status": {"state": "RUNNING"}})));
    let error =
        ask(&server.address, async |rest| jobs::run(&rest, &job("cbi_1", "SELECT 1", Duration::from_millis(200))).await).unwrap_err();
    assert!(matches!(error, BigQueryError::Stuck { .. }) && error.to_string().contains("the job cbi_1 was cancelled"), "{error}");
    let last = server.seen().pop().unwrap();
    assert!(last.method == "POST" && last.path.contains("/projects/p1/jobs/cbi_1/cancel"), "{last:?}");

    let server = scripted(|_, seen| match seen.method.as_str() {
        "POST" => refusal(409, "duplicate", "Already Exists: Job p1:cbi_2"),
        _ => (200, Vec::new(), json!({"status": {"state": "DONE"}, "statistics": {"query": {"totalBytesBilled": "10485760"}}})),
    });
    let done = ask(&server.address, async |rest| jobs::run(&rest, &job("cbi_2", "SELECT 1", jobs::PATIENCE)).await).unwrap();
    assert_eq!((done.bytes_billed, server.seen().len()), (10_485_760, 2));
}

#[test]
fn somebody_elses_change_is_told_as_such() {
    for status in [409, 412] {
        let server = scripted(move |_, _| refusal(status, "conditionNotMet", "Precondition Failed"));
        let error = ask(&server.address, async |rest| rest.post("projects/p1/datasets", &json!({}), "make a dataset").await).unwrap_err();
        assert_eq!(error.hint().unwrap(), "somebody else changed it at the same time; run this again");
        assert_eq!(server.seen().len(), 1);
    }
}

#[test]
fn the_instant_is_the_servers_however_wrong_this_machines_clock_is() {
    // The server's clock is a day ahead of this machine's, then a year behind; its tables' times are by its own clock.
    for (at, instant_ms) in [("Tue, 24 Nov 2026 06:00:00 GMT", 1_795_500_000_000_i64), ("Sun, 23 Nov 2025 06:00:00 GMT", 1_763_877_600_000)]
    {
        let server = scripted(move |_, seen| {
            let table = json!({"type": "TABLE", "etag": "e", "lastModifiedTime": (instant_ms - 1).to_string(), "schema": {"fields": []}});
            if seen.path == "/" { date(at) } else { (200, Vec::new(), table) }
        });
        let names = [format!("{PROJECT}.prices.daily")].into();
        let probed = ask(&server.address, async |rest| version::probe_all(Arc::new(rest), PROJECT, &names, None).await);
        assert_eq!(probed.unwrap().1, instant_ms, "{at}");
    }
}

#[test]
fn rows_and_jobs_come_once_whatever_breaks_and_a_table_that_changes_is_noticed() {
    let Some(server) = BigQuery::start() else { return };
    server.dataset("any");
    a_job_runs_once_whatever_is_cut(&server);
    a_changed_or_dropped_table_is_noticed(&server);
    every_row_comes_once_however_often_the_line_is_cut(&server);
}

fn a_job_runs_once_whatever_is_cut(server: &BigQuery) {
    server.query("CREATE TABLE any.once (n INT64)");
    let proxy = Proxy::before(&server.rest);
    let faults = [Fault::CutBefore, Fault::CutDuring, Fault::LoseReply, Fault::CutReply(10)];
    for (n, fault) in faults.iter().enumerate() {
        let fault = fault.clone();
        proxy.plan(move |number, seen| (number == 0 && seen.method == "POST").then(|| fault.clone()));
        let job = job(&format!("once_{n}"), &format!("INSERT INTO any.once (n) VALUES ({n})"), jobs::PATIENCE);
        ask(&proxy.address, async |rest| jobs::run(&rest, &job).await).unwrap();
        assert!(proxy.seen().len() > 1, "{n}: it was asked again");
        // The answers to looks may be lost as well.
        proxy.plan(|number, seen| (number == 0 && seen.method == "GET").then_some(Fault::LoseReply));
        let path = format!("projects/{PROJECT}/jobs/{}", job.id);
        let state = ask(&proxy.address, async |rest| rest.get(&path, &[], "look").await).unwrap();
        assert_eq!(state["status"]["state"], "DONE");
    }
    let rows = server.query("SELECT n FROM any.once ORDER BY n");
    assert_eq!(rows, (0..faults.len()).map(|n| vec![Some(n.to_string())]).collect::<Vec<_>>());
}

/// The numbers in the column `n` of a table file.
fn numbers(file: &Path) -> Vec<i64> {
    let rows = table_file::read(file).unwrap();
    rows.column_by_name("n").unwrap().as_primitive::<Int64Type>().values().to_vec()
}

fn a_changed_or_dropped_table_is_noticed(server: &BigQuery) {
    let statement = Arc::new(Mutex::new(None::<&str>));
    let (next, rest) = (statement.clone(), server.rest.clone());
    // Before the first row of a build passes, and after its look, somebody else runs the statement.
    let line = Line::before(&server.storage, move |_| {
        if let Some(sql) = next.lock().unwrap().take() {
            let body = json!({"query": sql, "useLegacySql": false, "timeoutMs": 60_000}).to_string();
            let answer = ureq::post(&format!("{rest}/bigquery/v2/projects/{PROJECT}/queries")).header("content-type", "application/json");
            assert!(answer.send(body.as_bytes()).unwrap().status().is_success());
        }
        None
    });
    let workspace = workspace(&server.rest, &line.address, "[table.\"any.moving\"]\nkey = [\"n\"]\n");
    let file = workspace.path(".cbi-cache/out/any.moving/table.parquet");
    server.query("CREATE OR REPLACE TABLE any.moving AS SELECT 1 AS n");

    *statement.lock().unwrap() = Some("CREATE OR REPLACE TABLE any.moving AS SELECT 2 AS n");
    let changed = workspace.build(&[]);
    assert!(
        changed.code == Some(6) && format!("{changed:?}").contains("the table p1.any.moving was changed while it was read"),
        "{changed:?}"
    );
    assert_eq!(changed.counts(), [0, 0, 1]);
    assert!(!file.exists(), "nothing half read is kept");
    assert_eq!((workspace.build(&[]).counts(), numbers(&file)), ([2, 0, 0], vec![2]));

    server.query("CREATE OR REPLACE TABLE any.moving AS SELECT 3 AS n");
    *statement.lock().unwrap() = Some("DROP TABLE any.moving");
    let dropped = workspace.build(&[]);
    assert!(dropped.code == Some(6) && format!("{dropped:?}").contains("the table p1.any.moving is gone"), "{dropped:?}");
    assert_eq!((dropped.counts(), numbers(&file)), ([0, 0, 1], vec![2]));
    server.query("CREATE OR REPLACE TABLE any.moving AS SELECT 4 AS n");
    assert_eq!((workspace.build(&[]).counts(), numbers(&file)), ([2, 0, 0], vec![4]));
}

fn every_row_comes_once_however_often_the_line_is_cut(server: &BigQuery) {
    // Enough for several batches a stream on this server, so that a stream is taken up in its middle.
    const ROWS: i64 = 4_400_000;
    server.query(&format!("CREATE OR REPLACE TABLE any.long AS SELECT n FROM UNNEST(GENERATE_ARRAY(1, {ROWS})) AS n"));
    // In the session's answer, in the first batches, in the last ones; a batch that came whole is not sent again.
    let cuts = [Some(100), Some(3_000_000), Some(34_000_000), None];
    let read = || {
        let line = Line::before(&server.storage, move |number| cuts.get(number).copied().flatten());
        let workspace = workspace(&server.rest, &line.address, "[table.\"any.long\"]\nkey = [\"n\"]\n");
        let built = workspace.build(&[]);
        (line.connections(), workspace, built)
    };
    let (mut connections, mut workspace, mut built) = read();
    // This server forgets now and then that it sent a batch: it takes note of one only when it is asked for the next.
    for _ in 0..4 {
        if format!("{built:?}").contains("has not been allocated yet") {
            (connections, workspace, built) = read();
        }
    }
    assert_eq!((built.code, built.counts()), (Some(0), [2, 0, 0]), "{built:?}");
    assert!(connections >= cuts.len(), "{connections}");
    assert!(numbers(&workspace.path(".cbi-cache/out/any.long/table.parquet")).into_iter().eq(1..=ROWS));
}
