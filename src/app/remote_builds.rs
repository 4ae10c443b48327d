//! Owns what is asked of the mirror about builds. Invariant: it is asked only for what is not here, and what it says of a build is that build's own record or
//! nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use crate::base::digest::{ActionKey, BlobId, BuildId, Digest, DigestPrefix, ManifestId};
use crate::io::machine;
use crate::mirror::bucket::Bucket;
use crate::mirror::builds::{self, Announced, Told};
use crate::mirror::epochs::Epochs;
use crate::mirror::error::{MirrorError, MirrorResult};
use crate::mirror::pull;
use crate::mirror::transfer::each;
use crate::model::action::Input;
use crate::model::build::{Build, BuiltTarget};
use crate::model::result::ActionResult;
use crate::registry::journal::BuiltTargets;
use crate::store::action_cache::Session;

/// A build that was found in the mirror.
#[derive(Debug, Clone)]
pub struct Found {
    /// What is said of it.
    pub told: Told,
    /// What it left.
    pub targets: BuiltTargets,
    /// The target whose action or artifact it was found by, and the whole hash.
    pub by: Option<(String, Digest)>,
}

/// What a hash came to.
#[derive(Debug)]
pub enum Search {
    /// No build there has it.
    None,
    /// The build, or the first that has what begins so.
    One(Box<Found>),
    /// So many different things begin so.
    Many(usize),
}

/// What begins so → the places of the builds that have it, with the target and all that each left.
type Hits = BTreeMap<Digest, BTreeMap<usize, (String, BuiltTargets)>>;

/// How many builds went up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pushed {
    /// Builds that were not there and are now.
    pub builds: u64,
    /// Builds that were there before.
    pub there: u64,
    /// Builds of which something is not here any more.
    pub broken: u64,
    /// Bytes that went up.
    pub bytes: u64,
}

/// Puts builds of this workspace into the mirror, those that are not there; with `sources` the files of the warehouse that they read, too.
///
/// # Errors
/// When the bucket does not answer, the store cannot be read, or nobody would believe this machine.
pub fn push(bucket: &Bucket, session: &Session, journal: &[(BuildId, Build)], sources: bool) -> MirrorResult<Pushed> {
    let announced: BTreeSet<BuildId> = builds::announced(bucket)?.into_iter().map(|build| build.id).collect();
    let mut pushed = Pushed::default();
    for (id, build) in journal {
        if announced.contains(id) && of(bucket, *id)?.is_some() {
            pushed.there += 1;
            continue;
        }
        match builds::result_of(session.content(), (*id, build), &machine::who(), sources)? {
            Some(result) => {
                pushed.bytes += builds::push(bucket, session, *id, &result)?.bytes;
                pushed.builds += 1;
            }
            None => pushed.broken += 1,
        }
    }
    Ok(pushed)
}

/// The build with this hash.
///
/// # Errors
/// When the bucket does not answer.
pub fn of(bucket: &Bucket, id: BuildId) -> MirrorResult<Option<Told>> {
    let named: Vec<Announced> = builds::announced(bucket)?.into_iter().filter(|build| build.id == id).collect();
    Ok(builds::read(bucket, &named)?.into_iter().next())
}

/// The newest builds, at most `limit`, that are not among these.
///
/// # Errors
/// When the bucket does not answer.
pub fn newest(bucket: &Bucket, known: &BTreeSet<BuildId>, limit: usize) -> MirrorResult<Vec<Told>> {
    let mut announced = builds::announced(bucket)?;
    announced.retain(|build| !known.contains(&build.id));
    announced.truncate(limit);
    builds::read(bucket, &announced)
}

