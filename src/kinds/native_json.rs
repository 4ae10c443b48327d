//! Owns how our own models are written: JSON that a person can read. Invariant: the same model has the same bytes.

use serde::Serialize;

use crate::base::json;
use crate::kinds::learner::LearnError;

/// The file's bytes, with a line end at their end.
///
/// # Errors
/// When the model cannot be written as JSON.
pub fn bytes(model: &impl Serialize) -> Result<Vec<u8>, LearnError> {
    let text = json::pretty(model).map_err(|source| LearnError::Record { path: "the model's file".into(), source })?;
    Ok(text.into_bytes())
}
