//! Owns the workspace's state: what the last build left of every target. Invariant: it is read from the journal, never guessed.

use crate::registry::journal::{BuiltTargets, Journal, JournalError};
use crate::store::action_cache::Session;
use crate::store::content::ContentStore;

/// What the last build left of every target; nothing where there was none, or where its list is lost.
///
/// # Errors
/// When the journal cannot be read.
pub fn targets(session: &Session) -> Result<BuiltTargets, JournalError> {
    from(&mut Journal::open(session.root())?, session.content())
}

/// The same from an open journal.
///
/// # Errors
/// When the journal cannot be read.
pub fn from(journal: &mut Journal, store: &dyn ContentStore) -> Result<BuiltTargets, JournalError> {
    match journal.last()? {
        Some((id, build)) => or_lost(Journal::targets(store, id, &build)),
        None => Ok(BuiltTargets::new()),
    }
}

/// A lost list costs words, not a build: reasons are shorter, and links in `out/` are made anew.
fn or_lost(targets: Result<BuiltTargets, JournalError>) -> Result<BuiltTargets, JournalError> {
    match targets {
        Err(JournalError::TargetsLost { .. }) => Ok(BuiltTargets::new()),
        other => other,
    }
}
