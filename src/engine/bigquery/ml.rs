//! Owns training and asking models in BigQuery. Invariant: a table and a model carry in their name the digest of all that went into them, so what is
//! there under a name is what would be made anew, and is not.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::base::digest::{Digest, ManifestId};
use crate::engine::bigquery::dataset::{self, Dataset};
use crate::engine::bigquery::fault::BigQueryError;
use crate::engine::bigquery::jobs::{self, Done, Job};
use crate::engine::bigquery::ml_text::{self, Training};
use crate::engine::bigquery::objects;
use crate::engine::bigquery::rest::{Rest, if_any};
use crate::io::fs;

/// How long a training may take: networks in BigQuery take hours.
const PATIENCE: Duration = Duration::from_hours(12);

/// Rows of one page of answers.
const PAGE: &str = "10000";

/// The workspace's own dataset in BigQuery, and who works there.
pub struct Studio {
    /// How BigQuery is asked.
    pub rest: Rest,
    /// The dataset.
    pub own: Dataset,
    /// The project that pays.
    pub billing: String,
    /// Where the dataset is.
    pub location: Option<String>,
    /// What all statements together may be charged for, in bytes; one above what is left of it is refused by BigQuery.
    pub limit: Option<u64>,
    /// What those so far were charged for, in bytes.
    pub billed: u64,
}

/// A trained model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trained {
    /// Its name, `project.dataset.model`.
    pub model: String,
    /// Iterations that it was trained for, as far as BigQuery tells.
    pub iterations: u32,
    /// The loss on train rows after the last of them.
    pub training_loss: Option<f64>,
    /// The loss on valid rows.
    pub eval_loss: Option<f64>,
    /// Bytes that its training is charged for.
    pub bytes_billed: u64,
}

