//! Owns the delivery of rows into a table of BigQuery. Invariant: a delivery changes the table in the one transaction that writes it into the ledger, so
//! whatever ends it, the ledger says whether it happened, and the next one goes on from there.
//!
//! Rows are loaded into a table of their own first. Both jobs are named after the delivery, its number and the attempt: sent twice they run once, and a
//! number that was taken by somebody else is never taken again.

use std::time::Duration;

use serde_json::{Value, json};

use crate::base::clock;
use crate::base::digest::Digest;
use crate::engine::bigquery::delivered_columns;
use crate::engine::bigquery::fault::BigQueryError;
use crate::engine::bigquery::jobs::{self, Ended, Job};
use crate::engine::bigquery::ledger;
use crate::engine::bigquery::place::Place;
use crate::engine::bigquery::rest::{Rest, if_any};
use crate::engine::bigquery::script;
use crate::engine::merging::{By, MergeError};
use crate::model::delivery::{Delivered, standing};

/// How often a delivery begins anew because somebody else delivered into the table meanwhile.
const ROUNDS: usize = 20;

/// How often an attempt of this process may fail for reasons that may pass.
const FAILURES: usize = 5;

/// Attempts looked through, those of earlier processes included.
const ATTEMPTS: u32 = 1000;

/// How long rows that were loaded and never taken over are kept.
const STAGED: Duration = Duration::from_hours(24);

/// Reasons of a failed job that mean "not now" rather than "never".
const MAY_PASS: [&str; 6] =
    ["backendError", "internalError", "rateLimitExceeded", "jobBackendError", "jobInternalError", "jobRateLimitExceeded"];

/// The label of tables that were made here.
const LABEL: (&str, &str) = ("cbi", "published");

/// A table that is delivered into.
pub struct Site<'a> {
    /// The way to BigQuery.
    pub rest: &'a Rest,
    /// The project that pays.
    pub billing: &'a str,
    /// The table.
    pub place: Place,
}

/// What is to be delivered.
pub struct Order<'a> {
    /// The delivery; its number and time are not looked at.
    pub delivery: Delivered,
    /// A Parquet file with the rows.
    pub file: &'a [u8],
    /// Their columns, as BigQuery describes them.
    pub columns: &'a [Value],
    /// Which rows make place; all of them where nothing is said.
    pub by: Option<By<'a>>,
    /// Whether the table may gain columns.
    pub may_add: bool,
}

/// What is there.
#[derive(Debug)]
pub struct Ground {
    /// The table's description; none where it is not there.
    pub table: Option<Value>,
    /// What was delivered; none where there is no ledger.
    pub ledger: Option<Vec<Delivered>>,
    location: Option<String>,
}

/// A delivery that is in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stands {
    /// Its number.
    pub sequence: u64,
    /// It was there already.
    pub before: bool,
}

/// Why nothing was delivered.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// BigQuery refuses, or cannot be reached.
    #[error(transparent)]
    BigQuery(#[from] BigQueryError),
    /// The dataset is not there.
    #[error("there is no dataset {dataset} in the project {project}")]
    NoDataset {
        /// The project.
        project: String,
        /// The dataset.
        dataset: String,
    },
    /// Somebody else's table is there.
    #[error("{table} is there already, and was not published")]
    Foreign {
        /// The table.
        table: String,
    },
    /// The table was removed.
    #[error("{table} is gone since it was published (delivery {sequence}, {})", clock::rfc3339(*at_ms))]
    Gone {
        /// The table.
        table: String,
        /// The last delivery.
        sequence: u64,
        /// When that was.
        at_ms: u64,
    },
    /// The ledger was removed.
    #[error("{table} was published, and its ledger {ledger} is gone: what was delivered is not known")]
    NoLedger {
        /// The table.
        table: String,
        /// Its ledger.
        ledger: String,
    },
    /// The columns are others.
    #[error("{table}: {source}")]
    Columns {
        /// The table.
        table: String,
        /// What is other.
        source: MergeError,
    },
    /// Others deliver faster.
    #[error("others delivered into {table} {ROUNDS} times while this delivery was on its way")]
    Crowded {
        /// The table.
        table: String,
    },
}

impl Order<'_> {
    /// What tells this delivery from any other: 16 hexadecimal digits.
    fn mark(&self, place: &Place) -> String {
        let Delivered { target, action, artifact, puts_back, .. } = &self.delivery;
        let told = json!([place.to_string(), target, action.to_string(), artifact.to_string(), puts_back]);
        Digest::derive("cbi bigquery delivery 1", told.to_string().as_bytes()).to_string()[..16].to_owned()
    }

    fn is(&self, other: &Delivered) -> bool {
        let told = |delivery: &Delivered| (delivery.target.clone(), delivery.action, delivery.artifact, delivery.puts_back);
        told(&self.delivery) == told(other)
    }
}

