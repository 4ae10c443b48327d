//! Owns which delivery is put back, and how deliveries are listed. Invariant: it looks at their list alone, whatever took them.

use serde_json::json;

use crate::app::problem::Problems;
use crate::base::clock;
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::base::digest::ManifestId;
use crate::model::delivery::{Delivered, standing};
use crate::registry::ledger::Delivery;
use crate::ui::table::{Cell, Table, Tone};

/// What is put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// Nothing: what was delivered is only listed.
    List,
    /// What stood before the target's last delivery.
    Before,
    /// The table as this delivery left it.
    Sequence(u64),
}

/// A delivery as it is listed.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    sequence: u64,
    target: &'a str,
    artifact: ManifestId,
    rows: u64,
    puts_back: Option<u64>,
    at_ms: u64,
}

impl<'a> Line<'a> {
    /// One into a folder.
    #[must_use]
    pub fn of(delivery: &'a Delivery) -> Self {
        let Delivery { sequence, target, artifact, rows, puts_back, at_ms, .. } = delivery;
        Self { sequence: *sequence, target, artifact: *artifact, rows: *rows, puts_back: *puts_back, at_ms: *at_ms }
    }

    /// One into BigQuery.
    #[must_use]
    pub fn of_bigquery(delivery: &'a Delivered) -> Self {
        let Delivered { sequence, target, artifact, rows, puts_back, at_ms, .. } = delivery;
        Self { sequence: *sequence, target, artifact: *artifact, rows: *rows, puts_back: *puts_back, at_ms: *at_ms }
    }
}

fn standing_now<'l, 'a>(done: &'l [Line<'a>]) -> Vec<&'l Line<'a>> {
    standing(done, done.last().map_or(0, |line| line.sequence), |line| (line.sequence, line.puts_back))
}

/// The number of the delivery to put back.
///
/// # Errors
/// When there is none, or it is not clear which.
pub fn chosen(done: &[Line], target: &str, to: To) -> Result<u64, Problems> {
    let list = format!("cbi rollback {target} --list");
    if let To::Sequence(wanted) = to {
        let found = done.iter().find(|line| line.sequence == wanted);
        return found.map(|line| line.sequence).ok_or_else(|| no_such(target, wanted));
    }
    match standing_now(done).as_slice() {
        [.., before, last] if last.target == target => Ok(before.sequence),
        [.., last] if last.target != target => {
            Err(usage(format!("the last delivery was that of '{}': say which one to go back to, with --to", last.target), &list))
        }
        _ => Err(usage(format!("nothing was delivered before what '{target}' delivered last"), &list)),
    }
}

/// There is no delivery of this number.
#[must_use]
pub fn no_such(target: &str, sequence: u64) -> Problems {
    usage(format!("there was no delivery {sequence}"), &format!("cbi rollback {target} --list"))
}

/// All deliveries, the newest first; one that was begun and not finished before them.
#[must_use]
pub fn listed(done: &[Line], pending: Option<Line>) -> Table {
    let standing: Vec<u64> = standing_now(done).iter().map(|line| line.sequence).collect();
    let mut table = Table::new().right("delivery", "delivery").left("when", "when").left("target", "target").left("artifact", "artifact");
    table = table.right("rows", "rows").left("state", "state");
    let done = done.iter().rev().map(|line| (line, if standing.contains(&line.sequence) { "stands" } else { "taken back" }));
    for (line, state) in pending.iter().map(|line| (line, "begun")).chain(done) {
        let state = line.puts_back.map_or_else(|| state.to_owned(), |to| format!("put back {to}"));
        table.row(vec![
            Cell::count(line.sequence),
            Cell::text(clock::rfc3339(line.at_ms)),
            Cell::text(line.target.to_owned()).tone(Tone::Name),
            Cell::pair(line.artifact.to_string()[..12].to_owned(), json!(line.artifact)).tone(Tone::Dim),
            Cell::count(line.rows),
            Cell::text(state),
        ]);
    }
    table
}

/// A request that cannot be followed.
#[must_use]
pub fn usage(message: String, hint: &str) -> Problems {
    vec![Diagnostic::new(ExitCode::Usage, message).hint(hint)]
}
