//! Finds tables of the workspace's own dataset that nothing kept stands for, and drops them, for `cbi gc`: no recipe kind. Invariant: a table that cbi did
//! not make is never dropped.
//!
//! `probe:sweep`: params `kept`, the first sixteen digits of every key and artifact that stays; `since_ms`, from when on tables are too young to go; `drop`,
//! whether they are dropped.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::engine::bigquery::dataset::Entry;
use crate::engine::bigquery::fault::BigQueryError;
use crate::kinds::export::{Reach, failure, wait};
use crate::kinds::pushed::own;
use crate::kinds::request::{Request, Response, RunError};

/// The file, in a question's output folder, that takes the names of the tables.
pub const SWEPT: &str = "swept.json";

/// What stays.
#[derive(Debug, Serialize, Deserialize)]
pub struct Sweep {
    /// The first sixteen digits of keys and of artifacts' digests.
    pub kept: BTreeSet<String>,
    /// Tables made then or later stay too, milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// Whether the others are dropped.
    pub drop: bool,
}

impl Sweep {
    fn takes(&self, entry: &Entry) -> bool {
        let roots = entry.roots();
        let young = self.since_ms.is_some_and(|since| entry.created_ms >= since);
        !young && !roots.is_empty() && !roots.iter().any(|root| root.get(..16).is_some_and(|root| self.kept.contains(root)))
    }
}

/// Looks, and drops where that is asked.
///
/// # Errors
/// When BigQuery refuses.
pub fn run(request: &Request) -> Result<Response, RunError> {
    let sweep: Sweep = request.params()?;
    let reach: Reach = request.reach()?;
    let swept = wait(tables(&sweep, &reach))?.map_err(|error| failure(&error))?;
    request.tell(SWEPT, &swept)
}

async fn tables(sweep: &Sweep, reach: &Reach) -> Result<Vec<String>, BigQueryError> {
    let (rest, _) = reach.open().await?;
    let own = own(reach);
    let mut swept = Vec::new();
    for entry in own.entries(&rest).await?.unwrap_or_default().iter().filter(|entry| sweep.takes(entry)) {
        if sweep.drop {
            own.drop_table(&rest, &entry.table).await?;
        }
        swept.push(format!("{}.{}", own.name, entry.table));
    }
    Ok(swept)
}
