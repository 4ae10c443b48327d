//! Owns the list of what jobs were charged for. Invariant: a job stands in it once its end was seen, whatever became of who waited for it, and counts once
//! however often it was told of.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::clock;
use crate::engine::bigquery::fault::BigQueryError;
use crate::io::file::File;
use crate::io::fs::{self, FsError};

/// What a job was charged for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Charge {
    /// The job, `project:id`.
    pub job: String,
    /// The target that it ran for; what it was, where it ran for none.
    pub target: String,
    /// When it ended, milliseconds since 1970 UTC.
    pub ended_ms: u64,
    /// Bytes that are paid for.
    pub bytes: u64,
    /// What they cost at the price of that day.
    pub cost: f64,
}

/// Where charges for one target are written down.
#[derive(Debug, Clone)]
pub struct Charges {
    /// The file, one charge a line.
    pub path: PathBuf,
    /// The target, or what it is.
    pub target: String,
    /// What a TiB costs.
    pub price_per_tib: f64,
}

/// Bytes of a TiB.
const TIB: f64 = 1_099_511_627_776.0;

/// What so many bytes cost.
#[must_use]
pub fn cost(bytes: u64, price_per_tib: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a price, for people")]
    let bytes = bytes as f64;
    bytes / TIB * price_per_tib
}

impl Charges {
    /// Writes down what a job was charged for; it survives a crash when this returns. `ended_ms` is the server's word, where it gave one.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn add(&self, job: String, bytes: u64, ended_ms: Option<u64>) -> Result<(), BigQueryError> {
        let ended_ms = ended_ms.unwrap_or_else(clock::now_ms);
        let charge = Charge { job, target: self.target.clone(), ended_ms, bytes, cost: cost(bytes, self.price_per_tib) };
        self.append(&charge).map_err(|source| BigQueryError::Unwritten { source })
    }

    /// Begins a line of its own whatever a crash left of the one before.
    fn append(&self, charge: &Charge) -> Result<(), FsError> {
        if let Some(folder) = self.path.parent() {
            fs::create_folders(folder)?;
        }
        let line = format!("\n{}\n", serde_json::to_string(charge).unwrap_or_default());
        File::append(&self.path, line.as_bytes())
    }
}

/// All charges in a file, each job once; none where there is no file.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Path) -> Result<Vec<Charge>, FsError> {
    let bytes = fs::read_if_any(path)?.unwrap_or_default();
    let charges = bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Charge>(line).ok());
    let each: BTreeMap<String, Charge> = charges.map(|charge| (charge.job.clone(), charge)).collect();
    Ok(each.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_counts_once_and_what_a_crash_tore_off_hides_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal/charges.log");
        assert_eq!(read(&path).unwrap(), []);
        let charges = Charges { path: path.clone(), target: "a.b".into(), price_per_tib: 1024.0 };
        charges.add("p:1".into(), 1 << 30, Some(5)).unwrap();
        charges.add("p:2".into(), 2 << 30, Some(6)).unwrap();
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 9]).unwrap();
        charges.add("p:1".into(), 1 << 30, Some(5)).unwrap();
        charges.add("p:3".into(), 3 << 30, None).unwrap();
        let read: Vec<_> = read(&path).unwrap().into_iter().map(|charge| (charge.job, charge.bytes, charge.cost)).collect();
        assert_eq!(read, [("p:1".into(), 1 << 30, 1.0), ("p:3".into(), 3 << 30, 3.0)]);
    }
}
