//! Owns the ranking step of a search: models in, results and the best parameters out. Invariant: it reads valid rows and nothing newer, and what it hands
//! on names the rows that the choice was made by.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::error::ArrowError;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::json;
use crate::engine::frame_file::{self, FrameData, FrameFileError, Part, iso_date};
use crate::engine::metrics::Outcome;
use crate::engine::numbers::count;
use crate::engine::table_file::{self, TableFileError};
use crate::engine::tuning::ranking::{self, Figures, Metric, Results, Trial};
use crate::engine::tuning::report;
use crate::io::fs::{self, FsError};
use crate::kinds::ensemble::slot;
use crate::kinds::learner::FRAME_SLOT;
use crate::kinds::request::{Request, Response, RunError};
use crate::kinds::trained::{self, TrainedError};
use crate::kinds::tuned::{self, BEST, TunedError};
use crate::model::training::{TUNING, TrainedOn};
use crate::model::tuning::Tuned;

/// The artifact with the table of trials.
pub const RESULTS: &str = "results";
/// The readable table in it.
pub const TEXT_FILE: &str = "results.md";
/// The same for the next rung.
const JSON_FILE: &str = "results.json";
/// The slot of the results of the rung before.
pub const BEFORE_SLOT: &str = "before";

/// The artifact with the parameters of one trial that goes on.
#[must_use]
pub fn slot_artifact(index: usize) -> String {
    format!("slot-{}", index + 1)
}

/// The params of a ranking step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Whose parameters are searched.
    pub learner: String,
    /// What trials are ranked by.
    pub metric: Metric,
    /// The searched parameters.
    pub searched: Vec<String>,
    /// The rung, from 1.
    pub rung: usize,
    /// How many models there are to rank.
    pub models: usize,
    /// Of the first rung: the trials' parameters, in the order of the models. Later ones have those that the rung before kept.
    pub trials: Vec<BTreeMap<String, Value>>,
    /// How many go on; none from the last rung, after which the best of all is chosen.
    pub slots: Option<usize>,
    /// The parameters that this rung sets.
    pub set: BTreeMap<String, Value>,
}

