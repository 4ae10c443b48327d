//! Kind `lightgbm`: gradient boosting with the vendor's own library. Invariant: `params` holds the vendor's primary names with the values the
//! library is given, the defaults that we set included, so the key and the record say all that determined the model.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::engine::frame_file::{FrameData, Part};
use crate::engine::gbdt::lightgbm;
use crate::engine::gbdt::stopping::EarlyStopping;
use crate::engine::gbdt::vocabulary::lightgbm::LIGHTGBM;
use crate::engine::parameters::ParameterError;
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::kind::Kind;
use crate::kinds::learner::{self, Fitted, LearnError, Learner, Settings, library, training_data};
use crate::kinds::request::{Request, Response, RunError};
use crate::kinds::trained::LIGHTGBM_FILE;
use crate::kinds::training_stanza::{self, FRAME_KEY};
use crate::kinds::tuned::TUNED_KEY;
use crate::model::recipe::{Declared, Stanza};
use crate::syntax::shape::{Key, Want};

/// Kind `lightgbm`.
pub const KIND: Kind = Kind {
    name: "lightgbm",
    version: 1,
    about: "Trains a LightGBM model on a frame.",
    keys: &[
        FRAME_KEY,
        TUNED_KEY,
        Key::optional(
            "params",
            Want::Map(&Want::Any),
            "LightGBM's parameters under the vendor's names: num_iterations (default 100), early_stopping_round, seed (default 42), and so on.",
        ),
    ],
    declare,
};

fn declare(stanza: &Stanza, context: &DeclareContext) -> Result<Declared, KindError> {
    training_stanza::boosted(stanza, context, &LightGbm)
}

/// The recipe's parameters with the defaults that make a training repeatable.
///
/// # Errors
/// The first that the library has not, or that cannot be used.
pub fn parameters(given: &Map<String, Value>) -> Result<BTreeMap<String, Value>, ParameterError> {
    let mut params = LIGHTGBM.check(given)?;
    let whole = |name: &str, least: u64| training_stanza::at_least(&params, name, least);
    whole("num_iterations", 1)?;
    whole("early_stopping_round", 0)?;
    whole("seed", 0)?;
    if let Some(delta) = params.get("early_stopping_min_delta").filter(|delta| delta.as_f64().is_none_or(|d| d < 0.0)) {
        let (name, want) = ("early_stopping_min_delta".to_owned(), "0 or more".to_owned());
        return Err(ParameterError::Value { name, want, found: delta.to_string() });
    }
    if params.get("early_stopping_round") == Some(&json!(0)) {
        params.remove("early_stopping_round");
    }
    let dart = params.get("boosting") == Some(&json!("dart"));
    if dart && params.contains_key("early_stopping_round") {
        let why = "dart changes earlier trees in every round, so the best round cannot be gone back to";
        return Err(ParameterError::Clash { name: "early_stopping_round".into(), with: "with boosting = \"dart\"", why });
    }
    let by_columns = params.get("force_col_wise") == Some(&json!(true));
    let defaults = [
        ("deterministic", json!(true)),
        ("force_row_wise", json!(!by_columns)),
        ("num_iterations", json!(100)),
        ("seed", json!(42)),
        ("verbosity", json!(-1)),
    ];
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
    learner::run(&LightGbm, request)
}

/// The learner.
pub struct LightGbm;

impl Learner for LightGbm {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn parameters(&self, given: &Map<String, Value>) -> Result<BTreeMap<String, Value>, ParameterError> {
        parameters(given)
    }

    fn rounds_key(&self) -> Option<&'static str> {
        Some("num_iterations")
    }

    fn fix_rounds(&self, params: &mut BTreeMap<String, Value>, rounds: &[u32]) {
        params.retain(|name, _| !["early_stopping_round", "early_stopping_min_delta", "first_metric_only"].contains(&name.as_str()));
        params.insert("num_iterations".into(), json!(rounds.first()));
    }

    fn fit(&self, frame: &FrameData, settings: &Settings) -> Result<Fitted, LearnError> {
        let mut params = settings.params.clone();
        params.insert("num_threads".into(), json!(settings.threads));
        let number = |name: &str| params.get(name).and_then(Value::as_f64).unwrap_or(0.0);
        let first_only = params.get("first_metric_only") == Some(&json!(true));
        let patience = settings.count("early_stopping_round");
        let stopping = patience.map(|rounds| EarlyStopping::new(rounds, number("early_stopping_min_delta"), first_only));
        let seen = if stopping.is_some() { vec![Part::Train, Part::Valid] } else { vec![Part::Train] };
        let data = training_data(frame, stopping.is_some())?;
        let rounds = settings.count("num_iterations").unwrap_or(100);
        let (text, kept) = lightgbm::train(&data, &params, rounds, stopping)?;
        let version = text.lines().find_map(|line| line.strip_prefix("version=")).map(str::to_owned);
        Ok(Fitted {
            files: BTreeMap::from([(LIGHTGBM_FILE.to_owned(), text.into_bytes())]),
            seed: params.get("seed").and_then(Value::as_u64),
            params,
            rounds: Some(kept),
            features: data.features,
            seen,
            engine: Some(library("lightgbm", version)?),
            ..Fitted::default()
        })
    }
}
