//! Owns what a step that runs in the warehouse is told beside how to reach it. Invariant: nothing of it is in a key, for nothing of it changes a result.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::base::digest::ActionKey;
use crate::engine::bigquery::charges::{self, Charges};

/// The metric with the bytes that a step was charged for.
pub const BILLED: &str = "bytes_billed";
/// The metric with what that cost, at the price of its day.
pub const COST: &str = "cost";

/// Stands for the target of what is no step: a question for partitions, a delivery that is put back.
pub const BESIDE: &str = "beside steps";

/// What a step in the warehouse needs to know beside how to reach it; in no key.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Work {
    /// The workspace's own dataset.
    pub dataset: String,
    /// Where it is made, and queries run; BigQuery's own choice where it is not said.
    pub location: Option<String>,
    /// What a TiB costs that a query is charged for.
    pub price_per_tib: f64,
    /// The most that a build may be charged for, in bytes.
    pub budget: Option<u64>,
    /// The most that single targets may be charged for, in bytes.
    pub limits: BTreeMap<String, u64>,
    /// Where it is written down what jobs were charged for; nowhere where it is not said.
    #[serde(default)]
    pub charges: Option<PathBuf>,
    /// Where models are exported to, `gs://…`.
    pub bucket: Option<String>,
    /// The address of Cloud Storage's JSON interface.
    pub storage_json_endpoint: String,
}

impl Work {
    /// What so many bytes cost.
    #[must_use]
    pub fn cost(&self, bytes: u64) -> f64 {
        charges::cost(bytes, self.price_per_tib)
    }

    /// Where charges for a step are written down, or for a question that is none.
    #[must_use]
    pub fn charges(&self, step: Option<&Step>) -> Option<Charges> {
        let target = step.map_or(BESIDE, |step| step.target.as_str()).to_owned();
        Some(Charges { path: self.charges.clone()?, target, price_per_tib: self.price_per_tib })
    }

    /// The metrics of a step that was charged for so many bytes.
    #[must_use]
    pub fn charged(&self, bytes: u64) -> [(String, f64); 2] {
        #[expect(clippy::cast_precision_loss, reason = "a count, for people")]
        let billed = bytes as f64;
        [(BILLED.to_owned(), billed), (COST.to_owned(), self.cost(bytes))]
    }
}

/// The file, in a question's output folder, that takes what queries would read.
pub const SCANS: &str = "scans.json";

/// What a query would read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Scan {
    /// Bytes; `None` where that is not known: rows that it reads are not there yet, or BigQuery refuses it.
    pub bytes: Option<u64>,
    /// What they cost at most, at the workspace's price.
    pub cost: Option<f64>,
    /// What BigQuery has against it.
    pub refused: Option<String>,
}

/// What the runner tells of the step itself; in no key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Step {
    /// The target.
    pub target: String,
    /// The action's key.
    pub key: ActionKey,
    /// What is left of the build's budget, in bytes; `None` where it has none.
    pub left: Option<u64>,
}
