//! Owns `cbi cat`, and how tables are asked about. Invariant: a table is read by the action program alone, from bytes that the store has checked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::app::problem::{self, Outcome};
use crate::app::resolve::{Artifact, Records, Thing};
use crate::app::workspace::Options;
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::engine::table_view::Shown;
use crate::exec::alone;
use crate::exec::runner::Job;
use crate::kinds::view;
use crate::model::action::{Action, Input};
use crate::model::manifest::Manifest;

/// A table that can be asked about.
#[derive(Debug, Clone)]
pub struct Table {
    /// As it was asked for.
    pub name: String,
    input: Input,
    files: Manifest,
    path: Option<PathBuf>,
}

/// At most `rows` rows of a table (0: all), the newest if there are more.
///
/// # Errors
/// When there is no such table, or it cannot be read.
pub fn cat(options: &Options, text: &str, rows: usize, cancel: &AtomicBool) -> Outcome<Shown> {
    let records = Records::open(options, text)?;
    let table = find(&records, text)?;
    let rows = if rows == 0 { usize::MAX } else { rows };
    ask(&records, "view:cat", json!({"rows": rows, "newest": true}), &[("table", &table)], cancel)
}

/// The table that `text` stands for.
///
/// # Errors
/// When it is none.
pub fn find(records: &Records, text: &str) -> Outcome<Table> {
    match records.find(text)? {
        Thing::Source { name, path } => {
            let blob = records.session.hash_file(&path).map_err(problem::stores)?;
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let input = Input::File { blob, name: file, executable: false };
            Ok(Table { name, input, files: Manifest::default(), path: Some(path) })
        }
        _ => of_artifact(records, &records.artifact(text)?),
    }
}

/// The table in an artifact.
///
/// # Errors
/// When it holds none, or is no longer in the store.
pub fn of_artifact(records: &Records, artifact: &Artifact) -> Outcome<Table> {
    let Some(files) = table_files(&artifact.files) else {
        let names: Vec<&str> = artifact.files.files.keys().map(String::as_str).take(5).collect();
        let message = format!("'{}' is not a table; it holds {}", artifact.asked, names.join(", "));
        return Err(vec![Diagnostic::new(ExitCode::Usage, message).hint(format!("cbi get '{}' -o DIR", artifact.asked))]);
    };
    if !records.is_whole(&files) {
        return Err(vec![gone(artifact)]);
    }
    Ok(Table { name: artifact.asked.clone(), input: Input::Artifact(artifact.id), files, path: None })
}

/// What to say of an artifact whose bytes are not there any more.
#[must_use]
pub fn gone(artifact: &Artifact) -> Diagnostic {
    let message = format!("the files of '{}' are no longer in the store", artifact.asked);
    Diagnostic::new(ExitCode::Damaged, message).hint(format!("cbi build {}", artifact.made.target))
}

/// Whether an artifact holds a table.
#[must_use]
pub fn is_table(files: &Manifest) -> bool {
    table_files(files).is_some()
}

/// The one file that is the table: the first Parquet file, else a CSV file that stands alone.
fn table_files(files: &Manifest) -> Option<Manifest> {
    let ends = |ending: &str| files.files.iter().find(|(path, _)| path.ends_with(ending));
    let (name, entry) = match ends(".parquet") {
        Some((_, entry)) => ("table.parquet", entry),
        None if files.files.len() == 1 => ("table.csv", ends(".csv")?.1),
        None => return None,
    };
    Some(Manifest { files: BTreeMap::from([(name.to_owned(), *entry)]) })
}

/// Puts a question about tables to the action program.
///
/// # Errors
/// When it fails, or its answer is none.
pub fn ask<T: DeserializeOwned>(
    records: &Records,
    kind: &str,
    params: Value,
    tables: &[(&str, &Table)],
    cancel: &AtomicBool,
) -> Outcome<T> {
    let slot = |name: &&str| (*name).to_owned();
    let action = Action {
        inputs: tables.iter().map(|(name, table)| (slot(name), table.input.clone())).collect(),
        outputs: BTreeSet::from([view::ARTIFACT.to_owned()]),
        ..Action::plain(kind, 1, params)
    };
    let names: Vec<&str> = tables.iter().map(|(_, table)| table.name.as_str()).collect();
    let target = names.join("' and '");
    let job = Job {
        target: target.clone(),
        key: action.key(),
        action,
        artifacts: tables.iter().map(|(name, table)| (slot(name), table.files.clone())).collect(),
        files: tables.iter().filter_map(|(name, table)| Some((slot(name), table.path.clone()?))).collect(),
        timeout: None,
    };
    // What it reads stays, and nobody waits for the index meanwhile.
    let _reading = records.session.root().building().map_err(problem::stores)?;
    records.session.release().map_err(problem::stores)?;
    let failed = |failure| vec![problem::failure(&target, &failure)];
    let ran = alone::run(&records.session, &job, cancel).map_err(failed)?;
    let answer = alone::file_of(&records.session, &ran, view::ARTIFACT, view::FILE).map_err(failed)?;
    serde_json::from_slice(&answer).map_err(|error| vec![Diagnostic::of(ExitCode::Bug, &error)])
}
