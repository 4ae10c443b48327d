//! Kind `ensemble`: a weighted mean of models' price forecasts. Invariant: it has seen every row that a member has seen, and the valid rows too where
//! its weights come from them; all members forecast the same price at the same horizon.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::engine::backtest_file::{self, ARTIFACT as BACKTEST, Predictions};
use crate::engine::frame_file::{self, FrameData, Part, iso_date};
use crate::engine::stacking::{self, Earned, StackingError};
use crate::io::fs;
use crate::kinds::body::Body;
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::kind::Kind;
use crate::kinds::learner::{ARTIFACT, FRAME_SLOT, LearnError, mean_error, report, write_record};
use crate::kinds::request::{Request, Response, RunError};
use crate::kinds::trained::{self, TrainedModel, member_folder};
use crate::kinds::training_stanza::{FRAME_KEY, frame, predictors};
use crate::model::backtest::BacktestRecord;
use crate::model::recipe::{Declared, Source, Stanza};
use crate::model::training::{Member, ModelRecord, TrainedOn};
use crate::syntax::shape::{Key, Want};

/// Kind `ensemble`.
pub const KIND: Kind = Kind {
    name: "ensemble",
    version: 2,
    about: "Makes one model of several: their price forecasts, weighted.",
    keys: &[
        Key::required("models", Want::List(&Want::Target, true), "The models that take part."),
        Key::optional(
            "weights",
            Want::Either(&[Want::OneOf(&["equal", "inverse_error", "stacked"]), Want::List(&Want::Number, true)]),
            "`equal` (default), `inverse_error` (by 1/MAE), `stacked` (ridge regression), or one number for each model.",
        ),
        Key::optional(
            "backtests",
            Want::List(&Want::Target, true),
            "One for each model: the out-of-sample forecasts that weights are earned on.",
        ),
        Key::optional("alpha", Want::Number, "The penalty of `stacked`; 1 where it is not said."),
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
    /// By one over the mean absolute error, out of sample where there are backtests, else on the frame's valid rows.
    InverseError,
    /// By ridge regression over out-of-sample forecasts, with this penalty.
    Stacked(f64),
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
    /// Whether there is a backtest of each.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub backtests: bool,
}

/// The input slot of a member's backtest.
#[must_use]
pub fn backtest_slot(index: usize) -> String {
    format!("backtest:{index}")
}

/// The input slot of a member.
#[must_use]
pub fn slot(index: usize) -> String {
    format!("model:{index}")
}

fn declare(stanza: &Stanza, context: &DeclareContext) -> Result<Declared, KindError> {
    let body = Body(stanza);
    let models = body.targets("models", ARTIFACT)?;
    let backtests = body.targets("backtests", BACKTEST)?;
    if !backtests.is_empty() && backtests.len() != models.len() {
        return Err(body.error("backtests", format!("there are {} backtests for {} models", backtests.len(), models.len())));
    }
    let spec = Spec { models: models.len(), weights: weights(body, models.len())?, backtests: !backtests.is_empty() };
    if body.value("alpha").is_some() && !matches!(spec.weights, Weights::Stacked(_)) {
        let error = body.key_error("alpha", "'alpha' is the penalty of 'stacked' weights, and these are others");
        return Err(error.hint("weights = \"stacked\", or leave 'alpha' out"));
    }
    if matches!(spec.weights, Weights::Stacked(_)) && !spec.backtests {
        let error = body.error("weights", "'stacked' weights are earned on out-of-sample forecasts, and there are no 'backtests'");
        return Err(error.hint("backtests = [\"backtest/…\", …], one for each model"));
    }
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
    for (index, source) in backtests.into_iter().enumerate() {
        let path = format!("backtests.{index}");
        if let Source::Target { name, artifact } = &source
            && artifact != BACKTEST
        {
            return Err(body.error(&path, format!("weights are earned on '{name}#{BACKTEST}', not on its '{artifact}'")));
        }
        declared.places.insert(backtest_slot(index), body.place(&path));
        declared.inputs.insert(backtest_slot(index), source);
        declared.outputs.insert(BACKTEST.to_owned());
        declared.engines.insert("parquet".to_owned());
    }
    Ok(declared)
}

fn weights(body: Body, models: usize) -> Result<Weights, KindError> {
    let given = match body.value("weights") {
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_f64).collect::<Vec<_>>(),
        Some(word) if word == "inverse_error" => return Ok(Weights::InverseError),
        Some(word) if word == "stacked" => return stacked(body),
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

fn stacked(body: Body) -> Result<Weights, KindError> {
    let alpha = body.value("alpha").map_or(Some(1.0), Value::as_f64).filter(|alpha| alpha.is_finite() && *alpha >= 0.0);
    alpha.map(Weights::Stacked).ok_or_else(|| body.error("alpha", "a penalty is 0 or more"))
}

/// Runs the action.
///
/// # Errors
/// When a member cannot take part, or a file cannot be written.
pub fn run(request: &Request) -> Result<Response, RunError> {
    let spec: Spec = request.params()?;
    let members = (0..spec.models).map(|index| request.input(&slot(index)).map(Path::to_owned)).collect::<Result<Vec<_>, _>>()?;
    let backtests = (0..spec.models).filter(|_| spec.backtests).map(|index| request.input(&backtest_slot(index)).map(Path::to_owned));
    let backtests = backtests.collect::<Result<Vec<_>, _>>()?;
    let out = Out { model: request.output(ARTIFACT)?, backtest: request.out.join(BACKTEST) };
    combine(&spec, request.input(FRAME_SLOT)?, &members, &backtests, &out).map_err(|error| error.as_failure())
}

/// Where an ensemble's artifacts go.
#[derive(Debug)]
pub struct Out {
    /// The folder of `model`.
    pub model: PathBuf,
    /// The folder of `backtest`, for ensembles whose members have some.
    pub backtest: PathBuf,
}

/// Makes the artifacts in `out` from the members' folders and those of their backtests.
///
/// # Errors
/// When a member cannot take part, the frame lacks what the weights need, or a file cannot be written.
pub fn combine(spec: &Spec, fit: &Path, members: &[PathBuf], backtests: &[PathBuf], out: &Out) -> Result<Response, LearnError> {
    let frame = frame_file::read(fit)?;
    let models = members.iter().map(|folder| trained::read(folder)).collect::<Result<Vec<_>, _>>()?;
    let proofs = backtests.iter().map(|folder| backtest_file::read(folder)).collect::<Result<Vec<_>, _>>()?;
    check_members(&models, &frame)?;
    let shares = shares(&spec.weights, &models, &proofs, &frame)?;
    for (index, folder) in members.iter().enumerate() {
        copy_tree(folder, &member_folder(&out.model, index))?;
    }
    write_record(&out.model, &record(spec, &models, &shares, &proofs, &frame))?;
    let mut report = report(&trained::read(&out.model)?, &frame)?;
    if !proofs.is_empty() {
        let own = own_backtest(&spec.weights, &shares, &proofs).map_err(earned)?;
        let first = backtest_file::read_record(&backtests[0])?;
        let params = BTreeMap::from([("weights".to_owned(), json!(spec.weights))]);
        backtest_file::write(&out.backtest, &own, &BacktestRecord { kind: KIND.name.to_owned(), params, levels: Vec::new(), ..first })?;
        let mae = |levels: &[f64]| mean_error(levels, &own.actual, f64::abs);
        report.metrics.insert("backtest_mae".into(), mae(&own.predicted));
        report.metrics.insert("backtest_naive_mae".into(), mae(&own.price));
    }
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

/// The members' shares. They add up to 1; where they are stacked, the naive forecast has what is lacking.
fn shares(weights: &Weights, models: &[TrainedModel], proofs: &[Predictions], frame: &FrameData) -> Result<Vec<f64>, LearnError> {
    if let (Some(how), Some(first)) = (how(weights), proofs.first()) {
        stacking::same_days(proofs).map_err(earned)?;
        let rows: Vec<usize> = (0..first.dates.len()).collect();
        return stacking::weights(proofs, &rows, how).map_err(earned);
    }
    let raw = match weights {
        Weights::Given(given) => given.clone(),
        Weights::InverseError => inverse_errors(models, frame)?,
        Weights::Equal | Weights::Stacked(_) => vec![1.0; models.len()],
    };
    let sum: f64 = raw.iter().sum();
    Ok(raw.iter().map(|weight| weight / sum).collect())
}

/// How weights are earned out of sample, where they are.
fn how(weights: &Weights) -> Option<Earned> {
    match weights {
        Weights::InverseError => Some(Earned::InverseError),
        Weights::Stacked(alpha) => Some(Earned::Stacked { alpha: *alpha }),
        Weights::Equal | Weights::Given(_) => None,
    }
}

/// The ensemble's out-of-sample forecasts. Weights that nobody earned are the same in every fold.
fn own_backtest(weights: &Weights, shares: &[f64], proofs: &[Predictions]) -> Result<Predictions, StackingError> {
    if let Some(how) = how(weights) {
        return stacking::out_of_sample(proofs, how);
    }
    stacking::same_days(proofs)?;
    let first = &proofs[0];
    let levels = |row: usize| shares.iter().zip(proofs).map(move |(share, proof)| (*share, proof.predicted[row]));
    let predicted = (0..first.dates.len()).map(|row| stacking::combined(first.price[row], levels(row))).collect();
    Ok(Predictions { predicted, quantiles: None, ..first.clone() })
}

fn earned(error: StackingError) -> LearnError {
    match error {
        StackingError::Days { member } | StackingError::Error { member, .. } => {
            LearnError::Member { member: member + 1, why: error.to_string() }
        }
        StackingError::Linear(error) => error.into(),
        StackingError::Few { .. } => LearnError::Weights { why: error.to_string() },
    }
}

/// The out-of-sample forecasts that weights were earned on, as rows the ensemble has seen.
fn weighed_on(proofs: &[Predictions]) -> Option<TrainedOn> {
    let first = proofs.first()?;
    Some(TrainedOn {
        split: "weights".into(),
        first: iso_date(*first.dates.iter().min()?),
        last: iso_date(*first.dates.iter().max()?),
        rows: first.dates.len() as u64,
        outcome_last: iso_date(*first.outcome_dates.iter().max()?),
    })
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

fn record(spec: &Spec, models: &[TrainedModel], shares: &[f64], proofs: &[Predictions], frame: &FrameData) -> ModelRecord {
    let mut features: Vec<String> = Vec::new();
    for feature in models.iter().flat_map(|model| &model.record.features) {
        if !features.contains(feature) {
            features.push(feature.clone());
        }
    }
    let own = how(&spec.weights).and_then(|_| weighed_on(proofs).or_else(|| frame.trained_on(Part::Valid)));
    let seen: BTreeSet<TrainedOn> = models.iter().flat_map(|model| model.record.trained_on.clone()).chain(own).collect();
    let member = |(model, &weight): (&TrainedModel, &f64)| Member { kind: model.record.kind.clone(), weight };
    ModelRecord {
        kind: KIND.name.to_owned(),
        frame: frame.record.clone(),
        features,
        params: BTreeMap::from([("weights".to_owned(), json!(spec.weights))]),
        seed: None,
        rounds: None,
        levels: Vec::new(),
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
