//! Owns how often test rows were looked at. Invariant: a look counts once for each `evaluate` action that is on record here or in the mirror, whatever models
//! it measured and however it turned out; nothing of it enters an artifact.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};

use crate::app::resolve::Records;
use crate::base::canon::{HashSink, walk_json};
use crate::base::digest::{ActionKey, Digest, ManifestId};
use crate::kinds::evaluate;
use crate::kinds::frame::TEST;
use crate::kinds::learner::FRAME_SLOT;
use crate::mirror::bucket::Bucket;
use crate::mirror::error::MirrorResult;
use crate::mirror::looks::{Known, Looks};
use crate::model::action::Input;
use crate::model::build::Build;
use crate::model::result::ActionResult;
use crate::registry::journal::BuiltTargets;
use crate::store::action_cache::Session;
use crate::store::error::StoreResult;
use crate::store::root::Root;

/// How many `evaluate` actions asked of the same test rows as this one: the same price, the same horizon, a test range that begins on the same day. Those
/// on record here, and those that the mirror told of. `None` of another kind, or where the frame's own record is gone.
#[must_use]
pub fn looks(results: &[ActionResult], told: &Looks, at: &ActionResult) -> Option<u64> {
    if at.action.kind != evaluate::NAME {
        return None;
    }
    let frames = frames(results);
    let asked = question(&frames, at)?;
    let mut all = of_all(&frames, results).remove(&asked).unwrap_or_default();
    all.extend(told.get(&asked).into_iter().flatten());
    Some(all.len() as u64)
}

/// The looks that the workspace's mirror told of so far; it is not asked.
///
/// # Errors
/// When the disk refuses.
pub fn told(records: &Records) -> MirrorResult<Looks> {
    match &records.workspace.settings.mirror {
        Some(mirror) => Known::of(records.session.root(), &mirror.name).read(),
        None => Ok(Looks::new()),
    }
}

/// Tells the mirror of all looks that are on record among these results, and learns of those of others.
///
/// # Errors
/// When it does not answer.
pub fn meet(root: &Root, bucket: &Bucket, results: &[ActionResult]) -> MirrorResult<Looks> {
    Known::in_bucket(root, bucket).meet(bucket, &of_all(&frames(results), results))
}

/// The looks that a build made, which left these targets.
///
/// # Errors
/// When the store cannot be read.
pub fn made(session: &Session, build: &Build, targets: &BuiltTargets) -> StoreResult<Looks> {
    if build.counts.ran == 0 {
        return Ok(Looks::new());
    }
    let mut results = Vec::new();
    for built in targets.values() {
        results
            .extend(session.lookup(&built.key)?.filter(|result| result.action.kind == evaluate::NAME || result.outputs.contains_key(TEST)));
    }
    let frames = frames(&results);
    let looking = results.iter().filter(|result| result.ended_ms >= build.started_ms);
    Ok(of_all(&frames, looking))
}

fn of_all<'r>(frames: &HashMap<ManifestId, &Value>, results: impl IntoIterator<Item = &'r ActionResult>) -> Looks {
    let mut all: BTreeMap<Digest, BTreeSet<ActionKey>> = Looks::new();
    for result in results {
        if let Some(asked) = question(frames, result) {
            all.entry(asked).or_default().insert(result.key);
        }
    }
    all
}

/// The test rows on record, with what their frame was asked to be.
fn frames(results: &[ActionResult]) -> HashMap<ManifestId, &Value> {
    let tests = results.iter().filter_map(|result| Some((result.outputs.get(TEST)?.id(), &result.action.params)));
    tests.collect()
}

/// What an `evaluate` action's test rows are rows of, as a hash: price, horizon, first day.
fn question(frames: &HashMap<ManifestId, &Value>, result: &ActionResult) -> Option<Digest> {
    let Input::Artifact(test) = result.action.inputs.get(FRAME_SLOT).filter(|_| result.action.kind == evaluate::NAME)? else { return None };
    let frame = frames.get(test)?;
    let asked = json!([frame.get("price")?, frame.pointer("/label/horizon")?, frame.pointer("/split/test/0")?]);
    let mut sink = HashSink::new("cbi 1 look");
    walk_json(&mut sink, "asked", &asked);
    Some(sink.finish())
}
