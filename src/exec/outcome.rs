//! Owns how a build went. Invariant: it only tells; nothing decides by it while the build runs.

use std::collections::{BTreeMap, HashMap};

use crate::base::diagnostic::ExitCode;
use crate::base::digest::ManifestId;
use crate::exec::checked::Checked;
use crate::exec::failure::Failure;
use crate::graph::build::{NodeId, TargetGraph};
use crate::model::build::{Attempt, BuiltTarget, Counts};
use crate::model::event::Event;
use crate::model::manifest::Manifest;
use crate::model::result::ActionResult;
use crate::plan::judge::{Judge, unlearnable};
use crate::plan::planner::{Planner, State};

/// How a build went.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Steps run, reused, failed.
    pub counts: Counts,
    /// What ran and did not make its target.
    pub attempts: Vec<Attempt>,
    /// Failed targets with what a person should know.
    pub failures: Vec<(String, Failure)>,
    /// Whether it was stopped.
    pub interrupted: bool,
    /// What checks said, in the order in which their targets were met.
    pub checked: Vec<Checked>,
    /// Files of every artifact met.
    pub manifests: HashMap<ManifestId, Manifest>,
}

impl Outcome {
    /// How it ended, in a word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match (self.interrupted, self.counts.failed) {
            (true, _) => "interrupted",
            (_, 0) => "ok",
            _ => "failed",
        }
    }

    /// How the program ends.
    #[must_use]
    pub fn code(&self) -> ExitCode {
        if self.interrupted { ExitCode::Interrupted } else { ExitCode::of_all(self.failures.iter().map(|(_, failure)| failure.code)) }
    }

    /// Takes note of what the checks of a table said: what refuses it, and what is to be shown.
    pub(super) fn check(&mut self, result: &ActionResult, target: &str, judge: &Judge, reused: bool) -> (Option<Failure>, Option<Event>) {
        let Some(checked) = Checked::of(result, target, judge) else { return (None, None) };
        let answer = (checked.failure(), warned(&checked, reused));
        self.checked.push(checked);
        answer
    }

    /// Refuses a target that would learn from a table which was found to hold what was not known.
    pub(super) fn learnable(&self, graph: &TargetGraph, id: NodeId) -> Result<(), Failure> {
        let said = |below: NodeId| self.checked.iter().find(|c| c.target == graph[below].name().as_str()).map(|c| c.verdicts.as_slice());
        let Some((below, why)) = unlearnable(graph, id, said) else { return Ok(()) };
        let error = format!("it would learn what was not known on the day: '{below}', {why}");
        Err(Failure { error, hint: Some(format!("cbi check {below}")), log_tail: Vec::new(), code: ExitCode::Refused })
    }

    /// Takes note of a run from `started_ms` to `ended_ms` that did not make its target.
    pub(super) fn attempt(&mut self, target: &str, (started_ms, ended_ms): (u64, u64), outcome: &str) {
        let (target, outcome) = (target.to_owned(), outcome.to_owned());
        self.attempts.push(Attempt { target, started_ms, ended_ms, outcome });
    }

    /// What every done step made, by target.
    #[must_use]
    pub fn built(planner: &Planner) -> BTreeMap<String, BuiltTarget> {
        let done = planner.wanted().filter_map(|id| match planner.state(id) {
            State::Done(made) => Some((id, made)),
            _ => None,
        });
        done.map(|(id, made)| {
            let name = planner.graph()[id].stanza.name.to_string();
            (name, BuiltTarget { key: made.key, artifacts: made.artifacts.clone() })
        })
        .collect()
    }
}

/// What is to be shown of a target's warnings; nothing where there are none.
pub(super) fn warned(checked: &Checked, reused: bool) -> Option<Event> {
    let warnings = checked.warnings();
    (!warnings.is_empty()).then(|| Event::Warned { target: checked.target.clone(), warnings, reused })
}

/// A step that was stopped before it had begun.
pub(super) fn stopped() -> Failure {
    Failure { error: "it was stopped".into(), hint: None, log_tail: Vec::new(), code: ExitCode::Interrupted }
}
