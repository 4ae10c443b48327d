//! Owns how a table's values are shown as JSON. Invariant: what is shown is what is stored; a float that JSON has no number for is a string.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType};
use chrono::{DateTime, NaiveDate, NaiveTime};
use serde_json::{Map, Value, json};

/// The value of a canonical column at `row`.
#[must_use]
pub fn cell(column: &dyn Array, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Boolean => json!(column.as_boolean().value(row)),
        DataType::Int64 => json!(column.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => float(column.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(..) => json!(plain_decimal(&column.as_primitive::<Decimal128Type>().value_as_string(row))),
        DataType::Utf8 => json!(column.as_string::<i32>().value(row)),
        DataType::Binary => json!(hex::encode(column.as_binary::<i32>().value(row))),
        DataType::Date32 => json!(date(column.as_primitive::<Date32Type>().value(row))),
        DataType::Time64(_) => json!(time(column.as_primitive::<Time64MicrosecondType>().value(row))),
        DataType::Timestamp(_, zone) => {
            json!(moment(column.as_primitive::<TimestampMicrosecondType>().value(row), zone.is_some()))
        }
        DataType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            Value::Array((0..items.len()).map(|i| cell(&items, i)).collect())
        }
        DataType::Struct(fields) => {
            let parts = column.as_struct();
            let cells = fields.iter().zip(parts.columns()).map(|(field, part)| (field.name().clone(), cell(part, row)));
            Value::Object(cells.collect::<Map<_, _>>())
        }
        other => json!(format!("({other})")),
    }
}

/// `2019-01-03` from days since 1970-01-01.
#[must_use]
pub fn date(days: i32) -> String {
    NaiveDate::from_epoch_days(days).map_or_else(|| format!("day {days}"), |date| date.to_string())
}

fn float(value: f64) -> Value {
    match value {
        v if v.is_nan() => json!("NaN"),
        f64::INFINITY => json!("Infinity"),
        f64::NEG_INFINITY => json!("-Infinity"),
        v => json!(v),
    }
}

fn plain_decimal(text: &str) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text.to_owned() }
}

fn time(micros: i64) -> String {
    let (seconds, rest) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let time = u32::try_from(seconds).ok().zip(u32::try_from(rest * 1000).ok());
    time.and_then(|(s, n)| NaiveTime::from_num_seconds_from_midnight_opt(s, n)).map_or_else(|| format!("{micros}us"), |t| t.to_string())
}

fn moment(micros: i64, zoned: bool) -> String {
    let Some(moment) = DateTime::from_timestamp_micros(micros) else { return format!("{micros}us") };
    let form = if zoned { "%Y-%m-%dT%H:%M:%S%.fZ" } else { "%Y-%m-%dT%H:%M:%S%.f" };
    moment.format(form).to_string()
}
