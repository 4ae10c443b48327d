//! Owns the running state of a build as its events tell it. Invariant: made from events alone, so every reporter counts alike.

use std::collections::BTreeMap;

use crate::model::event::{Event, TimeLeft};
use crate::model::progress::Progress;

/// What is known of a build so far.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Steps in the part of the graph asked for.
    pub total: u64,
    /// Steps whose recorded result was taken.
    pub reused: u64,
    /// Steps that ran well.
    pub ran: u64,
    /// Steps that ended, in whatever way.
    pub done: u64,
    /// Names of the targets that failed, with the first line of what went wrong.
    pub failed: Vec<(String, String)>,
    /// Names of the targets not tried, with the failed one they need.
    pub blocked: Vec<(String, String)>,
    /// What still goes into the mirror, once the steps are done.
    pub pushing: Option<Pushing>,
    /// Steps begun and not ended, by target.
    pub running: BTreeMap<String, Running>,
    /// How long it would still take, and when that was said.
    left: Option<(TimeLeft, u64)>,
    /// How many steps have started, to keep `running` in the order they began.
    started: u64,
}

/// How far results are on their way into the mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pushing {
    /// Results that are there.
    pub pushed: u64,
    /// All that are to go there.
    pub of: u64,
    /// Bytes that went up so far.
    pub bytes: u64,
}

/// A step that runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Running {
    /// Its place in the order of starts.
    pub order: u64,
    /// Its kind.
    pub kind: String,
    /// When it began, milliseconds since the reporter was made.
    pub since_ms: u64,
    /// How long it took last time.
    pub expected_ms: Option<u64>,
    /// What it waits for, as people read it: another build that runs it, or an adapter.
    pub waits: Option<String>,
    /// How far it said it is.
    pub progress: Option<Progress>,
}

impl Tally {
    /// Takes one event, `now_ms` after the reporter was made.
    pub fn take(&mut self, event: &Event, now_ms: u64) {
        match event {
            Event::Planned { total, reused, expected_ms } => {
                self.left(expected_ms.map(|ms| TimeLeft { ms, sure: false }), now_ms);
                self.total = *total;
                self.reused = *reused;
                // A step that was refused before the plan was made is done, too.
                self.done += *reused;
            }
            Event::Started { target, kind, expected_ms, .. } => {
                let (kind, expected_ms) = (kind.clone(), *expected_ms);
                let step = Running { order: self.started, kind, since_ms: now_ms, expected_ms, waits: None, progress: None };
                self.started += 1;
                self.running.insert(target.clone(), step);
            }
            Event::Waiting { target, adapter } => {
                if let Some(step) = self.running.get_mut(target) {
                    let words = adapter.as_ref().map_or_else(|| "in another build".to_owned(), |name| format!("waits for {name}"));
                    step.waits = Some(words);
                }
            }
            Event::Progress { target, progress } => {
                if let Some(step) = self.running.get_mut(target) {
                    (step.progress, step.waits) = (Some(progress.clone()), None);
                }
            }
            Event::Ran { target, .. } => {
                self.ran += 1;
                self.end(target);
            }
            Event::Reused { target, .. } => {
                self.reused += 1;
                self.end(target);
            }
            Event::Outgrew { target, .. } => _ = self.running.remove(target),
            Event::Observed { .. } | Event::Warned { .. } | Event::WentBack { .. } => {}
            Event::Pushing { pushed, of, bytes } => self.pushing = Some(Pushing { pushed: *pushed, of: *of, bytes: *bytes }),
            Event::Mirrored { .. } => self.pushing = None,
            Event::Failed { target, error, .. } => {
                self.failed.push((target.clone(), error.lines().next().unwrap_or_default().to_owned()));
                self.end(target);
            }
            Event::Blocked { target, by } => {
                self.blocked.push((target.clone(), by.clone()));
                self.end(target);
            }
            Event::Finished { .. } => self.running.clear(),
        }
    }

    /// Takes how long the build will still take, said `now_ms` after the reporter was made.
    pub fn left(&mut self, left: Option<TimeLeft>, now_ms: u64) {
        self.left = left.map(|left| (left, now_ms));
    }

    /// How long the build will still take, `now_ms` after the reporter was made; `None` where nobody knows, or it takes longer than was thought.
    #[must_use]
    pub fn left_at(&self, now_ms: u64) -> Option<TimeLeft> {
        let (left, said_ms) = self.left?;
        let ms = left.ms.saturating_sub(now_ms.saturating_sub(said_ms));
        (ms > 0).then_some(TimeLeft { ms, ..left })
    }

    /// The running steps in the order they began.
    #[must_use]
    pub fn in_order(&self) -> Vec<(&str, &Running)> {
        let mut running: Vec<_> = self.running.iter().map(|(target, step)| (target.as_str(), step)).collect();
        running.sort_by_key(|(_, step)| step.order);
        running
    }

    /// Steps done of all, as `[ 3/23]`.
    #[must_use]
    pub fn position(&self) -> String {
        let width = self.total.to_string().len();
        format!("[{:>width$}/{}]", self.done, self.total)
    }

    fn end(&mut self, target: &str) {
        self.running.remove(target);
        self.done += 1;
        self.total = self.total.max(self.done);
    }
}
