//! Owns what a check says of a table. Invariant: nothing in it depends on the day of the build; how old a table is becomes a verdict only in a
//! build that has a date.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The artifact that holds a table's reports. It stands beside what a target is for, so a target's name alone never means it.
pub const CHECKS: &str = "checks";

/// The file in that artifact: a list of `Report`s, as JSON.
pub const CHECKS_FILE: &str = "checks.json";

/// The check that a query's rows hold what was known on their day and no more, which is made of all that a frame stands on.
pub const KNOWN: &str = "known on the day";

/// What a failed check does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The step fails, and what stands above it is not built.
    Error,
    /// It is shown.
    Warn,
    /// It is shown, and no frame may learn from the table.
    Learning,
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The check, in words.
    pub check: String,
    /// What its failure does.
    pub severity: Severity,
    /// Whether the table passed; where there is an `age`, as far as that does not decide.
    pub passed: bool,
    /// Rows (for `max_gap` gaps, for `no_dead_columns` and `KNOWN` columns) that break it.
    pub bad: u64,
    /// What was found, in one sentence: how many, where, the worst of them.
    pub what: String,
    /// Set where each build judges anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<Age>,
}

/// What is needed to judge how old a table is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Age {
    /// Its newest date, `2019-01-03`.
    pub newest: String,
    /// The most calendar days that may lie between that and the build's date.
    pub max_days: u32,
}

/// A verdict with the rows that show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Columns of `rows`.
    pub columns: Vec<String>,
    /// The worst rows, at most ten, the worst first. `row` counts from 1 in the table's own order.
    pub rows: Vec<Vec<Value>>,
}

/// The artifact that tells how a target's rules would have done; like `CHECKS` it stands beside what the target is for.
pub const TRIAL: &str = "trial";

/// Whether an artifact of this name is what its target is for.
#[must_use]
pub fn is_main(artifact: &str) -> bool {
    artifact != CHECKS && artifact != TRIAL
}
