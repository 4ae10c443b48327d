//! Owns `cbi mirror prune`. Invariant: nothing is changed unless it is asked to be, and what a kept build of this workspace left stays.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use crate::app::mirror;
use crate::app::mirroring::problems;
use crate::app::problem::Outcome;
use crate::app::upkeep::{self, Span};
use crate::app::workspace::Options;
use crate::base::clock;
use crate::base::digest::ActionKey;
use crate::mirror::prune::{self, Ask, Plan, Pruned};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// Builds of this workspace whose results stay; of its days, results of whatever workspace do.
    pub span: Span,
    /// How long an epoch is left lying after its fence.
    pub grace: Duration,
    /// Whether to do it; else it is only said.
    pub apply: bool,
}

/// What goes and what stays, and what was done about it.
#[derive(Debug, Clone, Serialize)]
pub struct Told {
    /// The mirror.
    pub url: String,
    /// How it is now; where something was done: how it is after that.
    pub plan: Plan,
    /// What was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done: Option<Pruned>,
    /// How long an epoch is left lying, milliseconds.
    pub grace_ms: u64,
}

/// Shows what of the mirror nobody needs, and throws it away where that is wished.
///
/// # Errors
/// When there is no mirror, it does not answer, or it cannot be said what this workspace's builds need.
pub fn prune(options: &Options, wish: Wish) -> Outcome<Told> {
    let (_, session, bucket) = mirror::open(options, None)?;
    // Asked once: what is built meanwhile is put into the newest epoch by its own build, which looks for a fence when it is done.
    let live: BTreeSet<ActionKey> = upkeep::keep(&session, wish.span)?.0.actions.into_iter().collect();
    let now_ms = clock::now_ms();
    let since_ms = (wish.span.days > 0).then(|| now_ms.saturating_sub(u64::from(wish.span.days) * DAY_MS));
    let grace_ms = u64::try_from(wish.grace.as_millis()).unwrap_or(u64::MAX);
    let ask = Ask { live: &live, since_ms, grace_ms, now_ms };
    let done = if wish.apply { Some(prune::apply(&bucket, &ask).map_err(problems)?) } else { None };
    let plan = prune::plan(&bucket, &ask).map_err(problems)?;
    Ok(Told { url: bucket.url().to_owned(), plan, done, grace_ms })
}