impl Studio {
    /// A table with the rows of a frame's artifact, which stand in a Parquet file.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub async fn table(&self, rows: &ManifestId, parquet: &Path) -> Result<String, BigQueryError> {
        let what = "load the frame's rows";
        let table = dataset::table_of_rows("cbi_frame", rows);
        let there = async || Ok(self.own.look(&self.rest, &table).await?.is_some());
        if !there().await? {
            let bytes = fs::read(parquet).map_err(|error| odd(what, &error.to_string()))?;
            let job = self.job(&format!("cbi_frame_{rows}"), self.own.load(&table), what);
            jobs::leave(&self.rest, &job, Some(&bytes), there).await?;
        }
        Ok(self.own.whole(&table))
    }

    /// The model that this training gives; one that is there is not trained again.
    ///
    /// # Errors
    /// When it cannot be trained.
    pub async fn model(&mut self, training: &Training<'_>) -> Result<Trained, BigQueryError> {
        let name = format!("cbi_bqml_{}", hex24(&Digest::of(ml_text::create("", training).as_bytes())));
        let model = self.own.whole(&name);
        let path = format!("projects/{}/datasets/{}/models/{name}", self.own.project, self.own.name);
        let look = async || if_any(self.rest.get(&path, &[], &format!("describe the model {model}")).await);
        let mut done = Done::default();
        if look().await?.is_none() {
            let job = self.job(&name, self.query(&ml_text::create(&model, training))?, "train the model");
            done = jobs::leave(&self.rest, &job, None, async || Ok(look().await?.is_some())).await?;
        }
        let about = look().await?.ok_or_else(|| odd("train the model", &format!("{model} is gone")))?;
        self.billed += done.bytes_billed;
        let results = about["trainingRuns"].as_array().and_then(|runs| runs.last()?["results"].as_array());
        let last = results.and_then(|results| results.last()).unwrap_or(&Value::Null);
        Ok(Trained {
            model,
            iterations: results.map_or(0, |results| u32::try_from(results.len()).unwrap_or(u32::MAX)),
            training_loss: last["trainingLoss"].as_f64(),
            eval_loss: last["evalLoss"].as_f64(),
            bytes_billed: done.bytes_billed,
        })
    }

    /// What a model says to the rows of a table, by their dates, days since 1970-01-01.
    ///
    /// # Errors
    /// When it cannot be asked, or its answers are not one number to each date.
    pub async fn ask(&mut self, model: &str, features: &[String], table: &str) -> Result<BTreeMap<i32, f64>, BigQueryError> {
        let what = format!("ask the model {model}");
        // A question changes nothing, and its answer is kept for a day only: it is asked anew.
        let id = format!("cbi_predict_{:016x}", fastrand::u64(..));
        let job = self.job(&id, self.query(&ml_text::predict(model, features, table))?, &what);
        let done = jobs::run(&self.rest, &job).await?;
        self.billed += done.bytes_billed;
        self.answers(&job).await
    }

    /// A model's files, written into a bucket below `folder` and read from there: their names below it, and their bytes.
    ///
    /// # Errors
    /// When it cannot be exported, or the bucket cannot be read.
    pub async fn export(
        &mut self,
        model: &str,
        (endpoint, bucket): (&str, &str),
        folder: &str,
    ) -> Result<BTreeMap<String, Vec<u8>>, BigQueryError> {
        let uri = format!("gs://{bucket}/{folder}");
        let id = format!("cbi_export_{}", hex24(&Digest::of(format!("{model} {uri}").as_bytes())));
        let job = self.job(&id, self.query(&ml_text::export(model, &uri))?, &format!("export the model {model}"));
        let there = async || Ok(!objects::list(&self.rest, endpoint, bucket, folder).await?.is_empty());
        let done = jobs::leave(&self.rest, &job, None, there).await?;
        self.billed += done.bytes_billed;
        let mut files = BTreeMap::new();
        for object in objects::list(&self.rest, endpoint, bucket, folder).await? {
            let Some(name) = object.strip_prefix(folder).filter(|name| !name.is_empty() && !name.ends_with('/')) else { continue };
            if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
                return Err(odd(&format!("list {uri}"), &format!("'{object}' is no name of a file")));
            }
            files.insert(name.to_owned(), objects::read(&self.rest, endpoint, bucket, &object).await?);
        }
        if files.is_empty() { Err(odd(&job.what, &format!("{uri} is empty"))) } else { Ok(files) }
    }

    /// Every page of a query's rows.
    async fn answers(&self, job: &Job) -> Result<BTreeMap<i32, f64>, BigQueryError> {
        let path = format!("projects/{}/queries/{}", self.billing, job.id);
        let (mut all, mut token) = (BTreeMap::new(), String::new());
        loop {
            let mut query = vec![("maxResults", PAGE)];
            query.extend(self.location.as_deref().map(|location| ("location", location)));
            query.extend((!token.is_empty()).then_some(("pageToken", token.as_str())));
            let page = self.rest.get(&path, &query, &job.what).await?;
            for row in page["rows"].as_array().into_iter().flatten() {
                let cell = |at: usize| row["f"][at]["v"].as_str().unwrap_or_default();
                let (date, answer) =
                    answer(cell(0), cell(1)).ok_or_else(|| odd(&job.what, &format!("'{}' is answered by '{}'", cell(0), cell(1))))?;
                if all.insert(date, answer).is_some() {
                    return Err(odd(&job.what, &format!("'{}' is answered twice", cell(0))));
                }
            }
            match page["pageToken"].as_str() {
                Some(next) if !next.is_empty() => next.clone_into(&mut token),
                _ => return Ok(all),
            }
        }
    }

    fn job(&self, id: &str, configuration: Value, what: &str) -> Job {
        let (project, location) = (self.billing.clone(), self.location.clone());
        Job { project, id: id.to_owned(), location, configuration, what: what.to_owned(), patience: PATIENCE }
    }

    fn query(&self, sql: &str) -> Result<Value, BigQueryError> {
        let left = self.limit.map(|limit| limit.saturating_sub(self.billed));
        if left == Some(0) {
            return Err(BigQueryError::Spent);
        }
        Ok(json!({ "query": { "query": sql, "useLegacySql": false, "maximumBytesBilled": left.map(|bytes| bytes.to_string()) } }))
    }
}

/// A date and a finite number.
fn answer(date: &str, predicted: &str) -> Option<(i32, f64)> {
    let date: NaiveDate = date.parse().ok()?;
    Some((date.to_epoch_days(), predicted.parse().ok().filter(|answer: &f64| answer.is_finite())?))
}

/// Enough of a digest for a name.
fn hex24(digest: &Digest) -> String {
    digest.to_string().chars().take(24).collect()
}

fn odd(what: &str, why: &str) -> BigQueryError {
    BigQueryError::Answer { what: what.to_owned(), why: why.to_owned() }
}
