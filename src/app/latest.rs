//! Owns the workspace's state: what the last build left of every target. Invariant: it is read from the log of builds, never guessed.

use std::collections::{BTreeMap, HashMap};

use crate::model::build::{Build, BuiltTarget};
use crate::registry::journal::Journal;
use crate::store::action_cache::Session;
use crate::store::content::ContentStore;
use crate::store::error::StoreError;

/// What the last build left of every target; nothing where there was none, or where its record is damaged.
///
/// # Errors
/// When the log of builds cannot be read.
pub fn targets(session: &Session) -> Result<HashMap<String, BuiltTarget>, StoreError> {
    match Journal::open(session.root())?.last()? {
        Some((_, build)) => of_build(session, &build),
        None => Ok(HashMap::new()),
    }
}

/// The state that a build left.
///
/// # Errors
/// When the store cannot be asked.
pub fn of_build(session: &Session, build: &Build) -> Result<HashMap<String, BuiltTarget>, StoreError> {
    let bytes = session.content().read(&build.targets)?;
    Ok(bytes.and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default())
}

/// Whether `state` is not what the last build left.
///
/// # Errors
/// When the log of builds cannot be read.
pub fn differs(session: &Session, state: &BTreeMap<String, BuiltTarget>) -> Result<bool, StoreError> {
    let last = targets(session)?;
    Ok(last.len() != state.len() || state.iter().any(|(name, built)| last.get(name) != Some(built)))
}

/// Appends a build to the log of builds.
///
/// # Errors
/// When the disk refuses.
pub fn record(session: &Session, build: &Build) -> Result<(), StoreError> {
    Journal::open(session.root())?.append(build)?;
    Ok(())
}
