//! Kind `drift`: the price goes on as it went over the train rows. Invariant: one number is learnt, the mean change from one train price to the next.

use crate::engine::frame_file::FrameData;
use crate::engine::series::model::Form;
use crate::engine::series::seasonal;
use crate::kinds::body::Body;
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::kind::Kind;
use crate::kinds::learner::{self, Fitted, LearnError, Learner, Settings};
use crate::kinds::request::{Request, Response, RunError};
use crate::kinds::series_learner;
use crate::kinds::training_stanza::{self, FRAME_KEY};
use crate::model::recipe::{Declared, Stanza};

/// Kind `drift`.
pub const KIND: Kind = Kind {
    name: "drift",
    version: 1,
    about: "The forecast that the price moves on by its mean change over the train rows.",
    keys: &[FRAME_KEY],
    declare,
};

fn declare(stanza: &Stanza, context: &DeclareContext) -> Result<Declared, KindError> {
    training_stanza::declared(Body(stanza), context, &Settings::default())
}

/// Runs the action.
///
/// # Errors
/// When nothing was learnt.
pub fn run(request: &Request) -> Result<Response, RunError> {
    learner::run(&Drift, request)
}

/// The learner.
pub struct Drift;

impl Learner for Drift {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn fit(&self, frame: &FrameData, settings: &Settings) -> Result<Fitted, LearnError> {
        series_learner::fit(frame, settings, |history| seasonal::Drift::fit(&history.prices).map(Form::Drift))
    }
}
