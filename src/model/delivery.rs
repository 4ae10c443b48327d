//! Owns what is written down of a delivery into a warehouse, and what a table is made of after many. Invariant: a delivery is numbered once, and what
//! stands after it follows from the list alone.

use serde::{Deserialize, Serialize};

use crate::base::digest::{ActionKey, ManifestId};

/// A delivery that a warehouse's ledger holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// Its number: 1, 2, 3 … for each table.
    pub sequence: u64,
    /// The target that delivered.
    pub target: String,
    /// Its action.
    pub action: ActionKey,
    /// The artifact whose rows were delivered.
    pub artifact: ManifestId,
    /// `replace`, `merge`, `add` or `partition`.
    pub mode: String,
    /// The key, or the partition's column.
    pub columns: Vec<String>,
    /// Rows that were delivered.
    pub rows: u64,
    /// The sequence that it puts back, where it does that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub puts_back: Option<u64>,
    /// When, milliseconds since 1970 UTC.
    pub at_ms: u64,
}

impl Delivered {
    /// Its number, and the one that it puts back: what [`standing`] asks for.
    #[must_use]
    pub fn numbers(&self) -> (u64, Option<u64>) {
        (self.sequence, self.puts_back)
    }
}

/// What the table was made of just after the delivery `after`: the deliveries up to it that none of those took back, in order. `done` is in order;
/// `numbers` tells of each its sequence and the earlier one that it puts back.
#[must_use]
pub fn standing<T>(done: &[T], after: u64, numbers: impl Fn(&T) -> (u64, Option<u64>)) -> Vec<&T> {
    let (mut standing, mut newest) = (Vec::new(), after);
    for delivery in done.iter().rev() {
        match numbers(delivery) {
            (sequence, _) if sequence > newest => {}
            // The table was as that one left it.
            (_, Some(back)) => newest = back,
            (_, None) => standing.push(delivery),
        }
    }
    standing.reverse();
    standing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_back_stands_as_it_stood_then() {
        let done = [(1, None), (2, None), (3, Some(1)), (4, None), (6, Some(2)), (7, None)];
        let after =
            |sequence| standing(&done, sequence, |delivery| *delivery).into_iter().map(|(sequence, _)| *sequence).collect::<Vec<u64>>();
        assert_eq!([after(2), after(3), after(4), after(5)], [vec![1, 2], vec![1], vec![1, 4], vec![1, 4]]);
        assert_eq!([after(6), after(7)], [vec![1, 2], vec![1, 2, 7]]);
    }
}
