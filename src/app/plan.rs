//! Owns `cbi plan`. Invariant: it looks and never runs anything; what it expects comes from the scheduler that builds use, and from history.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;

use crate::app::problem::{self, Outcome};
use crate::app::scans;
use crate::app::status::{Said, Survey, tone};
use crate::app::workspace::{Limits, Options};
use crate::base::units;
use crate::exec::memory;
use crate::exec::pool::Need;
use crate::exec::rehearsal::{self, Rehearsal};
use crate::graph::build::NodeId;
use crate::plan::freshness::Freshness;
use crate::ui::table::{Cell, Table, Tone};

/// Plays the build of all that is stale or may be, within the limits.
#[must_use]
pub fn expect(survey: &Survey, limits: Limits) -> Rehearsal {
    let mut todo: BTreeMap<NodeId, Need> = BTreeMap::new();
    for (id, freshness) in &survey.steps {
        let runs = match freshness {
            Freshness::Fresh(_) | Freshness::Broken(_) => false,
            Freshness::Stale(_) => true,
            // What needs a step that cannot be is not tried.
            Freshness::Waits(on) => on.iter().all(|dep| todo.contains_key(dep)),
        };
        if runs {
            todo.insert(*id, memory::need(&survey.graph[*id], survey.cost(*id), None));
        }
    }
    let took = |id: NodeId| survey.cost(id).map(|cost| cost.wall_ms);
    rehearsal::rehearse(&survey.graph, &todo, took, survey.workspace.budget(limits))
}

/// What a build would run, in which order, why, and what it will cost.
///
/// # Errors
/// When the recipes are wrong or the store cannot be asked.
pub fn plan(options: &Options, targets: &[String], limits: Limits) -> Outcome<Said> {
    let survey = Survey::of(options, targets)?;
    let played = expect(&survey, limits);
    let starts: BTreeMap<NodeId, u64> = played.slots.iter().map(|slot| (slot.id, slot.start_ms)).collect();
    let scans = scans::scans(&survey)?;
    let mut table = Table::new().left("target", "target").left("kind", "kind").left("state", "state").right("starts_ms", "starts");
    table = table.right("expected_ms", "time").right("expected_bytes", "memory");
    if !scans.is_empty() {
        table = table.right("scan_bytes", "scans").right("scan_cost", "cost");
    }
    table = table.left("why", "why");
    let (mut stale, mut maybe, mut known_ms, mut unknown) = (0_u64, 0_u64, 0_u64, 0_u64);
    let never_tried = survey.steps.keys().copied().filter(|id| !starts.contains_key(id));
    for id in played.slots.iter().map(|slot| slot.id).chain(never_tried) {
        let (state, reason) = survey.state(id).map_err(problem::stores)?;
        match state {
            "fresh" => continue,
            "stale" => stale += 1,
            _ => maybe += 1,
        }
        let cost = survey.cost(id);
        cost.map_or_else(|| unknown += 1, |c| known_ms += c.wall_ms);
        let mut row = vec![
            Cell::text(survey.name(id)).tone(Tone::Name),
            Cell::text(survey.graph[id].stanza.kind.clone()),
            Cell::text(state).tone(tone(state)),
            starts.get(&id).map_or_else(Cell::none, |ms| Cell::millis(*ms)),
            cost.map_or_else(Cell::none, |c| Cell::millis(c.wall_ms)),
            cost.map_or_else(Cell::none, |c| Cell::bytes(c.peak_bytes)),
        ];
        let scan = scans.get(&id);
        if !scans.is_empty() {
            row.push(scan.and_then(|scan| scan.bytes).map_or_else(Cell::none, Cell::bytes));
            row.push(scan.and_then(|scan| scan.cost).map_or_else(Cell::none, |cost| Cell::number(cost, 2)));
        }
        let refused = scan.and_then(|scan| scan.refused.as_ref()).map(|why| format!("; BigQuery refuses it: {why}"));
        row.push(Cell::text(format!("{reason}{}", refused.unwrap_or_default())));
        table.row(row);
    }
    let fresh = survey.steps.len() as u64 - stale - maybe;
    let elapsed = |ms| units::duration(Duration::from_millis(ms));
    let budget = survey.workspace.budget(limits);
    let mut total = match stale + maybe {
        0 => format!("nothing to do: {fresh} fresh"),
        _ => format!("{stale} to run, {maybe} maybe, {fresh} fresh; at most {} of work", elapsed(known_ms)),
    };
    if unknown > 0 {
        _ = write!(total, " and {unknown} never run before");
    }
    if !played.slots.is_empty() {
        let threads = if budget.cpus == 1 { "1 thread".to_owned() } else { format!("{} threads", budget.cpus) };
        let (wall, memory, all) = (elapsed(played.wall_ms), units::bytes(played.peak_bytes), units::bytes(budget.memory));
        _ = write!(total, "; {wall} on {threads}, with {memory} of {all} reserved at most");
    }
    let scan_bytes: u64 = scans.values().filter_map(|scan| scan.bytes).sum();
    let scan_cost: f64 = scans.values().filter_map(|scan| scan.cost).sum();
    if !scans.is_empty() {
        _ = write!(total, "; BigQuery would read {}, for {scan_cost:.2}", units::bytes(scan_bytes));
    }
    let totals = json!({
        "scan_bytes": scan_bytes, "scan_cost": scan_cost,
        "stale": stale, "maybe": maybe, "fresh": fresh, "expected_ms": known_ms, "never_run": unknown,
        "wall_ms": played.wall_ms, "critical_ms": played.critical_ms, "peak_bytes": played.peak_bytes,
        "jobs": budget.cpus, "memory_bytes": budget.memory,
    });
    let json = json!({ "steps": table.json(), "totals": totals });
    Ok(Said { table, total, json })
}
