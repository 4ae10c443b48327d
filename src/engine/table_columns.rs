//! Owns the way from a table's columns to plain values and back. Invariant: a missing value is `None`, never a number.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Field, Float64Type, Schema};
use arrow::error::ArrowError;

use crate::base::name::nearest;
use crate::engine::table_types::name;

/// A column that is not there, or not of the type asked for.
#[derive(Debug, thiserror::Error)]
pub enum ColumnError {
    /// The table has no such column.
    #[error("no column '{column}'")]
    Missing {
        /// The column asked for.
        column: String,
        /// The column that may have been meant.
        nearest: Option<String>,
    },
    /// The column holds something else.
    #[error("column '{column}' is {found}, not {wanted}")]
    Type {
        /// The column.
        column: String,
        /// The type it has.
        found: String,
        /// What was asked for.
        wanted: &'static str,
    },
}

/// The column called `column`, whatever its type.
///
/// # Errors
/// When the table has none of that name.
pub fn column<'a>(batch: &'a RecordBatch, column: &str) -> Result<&'a ArrayRef, ColumnError> {
    batch.column_by_name(column).ok_or_else(|| ColumnError::Missing {
        column: column.to_owned(),
        nearest: nearest(column, batch.schema().fields().iter().map(|f| f.name().as_str())).map(ToOwned::to_owned),
    })
}

/// The names of the columns, in order.
#[must_use]
pub fn names(batch: &RecordBatch) -> Vec<String> {
    batch.schema().fields().iter().map(|f| f.name().clone()).collect()
}

/// A column of numbers (FLOAT64, INT64, NUMERIC, or BOOL as 0 and 1); NaN counts as missing.
///
/// # Errors
/// When the column is missing or holds no numbers.
pub fn floats(batch: &RecordBatch, name: &str) -> Result<Vec<Option<f64>>, ColumnError> {
    let found = column(batch, name)?;
    let kind = found.data_type();
    if !matches!(kind, DataType::Float64 | DataType::Int64 | DataType::Decimal128(..) | DataType::Boolean) {
        return Err(wrong(name, kind, "a number"));
    }
    let values = cast(found, &DataType::Float64).map_err(|_| wrong(name, kind, "a number"))?;
    Ok(values.as_primitive::<Float64Type>().iter().map(|v| v.filter(|v| !v.is_nan())).collect())
}

/// A DATE column as days since 1970-01-01.
///
/// # Errors
/// When the column is missing or no DATE.
pub fn dates(batch: &RecordBatch, name: &str) -> Result<Vec<Option<i32>>, ColumnError> {
    let found = column(batch, name)?;
    let dates = found.as_primitive_opt::<Date32Type>().ok_or_else(|| wrong(name, found.data_type(), "DATE"))?;
    Ok(dates.iter().collect())
}

/// A STRING column.
///
/// # Errors
/// When the column is missing or no STRING.
pub fn strings<'a>(batch: &'a RecordBatch, name: &str) -> Result<Vec<Option<&'a str>>, ColumnError> {
    let found = column(batch, name)?;
    let strings = found.as_string_opt::<i32>().ok_or_else(|| wrong(name, found.data_type(), "STRING"))?;
    Ok(strings.iter().collect())
}

/// Values for one column of a new table.
pub enum Values {
    /// A FLOAT64 column.
    Floats(Vec<Option<f64>>),
    /// An INT64 column.
    Ints(Vec<Option<i64>>),
    /// A DATE column, days since 1970-01-01.
    Dates(Vec<Option<i32>>),
    /// A STRING column.
    Strings(Vec<Option<String>>),
    /// A BOOL column.
    Bools(Vec<Option<bool>>),
}

/// A table of these columns, in this order.
///
/// # Errors
/// When the columns differ in length.
pub fn table(columns: impl IntoIterator<Item = (String, Values)>) -> Result<RecordBatch, ArrowError> {
    let (mut fields, mut arrays) = (Vec::new(), Vec::new());
    for (name, values) in columns {
        let array: ArrayRef = match values {
            Values::Floats(v) => Arc::new(Float64Array::from(v)),
            Values::Ints(v) => Arc::new(Int64Array::from(v)),
            Values::Dates(v) => Arc::new(Date32Array::from(v)),
            Values::Strings(v) => Arc::new(StringArray::from(v)),
            Values::Bools(v) => Arc::new(BooleanArray::from(v)),
        };
        fields.push(Field::new(name, array.data_type().clone(), true));
        arrays.push(array);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

fn wrong(column: &str, found: &DataType, wanted: &'static str) -> ColumnError {
    ColumnError::Type { column: column.to_owned(), found: name(found), wanted }
}
