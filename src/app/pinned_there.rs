//! Owns pins in the mirror. Invariant: what is pinned here is pinned there, so that no prune takes it away, whoever runs it.

use std::collections::BTreeSet;

use crate::app::mirroring::problems;
use crate::app::pinned;
use crate::app::problem::{self, Outcome};
use crate::base::digest::{ActionKey, Digest, DigestPrefix};
use crate::io::machine;
use crate::mirror::bucket::Bucket;
use crate::mirror::builds;
use crate::mirror::pins;
use crate::model::result::ActionResult;
use crate::registry::journal::{BuiltTargets, Journal, JournalError};
use crate::store::action_cache::Session;

/// Pins in the mirror what is pinned here, or takes that back.
///
/// # Errors
/// When the mirror does not answer, or the store cannot be read.
pub fn tell(bucket: &Bucket, session: &Session, results: &[ActionResult], hash: &Digest, remove: bool) -> Outcome<()> {
    let wish = pins::wish(&machine::who(), hash);
    if remove {
        return pins::take_back(bucket, &wish).map_err(problems);
    }
    let mut keys: BTreeSet<ActionKey> = left(bucket, session, hash)?.values().map(|built| built.key).collect();
    keys.extend(builds::announced(bucket).map_err(problems)?.into_iter().filter(|build| build.id.0 == *hash).map(|build| build.key));
    let named = |result: &&ActionResult| result.key.0 == *hash || result.outputs.values().any(|files| files.id().0 == *hash);
    keys.extend(results.iter().filter(named).map(|result| result.key));
    pins::put(bucket, &keys, &wish).map_err(problems)
}

/// Pins in the mirror all that is pinned here.
///
/// # Errors
/// As for one.
pub fn tell_all(bucket: &Bucket, session: &Session, results: &[ActionResult]) -> Outcome<()> {
    for hash in pinned::all(session.root()).map_err(problem::stores)?.keys() {
        tell(bucket, session, results, hash, false)?;
    }
    Ok(())
}

/// What the build with this hash left; nothing where it is no build's.
fn left(bucket: &Bucket, session: &Session, hash: &Digest) -> Outcome<BuiltTargets> {
    let Ok(whole) = hash.to_string().parse::<DigestPrefix>() else { return Ok(BuiltTargets::new()) };
    let found = Journal::open(session.root()).and_then(|mut journal| journal.find(&whole));
    match found.and_then(|(id, build)| Journal::targets(session.content(), id, &build)) {
        Ok(targets) => return Ok(targets),
        Err(JournalError::Unknown { .. } | JournalError::TargetsLost { .. }) => {}
        Err(error) => return Err(problem::journal(error)),
    }
    let named: Vec<_> = builds::announced(bucket).map_err(problems)?.into_iter().filter(|build| build.id.0 == *hash).collect();
    for told in builds::read(bucket, &named).map_err(problems)? {
        if let Some(targets) = builds::targets(bucket, session, &told).map_err(problems)? {
            return Ok(targets);
        }
    }
    Ok(BuiltTargets::new())
}
