//! Owns what changed inside an input that differs. Invariant: it only adds words to a difference; where it cannot look inside, it says nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use serde_json::{Value, json};

use crate::app::workspace::Workspace;
use crate::base::digest::ManifestId;
use crate::engine::table_file;
use crate::engine::table_view::Difference as TableDifference;
use crate::exec::alone;
use crate::exec::runner::Job;
use crate::kinds::view;
use crate::model::action::{Action, Input};
use crate::model::manifest::Manifest;
use crate::plan::explain::Difference;
use crate::store::action_cache::Session;

/// Which rows and columns differ, where the difference is that of a table. An action of its own reads both versions; nothing is recorded.
#[must_use]
pub fn of_input(session: &Session, workspace: &Workspace, difference: &Difference, before: &Action, after: &Action) -> Option<String> {
    let slot = difference.slot()?;
    let old = Side::of(session, workspace, before, slot)?;
    let new = Side::of(session, workspace, after, slot)?;
    let file = new.file.clone();
    let params = json!({ "key": new.key, "file": file });
    let job = diff_job(params, [("old", old), ("new", new)]);
    let ran = alone::run(session, &job, &AtomicBool::new(false)).ok()?;
    let bytes = alone::file_of(session, &ran, view::ARTIFACT, view::FILE).ok()?;
    Some(sentence(slot, &serde_json::from_slice(&bytes).ok()?))
}

/// One version of a table.
struct Side {
    input: Input,
    files: Manifest,
    path: Option<PathBuf>,
    file: String,
    key: Value,
}

impl Side {
    fn of(session: &Session, workspace: &Workspace, action: &Action, slot: &str) -> Option<Self> {
        let input = action.inputs.get(slot)?.clone();
        match &input {
            Input::File { name, .. } => {
                let path = workspace.tables.values().find(|p| p.file_name().is_some_and(|f| f == name.as_str())).cloned();
                let key = action.params["key"].clone();
                // Not the canonical file: it is imported as the `table` kind would.
                Some(Self { files: Manifest::default(), path, file: table_file::FILE_NAME.to_owned(), key, input })
            }
            Input::Artifact(id) => {
                let (files, key) = maker(session, *id)?;
                let file = files.files.keys().find(|f| f.ends_with(".parquet"))?.clone();
                Some(Self { files, path: None, file, key, input })
            }
        }
    }
}

/// The files of an artifact and the key of its rows, from the record of the action that made it.
fn maker(session: &Session, id: ManifestId) -> Option<(Manifest, Value)> {
    let mut found = None;
    let read = session.each_result(|result| {
        if let Some(manifest) = result.outputs.values().find(|m| m.id() == id) {
            let declared = result.action.params["key"].clone();
            let key = if declared.is_array() { declared } else { json!(["date"]) };
            found = Some((manifest.clone(), key));
        }
        found.is_none()
    });
    read.ok().and(found)
}

fn diff_job(params: Value, sides: [(&str, Side); 2]) -> Job {
    let mut inputs = BTreeMap::new();
    let mut artifacts = BTreeMap::new();
    let mut files = BTreeMap::new();
    for (slot, side) in sides {
        inputs.insert(slot.to_owned(), side.input);
        artifacts.insert(slot.to_owned(), side.files);
        files.extend(side.path.map(|path| (slot.to_owned(), path)));
    }
    let action = Action { inputs, outputs: BTreeSet::from([view::ARTIFACT.to_owned()]), ..Action::plain("view:diff", 1, params) };
    Job { target: "why".to_owned(), key: action.key(), action, artifacts, files, timeout: None }
}

/// The difference in words: how many rows, in which range of keys, which columns.
fn sentence(slot: &str, difference: &TableDifference) -> String {
    let mut parts = Vec::new();
    let names = |columns: &[(String, String)]| columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    for (count, what) in [(difference.added.count, "added"), (difference.removed.count, "removed"), (difference.changed.count, "changed")] {
        if count > 0 {
            parts.push(format!("{count} rows {what}"));
        }
    }
    if let Some((from, to)) = &difference.range {
        parts.push(format!("from {} to {}", key_text(from), key_text(to)));
    }
    if !difference.cells.is_empty() {
        parts.push(format!("in {}", difference.cells.keys().map(String::as_str).collect::<Vec<_>>().join(", ")));
    }
    for (columns, what) in [(&difference.columns_added, "new columns"), (&difference.columns_removed, "columns gone")] {
        if !columns.is_empty() {
            parts.push(format!("{what}: {}", names(columns)));
        }
    }
    if parts.is_empty() {
        parts.push("the same rows in another order or form".to_owned());
    }
    format!("input {slot}: {}", parts.join(", "))
}

fn key_text(values: &[Value]) -> String {
    values.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).collect::<Vec<_>>().join("/")
}
