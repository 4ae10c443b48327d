//! Owns the column types of tables: BigQuery's, each with one Arrow form. Invariant: a canonical column has one of these forms, whatever
//! program wrote the file it came from, and converting to it never changes a value silently.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StructArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Schema, TimeUnit};
use arrow::error::ArrowError;

/// Digits of a `NUMERIC` before and after the point together, and after it.
const NUMERIC: (u8, i8) = (38, 9);

/// A column whose type or values no table can hold.
#[derive(Debug, thiserror::Error)]
pub enum TypeError {
    /// No BigQuery type stands for it.
    #[error("column '{column}' has type {found}, which a table cannot hold")]
    Unsupported {
        /// The column.
        column: String,
        /// Its Arrow type.
        found: String,
    },
    /// A value does not fit the canonical type.
    #[error("column '{column}' has a value that does not fit {wanted}: {source}")]
    Value {
        /// The column.
        column: String,
        /// The canonical type's name.
        wanted: String,
        /// What Arrow says about the value.
        source: ArrowError,
    },
}

/// The BigQuery name of a canonical Arrow type, for example `ARRAY<STRUCT<x INT64>>`.
#[must_use]
pub fn name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOL".into(),
        DataType::Int64 => "INT64".into(),
        DataType::Float64 => "FLOAT64".into(),
        DataType::Decimal128(..) => "NUMERIC".into(),
        DataType::Utf8 => "STRING".into(),
        DataType::Binary => "BYTES".into(),
        DataType::Date32 => "DATE".into(),
        DataType::Time64(_) => "TIME".into(),
        DataType::Timestamp(_, None) => "DATETIME".into(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP".into(),
        DataType::List(item) => format!("ARRAY<{}>", name(item.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<_> = fields.iter().map(|f| format!("{} {}", f.name(), name(f.data_type()))).collect();
            format!("STRUCT<{}>", fields.join(", "))
        }
        other => other.to_string(),
    }
}

/// The canonical Arrow type that a BigQuery name without parts stands for, for example `INT64`.
#[must_use]
pub fn simple(name: &str) -> Option<DataType> {
    Some(match name {
        "BOOL" => DataType::Boolean,
        "INT64" => DataType::Int64,
        "FLOAT64" => DataType::Float64,
        "NUMERIC" => DataType::Decimal128(NUMERIC.0, NUMERIC.1),
        "STRING" => DataType::Utf8,
        "BYTES" => DataType::Binary,
        "DATE" => DataType::Date32,
        "TIME" => DataType::Time64(TimeUnit::Microsecond),
        "DATETIME" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "TIMESTAMP" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        _ => return None,
    })
}

/// The same rows with every column in its canonical type: nullable, whole numbers as INT64, floats as FLOAT64 with one NaN, moments in
/// microseconds, zoned ones in UTC.
///
/// # Errors
/// When a column has a type no table can hold, or a value that does not fit.
pub fn canonical(batch: &RecordBatch) -> Result<RecordBatch, TypeError> {
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let wanted = canonical_type(field.data_type())
            .ok_or_else(|| TypeError::Unsupported { column: field.name().clone(), found: field.data_type().to_string() })?;
        let column =
            convert(column, &wanted).map_err(|source| TypeError::Value { column: field.name().clone(), wanted: name(&wanted), source })?;
        fields.push(Field::new(field.name(), wanted, true));
        columns.push(column);
    }
    let schema = Arc::new(Schema::new(fields));
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema, columns, &options).map_err(|source| TypeError::Value {
        column: String::new(),
        wanted: "its type".into(),
        source,
    })
}

/// The canonical type for values of `found`; `None` where there is none. A column of untyped NULLs is INT64, as in BigQuery.
fn canonical_type(found: &DataType) -> Option<DataType> {
    use DataType as T;
    Some(match found {
        T::Boolean => T::Boolean,
        T::Null | T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64 => T::Int64,
        T::Float16 | T::Float32 | T::Float64 => T::Float64,
        T::Decimal32(..) | T::Decimal64(..) | T::Decimal128(..) | T::Decimal256(..) => T::Decimal128(NUMERIC.0, NUMERIC.1),
        T::Utf8 | T::LargeUtf8 | T::Utf8View => T::Utf8,
        T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => T::Binary,
        T::Date32 | T::Date64 => T::Date32,
        T::Time32(_) | T::Time64(_) => T::Time64(TimeUnit::Microsecond),
        T::Timestamp(_, None) => T::Timestamp(TimeUnit::Microsecond, None),
        T::Timestamp(_, Some(_)) => T::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        T::Dictionary(_, value) => canonical_type(value)?,
        T::List(item) | T::LargeList(item) | T::FixedSizeList(item, _) => T::List(element(canonical_type(item.data_type())?)),
        T::Struct(fields) => {
            let fields: Option<Vec<_>> = fields.iter().map(|f| Some(Field::new(f.name(), canonical_type(f.data_type())?, true))).collect();
            T::Struct(fields?.into())
        }
        _ => return None,
    })
}

