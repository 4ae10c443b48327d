//! Kind `ensemble`: a weighted mean of models' price forecasts. Invariant: it has seen every row that a member has seen, and the valid rows too where
//! its weights come from them; all members forecast the same price at the same horizon.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::engine::frame_file::{self, FrameData, Part};
use crate::io::fs;
use crate::kinds::body::Body;
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::kind::Kind;
use crate::kinds::learner::{ARTIFACT, FRAME_SLOT, LearnError, mean_error, report, write_record};
use crate::kinds::request::{Request, Response, RunError};
use crate::kinds::trained::{self, TrainedModel, member_folder};
use crate::kinds::training_stanza::{FRAME_KEY, frame, predictors};
use crate::model::recipe::{Declared, Stanza};
use crate::model::training::{Member, ModelRecord, TrainedOn};
use crate::syntax::shape::{Key, Want};

/// Kind `ensemble`.
pub const KIND: Kind = Kind {
    name: "ensemble",
    version: 1,
    about: "Makes one model of several: the weighted mean of their price forecasts.",
    keys: &[
        Key::required("models", Want::List(&Want::Target, true), "The models that take part."),
        Key::optional(
            "weights",
            Want::Either(&[Want::OneOf(&["equal", "inverse_error"]), Want::List(&Want::Number, true)]),
            "`equal` (default), `inverse_error` (by 1/MAE on the frame's valid rows), or one number for each model.",
        ),
        FRAME_KEY,
    ],
    declare,
};

/// How the members' weights are found; the params of the action, with how many members there are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weights {
    /// Each the same.
    Equal,
    /// By one over the mean absolute error on the frame's valid rows.
    InverseError,
    /// As given, scaled to add up to 1.
    Given(Vec<f64>),
}

/// The params of an `ensemble` action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// How many members.
    pub models: usize,
    /// How they are weighted.
    pub weights: Weights,
}

/// The input slot of a member.
#[must_use]
pub fn slot(index: usize) -> String {
    format!("model:{index}")
}

fn declare(stanza: &Stanza, context: &DeclareContext) -> Result<Declared, KindError> {
    let body = Body(stanza);
    let models = body.targets("models", ARTIFACT)?;
    let spec = Spec { models: models.len(), weights: weights(body, models.len())? };
    let mut declared = Declared {
        params: json!(spec),
        inputs: BTreeMap::from([(FRAME_SLOT.to_owned(), frame(body, context)?)]),
        outputs: BTreeSet::from([ARTIFACT.to_owned()]),
        ..Declared::default()
    };
    for (index, source) in models.into_iter().enumerate() {
        let path = format!("models.{index}");
        if declared.inputs.values().any(|other| *other == source) {
            return Err(body.error(&path, "this model is listed twice"));
        }
        declared.engines.extend(predictors(body, context, &source, &path)?);
        declared.places.insert(slot(index), body.place(&path));
        declared.inputs.insert(slot(index), source);
    }
    Ok(declared)
}

fn weights(body: Body, models: usize) -> Result<Weights, KindError> {
    let given = match body.value("weights") {
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_f64).collect::<Vec<_>>(),
        Some(word) if word == "inverse_error" => return Ok(Weights::InverseError),
        _ => return Ok(Weights::Equal),
    };
    let refuse = |message: String| Err(body.error("weights", message));
    if given.len() != models {
        return refuse(format!("there are {} weights for {models} models", given.len()));
    }
    if let Some(bad) = given.iter().find(|w| !w.is_finite() || **w < 0.0) {
        return refuse(format!("a weight is 0 or more, not {bad}"));
    }
    if given.iter().sum::<f64>() <= 0.0 {
        return refuse("the weights add up to nothing".into());
    }
    Ok(Weights::Given(given))
}

/// Runs the action.
///
/// # Errors
/// When a member cannot take part, or a file cannot be written.
pub fn run(request: &Request) -> Result<Response, RunError> {
    let spec: Spec = request.params()?;
    let members = (0..spec.models).map(|index| request.input(&slot(index)).map(Path::to_owned)).collect::<Result<Vec<_>, _>>()?;
    combine(&spec, request.input(FRAME_SLOT)?, &members, &request.output(ARTIFACT)?).map_err(|error| error.as_failure())
}

