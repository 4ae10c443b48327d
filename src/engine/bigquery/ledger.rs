//! Owns the ledger of a delivered table: a table beside it, with a row for each delivery. Invariant: rows are only added, and each names the one that
//! followed it; the row of a delivery is there when its rows are in the table, for both come in one transaction.
//!
//! The first row, number 0, opens the ledger. Naming the follower in the row before is what keeps two publishers apart: BigQuery lets two transactions
//! append to one table at once, but not change its rows.

use serde_json::Value;

use crate::base::digest::{ActionKey, ManifestId};
use crate::engine::bigquery::fault::BigQueryError;
use crate::engine::bigquery::pages;
use crate::engine::bigquery::place::Place;
use crate::engine::bigquery::rest::{Rest, if_any};
use crate::model::delivery::Delivered;

/// The columns, in the order in which they are read.
const COLUMNS: [(&str, &str); 11] = [
    ("sequence", "INT64"),
    ("followed_by", "INT64"),
    ("destination", "STRING"),
    ("target", "STRING"),
    ("action", "STRING"),
    ("artifact", "STRING"),
    ("mode", "STRING"),
    ("by_columns", "STRING"),
    ("delivered_rows", "INT64"),
    ("puts_back", "INT64"),
    ("delivered_at", "TIMESTAMP"),
];

/// The statement that makes the ledger with its first row, both or neither, where it is not there.
#[must_use]
pub fn opening(ledger: &Place) -> String {
    let value = |(name, of): &(&str, &str)| match *name {
        "sequence" => format!("0 AS {name}"),
        "delivered_at" => format!("CURRENT_TIMESTAMP() AS {name}"),
        _ => format!("CAST(NULL AS {of}) AS {name}"),
    };
    let values: Vec<String> = COLUMNS.iter().map(value).collect();
    format!("CREATE TABLE IF NOT EXISTS {} AS SELECT {}", ledger.quoted(), values.join(", "))
}

/// All deliveries, in order; `None` where there is no ledger. It runs no query, and so costs nothing.
///
/// # Errors
/// When BigQuery refuses, or the table is not what a ledger is.
pub async fn read(rest: &Rest, place: &Place) -> Result<Option<Vec<Delivered>>, BigQueryError> {
    let ledger = place.ledger();
    let what = format!("read the ledger {ledger}");
    let Some(rows) = if_any(pages::rows(rest, &ledger.path(), &what).await)? else { return Ok(None) };
    deliveries(&rows).map(Some).ok_or_else(|| BigQueryError::Answer { what, why: "its rows are not those of a ledger".into() })
}

/// The deliveries that the rows stand for; `None` where they are not 0, 1, 2 … each followed by the next.
fn deliveries(rows: &[Value]) -> Option<Vec<Delivered>> {
    let mut numbered: Vec<(u64, Option<u64>, &Value)> =
        rows.iter().map(|row| Some((number(row, 0)?, number(row, 1), row))).collect::<Option<_>>()?;
    numbered.sort_by_key(|(sequence, _, _)| *sequence);
    let last = u64::try_from(numbered.len()).ok()?.checked_sub(1)?;
    let chained = (0..).zip(&numbered).all(|(n, (sequence, next, _))| *sequence == n && *next == (n < last).then_some(n + 1));
    if !chained {
        return None;
    }
    numbered[1..].iter().map(|(_, _, row)| delivered(row)).collect()
}

fn delivered(row: &Value) -> Option<Delivered> {
    Some(Delivered {
        sequence: number(row, 0)?,
        target: text(row, 3)?.to_owned(),
        action: ActionKey(text(row, 4)?.parse().ok()?),
        artifact: ManifestId(text(row, 5)?.parse().ok()?),
        mode: text(row, 6)?.to_owned(),
        columns: serde_json::from_str(text(row, 7)?).ok()?,
        rows: number(row, 8)?,
        puts_back: number(row, 9),
        at_ms: number(row, 10)? / 1000,
    })
}

fn text(row: &Value, column: usize) -> Option<&str> {
    row["f"][column]["v"].as_str()
}

fn number(row: &Value, column: usize) -> Option<u64> {
    text(row, column)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::base::digest::{ActionKey, Digest, ManifestId};

    fn row(sequence: u64, followed_by: Option<u64>, puts_back: Option<u64>) -> Value {
        let digest = Digest::of(b"x").to_string();
        let number = |n: Option<u64>| n.map(|n| n.to_string());
        let cells = [Some(sequence.to_string()), number(followed_by)];
        let texts = ["p.d.t", "publish/t", &digest, &digest, "merge", r#"["day"]"#, "3"].map(|text| Some(text.to_owned()));
        let cells = cells.into_iter().chain(texts).chain([number(puts_back), Some("1700000000123456".to_owned())]);
        json!({ "f": cells.map(|cell| json!({ "v": cell })).collect::<Vec<_>>() })
    }

    #[test]
    fn a_ledger_is_read_whatever_order_its_rows_come_in() {
        let found = deliveries(&[row(2, None, Some(1)), row(0, Some(1), None), row(1, Some(2), None)]).unwrap();
        let numbers: Vec<_> = found.iter().map(Delivered::numbers).collect();
        assert_eq!(numbers, [(1, None), (2, Some(1))]);
        let (action, artifact) = (ActionKey(Digest::of(b"x")), ManifestId(Digest::of(b"x")));
        assert_eq!((found[0].action, found[0].artifact, found[0].rows, found[0].at_ms), (action, artifact, 3, 1_700_000_000_123));
        assert_eq!(found[0].columns, ["day"]);
    }

    #[test]
    fn rows_that_are_no_ledger_are_not_taken_for_one() {
        for rows in [vec![], vec![row(1, None, None)], vec![row(0, Some(1), None)], vec![row(0, None, None), row(0, None, None)]] {
            assert_eq!(deliveries(&rows), None, "{rows:?}");
        }
    }
}
