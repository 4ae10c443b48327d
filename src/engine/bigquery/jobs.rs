//! Owns jobs: queries, scripts, loads, and what becomes of them. Invariant: a job has the id that its sender chose, so a request that was sent twice,
//! or whose answer was lost, is one job.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::base::clock;
use crate::engine::bigquery::fault::BigQueryError;
use crate::engine::bigquery::rest::Rest;

/// The longest wait between two looks at a running job.
const LOOK: Duration = Duration::from_secs(5);

/// How long a job may run where its sender says nothing.
pub const PATIENCE: Duration = Duration::from_hours(1);

/// A job to run.
#[derive(Debug, Clone)]
pub struct Job {
    /// The project that pays.
    pub project: String,
    /// Its name there: letters, digits, `_` and `-`, at most 1,024. The same name is the same job for ever.
    pub id: String,
    /// Where the data is, for example `europe-west3`. Where it is not said BigQuery goes by the tables that the job reads; a job that was sent twice
    /// is then only found in the regions that it looks in by itself.
    pub location: Option<String>,
    /// `configuration` of the REST reference's Job.
    pub configuration: Value,
    /// What a person is told it is, for example `run the query of wti.features`.
    pub what: String,
    /// How long it may take in all.
    pub patience: Duration,
}

/// What a job that ended well did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Bytes that are paid for.
    pub bytes_billed: u64,
    /// Bytes that it read.
    pub bytes_processed: u64,
    /// The table that holds a query's rows, `project.dataset.table`.
    pub destination: Option<String>,
}

/// What a query would do, as the server tells without running it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DryRun {
    /// Bytes that it would read; the most it can be charged for.
    pub bytes: u64,
    /// Columns of its result, as BigQuery describes them.
    pub schema: Value,
    /// What it reads, `project.dataset.table`, views as well as what they stand on.
    pub tables: Vec<String>,
}

/// Runs a job to its end. One that is there already, under the same id, is not run again: what became of it is told.
///
/// # Errors
/// When BigQuery refuses it, it fails, or it does not end in time; one that does not end is cancelled.
pub async fn run(rest: &Rest, job: &Job) -> Result<Done, BigQueryError> {
    run_or_find(rest, job, None).await?.became
}

/// What became of a job, and whose it was.
#[derive(Debug)]
pub struct Ended {
    /// What it did, or why it did not.
    pub became: Result<Done, BigQueryError>,
    /// It was there already: what became of it may have been long ago.
    pub found: bool,
}

/// As [`run`], with the bytes that a load job is to load, and telling a job that was found from one that was begun.
///
/// # Errors
/// When BigQuery cannot be reached or refuses the job itself. One that failed is no error here.
pub async fn run_or_find(rest: &Rest, job: &Job, bytes: Option<&[u8]>) -> Result<Ended, BigQueryError> {
    let reference = json!({ "projectId": job.project, "jobId": job.id, "location": job.location });
    let body = json!({ "jobReference": reference, "configuration": job.configuration });
    let path = format!("projects/{}/jobs", job.project);
    let sent = match bytes {
        None => rest.post(&path, &body, &job.what).await,
        Some(bytes) => rest.upload(&path, &body, bytes, &job.what).await,
    };
    let (mut state, found) = match sent {
        Ok(state) => (state, false),
        // It was there: this request's answer was lost, or somebody sent the same.
        Err(BigQueryError::Refused { status: 409, .. }) => (look(rest, job).await?, true),
        Err(error) => return Err(error),
    };
    // Outside the regions that BigQuery looks in by itself, a job is found only where it runs.
    let location = job.location.clone().or_else(|| state["jobReference"]["location"].as_str().map(str::to_owned));
    let job = &Job { location, ..job.clone() };
    let begun = clock::start();
    let mut pause = Duration::from_millis(50);
    while state["status"]["state"] != "DONE" {
        if begun.elapsed() > job.patience {
            cancel(rest, job).await?;
            return Err(BigQueryError::Stuck { what: job.what.clone(), job: job.id.clone(), patience: job.patience });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LOOK);
        state = look(rest, job).await?;
    }
    charge(rest, job, &state)?;
    Ok(Ended { became: done(&state, job), found })
}

/// How often a job of another name is begun where one of that name failed before, or what it left is gone.
const NAMES: u32 = 20;

