//! A server that answers as the REST references of BigQuery and Cloud Storage say, as far as a model in BigQuery needs it. Invariant: what it answers
//! is computed from what it was sent: a model is the straight line of least squares through the train rows of its table, over their first feature.
#![allow(dead_code, clippy::unwrap_used, reason = "a test that cannot go on may stop where it stands")]

pub mod grammar;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use arrow::array::RecordBatch;
use cbi::engine::frame_file::iso_date;
use cbi::engine::{table_columns, table_file};
use serde_json::{Value, json};

use grammar::{Literal, Statement};

/// Rows of one page of a query's answer; BigQuery cuts pages where it likes, too.
const PAGE: usize = 1000;

/// Bytes that each statement is charged for.
const BILLED: u64 = 10 << 20;

/// What the server holds.
#[derive(Default)]
pub struct State {
    tables: BTreeMap<String, RecordBatch>,
    /// Models: intercept and slope.
    pub models: BTreeMap<String, (f64, f64)>,
    /// Jobs as they will be when they have been looked at.
    jobs: BTreeMap<String, Value>,
    answers: BTreeMap<String, Vec<[String; 2]>>,
    objects: BTreeMap<String, Vec<u8>>,
    /// What was asked: method and path.
    pub asked: Vec<String>,
    /// Statements that were run, as they were sent.
    pub statements: Vec<String>,
    /// What is answered instead: `METHOD path` begins so → status and body.
    pub refusals: Vec<(String, u16, String)>,
    /// Requests that are fulfilled, each once, and whose answer is lost: `METHOD path` begins so.
    pub lost: Vec<String>,
    /// Why the next jobs that train fail: reason and message.
    pub failures: Vec<(String, String)>,
    /// Rows that are left out at the end of each answer.
    pub left_out: usize,
    /// Whether there is no dataset yet.
    pub bare: bool,
}

/// A running server; it ends with the process.
pub struct Server {
    /// Its address.
    pub address: String,
    state: Arc<Mutex<State>>,
}

/// The body of an error.
pub fn error(status: u16, reason: &str, message: &str) -> String {
    json!({"error": {"code": status, "message": message, "errors": [{"reason": reason, "message": message}]}}).to_string()
}

impl Server {
    /// Starts one.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = state.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = shared.clone();
                std::thread::spawn(move || serve(&client, &state).unwrap());
            }
        });
        Self { address, state }
    }

    /// What it holds.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What was asked since the last time, jobs' numbers left out.
    pub fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state().asked)
    }
}

fn serve(client: &TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(client);
    let (mut first, mut length, mut mime) = (String::new(), 0, String::new());
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap(),
            "content-type" => value.trim().clone_into(&mut mime),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if method.is_empty() {
        return Ok(());
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query = query.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (name.to_owned(), decoded(value))).collect();
    let (status, answer) = {
        let mut state = state.lock().unwrap();
        let asked = format!("{method} {path}");
        state.asked.push(asked.clone());
        let refusal = state.refusals.iter().find(|(begin, ..)| asked.starts_with(begin));
        let answer = match refusal {
            Some((_, status, body)) => (*status, body.clone().into_bytes()),
            None => state.answer(&Request { method, path, query, mime: &mime, body: &body }),
        };
        if let Some(at) = state.lost.iter().position(|begin| asked.starts_with(begin)) {
            state.lost.remove(at);
            return Ok(());
        }
        answer
    };
    let head = format!("HTTP/1.1 {status} said\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", answer.len());
    let mut client = client;
    client.write_all(head.as_bytes())?;
    client.write_all(&answer)
}

struct Request<'a> {
    method: &'a str,
    path: &'a str,
    query: BTreeMap<String, String>,
    mime: &'a str,
    body: &'a [u8],
}

/// Status and body.
type Answer = (u16, Vec<u8>);

fn ok(value: &Value) -> Answer {
    (200, value.to_string().into_bytes())
}

fn not_found(what: &str) -> Answer {
    (404, error(404, "notFound", &format!("Not found: {what}")).into_bytes())
}

