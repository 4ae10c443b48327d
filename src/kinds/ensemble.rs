//! Kind `ensemble`: one price forecast of several models'. Invariant: it has seen every row that a member has seen, and the valid rows too where
//! its weights come from them; all members forecast the same price at the same horizon.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::engine::backtest_file::{self, ARTIFACT as BACKTEST, Predictions};
use crate::engine::combining::{ByRegime, Combination, OfRegime};
use crate::engine::frame_file::{self, FrameData, Part, iso_date};
use crate::engine::regimes::RegimeCalendar;
use crate::engine::stacking::{self, Earned, Learnt, StackingError};
use crate::engine::table_file;
use crate::io::fs;
use crate::io::tree;
use crate::kinds::body::Body;
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::ensemble_stanza::{self, REGIMES_KEY, Weights};
use crate::kinds::kind::Kind;
use crate::kinds::learner::{ARTIFACT, FRAME_SLOT, LearnError, mean_error, report, write_record};
use crate::kinds::native_json;
use crate::kinds::request::{Request, Response, RunError};
use crate::kinds::trained::{self, REGIMES_FILE, STACK_FILE, TrainedModel, member_folder};
use crate::kinds::training_stanza::{FRAME_KEY, frame, predictors};
use crate::model::backtest::BacktestRecord;
use crate::model::recipe::{Declared, Source, Stanza};
use crate::model::training::{Member, ModelRecord, TrainedOn};
use crate::syntax::shape::{Key, Want};

/// Kind `ensemble`.
pub const KIND: Kind = Kind {
    name: "ensemble",
    version: 3,
    about: "Makes one model of several: their price forecasts, weighted.",
    keys: &[
        Key::required("models", Want::List(&Want::Target, true), "The models that take part."),
        Key::optional(
            "weights",
            Want::Either(&[Want::OneOf(&["equal", "inverse_error", "stacked"]), Want::List(&Want::Number, true)]),
            "`equal` (default), `inverse_error` (by 1/MAE), `stacked` (learnt), or one number for each model.",
        ),
        Key::optional(
            "backtests",
            Want::List(&Want::Target, true),
            "One for each model: the out-of-sample forecasts that weights are earned on.",
        ),
        Key::optional("stacker", Want::OneOf(&["ridge", "lightgbm"]), "What learns `stacked`; `ridge` regression where it is not said."),
        Key::optional("alpha", Want::Number, "The penalty of ridge regression; 1 where it is not said."),
        Key::optional("params", Want::Map(&Want::Any), "The parameters of the stacker `lightgbm`."),
        REGIMES_KEY,
        FRAME_KEY,
    ],
    declare,
};

/// The slot of the calendar of regimes.
pub const REGIMES_SLOT: &str = "regimes";

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
    let spec = Spec { models: models.len(), weights: ensemble_stanza::weights(body, models.len())?, backtests: !backtests.is_empty() };
    if spec.weights.need_backtests() && !spec.backtests {
        let what = if matches!(spec.weights, Weights::ByRegime(_)) { "weights by regime" } else { "'stacked' weights" };
        let error = body.error("weights", format!("{what} are earned on out-of-sample forecasts, and there are no 'backtests'"));
        return Err(error.hint("backtests = [\"backtest/…\", …], one for each model"));
    }
    let mut declared = Declared {
        params: json!(spec),
        inputs: BTreeMap::from([(FRAME_SLOT.to_owned(), frame(body, context)?)]),
        outputs: BTreeSet::from([ARTIFACT.to_owned()]),
        ..Declared::default()
    };
    if matches!(spec.weights, Weights::StackedTrees(_)) {
        declared.engines.insert("lightgbm".to_owned());
    }
    if matches!(spec.weights, Weights::ByRegime(_)) {
        declared.inputs.insert(REGIMES_SLOT.to_owned(), body.target("regimes.table", "table")?);
        declared.places.insert(REGIMES_SLOT.to_owned(), body.place("regimes.table"));
    }
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

