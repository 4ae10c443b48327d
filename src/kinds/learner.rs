//! Owns the one door to training: every learner is a `Learner`, and `learn` writes what it made. Invariant: a model's record names every row the
//! learner was given, and the metrics come from the model as read back from its files, not from the one in memory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base::digest::Digest;
use crate::base::json;
use crate::engine::backtest_file::BacktestFileError;
use crate::engine::frame_file::{self, FrameData, FrameFileError, Part};
use crate::engine::gbdt::data::{Sample, TrainingData, single};
use crate::engine::gbdt::error::GbdtError;
use crate::engine::linear::rows::LinearError;
use crate::engine::native;
#[cfg(feature = "neural")]
use crate::engine::neural::error::NeuralError;
use crate::engine::numbers::{mean, share};
use crate::engine::parameters::ParameterError;
use crate::engine::regimes::RegimeError;
use crate::engine::series::error::SeriesError;
use crate::engine::table_columns::ColumnError;
use crate::engine::table_file::TableFileError;
use crate::io::fs::{self, FsError};
use crate::kinds::request::{Request, Response, RunError};
use crate::kinds::trained::{self, RECORD_FILE, TrainedError, TrainedModel};
use crate::kinds::tuned::{self, TunedError};
use crate::model::training::{Engine, LevelRecord, ModelRecord, TrainedOn};

/// The slot of the frame's `fit` artifact.
pub const FRAME_SLOT: &str = "frame";
/// The artifact that every learner makes.
pub const ARTIFACT: &str = "model";

/// What a learner is told besides the frame.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The learner's parameters under the vendor's primary names, defaults that we set included.
    pub params: BTreeMap<String, Value>,
    /// The graphics adapter that it is to train on: the request's, for it is part of the platform class.
    #[serde(skip)]
    pub adapter: Option<String>,
    /// Threads it may use: the request's, for they enter an action's key by themselves.
    #[serde(skip)]
    pub threads: u32,
    /// The rows that the parameters were chosen by, where a search chose them.
    #[serde(skip)]
    pub tuned_on: Vec<TrainedOn>,
    /// A folder for what an interrupted training goes on from: the request's, or one inside it.
    #[serde(skip)]
    pub scratch: Option<PathBuf>,
}

impl Settings {
    /// A number among the parameters.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<f64> {
        self.params.get(name).and_then(Value::as_f64)
    }

    /// A word among the parameters.
    #[must_use]
    pub fn word(&self, name: &str) -> Option<&str> {
        self.params.get(name).and_then(Value::as_str)
    }

    /// Whether a parameter is `true`.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.params.get(name) == Some(&Value::Bool(true))
    }

    /// A whole number among the parameters.
    #[must_use]
    pub fn count(&self, name: &str) -> Option<u32> {
        self.params.get(name).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok())
    }
}

/// Something that learns from a frame.
pub trait Learner {
    /// The kind that makes it.
    fn kind(&self) -> &'static str;

    /// The parameters that a recipe gives, made whole: checked, under their primary names, with the defaults that are set here. Of a learner without
    /// parameters there are none to give.
    ///
    /// # Errors
    /// When one is refused.
    fn parameters(&self, given: &Map<String, Value>) -> Result<BTreeMap<String, Value>, ParameterError> {
        match given.keys().next() {
            None => Ok(BTreeMap::new()),
            Some(name) => Err(ParameterError::Unknown { name: name.clone(), library: self.kind().to_owned(), nearest: None }),
        }
    }

    /// The parameter that says how many rounds are trained, of learners with rounds.
    fn rounds_key(&self) -> Option<&'static str> {
        None
    }

    /// Learns from the train rows of `frame` (and its valid rows, where the parameters ask for early stopping).
    ///
    /// # Errors
    /// When it cannot learn from this frame.
    fn fit(&self, frame: &FrameData, settings: &Settings) -> Result<Fitted, LearnError>;

    /// Changes the parameters so that so many rounds are trained, by each of its models, and none is chosen; learners without rounds leave them as
    /// they are.
    fn fix_rounds(&self, _params: &mut BTreeMap<String, Value>, _rounds: &[u32]) {}
}

