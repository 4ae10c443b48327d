//! Owns training and reading `XGBoost` models. Invariant: the same data and parameters give the same trees as the vendor's Python package, and the
//! model holds the best round and those before it, none after.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::engine::gbdt::by_feature;
use crate::engine::gbdt::data::{Sample, TrainingData, parameter_text, single};
use crate::engine::gbdt::error::GbdtError;
use crate::engine::gbdt::ffi::c::Rows;
use crate::engine::gbdt::ffi::xgboost::{XgBoost, XgBoostBooster, XgBoostData};
use crate::engine::gbdt::stopping::EarlyStopping;
use crate::engine::native;

/// Characters that the vendor's Python package refuses in a name.
const NOT_IN_NAMES: &[char] = &['[', ']', '<'];

/// The parameter of the rows, not of the booster, that says which features are categories.
const TYPES: &str = "feature_types";

/// The library, loaded.
///
/// # Errors
/// When it is not there, or lacks a function that is used.
pub fn library() -> Result<&'static XgBoost, GbdtError> {
    XgBoost::load(&native::library("xgboost").unwrap_or_default())
}

/// What a training leaves behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trained {
    /// The model in UBJ.
    pub ubj: Vec<u8>,
    /// The rounds in it.
    pub rounds: u32,
    /// The library's version.
    pub version: Option<String>,
    /// What the library warned of.
    pub warnings: Vec<String>,
}

/// Trains `rounds` rounds, or fewer where `stopping` says so.
///
/// # Errors
/// What the library says; early stopping without valid rows; a feature name that the vendor's package would refuse.
pub fn train(
    data: &TrainingData,
    params: &BTreeMap<String, Value>,
    threads: u32,
    rounds: u32,
    stopping: Option<EarlyStopping>,
) -> Result<Trained, GbdtError> {
    if let Some(name) = data.features.iter().find(|name| name.contains(NOT_IN_NAMES)) {
        return Err(GbdtError::FeatureName { library: "xgboost", name: name.clone(), why: "it holds one of [ ] <" });
    }
    let library = library()?;
    library.keep_warnings()?;
    let types = types(params, data)?;
    let types: Option<Vec<&str>> = types.as_ref().map(|types| types.iter().map(String::as_str).collect());
    let sample = |sample| load(library, sample, data.features.len(), types.as_deref(), threads);
    let mut samples = vec![sample(&data.train)?];
    if stopping.is_some() {
        samples.push(sample(data.valid.as_ref().ok_or(GbdtError::NoValidRows)?)?);
    }
    let mut booster = library.booster(samples)?;
    for (name, value) in params.iter().filter(|(name, _)| *name != TYPES) {
        for (name, text) in settings(name, &placed(name, value, &data.features)?) {
            booster.set(name, &text)?;
        }
    }
    booster.set_names(&data.names())?;
    if let Some(types) = &types {
        booster.set_types(types)?;
    }
    let version = version(&booster.config()?);
    let kept = boost(library, &mut booster, rounds, stopping)?;
    let model = if kept < booster.rounds()? { booster.first_rounds(kept)? } else { booster };
    Ok(Trained { ubj: model.ubj()?, rounds: kept, version, warnings: library.warnings() })
}

/// What each feature is, `c` a category or `q` a quantity, where the parameters say so of any.
fn types(params: &BTreeMap<String, Value>, data: &TrainingData) -> Result<Option<Vec<String>>, GbdtError> {
    let Some(given) = params.get(TYPES) else { return Ok(None) };
    let types = by_feature::values(TYPES, given, &Value::from("q"), &data.features)?;
    let categories: Vec<usize> = types.iter().enumerate().filter(|(_, of)| *of == "c").map(|(at, _)| at).collect();
    by_feature::check_codes(&categories, data)?;
    Ok(Some(types.iter().map(|of| of.as_str().unwrap_or("q").to_owned()).collect()))
}

/// A parameter's value with features by their place, where it gives them by name.
fn placed(name: &str, value: &Value, features: &[String]) -> Result<Value, GbdtError> {
    match name {
        "monotone_constraints" => by_feature::values("monotone_constraints", value, &Value::from(0), features).map(Value::from),
        "interaction_constraints" => by_feature::groups("interaction_constraints", value, features),
        _ => Ok(value.clone()),
    }
}

/// Runs rounds, until the last metric on the valid rows stands still where that is asked for; how many to keep.
fn boost(library: &XgBoost, booster: &mut XgBoostBooster, rounds: u32, mut stopping: Option<EarlyStopping>) -> Result<u32, GbdtError> {
    for round in 0..rounds {
        booster.update(round)?;
        if round == 0 {
            refuse_unused(library)?;
        }
        let Some(watch) = &mut stopping else { continue };
        if let Some(best) = watch.observe(round, &[last_score(&booster.valid_scores(round)?)?]) {
            return Ok(best + 1);
        }
    }
    Ok(stopping.map_or(rounds, |watch| watch.best_round() + 1))
}

/// After its first round the library says which parameters this booster and objective have no use for: they are refused, not ignored.
fn refuse_unused(library: &XgBoost) -> Result<(), GbdtError> {
    match library.warnings().iter().find_map(|message| unused(message)) {
        Some(parameters) => Err(GbdtError::Unused { library: "xgboost", parameters }),
        None => Ok(()),
    }
}

