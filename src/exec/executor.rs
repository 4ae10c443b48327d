//! Owns what a build runs with. Invariant: nothing of it changes while the build goes on, but for the wish to stop it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use crate::exec::failure::Failure;
use crate::exec::pool::Budget;
use crate::graph::build::Node;
use crate::model::action::Input;
use crate::model::build::BuiltTarget;
use crate::model::recipe::Source;
use crate::model::result::Cost;
use crate::plan::judge::Judge;
use crate::plan::key::Identities;
use crate::store::action_cache::Session;

/// Everything a build runs with.
pub struct Executor<'a> {
    /// The cache folder: its blobs and its results.
    pub session: &'a Session,
    /// What runs actions here.
    pub identities: &'a Identities,
    /// Threads and memory for steps running side by side.
    pub budget: Budget,
    /// Whether to go on with what does not depend on a failure.
    pub keep_going: bool,
    /// Set to stop the build.
    pub cancel: &'a AtomicBool,
    /// What the last build made of a target.
    pub last: &'a BTreeMap<String, BuiltTarget>,
    /// How verdicts of checks are taken.
    pub judge: &'a Judge,
    /// Tells the place in a recipe or query that a failure is about.
    pub locate: &'a dyn Fn(&Node, &Failure) -> Option<String>,
}

/// Pins a file or a warehouse table: its content's identity, and where it is.
pub type Observe<'a> = &'a dyn Fn(&Source) -> Result<(Input, PathBuf), Failure>;

impl Executor<'_> {
    /// What the target's newest run cost; not knowing it only makes the order worse.
    pub(super) fn history(&self, node: &Node) -> Option<Cost> {
        self.session.cost_of(&node.stanza.kind, node.stanza.name.as_str()).ok().flatten()
    }
}
