//! Owns `cbi log --cost`. Invariant: it adds up what was written down when jobs ended, at the price of that day, each job once: also those of steps that
//! failed after, and of results that `cbi gc` forgot.

use std::collections::BTreeMap;

use serde_json::json;

use crate::app::problem::{self, Outcome};
use crate::app::status::Said;
use crate::app::workspace::{self, Options};
use crate::base::clock;
use crate::base::units;
use crate::engine::bigquery::charges;
use crate::store::root::Root;
use crate::ui::table::{Cell, Table, Tone};

/// What jobs were charged for, for one target or for all, by month and target, the newest month first.
///
/// # Errors
/// When the workspace or its records cannot be read.
pub fn costs(options: &Options, target: Option<&str>) -> Outcome<Said> {
    let cache = workspace::cache_of(&options.directory)?;
    let charges = charges::read(&Root::at(&cache).charges_log()).map_err(|error| problem::stores(error.into()))?;
    let mut sums: BTreeMap<(String, String), (u64, u64, f64)> = BTreeMap::new();
    for charge in charges.into_iter().filter(|charge| target.is_none_or(|target| charge.target == target)) {
        let month = clock::rfc3339(charge.ended_ms).chars().take(7).collect();
        let sum = sums.entry((month, charge.target)).or_default();
        *sum = (sum.0 + 1, sum.1 + charge.bytes, sum.2 + charge.cost);
    }
    let mut table = Table::new().left("month", "month").left("target", "target").right("jobs", "jobs");
    table = table.right("bytes_billed", "billed").right("cost", "cost");
    let (mut jobs, mut bytes, mut cost) = (0, 0, 0.0);
    let mut rows: Vec<_> = sums.into_iter().collect();
    rows.sort_by(|((a, x), _), ((b, y), _)| b.cmp(a).then(x.cmp(y)));
    for ((month, target), sum) in rows {
        (jobs, bytes, cost) = (jobs + sum.0, bytes + sum.1, cost + sum.2);
        table.row(vec![
            Cell::text(month),
            Cell::text(target).tone(Tone::Name),
            Cell::count(sum.0),
            Cell::bytes(sum.1),
            Cell::number(sum.2, 2),
        ]);
    }
    let json = json!({ "costs": table.json(), "totals": { "jobs": jobs, "bytes_billed": bytes, "cost": cost } });
    let total = match jobs {
        0 => "nothing was charged for".to_owned(),
        1 => format!("1 job, {} billed, {cost:.2}", units::bytes(bytes)),
        _ => format!("{jobs} jobs, {} billed, {cost:.2}", units::bytes(bytes)),
    };
    Ok(Said { table, total, json })
}
