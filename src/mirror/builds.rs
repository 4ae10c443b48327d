//! Owns builds in a mirror: what a build left and stood on, as one more result. Invariant: a build is announced before it is pushed, and is there only when its
//! record is believed; what is announced and not there promises nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::base::digest::{ActionKey, BlobId, BuildId, ManifestId};
use crate::mirror::artifact;
use crate::mirror::bucket::Bucket;
use crate::mirror::epochs::Epochs;
use crate::mirror::error::{MirrorError, MirrorResult};
use crate::mirror::push::{self, Pushed};
use crate::mirror::records;
use crate::mirror::transfer::filter_map;
use crate::model::action::{Action, Input};
use crate::model::build::{Build, BuiltTarget};
use crate::model::grounds::Grounds;
use crate::model::manifest::{FileEntry, Manifest};
use crate::model::result::ActionResult;
use crate::store::action_cache::Session;
use crate::store::content::ContentStore;
use crate::store::error::StoreResult;

/// Where builds are announced.
const BUILDS: &str = "builds/";
/// The kind of a build's record. No recipe has it.
const KIND: &str = "build";
/// Raised when a build lies there otherwise.
const VERSION: u32 = 1;

/// What it left of every target.
const TARGETS: &str = "targets";
/// What it stood on.
const GROUNDS: &str = "grounds";
/// What an artifact with a table begins with.
const TABLE: &str = "table:";

/// The file of the list of targets.
const TARGETS_FILE: &str = "targets.json";
/// The file that says what it stood on, and the folder of the files it names.
const GROUNDS_FILE: &str = "grounds.json";
const FILES: &str = "files";

/// A build that is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Announced {
    /// When it ended, milliseconds since 1970 UTC.
    pub ended_ms: u64,
    /// Its hash.
    pub id: BuildId,
    /// The action under which its record lies.
    pub key: ActionKey,
}

/// A build whose record is believed.
#[derive(Debug, Clone)]
pub struct Told {
    /// Its hash.
    pub id: BuildId,
    /// Its record in the journal.
    pub build: Build,
    /// Who built: `user@host`.
    pub by: String,
    artifacts: BTreeMap<String, ManifestId>,
}

/// What a record says of its build.
#[derive(Debug, Serialize, Deserialize)]
struct Params {
    /// The line of the journal, word for word.
    record: String,
    by: String,
}

impl Announced {
    fn name(&self) -> String {
        format!("{BUILDS}{:014}-{}.{}", self.ended_ms, self.id, self.key)
    }

    fn parse(name: &str) -> Option<Self> {
        let (ended, rest) = name.strip_prefix(BUILDS)?.split_once('-')?;
        let (id, key) = rest.split_once('.')?;
        let found = Self { ended_ms: ended.parse().ok()?, id: BuildId(id.parse().ok()?), key: ActionKey(key.parse().ok()?) };
        (found.name() == name).then_some(found)
    }
}