/// What a learner made.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Fitted {
    /// Its native files: name → bytes.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Its parameters as run.
    pub params: BTreeMap<String, Value>,
    /// Its seed.
    pub seed: Option<u64>,
    /// Rounds kept.
    pub rounds: Option<u32>,
    /// The models of a quantile set.
    pub levels: Vec<LevelRecord>,
    /// The features it reads.
    pub features: Vec<String>,
    /// The parts of the frame it was given.
    pub seen: Vec<Part>,
    /// The library that trained it.
    pub engine: Option<Engine>,
    /// What the library warned of.
    pub warnings: Vec<String>,
    /// Figures about the fit, by name.
    pub metrics: BTreeMap<String, f64>,
}

/// Runs a learner's action.
///
/// # Errors
/// When nothing was learnt.
pub fn run(learner: &dyn Learner, request: &Request) -> Result<Response, RunError> {
    let (scratch, adapter) = (request.scratch.clone(), request.adapter.clone());
    let mut settings = Settings { threads: request.threads, scratch, adapter, ..request.params()? };
    let mut note = None;
    if let Some(folder) = request.inputs.get(tuned::SLOT) {
        let (all, choice) = tuned::apply(learner.kind(), &settings.params, folder).map_err(|error| error.as_failure())?;
        settings.params = learner.parameters(&all).map_err(|error| TunedError::from(error).as_failure())?;
        note = Some(format!("tuned: {}", tuned::in_words(&choice.params)));
        settings.tuned_on = choice.tuned_on;
    }
    let (fit, out) = (request.input(FRAME_SLOT)?, request.output(ARTIFACT)?);
    let mut report = learn(learner, fit, &settings, &out).map_err(|error| error.as_failure())?;
    report.notes.extend(note);
    Ok(report)
}

