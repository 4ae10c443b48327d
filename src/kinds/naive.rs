//! Kind `naive`: the price stays where it is, the yardstick of every other model. Invariant: it learns nothing, so it has seen no row.

use crate::engine::frame_file::FrameData;
use crate::kinds::body::Body;
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::kind::Kind;
use crate::kinds::learner::{self, Fitted, LearnError, Learner, Settings};
use crate::kinds::request::{Request, Response, RunError};
use crate::kinds::training_stanza::{self, FRAME_KEY};
use crate::model::recipe::{Declared, Stanza};

/// Kind `naive`.
pub const KIND: Kind =
    Kind { name: "naive", version: 1, about: "The forecast that the price stays where it is.", keys: &[FRAME_KEY], declare };

fn declare(stanza: &Stanza, context: &DeclareContext) -> Result<Declared, KindError> {
    training_stanza::declared(Body(stanza), context, &Settings::default())
}

/// Runs the action.
///
/// # Errors
/// When the frame cannot be read.
pub fn run(request: &Request) -> Result<Response, RunError> {
    learner::run(&Naive, request)
}

/// The learner that learns nothing.
pub struct Naive;

impl Learner for Naive {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn fit(&self, _frame: &FrameData, _settings: &Settings) -> Result<Fitted, LearnError> {
        Ok(Fitted::default())
    }
}