/// The last build that had ended by then, milliseconds since 1970 UTC.
///
/// # Errors
/// When the bucket does not answer, or the store cannot be written to.
pub fn ended_by(bucket: &Bucket, session: &Session, ms: u64) -> MirrorResult<Option<Found>> {
    for announced in builds::announced(bucket)?.into_iter().filter(|build| build.ended_ms <= ms) {
        let told = builds::read(bucket, &[announced])?.into_iter().next();
        if let Some(found) = told.map(|told| whole(bucket, session, told)).transpose()?.flatten() {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn whole(bucket: &Bucket, session: &Session, told: Told) -> MirrorResult<Option<Found>> {
    Ok(builds::targets(bucket, session, &told)?.map(|targets| Found { told, targets, by: None }))
}

/// The build whose hash begins so; where there is none, the first that has an action or artifact whose hash does.
///
/// # Errors
/// When the bucket does not answer, or the store cannot be written to.
pub fn beginning(bucket: &Bucket, session: &Session, prefix: &DigestPrefix) -> MirrorResult<Search> {
    let mut announced = builds::announced(bucket)?;
    let named: Vec<Announced> = announced.iter().copied().filter(|build| prefix.matches(&build.id.0)).collect();
    if !named.is_empty() {
        let mut told = builds::read(bucket, &named)?;
        return Ok(match told.len() {
            1 => told
                .pop()
                .map(|told| whole(bucket, session, told))
                .transpose()?
                .flatten()
                .map_or(Search::None, |found| Search::One(Box::new(found))),
            0 => Search::None,
            many => Search::Many(many),
        });
    }
    announced.reverse();
    let all: Vec<(usize, Told)> = builds::read(bucket, &announced)?.into_iter().enumerate().collect();
    let hits: Mutex<Hits> = Mutex::default();
    each(&all, |(place, told)| {
        let Some(targets) = builds::targets(bucket, session, told)? else { return Ok::<_, MirrorError>(()) };
        for (digest, name) in beginning_so(&targets, prefix) {
            let mut hits = hits.lock().unwrap_or_else(PoisonError::into_inner);
            hits.entry(digest).or_default().insert(*place, (name, targets.clone()));
        }
        Ok(())
    })?;
    let mut hits = hits.into_inner().unwrap_or_else(PoisonError::into_inner);
    if hits.len() > 1 {
        return Ok(Search::Many(hits.len()));
    }
    let first =
        hits.pop_first().and_then(|(digest, mut places)| places.pop_first().map(|(place, (name, targets))| (digest, place, name, targets)));
    let Some((digest, place, name, targets)) = first else { return Ok(Search::None) };
    let told = all.into_iter().find(|(at, _)| *at == place).map(|(_, told)| told);
    Ok(told.map_or(Search::None, |told| Search::One(Box::new(Found { told, targets, by: Some((name, digest)) }))))
}

/// Actions and artifacts of a build whose hashes begin so, with the target.
fn beginning_so(targets: &BuiltTargets, prefix: &DigestPrefix) -> BTreeMap<Digest, String> {
    let digests = |built: &BuiltTarget| std::iter::once(built.key.0).chain(built.artifacts.values().map(|id| id.0)).collect::<Vec<_>>();
    let hits = targets.iter().flat_map(|(name, built)| digests(built).into_iter().map(move |digest| (digest, name.clone())));
    hits.filter(|(digest, _)| prefix.matches(digest)).collect()
}

/// Takes the result that made what a build was found by from the mirror into the store, with what that was made from: its inputs, or all beneath it where
/// `deep`. What the mirror has not got is left out.
///
/// # Errors
/// When the bucket does not answer, or the store cannot be written to.
pub fn recall(bucket: &Bucket, session: &Session, found: &Found, deep: bool) -> MirrorResult<()> {
    let Some((target, _)) = &found.by else { return Ok(()) };
    let made_by: BTreeMap<ManifestId, ActionKey> =
        found.targets.values().flat_map(|built| built.artifacts.values().map(|id| (*id, built.key))).collect();
    let epochs = Epochs::of(bucket)?;
    let mut open: Vec<(ActionKey, bool)> = found.targets.get(target).map(|built| (built.key, true)).into_iter().collect();
    let mut seen = BTreeSet::new();
    while let Some((key, onwards)) = open.pop() {
        if !seen.insert(key) {
            continue;
        }
        let Some(result) = taken(bucket, &epochs, session, &key)? else { continue };
        if onwards {
            let below = result.action.inputs.values().filter_map(Input::artifact).filter_map(|id| made_by.get(id));
            open.extend(below.map(|key| (*key, deep)));
        }
    }
    Ok(())
}

fn taken(bucket: &Bucket, epochs: &Epochs, session: &Session, key: &ActionKey) -> MirrorResult<Option<ActionResult>> {
    if let Some(result) = session.lookup(key)? {
        return Ok(Some(result));
    }
    // The index is not held while the mirror is asked.
    session.release()?;
    Ok(pull::pull(bucket, epochs, session, key)?.map(|pulled| pulled.result))
}

/// Brings the bytes of a file or table that some build read into the store; says whether they are there now.
///
/// # Errors
/// When the bucket does not answer, or the store cannot be written to.
pub fn source(bucket: &Bucket, session: &Session, blob: &BlobId) -> MirrorResult<bool> {
    for announced in builds::announced(bucket)? {
        let Some(told) = builds::read(bucket, &[announced])?.into_iter().next() else { continue };
        let Some(grounds) = builds::grounds(bucket, session, &told)? else { continue };
        if grounds.files.files.values().any(|entry| entry.blob == *blob) {
            return Ok(true);
        }
        let holds = |input: &Option<Input>| matches!(input, Some(Input::File { blob: held, .. }) if held == blob);
        if let Some((table, _)) = grounds.tables.iter().find(|(_, input)| holds(input))
            && builds::table(bucket, session, &told, table)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}
