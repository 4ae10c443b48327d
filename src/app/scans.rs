//! Owns what queries in the warehouse would read, before they run. Invariant: it asks for free, and what nobody knows yet is not guessed.

use std::collections::BTreeMap;

use serde_json::json;

use crate::app::observe;
use crate::app::problem::Outcome;
use crate::app::status::Survey;
use crate::graph::build::NodeId;
use crate::kinds::reach::{SCANS, Scan};
use crate::kinds::scan::is_tried;
use crate::plan::freshness::Freshness;

/// What each query in the warehouse that is to run would read, and cost at most; nothing of those whose inputs are not made yet.
///
/// # Errors
/// When the warehouse cannot be asked.
pub fn scans(survey: &Survey) -> Outcome<BTreeMap<NodeId, Scan>> {
    let pushed = |(id, step): (&NodeId, &Freshness)| match step {
        Freshness::Stale(action) if is_tried(action) => Some((*id, (**action).clone())),
        _ => None,
    };
    let todo: BTreeMap<NodeId, _> = survey.steps.iter().filter_map(pushed).collect();
    let Some(reach) = survey.reach.as_ref().filter(|reach| !todo.is_empty() && reach["offline"] != true) else {
        return Ok(BTreeMap::new());
    };
    let queries: BTreeMap<&str, _> =
        todo.iter().map(|(id, action)| (survey.name(*id), json!({ "params": action.params, "digests": action.digests() }))).collect();
    let mut found: BTreeMap<String, Scan> = observe::ask("probe:queries", &json!({ "queries": queries }), reach, SCANS)?;
    Ok(todo.keys().filter_map(|id| Some((*id, found.remove(survey.name(*id))?))).collect())
}
