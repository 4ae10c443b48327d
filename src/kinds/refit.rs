//! Kind `refit`: a model trained again, as it was configured, on all outcomes known when the present period began. Invariant: it learns no setting
//! anew; what was chosen on validation, the number of rounds above all, stays as it was chosen.

use std::path::Path;

use crate::engine::frame_file::{self, FrameFileError};
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::frame::REFIT;
use crate::kinds::kind::Kind;
use crate::kinds::learner::{ARTIFACT, FRAME_SLOT, LearnError, Settings, teach};
use crate::kinds::learners;
use crate::kinds::request::{Request, Response, RunError};
use crate::kinds::trained::{self, TrainedError};
use crate::kinds::training_stanza::{self, MODEL_SLOT};
use crate::model::recipe::{Declared, Stanza};
use crate::syntax::shape::{Key, Want};

/// Kind `refit`.
pub const KIND: Kind = Kind {
    name: "refit",
    version: 1,
    about: "Trains a model again, as it was configured, on all outcomes known when the present month, quarter or year began.",
    keys: &[
        Key::required("frame", Want::Target, "The frame, with `refit`."),
        Key::required("model", Want::Target, "The model whose learner, parameters and rounds are used."),
    ],
    declare,
};

fn declare(stanza: &Stanza, context: &DeclareContext) -> Result<Declared, KindError> {
    training_stanza::again(stanza, context, (REFIT, "a refit learns from"), ARTIFACT)
}

/// Why nothing was trained.
#[derive(Debug, thiserror::Error)]
pub enum RefitError {
    /// The rows cannot be read.
    #[error(transparent)]
    Frame(#[from] FrameFileError),
    /// The model cannot be read.
    #[error(transparent)]
    Model(#[from] TrainedError),
    /// The model is of a kind that is not trained on a frame by itself.
    #[error("{kind} models are not trained on rows of a frame")]
    Kind {
        /// The kind.
        kind: String,
    },
    /// It cannot be learnt.
    #[error(transparent)]
    Learn(#[from] LearnError),
}

/// Runs the action.
///
/// # Errors
/// When nothing was learnt.
pub fn run(request: &Request) -> Result<Response, RunError> {
    let (rows, model) = (request.input(FRAME_SLOT)?, request.input(MODEL_SLOT)?);
    let how =
        Settings { threads: request.threads, scratch: request.scratch.clone(), adapter: request.adapter.clone(), ..Settings::default() };
    refit(rows, model, how, &request.output(ARTIFACT)?).map_err(|error| match error {
        RefitError::Learn(error) => error.as_failure(),
        RefitError::Kind { .. } => RunError::invalid(&error).hint("refit its members, and make an ensemble of those"),
        _ => RunError::failed(&error),
    })
}

/// Trains the learner of the model in `model` on the rows in `rows`, with its parameters, and writes the `model` artifact into `out`.
///
/// # Errors
/// When nothing was learnt.
pub fn refit(rows: &Path, model: &Path, how: Settings, out: &Path) -> Result<Response, RefitError> {
    let rows = frame_file::read(rows)?;
    let model = trained::read_record(model)?;
    let learner = learners::of(&model.kind).ok_or_else(|| RefitError::Kind { kind: model.kind.clone() })?;
    let (rounds, tuned_on, mut params) = (model.rounds_kept(), model.tuned_on(), model.params);
    if !rounds.is_empty() {
        learner.fix_rounds(&mut params, &rounds);
    }
    Ok(teach(learner, &rows, &Settings { params, tuned_on, ..how }, out)?)
}
