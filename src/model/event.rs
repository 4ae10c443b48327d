//! Owns the events of a build. Invariant: whatever a reporter shows comes from these, so every reporter can show the same build.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::base::digest::{ActionKey, BuildId, ManifestId};
use crate::model::build::Counts;
use crate::model::progress::Progress;
use crate::model::result::Cost;

/// Takes the events of one build as they happen. It only shows: nothing it does, and no failure to write, changes the build.
pub trait EventSink {
    /// Takes one event. The last one is `Event::Finished`.
    fn event(&mut self, event: &Event);

    /// Called several times a second, so that what moves with time can be redrawn.
    fn tick(&mut self);

    /// Takes how long the build will still take, as far as that is known; asked for again about once a second.
    fn left(&mut self, _left: Option<TimeLeft>) {}
}

/// How long a build will still take, by what its steps took before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLeft {
    /// Milliseconds.
    pub ms: u64,
    /// Whether all that is left will run; else some of it may turn out to be fresh, and the time to be shorter.
    pub sure: bool,
}

/// One thing that happened in a build, in the order it happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A remote warehouse was looked at, before the plan was made.
    Observed {
        /// Tables that the build reads from it.
        tables: u64,
        /// The instant that all of them are read at, milliseconds since 1970 by the warehouse's clock.
        instant_ms: i64,
        /// When they were seen, where the warehouse was not asked now, milliseconds since 1970.
        #[serde(skip_serializing_if = "Option::is_none")]
        seen_ms: Option<u64>,
    },
    /// The plan is made; up to `total` steps may run.
    Planned {
        /// Steps in the part of the graph asked for.
        total: u64,
        /// Steps whose recorded result is taken at once.
        reused: u64,
        /// How long the others will take if all of them run, milliseconds; only where each of them ran before.
        #[serde(skip_serializing_if = "Option::is_none")]
        expected_ms: Option<u64>,
    },
    /// A step began.
    Started {
        /// Its target.
        target: String,
        /// Its kind.
        kind: String,
        /// Its action.
        key: ActionKey,
        /// Why it runs, in words.
        why: String,
        /// How long it took last time, milliseconds.
        #[serde(skip_serializing_if = "Option::is_none")]
        expected_ms: Option<u64>,
    },
    /// A step ended well and is recorded.
    Ran {
        /// Its target.
        target: String,
        /// Its action.
        key: ActionKey,
        /// What it cost.
        cost: Cost,
        /// Whether its artifacts are the same as the target's last ones, so that what stands above may stay.
        unchanged: bool,
        /// Sentences the action reported.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
    },
    /// A step's recorded result was taken after something below it had run.
    Reused {
        /// Its target.
        target: String,
        /// Its action.
        key: ActionKey,
    },
    /// Checks of a table failed that only warn.
    Warned {
        /// Its target.
        target: String,
        /// Each as a sentence that begins with the check's name.
        warnings: Vec<String>,
        /// Whether the table was not made now, so that this was said before.
        reused: bool,
    },
    /// A step failed.
    Failed {
        /// Its target.
        target: String,
        /// What went wrong.
        error: String,
        /// The place in a recipe or query that it is about, `sql/a.sql:2:14`.
        #[serde(skip_serializing_if = "Option::is_none")]
        place: Option<String>,
        /// The way out, a command where there is one.
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
        /// The last lines of its log.
        log_tail: Vec<String>,
        /// The exit code this failure alone would give.
        code: i32,
    },
    /// A step was not tried.
    Blocked {
        /// Its target.
        target: String,
        /// The failed target it needs.
        by: String,
    },
    /// A step was ended for its memory, and will run again with nothing beside it.
    Outgrew {
        /// Its target.
        target: String,
        /// Bytes that were reserved for it.
        reserved_bytes: u64,
        /// Bytes that it held when it was ended.
        held_bytes: u64,
        /// Bytes that all running steps may hold together.
        budget_bytes: u64,
    },
    /// A running step said how far it is; of the many times that it does, about one a second is told.
    Progress {
        /// Its target.
        target: String,
        /// How far it is.
        #[serde(flatten)]
        progress: Progress,
    },
    /// Somebody else runs the same action, and this build waits for its result; or computes on the adapter that this step needs.
    Waiting {
        /// The target.
        target: String,
        /// The adapter, where it is for that.
        #[serde(skip_serializing_if = "Option::is_none")]
        adapter: Option<String>,
    },
    /// The steps are done, and what they made still goes into the mirror: told about once a second.
    Pushing {
        /// Results that are there.
        pushed: u64,
        /// Results that are to go there, those included.
        of: u64,
        /// Bytes that went up so far.
        bytes: u64,
    },
    /// What a build took from its mirror and put there; told before its end, where there was something.
    Mirrored {
        /// Results taken from it instead of running their steps.
        pulled: u64,
        /// Bytes that came with them.
        pulled_bytes: u64,
        /// Results that this build made and that are in the mirror now.
        pushed: u64,
        /// Bytes that went up for them.
        pushed_bytes: u64,
        /// Results that this build made and that are not.
        unpushed: u64,
        /// Why the mirror was left alone, where it was.
        #[serde(skip_serializing_if = "Option::is_none")]
        failure: Option<String>,
        /// How many results were there and not believed, by why.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        refused: BTreeMap<String, u64>,
    },
    /// What going back to a past build made of a target that was asked for.
    WentBack {
        /// The past build.
        build: BuildId,
        /// The target.
        target: String,
        /// Artifact → its hash.
        artifacts: BTreeMap<String, ManifestId>,
        /// Whether these are the artifacts of then; unknown where that build left none.
        #[serde(skip_serializing_if = "Option::is_none")]
        same: Option<bool>,
    },
    /// The build is over.
    Finished {
        /// Steps run, reused, failed.
        #[serde(flatten)]
        counts: Counts,
        /// `ok`, `failed` or `interrupted`.
        outcome: String,
        /// Elapsed milliseconds.
        wall_ms: u64,
    },
}
