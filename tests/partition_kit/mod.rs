//! What BigQuery says of partitions, before a server that does not say when one was changed. Invariant: the answer has the form of the REST reference, and
//! is counted from the rows that the server holds at that moment: two partitions are told as the same where their rows are.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it should be")]

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::bigquery_kit::post;
use crate::proxy_kit::{Fault, Seen};

/// The answers about some tables.
pub struct Partitions {
    rest: String,
    /// By table: a query for the id of each partition, a number that goes by its rows' values, how many they are, and their bytes.
    queries: BTreeMap<String, String>,
    jobs: Mutex<BTreeMap<String, Vec<Value>>>,
}

impl Partitions {
    /// Answers about tables of the server at `rest`, each `dataset.table` with its query.
    pub fn of(rest: &str, queries: &[(&str, &str)]) -> Self {
        let queries = queries.iter().map(|(table, query)| ((*table).to_owned(), (*query).to_owned())).collect();
        Self { rest: rest.to_owned(), queries, jobs: Mutex::default() }
    }

    /// Whether a request asks for partitions, which is paid for.
    pub fn is_question(seen: &Seen) -> bool {
        seen.method == "POST" && seen.body.contains("INFORMATION_SCHEMA.PARTITIONS")
    }

    /// The answer, where a request asks for partitions or for such an answer's rows.
    pub fn answer(&self, seen: &Seen) -> Option<Fault> {
        let told = |body: Value| Some(Fault::Answer(200, Vec::new(), body.to_string()));
        if Self::is_question(seen) {
            let body: Value = serde_json::from_str(&seen.body).unwrap();
            let sql = body["configuration"]["query"]["query"].as_str().unwrap();
            let (id, reference) = (body["jobReference"]["jobId"].as_str().unwrap(), &body["jobReference"]);
            self.jobs.lock().unwrap().insert(id.to_owned(), self.rows(sql));
            let billed = json!({"query": {"totalBytesBilled": "10485760", "totalBytesProcessed": "10485760"}});
            return told(json!({"jobReference": reference, "status": {"state": "DONE"}, "statistics": billed}));
        }
        let (_, id) = seen.path.split('?').next()?.split_once("/queries/")?;
        let rows = self.jobs.lock().unwrap().get(id)?.clone();
        told(json!({"jobComplete": true, "totalRows": rows.len().to_string(), "rows": rows}))
    }

    /// The rows of the answer to a query of the form that cbi sends.
    fn rows(&self, sql: &str) -> Vec<Value> {
        let (_, from) = sql.split_once("FROM `p1`.`").unwrap();
        let (dataset, from) = from.split_once("`.INFORMATION_SCHEMA.PARTITIONS WHERE table_name IN (").unwrap();
        let names = from.split_once(')').unwrap().0.split(", ").map(|name| name.trim_matches('\''));
        names.flat_map(|name| self.partitions(dataset, name)).collect()
    }

    fn partitions(&self, dataset: &str, table: &str) -> Vec<Value> {
        let Some(query) = self.queries.get(&format!("{dataset}.{table}")) else { return Vec::new() };
        let answer = post(&self.rest, "queries", &json!({"query": query, "useLegacySql": false, "timeoutMs": 60_000}));
        let rows = answer["rows"].as_array().cloned().unwrap_or_default();
        let named = |row: Value| json!({"f": [{"v": table}, row["f"][0], row["f"][1], row["f"][2], row["f"][3]]});
        rows.into_iter().map(named).collect()
    }
}
