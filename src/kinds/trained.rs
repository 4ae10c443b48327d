//! Owns reading a `model` artifact, whichever kind made it, and predicting with it. Invariant: a prediction is a price level; features are found by
//! name, and a frame of another label, price or feature list is refused, never guessed at.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::engine::answers::{Answers, AnswersError};
use crate::engine::combining::{Combination, CombineError};
use crate::engine::frame_file::{FrameData, FrameFileError, iso_date};
use crate::engine::gbdt::error::GbdtError;
use crate::engine::gbdt::{lightgbm, xgboost};
use crate::engine::judging::importance::Explanation;
use crate::engine::linear::model::LinearModel;
#[cfg(feature = "neural")]
use crate::engine::neural::error::NeuralError;
#[cfg(feature = "neural")]
use crate::engine::neural::model::{NeuralModel, Prepared};
#[cfg(feature = "neural")]
use crate::engine::neural::network::Network;
#[cfg(feature = "neural")]
use crate::engine::neural::{device, file};
use crate::engine::quantiles::{PastChanges, Quantiles};
use crate::engine::series::error::SeriesError;
use crate::engine::series::model::SeriesModel;
use crate::io::fs::{self, FsError};
use crate::model::training::{LevelRecord, ModelRecord, level_name};

/// What a model's record is called inside its artifact.
pub const RECORD_FILE: &str = "model.json";
/// What a `LightGBM` model is called inside its artifact.
pub const LIGHTGBM_FILE: &str = "model.txt";
/// What an `XGBoost` model is called inside its artifact.
pub const XGBOOST_FILE: &str = "model.ubj";
/// What a linear model is called inside its artifact.
pub const LINEAR_FILE: &str = "linear.json";
/// What a model of the price series is called inside its artifact.
pub const SERIES_FILE: &str = "series.json";
/// The weights of an ensemble's members by regime, inside its artifact.
pub const REGIMES_FILE: &str = "regimes.json";
/// The trees over an ensemble's members, inside its artifact.
pub const STACK_FILE: &str = "stack.txt";
/// What a quantile set's past changes are called inside its artifact.
pub const CHANGES_FILE: &str = "changes.json";
/// What a network's weights are called inside its artifact.
pub const WEIGHTS_FILE: &str = "model.safetensors";
/// What the rest of a network is called inside its artifact.
pub const NETWORK_FILE: &str = "network.json";
/// The folder of an ensemble's members, each under its number.
pub const MEMBERS_FOLDER: &str = "members";

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrainedError {
    /// A file cannot be read.
    #[error(transparent)]
    Io(#[from] FsError),
    /// The record, or a model in JSON, is none.
    #[error("{}: {source}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What the reader says.
        source: serde_json::Error,
    },
    /// The artifact was made by something that makes no models.
    #[error("{}: '{kind}' is no kind of model", path.display())]
    Kind {
        /// The record's file.
        path: PathBuf,
        /// The kind it names.
        kind: String,
    },
    /// A network cannot be read, or cannot forecast these rows.
    #[cfg(feature = "neural")]
    #[error(transparent)]
    Neural(#[from] NeuralError),
    /// The record and the file beside it disagree.
    #[error("{}: the model reads {found} features, its record names {named}", path.display())]
    Features {
        /// The model's file.
        path: PathBuf,
        /// Features in the record.
        named: usize,
        /// Features in the model.
        found: usize,
    },
    /// A model file that is no text.
    #[error("{} is not text", path.display())]
    NotText {
        /// The model's file.
        path: PathBuf,
    },
    /// The library refused.
    #[error(transparent)]
    Gbdt(#[from] GbdtError),
    /// The frame's price history cannot be used.
    #[error(transparent)]
    Series(#[from] SeriesError),
    /// The frame's rows cannot be used.
    #[error(transparent)]
    Frame(#[from] FrameFileError),
    /// What a model that runs elsewhere answered cannot be read.
    #[error(transparent)]
    Answers(#[from] AnswersError),
    /// A model that runs elsewhere was not asked.
    #[error("the model was trained in BigQuery, and was not asked about the row of {date}: it knows the rows of its own frame")]
    NotAsked {
        /// The row's date.
        date: String,
    },
    /// Members' forecasts cannot be made one.
    #[error(transparent)]
    Combine(#[from] CombineError),
    /// The model forecasts something else than the frame asks for.
    #[error("the model forecasts {model}, the frame asks for {frame}")]
    OtherQuestion {
        /// What the model forecasts.
        model: String,
        /// What the frame asks for.
        frame: String,
    },
}

/// A model read back from its artifact.
pub struct TrainedModel {
    /// What the model says of itself.
    pub record: ModelRecord,
    form: Form,
}

enum Form {
    /// The price stays where it is.
    Naive,
    LightGbm(lightgbm::Model),
    XgBoost(xgboost::Model),
    Linear(LinearModel),
    Series(SeriesModel),
    /// A model that runs elsewhere: what it answered.
    Told(Answers),
    #[cfg(feature = "neural")]
    Neural(Box<NeuralModel>),
    /// The models of a quantile set, by level, and what the naive quantiles are made from.
    Quantiles(Vec<Form>, PastChanges),
    /// Members, and what makes one forecast of theirs.
    Ensemble(Vec<TrainedModel>, Combination),
}

/// Reads the model in `folder`.
///
/// # Errors
/// When the folder holds no model that can be read.
pub fn read(folder: &Path) -> Result<TrainedModel, TrainedError> {
    let record = read_record(folder)?;
    let form = match record.kind.as_str() {
        "naive" => Form::Naive,
        "lightgbm" => Form::LightGbm(read_lightgbm(&folder.join(LIGHTGBM_FILE), &record)?),
        "xgboost" => Form::XgBoost(read_xgboost(&folder.join(XGBOOST_FILE), &record)?),
        "ridge" | "elastic_net" => Form::Linear(read_linear(&folder.join(LINEAR_FILE), &record)?),
        "seasonal_naive" | "drift" | "ar" | "exponential_smoothing" | "garch" => Form::Series(read_json(&folder.join(SERIES_FILE))?),
        #[cfg(feature = "neural")]
        "neural" => Form::Neural(Box::new(read_neural(folder, &record)?)),
        "bqml" => Form::Told(Answers::read(folder)?),
        "quantiles" => read_quantiles(folder, &record)?,
        "ensemble" => Form::Ensemble(read_members(folder, &record)?, read_combination(folder, &record)?),
        other => return Err(TrainedError::Kind { path: folder.join(RECORD_FILE), kind: other.to_owned() }),
    };
    Ok(TrainedModel { record, form })
}

/// Reads what the model in `folder` says of itself, and not the model.
///
/// # Errors
/// When it cannot be read.
pub fn read_record(folder: &Path) -> Result<ModelRecord, TrainedError> {
    read_json(&folder.join(RECORD_FILE))
}

fn read_quantiles(folder: &Path, record: &ModelRecord) -> Result<Form, TrainedError> {
    let one = |level: &LevelRecord| {
        let path = folder.join(quantile_file(level.level));
        match record.params.get("learner").and_then(Value::as_str) {
            Some("xgboost") => Ok(Form::XgBoost(read_xgboost(&path, record)?)),
            _ => Ok(Form::LightGbm(read_lightgbm(&path, record)?)),
        }
    };
    let models = record.levels.iter().map(one).collect::<Result<_, TrainedError>>()?;
    Ok(Form::Quantiles(models, read_json(&folder.join(CHANGES_FILE))?))
}

fn read_lightgbm(path: &Path, record: &ModelRecord) -> Result<lightgbm::Model, TrainedError> {
    let model = lightgbm::Model::read(&read_text(path)?)?;
    check_features(path, record, model.features()?)?;
    Ok(model)
}

fn read_text(path: &Path) -> Result<String, TrainedError> {
    String::from_utf8(fs::read(path)?).map_err(|_| TrainedError::NotText { path: path.to_owned() })
}

fn read_xgboost(path: &Path, record: &ModelRecord) -> Result<xgboost::Model, TrainedError> {
    let model = xgboost::Model::read(&fs::read(path)?)?;
    check_features(path, record, model.features()?)?;
    Ok(model)
}

fn read_linear(path: &Path, record: &ModelRecord) -> Result<LinearModel, TrainedError> {
    let model: LinearModel = read_json(path)?;
    check_features(path, record, model.features.len())?;
    Ok(model)
}

#[cfg(feature = "neural")]
fn read_neural(folder: &Path, record: &ModelRecord) -> Result<NeuralModel, TrainedError> {
    let prepared: Prepared = read_json(&folder.join(NETWORK_FILE))?;
    let path = folder.join(WEIGHTS_FILE);
    check_features(&path, record, prepared.features.len())?;
    let network = Network::new(prepared.network.clone());
    let weights = file::read(&fs::read(&path)?, &network.slots, &device::processor().device)?;
    Ok(NeuralModel { prepared, network, weights })
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, TrainedError> {
    serde_json::from_slice(&fs::read(path)?).map_err(|source| TrainedError::Record { path: path.to_owned(), source })
}

fn check_features(path: &Path, record: &ModelRecord, found: usize) -> Result<(), TrainedError> {
    let named = record.features.len();
    if found == named { Ok(()) } else { Err(TrainedError::Features { path: path.to_owned(), named, found }) }
}

fn read_members(folder: &Path, record: &ModelRecord) -> Result<Vec<TrainedModel>, TrainedError> {
    (0..record.members.len()).map(|index| read(&member_folder(folder, index))).collect()
}

fn read_combination(folder: &Path, record: &ModelRecord) -> Result<Combination, TrainedError> {
    let how = record.params.get("weights").and_then(Value::as_object).and_then(|how| how.keys().next());
    match how.map(String::as_str) {
        Some("by_regime") => Ok(Combination::ByRegime(read_json(&folder.join(REGIMES_FILE))?)),
        Some("stacked_trees") => Ok(Combination::Trees(lightgbm::Model::read(&read_text(&folder.join(STACK_FILE))?)?)),
        _ => Ok(Combination::Shares(record.members.iter().map(|member| member.weight).collect())),
    }
}

/// What the model of a level is called inside a quantile set's artifact.
#[must_use]
pub fn quantile_file(level: f64) -> String {
    format!("{}.model", level_name(level))
}

/// Where the member with this number stands.
#[must_use]
pub fn member_folder(folder: &Path, index: usize) -> PathBuf {
    folder.join(MEMBERS_FOLDER).join(index.to_string())
}

impl TrainedModel {
    /// The price forecast for each of the given rows.
    ///
    /// # Errors
    /// When the frame asks for something else than the model forecasts, or lacks one of its features.
    pub fn predict(&self, frame: &FrameData, rows: &[usize]) -> Result<Vec<f64>, TrainedError> {
        self.check(frame)?;
        let features = &self.record.features;
        let answers = match &self.form {
            Form::Naive => return Ok(rows.iter().map(|&row| frame.price[row]).collect()),
            Form::Ensemble(members, combination) => return together(members, combination, frame, rows),
            Form::Series(model) => return Ok(model.predict(frame, rows)?),
            Form::Quantiles(..) => return Ok(self.quantiles(frame, rows)?.unwrap_or_default().median().to_vec()),
            #[cfg(feature = "neural")]
            Form::Neural(model) => model.predict(frame, rows)?,
            Form::Told(answers) => self.told(answers, frame, rows)?,
            Form::Linear(model) => model.predict(&frame.matrix(features, rows)?),
            Form::LightGbm(model) => model.predict(&frame.matrix(features, rows)?, features.len())?,
            Form::XgBoost(model) => model.predict(&frame.matrix(features, rows)?, features.len())?,
        };
        Ok(self.levels(&answers, frame, rows))
    }

    /// What a model that runs elsewhere answered to these rows.
    fn told(&self, answers: &Answers, frame: &FrameData, rows: &[usize]) -> Result<Vec<f64>, TrainedError> {
        let one = |row: &usize| {
            let found = answers.find(&frame.matrix(&self.record.features, &[*row])?);
            found.ok_or_else(|| TrainedError::NotAsked { date: iso_date(frame.dates[*row]) })
        };
        rows.iter().map(one).collect()
    }

    /// The quantiles forecast for each of the given rows, none crossing another; none where the model is no quantile set.
    ///
    /// # Errors
    /// When the frame asks for something else than the model forecasts, or lacks one of its features.
    pub fn quantiles(&self, frame: &FrameData, rows: &[usize]) -> Result<Option<Quantiles>, TrainedError> {
        self.check(frame)?;
        let Form::Quantiles(models, past) = &self.form else { return Ok(None) };
        let features = &self.record.features;
        let matrix = frame.matrix(features, rows)?;
        let mut own = Vec::with_capacity(models.len());
        for model in models {
            let answers = match model {
                Form::LightGbm(model) => model.predict(&matrix, features.len())?,
                Form::XgBoost(model) => model.predict(&matrix, features.len())?,
                _ => Vec::new(),
            };
            own.push(self.levels(&answers, frame, rows));
        }
        let levels: Vec<f64> = self.record.levels.iter().map(|level| level.level).collect();
        let naive: Vec<Vec<f64>> = rows.iter().map(|&row| past.around(frame.price[row])).collect();
        Ok(Some(Quantiles::rearranged(&levels, own, &naive)))
    }

    /// Answers in the form of the label as prices. Both forms keep the order, so a quantile of the label is one of the price.
    fn levels(&self, answers: &[f64], frame: &FrameData, rows: &[usize]) -> Vec<f64> {
        let kind = self.record.frame.label.kind;
        answers.iter().zip(rows).map(|(&answer, &row)| kind.to_level(answer, frame.price[row])).collect()
    }

    /// The forecast standard deviation of the log return from each of the given rows to its outcome; none where the model forecasts no such thing.
    ///
    /// # Errors
    /// When the frame asks for something else than the model forecasts, or lacks the prices it needs.
    pub fn volatility(&self, frame: &FrameData, rows: &[usize]) -> Result<Option<Vec<f64>>, TrainedError> {
        self.check(frame)?;
        match &self.form {
            Form::Series(model) => Ok(model.volatility(frame, rows)?),
            _ => Ok(None),
        }
    }

    /// What moves the model: each feature's gain, and what it adds to the given rows' raw predictions. `None` of a model that is not made of trees.
    ///
    /// # Errors
    /// When the frame asks for something else or lacks a feature, or the library cannot say.
    pub fn explain(&self, frame: &FrameData, rows: &[usize]) -> Result<Option<Explanation>, TrainedError> {
        self.check(frame)?;
        let features = &self.record.features;
        let (gains, contributions) = match &self.form {
            Form::Naive | Form::Linear(_) | Form::Series(_) | Form::Told(_) | Form::Quantiles(..) | Form::Ensemble(..) => return Ok(None),
            #[cfg(feature = "neural")]
            Form::Neural(_) => return Ok(None),
            Form::LightGbm(model) => (model.gains()?, model.contributions(&frame.matrix(features, rows)?, features.len())?),
            Form::XgBoost(model) => (model.gains(features)?, model.contributions(&frame.matrix(features, rows)?, features.len())?),
        };
        Ok(Some(Explanation { gains, contributions }))
    }

    /// The level of the quantile that the model was trained to forecast, where it was.
    #[must_use]
    pub fn quantile(&self) -> Option<f64> {
        quantile(&self.record.kind, &self.record.params)
    }

    /// Refuses a frame that asks for another horizon or price.
    fn check(&self, frame: &FrameData) -> Result<(), TrainedError> {
        let (mine, theirs) = (&self.record.frame, &frame.record);
        if mine.asks_the_same(theirs) {
            return Ok(());
        }
        Err(TrainedError::OtherQuestion { model: question(mine), frame: question(theirs) })
    }
}

/// The level of the quantile that a learner forecasts with these parameters, where it forecasts one.
#[must_use]
pub fn quantile(kind: &str, params: &BTreeMap<String, Value>) -> Option<f64> {
    let objective = params.get("objective").and_then(Value::as_str);
    match (kind, objective) {
        // 0.9 is the vendor's own default.
        ("lightgbm", Some("quantile")) => Some(params.get("alpha").and_then(Value::as_f64).unwrap_or(0.9)),
        ("neural", _) if params.get("loss").and_then(Value::as_str) == Some("quantile") => params.get("alpha").and_then(Value::as_f64),
        ("xgboost", Some("reg:quantileerror")) => params.get("quantile_alpha").and_then(Value::as_f64),
        _ => None,
    }
}

fn question(frame: &crate::model::training::FrameRecord) -> String {
    let horizon = serde_json::to_value(frame.label.horizon).unwrap_or(Value::Null);
    format!("{}.{} at {horizon}", frame.price.table, frame.price.column)
}

/// What the members forecast together.
fn together(members: &[TrainedModel], combination: &Combination, frame: &FrameData, rows: &[usize]) -> Result<Vec<f64>, TrainedError> {
    let levels = members.iter().map(|member| member.predict(frame, rows)).collect::<Result<Vec<_>, _>>()?;
    let days: Vec<i32> = rows.iter().map(|&row| frame.dates[row]).collect();
    let prices: Vec<f64> = rows.iter().map(|&row| frame.price[row]).collect();
    Ok(combination.combine(&days, &prices, &levels)?)
}
