//! Owns how rows come into a table that already has some. Invariant: rows that do not make place stay as they were, and the same new rows once more
//! change nothing.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, new_null_array};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};

use crate::engine::table_columns::{self, ColumnError};
use crate::engine::table_types::name;

/// A table after rows came into it.
#[derive(Debug)]
pub struct Merged {
    /// All of its rows.
    pub rows: RecordBatch,
    /// Rows that stayed.
    pub kept: usize,
    /// Rows that are there no more.
    pub replaced: usize,
}

/// What becomes of rows that the new ones meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By<'a> {
    /// Those with the same values in these columns, which tell rows apart, make place.
    Key(&'a [String]),
    /// Those with the same values in these columns stay, and the new ones are left out.
    Add(&'a [String]),
    /// All make place with a value in this column that a new row has too.
    Partition(&'a str),
}

/// Rows that cannot come into the table.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// A column is not there.
    #[error(transparent)]
    Column(#[from] ColumnError),
    /// Several new rows have one key.
    #[error("{rows} of the new rows share their key ({}) with another", columns.join(", "))]
    Twice {
        /// How many.
        rows: usize,
        /// The key.
        columns: Vec<String>,
    },
    /// New rows lack a value that says where they belong.
    #[error("{rows} of the new rows have no '{column}'")]
    Null {
        /// How many.
        rows: usize,
        /// The column.
        column: String,
    },
    /// The table has columns that the new rows have not.
    #[error("the table has columns that the new rows lack: {}", columns.join(", "))]
    Gone {
        /// The columns.
        columns: Vec<String>,
    },
    /// The new rows have columns that the table has not.
    #[error("the new rows have columns that the table lacks: {}", columns.join(", "))]
    Added {
        /// The columns.
        columns: Vec<String>,
    },
    /// A column holds another type.
    #[error("column '{column}' is {was} in the table, and {is} in the new rows")]
    Type {
        /// The column.
        column: String,
        /// Its type in the table.
        was: String,
        /// Its type in the new rows.
        is: String,
    },
    /// Arrow refuses.
    #[error(transparent)]
    Rows(#[from] ArrowError),
}

/// The table's rows with the columns of the new ones, in their order; columns that it had not are NULL there.
///
/// # Errors
/// When it has other columns: more, of another type, or fewer where `may_add` does not allow that.
pub fn fitted(table: &RecordBatch, new: &RecordBatch, may_add: bool) -> Result<RecordBatch, MergeError> {
    let names = table_columns::names(new);
    let lacking = |of: &RecordBatch, names: Vec<String>| names.into_iter().filter(|n| of.column_by_name(n).is_none()).collect::<Vec<_>>();
    let gone = lacking(new, table_columns::names(table));
    if !gone.is_empty() {
        return Err(MergeError::Gone { columns: gone });
    }
    let added = lacking(table, names);
    if !added.is_empty() && !may_add {
        return Err(MergeError::Added { columns: added });
    }
    let column = |(field, like): (&Arc<arrow::datatypes::Field>, &ArrayRef)| match table.column_by_name(field.name()) {
        None => Ok(new_null_array(like.data_type(), table.num_rows())),
        Some(column) if column.data_type() == like.data_type() => Ok(column.clone()),
        Some(column) => {
            let (was, is) = (name(column.data_type()), name(like.data_type()));
            Err(MergeError::Type { column: field.name().clone(), was, is })
        }
    };
    let columns: Result<Vec<ArrayRef>, MergeError> = new.schema().fields().iter().zip(new.columns()).map(column).collect();
    Ok(RecordBatch::try_new(new.schema(), columns?)?)
}

/// The table, which has the new rows' columns, with the new rows in it.
///
/// # Errors
/// When a new row does not say where it belongs, or two say the same.
pub fn merge(table: &RecordBatch, new: &RecordBatch, by: By) -> Result<Merged, MergeError> {
    let columns: Vec<&str> = match by {
        By::Key(columns) | By::Add(columns) => columns.iter().map(String::as_str).collect(),
        By::Partition(column) => vec![column],
    };
    for column in &columns {
        let rows = table_columns::column(new, column)?.null_count();
        if rows > 0 {
            return Err(MergeError::Null { rows, column: (*column).to_owned() });
        }
    }
    let fields = columns.iter().map(|c| Ok(SortField::new(table_columns::column(new, c)?.data_type().clone())));
    let converter = RowConverter::new(fields.collect::<Result<Vec<_>, ColumnError>>()?)?;
    let values = |of: &RecordBatch| -> Result<Rows, MergeError> {
        let columns: Result<Vec<ArrayRef>, ColumnError> = columns.iter().map(|c| table_columns::column(of, c).cloned()).collect();
        Ok(converter.convert_columns(&columns?)?)
    };
    let (new_values, values) = (values(new)?, values(table)?);
    let coming: HashSet<_> = new_values.iter().map(|row| row.owned()).collect();
    if let By::Key(key) | By::Add(key) = by
        && coming.len() < new.num_rows()
    {
        return Err(MergeError::Twice { rows: new.num_rows() - coming.len(), columns: key.to_vec() });
    }
    if let By::Add(_) = by {
        let there: HashSet<_> = values.iter().map(|row| row.owned()).collect();
        let comes: BooleanArray = new_values.iter().map(|row| Some(!there.contains(&row.owned()))).collect();
        let rows = concat_batches(&new.schema(), [table, &filter_record_batch(new, &comes)?])?;
        return Ok(Merged { rows, kept: table.num_rows(), replaced: 0 });
    }
    let stays: BooleanArray = values.iter().map(|row| Some(!coming.contains(&row.owned()))).collect();
    let stay = filter_record_batch(table, &stays)?;
    let rows = concat_batches(&new.schema(), [&stay, new])?;
    Ok(Merged { rows, kept: stay.num_rows(), replaced: table.num_rows() - stay.num_rows() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::table_columns::{Values, floats, strings, table};

    fn rows(days: &[Option<&str>], prices: &[f64]) -> RecordBatch {
        let days = Values::Strings(days.iter().map(|d| d.map(str::to_owned)).collect());
        table([("day".to_owned(), days), ("price".to_owned(), Values::Floats(prices.iter().map(|p| Some(*p)).collect()))]).unwrap()
    }

    fn told(merged: &Merged) -> Vec<(Option<&str>, Option<f64>)> {
        strings(&merged.rows, "day").unwrap().into_iter().zip(floats(&merged.rows, "price").unwrap()).collect()
    }

    #[test]
    fn new_rows_take_the_place_of_those_with_their_key_and_a_second_time_change_nothing() {
        let (old, new) = (rows(&[Some("a"), Some("b"), None], &[1.0, 2.0, 3.0]), rows(&[Some("b"), Some("c")], &[20.0, 30.0]));
        let key = ["day".to_owned()];
        let merged = merge(&old, &new, By::Key(&key)).unwrap();
        assert_eq!((merged.kept, merged.replaced), (2, 1));
        let all = [(Some("a"), Some(1.0)), (None, Some(3.0)), (Some("b"), Some(20.0)), (Some("c"), Some(30.0))];
        assert_eq!(told(&merged), all);
        assert_eq!(told(&merge(&merged.rows, &new, By::Key(&key)).unwrap()), all);
        let added = merge(&old, &new, By::Add(&key)).unwrap();
        assert_eq!((added.kept, added.replaced, added.rows.num_rows()), (3, 0, 4));
        assert_eq!((told(&added)[1], told(&added)[3]), ((Some("b"), Some(2.0)), (Some("c"), Some(30.0))));
        let whole = merge(&old, &rows(&[Some("a"), Some("a")], &[5.0, 6.0]), By::Partition("day")).unwrap();
        assert_eq!((whole.kept, whole.replaced, whole.rows.num_rows()), (2, 1, 4));
    }

    #[test]
    fn rows_that_do_not_say_where_they_belong_are_refused() {
        let (old, key) = (rows(&[Some("a")], &[1.0]), ["day".to_owned()]);
        let said = |new: &RecordBatch, by: By| merge(&old, new, by).unwrap_err().to_string();
        assert_eq!(said(&rows(&[None, Some("b")], &[1.0, 2.0]), By::Partition("day")), "1 of the new rows have no 'day'");
        let twice = rows(&[Some("b"), Some("b"), Some("b")], &[1.0, 2.0, 3.0]);
        assert_eq!(said(&twice, By::Key(&key)), "2 of the new rows share their key (day) with another");
        assert_eq!(said(&old, By::Partition("dya")), "no column 'dya'");
    }

    #[test]
    fn a_table_keeps_its_columns_and_gains_some_only_where_that_is_allowed() {
        let (old, new) = (rows(&[Some("a")], &[1.0]), rows(&[Some("b")], &[2.0]));
        let less = old.project(&[1]).unwrap();
        assert_eq!(fitted(&old, &less, true).unwrap_err().to_string(), "the table has columns that the new rows lack: day");
        assert_eq!(fitted(&less, &new, false).unwrap_err().to_string(), "the new rows have columns that the table lacks: day");
        let more = fitted(&less, &new, true).unwrap();
        assert_eq!((more.schema(), strings(&more, "day").unwrap()), (new.schema(), vec![None]));
        let other = table([("day".to_owned(), Values::Floats(vec![Some(1.0)])), ("price".to_owned(), Values::Floats(vec![None]))]).unwrap();
        assert_eq!(fitted(&old, &other, true).unwrap_err().to_string(), "column 'day' is STRING in the table, and FLOAT64 in the new rows");
    }
}