/// A build as a result that can be pushed, with `sources` also the files of the warehouse that it read; `None` where something of that is not in the store any
/// more.
///
/// # Errors
/// When the store cannot be read.
pub fn result_of(store: &dyn ContentStore, (id, build): (BuildId, &Build), by: &str, sources: bool) -> StoreResult<Option<ActionResult>> {
    let file = |blob: &BlobId| StoreResult::Ok(store.size_of(blob)?.map(|size| FileEntry { blob: *blob, size, executable: false }));
    let Some(grounds_blob) = &build.grounds else { return Ok(None) };
    let Some((targets, grounds_file)) = file(&build.targets)?.zip(file(grounds_blob)?) else { return Ok(None) };
    let Some(grounds) = store.read(grounds_blob)?.and_then(|bytes| serde_json::from_slice::<Grounds>(&bytes).ok()) else { return Ok(None) };
    let files = grounds.files.files.iter().map(|(path, entry)| (format!("{FILES}/{path}"), *entry));
    let mut outputs = vec![
        (TARGETS.to_owned(), Manifest::new([(TARGETS_FILE.to_owned(), targets)])),
        (GROUNDS.to_owned(), Manifest::new(files.chain([(GROUNDS_FILE.to_owned(), grounds_file)]))),
    ];
    for (table, input) in grounds.tables.iter().filter(|_| sources) {
        let Some(Input::File { blob, name, .. }) = input else { continue };
        let Some(entry) = file(blob)? else { return Ok(None) };
        outputs.push((format!("{TABLE}{table}"), Manifest::new([(name.clone(), entry)])));
    }
    let outputs: Result<BTreeMap<String, Manifest>, _> =
        outputs.into_iter().map(|(name, files)| files.map(|files| (name, files))).collect();
    let Some((outputs, payload)) = outputs.ok().zip(build.to_record().ok()) else { return Ok(None) };
    // A record that a later cbi wrote may hold more than this one knows.
    if Build::id_of(&payload) != id {
        return Ok(None);
    }
    let params = Params { record: String::from_utf8_lossy(&payload).into_owned(), by: by.to_owned() };
    let action = Action { outputs: outputs.keys().cloned().collect(), ..Action::plain(KIND, VERSION, json!(params)) };
    Ok(Some(ActionResult::plain(action, format!("build {}", id.0.short()), outputs, build.ended_ms)))
}

/// Announces a build and puts it there.
///
/// # Errors
/// As a push.
pub fn push(bucket: &Bucket, session: &Session, id: BuildId, build: &ActionResult) -> MirrorResult<Pushed> {
    if bucket.trust().is_mute() {
        return Err(MirrorError::Mute);
    }
    bucket.put_if_absent(&Announced { ended_ms: build.ended_ms, id, key: build.key }.name(), Vec::new())?;
    push::push(bucket, session.content(), std::slice::from_ref(build))
}

/// Takes back that a build is there: the next prune takes its record along.
///
/// # Errors
/// When the bucket does not answer.
pub fn let_go(bucket: &Bucket, build: &Announced) -> MirrorResult<()> {
    bucket.delete(&build.name())
}

/// The builds that are announced, the newest first.
///
/// # Errors
/// When the bucket does not answer.
pub fn announced(bucket: &Bucket) -> MirrorResult<Vec<Announced>> {
    let mut found: Vec<Announced> = bucket.list(BUILDS)?.iter().filter_map(|listed| Announced::parse(&listed.name)).collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    Ok(found)
}

/// The actions under which announced builds lie: their records stay.
///
/// # Errors
/// When the bucket does not answer.
pub fn keys(bucket: &Bucket) -> MirrorResult<BTreeSet<ActionKey>> {
    Ok(announced(bucket)?.into_iter().map(|build| build.key).collect())
}

/// Those of these builds that are there, in their order, each once.
///
/// # Errors
/// When the bucket does not answer.
pub fn read(bucket: &Bucket, builds: &[Announced]) -> MirrorResult<Vec<Told>> {
    let epochs = Epochs::of(bucket)?;
    let mut found = filter_map(builds, |build| read_one(bucket, &epochs, build))?;
    let mut seen = BTreeSet::new();
    found.retain(|told| seen.insert(told.id));
    Ok(found)
}

fn read_one(bucket: &Bucket, epochs: &Epochs, announced: &Announced) -> MirrorResult<Option<Told>> {
    for epoch in epochs.readable() {
        let Some(record) = records::get(bucket, epoch, &announced.key)? else { continue };
        let action = &record.result.action;
        let params = serde_json::from_value::<Params>(action.params.clone()).ok();
        let Some(params) = params.filter(|_| action.kind == KIND && action.version == VERSION) else { continue };
        let honest = Build::id_of(params.record.as_bytes()) == announced.id;
        if let Some(build) =
            serde_json::from_str::<Build>(&params.record).ok().filter(|build| honest && build.ended_ms == announced.ended_ms)
        {
            return Ok(Some(Told { id: announced.id, build, by: params.by, artifacts: record.artifacts }));
        }
    }
    Ok(None)
}

