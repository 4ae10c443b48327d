//! Owns how the rows of a query as built are compared with those made from what was known on a day. Invariant: a value that differs by more than the
//! last bits of a sum is told, and so is a row that only one of the two has.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Date32Type, Float64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use serde_json::Value;

use crate::engine::table_cells::cell;
use crate::engine::table_file::{TableFileError, sorted};

/// Two floats are the same where they differ by no more than this share of the larger one: sums may be added up in another order.
const TOLERANCE: f64 = 1e-9;

const DAY: i64 = 86_400_000_000;

/// Rows that cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// Rows cannot be put in order.
    #[error(transparent)]
    Order(#[from] TableFileError),
    /// Rows cannot be chosen.
    #[error(transparent)]
    Rows(#[from] ArrowError),
}

/// One way in which the two differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The day tried.
    pub tried: i32,
    /// The date of the row shown; `None` where rows have none.
    pub date: Option<i32>,
    /// What differs in it.
    pub what: What,
}

/// What differs in a row.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A column's value.
    Column {
        /// The column.
        name: String,
        /// As built.
        built: Value,
        /// From what was known.
        known: Value,
    },
    /// The row itself: whether it is among those built, and not among those known, or the other way about.
    Row {
        /// Whether it was built.
        built: bool,
    },
}

/// How rows are told apart.
#[derive(Debug, Clone, Copy)]
pub struct By<'a> {
    /// The column of dates; `None` where rows have none, and so must not change at all.
    pub date: Option<&'a str>,
    /// The columns that rows are sorted by.
    pub key: &'a [String],
}

/// The first column of a key that holds dates or moments.
#[must_use]
pub fn date_column<'k>(schema: &arrow::datatypes::Schema, key: &'k [String]) -> Option<&'k str> {
    let holds = |column: &&String| {
        let found = schema.field_with_name(column);
        found.is_ok_and(|field| matches!(field.data_type(), DataType::Date32 | DataType::Timestamp(..)))
    };
    key.iter().find(holds).map(String::as_str)
}

/// The date of each row, as days since 1970-01-01.
#[must_use]
pub fn dates(batch: &RecordBatch, column: &str) -> Vec<Option<i32>> {
    let Some(found) = batch.column_by_name(column) else { return vec![None; batch.num_rows()] };
    if let Some(dates) = found.as_primitive_opt::<Date32Type>() {
        return dates.iter().collect();
    }
    let moments = found.as_primitive_opt::<TimestampMicrosecondType>();
    let day = |moment: i64| i32::try_from(moment.div_euclid(DAY)).ok();
    moments.map_or_else(|| vec![None; batch.num_rows()], |moments| moments.iter().map(|moment| moment.and_then(day)).collect())
}

/// How the rows up to `day` differ: of each column the newest row that does.
///
/// # Errors
/// When rows cannot be put in order.
pub fn differences(built: &RecordBatch, known: &RecordBatch, by: By, day: i32) -> Result<Vec<Difference>, CompareError> {
    let (built, known) = (until(built, by, day)?, until(known, by, day)?);
    let (built_days, known_days) = (days_of(&built, by), days_of(&known, by));
    let rows = built_days.iter().zip(&known_days).take_while(|(a, b)| a == b).count();
    let mut all = Vec::new();
    if rows < built.num_rows().max(known.num_rows()) {
        all.push(odd_row(&built_days[rows..], &known_days[rows..], day));
    }
    for (field, (a, b)) in built.schema().fields().iter().zip(built.columns().iter().zip(known.columns())) {
        if let Some(row) = newest_difference(a, b, rows) {
            let what = What::Column { name: field.name().clone(), built: cell(a, row), known: cell(b, row) };
            all.push(Difference { tried: day, date: built_days[row], what });
        }
    }
    Ok(all)
}

/// The rows with a date up to `day`, by date and then by the key.
fn until(batch: &RecordBatch, by: By, day: i32) -> Result<RecordBatch, CompareError> {
    let Some(date) = by.date else { return Ok(sorted(batch, by.key)?) };
    let kept: BooleanArray = dates(batch, date).into_iter().map(|date| Some(date.is_some_and(|date| date <= day))).collect();
    let order: Vec<String> =
        std::iter::once(date).chain(by.key.iter().map(String::as_str).filter(|key| *key != date)).map(str::to_owned).collect();
    Ok(sorted(&filter_record_batch(batch, &kept)?, &order)?)
}

fn days_of(batch: &RecordBatch, by: By) -> Vec<Option<i32>> {
    by.date.map_or_else(|| vec![None; batch.num_rows()], |date| dates(batch, date))
}

