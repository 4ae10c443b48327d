//! Owns what a release's gates say of a candidate beside the version in use. Invariant: the comparison is an `evaluate` action of its own, recorded as any
//! is, so that it counts as a look at the test rows; the candidate and the version in use are measured on the very same rows, which neither has seen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;

use serde_json::json;

use crate::app::looks;
use crate::app::mirroring::problems;
use crate::app::problem::{self, Outcome};
use crate::app::release_lineage::{Lineage, Makers};
use crate::app::resolve::Records;
use crate::app::sources;
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::base::digest::{ActionKey, BlobId, ManifestId};
use crate::engine::judging::bootstrap::Bootstrap;
use crate::exec::alone;
use crate::exec::runner::Job;
use crate::kinds::ensemble::slot;
use crate::kinds::evaluate::{self, Spec as Evaluation};
use crate::kinds::frame::TEST;
use crate::kinds::learner::FRAME_SLOT;
use crate::kinds::release::{self, ARTIFACT, EVALUATION_SLOT, Spec};
use crate::kinds::release_gates::{Gate, short};
use crate::mirror::bucket::Bucket;
use crate::model::action::{Action, Input};
use crate::model::manifest::Manifest;
use crate::model::release::Gated;
use crate::model::result::ActionResult;
use crate::plan::key;

/// What the candidate is called where it is compared.
const CANDIDATE: &str = "candidate";
/// What the version in use is called there.
const IN_USE: &str = "in_use";

/// A candidate for use.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// What made it.
    pub result: ActionResult,
    /// Its artifact.
    pub id: ManifestId,
    spec: Spec,
}

/// What was found about a candidate.
#[derive(Debug)]
pub struct Judged {
    /// What each gate says.
    pub gates: Vec<Gated>,
    /// Every action that it stands on, and the comparisons.
    pub lineage: Vec<ActionKey>,
    /// Files from outside that it stands on.
    pub sources: BTreeMap<String, BlobId>,
}

impl Candidate {
    /// The candidate that a result is; `None` of another kind.
    #[must_use]
    pub fn of(result: ActionResult) -> Option<Self> {
        let spec = (result.action.kind == release::NAME).then(|| serde_json::from_value(result.action.params.clone()).ok()).flatten()?;
        let id = result.outputs.get(ARTIFACT)?.id();
        Some(Self { result, id, spec })
    }

    fn files(&self) -> Manifest {
        self.result.outputs.get(ARTIFACT).cloned().unwrap_or_default()
    }
}

/// The version in use: its name, and its result where that can be had.
pub type InUse = Option<(String, Option<Candidate>)>;

/// Judges a candidate. The mirror is told of the look at the test rows that a comparison takes, and says how many there were.
///
/// # Errors
/// When the store cannot be asked, or the comparison was stopped. A comparison that cannot be made is a gate that does not hold.
pub fn judge(records: &Records, mirror: Option<&Bucket>, candidate: &Candidate, in_use: &InUse, cancel: &AtomicBool) -> Outcome<Judged> {
    let makers = Makers::of(&records.results);
    let lineage = Lineage::of(&makers, &candidate.result);
    let (mut gates, mut compared) = (Vec::new(), Vec::new());
    for text in &candidate.spec.gates {
        match Gate::parse(text) {
            Ok(Gate::BetterThanCurrent { percent }) => {
                let contest = Contest { records, mirror, makers: &makers, candidate, in_use, percent };
                let (gated, key) = contest.held(text, cancel)?;
                gates.push(gated);
                compared.extend(key);
            }
            Ok(gate) => gates.extend(gate.judge(text, &candidate.result.metrics)),
            Err(error) => gates.push(Gated { gate: text.clone(), holds: false, what: error.to_string() }),
        }
    }
    gates.push(lineage.fresh(&records.workspace.judge(false)?));
    gates.push(lineage.without_leakage(&makers));
    compared.extend(lineage.actions());
    Ok(Judged { gates, lineage: compared, sources: lineage.sources })
}

/// A candidate beside the version in use, or beside naive where there is none.
struct Contest<'a> {
    records: &'a Records,
    mirror: Option<&'a Bucket>,
    makers: &'a Makers<'a>,
    candidate: &'a Candidate,
    in_use: &'a InUse,
    percent: f64,
}