/// Why nothing was ranked.
#[derive(Debug, thiserror::Error)]
pub enum RankError {
    /// The rows cannot be read.
    #[error(transparent)]
    Frame(#[from] FrameFileError),
    /// No rows to rank on.
    #[error("the frame has no valid rows")]
    NoRows,
    /// A model cannot be read or cannot forecast.
    #[error("trial {trial}: {source}")]
    Model {
        /// Its number.
        trial: usize,
        /// Why not.
        source: TrainedError,
    },
    /// A measure that the rows do not define.
    #[error("trial {trial} has no {metric} on these rows")]
    NoFigure {
        /// The trial.
        trial: usize,
        /// The measure.
        metric: &'static str,
    },
    /// The rung before kept other trials than there are models.
    #[error("the rung before kept {kept} trials, not {models}")]
    Kept {
        /// Trials kept.
        kept: usize,
        /// Models there are.
        models: usize,
    },
    /// Results that cannot be read or written.
    #[error("{JSON_FILE}: {0}")]
    Json(#[from] serde_json::Error),
    /// The table cannot be made.
    #[error(transparent)]
    Columns(#[from] ArrowError),
    /// The table cannot be written.
    #[error(transparent)]
    Table(#[from] TableFileError),
    /// A file cannot be read or written.
    #[error(transparent)]
    Io(#[from] FsError),
    /// A choice cannot be written.
    #[error(transparent)]
    Tuned(#[from] TunedError),
}

impl RankError {
    fn as_failure(&self) -> RunError {
        match self {
            Self::NoRows => RunError::refused(self).hint("give the frame's `split` a `valid` range that holds rows"),
            Self::NoFigure { .. } => RunError::refused(self).hint("metric = \"mae\""),
            _ => RunError::failed(self),
        }
    }
}

/// Runs the action.
///
/// # Errors
/// When a model cannot be ranked, or a file cannot be read or written.
pub fn run(request: &Request) -> Result<Response, RunError> {
    let spec: Spec = request.params()?;
    let models = (0..spec.models).map(|index| request.input(&slot(index)).map(Path::to_owned)).collect::<Result<Vec<_>, _>>()?;
    let before = request.inputs.get(BEFORE_SLOT).map(PathBuf::as_path);
    rank(&spec, request.input(FRAME_SLOT)?, &models, before, &request.out).map_err(|error| error.as_failure())
}

/// Ranks the models on the valid rows of the `fit` artifact in `fit`; writes the results and the best parameters below `out`.
///
/// # Errors
/// When a model cannot be ranked, or a file cannot be read or written.
pub fn rank(spec: &Spec, fit: &Path, models: &[PathBuf], before: Option<&Path>, out: &Path) -> Result<Response, RankError> {
    let frame = frame_file::read(fit)?;
    let before: Option<Results> =
        before.map(|folder| Ok::<_, RankError>(serde_json::from_slice(&fs::read(&folder.join(JSON_FILE))?)?)).transpose()?;
    let (trials, naive) = measured(spec, &entered(spec, before.as_ref())?, &frame, models)?;
    let ranked = ranking::rank(trials, spec.metric, spec.slots.unwrap_or(0));
    let ranked = ranked.map_err(|trial| RankError::NoFigure { trial, metric: spec.metric.word() })?;
    let date = |days: Option<i32>| days.map(iso_date).unwrap_or_default();
    let rows = frame.rows_of(Part::Valid);
    let dates = || rows.iter().map(|&row| frame.dates[row]);
    let mut results = Results {
        learner: spec.learner.clone(),
        metric: spec.metric,
        searched: spec.searched.clone(),
        rows: rows.len(),
        first: date(dates().min()),
        last: date(dates().max()),
        naive,
        trials: before.into_iter().flat_map(|results| results.trials).chain(ranked).collect(),
    };
    if spec.slots.is_none() {
        results.choose();
    }
    write_results(&results, &frame, &out.join(RESULTS))?;
    hand_on(spec, &results, &frame, out)?;
    Ok(response(&results))
}

/// A trial's number and parameters.
type Entered = (usize, BTreeMap<String, Value>);

/// Every trial that is in this rung, in the order of the models.
fn entered(spec: &Spec, before: Option<&Results>) -> Result<Vec<Entered>, RankError> {
    let entered: Vec<_> = match before {
        None => spec.trials.iter().cloned().enumerate().map(|(at, params)| (at + 1, params)).collect(),
        Some(results) => results.kept().map(|trial| (trial.trial, trial.params.clone())).collect(),
    };
    if entered.len() == spec.models { Ok(entered) } else { Err(RankError::Kept { kept: entered.len(), models: spec.models }) }
}

/// Every trial's figures on the valid rows, and naive's.
fn measured(spec: &Spec, entered: &[Entered], frame: &FrameData, models: &[PathBuf]) -> Result<(Vec<Trial>, Figures), RankError> {
    let (rows, levels) = (frame.rows_of(Part::Valid), frame.outcome_levels());
    if rows.is_empty() {
        return Err(RankError::NoRows);
    }
    let (mut trials, mut yardstick) = (Vec::with_capacity(models.len()), Figures::default());
    for ((trial, params), folder) in entered.iter().zip(models) {
        let failed = |source| RankError::Model { trial: *trial, source };
        let model = trained::read(folder).map_err(failed)?;
        let predicted = model.predict(frame, &rows).map_err(failed)?;
        let outcome = |(&row, predicted): (&usize, f64)| Outcome { price: frame.price[row], actual: levels[row], predicted };
        let outcomes: Vec<Outcome> = rows.iter().zip(predicted).map(outcome).collect();
        let (figures, naive) = ranking::figures(&outcomes, model.quantile());
        yardstick = naive;
        let (params, set, rounds) = (params.clone(), spec.set.clone(), model.record.rounds);
        trials.push(Trial { trial: *trial, rung: spec.rung, params, set, rounds, rank: 0, kept: false, chosen: false, figures });
    }
    Ok((trials, yardstick))
}

fn write_results(results: &Results, frame: &FrameData, out: &Path) -> Result<(), RankError> {
    fs::create_folders(out)?;
    let record = &frame.record;
    let what = format!("{}.{}, {} ahead", record.price.table, record.price.column, record.label.horizon.in_words());
    fs::write(&out.join(TEXT_FILE), report::text(&what, results).as_bytes())?;
    fs::write(&out.join(JSON_FILE), json::pretty(results)?.as_bytes())?;
    Ok(table_file::write(&out.join("results.parquet"), &report::table(results)?, &["rung".to_owned(), "rank".to_owned()])?)
}

/// Writes the parameters of what goes on, or of what was chosen, each with the rows that the choice was made by.
fn hand_on(spec: &Spec, results: &Results, frame: &FrameData, out: &Path) -> Result<(), RankError> {
    let seen = [Part::Train, Part::Valid].into_iter().filter_map(|part| frame.trained_on(part));
    let tuned_on: Vec<TrainedOn> = seen.map(|seen| TrainedOn { split: TUNING.to_owned(), ..seen }).collect();
    let hand = |artifact: String, params: BTreeMap<String, Value>| {
        tuned::write(&out.join(artifact), &Tuned { learner: spec.learner.clone(), params, tuned_on: tuned_on.clone() })
    };
    for (index, trial) in results.kept().enumerate() {
        hand(slot_artifact(index), trial.params.clone())?;
    }
    if let Some(trial) = results.chosen() {
        hand(BEST.to_owned(), trial.params.clone().into_iter().chain(trial.set.clone()).collect())?;
    }
    Ok(())
}

/// The best trial beside naive.
fn response(results: &Results) -> Response {
    let mut response = Response::default();
    let metric = results.metric;
    let Some(best) = results.chosen().or_else(|| results.kept().next()) else { return response };
    let (own, naive) = (metric.of(&best.figures), metric.of(&results.naive));
    let named = [(format!("valid_{}", metric.word()), own), (format!("valid_naive_{}", metric.word()), naive)];
    response.metrics.extend(named.into_iter().filter_map(|(name, value)| Some((name, value?))));
    response.metrics.insert("trials".into(), count(results.trials.iter().filter(|trial| trial.rung == 1).count()));
    let figure = |value: Option<f64>| value.map_or_else(|| "none".to_owned(), |value| format!("{value:.4}"));
    let searched = best.params.iter().filter(|(name, _)| results.searched.contains(name)).chain(&best.set);
    response.notes.push(format!(
        "best on the valid rows: trial {} with {} {}, naive {} ({})",
        best.trial,
        metric.word(),
        figure(own),
        figure(naive),
        tuned::in_words(searched)
    ));
    response
}