/// What a build left of every target, brought into the store; `None` where it is not whole in the mirror.
///
/// # Errors
/// When the bucket does not answer, or the store cannot be written to.
pub fn targets(bucket: &Bucket, session: &Session, build: &Told) -> MirrorResult<Option<BTreeMap<String, BuiltTarget>>> {
    let Some(id) = build.artifacts.get(TARGETS) else { return Ok(None) };
    if session.content().size_of(&build.build.targets)?.is_none() && artifact::bring(bucket, session, id)?.is_none() {
        return Ok(None);
    }
    Ok(session.content().read(&build.build.targets)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// What a build stood on, brought into the store with its files and without its tables; `None` where it is not whole in the mirror.
///
/// # Errors
/// When the bucket does not answer, or the store cannot be written to.
pub fn grounds(bucket: &Bucket, session: &Session, build: &Told) -> MirrorResult<Option<Grounds>> {
    let Some((id, blob)) = build.artifacts.get(GROUNDS).zip(build.build.grounds) else { return Ok(None) };
    if artifact::bring(bucket, session, id)?.is_none() {
        return Ok(None);
    }
    let read = session.content().read(&blob)?.and_then(|bytes| serde_json::from_slice::<Grounds>(&bytes).ok());
    Ok(read.filter(is_inside))
}

/// Whether nothing that is named could lie outside its folder or over another: the files are laid out under these names, and steps see tables under theirs.
fn is_inside(grounds: &Grounds) -> bool {
    let plain = |name: &str| !name.contains(['/', '\\', '\0']) && !matches!(name, "" | "." | "..");
    let files = Manifest::new(grounds.files.files.clone()).is_ok_and(|files| files == grounds.files);
    files && grounds.tables.values().flatten().all(|input| matches!(input, Input::File { name, .. } if plain(name)))
}

/// Brings a table that a build read into the store; says whether it is there now.
///
/// # Errors
/// When the bucket does not answer, or the store cannot be written to.
pub fn table(bucket: &Bucket, session: &Session, build: &Told, table: &str) -> MirrorResult<bool> {
    let Some(id) = build.artifacts.get(&format!("{TABLE}{table}")) else { return Ok(false) };
    Ok(artifact::bring(bucket, session, id)?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::Digest;

    #[test]
    fn a_name_says_when_a_build_ended_and_nothing_else_is_one() {
        let build = Announced { ended_ms: 1_764_000_000_123, id: BuildId(Digest::of(b"a")), key: ActionKey(Digest::of(b"b")) };
        let earlier = Announced { ended_ms: 999, ..build };
        assert_eq!(Announced::parse(&build.name()), Some(build));
        assert!(earlier.name() < build.name(), "a list by name is one by time");
        for wrong in ["builds/", "builds/1-x.y", &build.name()[1..], &format!("{}.x", build.name()), &build.name().replace('-', "-0")] {
            assert_eq!(Announced::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn grounds_that_lead_out_of_their_folder_are_refused() {
        let entry = FileEntry { blob: BlobId(Digest::of(b"x")), size: 1, executable: false };
        let grounds = |file: &str, table: &str| Grounds {
            files: Manifest { files: BTreeMap::from([(file.to_owned(), entry)]) },
            tables: BTreeMap::from([("a.b".to_owned(), Some(Input::File { blob: entry.blob, name: table.to_owned(), executable: false }))]),
            ..Grounds::default()
        };
        assert!(is_inside(&grounds("recipes/a.toml", "a.b.csv")));
        for (file, table) in
            [("../x", "a.csv"), ("/etc/x", "a.csv"), ("a/../../x", "a.csv"), ("x", "../a.csv"), ("x", "/a.csv"), ("x", "..")]
        {
            assert!(!is_inside(&grounds(file, table)), "{file} {table}");
        }
    }
}
