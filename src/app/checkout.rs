//! Owns `cbi checkout`. Invariant: what lies in the folder has the hash that was asked for, wherever its bytes came from; it lies there whole or not at all.

use std::collections::BTreeMap;
use std::path::Path;

use crate::app::get::{self, Got};
use crate::app::mirroring;
use crate::app::past::{self, At};
use crate::app::problem::{self, Outcome};
use crate::app::resolve::{Records, Thing};
use crate::app::workspace::{Options, Workspace};
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::base::digest::{DigestPrefix, ManifestId};
use crate::mirror::artifact;
use crate::mirror::bucket::Bucket;
use crate::model::manifest::Manifest;
use crate::store::action_cache::Session;
use crate::store::content::ContentStore;

/// Copies an artifact, or all of a target's, into `folder`: as it is now, or as a past build left it; from the store, and what is not there from the mirror.
///
/// # Errors
/// When there is no such thing, its bytes are nowhere, the folder is not free, or the disk refuses.
pub fn checkout(options: &Options, text: &str, at: Option<&At>, folder: &Path) -> Outcome<Got> {
    get::check_free(folder)?;
    let workspace = Workspace::open(options)?;
    let records = Records::open_if_any(options)?;
    let known = match (&records, at) {
        (Some(records), Some(at)) => Some(then(records, at, text)?),
        (None, Some(_)) => return Err(vec![Diagnostic::new(ExitCode::Usage, "nothing was ever built here")]),
        (Some(records), None) => here(records, text)?,
        (None, None) => None,
    };
    let session = match records {
        Some(records) => records.session,
        None => Session::open(&workspace.cache()).map_err(problem::stores)?,
    };
    let _reading = session.root().building().map_err(problem::stores)?;
    // A mirror that is not there is missed only by who needs it.
    let opened = mirroring::bucket(&workspace, session.root(), None)?;
    let bucket = || match &opened {
        Some(Ok(bucket)) => Ok(Some(bucket)),
        Some(Err(error)) => Err(mirroring::missing(error)),
        None => Ok(None),
    };
    let (target, ids) = match known {
        Some(known) => known,
        None => (text.to_owned(), BTreeMap::from([(String::new(), in_mirror(bucket()?, text)?)])),
    };
    let mut artifacts = BTreeMap::new();
    for (name, (id, files)) in ids {
        artifacts.insert(name, whole(&session, &bucket, &id, files)?);
    }
    get::put(&session, target, &artifacts, folder)
}

/// Artifact → its hash, and its files where they are recorded here.
type Wanted = BTreeMap<String, (ManifestId, Option<Manifest>)>;

/// What a text stands for now; nothing where it is unknown here and could be the beginning of a hash.
fn here(records: &Records, text: &str) -> Outcome<Option<(String, Wanted)>> {
    let made = match records.find(text) {
        Ok(Thing::Target { made, .. } | Thing::Action(made)) => made,
        Ok(Thing::Artifact(one)) => {
            let wanted = BTreeMap::from([(one.name.clone(), (one.id, Some(one.files)))]);
            return Ok(Some((one.made.target, wanted)));
        }
        Ok(_) => return records.artifact(text).map(|_| None),
        Err(problems) => match text.parse::<DigestPrefix>() {
            Ok(prefix) if records.knows_none(&prefix)? => return Ok(None),
            _ => return Err(problems),
        },
    };
    let wanted = made.outputs.iter().map(|(name, files)| (name.clone(), (files.id(), Some(files.clone())))).collect();
    Ok(Some((made.target, wanted)))
}

/// What a past build left of a target.
fn then(records: &Records, at: &At, text: &str) -> Outcome<(String, Wanted)> {
    let bucket = mirroring::bucket(&records.workspace, records.session.root(), None)?.and_then(Result::ok);
    let past = past::find(records, bucket.as_ref(), at)?;
    let (name, only) = text.split_once('#').map_or((text, None), |(name, only)| (name, Some(only)));
    let usage = |message: String| vec![Diagnostic::new(ExitCode::Usage, message).hint(format!("cbi show {}", past.id.0.short()))];
    let built = past.targets.get(name).ok_or_else(|| usage(format!("build {} left nothing of '{name}'", past.id.0.short())))?;
    let files = |id: &ManifestId| records.maker(id).map(|(made, name)| made.outputs[name].clone());
    let chosen = built.artifacts.iter().filter(|(name, _)| only.is_none_or(|only| only == *name));
    let wanted: Wanted = chosen.map(|(name, id)| (name.clone(), (*id, files(id)))).collect();
    if wanted.is_empty() { Err(usage(format!("'{name}' had no such artifact"))) } else { Ok((name.to_owned(), wanted)) }
}

/// The one artifact in the mirror whose hash begins so.
fn in_mirror(bucket: Option<&Bucket>, text: &str) -> Outcome<(ManifestId, Option<Manifest>)> {
    let usage = |message: String, hint: &str| vec![Diagnostic::new(ExitCode::Usage, message).hint(hint)];
    let prefix: DigestPrefix = text.parse().map_err(|_| usage(format!("'{text}' was never built here"), "cbi build makes it"))?;
    let found = bucket.map(|bucket| artifact::named(bucket, &prefix)).transpose().map_err(mirroring::problems)?.unwrap_or_default();
    let place = if bucket.is_some() { "neither here nor in the mirror" } else { "not here" };
    match found.len() {
        1 => found.first().map(|id| (*id, None)).ok_or_else(Vec::new),
        0 => Err(usage(format!("an artifact whose hash begins with '{text}' is {place}"), "cbi log lists builds")),
        many => Err(usage(format!("'{text}' is the beginning of {many} hashes in the mirror"), "type more of it")),
    }
}

/// An artifact's files, all of them in the store: what is missing is brought from the mirror.
fn whole<'b>(
    session: &Session,
    bucket: &dyn Fn() -> Outcome<Option<&'b Bucket>>,
    id: &ManifestId,
    files: Option<Manifest>,
) -> Outcome<Manifest> {
    let there =
        |files: &Manifest| files.files.values().all(|f| matches!(session.content().size_of(&f.blob), Ok(Some(size)) if size == f.size));
    if let Some(files) = files.filter(there) {
        return Ok(files);
    }
    // The index is not held while the mirror is asked.
    session.release().map_err(problem::stores)?;
    let bucket = bucket()?;
    let brought = bucket.map(|bucket| artifact::bring(bucket, session, id)).transpose().map_err(mirroring::problems)?.flatten();
    brought.ok_or_else(|| {
        let place = if bucket.is_some() { "neither in the store nor in the mirror" } else { "not in the store" };
        let problem = Diagnostic::new(ExitCode::Usage, format!("the bytes of artifact {} are {place} any more", id.0.short()));
        vec![problem.hint("cbi build --at BUILD makes them again, where that build is still known")]
    })
}
