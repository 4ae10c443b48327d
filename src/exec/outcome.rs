//! Owns how a build went. Invariant: it only tells; nothing decides by it while the build runs.

use std::collections::{BTreeMap, HashMap};

use crate::base::diagnostic::ExitCode;
use crate::base::digest::ManifestId;
use crate::exec::runner::Failure;
use crate::model::build::{BuiltTarget, Counts};
use crate::model::manifest::Manifest;
use crate::plan::planner::{Planner, State};
use crate::store::error::StoreError;

/// How a build went.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Steps run, reused, failed.
    pub counts: Counts,
    /// Failed targets with what a person should know.
    pub failures: Vec<(String, Failure)>,
    /// Whether it was stopped.
    pub interrupted: bool,
    /// Files of every artifact met.
    pub manifests: HashMap<ManifestId, Manifest>,
}

impl Outcome {
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

/// A store that failed under a step.
pub(super) fn store_failure(error: &StoreError) -> Failure {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    Failure { error: text, hint: None, log_tail: Vec::new(), code: ExitCode::ActionFailed }
}

/// A step that was stopped before it had begun.
pub(super) fn stopped() -> Failure {
    Failure { error: "it was stopped".into(), hint: None, log_tail: Vec::new(), code: ExitCode::Interrupted }
}