/// Runs a job that leaves something, under the first of its names that is not used up. One that was begun before is waited for; where it failed, or what
/// it left is not `there` any more, the next name is taken.
///
/// # Errors
/// When BigQuery cannot be reached or refuses the job, it fails now, or all names are used up.
pub async fn leave(
    rest: &Rest,
    job: &Job,
    bytes: Option<&[u8]>,
    there: impl AsyncFn() -> Result<bool, BigQueryError>,
) -> Result<Done, BigQueryError> {
    let mut last = None;
    for number in 0..NAMES {
        let job = Job { id: format!("{}_{number}", job.id), ..job.clone() };
        let ended = run_or_find(rest, &job, bytes).await?;
        match ended.became {
            Ok(done) if !ended.found || there().await? => return Ok(done),
            Err(error) if !ended.found => return Err(error),
            became => last = became.err(),
        }
    }
    Err(last.unwrap_or_else(|| BigQueryError::Answer { what: job.what.clone(), why: "what it leaves is gone each time".into() }))
}

/// Writes down what a job that ended was charged for, where it was for anything.
fn charge(rest: &Rest, job: &Job, state: &Value) -> Result<(), BigQueryError> {
    let bytes = number(&state["statistics"]["query"]["totalBytesBilled"]);
    let Some(charges) = rest.charges().filter(|_| bytes > 0) else { return Ok(()) };
    let ended = state["statistics"]["endTime"].as_str().and_then(|ended| ended.parse().ok());
    charges.add(format!("{}:{}", job.project, job.id), bytes, ended)
}

/// The job as it stands.
async fn look(rest: &Rest, job: &Job) -> Result<Value, BigQueryError> {
    let location = job.location.as_ref().map(|location| ("location", location.as_str()));
    rest.get(&format!("projects/{}/jobs/{}", job.project, job.id), location.as_slice(), &job.what).await
}

async fn cancel(rest: &Rest, job: &Job) -> Result<(), BigQueryError> {
    let location = job.location.as_ref().map_or_else(String::new, |location| format!("?location={location}"));
    rest.post(&format!("projects/{}/jobs/{}/cancel{location}", job.project, job.id), &json!({}), &job.what).await.map(|_| ())
}

fn done(state: &Value, job: &Job) -> Result<Done, BigQueryError> {
    let failure = &state["status"]["errorResult"];
    if !failure.is_null() {
        let text = |key: &str| failure[key].as_str().unwrap_or_default().to_owned();
        return Err(BigQueryError::Job { what: job.what.clone(), reason: text("reason"), message: text("message"), job: job.id.clone() });
    }
    let query = &state["statistics"]["query"];
    Ok(Done {
        bytes_billed: number(&query["totalBytesBilled"]),
        bytes_processed: number(&query["totalBytesProcessed"]),
        destination: table_name(&state["configuration"]["query"]["destinationTable"]),
    })
}

/// What a query would do. It costs nothing and makes no job.
///
/// # Errors
/// When BigQuery refuses the query, or cannot be reached.
pub async fn dry_run(rest: &Rest, project: &str, query: &Value, what: &str) -> Result<DryRun, BigQueryError> {
    let body = json!({ "configuration": { "dryRun": true, "query": query } });
    let answer = rest.post(&format!("projects/{project}/jobs"), &body, what).await?;
    let failure = &answer["status"]["errorResult"];
    if !failure.is_null() {
        let text = |key: &str| failure[key].as_str().unwrap_or_default().to_owned();
        return Err(BigQueryError::Job { what: what.to_owned(), reason: text("reason"), message: text("message"), job: String::new() });
    }
    let query = &answer["statistics"]["query"];
    let tables = query["referencedTables"].as_array().into_iter().flatten();
    Ok(DryRun {
        bytes: number(&query["totalBytesProcessed"]).max(number(&answer["statistics"]["totalBytesProcessed"])),
        schema: query["schema"]["fields"].clone(),
        tables: tables.filter_map(table_name).collect(),
    })
}

/// A count that BigQuery writes as a text.
fn number(value: &Value) -> u64 {
    value.as_str().and_then(|text| text.parse().ok()).or_else(|| value.as_u64()).unwrap_or_default()
}

/// The name that a table's reference stands for.
fn table_name(reference: &Value) -> Option<String> {
    let part = |key: &str| reference[key].as_str();
    Some(format!("{}.{}.{}", part("projectId")?, part("datasetId")?, part("tableId")?))
}
