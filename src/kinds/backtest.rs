//! Kind `backtest`: a model's learner, trained anew on every fold of a history, and its forecasts of what each fold had not seen. Invariant: no
//! forecast comes from a training, or from a choice of rounds, that saw its outcome.

use std::collections::BTreeMap;
use std::path::Path;

use crate::engine::backtest_file::{self, ARTIFACT, BacktestFileError, Predictions};
use crate::engine::folds::{self, Fold, FoldError};
use crate::engine::frame_file::{self, FrameData, FrameFileError, Part, iso_date};
use crate::engine::numbers::{count, mean, share};
use crate::io::fs::{self, FsError};
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::frame::FOLDS;
use crate::kinds::kind::Kind;
use crate::kinds::learner::{FRAME_SLOT, LearnError, Learner, Settings, mean_error, teach};
use crate::kinds::learners;
use crate::kinds::request::{Request, Response, RunError};
use crate::kinds::telling::Teller;
use crate::kinds::trained::{self, TrainedError};
use crate::kinds::training_stanza::{self, MODEL_SLOT};
use crate::model::backtest::{BacktestRecord, FoldRecord};
use crate::model::folds::Folds;
use crate::model::recipe::{Declared, Stanza};
use crate::model::training::{ModelRecord, TrainedOn};
use crate::syntax::shape::{Key, Want};

/// Kind `backtest`.
pub const KIND: Kind = Kind {
    name: "backtest",
    version: 1,
    about: "Trains a model's learner anew on every fold of a frame, and keeps its forecasts of what each fold had not seen.",
    keys: &[
        Key::required("frame", Want::Target, "The frame, with `folds`."),
        Key::required("model", Want::Target, "The model whose learner and parameters are used."),
    ],
    declare,
};

fn declare(stanza: &Stanza, context: &DeclareContext) -> Result<Declared, KindError> {
    let mut declared = training_stanza::again(stanza, context, (FOLDS, "a backtest reads"), ARTIFACT)?;
    declared.engines.insert("parquet".to_owned());
    Ok(declared)
}

