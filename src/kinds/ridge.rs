//! Kind `ridge`: linear regression that keeps its coefficients small. Invariant: `params` holds scikit-learn's names with the values used, the
//! defaults included.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::engine::frame_file::FrameData;
use crate::engine::linear::ridge;
use crate::engine::linear::vocabulary::RIDGE;
use crate::engine::parameters::ParameterError;
use crate::kinds::body::Body;
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::kind::Kind;
use crate::kinds::learner::{self, Fitted, LearnError, Learner, Settings};
use crate::kinds::linear_learner;
use crate::kinds::request::{Request, Response, RunError};
use crate::kinds::training_stanza::{self, FRAME_KEY};
use crate::kinds::tuned::TUNED_KEY;
use crate::model::recipe::{Declared, Stanza};
use crate::syntax::shape::{Key, Want};

/// Kind `ridge`.
pub const KIND: Kind = Kind {
    name: "ridge",
    version: 1,
    about: "Fits ridge regression on the features of a frame.",
    keys: &[
        FRAME_KEY,
        TUNED_KEY,
        Key::optional(
            "params",
            Want::Map(&Want::Any),
            "scikit-learn's parameters of `Ridge`: alpha (default 1.0), fit_intercept (default true).",
        ),
    ],
    declare,
};

fn declare(stanza: &Stanza, context: &DeclareContext) -> Result<Declared, KindError> {
    training_stanza::with_params(Body(stanza), context, &Ridge)
}

fn parameters(given: &Map<String, Value>) -> Result<BTreeMap<String, Value>, ParameterError> {
    let mut params = RIDGE.check(given)?;
    training_stanza::number(&mut params, "alpha", 1.0, "0 or more", |alpha| alpha >= 0.0)?;
    params.entry("fit_intercept".to_owned()).or_insert(json!(true));
    Ok(params)
}

/// Runs the action.
///
/// # Errors
/// When nothing was learnt.
pub fn run(request: &Request) -> Result<Response, RunError> {
    learner::run(&Ridge, request)
}

/// The learner.
pub struct Ridge;

impl Learner for Ridge {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn parameters(&self, given: &Map<String, Value>) -> Result<BTreeMap<String, Value>, ParameterError> {
        parameters(given)
    }

    fn fit(&self, frame: &FrameData, settings: &Settings) -> Result<Fitted, LearnError> {
        let (alpha, intercept) = (settings.number("alpha").unwrap_or(1.0), settings.is_set("fit_intercept"));
        linear_learner::fit(frame, settings, |rows, names| ridge::solve(rows, alpha, intercept, names))
    }
}
