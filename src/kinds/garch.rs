//! Kind `garch`: how much the price will move. Invariant: it forecasts a spread; its price forecast is today's price moved on by the mean return, and
//! claims no more.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::engine::frame_file::FrameData;
use crate::engine::parameters::ParameterError;
use crate::engine::series::garch::{self, Mean};
use crate::engine::series::model::Form;
use crate::engine::series::vocabulary::GARCH;
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

/// Kind `garch`.
pub const KIND: Kind = Kind {
    name: "garch",
    version: 1,
    about: "Fits GARCH(1,1) on log returns: a forecast of how far the price will move.",
    keys: &[
        FRAME_KEY,
        TUNED_KEY,
        Key::optional(
            "params",
            Want::Map(&Want::Any),
            "The parameters of arch's `arch_model`: mean (`Constant` or `Zero`; default `Constant`), p and q (1), dist (`normal`).",
        ),
    ],
    declare,
};

fn declare(stanza: &Stanza, context: &DeclareContext) -> Result<Declared, KindError> {
    training_stanza::with_params(Body(stanza), context, &Garch)
}

fn parameters(given: &Map<String, Value>) -> Result<BTreeMap<String, Value>, ParameterError> {
    let mut params = GARCH.check(given)?;
    for name in ["p", "q"] {
        let order = params.entry(name.to_owned()).or_insert(json!(1));
        if *order != json!(1) {
            return Err(ParameterError::Value { name: name.to_owned(), want: "1".into(), found: order.to_string() });
        }
    }
    for (name, value) in [("mean", json!("Constant")), ("dist", json!("normal"))] {
        params.entry(name.to_owned()).or_insert(value);
    }
    Ok(params)
}

/// Runs the action.
///
/// # Errors
/// When nothing was learnt.
pub fn run(request: &Request) -> Result<Response, RunError> {
    learner::run(&Garch, request)
}

/// The learner.
pub struct Garch;

impl Learner for Garch {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn parameters(&self, given: &Map<String, Value>) -> Result<BTreeMap<String, Value>, ParameterError> {
        parameters(given)
    }

    fn fit(&self, frame: &FrameData, settings: &Settings) -> Result<Fitted, LearnError> {
        let mean = if settings.word("mean") == Some("Zero") { Mean::Zero } else { Mean::Constant };
        series_learner::fit(frame, settings, |history| garch::Garch::fit(history, mean).map(Form::Garch))
    }
}
