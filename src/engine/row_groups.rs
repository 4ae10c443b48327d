//! Owns where the row groups of a table's file end. Invariant: whether one ends before a row follows from that row and from how many rows stand before it,
//! so rows that are added at the end leave all groups but the last as they were, and a change in the middle leaves those elsewhere.
//!
//! A group is a run of bytes in the file that depends on its own rows alone. So two versions of a table that share most of their rows share most of
//! their bytes, and a store that keeps equal runs of bytes once needs little for the second (`store/cutting.rs`). A group ends where a hash of the row
//! says so, never before half and never after one and a half of the usual length: sooner, a file would consist of groups' descriptions; later, one more
//! row would write too many anew. Figures: `docs/performance.md`.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};

/// Rows of a usual group, in the first [`SMALL`] rows of a file.
const USUAL: u64 = 192;

/// Rows of a file whose groups are of the smallest size; in as many more they are twice as long, and so on.
const SMALL: u64 = 98_304;

/// The longest usual group.
const LONGEST: u64 = 98_304;

/// Rows that are put into the form that is hashed at once: memory for all of a batch's would be as much as the batch.
const PORTION: usize = 4096;

/// Where groups end, row after row.
pub struct RowGroups {
    converter: RowConverter,
    /// The columns that are hashed.
    columns: Vec<usize>,
    /// Rows before the group that is open.
    before: u64,
    /// Rows in it.
    open: u64,
}

impl RowGroups {
    /// Of a table of which these columns, by their places, tell one row from another.
    ///
    /// # Errors
    /// When one of them has a type that has no order.
    pub fn new(schema: &Arc<Schema>, columns: Vec<usize>) -> Result<Self, ArrowError> {
        let fields = columns.iter().map(|&column| SortField::new(schema.field(column).data_type().clone())).collect();
        Ok(Self { converter: RowConverter::new(fields)?, columns, before: 0, open: 0 })
    }

    /// Rows of the batch before which a group ends; the batch is what comes next in the file.
    ///
    /// # Errors
    /// When its rows cannot be hashed.
    pub fn ends(&mut self, batch: &RecordBatch) -> Result<Vec<usize>, ArrowError> {
        let mut ends = Vec::new();
        if self.columns.is_empty() {
            return Ok(ends);
        }
        for from in (0..batch.num_rows()).step_by(PORTION) {
            let part = batch.slice(from, PORTION.min(batch.num_rows() - from));
            let columns: Vec<_> = self.columns.iter().map(|&column| part.column(column).clone()).collect();
            for (at, row) in self.converter.convert_columns(&columns)?.iter().enumerate() {
                if self.ends_before(row.as_ref()) {
                    ends.push(from + at);
                }
            }
        }
        Ok(ends)
    }

    /// Takes the next row; whether a group ends before it.
    fn ends_before(&mut self, row: &[u8]) -> bool {
        let usual = usual(self.before);
        let ends = self.open >= usual / 2 && (self.open >= usual + usual / 2 || says_so(row, usual / 2));
        if ends {
            self.before += self.open;
            self.open = 0;
        }
        self.open += 1;
        ends
    }
}

/// Rows of a usual group after so many rows of the file.
fn usual(before: u64) -> u64 {
    let doubled = (before / SMALL + 1).ilog2();
    (USUAL << doubled).min(LONGEST)
}

/// Whether the hash of a row is one of those, one in so many, before which a group ends.
fn says_so(row: &[u8], one_in: u64) -> bool {
    let hash = blake3::hash(row);
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_le_bytes(first).is_multiple_of(one_in)
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;
    use arrow::datatypes::{DataType, Field};
    use proptest::prelude::*;

    use super::*;

    fn batch(rows: &[i64]) -> RecordBatch {
        let schema = Arc::new(Schema::new(vec![Field::new("day", DataType::Int64, true)]));
        RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(rows.to_vec()))]).unwrap()
    }

    /// The rows of each group.
    fn groups(rows: &[i64], portion: usize) -> Vec<Vec<i64>> {
        let all = batch(rows);
        let mut groups = RowGroups::new(&all.schema(), vec![0]).unwrap();
        let mut made = vec![Vec::new()];
        for part in rows.chunks(portion.max(1)) {
            let ends = groups.ends(&batch(part)).unwrap();
            for (at, row) in part.iter().enumerate() {
                if ends.contains(&at) {
                    made.push(Vec::new());
                }
                made.last_mut().unwrap().push(*row);
            }
        }
        made
    }

    #[test]
    fn rows_that_are_added_leave_all_groups_but_the_last_as_they_were() {
        let rows: Vec<i64> = (0..6000).collect();
        let all = groups(&rows, 6000);
        let before = groups(&rows[..5990], 5990);
        assert!((20..45).contains(&before.len()), "{}", before.len());
        assert_eq!(all[..before.len() - 1], before[..before.len() - 1]);
    }

    #[test]
    fn a_row_in_the_middle_changes_the_groups_around_it_only() {
        let rows: Vec<i64> = (0..6000).map(|n| 2 * n).collect();
        let before = groups(&rows, 6000);
        let mut more = rows.clone();
        more.insert(3000, 5999);
        let after = groups(&more, 6000);
        let new = after.iter().filter(|group| !before.contains(group)).count();
        assert!((1..=6).contains(&new), "{new} groups of {} are new", after.len());
        assert_eq!((&after[0], after.last()), (&before[0], before.last()));
    }

    #[test]
    fn groups_of_long_tables_are_long() {
        assert_eq!([0, 98_303, 98_304, 294_912, 5_000_000].map(usual), [192, 192, 384, 768, 6144]);
        assert_eq!(usual(u64::MAX / 2), LONGEST);
    }

    proptest! {
        #[test]
        fn a_group_is_never_shorter_than_half_nor_longer_than_one_and_a_half(rows in proptest::collection::vec(0..9_i64, 0..3000)) {
            let groups = groups(&rows, 3000);
            let (last, others) = groups.split_last().unwrap();
            prop_assert!(others.iter().all(|group| (96..=288).contains(&group.len())));
            prop_assert!(last.len() <= 288);
        }

        #[test]
        fn how_many_rows_come_at_a_time_changes_nothing(rows in proptest::collection::vec(any::<i64>(), 0..2000), portion in 1..500_usize) {
            prop_assert_eq!(groups(&rows, portion), groups(&rows, 2000));
        }
    }
}
