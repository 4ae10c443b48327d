//! Kind `seasonal_naive`: the price that stood one season before the target. Invariant: it learns nothing but the length of the season, which the
//! recipe says.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::engine::frame_file::FrameData;
use crate::engine::parameters::ParameterError;
use crate::engine::series::model::Form;
use crate::engine::series::seasonal;
use crate::engine::series::vocabulary::SEASONAL_NAIVE;
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

/// Kind `seasonal_naive`.
pub const KIND: Kind = Kind {
    name: "seasonal_naive",
    version: 1,
    about: "The forecast that the price is what it was a season before.",
    keys: &[
        FRAME_KEY,
        TUNED_KEY,
        Key::optional(
            "params",
            Want::Map(&Want::Any),
            "`seasonal_periods`: how many rows a season has, such as 252 trading days for a year. It must be there.",
        ),
    ],
    declare,
};

fn declare(stanza: &Stanza, context: &DeclareContext) -> Result<Declared, KindError> {
    training_stanza::with_params(Body(stanza), context, &SeasonalNaive)
}

fn parameters(given: &Map<String, Value>) -> Result<BTreeMap<String, Value>, ParameterError> {
    let params = SEASONAL_NAIVE.check(given)?;
    training_stanza::needed(&params, "seasonal_periods", "a whole number, at least 1")?;
    training_stanza::at_least(&params, "seasonal_periods", 1)?;
    Ok(params)
}

/// Runs the action.
///
/// # Errors
/// When nothing was learnt.
pub fn run(request: &Request) -> Result<Response, RunError> {
    learner::run(&SeasonalNaive, request)
}

/// The learner.
pub struct SeasonalNaive;

impl Learner for SeasonalNaive {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn parameters(&self, given: &Map<String, Value>) -> Result<BTreeMap<String, Value>, ParameterError> {
        parameters(given)
    }

    fn fit(&self, frame: &FrameData, settings: &Settings) -> Result<Fitted, LearnError> {
        let seasonal_periods = settings.count("seasonal_periods").unwrap_or(1) as usize;
        series_learner::fit(frame, settings, |_| Ok(Form::SeasonalNaive(seasonal::SeasonalNaive { seasonal_periods })))
    }
}