impl State {
    fn answer(&mut self, request: &Request) -> Answer {
        let path: Vec<String> = request.path.trim_start_matches('/').split('/').map(decoded).collect();
        let words: Vec<&str> = path.iter().map(String::as_str).collect();
        let here = request.query.get("location").is_none_or(|location| location == "EU");
        match (request.method, words.as_slice()) {
            ("POST", ["bigquery", "v2", "projects", "p1", "datasets"]) => {
                let wanted: Value = serde_json::from_slice(request.body).unwrap();
                assert_eq!((&wanted["datasetReference"]["datasetId"], &wanted["location"]), (&json!("lab"), &json!("EU")));
                self.bare = false;
                ok(&wanted)
            }
            ("GET", ["bigquery", "v2", "projects", "p1", "datasets", "lab"]) if !self.bare => ok(&json!({"location": "EU"})),
            ("GET", ["bigquery", "v2", "projects", "p1", "datasets", "lab", "tables", table]) if self.tables.contains_key(*table) => {
                ok(&json!({"numRows": self.tables[*table].num_rows().to_string()}))
            }
            ("GET", ["bigquery", "v2", "projects", "p1", "datasets", "lab", "models", model]) if self.models.contains_key(*model) => {
                let results = json!([{"index": 0, "trainingLoss": 0.5}, {"index": 1, "trainingLoss": 0.25, "evalLoss": 0.75}]);
                ok(&json!({"modelReference": {"modelId": model}, "trainingRuns": [{"results": results}]}))
            }
            ("POST", ["upload", "bigquery", "v2", "projects", "p1", "jobs"]) => self.upload(request),
            ("POST", ["bigquery", "v2", "projects", "p1", "jobs"]) => self.insert(&serde_json::from_slice(request.body).unwrap(), None),
            // A job outside the US is found only where one says where it is.
            ("GET", ["bigquery", "v2", "projects", "p1", "jobs", id]) if here && self.jobs.contains_key(*id) => ok(&self.jobs[*id]),
            ("GET", ["bigquery", "v2", "projects", "p1", "queries", id]) if here => self.page(id, &request.query),
            ("GET", ["storage", "v1", "b", "models", "o"]) => self.list(&request.query),
            ("GET", ["storage", "v1", "b", "models", "o", object]) if request.query.get("alt").is_some_and(|alt| alt == "media") => {
                self.objects.get(*object).map_or_else(|| not_found(object), |bytes| (200, bytes.clone()))
            }
            _ => not_found(request.path),
        }
    }

    /// A load job and its file, as `multipart/related`.
    fn upload(&mut self, request: &Request) -> Answer {
        assert_eq!(request.query["uploadType"], "multipart");
        let boundary = format!("--{}", request.mime.split_once("boundary=").unwrap().1);
        let at: Vec<usize> = request
            .body
            .windows(boundary.len())
            .enumerate()
            .filter(|(_, window)| *window == boundary.as_bytes())
            .map(|(at, _)| at)
            .collect();
        let [job, file, end] = at[..] else { panic!("{} parts", at.len()) };
        let part = |from: usize, to: usize| {
            let part = &request.body[from..to - 2];
            part[part.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4..].to_vec()
        };
        self.insert(&serde_json::from_slice(&part(job, file)).unwrap(), Some(part(file, end)))
    }

    /// Runs a job at once and says that it is running; whoever looks later sees its end.
    fn insert(&mut self, job: &Value, file: Option<Vec<u8>>) -> Answer {
        let id = job["jobReference"]["jobId"].as_str().unwrap().to_owned();
        assert_eq!(job["jobReference"]["location"], "EU", "a job runs where its dataset is");
        if self.jobs.contains_key(&id) {
            return (409, error(409, "duplicate", &format!("Already Exists: Job p1:EU.{id}")).into_bytes());
        }
        let most = job["configuration"]["query"]["maximumBytesBilled"].as_str().map(|most| most.parse::<u64>().unwrap());
        let ran = match (&job["configuration"]["query"]["query"], file) {
            (Value::String(_), None) if most.is_some_and(|most| most < BILLED) => {
                Err(("bytesBilledLimitExceeded".to_owned(), format!("Query exceeded limit for bytes billed: {most:?}.")))
            }
            (Value::String(sql), None) => {
                assert_eq!(job["configuration"]["query"]["useLegacySql"], false);
                self.statements.push(sql.clone());
                self.run(&id, grammar::read(sql).unwrap_or_else(|why| panic!("{why}\n{sql}")))
            }
            (_, Some(bytes)) => {
                let load = &job["configuration"]["load"];
                assert_eq!((&load["sourceFormat"], &load["writeDisposition"]), (&json!("PARQUET"), &json!("WRITE_TRUNCATE")));
                let folder = tempfile::tempdir().unwrap();
                std::fs::write(folder.path().join("t"), bytes).unwrap();
                let table = load["destinationTable"]["tableId"].as_str().unwrap().to_owned();
                self.tables.insert(table, table_file::read(&folder.path().join("t")).unwrap());
                Ok(())
            }
            other => panic!("no job that is known: {other:?}"),
        };
        let mut ended = json!({"jobReference": job["jobReference"], "status": {"state": "DONE"}});
        ended["statistics"]["query"] = json!({"totalBytesBilled": BILLED.to_string(), "totalBytesProcessed": "4096"});
        if let Err((reason, message)) = ran {
            ended["status"]["errorResult"] = json!({"reason": reason, "message": message});
        }
        self.jobs.insert(id, ended);
        ok(&json!({"jobReference": job["jobReference"], "status": {"state": "RUNNING"}}))
    }

