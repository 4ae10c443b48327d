//! Owns what changed inside an input that differs. Invariant: it only adds words to a difference; where it cannot look inside, it says nothing.

use crate::app::workspace::Workspace;
use crate::model::action::Action;
use crate::plan::explain::Difference;
use crate::store::action_cache::Session;

/// Which rows and columns of a table differ, where the difference is a table's.
#[must_use]
pub fn of_input(_session: &Session, _workspace: &Workspace, _difference: &Difference, _before: &Action, _after: &Action) -> Option<String> {
    None
}