/// Runs the action.
///
/// # Errors
/// When a member cannot take part, or a file cannot be written.
pub fn run(request: &Request) -> Result<Response, RunError> {
    let spec: Spec = request.params()?;
    let members = (0..spec.models).map(|index| request.input(&slot(index)).map(Path::to_owned)).collect::<Result<Vec<_>, _>>()?;
    let backtests = (0..spec.models).filter(|_| spec.backtests).map(|index| request.input(&backtest_slot(index)).map(Path::to_owned));
    let backtests = backtests.collect::<Result<Vec<_>, _>>()?;
    let regimes = matches!(spec.weights, Weights::ByRegime(_)).then(|| request.input(REGIMES_SLOT)).transpose()?.map(Path::to_owned);
    let out = Out { model: request.output(ARTIFACT)?, backtest: request.out.join(BACKTEST) };
    let inputs = Inputs { fit: request.input(FRAME_SLOT)?.to_owned(), members, backtests, regimes, threads: request.threads };
    combine(&spec, &inputs, &out).map_err(|error| error.as_failure())
}

/// What an ensemble is made from.
#[derive(Debug)]
pub struct Inputs {
    /// The frame's `fit` artifact.
    pub fit: PathBuf,
    /// The members.
    pub members: Vec<PathBuf>,
    /// Their backtests; none, or one each.
    pub backtests: Vec<PathBuf>,
    /// The calendar of regimes, where weights hang on it.
    pub regimes: Option<PathBuf>,
    /// Threads that trees may use.
    pub threads: u32,
}

/// Where an ensemble's artifacts go.
#[derive(Debug)]
pub struct Out {
    /// The folder of `model`.
    pub model: PathBuf,
    /// The folder of `backtest`, for ensembles whose members have some.
    pub backtest: PathBuf,
}

/// Makes the artifacts in `out`.
///
/// # Errors
/// When a member cannot take part, the frame or the calendar lacks what the weights need, or a file cannot be written.
pub fn combine(spec: &Spec, inputs: &Inputs, out: &Out) -> Result<Response, LearnError> {
    let frame = frame_file::read(&inputs.fit)?;
    let models = inputs.members.iter().map(|folder| trained::read(folder)).collect::<Result<Vec<_>, _>>()?;
    let proofs = inputs.backtests.iter().map(|folder| backtest_file::read(folder)).collect::<Result<Vec<_>, _>>()?;
    check_members(&models, &frame)?;
    let how = how(&spec.weights, inputs)?;
    let learnt = learnt(&spec.weights, how.as_ref(), &models, &proofs, &frame)?;
    let shares = shares(&learnt.combination)?;
    for (index, folder) in inputs.members.iter().enumerate() {
        tree::copy(folder, &member_folder(&out.model, index))?;
    }
    write_combination(&learnt, &out.model)?;
    write_record(&out.model, &record(spec, &models, &shares, &proofs, &frame))?;
    let mut report = report(&trained::read(&out.model)?, &frame)?;
    if !proofs.is_empty() {
        let own = own_backtest(how.as_ref(), &learnt.combination, &proofs).map_err(earned)?;
        let first = backtest_file::read_record(&inputs.backtests[0])?;
        let params = ensemble_stanza::told(&spec.weights);
        backtest_file::write(&out.backtest, &own, &BacktestRecord { kind: KIND.name.to_owned(), params, levels: Vec::new(), ..first })?;
        let mae = |levels: &[f64]| mean_error(levels, &own.actual, f64::abs);
        report.metrics.insert("backtest_mae".into(), mae(&own.predicted));
        report.metrics.insert("backtest_naive_mae".into(), mae(&own.price));
    }
    let what = if matches!(learnt.combination, Combination::Trees(_)) { "share of the gain" } else { "weight" };
    for (index, (model, share)) in models.iter().zip(&shares).enumerate() {
        report.notes.push(format!("{what} of model {} ({}): {share:.4}", index + 1, model.record.kind));
        report.metrics.insert(format!("weight_{index}"), *share);
    }
    if let Combination::ByRegime(by) = &learnt.combination {
        report.notes.extend(told_by_regime(by));
    }
    Ok(report)
}