/// Why there is no backtest.
#[derive(Debug, thiserror::Error)]
pub enum BacktestError {
    /// The history cannot be read.
    #[error(transparent)]
    Frame(#[from] FrameFileError),
    /// The frame has no folds.
    #[error("the frame's history is not cut into folds")]
    NotCut,
    /// The history cannot be cut.
    #[error(transparent)]
    Folds(#[from] FoldError),
    /// The model cannot be read.
    #[error(transparent)]
    Model(#[from] TrainedError),
    /// The model is of a kind that is not trained on a frame by itself.
    #[error("{kind} models are not trained on folds")]
    Kind {
        /// The kind.
        kind: String,
    },
    /// A model of the price series cannot leave out a stretch in the middle.
    #[error("{kind} reads the price series, which has no hole where a purged fold is forecast")]
    Series {
        /// The kind.
        kind: String,
    },
    /// The rounds to train were chosen on rows that a fold forecasts.
    #[error("its number of rounds was chosen on rows with outcomes up to {chosen}, but the folds forecast from {from} on")]
    Rounds {
        /// The last outcome that the choice saw.
        chosen: String,
        /// The first date forecast from.
        from: String,
    },
    /// The parameters were chosen on rows that a fold forecasts.
    #[error("its parameters were tuned on rows with outcomes up to {chosen}, but the folds forecast from {from} on")]
    Tuned {
        /// The last outcome that the search saw.
        chosen: String,
        /// The first date forecast from.
        from: String,
    },
    /// A fold cannot be learnt from.
    #[error("the fold that forecasts from {test}: {source}")]
    Fold {
        /// Its first date.
        test: String,
        /// Why not.
        source: Box<LearnError>,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    Io(#[from] FsError),
    /// The forecasts cannot be written.
    #[error(transparent)]
    File(#[from] BacktestFileError),
    /// There is no place for the folds' models.
    #[error("no temporary folder: {0}")]
    Scratch(std::io::Error),
}

impl BacktestError {
    fn as_failure(&self) -> RunError {
        match self {
            Self::Folds(error) => RunError::refused(self).hint(error.hint()),
            Self::Kind { .. } => RunError::invalid(self).hint("backtest its members, and give the ensemble their `backtests`"),
            Self::Series { .. } => RunError::invalid(self).hint("folds = { walk_forward = { … } }"),
            Self::Rounds { .. } => {
                RunError::refused(self).hint("give `folds.walk_forward` a `valid`, so that each fold chooses for itself")
            }
            Self::Tuned { .. } => {
                RunError::refused(self).hint("give the search a frame of its own, whose `split.valid` ends before the folds begin")
            }
            Self::Fold { source, .. } => {
                let inner = source.as_failure();
                RunError { message: self.to_string(), ..inner }
            }
            _ => RunError::failed(self),
        }
    }
}

/// Runs the action.
///
/// # Errors
/// When the history cannot be cut, or a fold cannot be learnt from.
pub fn run(request: &Request) -> Result<Response, RunError> {
    let (history, model) = (request.input(FRAME_SLOT)?, request.input(MODEL_SLOT)?);
    let how =
        Settings { threads: request.threads, scratch: request.scratch.clone(), adapter: request.adapter.clone(), ..Settings::default() };
    backtest(history, model, &how, &request.output(ARTIFACT)?).map_err(|error| error.as_failure())
}

/// Trains the learner of the model in `model` on every fold of the history in `history`, with its parameters, and writes the `backtest` artifact into
/// `out`.
///
/// # Errors
/// When the history cannot be cut, or a fold cannot be learnt from.
pub fn backtest(history: &Path, model: &Path, how: &Settings, out: &Path) -> Result<Response, BacktestError> {
    let history = frame_file::read(history)?;
    let plan = history.record.folds.clone().ok_or(BacktestError::NotCut)?;
    let model = trained::read_record(model)?;
    let learner = learners::of(&model.kind).ok_or_else(|| BacktestError::Kind { kind: model.kind.clone() })?;
    let settings = settings(learner, &model, &plan, how)?;
    let scratch = tempfile::tempdir().map_err(BacktestError::Scratch)?;
    let (mut forecasts, mut records) = (Predictions::default(), Vec::new());
    let (folds, mut teller) = (folds::cut(&plan, &history)?, Teller::new(how.scratch.as_deref(), "fold"));
    let all = folds.len() as u64;
    // What an earlier run left behind is taken up again in no time; that run was ended in the last part that it left.
    let left = |number: &u64| teller.part(*number).is_some_and(|part| fs::stat(&part).is_ok_and(|there| there.is_some()));
    teller.goes_on_from((0..all).take_while(left).last().unwrap_or(0));
    for (number, fold) in (0..).zip(&folds) {
        teller.tell(number, all, BTreeMap::new());
        let place = scratch.path().join(number.to_string());
        let settings = Settings { scratch: teller.part(number), ..settings.clone() };
        records.push(one_fold(learner, &settings, &history, fold, &place, &mut forecasts)?);
        fs::remove_tree(&place)?;
    }
    let response = response(&forecasts, &records);
    let levels = forecasts.quantiles.as_ref().map(|all| all.levels.clone()).unwrap_or_default();
    let record = BacktestRecord { kind: model.kind, frame: history.record, params: settings.params, levels, folds: records };
    backtest_file::write(out, &forecasts, &record)?;
    Ok(response)
}

/// The model's parameters for a fold. Where folds have no rows for early stopping the model's own rounds are used, if they were chosen early enough.
fn settings(learner: &dyn Learner, model: &ModelRecord, plan: &Folds, how: &Settings) -> Result<Settings, BacktestError> {
    let mut params = model.params.clone();
    let (from, _) = plan.range();
    let reads_series = model.features.is_empty() && !model.trained_on.is_empty();
    let own_choice = match plan {
        Folds::WalkForward(walk) => walk.valid.is_some(),
        Folds::Purged(_) if reads_series => return Err(BacktestError::Series { kind: model.kind.clone() }),
        Folds::Purged(_) => false,
    };
    let rounds = model.rounds_kept();
    if !own_choice && !rounds.is_empty() {
        let chosen = model.trained_on.iter().filter(|seen| seen.split == Part::Valid.word()).map(|seen| &seen.outcome_last).max();
        if let (Folds::WalkForward(_), Some(chosen)) = (plan, chosen)
            && *chosen >= from.to_string()
        {
            return Err(BacktestError::Rounds { chosen: chosen.clone(), from: from.to_string() });
        }
        learner.fix_rounds(&mut params, &rounds);
    }
    Ok(Settings { params, tuned_on: tuned_before(model, plan)?, ..how.clone() })
}

/// The rows that the model's parameters were chosen by: all of them before the first fold, or, where folds learn from both sides, apart from all.
fn tuned_before(model: &ModelRecord, plan: &Folds) -> Result<Vec<TrainedOn>, BacktestError> {
    let tuned_on = model.tuned_on();
    let (from, to) = plan.range();
    let (from, to) = (from.to_string(), to.to_string());
    let meets = |seen: &&TrainedOn| seen.outcome_last >= from && (matches!(plan, Folds::WalkForward(_)) || seen.first <= to);
    match tuned_on.iter().filter(meets).map(|seen| seen.outcome_last.clone()).max() {
        Some(chosen) => Err(BacktestError::Tuned { chosen, from }),
        None => Ok(tuned_on),
    }
}

fn one_fold(
    learner: &dyn Learner,
    settings: &Settings,
    history: &FrameData,
    fold: &Fold,
    place: &Path,
    forecasts: &mut Predictions,
) -> Result<FoldRecord, BacktestError> {
    let date = |row: Option<&usize>| row.map_or_else(String::new, |&row| iso_date(history.dates[row]));
    let (first, last) = (date(fold.test.first()), date(fold.test.last()));
    let lesson = folds::lesson(history, fold);
    let failed = |source: LearnError| BacktestError::Fold { test: first.clone(), source: Box::new(source) };
    teach(learner, &lesson, settings, place).map_err(failed)?;
    let model = trained::read(place)?;
    let predicted = model.predict(history, &fold.test)?;
    let wrong = predicted.iter().filter(|level| !level.is_finite()).count();
    if wrong > 0 {
        return Err(failed(LearnError::NotFinite { rows: wrong, of: predicted.len() }));
    }
    let outcomes = history.outcome_levels();
    forecasts.dates.extend(fold.test.iter().map(|&row| history.dates[row]));
    forecasts.outcome_dates.extend(fold.test.iter().map(|&row| history.outcome_dates[row]));
    forecasts.folds.extend(fold.test.iter().map(|_| first.clone()));
    forecasts.price.extend(fold.test.iter().map(|&row| history.price[row]));
    forecasts.actual.extend(fold.test.iter().map(|&row| outcomes[row]));
    forecasts.predicted.extend(predicted);
    if let Some(quantiles) = model.quantiles(history, &fold.test)? {
        forecasts.quantiles.get_or_insert_default().extend(quantiles);
    }
    let ModelRecord { rounds, levels, trained_on, .. } = model.record;
    Ok(FoldRecord { first, last, rows: fold.test.len() as u64, rounds, levels, trained_on })
}

/// The error over all folds beside the naive forecast's.
fn response(forecasts: &Predictions, folds: &[FoldRecord]) -> Response {
    let mae = |levels: &[f64]| mean_error(levels, &forecasts.actual, f64::abs);
    let (own, naive) = (mae(&forecasts.predicted), mae(&forecasts.price));
    let metrics = [
        ("folds", count(folds.len())),
        ("rows", count(forecasts.dates.len())),
        ("backtest_mae", own),
        ("backtest_naive_mae", naive),
        ("backtest_mae_ratio", own / naive),
    ];
    let mut metrics: BTreeMap<String, f64> = metrics.map(|(name, value)| (name.to_owned(), value)).into();
    let crossed = forecasts.quantiles.as_ref().and_then(|all| mean(&all.crossed.iter().map(|crossed| share(*crossed)).collect::<Vec<_>>()));
    metrics.extend(crossed.map(|crossed| ("crossed".to_owned(), crossed)));
    Response { metrics, ..Response::default() }
}
