//! Kind `xgboost`: gradient boosting with the vendor's own library. Invariant: `params` holds the vendor's primary names with the values the library
//! is given, the defaults that we set included, so the key and the record say all that determined the model.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::engine::frame_file::{FrameData, Part};
use crate::engine::gbdt::stopping::EarlyStopping;
use crate::engine::gbdt::vocabulary::xgboost::XGBOOST;
use crate::engine::gbdt::xgboost;
use crate::engine::parameters::ParameterError;
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::kind::Kind;
use crate::kinds::learner::{self, Fitted, LearnError, Learner, Settings, library, training_data};
use crate::kinds::request::{Request, Response, RunError};
use crate::kinds::trained::XGBOOST_FILE;
use crate::kinds::training_stanza::{self, FRAME_KEY};
use crate::kinds::tuned::TUNED_KEY;
use crate::model::recipe::{Declared, Stanza};
use crate::syntax::shape::{Key, Want};

/// Kind `xgboost`.
pub const KIND: Kind = Kind {
    name: "xgboost",
    version: 1,
    about: "Trains an XGBoost model on a frame.",
    keys: &[
        FRAME_KEY,
        TUNED_KEY,
        Key::optional(
            "params",
            Want::Map(&Want::Any),
            "XGBoost's parameters under the vendor's names: num_boost_round (default 100), early_stopping_rounds, seed (default 42), and so on.",
        ),
    ],
    declare,
};

/// Parameters of the training loop, which the booster itself does not know.
const OF_THE_LOOP: [&str; 2] = ["num_boost_round", "early_stopping_rounds"];

fn declare(stanza: &Stanza, context: &DeclareContext) -> Result<Declared, KindError> {
    training_stanza::boosted(stanza, context, &XgBoost)
}

/// The recipe's parameters with the defaults that make a training repeatable.
///
/// # Errors
/// The first that the library has not, or that cannot be used.
pub fn parameters(given: &Map<String, Value>) -> Result<BTreeMap<String, Value>, ParameterError> {
    let mut params = XGBOOST.check(given)?;
    let whole = |name: &str, least: u64| training_stanza::at_least(&params, name, least);
    whole("num_boost_round", 1)?;
    whole("early_stopping_rounds", 1)?;
    whole("seed", 0)?;
    let other_booster = params.get("booster").is_some_and(|booster| booster != "gbtree");
    if other_booster && params.contains_key("early_stopping_rounds") {
        let why = "rounds of dart and gblinear change what earlier rounds made, so the best round cannot be gone back to";
        return Err(ParameterError::Clash { name: "early_stopping_rounds".into(), with: "with this booster", why });
    }
    let defaults = [("device", json!("cpu")), ("num_boost_round", json!(100)), ("seed", json!(42)), ("validate_parameters", json!(true))];
    for (name, value) in defaults {
        params.entry(name.to_owned()).or_insert(value);
    }
    Ok(params)
}

/// Runs the action.
///
/// # Errors
/// When nothing was learnt.
pub fn run(request: &Request) -> Result<Response, RunError> {
    learner::run(&XgBoost, request)
}

/// The learner.
pub struct XgBoost;

impl Learner for XgBoost {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn parameters(&self, given: &Map<String, Value>) -> Result<BTreeMap<String, Value>, ParameterError> {
        parameters(given)
    }

    fn rounds_key(&self) -> Option<&'static str> {
        Some("num_boost_round")
    }

    fn fix_rounds(&self, params: &mut BTreeMap<String, Value>, rounds: &[u32]) {
        params.remove("early_stopping_rounds");
        params.insert("num_boost_round".into(), json!(rounds.first()));
    }

    fn fit(&self, frame: &FrameData, settings: &Settings) -> Result<Fitted, LearnError> {
        let mut params = settings.params.clone();
        params.insert("nthread".into(), json!(settings.threads));
        let stopping = settings.count("early_stopping_rounds").map(|rounds| EarlyStopping::new(rounds, 0.0, true));
        let seen = if stopping.is_some() { vec![Part::Train, Part::Valid] } else { vec![Part::Train] };
        let data = training_data(frame, stopping.is_some())?;
        let rounds = settings.count("num_boost_round").unwrap_or(100);
        let mut of_the_booster = params.clone();
        of_the_booster.retain(|name, _| !OF_THE_LOOP.contains(&name.as_str()));
        let trained = xgboost::train(&data, &of_the_booster, settings.threads, rounds, stopping)?;
        Ok(Fitted {
            files: BTreeMap::from([(XGBOOST_FILE.to_owned(), trained.ubj)]),
            seed: params.get("seed").and_then(Value::as_u64),
            params,
            rounds: Some(trained.rounds),
            features: data.features,
            seen,
            engine: Some(library("xgboost", trained.version)?),
            warnings: trained.warnings,
            ..Fitted::default()
        })
    }
}
