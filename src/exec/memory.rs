//! Owns how much memory an action is given, and which of those that run must go when there is not enough. Invariant: an action that keeps to its
//! reservation is never ended, and neither is one that runs alone.

use std::collections::HashMap;

use crate::base::clock;
use crate::exec::pool::{Need, Pool};
use crate::graph::build::Node;
use crate::model::result::Cost;

/// What is assumed of an action that neither its recipe nor history says anything about.
const UNKNOWN_BYTES: u64 = 128 << 20;

/// What the driver of an adapter, and the programs compiled for it, may hold in the memory of the process.
const DRIVER_BYTES: u64 = 512 << 20;

/// One part in so many is added to what a step held last time: it may hold a little more the next, and ending it for that would cost all it did.
const SPARE: u64 = 10;

/// What an action asks for: the threads of its recipe, and as much memory as its last run held, more where it reads more now, but no less than
/// its recipe says. `input_bytes` is what it reads now, where that is known.
#[must_use]
pub fn need(node: &Node, past: Option<Cost>, input_bytes: Option<u64>) -> Need {
    let common = &node.stanza.common;
    let held = past.filter(|cost| cost.peak_bytes > 0).map(|cost| grown(cost, input_bytes));
    let learned = held.map(|bytes| bytes.saturating_add(bytes / SPARE));
    let adapter = node.declared.adapter.as_ref().is_some_and(|wish| wish.found.is_ok());
    let known = common.memory.max(learned);
    let memory = match adapter {
        // What it held last time it may have held without an adapter.
        true => known.max(Some(node.declared.memory.unwrap_or(UNKNOWN_BYTES).saturating_add(DRIVER_BYTES))),
        false => known.or(node.declared.memory),
    };
    Need { cpus: common.threads, memory: memory.unwrap_or(UNKNOWN_BYTES), adapter }
}

/// The last peak, scaled up as the inputs grew since.
fn grown(past: Cost, input_bytes: Option<u64>) -> u64 {
    match input_bytes {
        Some(now) if past.input_bytes > 0 && now > past.input_bytes => {
            let scaled = u128::from(past.peak_bytes) * u128::from(now) / u128::from(past.input_bytes);
            u64::try_from(scaled).unwrap_or(u64::MAX)
        }
        _ => past.peak_bytes,
    }
}

/// What runs now, in the order in which it began, with what it was given.
#[derive(Debug, Default)]
pub struct Running {
    list: Vec<Held>,
}

/// One running action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its target.
    pub target: String,
    /// What it was given when it began.
    pub reserved: u64,
    /// What it held when last looked at.
    pub bytes: u64,
    /// When it began, milliseconds since 1970 UTC.
    pub started_ms: u64,
    taken: Need,
}

impl Running {
    /// Takes note of a begun action.
    pub fn begin(&mut self, target: String, taken: Need) {
        self.list.push(Held { target, reserved: taken.memory, bytes: 0, started_ms: clock::now_ms(), taken });
    }

    /// Gives back what an ended action was given, and says what is known of it.
    pub fn end(&mut self, target: &str, pool: &mut Pool) -> Option<Held> {
        let at = self.list.iter().position(|held| held.target == target)?;
        let held = self.list.remove(at);
        pool.release(held.taken);
        Some(held)
    }

    /// How many run.
    #[must_use]
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// Takes note of the bytes that each holds now; what goes beyond a reservation is taken from the budget. Returns the action that must go:
    /// where all hold more than the budget, the youngest that outgrew its reservation.
    pub fn look(&mut self, resident: &HashMap<String, u64>, pool: &mut Pool) -> Option<Held> {
        for held in &mut self.list {
            held.bytes = resident.get(&held.target).copied().unwrap_or(0);
            held.taken = pool.grow(held.taken, held.bytes);
        }
        let all: u64 = self.list.iter().map(|held| held.bytes).sum();
        if all <= pool.memory() || self.list.len() < 2 {
            return None;
        }
        self.list.iter().rev().find(|held| held.bytes > held.reserved).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::pool::Budget;

    fn cost(peak_bytes: u64, input_bytes: u64) -> Cost {
        Cost { peak_bytes, input_bytes, ..Cost::default() }
    }

    #[test]
    fn a_reservation_grows_with_the_inputs_and_never_shrinks_with_them() {
        assert_eq!(grown(cost(100, 10), Some(15)), 150);
        assert_eq!(grown(cost(100, 10), Some(5)), 100);
        assert_eq!(grown(cost(100, 0), Some(5)), 100, "recorded before inputs were");
        assert_eq!(grown(cost(100, 10), None), 100);
        assert_eq!(grown(cost(u64::MAX, 1), Some(u64::MAX)), u64::MAX);
    }

    /// Actions with so many bytes reserved, begun in this order, looked at while they hold `bytes`.
    fn goes(budget: u64, reserved: &[u64], bytes: &[u64]) -> Option<String> {
        let mut pool = Pool::new(Budget { cpus: 8, memory: budget });
        let mut running = Running::default();
        for (at, memory) in reserved.iter().enumerate() {
            let taken = pool.take(Need { cpus: 1, memory: *memory, adapter: false }).unwrap();
            running.begin(at.to_string(), taken);
        }
        let resident = bytes.iter().enumerate().map(|(at, bytes)| (at.to_string(), *bytes)).collect();
        running.look(&resident, &mut pool).map(|held| held.target)
    }

    #[test]
    fn the_youngest_that_outgrew_its_reservation_goes_when_all_hold_more_than_the_budget() {
        assert_eq!(goes(100, &[30, 30], &[40, 50]), None, "there is room");
        assert_eq!(goes(100, &[30, 30], &[40, 70]), Some("1".to_owned()));
        assert_eq!(goes(100, &[30, 30, 30], &[90, 40, 20]), Some("1".to_owned()), "the youngest keeps to its own");
        assert_eq!(goes(100, &[60], &[300]), None, "one alone has all there is");
        assert_eq!(goes(100, &[30, 30], &[30, 30]), None);
    }
}
