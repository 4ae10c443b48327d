//! Owns the workspace's state: what the last build left of every target. Invariant: it is read from the journal, never guessed.

use crate::model::build::Build;
use crate::registry::journal::{BuiltTargets, Journal, JournalError};
use crate::store::action_cache::Session;

/// What the last build left of every target; nothing where there was none, or where its list is lost.
///
/// # Errors
/// When the journal cannot be read.
pub fn targets(session: &Session) -> Result<BuiltTargets, JournalError> {
    match Journal::open(session.root())?.last()? {
        Some((id, build)) => or_lost(Journal::targets(session.content(), id, &build)),
        None => Ok(BuiltTargets::new()),
    }
}

/// Appends a build and the state it left.
///
/// # Errors
/// When the disk refuses.
pub fn record(session: &Session, build: Build, state: &BuiltTargets) -> Result<(), JournalError> {
    Journal::open(session.root())?.append(session.content(), build, state)?;
    Ok(())
}

/// A lost list costs words, not a build: reasons are shorter, and links in `out/` are made anew.
fn or_lost(targets: Result<BuiltTargets, JournalError>) -> Result<BuiltTargets, JournalError> {
    match targets {
        Err(JournalError::TargetsLost { .. }) => Ok(BuiltTargets::new()),
        other => other,
    }
}