/// Makes the `model` artifact in `out` from the members' folders.
///
/// # Errors
/// When a member cannot take part, the frame lacks what the weights need, or a file cannot be written.
pub fn combine(spec: &Spec, fit: &Path, members: &[PathBuf], out: &Path) -> Result<Response, LearnError> {
    let frame = frame_file::read(fit)?;
    let models = members.iter().map(|folder| trained::read(folder)).collect::<Result<Vec<_>, _>>()?;
    check_members(&models, &frame)?;
    let shares = shares(&spec.weights, &models, &frame)?;
    for (index, folder) in members.iter().enumerate() {
        copy_tree(folder, &member_folder(out, index))?;
    }
    write_record(out, &record(spec, &models, &shares, &frame))?;
    let mut report = report(&trained::read(out)?, &frame)?;
    for (index, (model, share)) in models.iter().zip(&shares).enumerate() {
        report.notes.push(format!("weight of model {} ({}): {share:.4}", index + 1, model.record.kind));
        report.metrics.insert(format!("weight_{index}"), *share);
    }
    Ok(report)
}

/// Every member forecasts what the frame asks for, from features that the frame has.
fn check_members(models: &[TrainedModel], frame: &FrameData) -> Result<(), LearnError> {
    for (index, model) in models.iter().enumerate() {
        model.predict(frame, &[]).map_err(|why| LearnError::Member { member: index + 1, why: why.to_string() })?;
    }
    Ok(())
}

/// The members' shares, which add up to 1.
fn shares(weights: &Weights, models: &[TrainedModel], frame: &FrameData) -> Result<Vec<f64>, LearnError> {
    let raw = match weights {
        Weights::Equal => vec![1.0; models.len()],
        Weights::Given(given) => given.clone(),
        Weights::InverseError => inverse_errors(models, frame)?,
    };
    let sum: f64 = raw.iter().sum();
    Ok(raw.iter().map(|weight| weight / sum).collect())
}

fn inverse_errors(models: &[TrainedModel], frame: &FrameData) -> Result<Vec<f64>, LearnError> {
    let rows = frame.rows_of(Part::Valid);
    if rows.is_empty() {
        return Err(LearnError::NoRows("valid"));
    }
    let outcomes = frame.outcome_levels();
    let actual: Vec<f64> = rows.iter().map(|&row| outcomes[row]).collect();
    let weigh = |(index, model): (usize, &TrainedModel)| {
        let error = mean_error(&model.predict(frame, &rows)?, &actual, f64::abs);
        if error.is_finite() && error > 0.0 {
            return Ok(1.0 / error);
        }
        Err(LearnError::Member { member: index + 1, why: format!("its mean error on the valid rows is {error}, which gives no weight") })
    };
    models.iter().enumerate().map(weigh).collect()
}

fn record(spec: &Spec, models: &[TrainedModel], shares: &[f64], frame: &FrameData) -> ModelRecord {
    let mut features: Vec<String> = Vec::new();
    for feature in models.iter().flat_map(|model| &model.record.features) {
        if !features.contains(feature) {
            features.push(feature.clone());
        }
    }
    let own = (spec.weights == Weights::InverseError).then(|| frame.trained_on(Part::Valid)).flatten();
    let seen: BTreeSet<TrainedOn> = models.iter().flat_map(|model| model.record.trained_on.clone()).chain(own).collect();
    let member = |(model, &weight): (&TrainedModel, &f64)| Member { kind: model.record.kind.clone(), weight };
    ModelRecord {
        kind: KIND.name.to_owned(),
        frame: frame.record.clone(),
        features,
        params: BTreeMap::from([("weights".to_owned(), json!(spec.weights))]),
        seed: None,
        rounds: None,
        trained_on: seen.into_iter().collect(),
        engine: None,
        members: models.iter().zip(shares).map(member).collect(),
    }
}

/// Copies a member's files, those of its own members included.
fn copy_tree(from: &Path, to: &Path) -> Result<(), LearnError> {
    fs::create_folders(to)?;
    for entry in fs::list(from)? {
        let (source, target) = (from.join(&entry.name), to.join(&entry.name));
        if entry.what == fs::What::Folder { copy_tree(&source, &target)? } else { fs::write(&target, &fs::read(&source)?)? }
    }
    Ok(())
}