/// The first row that only one of the two has, where these are the dates of those left: the one with the earlier date.
fn odd_row(built: &[Option<i32>], known: &[Option<i32>], tried: i32) -> Difference {
    let is_built = match (built.first(), known.first()) {
        (Some(a), Some(b)) => a <= b,
        (a, _) => a.is_some(),
    };
    let date = if is_built { built } else { known }.first().copied().flatten();
    Difference { tried, date, what: What::Row { built: is_built } }
}

fn newest_difference(a: &ArrayRef, b: &ArrayRef, rows: usize) -> Option<usize> {
    match (a.as_primitive_opt::<Float64Type>(), b.as_primitive_opt::<Float64Type>()) {
        (Some(a), Some(b)) => {
            let value = |column: &arrow::array::Float64Array, row| column.is_valid(row).then(|| column.value(row));
            (0..rows).rev().find(|row| !same(value(a, *row), value(b, *row)))
        }
        _ if a.slice(0, rows) == b.slice(0, rows) => None,
        _ => (0..rows).rev().find(|row| cell(a, *row) != cell(b, *row)),
    }
}

/// Whether two floats are the same; NaN is NaN and a missing value a missing value.
fn same(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()) || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()),
        (a, b) => a.is_none() && b.is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::table_columns::{Values, table};

    fn rows(rows: &[(i32, &str, Option<f64>)]) -> RecordBatch {
        table([
            ("date".to_owned(), Values::Dates(rows.iter().map(|row| Some(row.0)).collect())),
            ("name".to_owned(), Values::Strings(rows.iter().map(|row| Some(row.1.to_owned())).collect())),
            ("x".to_owned(), Values::Floats(rows.iter().map(|row| row.2).collect())),
        ])
        .unwrap()
    }

    fn said(built: &RecordBatch, known: &RecordBatch, day: i32) -> Vec<String> {
        let key = ["name".to_owned(), "date".to_owned()];
        let told = |d: &Difference| match &d.what {
            What::Column { name, built, known } => format!("{name} of {:?}: {built}, {known}", d.date),
            What::Row { built } => format!("row of {:?}: {built}", d.date),
        };
        differences(built, known, By { date: Some("date"), key: &key }, day).unwrap().iter().map(told).collect()
    }

    #[test]
    fn rows_up_to_the_day_are_compared_whatever_their_order() {
        let built = rows(&[(1, "a", Some(1.0)), (1, "b", None), (2, "a", Some(f64::NAN)), (3, "a", Some(9.0))]);
        let known = rows(&[(2, "a", Some(f64::NAN)), (1, "b", None), (1, "a", Some(1.0 + 1e-12))]);
        assert_eq!(said(&built, &known, 2), [""; 0]);
        assert_eq!(said(&built, &known, 3), ["row of Some(3): true"]);
    }

    #[test]
    fn a_value_that_came_from_later_rows_is_told_with_the_newest_row_that_has_it() {
        let built = rows(&[(1, "a", Some(1.0)), (2, "a", Some(2.0)), (3, "a", Some(3.0))]);
        let known = rows(&[(1, "a", Some(1.5)), (2, "a", None), (3, "a", Some(3.0))]);
        assert_eq!(said(&built, &known, 3), ["x of Some(2): 2.0, null"]);
        assert_eq!(said(&built, &known, 1), ["x of Some(1): 1.0, 1.5"]);
        assert_eq!(
            said(&built, &rows(&[(1, "a", Some(1.0 + 1e-8)), (2, "a", Some(2.0)), (3, "a", Some(3.0))]), 3),
            ["x of Some(1): 1.0, 1.00000001"]
        );
    }

    #[test]
    fn a_row_that_only_one_of_the_two_has_is_told() {
        let built = rows(&[(1, "a", Some(1.0)), (2, "a", Some(2.0)), (2, "b", Some(2.0))]);
        assert_eq!(said(&built, &rows(&[(1, "a", Some(1.0)), (2, "a", Some(2.0))]), 2), ["row of Some(2): true"]);
        assert_eq!(said(&rows(&[(2, "a", Some(2.0))]), &built, 2), ["row of Some(1): false"]);
    }

    #[test]
    fn rows_without_a_date_must_not_change_at_all() {
        let by = By { date: None, key: &[] };
        let (built, known) = (rows(&[(1, "a", Some(1.0))]), rows(&[(1, "a", Some(2.0))]));
        assert!(differences(&built, &built, by, 0).unwrap().is_empty());
        assert_eq!(differences(&built, &known, by, 0).unwrap()[0].date, None);
        assert_eq!(differences(&built, &built.slice(0, 0), by, 0).unwrap()[0].what, What::Row { built: true });
    }
}