impl Contest<'_> {
    /// What the gate says, and the comparison that it was judged by.
    fn held(&self, text: &str, cancel: &AtomicBool) -> Outcome<(Gated, Option<ActionKey>)> {
        let gate = text.to_owned();
        let not = |what: String| Ok((Gated { gate: gate.clone(), holds: false, what }, None));
        let job = match self.job() {
            Ok(job) => job,
            Err(why) => return not(why),
        };
        let session = &self.records.session;
        let known = session.lookup(&job.key).map_err(problem::stores)?;
        let result = if let Some(known) = known {
            known
        } else {
            session.release().map_err(problem::stores)?;
            match alone::run(session, &job, cancel) {
                Ok(ran) => {
                    session.record(&ran.result, &ran.batch).map_err(problem::stores)?;
                    ran.result
                }
                Err(failure) if failure.code == ExitCode::Interrupted => {
                    return Err(vec![Diagnostic::new(ExitCode::Interrupted, "stopped")]);
                }
                Err(failure) => return not(format!("they cannot be compared: {}", failure.error)),
            }
        };
        let mut all = self.records.results.clone();
        all.push(result.clone());
        let told = self.mirror.map(|bucket| looks::meet(session.root(), bucket, &all)).transpose().map_err(problems)?;
        let look = looks::looks(&all, &told.unwrap_or_default(), &result);
        Ok((self.verdict(gate.clone(), &result, look), Some(result.key)))
    }

    fn verdict(&self, gate: String, result: &ActionResult, look: Option<u64>) -> Gated {
        let figure = |model: &str| result.metrics.get(&format!("{model}/mae")).copied();
        let (beside, name, whose) = match self.in_use {
            Some((version, _)) => (figure(IN_USE), version.as_str(), "neither has"),
            None => (figure("naive"), "naive", "it has not"),
        };
        let (Some(own), Some(other)) = (figure(CANDIDATE), beside) else {
            return Gated { gate, holds: false, what: "the comparison gave no mean absolute error".into() };
        };
        let holds = own < other && own <= other * (1.0 - self.percent / 100.0);
        let look = look.map(|count| format!("; look number {count} at these test rows")).unwrap_or_default();
        let rows = result.metrics.get("n").copied().unwrap_or_default();
        let (less, word) = (100.0 * (1.0 - own / other), if own <= other { "less" } else { "more" });
        let share = format!("{:.1} % {word}", less.abs());
        let what = format!(
            "mean absolute error {} beside {} of {name}, {share}, on {rows} test rows that {whose} seen{look}",
            short(own),
            short(other)
        );
        Gated { gate, holds, what }
    }

    /// The comparison as an action, or why there is none.
    fn job(&self) -> Result<Job, String> {
        let evaluation = self.candidate.result.action.inputs.get(EVALUATION_SLOT).and_then(Input::artifact);
        let evaluation = evaluation.and_then(|id| self.makers.of_artifact(id)).ok_or("nothing is recorded here of its evaluation")?;
        let test =
            evaluation.action.inputs.get(FRAME_SLOT).and_then(Input::artifact).ok_or("its evaluation is of backtests, not of test rows")?;
        let rows = self
            .makers
            .of_artifact(test)
            .and_then(|frame| frame.outputs.get(TEST))
            .ok_or("its frame's test rows are not on record here")?;
        let mut models = vec![(CANDIDATE, self.candidate.files())];
        match self.in_use {
            Some((version, None)) => return Err(format!("the files of {version} are neither here nor in the mirror")),
            Some((_, Some(in_use))) => models.push((IN_USE, in_use.files())),
            None => {}
        }
        let spec = Evaluation {
            models: models.iter().map(|(name, _)| (*name).to_owned()).collect(),
            bootstrap: Bootstrap::default(),
            regimes: None,
            explain: None,
            backtests: false,
            unseen_by_all: true,
        };
        let fed = models.into_iter().enumerate().map(|(index, (_, files))| (slot(index), files));
        let artifacts: BTreeMap<String, Manifest> = fed.chain([(FRAME_SLOT.to_owned(), rows.clone())]).collect();
        let engines = ["burn", "lightgbm", "parquet", "xgboost"];
        let identity = |name: &str| sources::identity(&self.records.session, name).unwrap_or_else(|| "absent".to_owned());
        let action = Action {
            kind: evaluate::NAME.to_owned(),
            version: evaluate::KIND.version,
            engines: engines.map(|name| (name.to_owned(), identity(name))).into(),
            platform: key::platform(),
            threads: 1,
            params: json!(spec),
            inputs: artifacts.iter().map(|(slot, files)| (slot.clone(), Input::Artifact(files.id()))).collect(),
            outputs: BTreeSet::from([evaluate::ARTIFACT.to_owned()]),
        };
        Ok(Job {
            target: self.candidate.result.target.clone(),
            key: action.key(),
            action,
            artifacts,
            files: BTreeMap::new(),
            timeout: None,
        })
    }
}