fn element(data_type: DataType) -> FieldRef {
    Arc::new(Field::new("element", data_type, true))
}

fn convert(column: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, ArrowError> {
    match (column.data_type(), wanted) {
        (DataType::Null, _) => Ok(new_null_array(wanted, column.len())),
        (DataType::LargeList(_) | DataType::FixedSizeList(..), DataType::List(item)) => {
            let as_list = DataType::List(element(list_item(column.data_type()).unwrap_or_else(|| item.data_type().clone())));
            convert(&cast_with_options(column, &as_list, &strict())?, wanted)
        }
        (DataType::List(_), DataType::List(item)) => {
            let list = column.as_list::<i32>();
            let values = convert(list.values(), item.data_type())?;
            Ok(Arc::new(ListArray::try_new(item.clone(), list.offsets().clone(), values, list.nulls().cloned())?))
        }
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let parts = column.as_struct();
            let columns: Result<Vec<_>, _> = parts.columns().iter().zip(fields).map(|(c, f)| convert(c, f.data_type())).collect();
            Ok(Arc::new(StructArray::try_new(fields.clone(), columns?, parts.nulls().cloned())?))
        }
        // The clock in a zoned moment is UTC whatever zone is written beside it, so only the unit is converted.
        (DataType::Timestamp(unit, Some(_)), DataType::Timestamp(..)) => {
            let plain = relabel(column, *unit)?;
            let micros = cast_with_options(&plain, &DataType::Timestamp(TimeUnit::Microsecond, None), &strict())?;
            Ok(Arc::new(micros.as_primitive::<arrow::datatypes::TimestampMicrosecondType>().clone().with_timezone("UTC")))
        }
        (_, DataType::Float64) => {
            let floats = cast_with_options(column, wanted, &strict())?;
            Ok(Arc::new(floats.as_primitive::<Float64Type>().unary::<_, Float64Type>(|v| if v.is_nan() { f64::NAN } else { v })))
        }
        (found, wanted) if found == wanted => Ok(column.clone()),
        // Arrow rounds what has more digits after the point than there is room for.
        (
            found @ (DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..)),
            DataType::Decimal128(..),
        ) => {
            let fitted = cast_with_options(column, wanted, &strict())?;
            let back = cast_with_options(&fitted, found, &strict())?;
            if back.to_data() == column.to_data() {
                Ok(fitted)
            } else {
                Err(ArrowError::CastError("it has more than 9 digits after the point".into()))
            }
        }
        _ => cast_with_options(column, wanted, &strict()),
    }
}

fn list_item(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => Some(item.data_type().clone()),
        _ => None,
    }
}

/// The same numbers under a type without a zone.
fn relabel(column: &ArrayRef, unit: TimeUnit) -> Result<ArrayRef, ArrowError> {
    let data = column.to_data().into_builder().data_type(DataType::Timestamp(unit, None)).build()?;
    Ok(arrow::array::make_array(data))
}

/// A value that does not fit is an error, not NULL.
fn strict() -> CastOptions<'static> {
    CastOptions { safe: false, ..CastOptions::default() }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Decimal128Array, Decimal256Array};
    use arrow::datatypes::i256;

    use super::*;

    fn one(column: ArrayRef) -> Result<RecordBatch, TypeError> {
        canonical(&RecordBatch::try_from_iter([("x", column)]).unwrap())
    }

    #[test]
    fn digits_that_a_numeric_has_no_room_for_are_an_error_and_never_rounded() {
        let wide = |value: i128| Arc::new(Decimal128Array::from(vec![None, Some(value)]).with_precision_and_scale(38, 18).unwrap());
        let held = one(wide(1_500_000_000_000_000_000)).unwrap();
        assert_eq!(held.column(0).as_primitive::<arrow::datatypes::Decimal128Type>().value(1), 1_500_000_000);
        let finer = one(wide(1_500_000_000_000_000_001)).unwrap_err();
        assert!(finer.to_string().contains("column 'x' has a value that does not fit NUMERIC"), "{finer}");
        let huge = Decimal256Array::from(vec![i256::from_i128(i128::MAX)]).with_precision_and_scale(76, 0).unwrap();
        assert!(one(Arc::new(huge)).is_err());
    }
}
