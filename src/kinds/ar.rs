//! Kind `ar`: autoregression on the changes of the price. Invariant: `params` holds statsmodels' names with the values used, the defaults included, and
//! on what the model is fitted.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::engine::frame_file::FrameData;
use crate::engine::parameters::ParameterError;
use crate::engine::series::autoregression::{Autoregression, Trend};
use crate::engine::series::model::Form;
use crate::engine::series::scale::Scale;
use crate::engine::series::vocabulary::AR;
use crate::kinds::body::Body;
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::kind::Kind;
use crate::kinds::learner::{self, Fitted, LearnError, Learner, Settings};
use crate::kinds::request::{Request, Response, RunError};
use crate::kinds::series_learner;
use crate::kinds::training_stanza::{self, FRAME_KEY};
use crate::kinds::tuned::TUNED_KEY;
use crate::model::recipe::{Declared, Stanza};
use crate::syntax::shape::{Key, Want};

/// What may be regressed on its past.
const SCALES: [&str; 2] = ["log_return", "difference"];

/// Kind `ar`.
pub const KIND: Kind = Kind {
    name: "ar",
    version: 1,
    about: "Fits an autoregression on the changes of the price.",
    keys: &[
        FRAME_KEY,
        TUNED_KEY,
        Key::optional(
            "series",
            Want::OneOf(&SCALES),
            "What is regressed on its past: log returns (where it is not said) or differences of the price.",
        ),
        Key::optional(
            "params",
            Want::Map(&Want::Any),
            "statsmodels' parameters of `AutoReg`: lags (a number, or a list of lags; it must be there), trend (default `c`).",
        ),
    ],
    declare,
};

fn declare(stanza: &Stanza, context: &DeclareContext) -> Result<Declared, KindError> {
    training_stanza::with_params(Body(stanza), context, &Ar)
}

fn parameters(given: &Map<String, Value>, series: &str) -> Result<BTreeMap<String, Value>, ParameterError> {
    let mut params = AR.check(given)?;
    training_stanza::needed(&params, "lags", "a whole number, or a list of whole numbers from 1")?;
    let lags = lags(&params["lags"]);
    if lags.windows(2).any(|pair| pair[0] == pair[1]) {
        let found = params["lags"].to_string();
        return Err(ParameterError::Value { name: "lags".into(), want: "distinct lags".into(), found });
    }
    params.insert("lags".into(), json!(lags));
    params.entry("trend".to_owned()).or_insert(json!("c"));
    params.insert("series".into(), json!(series));
    Ok(params)
}

/// The lags, ascending: those listed, or all up to the number given.
fn lags(given: &Value) -> Vec<u64> {
    let mut lags: Vec<u64> = match given {
        Value::Array(items) => items.iter().filter_map(Value::as_u64).collect(),
        number => (1..=number.as_u64().unwrap_or(0)).collect(),
    };
    lags.sort_unstable();
    lags
}

/// Runs the action.
///
/// # Errors
/// When nothing was learnt.
pub fn run(request: &Request) -> Result<Response, RunError> {
    learner::run(&Ar, request)
}

/// The learner.
pub struct Ar;

impl Learner for Ar {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn parameters(&self, given: &Map<String, Value>) -> Result<BTreeMap<String, Value>, ParameterError> {
        let mut own = given.clone();
        let series = training_stanza::scale(&mut own, &SCALES)?;
        parameters(&own, &series)
    }

    fn fit(&self, frame: &FrameData, settings: &Settings) -> Result<Fitted, LearnError> {
        let scale = if settings.word("series") == Some("difference") { Scale::Price } else { Scale::LogPrice };
        let trend = match settings.word("trend") {
            Some("n") => Trend::N,
            Some("t") => Trend::T,
            Some("ct") => Trend::Ct,
            _ => Trend::C,
        };
        let lags = settings.params.get("lags").map(lags).unwrap_or_default();
        let lags = lags.into_iter().map(|lag| usize::try_from(lag).unwrap_or(usize::MAX)).collect();
        series_learner::fit(frame, settings, |history| Autoregression::fit(history, scale, trend, lags).map(Form::Ar))
    }
}
