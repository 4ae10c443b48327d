//! Owns how often test rows were looked at. Invariant: a look counts once for each `evaluate` action that is on record, whatever models it measured and
//! however it turned out; nothing of it enters an artifact.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use crate::base::digest::{ActionKey, ManifestId};
use crate::kinds::evaluate;
use crate::kinds::frame::TEST;
use crate::kinds::learner::FRAME_SLOT;
use crate::model::action::Input;
use crate::model::result::ActionResult;

/// How many recorded `evaluate` actions asked of the same test rows as this one: the same price, the same horizon, a test range that begins on the same
/// day. `None` of another kind, or where the frame's own record is gone.
#[must_use]
pub fn looks(results: &[ActionResult], at: &ActionResult) -> Option<u64> {
    if at.action.kind != evaluate::NAME {
        return None;
    }
    let frames = frames(results);
    let asked = question(&frames, at)?;
    let same = results.iter().filter(|result| question(&frames, result).is_some_and(|other| other == asked));
    Some(same.map(|result| result.key).collect::<BTreeSet<ActionKey>>().len() as u64)
}

/// The test rows on record, with what their frame was asked to be.
fn frames(results: &[ActionResult]) -> HashMap<ManifestId, &Value> {
    let tests = results.iter().filter_map(|result| Some((result.outputs.get(TEST)?.id(), &result.action.params)));
    tests.collect()
}

/// What an `evaluate` action's test rows are rows of: price, horizon, first day.
fn question<'a>(frames: &HashMap<ManifestId, &'a Value>, result: &ActionResult) -> Option<[&'a Value; 3]> {
    let Input::Artifact(test) = result.action.inputs.get(FRAME_SLOT).filter(|_| result.action.kind == evaluate::NAME)? else { return None };
    let frame = frames.get(test)?;
    Some([frame.get("price")?, frame.pointer("/label/horizon")?, frame.pointer("/split/test/0")?])
}
