//! Shared by tests that need BigQuery: a real server process that answers as BigQuery does, for one test, and what tests ask of it. Invariant: the
//! server listens on ports that were free, keeps its data in a folder of the test's own, and ends with it.
#![allow(dead_code, clippy::unwrap_used, reason = "each test binary uses a part")]

pub mod line;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The project that the server has.
pub const PROJECT: &str = "p1";

/// A running server.
pub struct BigQuery {
    server: Child,
    folder: tempfile::TempDir,
    /// The address of the REST interface.
    pub rest: String,
    /// The address of the Storage interface.
    pub storage: String,
}

impl Drop for BigQuery {
    fn drop(&mut self) {
        _ = self.server.kill();
        _ = self.server.wait();
    }
}

impl BigQuery {
    /// Starts an empty one. Where test.sh installed none the test is skipped, which it says; with `CI=true` it fails.
    #[allow(clippy::print_stderr, reason = "test.sh counts the line")]
    pub fn start() -> Option<Self> {
        let Some(home) = std::env::var_os("CBI_TEST_BIGQUERY") else {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "CBI_TEST_BIGQUERY is not set, and CI skips nothing");
            eprintln!("skipped: needs the BigQuery server that test.sh installs");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let (rest, storage) = (free_port(), free_port());
        let server = Command::new(Path::new(&home).join("bin/local-bigquery"))
            .args(["--host", "127.0.0.1", "--project", PROJECT, "--port", &rest.to_string(), "--grpc-port", &storage.to_string()])
            .arg("--data-dir")
            .arg(folder.path().join("data"))
            .env("HOME", Path::new(&home).join("home"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let (rest, storage) = (format!("http://127.0.0.1:{rest}"), format!("http://127.0.0.1:{storage}"));
        let mut started = Self { server, folder, rest, storage };
        started.wait_until_up();
        Some(started)
    }

    fn wait_until_up(&mut self) {
        let begun = Instant::now();
        while ureq::get(format!("{}/bigquery/v2/projects/{PROJECT}/datasets", self.rest)).call().is_err() {
            let ended = self.server.try_wait().unwrap();
            assert!(ended.is_none() && begun.elapsed() < Duration::from_mins(3), "no server: {ended:?}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What the server said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// `[bigquery]` of a `cbi.toml` that reaches this server.
    pub fn settings(&self) -> String {
        settings(&self.rest, &self.storage)
    }

    /// Sends a resource to `projects/p1/…`, and takes the answer.
    pub fn post(&self, path: &str, body: &Value) -> Value {
        post(&self.rest, path, body)
    }

    /// Makes a dataset.
    pub fn dataset(&self, name: &str) {
        self.post("datasets", &json!({"datasetReference": {"projectId": PROJECT, "datasetId": name}}));
    }

    /// Runs a statement; the rows of its result, each a list of texts.
    pub fn query(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let answer = self.post("queries", &json!({"query": sql, "useLegacySql": false, "timeoutMs": 60_000}));
        assert_eq!(answer["jobComplete"], true, "{sql}: {answer}");
        let cells = |row: &Value| -> Vec<Option<String>> {
            row["f"].as_array().into_iter().flatten().map(|cell| cell["v"].as_str().map(str::to_owned)).collect()
        };
        answer["rows"].as_array().into_iter().flatten().map(cells).collect()
    }

    /// Loads a Parquet file into `dataset.table`, in place of what it held. Only a table that a statement made has a time of change on this server.
    pub fn load(&self, table: &str, file: &Path) {
        self.load_as(&format!("{table}_coming"), file);
        self.query(&format!("CREATE OR REPLACE TABLE {table} AS SELECT * FROM {table}_coming"));
        self.query(&format!("DROP TABLE {table}_coming"));
    }

    fn load_as(&self, table: &str, file: &Path) {
        let (dataset, name) = table.split_once('.').unwrap();
        let to = json!({"projectId": PROJECT, "datasetId": dataset, "tableId": name});
        let load = json!({"destinationTable": to, "sourceFormat": "PARQUET", "writeDisposition": "WRITE_TRUNCATE"});
        let job = json!({"configuration": {"load": load}});
        let mut body =
            format!("--x\r\nContent-Type: application/json\r\n\r\n{job}\r\n--x\r\nContent-Type: application/octet-stream\r\n\r\n")
                .into_bytes();
        body.extend(std::fs::read(file).unwrap());
        body.extend(b"\r\n--x--\r\n");
        let address = format!("{}/upload/bigquery/v2/projects/{PROJECT}/jobs?uploadType=multipart", self.rest);
        let mut answer = ureq::post(&address).header("content-type", "multipart/related; boundary=x").send(&body).unwrap();
        let mut job: Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
        let address = format!("{}/bigquery/v2/projects/{PROJECT}/jobs/{}", self.rest, job["jobReference"]["jobId"].as_str().unwrap());
        while job["status"]["state"] != "DONE" {
            std::thread::sleep(Duration::from_millis(100));
            job = serde_json::from_str(&ureq::get(&address).call().unwrap().body_mut().read_to_string().unwrap()).unwrap();
        }
        assert!(job["status"]["errorResult"].is_null(), "{table}: {job}");
    }

    /// Loads every `dataset.table.parquet` of a folder.
    pub fn load_folder(&self, folder: &Path) {
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|ending| ending == "parquet"));
        files.sort();
        let mut datasets = std::collections::BTreeSet::new();
        for file in files {
            let table = file.file_stem().unwrap().to_str().unwrap().to_owned();
            let dataset = table.split_once('.').unwrap().0.to_owned();
            if datasets.insert(dataset.clone()) {
                self.dataset(&dataset);
            }
            self.load(&table, &file);
        }
    }
}

/// `[bigquery]` of a `cbi.toml` that reaches servers at these addresses without a token.
pub fn settings(rest: &str, storage: &str) -> String {
    format!("[bigquery]\nproject = \"{PROJECT}\"\nanonymous = true\nendpoint = \"{rest}\"\nstorage_endpoint = \"{storage}\"\n")
}

/// Sends a resource to `projects/p1/…` of a server, and takes the answer.
pub fn post(rest: &str, path: &str, body: &Value) -> Value {
    let address = format!("{rest}/bigquery/v2/projects/{PROJECT}/{path}");
    let answer = ureq::post(&address).config().http_status_as_error(false).build().header("content-type", "application/json");
    let mut answer = answer.send(body.to_string().as_bytes()).unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    assert!(answer.status().is_success(), "{address}: {} {text}", answer.status());
    serde_json::from_str(&text).unwrap()
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
