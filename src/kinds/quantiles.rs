//! Kind `quantiles`: the quantiles of the price as one thing, one model a level. Invariant: what it forecasts never crosses, and beside it stand the naive
//! quantiles of the same rows that it learnt from.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::engine::frame_file::{FrameData, Part};
use crate::engine::parameters::ParameterError;
use crate::engine::quantiles::{PastChanges, is_median};
use crate::kinds::body::Body;
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::kind::Kind;
use crate::kinds::learner::{self, Fitted, LearnError, Learner, Settings};
use crate::kinds::lightgbm::{self, LightGbm};
use crate::kinds::native_json;
use crate::kinds::request::{Request, Response, RunError};
use crate::kinds::trained::{CHANGES_FILE, quantile_file};
use crate::kinds::training_stanza::{self, FRAME_KEY};
use crate::kinds::xgboost::{self, XgBoost};
use crate::model::recipe::{Declared, Stanza};
use crate::model::training::LevelRecord;
use crate::syntax::shape::{Key, Want};

/// Kind `quantiles`.
pub const KIND: Kind = Kind {
    name: "quantiles",
    version: 1,
    about: "Trains a model for each of several quantiles of the price; together they never cross.",
    keys: &[
        FRAME_KEY,
        Key::optional("learner", Want::OneOf(&["lightgbm", "xgboost"]), "What learns each of them; `lightgbm` where it is not said."),
        Key::optional(
            "levels",
            Want::List(&Want::Number, true),
            "The levels, ascending, 0.5 among them; 0.1, 0.5 and 0.9 where they are not said.",
        ),
        Key::optional("params", Want::Map(&Want::Any), "The learner's parameters; the objective and the level are the set's own."),
    ],
    declare,
};

/// The levels where a recipe says none.
const USUAL: [f64; 3] = [0.1, 0.5, 0.9];
/// Levels nearer to each other than this could not be told apart by their names.
const APART: f64 = 1e-4;

fn declare(stanza: &Stanza, context: &DeclareContext) -> Result<Declared, KindError> {
    let body = Body(stanza);
    let levels = levels(body)?;
    let learner = body.text("learner").unwrap_or("lightgbm");
    let none = Map::new();
    let params =
        parameters(body.table("params").unwrap_or(&none), learner, &levels).map_err(|error| training_stanza::refused(body, &error))?;
    let declared = training_stanza::declared(body, context, &Settings { params, ..Settings::default() })?;
    Ok(Declared { engines: BTreeSet::from([learner.to_owned()]), ..declared })
}

fn levels(body: Body) -> Result<Vec<f64>, KindError> {
    let Some(given) = body.value("levels").and_then(Value::as_array) else { return Ok(USUAL.to_vec()) };
    let levels: Vec<f64> = given.iter().filter_map(Value::as_f64).collect();
    if let Some(at) = levels.iter().position(|level| !(*level > 0.0 && *level < 1.0)) {
        return Err(body.error(&format!("levels.{at}"), format!("a level is above 0 and below 1, not {}", levels[at])));
    }
    if let Some(at) = levels.windows(2).position(|pair| pair[1] - pair[0] < APART) {
        return Err(
            body.error(&format!("levels.{}", at + 1), format!("levels ascend, and {} does not come after {}", levels[at + 1], levels[at]))
        );
    }
    if levels.len() < 2 || !levels.iter().any(|level| is_median(*level)) {
        let error = body.error("levels", "a quantile set has two levels or more, and 0.5 among them: its middle is what it forecasts");
        return Err(error.hint("levels = [0.1, 0.5, 0.9]"));
    }
    Ok(levels)
}

/// The learner's own parameters, made whole, beside what is the set's.
fn parameters(given: &Map<String, Value>, learner: &str, levels: &[f64]) -> Result<BTreeMap<String, Value>, ParameterError> {
    let own = if learner == "xgboost" { xgboost::parameters(given)? } else { lightgbm::parameters(given)? };
    if let Some(name) = of_the_set(learner).into_iter().find(|name| own.contains_key(*name)) {
        let instead = "a quantile set gives each of its models the objective and the level; name the levels in `levels`";
        return Err(ParameterError::Owned { name: name.to_owned(), instead });
    }
    let all = [("learner", json!(learner)), ("levels", json!(levels)), ("params", json!(own))];
    Ok(all.map(|(name, value)| (name.to_owned(), value)).into())
}

/// The learner's parameters that the set decides: the objective, and the level.
fn of_the_set(learner: &str) -> [&'static str; 2] {
    if learner == "xgboost" { ["objective", "quantile_alpha"] } else { ["objective", "alpha"] }
}

/// Runs the action.
///
/// # Errors
/// When nothing was learnt.
pub fn run(request: &Request) -> Result<Response, RunError> {
    learner::run(&Quantiles, request)
}

/// The learner.
pub struct Quantiles;

impl Learner for Quantiles {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn fix_rounds(&self, params: &mut BTreeMap<String, Value>, rounds: &[u32]) {
        params.insert("rounds".into(), json!(rounds));
    }

    fn fit(&self, frame: &FrameData, settings: &Settings) -> Result<Fitted, LearnError> {
        let learner = settings.word("learner").unwrap_or("lightgbm");
        let levels: Vec<f64> = numbers(settings.params.get("levels"));
        let mut set = Fitted { params: settings.params.clone(), ..Fitted::default() };
        for (at, level) in levels.iter().enumerate() {
            let one = fit_one(frame, settings, learner, *level, at)?;
            set.files.extend(one.files.into_values().map(|bytes| (quantile_file(*level), bytes)));
            set.levels.push(LevelRecord { level: *level, rounds: one.rounds });
            set.warnings.extend(one.warnings);
            (set.seed, set.features, set.seen, set.engine) = (one.seed, one.features, one.seen, one.engine);
        }
        set.files.insert(CHANGES_FILE.to_owned(), native_json::bytes(&past_changes(frame, &levels)?)?);
        Ok(set)
    }
}

/// The model of one level.
fn fit_one(frame: &FrameData, settings: &Settings, learner: &str, level: f64, at: usize) -> Result<Fitted, LearnError> {
    let own = settings.params.get("params").and_then(Value::as_object).into_iter().flatten();
    let mut params: BTreeMap<String, Value> = own.map(|(name, value)| (name.clone(), value.clone())).collect();
    let [objective, alpha] = of_the_set(learner);
    let of_xgboost = learner == "xgboost";
    params.insert(objective.to_owned(), json!(if of_xgboost { "reg:quantileerror" } else { "quantile" }));
    params.insert(alpha.to_owned(), json!(level));
    let one: &dyn Learner = if of_xgboost { &XgBoost } else { &LightGbm };
    let fixed = settings.params.get("rounds").and_then(|rounds| u32::try_from(rounds.get(at)?.as_u64()?).ok());
    if let Some(rounds) = fixed {
        one.fix_rounds(&mut params, &[rounds]);
    }
    one.fit(frame, &Settings { params, threads: settings.threads, ..Settings::default() })
}

fn numbers(value: Option<&Value>) -> Vec<f64> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_f64).collect()
}

/// The changes of the price over the train rows.
fn past_changes(frame: &FrameData, levels: &[f64]) -> Result<PastChanges, LearnError> {
    let train = frame.rows_of(Part::Train);
    if train.is_empty() {
        return Err(LearnError::NoRows("train"));
    }
    let outcomes = frame.outcome_levels();
    let pick = |values: &[f64]| train.iter().map(|&row| values[row]).collect::<Vec<f64>>();
    Ok(PastChanges::of(&pick(&frame.price), &pick(&outcomes), levels))
}
