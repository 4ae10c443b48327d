//! Owns comparing what was made on another kind of machine with what this one makes. Invariant: what is equal only within a tolerance is never called the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;

use serde_json::{Value, json};

use crate::app::problem::{self, Outcome};
use crate::app::resolve::Records;
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::engine::nearness::Nearness;
use crate::exec::alone;
use crate::exec::runner::{Job, Ran};
use crate::kinds::learner::FRAME_SLOT;
use crate::kinds::trained::RECORD_FILE;
use crate::kinds::view;
use crate::model::action::{Action, Input};
use crate::model::manifest::Manifest;
use crate::model::result::ActionResult;
use crate::store::content::ContentStore;

/// How far what was recorded and what was made again are apart.
#[derive(Debug, Default)]
pub struct Compared {
    /// `artifact/file` → how far; only what differs at all.
    pub apart: BTreeMap<String, Nearness>,
}

impl Compared {
    /// Whether all of it is within a tolerance.
    #[must_use]
    pub fn is_within(&self, tolerance: f64) -> bool {
        self.apart.values().all(|near| near.is_within(tolerance))
    }

    /// What differs, what is beyond the tolerance first, in words.
    #[must_use]
    pub fn told(&self, tolerance: f64) -> Vec<String> {
        let mut all: Vec<(&String, &Nearness)> = self.apart.iter().collect();
        all.sort_by_key(|(_, near)| near.is_within(tolerance));
        let one = |(name, near): (&String, &Nearness)| match &near.other {
            Some(other) => format!("{name}: {other}"),
            None => format!("{name}: up to {:.1e} apart, at {}", near.by, near.at),
        };
        all.into_iter().map(one).collect()
    }
}

/// Compares artifacts as recorded with those that were made again, and the figures beside them.
///
/// # Errors
/// When what was recorded is not in the store any more, a file cannot be read, or it was stopped.
pub fn compare(
    records: &Records,
    made: &ActionResult,
    wanted: &BTreeMap<String, Manifest>,
    ran: &Ran,
    cancel: &AtomicBool,
) -> Outcome<Compared> {
    let session = &records.session;
    // Bytes under their own digest are no record: they are put where the comparison can read them.
    session.content().commit(&ran.batch).map_err(problem::stores)?;
    let mut compared = Compared::default();
    for (artifact, before) in wanted {
        let after = ran.result.outputs.get(artifact).cloned().unwrap_or_default();
        if before.id() == after.id() {
            continue;
        }
        if !records.is_whole(before) {
            let message = format!("what was recorded of '{}' is no longer in the store", made.target);
            return Err(vec![Diagnostic::new(ExitCode::Damaged, message).hint("cbi mirror pull, where a mirror has it")]);
        }
        for (file, near) in of_artifact(records, made, (before, &after), cancel)? {
            if near != Nearness::default() {
                compared.apart.insert(format!("{artifact}/{file}"), near);
            }
        }
    }
    // A model's figures follow from its forecasts, but for how many rounds it took, which no forecast depends on by itself.
    let model = wanted.values().any(|files| files.files.contains_key(RECORD_FILE));
    if let Some(near) = figures(&made.metrics, &ran.result.metrics).filter(|_| !model) {
        compared.apart.insert("metrics".to_owned(), near);
    }
    Ok(compared)
}

/// How far, at most and as a share of it, an error or a loss of what was made again lies from that recorded, and which does; `None` where there is none. Counts
/// do not count: how long a training on an adapter goes on is what it is tolerated for.
#[must_use]
pub fn errors(made: &ActionResult, again: &ActionResult) -> Option<(f64, String)> {
    let errors = made.metrics.iter().filter(|(name, _)| ["mae", "rmse", "loss"].iter().any(|end| name.ends_with(end)));
    let off = |(name, then): (&String, &f64)| {
        let now = again.metrics.get(name).copied().unwrap_or(f64::NAN);
        let share = (now - then).abs() / then.abs().max(f64::MIN_POSITIVE);
        (if share.is_nan() { f64::INFINITY } else { share }, name.clone())
    };
    errors.map(off).max_by(|a, b| a.0.total_cmp(&b.0))
}

fn figures(before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>) -> Option<Nearness> {
    let mut near = Nearness::default();
    if !before.keys().eq(after.keys()) {
        near.other = Some("other figures".to_owned());
    }
    for (name, a) in before {
        if let Some(b) = after.get(name) {
            near.number(*a, *b, || name.clone());
        }
    }
    (near != Nearness::default()).then_some(near)
}

fn of_artifact(
    records: &Records,
    made: &ActionResult,
    (before, after): (&Manifest, &Manifest),
    cancel: &AtomicBool,
) -> Outcome<BTreeMap<String, Nearness>> {
    let mut artifacts = BTreeMap::from([("old".to_owned(), before.clone()), ("new".to_owned(), after.clone())]);
    let frame = made
        .action
        .inputs
        .get(FRAME_SLOT)
        .and_then(Input::artifact)
        .and_then(|id| records.maker(id).map(|(made, name)| &made.outputs[name]));
    artifacts.extend(frame.filter(|files| records.is_whole(files)).map(|files| (FRAME_SLOT.to_owned(), files.clone())));
    let action = Action {
        inputs: artifacts.iter().map(|(slot, files)| (slot.clone(), Input::Artifact(files.id()))).collect(),
        outputs: BTreeSet::from([view::ARTIFACT.to_owned()]),
        ..Action::plain("view:near", 1, json!({}))
    };
    let target = made.target.clone();
    let job = Job { target: target.clone(), key: action.key(), action, artifacts, files: BTreeMap::new(), timeout: None };
    records.session.release().map_err(problem::stores)?;
    let failed = |failure| vec![problem::failure(&target, &failure)];
    let ran = alone::run(&records.session, &job, cancel).map_err(failed)?;
    let answer = alone::file_of(&records.session, &ran, view::ARTIFACT, view::FILE).map_err(failed)?;
    let answer: BTreeMap<String, Value> = serde_json::from_slice(&answer).map_err(|error| vec![Diagnostic::of(ExitCode::Bug, &error)])?;
    // Endless is no number of JSON: it comes as nothing.
    let near = |(name, value): (String, Value)| {
        let by = value["by"].as_f64().unwrap_or(f64::INFINITY);
        let text = |key: &str| value[key].as_str().map(str::to_owned);
        (name, Nearness { by, at: text("at").unwrap_or_default(), other: text("other") })
    };
    Ok(answer.into_iter().map(near).collect())
}
