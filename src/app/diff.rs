//! Owns `cbi diff`. Invariant: it compares what was recorded of two artifacts; equal hashes mean that nothing in them differs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;

use serde::Serialize;
use serde_json::{Value, json};

use crate::app::problem::Outcome;
use crate::app::resolve::{Artifact, Records};
use crate::app::tables;
use crate::app::workspace::Options;
use crate::base::digest::{ActionKey, ManifestId};
use crate::engine::table_view::Difference as Rows;
use crate::plan::explain::{self, Difference};

/// How two artifacts differ.
#[derive(Debug, Serialize)]
pub struct Diff {
    /// The first.
    pub a: Side,
    /// The second.
    pub b: Side,
    /// Whether they are the same bits.
    pub same: bool,
    /// What they were made with that differs: parameters, inputs, engines.
    pub made_with: Vec<Difference>,
    /// Files that only the second has.
    pub files_added: Vec<String>,
    /// Files that only the first has.
    pub files_removed: Vec<String>,
    /// Files with other bytes.
    pub files_changed: Vec<String>,
    /// Metrics that differ or that only one has.
    pub metrics: BTreeMap<String, (Option<f64>, Option<f64>)>,
    /// Columns and rows, where both are tables with other bytes.
    pub table: Option<Rows>,
}

/// One of the two.
#[derive(Debug, Serialize)]
pub struct Side {
    /// As it was asked for.
    pub name: String,
    /// The target it was made for.
    pub target: String,
    /// Its hash.
    pub hash: ManifestId,
    /// The action that made it.
    pub action: ActionKey,
}

/// Compares what `a` and `b` stand for.
///
/// # Errors
/// When one is no artifact, or a table cannot be read.
pub fn diff(options: &Options, a: &str, b: &str, cancel: &AtomicBool) -> Outcome<Diff> {
    let records = Records::open(options, a)?;
    let (a, b) = (records.artifact(a)?, records.artifact(b)?);
    let files = |artifact: &Artifact| artifact.files.files.keys().cloned().collect::<BTreeSet<_>>();
    let (before, after) = (files(&a), files(&b));
    let changed = before.intersection(&after).filter(|path| a.files.files[*path] != b.files.files[*path]);
    Ok(Diff {
        same: a.id == b.id,
        made_with: explain::differences(&a.made.action, &b.made.action),
        files_added: after.difference(&before).cloned().collect(),
        files_removed: before.difference(&after).cloned().collect(),
        files_changed: changed.cloned().collect(),
        metrics: metrics(&a, &b),
        table: rows(&records, &a, &b, cancel)?,
        a: side(&a),
        b: side(&b),
    })
}

fn side(artifact: &Artifact) -> Side {
    let made = &artifact.made;
    Side { name: artifact.asked.clone(), target: made.target.clone(), hash: artifact.id, action: made.key }
}

fn metrics(a: &Artifact, b: &Artifact) -> BTreeMap<String, (Option<f64>, Option<f64>)> {
    let names: BTreeSet<&String> = a.made.metrics.keys().chain(b.made.metrics.keys()).collect();
    let pair = |name: &String| (a.made.metrics.get(name).copied(), b.made.metrics.get(name).copied());
    names.into_iter().map(|name| (name.clone(), pair(name))).filter(|(_, (a, b))| a != b).collect()
}

fn rows(records: &Records, a: &Artifact, b: &Artifact, cancel: &AtomicBool) -> Outcome<Option<Rows>> {
    if a.id == b.id || !tables::is_table(&a.files) || !tables::is_table(&b.files) {
        return Ok(None);
    }
    let (old, new) = (tables::of_artifact(records, a)?, tables::of_artifact(records, b)?);
    tables::ask(records, "view:diff", json!({"key": key(a)}), &[("old", &old), ("new", &new)], cancel).map(Some)
}

/// The columns that name a row, as the recipe declared them.
fn key(artifact: &Artifact) -> Vec<String> {
    let declared = artifact.made.action.params["key"].as_array();
    let columns: Vec<String> = declared.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    if columns.is_empty() { vec!["date".to_owned()] } else { columns }
}
