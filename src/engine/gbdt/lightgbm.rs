//! Owns training and reading `LightGBM` models. Invariant: the same data and parameters give the same text as the vendor's Python package, round
//! for round, and reach the dataset as well as the booster.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::engine::gbdt::by_feature;
use crate::engine::gbdt::data::{Sample, TrainingData, parameter_text};
use crate::engine::gbdt::error::GbdtError;
use crate::engine::gbdt::ffi::c::Rows;
use crate::engine::gbdt::ffi::lightgbm::{LightGbm, LightGbmBooster, LightGbmData};
use crate::engine::gbdt::stopping::EarlyStopping;
use crate::engine::native;

/// Characters that the model's text cannot hold in a name.
const NOT_IN_NAMES: &[char] = &['"', ',', ':', '[', ']', '{', '}', '\n'];

/// How predictions are asked for.
const ALONE: &str = "num_threads=1 verbosity=-1";

/// The library, loaded.
///
/// # Errors
/// When it is not there, or lacks a function that is used.
pub fn library() -> Result<&'static LightGbm, GbdtError> {
    LightGbm::load(&native::library("lightgbm").unwrap_or_default())
}

/// Trains `rounds` rounds, or fewer where `stopping` says so; the model's text and the rounds in it.
///
/// # Errors
/// What the library says; early stopping without valid rows; a feature name that the text cannot hold.
pub fn train(
    data: &TrainingData,
    params: &BTreeMap<String, Value>,
    rounds: u32,
    stopping: Option<EarlyStopping>,
) -> Result<(String, u32), GbdtError> {
    check_names(&data.features)?;
    let params = parameters(params, data)?;
    let library = library()?;
    let train = load(library, &data.train, data, &params, None)?;
    let valid = if stopping.is_some() {
        let sample = data.valid.as_ref().ok_or(GbdtError::NoValidRows)?;
        Some(load(library, sample, data, &params, Some(&train))?)
    } else {
        None
    };
    let mut booster = library.booster(train, &params)?;
    if let Some(valid) = valid {
        booster.add_valid(valid)?;
    }
    let kept = boost(&mut booster, rounds, stopping)?;
    Ok((booster.text(kept)?, kept))
}

/// Runs rounds, until the metrics on the valid rows stand still where that is asked for; how many to keep.
fn boost(booster: &mut LightGbmBooster, rounds: u32, mut stopping: Option<EarlyStopping>) -> Result<u32, GbdtError> {
    for round in 0..rounds {
        booster.update()?;
        let Some(watch) = &mut stopping else { continue };
        if let Some(best) = watch.observe(round, &booster.valid_scores()?) {
            return Ok(best + 1);
        }
    }
    Ok(stopping.map_or(rounds, |watch| watch.best_round() + 1))
}

fn load(
    library: &'static LightGbm,
    sample: &Sample,
    data: &TrainingData,
    params: &str,
    reference: Option<&LightGbmData>,
) -> Result<LightGbmData, GbdtError> {
    let mut rows = library.data(Rows::new(&sample.values, data.features.len()), params, reference)?;
    rows.set("label", &sample.label)?;
    if let Some(weight) = &sample.weight {
        rows.set("weight", weight)?;
    }
    rows.set_names(&data.names())?;
    Ok(rows)
}

fn check_names(features: &[String]) -> Result<(), GbdtError> {
    let refuse = |name: &String, why| Err(GbdtError::FeatureName { library: "lightgbm", name: name.clone(), why });
    match features.iter().find(|name| name.contains(NOT_IN_NAMES)) {
        Some(name) => refuse(name, "it holds one of \" , : [ ] { }"),
        None => features.iter().find(|name| name.contains(' ')).map_or(Ok(()), |name| refuse(name, "it holds a space")),
    }
}

/// The parameters in the vendor's one line; what is given by a feature's name becomes what the library reads.
fn parameters(params: &BTreeMap<String, Value>, data: &TrainingData) -> Result<String, GbdtError> {
    let features = &data.features;
    let mut words = Vec::new();
    for (name, value) in params {
        let text = match name.as_str() {
            "categorical_feature" => {
                let places = categories(value, features)?;
                by_feature::check_codes(&places, data)?;
                places.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
            }
            "monotone_constraints" => joined(&by_feature::values("monotone_constraints", value, &Value::from(0), features)?),
            "interaction_constraints" => parameter_text(&by_feature::groups("interaction_constraints", value, features)?, &joined),
            _ => parameter_text(value, &joined),
        };
        words.push(format!("{name}={text}"));
    }
    Ok(words.join(" "))
}

/// A list as `1,2`; a list of lists as `[1,2],[3]`.
fn joined(items: &[Value]) -> String {
    let inner = |item: &Value| match item {
        Value::Array(_) => format!("[{}]", parameter_text(item, &joined)),
        other => parameter_text(other, &joined),
    };
    items.iter().map(inner).collect::<Vec<_>>().join(",")
}

/// The places of categorical features, given by name (also as `"name:a,b"`) or index.
fn categories(value: &Value, features: &[String]) -> Result<Vec<usize>, GbdtError> {
    let text = parameter_text(value, &joined);
    let by_name = text.strip_prefix("name:").unwrap_or(&text);
    let words = by_name.split(',').map(str::trim).filter(|word| !word.is_empty());
    words.map(|word| by_feature::place("categorical_feature", word, features)).collect()
}

/// A trained model.
pub struct Model(LightGbmBooster);

impl Model {
    /// Reads a model's text.
    ///
    /// # Errors
    /// What the library says.
    pub fn read(text: &str) -> Result<Self, GbdtError> {
        library()?.booster_from_text(text).map(Self)
    }

    /// How many features a row must have.
    ///
    /// # Errors
    /// What the library says.
    pub fn features(&self) -> Result<usize, GbdtError> {
        self.0.features()
    }

    /// One prediction a row, on one thread.
    ///
    /// # Errors
    /// What the library says.
    pub fn predict(&self, values: &[f64], columns: usize) -> Result<Vec<f64>, GbdtError> {
        if values.is_empty() {
            return Ok(Vec::new());
        }
        self.0.predict(Rows::new(values, columns), ALONE)
    }

    /// The probability of each class, class after class within a row; of a model that was trained for classes.
    ///
    /// # Errors
    /// What the library says.
    pub fn probabilities(&self, values: &[f64], columns: usize) -> Result<Vec<f64>, GbdtError> {
        if values.is_empty() {
            return Ok(Vec::new());
        }
        self.0.probabilities(Rows::new(values, columns), ALONE)
    }

    /// What each feature adds to each row's raw prediction (SHAP values), and last what all rows begin with: `columns + 1` numbers a row.
    ///
    /// # Errors
    /// What the library says, also of trees with linear leaves.
    pub fn contributions(&self, values: &[f64], columns: usize) -> Result<Vec<f64>, GbdtError> {
        if values.is_empty() {
            return Ok(Vec::new());
        }
        self.0.contributions(Rows::new(values, columns), ALONE)
    }

    /// The gain of all splits by each feature.
    ///
    /// # Errors
    /// What the library says.
    pub fn gains(&self) -> Result<Vec<f64>, GbdtError> {
        self.0.gains()
    }
}
