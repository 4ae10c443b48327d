//! Kind `exponential_smoothing`: level, trend and season, smoothed. Invariant: `params` holds statsmodels' names with the values used, the defaults
//! included, and on what the model is fitted.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::engine::frame_file::FrameData;
use crate::engine::parameters::ParameterError;
use crate::engine::series::model::Form;
use crate::engine::series::scale::Scale;
use crate::engine::series::smoothing_fit::{self, Asked};
use crate::engine::series::vocabulary::EXPONENTIAL_SMOOTHING;
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

/// What may be smoothed.
const SCALES: [&str; 2] = ["log_price", "price"];

/// Kind `exponential_smoothing`.
pub const KIND: Kind = Kind {
    name: "exponential_smoothing",
    version: 1,
    about: "Fits exponential smoothing: a level, a trend that may fade, an additive season.",
    keys: &[
        FRAME_KEY,
        TUNED_KEY,
        Key::optional("series", Want::OneOf(&SCALES), "What is smoothed: the logarithm of the price (where it is not said) or the price."),
        Key::optional(
            "params",
            Want::Map(&Want::Any),
            "statsmodels' parameters of `ExponentialSmoothing`: trend (`add`), damped_trend, seasonal (`add`), seasonal_periods, and smoothing_level, smoothing_trend, smoothing_seasonal, damping_trend where they are not to be found.",
        ),
    ],
    declare,
};

/// What makes no sense alone: a parameter, the one it needs, and why.
const NEEDS: [(&str, &str, &str, &str); 6] = [
    ("damped_trend", "trend", "without 'trend'", "there is no trend to damp"),
    ("damping_trend", "damped_trend", "without 'damped_trend'", "no trend is damped"),
    ("smoothing_trend", "trend", "without 'trend'", "there is no trend to smooth"),
    ("smoothing_seasonal", "seasonal", "without 'seasonal'", "there is no season to smooth"),
    ("seasonal_periods", "seasonal", "without 'seasonal'", "there is no season to count"),
    ("seasonal", "seasonal_periods", "without 'seasonal_periods'", "a season has a length"),
];

fn declare(stanza: &Stanza, context: &DeclareContext) -> Result<Declared, KindError> {
    training_stanza::with_params(Body(stanza), context, &ExponentialSmoothing)
}

fn parameters(given: &Map<String, Value>, series: &str) -> Result<BTreeMap<String, Value>, ParameterError> {
    let mut params = EXPONENTIAL_SMOOTHING.check(given)?;
    if params.get("damped_trend") == Some(&json!(false)) {
        params.remove("damped_trend");
    }
    for (name, needed, with, why) in NEEDS {
        if params.contains_key(name) && !params.contains_key(needed) {
            return Err(ParameterError::Clash { name: name.to_owned(), with, why });
        }
    }
    training_stanza::at_least(&params, "seasonal_periods", 2)?;
    let level = params.get("smoothing_level").and_then(Value::as_f64);
    let (most_trend, most_seasonal) = (level.unwrap_or(1.0), 1.0 - level.unwrap_or(0.0));
    for (name, most, want) in [
        ("smoothing_level", 1.0, "from 0 to 1"),
        ("smoothing_trend", most_trend, "from 0 to smoothing_level"),
        ("smoothing_seasonal", most_seasonal, "from 0 to 1 less smoothing_level"),
        ("damping_trend", 1.0, "from 0 to 1"),
    ] {
        if params.contains_key(name) {
            training_stanza::number(&mut params, name, 0.0, want, |weight| (0.0..=most).contains(&weight))?;
        }
    }
    params.insert("series".into(), json!(series));
    Ok(params)
}

/// Runs the action.
///
/// # Errors
/// When nothing was learnt.
pub fn run(request: &Request) -> Result<Response, RunError> {
    learner::run(&ExponentialSmoothing, request)
}

/// The learner.
pub struct ExponentialSmoothing;

impl Learner for ExponentialSmoothing {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn parameters(&self, given: &Map<String, Value>) -> Result<BTreeMap<String, Value>, ParameterError> {
        let mut own = given.clone();
        let series = training_stanza::scale(&mut own, &SCALES)?;
        parameters(&own, &series)
    }

    fn fit(&self, frame: &FrameData, settings: &Settings) -> Result<Fitted, LearnError> {
        let scale = if settings.word("series") == Some("price") { Scale::Price } else { Scale::LogPrice };
        let asked = Asked {
            trend: settings.word("trend").is_some(),
            damped: settings.is_set("damped_trend"),
            seasonal_periods: settings.count("seasonal_periods").map(|periods| periods as usize),
            smoothing_level: settings.number("smoothing_level"),
            smoothing_trend: settings.number("smoothing_trend"),
            smoothing_seasonal: settings.number("smoothing_seasonal"),
            damping_trend: settings.number("damping_trend"),
        };
        series_learner::fit(frame, settings, |history| smoothing_fit::fit(history, scale, &asked).map(Form::ExponentialSmoothing))
    }
}
