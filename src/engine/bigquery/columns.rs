//! Owns which columns of a BigQuery table a table can hold. Invariant: a column of a type that has no form in tables is refused by name before a row
//! is read, and one that nobody keeps refuses nothing.

use serde_json::Value;

use crate::base::name::nearest;
use crate::engine::bigquery::fault::BigQueryError;

/// BigQuery's types that have a form in tables; what becomes of each stands in docs/bigquery.md.
const HELD: [&str; 18] = [
    "STRING",
    "BYTES",
    "INTEGER",
    "INT64",
    "FLOAT",
    "FLOAT64",
    "BOOLEAN",
    "BOOL",
    "TIMESTAMP",
    "DATE",
    "TIME",
    "DATETIME",
    "NUMERIC",
    "BIGNUMERIC",
    "JSON",
    "GEOGRAPHY",
    "RECORD",
    "STRUCT",
];

/// Digits after a second's point that a canonical moment has.
const MICROS: &str = "6";

/// Sees that a table has the columns `wanted` (all where empty) and that they can be held. `schema` is what BigQuery says of its columns; nothing
/// is known, and nothing refused, where it says none.
///
/// # Errors
/// When a column is not there, or is of a type that no table can hold.
pub fn check(table: &str, schema: &Value, wanted: &[String]) -> Result<(), BigQueryError> {
    let Some(columns) = schema.as_array() else { return Ok(()) };
    let names = || columns.iter().map(name);
    if let Some(column) = wanted.iter().find(|column| !names().any(|name| name == column.as_str())) {
        let nearest = nearest(column, names()).map(str::to_owned);
        return Err(BigQueryError::NoColumn { table: table.to_owned(), column: column.clone(), nearest });
    }
    let kept = |column: &&Value| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name(column));
    let Some((column, found)) = columns.iter().filter(kept).find_map(unheld) else { return Ok(()) };
    let others = columns.iter().filter(kept).filter(|column| unheld(column).is_none());
    Err(BigQueryError::Column { table: table.to_owned(), column, found, others: others.map(|column| name(column).to_owned()).collect() })
}

/// A query in brackets that gives no rows, of these columns as BigQuery describes them.
#[must_use]
pub fn nulls(columns: &[Value]) -> String {
    nulls_of(columns.iter().map(|column| (name(column).to_owned(), written(column))))
}

/// The same of columns by their names and types.
#[must_use]
pub fn nulls_of(columns: impl Iterator<Item = (String, String)>) -> String {
    let columns: Vec<String> = columns.map(|(name, of)| format!("CAST(NULL AS {of}) AS `{name}`")).collect();
    format!("(SELECT {} LIMIT 0)", columns.join(", "))
}

/// A column's type as SQL has it.
fn written(column: &Value) -> String {
    let of = column["type"].as_str().unwrap_or_default();
    let of = match of {
        "INTEGER" => "INT64".to_owned(),
        "FLOAT" => "FLOAT64".to_owned(),
        "BOOLEAN" => "BOOL".to_owned(),
        "RECORD" | "STRUCT" => {
            let parts = column["fields"].as_array().into_iter().flatten();
            format!("STRUCT<{}>", parts.map(|part| format!("`{}` {}", name(part), written(part))).collect::<Vec<_>>().join(", "))
        }
        "RANGE" => format!("RANGE<{}>", column["rangeElementType"]["type"].as_str().unwrap_or_default()),
        other => other.to_owned(),
    };
    if column["mode"] == "REPEATED" { format!("ARRAY<{of}>") } else { of }
}

fn name(column: &Value) -> &str {
    column["name"].as_str().unwrap_or_default()
}

/// The part of a column that cannot be held, and its type; `None` where all of it can.
fn unheld(column: &Value) -> Option<(String, String)> {
    let own = name(column);
    let found = column["type"].as_str().unwrap_or("unknown").to_ascii_uppercase();
    if !HELD.contains(&found.as_str()) {
        return Some((own.to_owned(), found));
    }
    let digits = &column["timestampPrecision"];
    if let Some(digits) = digits.as_str().map(str::to_owned).or_else(|| digits.as_u64().map(|digits| digits.to_string()))
        && digits != MICROS
    {
        return Some((own.to_owned(), format!("{found}({digits})")));
    }
    let part = column["fields"].as_array().into_iter().flatten().find_map(unheld);
    part.map(|(part, found)| (format!("{own}.{part}"), found))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(columns: &Value, wanted: &[&str]) -> Option<(String, Option<String>)> {
        let wanted: Vec<String> = wanted.iter().map(|&column| column.to_owned()).collect();
        let error = check("p.d.t", columns, &wanted).err()?;
        Some((error.to_string(), error.hint()))
    }

    #[test]
    fn a_type_that_no_table_holds_is_refused_by_column_and_name_with_the_way_out() {
        let range = json!({"name": "r", "type": "RANGE", "rangeElementType": {"type": "DATE"}});
        let columns = json!([{"name": "x", "type": "INTEGER"}, range, {"name": "y", "type": "NUMERIC"}]);
        let (said, hint) = refusal(&columns, &[]).unwrap();
        assert_eq!(said, "column 'r' of p.d.t is of type RANGE, which a table cannot hold");
        assert_eq!(hint.unwrap(), r#"leave it out: columns = ["x", "y"] in the table's stanza"#);
        assert_eq!(refusal(&columns, &["y", "x"]), None, "what nobody keeps refuses nothing");
    }

    #[test]
    fn parts_of_structs_are_looked_at_too() {
        let part = json!([{"name": "a", "type": "STRING"}, {"name": "b", "type": "INTERVAL"}]);
        let columns = json!([{"name": "s", "type": "RECORD", "mode": "REPEATED", "fields": part}]);
        assert_eq!(refusal(&columns, &[]).unwrap().0, "column 's.b' of p.d.t is of type INTERVAL, which a table cannot hold");
    }

    #[test]
    fn moments_finer_than_a_microsecond_and_types_not_heard_of_are_refused() {
        let fine = json!([{"name": "at", "type": "TIMESTAMP", "timestampPrecision": "12"}]);
        assert!(refusal(&fine, &[]).unwrap().0.contains("TIMESTAMP(12)"));
        assert_eq!(refusal(&json!([{"name": "at", "type": "TIMESTAMP", "timestampPrecision": "6"}]), &[]), None);
        assert!(refusal(&json!([{"name": "v", "type": "VECTOR"}]), &[]).unwrap().0.contains("type VECTOR"));
    }

    #[test]
    fn a_column_that_is_not_there_is_named_with_the_nearest() {
        let (said, hint) = refusal(&json!([{"name": "close", "type": "FLOAT"}]), &["clsoe"]).unwrap();
        assert_eq!((said.as_str(), hint.as_deref()), ("the table p.d.t has no column 'clsoe'", Some("did you mean 'close'?")));
    }
}
