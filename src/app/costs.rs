//! Owns `cbi log --cost`. Invariant: it adds up what was recorded when steps ran, at the price of that day; results that `cbi gc` forgot are not in it.

use std::collections::BTreeMap;

use serde_json::json;

use crate::app::problem::Outcome;
use crate::app::resolve::Records;
use crate::app::status::Said;
use crate::app::workspace::Options;
use crate::base::clock;
use crate::base::units;
use crate::kinds::reach::{BILLED, COST};
use crate::ui::table::{Cell, Table, Tone};

/// What steps were charged for, of one target or of all, by month and target, the newest month first.
///
/// # Errors
/// When the workspace or its records cannot be read.
pub fn costs(options: &Options, target: Option<&str>) -> Outcome<Said> {
    let records = Records::open_if_any(options)?;
    let results = records.iter().flat_map(|records| &records.results).filter(|result| target.is_none_or(|target| result.target == target));
    let mut sums: BTreeMap<(String, String), (u64, f64, f64)> = BTreeMap::new();
    for result in results {
        let Some(billed) = result.metrics.get(BILLED) else { continue };
        let month = clock::rfc3339(result.ended_ms).chars().take(7).collect();
        let sum = sums.entry((month, result.target.clone())).or_default();
        *sum = (sum.0 + 1, sum.1 + billed, sum.2 + result.metrics.get(COST).copied().unwrap_or_default());
    }
    let mut table = Table::new().left("month", "month").left("target", "target").right("runs", "runs");
    table = table.right("bytes_billed", "billed").right("cost", "cost");
    let (mut runs, mut bytes, mut cost) = (0, 0.0, 0.0);
    let mut rows: Vec<_> = sums.into_iter().collect();
    rows.sort_by(|((a, x), _), ((b, y), _)| b.cmp(a).then(x.cmp(y)));
    for ((month, target), sum) in rows {
        (runs, bytes, cost) = (runs + sum.0, bytes + sum.1, cost + sum.2);
        table.row(vec![
            Cell::text(month),
            Cell::text(target).tone(Tone::Name),
            Cell::count(sum.0),
            Cell::bytes(whole(sum.1)),
            Cell::number(sum.2, 2),
        ]);
    }
    let json = json!({ "costs": table.json(), "totals": { "runs": runs, "bytes_billed": whole(bytes), "cost": cost } });
    let total = match runs {
        0 => "nothing was charged for".to_owned(),
        1 => format!("1 run, {} billed, {cost:.2}", units::bytes(whole(bytes))),
        _ => format!("{runs} runs, {} billed, {cost:.2}", units::bytes(whole(bytes))),
    };
    Ok(Said { table, total, json })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of bytes")]
fn whole(bytes: f64) -> u64 {
    bytes as u64
}
