//! Owns delivering into BigQuery as a build sees it. Invariant: what was delivered is asked of the warehouse's own ledger; a build asks once a table, and
//! the delivering action asks again.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::base::clock;
use crate::base::diagnostic::ExitCode;
use crate::base::digest::ManifestId;
use crate::exec::ask;
use crate::exec::failure::Failure;
use crate::exec::runner::{Job, Ran, Runner, Workplace};
use crate::kinds::export::Reach;
use crate::kinds::publish::FROM_SLOT;
use crate::kinds::publish_bigquery::{ANSWER, Asked, Delivering, PutBack, Told, Whose};
use crate::model::action::{Action, Input};
use crate::model::delivery::{Delivered, standing};

/// A project whose tables are delivered into.
#[derive(Debug)]
pub struct Project {
    reach: Reach,
    told: Mutex<BTreeMap<String, Told>>,
}

/// A delivery that put another back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Back {
    /// Its number.
    pub sequence: u64,
    /// The rows of the table now.
    pub rows: u64,
}

impl Project {
    /// The project that is reached so; nothing is asked yet.
    #[must_use]
    pub fn new(reach: Reach) -> Self {
        Self { reach, told: Mutex::default() }
    }

    /// The table's full name.
    #[must_use]
    pub fn name(&self, table: &str) -> String {
        format!("{}.{table}", self.reach.account.project)
    }

    /// What was delivered, as the warehouse says now. It runs no query.
    ///
    /// # Errors
    /// With what a person should know, where it does not say.
    pub fn ask(&self, asked: &Asked) -> Result<Told, Failure> {
        self.question("deliveries", &json!(asked))
    }

    /// Puts a delivery back.
    ///
    /// # Errors
    /// With what a person should know.
    pub fn put_back(&self, what: &PutBack) -> Result<Back, Failure> {
        self.question("put_back", &json!(what))
    }

    fn question<T: for<'de> Deserialize<'de>>(&self, which: &str, params: &Value) -> Result<T, Failure> {
        if self.reach.offline {
            return Err(failure("with --offline nobody is asked what was delivered into BigQuery".into(), ExitCode::Remote));
        }
        let bytes = ask::ask(&format!("publish:bigquery:{which}"), params, &json!(self.reach), ANSWER)?;
        serde_json::from_slice(&bytes).map_err(|error| failure(format!("what was delivered is not understood: {error}"), ExitCode::Bug))
    }

    /// Why the table does not hold what the action delivers; nothing where it does.
    ///
    /// # Errors
    /// With what keeps it from being delivered.
    pub fn stands(&self, target: &str, table: &str, action: &Action) -> Result<Option<String>, Failure> {
        let known = self.told().get(table).cloned();
        let told = if let Some(told) = known {
            told
        } else {
            let told = self.ask(&Asked::Table(table.to_owned()))?;
            self.told().insert(table.to_owned(), told.clone());
            told
        };
        let Some(newest) = told.deliveries.last() else { return Ok(Some(format!("it was never delivered into {}", self.name(table)))) };
        if !told.exists {
            let (name, number, at) = (self.name(table), newest.sequence, clock::rfc3339(newest.at_ms));
            let gone = failure(format!("{name} is gone since it was published (delivery {number}, {at})"), ExitCode::Refused);
            return Err(Failure { hint: Some(format!("cbi rollback {target} --to {number} puts back what was published")), ..gone });
        }
        let last = standing(&told.deliveries, newest.sequence, Delivered::numbers).into_iter().rev().find(|d| d.target == target);
        let Some(last) = last else { return Ok(Some(format!("it was never delivered into {}", self.name(table)))) };
        Ok((last.action != action.key()).then(|| format!("{} holds an earlier delivery, number {}", self.name(table), last.sequence)))
    }

    fn told(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Delivers, in a process of its own.
    ///
    /// # Errors
    /// With what a person should know. What was begun then is finished by the next delivery, or found to have happened.
    pub fn deliver(&self, runner: &Runner, table: &str, job: &Job, place: &mut Workplace) -> Result<Ran, Failure> {
        let Some(Input::Artifact(artifact)) = job.action.inputs.get(FROM_SLOT) else {
            return Err(failure("it delivers no artifact".into(), ExitCode::Bug));
        };
        let delivery = Whose { target: job.target.clone(), action: job.key, artifact: ManifestId(artifact.0) };
        let reach = json!(Delivering { reach: self.reach.clone(), delivery });
        let ran = Runner { reach: Some(&reach), ..*runner }.run(job, place);
        self.told().remove(table);
        ran
    }
}

fn failure(error: String, code: ExitCode) -> Failure {
    Failure { error, hint: None, log_tail: Vec::new(), code }
}