    fn run(&mut self, job: &str, statement: Statement) -> Result<(), (String, String)> {
        let own = |path: &str| path.strip_prefix("p1.lab.").unwrap_or_else(|| panic!("{path} is elsewhere")).to_owned();
        match statement {
            Statement::Create { model, columns, table, parts, options } => {
                if !self.failures.is_empty() {
                    return Err(self.failures.remove(0));
                }
                let learnt = if options["DATA_SPLIT_METHOD"] == Literal::Text("CUSTOM".into()) { "train" } else { parts[0].as_str() };
                let fitted = line(&self.tables[&own(&table)], &columns[0], learnt);
                self.models.insert(own(&model), fitted);
            }
            Statement::Predict { model, answer, columns, table } => {
                assert_eq!((answer, columns[0].as_str()), (vec!["date".to_owned(), "predicted_label".to_owned()], "date"));
                let (intercept, slope) = self.models[&own(&model)];
                let rows = &self.tables[&own(&table)];
                let feature = table_columns::floats(rows, &columns[1]).unwrap();
                let dates = table_columns::dates(rows, "date").unwrap().into_iter().map(|date| iso_date(date.unwrap()));
                let mut all: Vec<[String; 2]> =
                    dates.zip(feature).map(|(date, x)| [date, format!("{:E}", intercept + slope * x.unwrap())]).collect();
                // A query without ORDER BY promises no order.
                all.reverse();
                all.truncate(all.len().saturating_sub(self.left_out));
                self.answers.insert(job.to_owned(), all);
            }
            Statement::Export { model, uri } => {
                let folder = uri.strip_prefix("gs://models/").unwrap();
                let (intercept, slope) = self.models[&own(&model)];
                self.objects.insert(format!("{folder}saved_model.pb"), format!("{intercept} {slope}").into_bytes());
                self.objects.insert(format!("{folder}variables/variables.index"), slope.to_le_bytes().to_vec());
                self.objects.insert(format!("{folder}assets/"), Vec::new());
            }
        }
        Ok(())
    }

    fn page(&self, id: &str, query: &BTreeMap<String, String>) -> Answer {
        let Some(rows) = self.answers.get(id) else { return not_found(id) };
        let most = query["maxResults"].parse::<usize>().unwrap().min(PAGE);
        let from = query.get("pageToken").map_or(0, |token| token.parse().unwrap());
        let to = rows.len().min(from + most);
        let page: Vec<Value> = rows[from..to].iter().map(|[date, answer]| json!({"f": [{"v": date}, {"v": answer}]})).collect();
        let mut answer = json!({"jobComplete": true, "totalRows": rows.len().to_string(), "rows": page});
        if to < rows.len() {
            answer["pageToken"] = json!(to.to_string());
        }
        ok(&answer)
    }

    /// One object a page.
    fn list(&self, query: &BTreeMap<String, String>) -> Answer {
        let names: Vec<&String> = self.objects.keys().filter(|name| name.starts_with(&query["prefix"])).collect();
        let from: usize = query.get("pageToken").map_or(0, |token| token.parse().unwrap());
        let mut answer = json!({"kind": "storage#objects"});
        if let Some(name) = names.get(from) {
            answer["items"] = json!([{"name": name}]);
        }
        if from + 1 < names.len() {
            answer["nextPageToken"] = json!((from + 1).to_string());
        }
        ok(&answer)
    }
}

/// Intercept and slope of least squares over the rows of one part.
fn line(rows: &RecordBatch, feature: &str, part: &str) -> (f64, f64) {
    let (split, x) = (table_columns::strings(rows, "split").unwrap(), table_columns::floats(rows, feature).unwrap());
    let y = table_columns::floats(rows, "label").unwrap();
    let of_part = split.iter().zip(x.iter().zip(y)).filter(|(split, _)| **split == Some(part));
    let points: Vec<(f64, f64)> = of_part.map(|(_, (x, y))| (x.unwrap(), y.unwrap())).collect();
    #[allow(clippy::cast_precision_loss, reason = "a few thousand rows")]
    let n = points.len() as f64;
    let (mx, my) = (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
    let slope = points.iter().map(|p| (p.0 - mx) * (p.1 - my)).sum::<f64>() / points.iter().map(|p| (p.0 - mx).powi(2)).sum::<f64>();
    (my - slope * mx, slope)
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let hex: Option<String> = (byte == b'%').then(|| rest.by_ref().take(2).map(char::from).collect());
        bytes.push(match hex {
            Some(hex) => u8::from_str_radix(&hex, 16).unwrap(),
            None if byte == b'+' => b' ',
            None => byte,
        });
    }
    String::from_utf8(bytes).unwrap()
}