impl Ground {
    /// The number of the last delivery; 0 before the first.
    fn last(&self) -> u64 {
        self.ledger.iter().flatten().last().map_or(0, |delivery| delivery.sequence)
    }

    /// The number of the delivery that the order asks for, where the table holds it.
    fn holds(&self, order: &Order) -> Option<u64> {
        let done = self.ledger.as_deref().unwrap_or_default();
        let stand = standing(done, self.last(), Delivered::numbers);
        let own = stand.into_iter().rev().find(|delivery| delivery.target == order.delivery.target)?;
        (own.action == order.delivery.action && order.delivery.puts_back.is_none()).then_some(own.sequence)
    }
}

impl Site<'_> {
    /// What is there now. It runs no query.
    ///
    /// # Errors
    /// When BigQuery refuses, there is no dataset, or the table is somebody else's.
    pub async fn ground(&self) -> Result<Ground, DeliverError> {
        let place = &self.place;
        let table = if_any(self.rest.get(&place.path(), &[], &format!("describe the table {place}")).await)?;
        let ledger = ledger::read(self.rest, place).await?;
        let found = if let Some(table) = &table {
            table.clone()
        } else {
            let what = format!("describe the dataset {}.{}", place.project, place.dataset);
            let gone = || DeliverError::NoDataset { project: place.project.clone(), dataset: place.dataset.clone() };
            if_any(self.rest.get(&place.in_dataset(), &[], &what).await)?.ok_or_else(gone)?
        };
        let ground = Ground { location: found["location"].as_str().map(str::to_owned), table, ledger };
        self.own(&ground)?;
        Ok(ground)
    }

    /// Refuses a table that others made.
    fn own(&self, ground: &Ground) -> Result<(), DeliverError> {
        let Some(table) = &ground.table else { return Ok(()) };
        let ours = table["labels"][LABEL.0] == LABEL.1;
        let name = || self.place.to_string();
        match &ground.ledger {
            _ if table["type"].as_str().is_some_and(|kind| kind != "TABLE") => Err(DeliverError::Foreign { table: name() }),
            Some(done) if ours || !done.is_empty() => Ok(()),
            None if ours => Err(DeliverError::NoLedger { table: name(), ledger: self.place.ledger().to_string() }),
            _ => Err(DeliverError::Foreign { table: name() }),
        }
    }

    /// Delivers, or finds that it was delivered.
    ///
    /// # Errors
    /// When nothing may or can be delivered. Where the line broke, it may have been: the next attempt finds out.
    pub async fn deliver(&self, order: &Order<'_>) -> Result<Stands, DeliverError> {
        for _ in 0..ROUNDS {
            let ground = self.ground().await?;
            if let (None, Some(last), None) = (&ground.table, ground.ledger.iter().flatten().last(), order.delivery.puts_back) {
                return Err(DeliverError::Gone { table: self.place.to_string(), sequence: last.sequence, at_ms: last.at_ms });
            }
            if let Some(sequence) = ground.holds(order) {
                // What a delivery left that was killed just after it happened.
                self.clear(&self.place.staging(&order.mark(&self.place), sequence)).await?;
                return Ok(Stands { sequence, before: true });
            }
            self.prepare(&ground, order).await?;
            if let Some(sequence) = self.bring(&ground, order).await? {
                return Ok(Stands { sequence, before: false });
            }
        }
        Err(DeliverError::Crowded { table: self.place.to_string() })
    }

    /// Makes what is not there: the ledger before the table, so that a table of ours always has one.
    async fn prepare(&self, ground: &Ground, order: &Order<'_>) -> Result<(), DeliverError> {
        if ground.ledger.is_none() {
            self.open_ledger(ground).await?;
        }
        let Some(table) = &ground.table else {
            let labels = json!({ LABEL.0: LABEL.1 });
            let body = json!({ "tableReference": self.place.reference(), "schema": { "fields": order.columns }, "labels": labels });
            return self.make(&self.place, &body).await.map_err(Into::into);
        };
        let mut fields = table["schema"]["fields"].as_array().cloned().unwrap_or_default();
        let added = delivered_columns::added(&fields, order.columns, order.may_add, order.delivery.puts_back.is_some());
        let added = added.map_err(|source| DeliverError::Columns { table: self.place.to_string(), source })?;
        if !added.is_empty() {
            fields.extend(added);
            let what = format!("add columns to the table {}", self.place);
            self.rest.patch(&self.place.path(), &json!({ "schema": { "fields": fields } }), &what).await?;
        }
        Ok(())
    }

    /// Makes the ledger. The statement does nothing where there is one, so its job needs no name that is known again.
    async fn open_ledger(&self, ground: &Ground) -> Result<(), DeliverError> {
        let query = json!({ "query": ledger::opening(&self.place.ledger()), "useLegacySql": false });
        let id = format!("cbi_ledger_{:032x}", fastrand::u128(..));
        let job = self.job(id, ground, json!({ "query": query }), format!("open the ledger {}", self.place.ledger()));
        match jobs::run(self.rest, &job).await {
            // Another publisher may have made it at the same moment.
            Err(error @ BigQueryError::Job { .. }) => match ledger::read(self.rest, &self.place).await? {
                Some(_) => Ok(()),
                None => Err(error.into()),
            },
            done => Ok(done.map(|_| ())?),
        }
    }

    /// Loads the rows and takes them over, as the delivery after the last one; `None` where somebody else's came first.
    async fn bring(&self, ground: &Ground, order: &Order<'_>) -> Result<Option<u64>, DeliverError> {
        let sequence = ground.last() + 1;
        let staging = self.place.staging(&order.mark(&self.place), sequence);
        let mut failures = 0;
        for attempt in 1..=ATTEMPTS {
            let tried = self.attempt(ground, order, (&staging, sequence), attempt).await?;
            let now = ledger::read(self.rest, &self.place).await?.unwrap_or_default();
            if let Some(next) = now.iter().find(|delivery| delivery.sequence == sequence) {
                self.clear(&staging).await?;
                return Ok(order.is(next).then_some(sequence));
            }
            match tried.became {
                // It failed, or succeeded, long ago: of a ledger that is there no more, or of a delivery that was given up.
                _ if tried.found => continue,
                // A ledger that does not have what the transaction wrote.
                Ok(_) => {}
                Err(error) if failures < FAILURES && may_pass(&error) => {}
                Err(error) => {
                    self.clear(&staging).await?;
                    return Err(error.into());
                }
            }
            failures += 1;
            tokio::time::sleep(Duration::from_millis(200 + fastrand::u64(..800))).await;
        }
        Err(DeliverError::Crowded { table: self.place.to_string() })
    }

    /// One attempt: what became of the job that it ended with.
    async fn attempt(
        &self,
        ground: &Ground,
        order: &Order<'_>,
        (staging, sequence): (&Place, u64),
        attempt: u32,
    ) -> Result<Ended, BigQueryError> {
        let name = |part: &str| format!("cbi_{}_{sequence}_{attempt}_{part}", order.mark(&self.place));
        let until = clock::now_ms() + u64::try_from(STAGED.as_millis()).unwrap_or(u64::MAX);
        let schema = json!({ "fields": order.columns });
        let body = json!({ "tableReference": staging.reference(), "schema": schema, "expirationTime": until.to_string() });
        self.make(staging, &body).await?;
        let load = json!({
            "destinationTable": staging.reference(), "schema": schema, "sourceFormat": "PARQUET",
            "writeDisposition": "WRITE_TRUNCATE", "parquetOptions": { "enableListInference": true },
        });
        let job = self.job(name("load"), ground, json!({ "load": load }), format!("load rows for {}", self.place));
        let loaded = jobs::run_or_find(self.rest, &job, Some(order.file)).await?;
        if loaded.became.is_err() {
            return Ok(loaded);
        }
        let delivery = Delivered { sequence, ..order.delivery.clone() };
        let names: Vec<String> = order.columns.iter().filter_map(|column| column["name"].as_str()).map(str::to_owned).collect();
        let query = script::configuration(&self.place, staging, &names, order.by, &delivery);
        let job = self.job(name("apply"), ground, json!({ "query": query }), format!("take the rows into {}", self.place));
        jobs::run_or_find(self.rest, &job, None).await
    }

    fn job(&self, id: String, ground: &Ground, configuration: Value, what: String) -> Job {
        Job { project: self.billing.to_owned(), id, location: ground.location.clone(), configuration, what, patience: jobs::PATIENCE }
    }

    /// Makes a table, where it is not there.
    async fn make(&self, place: &Place, body: &Value) -> Result<(), BigQueryError> {
        match self.rest.post(&place.tables(), body, &format!("make the table {place}")).await {
            Err(BigQueryError::Refused { status: 409, .. }) => Ok(()),
            // Another publisher may be making it at the same moment.
            Err(error @ BigQueryError::Refused { .. }) => {
                let now = if_any(self.rest.get(&place.path(), &[], &format!("describe the table {place}")).await)?;
                if now.is_some() { Ok(()) } else { Err(error) }
            }
            made => made.map(|_| ()),
        }
    }

    /// Removes a table of loaded rows, where it is there.
    async fn clear(&self, staging: &Place) -> Result<(), BigQueryError> {
        if_any(self.rest.delete(&staging.path(), &format!("remove the table {staging}")).await).map(|_| ())
    }
}

/// Whether a failed job may go well when it is sent again: BigQuery was busy, another publisher was at it, or the loaded rows were removed.
fn may_pass(error: &BigQueryError) -> bool {
    let BigQueryError::Job { reason, message, .. } = error else { return false };
    MAY_PASS.contains(&reason.as_str())
        || message.contains(script::OURS)
        || message.contains("concurrent update")
        || (reason == "notFound" && message.contains("_cbi_staging_"))
}
