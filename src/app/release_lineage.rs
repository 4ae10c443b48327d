//! Owns what a candidate stands on. Invariant: it is found in the records of what made what, and what is not recorded here is named as lost, never passed
//! over.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::base::digest::{ActionKey, BlobId, ManifestId};
use crate::kinds::frame;
use crate::model::action::Input;
use crate::model::check::{Severity, Verdict};
use crate::model::recipe::TABLE_SLOT;
use crate::model::release::Gated;
use crate::model::result::ActionResult;
use crate::plan::judge::Judge;

/// Targets that are named before the rest is only counted.
const NAMED: usize = 3;

/// What made each artifact on record.
pub struct Makers<'r>(HashMap<ManifestId, &'r ActionResult>);

impl<'r> Makers<'r> {
    /// Those of these results; of several that made the same, the newest.
    #[must_use]
    pub fn of(results: &'r [ActionResult]) -> Self {
        let each = |result: &'r ActionResult| result.outputs.values().map(move |manifest| (manifest.id(), result));
        Self(results.iter().flat_map(each).collect())
    }

    /// What made an artifact.
    #[must_use]
    pub fn of_artifact(&self, id: &ManifestId) -> Option<&'r ActionResult> {
        self.0.get(id).copied()
    }

    fn feeding(&self, result: &ActionResult, slot: impl Fn(&str) -> bool) -> Vec<Result<&'r ActionResult, ManifestId>> {
        let inputs = result.action.inputs.iter().filter(|(name, _)| slot(name));
        inputs.filter_map(|(_, input)| input.artifact()).map(|id| self.of_artifact(id).ok_or(*id)).collect()
    }
}

/// Everything that a candidate stands on.
pub struct Lineage<'r> {
    results: BTreeMap<ActionKey, &'r ActionResult>,
    /// Files from outside, by name.
    pub sources: BTreeMap<String, BlobId>,
    lost: BTreeSet<ManifestId>,
}

impl<'r> Lineage<'r> {
    /// That of a result.
    #[must_use]
    pub fn of(makers: &Makers<'r>, candidate: &ActionResult) -> Self {
        let mut lineage = Self { results: BTreeMap::new(), sources: BTreeMap::new(), lost: BTreeSet::new() };
        let mut left = lineage.take(makers, candidate);
        while let Some(result) = left.pop() {
            if lineage.results.insert(result.key, result).is_none() {
                left.extend(lineage.take(makers, result));
            }
        }
        lineage
    }

    fn take(&mut self, makers: &Makers<'r>, result: &ActionResult) -> Vec<&'r ActionResult> {
        for input in result.action.inputs.values() {
            if let Input::File { blob, name, .. } = input {
                self.sources.insert(name.clone(), *blob);
            }
        }
        let mut found = Vec::new();
        for feeding in makers.feeding(result, |_| true) {
            match feeding {
                Ok(below) => found.push(below),
                Err(lost) => _ = self.lost.insert(lost),
            }
        }
        found
    }

    /// The actions.
    #[must_use]
    pub fn actions(&self) -> Vec<ActionKey> {
        self.results.keys().copied().collect()
    }

    /// Whether every table that it stands on is fresh enough on the day.
    #[must_use]
    pub fn fresh(&self, judge: &Judge) -> Gated {
        let aged = self.results.values().flat_map(|result| result.checks.iter().map(|verdict| (&result.target, verdict)));
        let aged: Vec<(&String, Verdict)> =
            aged.filter(|(_, verdict)| verdict.age.is_some()).map(|(target, verdict)| (target, judge.judge(verdict))).collect();
        let stale: Vec<String> =
            aged.iter().filter(|(_, judged)| !judged.passed).map(|(target, judged)| format!("{target}: {}", judged.what)).collect();
        let good = match aged.len() {
            0 => "no table that it stands on has a check of its age".to_owned(),
            count => format!("{count} checks of age hold on {}", judge.day),
        };
        self.gated("checks fresh", &stale, good)
    }

    /// Whether nothing that a frame of it learns from holds what was not known on its day.
    #[must_use]
    pub fn without_leakage(&self, makers: &Makers<'r>) -> Gated {
        let frames = self.results.values().filter(|result| result.action.kind == frame::KIND.name);
        let mut left: Vec<&ActionResult> = frames.flat_map(|frame| makers.feeding(frame, |_| true)).flatten().collect();
        let mut beneath: BTreeMap<ActionKey, &ActionResult> = BTreeMap::new();
        while let Some(result) = left.pop() {
            if beneath.insert(result.key, result).is_none() {
                left.extend(makers.feeding(result, |slot| slot.starts_with(TABLE_SLOT)).into_iter().flatten());
            }
        }
        let failed = |result: &&ActionResult| result.checks.iter().find(|v| !v.passed && v.severity == Severity::Learning).cloned();
        let leaks: Vec<String> =
            beneath.values().filter_map(|result| Some(format!("{}: {}", result.target, failed(result)?.what))).collect();
        let good = format!("no test row was learnt from, and none of {} tables beneath its frames holds what was not known", beneath.len());
        self.gated("no leakage", &leaks, good)
    }

    fn gated(&self, gate: &str, wrong: &[String], good: String) -> Gated {
        let gate = gate.to_owned();
        if !self.lost.is_empty() {
            let what = format!("nothing is recorded here of what made {} of the artifacts that it stands on", self.lost.len());
            return Gated { gate, holds: false, what };
        }
        if wrong.is_empty() {
            return Gated { gate, holds: true, what: good };
        }
        let more = wrong.len().saturating_sub(NAMED);
        let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
        Gated { gate, holds: false, what: format!("{}{rest}", wrong[..wrong.len().min(NAMED)].join("; ")) }
    }
}