/// Why nothing was learnt.
#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    /// The frame cannot be used.
    #[error(transparent)]
    Frame(#[from] FrameFileError),
    /// The library refused.
    #[error(transparent)]
    Gbdt(#[from] GbdtError),
    /// A linear model has no solution.
    #[error(transparent)]
    Linear(#[from] LinearError),
    /// A network cannot be trained.
    #[cfg(feature = "neural")]
    #[error(transparent)]
    Neural(#[from] NeuralError),
    /// The price series cannot be learnt from.
    #[error(transparent)]
    Series(#[from] SeriesError),
    /// The model cannot be read back, or cannot predict.
    #[error(transparent)]
    Model(#[from] TrainedError),
    /// A file cannot be written.
    #[error(transparent)]
    Io(#[from] FsError),
    /// The model's record cannot be written.
    #[error("{}: {source}", path.display())]
    Record {
        /// The record's file.
        path: PathBuf,
        /// What the writer says.
        source: serde_json::Error,
    },
    /// A frame without rows to learn from.
    #[error("the frame has no {0} rows")]
    NoRows(&'static str),
    /// Forecasts that are no numbers.
    #[error("the model's forecast is not a finite number on {rows} of {of} valid rows")]
    NotFinite {
        /// How many.
        rows: usize,
        /// Of how many.
        of: usize,
    },
    /// Out-of-sample forecasts that cannot be read or written.
    #[error(transparent)]
    Backtest(#[from] BacktestFileError),
    /// The calendar of regimes cannot be read.
    #[error(transparent)]
    Table(#[from] TableFileError),
    /// It cannot be used, or lacks a day.
    #[error("the calendar of regimes: {0}")]
    Regimes(#[from] RegimeError),
    /// Weights that cannot be earned.
    #[error("{why}")]
    Weights {
        /// Why not.
        why: String,
    },
    /// Members of an ensemble that answer different questions.
    #[error("member {member} cannot take part: {why}")]
    Member {
        /// Its number in the recipe's list, from 1.
        member: usize,
        /// Why not.
        why: String,
    },
}

impl LearnError {
    /// As the action's failure: the frame's fault is a data check's refusal.
    #[must_use]
    pub fn as_failure(&self) -> RunError {
        match self {
            Self::NoRows(part) => RunError::refused(self).hint(format!("widen the frame's `split.{part}`")),
            Self::Gbdt(GbdtError::NoValidRows) => RunError::refused(self).hint("give the frame's `split` a `valid` range that holds rows"),
            Self::Gbdt(GbdtError::NoFeature { nearest: Some(near), .. }) => RunError::invalid(self).hint(format!("did you mean '{near}'?")),
            Self::Gbdt(GbdtError::Code { .. }) => {
                RunError::refused(self).hint("number the categories from 0 in the SQL that makes the feature")
            }
            Self::Gbdt(GbdtError::Load { .. }) => RunError::failed(self).hint("cbi doctor"),
            Self::Gbdt(GbdtError::FeatureName { .. }) => RunError::invalid(self).hint("name the column otherwise in the SQL that makes it"),
            Self::Linear(LinearError::Dependent { .. }) => RunError::refused(self).hint("params = { alpha = 1.0 }"),
            Self::Regimes(RegimeError::Column(ColumnError::Missing { nearest: Some(near), .. })) => {
                RunError::invalid(self).hint(format!("did you mean '{near}'?"))
            }
            Self::Gbdt(GbdtError::NoFeature { .. } | GbdtError::Length { .. } | GbdtError::Unused { .. })
            | Self::Regimes(RegimeError::Column(_)) => RunError::invalid(self),
            Self::Regimes(_) => RunError::refused(self).hint("extend the calendar of regimes: every day belongs to one"),
            #[cfg(feature = "neural")]
            Self::Neural(error) => neural_failure(self, error),
            Self::Series(SeriesError::NotPositive { .. }) => {
                RunError::refused(self).hint("`series` in the stanza of an ar or exponential_smoothing model can name the price itself")
            }
            Self::Member { .. } | Self::Weights { .. } | Self::NotFinite { .. } | Self::Linear(_) | Self::Series(_) => {
                RunError::refused(self)
            }
            _ => RunError::failed(self),
        }
    }
}

/// What a person does about a network that was not trained.
#[cfg(feature = "neural")]
fn neural_failure(whole: &LearnError, error: &NeuralError) -> RunError {
    match error {
        NeuralError::NoValidRows => {
            RunError::refused(whole).hint("give the frame's `split` a `valid` range that holds rows, or the model `patience = 0`")
        }
        NeuralError::Past { window, .. } => RunError::invalid(whole).hint(format!("past = {}  # in the frame's stanza", window - 1)),
        NeuralError::Diverged { .. } => RunError::refused(whole).hint("a smaller `learning_rate`, or a smaller `clip_norm`"),
        NeuralError::NoAdapter { .. } => RunError::failed(whole).hint("cbi doctor lists the adapters"),
        _ => RunError::failed(whole),
    }
}

/// Trains on the `fit` artifact in `fit` and writes the `model` artifact into `out`.
///
/// # Errors
/// When the frame cannot be used, the learner refuses, or a file cannot be written.
pub fn learn(learner: &dyn Learner, fit: &Path, settings: &Settings, out: &Path) -> Result<Response, LearnError> {
    teach(learner, &frame_file::read(fit)?, settings, out)
}

/// Trains on the rows of `frame` and writes the `model` artifact into `out`.
///
/// # Errors
/// When the frame cannot be used, the learner refuses, or a file cannot be written.
pub fn teach(learner: &dyn Learner, frame: &FrameData, settings: &Settings, out: &Path) -> Result<Response, LearnError> {
    let fitted = learner.fit(frame, settings)?;
    let record = ModelRecord {
        kind: learner.kind().to_owned(),
        features: fitted.features,
        frame: frame.record.clone(),
        params: fitted.params,
        seed: fitted.seed,
        rounds: fitted.rounds,
        levels: fitted.levels,
        trained_on: fitted.seen.iter().filter_map(|&part| frame.trained_on(part)).chain(settings.tuned_on.clone()).collect(),
        engine: fitted.engine,
        members: Vec::new(),
    };
    fs::create_folders(out)?;
    for (name, bytes) in &fitted.files {
        fs::write(&out.join(name), bytes)?;
    }
    write_record(out, &record)?;
    let mut report = report(&trained::read(out)?, frame)?;
    report.notes.extend(fitted.warnings);
    report.metrics.extend(fitted.metrics);
    Ok(report)
}

/// Writes `model.json`.
///
/// # Errors
/// When the file cannot be written.
pub fn write_record(folder: &Path, record: &ModelRecord) -> Result<(), LearnError> {
    let path = folder.join(RECORD_FILE);
    let text = json::pretty(record).map_err(|source| LearnError::Record { path: path.clone(), source })?;
    Ok(fs::write(&path, text.as_bytes())?)
}

/// Rounds, and the model's error on the valid rows beside the naive forecast's.
///
/// # Errors
/// When the model cannot predict the frame's rows.
pub fn report(model: &TrainedModel, frame: &FrameData) -> Result<Response, LearnError> {
    let mut report = Response::default();
    if let Some(rounds) = model.record.rounds {
        report.metrics.insert("rounds".into(), f64::from(rounds));
    }
    let rows = frame.rows_of(Part::Valid);
    if rows.is_empty() {
        return Ok(report);
    }
    let outcomes = frame.outcome_levels();
    let actual: Vec<f64> = rows.iter().map(|&row| outcomes[row]).collect();
    let naive: Vec<f64> = rows.iter().map(|&row| frame.price[row]).collect();
    let forecast = model.predict(frame, &rows)?;
    let wrong = forecast.iter().filter(|level| !level.is_finite()).count();
    if wrong > 0 {
        return Err(LearnError::NotFinite { rows: wrong, of: rows.len() });
    }
    let measured = [("valid_", &forecast), ("valid_naive_", &naive)];
    for (prefix, levels) in measured {
        report.metrics.insert(format!("{prefix}mae"), mean_error(levels, &actual, f64::abs));
        report.metrics.insert(format!("{prefix}rmse"), mean_error(levels, &actual, |e| e * e).sqrt());
    }
    if let Some(quantiles) = model.quantiles(frame, &rows)? {
        let crossed: Vec<f64> = quantiles.crossed.iter().map(|crossed| share(*crossed)).collect();
        report.metrics.extend(mean(&crossed).map(|crossed| ("valid_crossed".to_owned(), crossed)));
    }
    Ok(report)
}

/// The mean over the rows of some measure of forecast less outcome.
#[must_use]
pub fn mean_error(forecast: &[f64], actual: &[f64], measure: impl Fn(f64) -> f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "fewer rows than a double counts exactly")]
    let count = forecast.len() as f64;
    forecast.iter().zip(actual).map(|(f, a)| measure(f - a)).sum::<f64>() / count
}

/// The library that trains, by its name and its file's bytes.
///
/// # Errors
/// When the file cannot be read.
pub fn library(name: &str, version: Option<String>) -> Result<Engine, LearnError> {
    let bytes = fs::read(&native::library(name).unwrap_or_default())?;
    Ok(Engine { name: name.to_owned(), version, library: Digest::of(&bytes) })
}

/// The frame's rows as a boosting library takes them; valid rows only where they are needed.
///
/// # Errors
/// When the frame has no train rows, or no valid rows though they are needed.
pub fn training_data(frame: &FrameData, with_valid: bool) -> Result<TrainingData, LearnError> {
    let train = sample(frame, Part::Train)?.ok_or(LearnError::NoRows("train"))?;
    let valid = if with_valid { Some(sample(frame, Part::Valid)?.ok_or(GbdtError::NoValidRows)?) } else { None };
    Ok(TrainingData { features: frame.record.features.clone(), train, valid })
}

fn sample(frame: &FrameData, part: Part) -> Result<Option<Sample>, LearnError> {
    let rows = frame.rows_of(part);
    if rows.is_empty() {
        return Ok(None);
    }
    let pick = |values: &[f64]| single(rows.iter().map(|&row| values[row]));
    Ok(Some(Sample {
        values: frame.matrix(&frame.record.features, &rows)?,
        label: pick(&frame.label),
        weight: frame.weight.as_deref().map(pick),
    }))
}