/// The names in `Parameters: { "rate_drop" } are not used.`
fn unused(message: &str) -> Option<String> {
    let (_, after) = message.split_once("Parameters: {")?;
    let (names, _) = after.split_once("} are not used")?;
    Some(names.trim().replace('"', "'"))
}

/// The library's version, as its settings tell it.
fn version(config: &str) -> Option<String> {
    let config: Value = serde_json::from_str(config).ok()?;
    let numbers: Option<Vec<String>> = config["version"].as_array()?.iter().map(|n| n.as_u64().map(|n| n.to_string())).collect();
    numbers.map(|numbers| numbers.join("."))
}

/// The last number of `[3]\tvalid-mae:0.5\tvalid-rmse:0.25`.
fn last_score(answer: &str) -> Result<f64, GbdtError> {
    let number = answer.trim_end().rsplit(':').next().and_then(|number| number.parse().ok());
    number.ok_or_else(|| GbdtError::Answer { library: "xgboost", answer: answer.to_owned() })
}

fn load(
    library: &'static XgBoost,
    sample: &Sample,
    columns: usize,
    types: Option<&[&str]>,
    threads: u32,
) -> Result<XgBoostData, GbdtError> {
    let values = single(sample.values.iter().copied());
    let mut rows = library.data(Rows::new(&values, columns), threads)?;
    if let Some(types) = types {
        rows.set_types(types)?;
    }
    rows.set("label", &sample.label)?;
    if let Some(weight) = &sample.weight {
        rows.set("weight", weight)?;
    }
    Ok(rows)
}

/// One parameter as the library takes it; several metrics are set one by one.
fn settings<'a>(name: &'a str, value: &Value) -> Vec<(&'a str, String)> {
    let one = |value: &Value| (name, parameter_text(value, &listed));
    match value {
        Value::Array(metrics) if name == "eval_metric" => metrics.iter().map(one).collect(),
        other => vec![one(other)],
    }
}

/// A list as `(1,-1)`; a list of lists as `[[0,1],[2]]`.
fn listed(items: &[Value]) -> String {
    let text = Value::Array(items.to_vec()).to_string();
    if items.iter().any(Value::is_array) { text } else { format!("({})", text.trim_matches(['[', ']'])) }
}

/// A trained model.
pub struct Model(XgBoostBooster);

impl Model {
    /// Reads a model in UBJ.
    ///
    /// # Errors
    /// What the library says.
    pub fn read(ubj: &[u8]) -> Result<Self, GbdtError> {
        let mut booster = library()?.booster(Vec::new())?;
        booster.set("nthread", "1")?;
        booster.load_ubj(ubj)?;
        Ok(Self(booster))
    }

    /// How many features a row must have.
    ///
    /// # Errors
    /// What the library says.
    pub fn features(&self) -> Result<usize, GbdtError> {
        self.0.features()
    }

    /// Rounds in the model.
    ///
    /// # Errors
    /// What the library says.
    pub fn rounds(&self) -> Result<u32, GbdtError> {
        self.0.rounds()
    }

    /// One prediction a row, on one thread.
    ///
    /// # Errors
    /// What the library says.
    pub fn predict(&self, values: &[f64], columns: usize) -> Result<Vec<f64>, GbdtError> {
        if values.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.0.predict(&rows(values, columns)?)?.into_iter().map(f64::from).collect())
    }

    /// What each feature adds to each row's raw prediction (SHAP values), and last what all rows begin with: `columns + 1` numbers a row.
    ///
    /// # Errors
    /// What the library says.
    pub fn contributions(&self, values: &[f64], columns: usize) -> Result<Vec<f64>, GbdtError> {
        if values.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.0.contributions(&rows(values, columns)?)?.into_iter().map(f64::from).collect())
    }

    /// The gain of all splits by each of the features, which are named in the model's order.
    ///
    /// # Errors
    /// What the library says, also of a model without trees.
    pub fn gains(&self, features: &[String]) -> Result<Vec<f64>, GbdtError> {
        let gains = self.0.gains()?;
        let of = |name: &String| gains.iter().find(|(found, _)| found == name).map_or(0.0, |(_, gain)| f64::from(*gain));
        Ok(features.iter().map(of).collect())
    }
}

fn rows(values: &[f64], columns: usize) -> Result<XgBoostData, GbdtError> {
    library()?.data(Rows::new(&single(values.iter().copied()), columns), 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_metric_is_the_one_that_stops() {
        assert!((last_score("[3]\tvalid-mae:0.5\tvalid-rmse:0.25").unwrap() - 0.25).abs() < 1e-15);
        assert!(last_score("[3]\tvalid-rmse:nan").unwrap().is_nan());
        assert!(last_score("nothing").is_err());
    }

    #[test]
    fn parameters_without_a_use_are_found_in_the_librarys_words() {
        let said = "[00:51:42] WARNING: /workspace/src/learner.cc:738: \nParameters: { \"rate_drop\", \"top_k\" } are not used.\n";
        assert_eq!(unused(said).unwrap(), "'rate_drop', 'top_k'");
        assert_eq!(unused("[00:51:42] WARNING: something else"), None);
    }

    #[test]
    fn lists_are_written_as_the_vendor_reads_them() {
        assert_eq!(listed(&[json!(1), json!(0), json!(-1)]), "(1,0,-1)");
        assert_eq!(listed(&[json!([0, 1]), json!([2])]), "[[0,1],[2]]");
        assert_eq!(settings("eval_metric", &json!(["mae", "rmse"])), [("eval_metric", "mae".into()), ("eval_metric", "rmse".into())]);
    }
}
