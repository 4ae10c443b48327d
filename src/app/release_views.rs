//! Owns what people find of a release in the mirror. Invariant: all of it is made from the log and from what the log names; what a machine that died left
//! undone, the next one does.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::app::release_log::{Book, step};
use crate::base::clock;
use crate::base::diagnostic::in_one_line;
use crate::base::json;
use crate::kinds::release::{ARTIFACT, METADATA_FILE};
use crate::mirror::bucket::Bucket;
use crate::mirror::client::Mirror;
use crate::mirror::error::MirrorError;
use crate::mirror::releases;
use crate::model::release::{CURRENT, Entry, History, version_name};
use crate::store::action_cache::Session;
use crate::store::content::ContentStore;

/// How often the list is written anew because another machine moved a channel meanwhile.
const AGAIN: u32 = 10;

/// Shows every version that is not shown yet, and then the list of all; says why where that did not go well.
#[must_use]
pub fn show(book: &mut Book, session: &Session, history: &History) -> Option<String> {
    let told = |why: String| Some(format!("{why}; the next promotion shows it"));
    for (version, entry) in history.versions() {
        match show_version(book, session, version, entry) {
            Ok(()) => {}
            Err(why) => return told(format!("{} is not to be seen in the mirror: {why}", version_name(version))),
        }
        if let Err(problems) = step("release.shown", session) {
            return told(problems.into_iter().map(|problem| problem.message).collect());
        }
    }
    let mut history = history.clone();
    for _ in 0..AGAIN {
        let bucket = book.mirror().map(Mirror::bucket)?;
        let shown = json::pretty(&list(&history)).map_err(|error| error.to_string()).and_then(|said| {
            let shown = releases::show_list(bucket, history.release(), said.into_bytes()).map_err(|error| in_one_line(&error))?;
            let length = releases::length(bucket, history.release()).map_err(|error| in_one_line(&error))?;
            Ok(shown && length < history.next_sequence())
        });
        match shown {
            Ok(true) => return None,
            Ok(false) => {}
            Err(why) => return told(format!("the list of versions in the mirror is not up to date: {why}")),
        }
        if let Ok(newer) = book.history(history.release()) {
            history = newer;
        }
    }
    told("the list of versions in the mirror changes all the time".into())
}

fn show_version(book: &Book, session: &Session, version: u32, entry: &Entry) -> Result<(), String> {
    let Some(bucket) = book.mirror().map(Mirror::bucket) else { return Ok(()) };
    let failed = |error: MirrorError| in_one_line(&error);
    if releases::is_shown(bucket, &entry.release, version).map_err(failed)? {
        return Ok(());
    }
    let result = book.result(&entry.action).map_err(|problems| problems.into_iter().map(|problem| problem.message).collect::<String>())?;
    let result = result.ok_or("its files are neither here nor there")?;
    let files = result.outputs.get(ARTIFACT).map(|manifest| manifest.files.clone()).unwrap_or_default();
    let mut said = BTreeMap::new();
    for (path, file) in &files {
        let bytes = session.content().read(&file.blob).map_err(|error| error.to_string())?;
        let bytes = bytes.ok_or("its files are not here any more")?;
        if path == METADATA_FILE {
            said = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
        } else {
            releases::show(bucket, &entry.release, version, path, bytes).map_err(failed)?;
        }
    }
    let said = json::pretty(&described(said, version, entry)).map_err(|error| error.to_string())?;
    show_last(bucket, version, entry, said).map_err(failed)
}

fn show_last(bucket: &Bucket, version: u32, entry: &Entry, said: String) -> Result<(), MirrorError> {
    releases::show_last(bucket, &entry.release, version, said.into_bytes())
}

/// What is said of a version: of its candidate, and of how it became one.
fn described(mut said: BTreeMap<String, Value>, version: u32, entry: &Entry) -> BTreeMap<String, Value> {
    let mut put = |key: &str, value: Value| said.insert(key.to_owned(), value);
    put("release", json!(entry.release));
    put("version", json!(version_name(version)));
    put("candidate", json!(entry.candidate));
    put("promoted", json!({ "at": clock::rfc3339(entry.at_ms), "by": entry.by, "reason": entry.reason, "gates": entry.gates }));
    let lineage = said.remove("lineage").unwrap_or_default();
    said.insert(
        "lineage".to_owned(),
        json!({ "artifacts": lineage, "action": entry.action, "actions": entry.lineage, "sources": entry.sources }),
    );
    said
}

/// Which versions there are, which is used, and all that happened.
fn list(history: &History) -> Value {
    let version = |(version, entry): (&u32, &&Entry)| {
        json!({
            "version": version_name(*version), "candidate": entry.candidate, "figures": entry.figures,
            "promoted": clock::rfc3339(entry.at_ms), "by": entry.by, "forced": entry.forced(),
        })
    };
    let act = |entry: &Entry| {
        json!({
            "entry": entry.sequence, "at": clock::rfc3339(entry.at_ms), "by": entry.by, "what": entry.act.word(), "channel": entry.channel,
            "version": version_name(entry.version), "reason": entry.reason,
        })
    };
    json!({
        "release": history.release(),
        CURRENT: history.at(CURRENT).map(|entry| version_name(entry.version)),
        "channels": history.channels().into_iter().map(|(channel, entry)| (channel, version_name(entry.version))).collect::<BTreeMap<_, _>>(),
        "versions": history.versions().iter().map(version).collect::<Vec<_>>(),
        "history": history.entries().iter().map(act).collect::<Vec<_>>(),
    })
}
