//! Owns the columns of a delivered table as BigQuery describes them. Invariant: pure; a canonical column has one description, and that means that column.

use arrow::datatypes::{DataType, Schema};
use serde_json::{Value, json};

use crate::engine::merging::MergeError;
use crate::engine::table_types;

/// `schema.fields` for these columns.
///
/// # Errors
/// With the column and its type, where BigQuery has none like it: an array of arrays.
pub fn fields(schema: &Schema) -> Result<Vec<Value>, (String, String)> {
    let of = |column: &arrow::datatypes::FieldRef| {
        field(column.name(), column.data_type()).ok_or_else(|| (column.name().clone(), table_types::name(column.data_type())))
    };
    schema.fields().iter().map(of).collect()
}

fn field(name: &str, data_type: &DataType) -> Option<Value> {
    match data_type {
        DataType::List(item) if matches!(item.data_type(), DataType::List(_)) => None,
        DataType::List(item) => {
            let mut field = field(name, item.data_type())?;
            field["mode"] = "REPEATED".into();
            Some(field)
        }
        DataType::Struct(parts) => {
            let parts: Option<Vec<Value>> = parts.iter().map(|part| field(part.name(), part.data_type())).collect();
            Some(json!({ "name": name, "type": "RECORD", "mode": "NULLABLE", "fields": parts? }))
        }
        scalar => Some(json!({ "name": name, "type": table_types::name(scalar), "mode": "NULLABLE" })),
    }
}

/// The type of a described column, by the name that SQL has for it.
#[must_use]
pub fn type_of(field: &Value) -> String {
    let scalar = match field["type"].as_str().unwrap_or_default() {
        "INTEGER" => "INT64".to_owned(),
        "FLOAT" => "FLOAT64".to_owned(),
        "BOOLEAN" => "BOOL".to_owned(),
        "RECORD" | "STRUCT" => {
            let parts = field["fields"].as_array().into_iter().flatten();
            let parts: Vec<String> = parts.map(|part| format!("{} {}", name_of(part), type_of(part))).collect();
            format!("STRUCT<{}>", parts.join(", "))
        }
        other => other.to_owned(),
    };
    if field["mode"] == "REPEATED" { format!("ARRAY<{scalar}>") } else { scalar }
}

fn name_of(field: &Value) -> &str {
    field["name"].as_str().unwrap_or_default()
}

/// The descriptions of `new` that a table described by `there` has not yet. BigQuery does not tell names by their case.
///
/// # Errors
/// When the table has a column that the new rows lack and may not, the new rows one that the table may not gain, or a type is another.
pub fn added(there: &[Value], new: &[Value], may_add: bool, may_lack: bool) -> Result<Vec<Value>, MergeError> {
    let find = |among: &'_ [Value], field: &Value| among.iter().find(|other| name_of(other).eq_ignore_ascii_case(name_of(field))).cloned();
    let names = |fields: Vec<&Value>| fields.into_iter().map(|field| name_of(field).to_owned()).collect();
    let gone: Vec<&Value> = there.iter().filter(|field| find(new, field).is_none()).collect();
    if !gone.is_empty() && !may_lack {
        return Err(MergeError::Gone { columns: names(gone) });
    }
    let added: Vec<&Value> = new.iter().filter(|field| find(there, field).is_none()).collect();
    if !added.is_empty() && !may_add {
        return Err(MergeError::Added { columns: names(added) });
    }
    for field in new {
        let Some(was) = find(there, field).map(|was| type_of(&was)) else { continue };
        let is = type_of(field);
        if was != is {
            return Err(MergeError::Type { column: name_of(field).to_owned(), was, is });
        }
    }
    Ok(added.into_iter().cloned().collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{Field, TimeUnit};

    use super::*;

    fn schema(columns: &[(&str, DataType)]) -> Schema {
        Schema::new(columns.iter().map(|(name, of)| Field::new(*name, of.clone(), true)).collect::<Vec<_>>())
    }

    #[test]
    fn every_canonical_type_is_described_and_read_back() {
        let parts = DataType::Struct(vec![Field::new("x", DataType::Int64, true), Field::new("y", DataType::Boolean, true)].into());
        let all = [
            ("a", DataType::Boolean),
            ("b", DataType::Int64),
            ("c", DataType::Float64),
            ("d", DataType::Decimal128(38, 9)),
            ("e", DataType::Utf8),
            ("f", DataType::Binary),
            ("g", DataType::Date32),
            ("h", DataType::Time64(TimeUnit::Microsecond)),
            ("i", DataType::Timestamp(TimeUnit::Microsecond, None)),
            ("j", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
            ("k", DataType::List(Arc::new(Field::new("element", parts.clone(), true)))),
            ("l", parts),
        ];
        let described = fields(&schema(&all)).unwrap();
        let read: Vec<String> = described.iter().map(type_of).collect();
        let wanted: Vec<String> = all.iter().map(|(_, of)| table_types::name(of)).collect();
        assert_eq!(read, wanted);
        assert_eq!(described[10]["mode"], "REPEATED");
        let list = DataType::List(Arc::new(Field::new("element", DataType::Int64, true)));
        let lists = DataType::List(Arc::new(Field::new("element", list, true)));
        assert_eq!(fields(&schema(&[("m", lists)])).unwrap_err(), ("m".to_owned(), "ARRAY<ARRAY<INT64>>".to_owned()));
    }

    #[test]
    fn a_table_gains_columns_where_that_is_allowed_and_loses_and_retypes_none() {
        let there = [json!({"name": "Day", "type": "STRING"}), json!({"name": "n", "type": "INTEGER"})];
        let new = fields(&schema(&[("day", DataType::Utf8), ("n", DataType::Int64), ("more", DataType::Utf8)])).unwrap();
        assert_eq!(added(&there, &new, true, false).unwrap(), [new[2].clone()]);
        assert!(matches!(added(&there, &new, false, false), Err(MergeError::Added { columns }) if columns == ["more"]));
        assert!(matches!(added(&there, &new[..1], true, false), Err(MergeError::Gone { columns }) if columns == ["n"]));
        assert_eq!(added(&there, &new[..1], false, true).unwrap(), Vec::<Value>::new());
        let other = [json!({"name": "day", "type": "DATE"}), there[1].clone()];
        assert!(matches!(added(&other, &new, true, false), Err(MergeError::Type { column, .. }) if column == "day"));
    }
}
