//! Owns what a build runs with. Invariant: nothing of it changes while the build goes on, but for the wish to stop it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use serde_json::Value;

use crate::exec::deliver::Deliveries;
use crate::exec::failure::Failure;
use crate::exec::pool::Budget;
use crate::exec::runner::Job;
use crate::graph::build::Node;
use crate::mirror::client::Mirror;
use crate::model::action::Input;
use crate::model::build::BuiltTarget;
use crate::model::recipe::Source;
use crate::model::result::{ActionResult, Cost};
use crate::plan::judge::Judge;
use crate::plan::key::Identities;
use crate::store::action_cache::Session;
use crate::store::error::StoreError;

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
    /// Where steps deliver to.
    pub deliveries: &'a Deliveries,
    /// Where results of other machines are, in no key.
    pub mirror: Option<&'a Mirror>,
    /// How verdicts of checks are taken.
    pub judge: &'a Judge,
    /// How steps that read from outside reach it; in no key.
    pub reach: Option<&'a Value>,
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

    /// What the job's action made, where it need not run.
    pub(super) fn known(&self, job: &Job) -> Result<Option<ActionResult>, StoreError> {
        self.deliveries.lookup(self.session, &job.target, &job.action)
    }

    /// Why it runs, in words. A result that cannot be read only makes them fewer.
    pub(super) fn why(&self, job: &Job) -> String {
        let last = self.last.get(&job.target);
        let before = last.and_then(|b| self.session.lookup(&b.key).ok().flatten());
        self.deliveries.reason(self.session, &job.target, (before.as_ref().map(|r| &r.action), last.is_some()), &job.action)
    }
}