/// The weights of each regime in a line.
fn told_by_regime(by: &ByRegime) -> Vec<String> {
    let line = |(regime, of): (&String, &OfRegime)| match &of.weights {
        Some(weights) => {
            let weights: Vec<String> = weights.iter().map(|weight| format!("{weight:.4}")).collect();
            format!("regime {regime}, {} forecasts: {}", of.rows, weights.join(", "))
        }
        None => format!("regime {regime}, {} forecasts, fewer than {}: the weights of all", of.rows, by.least),
    };
    by.regimes.iter().map(line).collect()
}

/// The files that tell more than weights can.
fn write_combination(learnt: &Learnt, out: &Path) -> Result<(), LearnError> {
    fs::create_folders(out)?;
    if let Combination::ByRegime(by) = &learnt.combination {
        fs::write(&out.join(REGIMES_FILE), &native_json::bytes(by)?)?;
    }
    if let Some(text) = &learnt.text {
        fs::write(&out.join(STACK_FILE), text.as_bytes())?;
    }
    Ok(())
}

/// Every member forecasts what the frame asks for, from features that the frame has.
fn check_members(models: &[TrainedModel], frame: &FrameData) -> Result<(), LearnError> {
    for (index, model) in models.iter().enumerate() {
        model.predict(frame, &[]).map_err(|why| LearnError::Member { member: index + 1, why: why.to_string() })?;
    }
    Ok(())
}

/// What the members come to together.
fn learnt(
    weights: &Weights,
    how: Option<&Earned>,
    models: &[TrainedModel],
    proofs: &[Predictions],
    frame: &FrameData,
) -> Result<Learnt, LearnError> {
    if let (Some(how), Some(first)) = (how, proofs.first()) {
        stacking::same_days(proofs).map_err(earned)?;
        let rows: Vec<usize> = (0..first.dates.len()).collect();
        return stacking::learn(proofs, &rows, how).map_err(earned);
    }
    let raw = match weights {
        Weights::Given(given) => given.clone(),
        Weights::InverseError => inverse_errors(models, frame)?,
        _ => vec![1.0; models.len()],
    };
    let sum: f64 = raw.iter().sum();
    Ok(Combination::Shares(raw.iter().map(|weight| weight / sum).collect()).into())
}

/// One number a member: its weight, or its share of what trees gained. Weights add up to 1, but for stacked ones: the naive forecast has what is lacking.
fn shares(combination: &Combination) -> Result<Vec<f64>, LearnError> {
    match combination {
        Combination::Shares(weights) => Ok(weights.clone()),
        Combination::ByRegime(by) => Ok(by.all.clone()),
        Combination::Trees(model) => {
            let gains = model.gains()?;
            let all: f64 = gains.iter().sum();
            Ok(gains.iter().map(|gain| if all > 0.0 { gain / all } else { 0.0 }).collect())
        }
    }
}

/// How weights are earned out of sample, where they are.
fn how(weights: &Weights, inputs: &Inputs) -> Result<Option<Earned>, LearnError> {
    Ok(match weights {
        Weights::InverseError => Some(Earned::InverseError),
        Weights::Stacked(alpha) => Some(Earned::Stacked { alpha: *alpha }),
        Weights::StackedTrees(given) => {
            let mut params = given.clone();
            let rounds = given.get("num_iterations").and_then(Value::as_u64).and_then(|rounds| u32::try_from(rounds).ok());
            params.insert("num_threads".into(), json!(inputs.threads));
            Some(Earned::Trees { params, rounds: rounds.unwrap_or(100) })
        }
        Weights::ByRegime(regimes) => {
            let table = table_file::read(&inputs.regimes.clone().unwrap_or_default().join(table_file::FILE_NAME))?;
            Some(Earned::ByRegime { least: regimes.least, calendar: RegimeCalendar::read(&table, &regimes.regime, &regimes.date)? })
        }
        Weights::Equal | Weights::Given(_) => None,
    })
}

