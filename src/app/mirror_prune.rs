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
use crate::mirror::bucket::Bucket;
use crate::mirror::builds::{self, Announced};
use crate::mirror::pins;
use crate::mirror::prune::{self, Ask, Plan, Pruned};
use crate::store::action_cache::Session;

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
    /// Builds that stay in it.
    pub builds_stay: u64,
    /// Builds that go, or went.
    pub builds_go: u64,
    /// How long an epoch is left lying, milliseconds.
    pub grace_ms: u64,
}

/// The builds in the mirror, told apart.
struct Builds {
    going: Vec<Announced>,
    staying: u64,
    /// What the staying ones left.
    live: BTreeSet<ActionKey>,
}

impl Builds {
    /// The newest of them stay, whoever built, those of the last days, those that this workspace keeps, and those that somebody pinned.
    fn of(session: &Session, bucket: &Bucket, span: Span, since_ms: Option<u64>) -> Outcome<Self> {
        let here = upkeep::kept_builds(session, span)?;
        let pinned = pins::pinned(bucket).map_err(problems)?;
        let all = builds::announced(bucket).map_err(problems)?;
        let stays = |place: usize, build: &Announced| {
            let young = since_ms.is_some_and(|since| build.ended_ms >= since);
            place < span.builds.max(1) || young || here.contains(&build.id) || pinned.contains(&build.key)
        };
        let (staying, going): (Vec<_>, Vec<_>) = all.into_iter().enumerate().partition(|(place, build)| stays(*place, build));
        let (staying, going) = [staying, going].map(|builds| builds.into_iter().map(|(_, build)| build).collect::<Vec<_>>()).into();
        let mut live = BTreeSet::new();
        for told in builds::read(bucket, &staying).map_err(problems)? {
            // What one left that is not whole there is made again.
            let targets = builds::targets(bucket, session, &told).map_err(problems)?.unwrap_or_default();
            live.extend(targets.values().map(|built| built.key));
        }
        Ok(Self { going, staying: staying.len() as u64, live })
    }
}

/// Shows what of the mirror nobody needs, and throws it away where that is wished.
///
/// # Errors
/// When there is no mirror, it does not answer, or it cannot be said what this workspace's builds need.
pub fn prune(options: &Options, wish: Wish) -> Outcome<Told> {
    let (_, session, bucket) = mirror::open(options, None)?;
    // Asked once: what is built meanwhile is put into the newest epoch by its own build, which looks for a fence when it is done.
    let (keep, _) = upkeep::keep(&session, wish.span)?;
    let mut live: BTreeSet<ActionKey> = keep.actions.into_iter().collect();
    let now_ms = clock::now_ms();
    let since_ms = (wish.span.days > 0).then(|| now_ms.saturating_sub(u64::from(wish.span.days) * DAY_MS));
    let grace_ms = u64::try_from(wish.grace.as_millis()).unwrap_or(u64::MAX);
    let builds = Builds::of(&session, &bucket, wish.span, since_ms)?;
    live.extend(&builds.live);
    let let_go = builds.going.iter().map(|build| build.key).collect();
    let ask = Ask { live: &live, let_go: &let_go, since_ms, grace_ms, now_ms };
    if wish.apply {
        for build in &builds.going {
            builds::let_go(&bucket, build).map_err(problems)?;
        }
    }
    let done = if wish.apply { Some(prune::apply(&bucket, &ask).map_err(problems)?) } else { None };
    let plan = prune::plan(&bucket, &ask).map_err(problems)?;
    Ok(Told { url: bucket.url().to_owned(), plan, done, builds_stay: builds.staying, builds_go: builds.going.len() as u64, grace_ms })
}