/// The ensemble's out-of-sample forecasts. Weights that nobody earned are the same in every fold.
fn own_backtest(how: Option<&Earned>, combination: &Combination, proofs: &[Predictions]) -> Result<Predictions, StackingError> {
    if let Some(how) = how {
        return stacking::out_of_sample(proofs, how);
    }
    stacking::same_days(proofs)?;
    let first = &proofs[0];
    let levels: Vec<Vec<f64>> = proofs.iter().map(|proof| proof.predicted.clone()).collect();
    let predicted = combination.combine(&first.dates, &first.price, &levels)?;
    Ok(Predictions { predicted, quantiles: None, ..first.clone() })
}

fn earned(error: StackingError) -> LearnError {
    match error {
        StackingError::Days { member } | StackingError::Error { member, .. } => {
            LearnError::Member { member: member + 1, why: error.to_string() }
        }
        StackingError::Linear(error) => error.into(),
        StackingError::Gbdt(error) => error.into(),
        StackingError::Regimes(error) => error.into(),
        StackingError::Few { .. } | StackingError::Combine(_) => LearnError::Weights { why: error.to_string() },
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
        fitted_before(model, frame).map_err(|why| LearnError::Member { member: index + 1, why })?;
        let error = mean_error(&model.predict(frame, &rows)?, &actual, f64::abs);
        if error.is_finite() && error > 0.0 {
            return Ok(1.0 / error);
        }
        Err(LearnError::Member { member: index + 1, why: format!("its mean error on the valid rows is {error}, which gives no weight") })
    };
    models.iter().enumerate().map(weigh).collect()
}

/// Refuses a member that was fitted to rows that reach into the valid ones: its errors there are those of somebody who knows the answers.
fn fitted_before(model: &TrainedModel, frame: &FrameData) -> Result<(), String> {
    let Some(valid) = frame.trained_on(Part::Valid) else { return Ok(()) };
    let fitted = model.record.trained_on.iter().filter(|seen| seen.split == Part::Train.word());
    match fitted.into_iter().find(|seen| seen.first <= valid.outcome_last && seen.outcome_last >= valid.first) {
        None => Ok(()),
        Some(seen) => Err(format!(
            "it learnt from rows of {} to {} with outcomes up to {}, and its weight would be earned on rows of {} to {}",
            seen.first, seen.last, seen.outcome_last, valid.first, valid.last
        )),
    }
}

fn record(spec: &Spec, models: &[TrainedModel], shares: &[f64], proofs: &[Predictions], frame: &FrameData) -> ModelRecord {
    let mut features: Vec<String> = Vec::new();
    for feature in models.iter().flat_map(|model| &model.record.features) {
        if !features.contains(feature) {
            features.push(feature.clone());
        }
    }
    let earned = !matches!(spec.weights, Weights::Equal | Weights::Given(_));
    let own = if earned { weighed_on(proofs).or_else(|| frame.trained_on(Part::Valid)) } else { None };
    let seen: BTreeSet<TrainedOn> = models.iter().flat_map(|model| model.record.trained_on.clone()).chain(own).collect();
    let member = |(model, &weight): (&TrainedModel, &f64)| Member { kind: model.record.kind.clone(), weight };
    ModelRecord {
        kind: KIND.name.to_owned(),
        frame: frame.record.clone(),
        features,
        params: ensemble_stanza::told(&spec.weights),
        seed: None,
        rounds: None,
        levels: Vec::new(),
        trained_on: seen.into_iter().collect(),
        engine: None,
        members: models.iter().zip(shares).map(member).collect(),
    }
}
