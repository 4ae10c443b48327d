//! Owns how values are written. Invariant: a literal has the type BigQuery gives it: whole numbers INT64, numbers with a point FLOAT64.

use serde_json::Value;

use crate::syntax::sql::error::{Fault, SqlError, unsupported};
use crate::syntax::sql::parts::{Span, Type};

/// A name in double quotes.
pub(super) fn name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A string in single quotes.
pub(super) fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

pub(super) fn int(digits: &str, span: &Span) -> Result<String, SqlError> {
    match digits.parse::<i64>() {
        Ok(value) if value < 0 => Ok(format!("({value})::BIGINT")),
        Ok(value) => Ok(format!("{value}::BIGINT")),
        Err(_) => Err(Fault::Literal { problem: format!("{digits} is beyond INT64") }.at(span.clone())),
    }
}

/// With an exponent, or else DuckDB takes it for a DECIMAL.
pub(super) fn float(value: f64, span: &Span) -> Result<String, SqlError> {
    if value.is_finite() {
        Ok(format!("{value:e}"))
    } else {
        Err(Fault::Literal { problem: "the number is beyond FLOAT64".into() }.at(span.clone()))
    }
}

pub(super) fn bytes(bytes: &[u8]) -> String {
    format!("unhex('{}')", hex::encode(bytes))
}

/// The value of a parameter, which a recipe gives as JSON.
pub(super) fn value(value: &Value, span: &Span) -> Result<String, SqlError> {
    match value {
        Value::Null => Ok("NULL".into()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(number) => match number.as_i64() {
            Some(value) => int(&value.to_string(), span),
            None => float(number.as_f64().unwrap_or(f64::NAN), span),
        },
        Value::String(value) => Ok(text(value)),
        Value::Array(items) => {
            let items: Result<Vec<_>, _> = items.iter().map(|item| self::value(item, span)).collect();
            Ok(format!("[{}]", items?.join(", ")))
        }
        Value::Object(_) => Err(unsupported("a table as a parameter", Some("give its values as parameters of their own")).at(span.clone())),
    }
}

/// `DATE '2019-01-03'` and the like.
pub(super) fn typed(of: &str, written: &str, span: &Span) -> Result<String, SqlError> {
    match of {
        "DATE" => Ok(format!("bq_cast_date({})", text(written))),
        "DATETIME" => Ok(format!("bq_cast_datetime({})", text(written))),
        "TIMESTAMP" => Ok(format!("bq_cast_timestamp({})", text(written))),
        "TIME" => Ok(format!("bq_cast_time({})", text(written))),
        other => Err(refused_type(other, span)),
    }
}

/// DuckDB's name of a type.
pub(super) fn type_name(of: &Type, span: &Span) -> Result<String, SqlError> {
    Ok(match of {
        Type::Plain(plain) => plain_type(plain, span)?.to_owned(),
        Type::Array(item) => format!("{}[]", type_name(item, span)?),
        Type::Struct(fields) => {
            let mut all = Vec::with_capacity(fields.len());
            for (index, (field, of)) in fields.iter().enumerate() {
                let field = field.as_ref().map_or_else(|| format!("_field_{}", index + 1), |field| field.text.clone());
                all.push(format!("{} {}", name(&field), type_name(of, span)?));
            }
            format!("STRUCT({})", all.join(", "))
        }
    })
}

fn plain_type(of: &str, span: &Span) -> Result<&'static str, SqlError> {
    Ok(match of {
        "INT64" => "BIGINT",
        "FLOAT64" => "DOUBLE",
        "BOOL" => "BOOLEAN",
        "STRING" => "VARCHAR",
        "BYTES" => "BLOB",
        "DATE" => "DATE",
        "DATETIME" => "TIMESTAMP",
        "TIME" => "TIME",
        "TIMESTAMP" => "TIMESTAMPTZ",
        other => return Err(refused_type(other, span)),
    })
}

pub(super) fn refused_type(of: &str, span: &Span) -> SqlError {
    let instead = match of {
        "NUMERIC" | "BIGNUMERIC" => Some("use FLOAT64 or INT64"),
        "JSON" => Some("keep it as STRING"),
        _ => None,
    };
    unsupported(format!("the type {of}"), instead).at(span.clone())
}

/// Puts arguments in the places of `$1`, `$2`, …
pub(super) fn fill(form: &str, args: &[String]) -> String {
    let mut out = String::new();
    let mut rest = form;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let number = rest[at + 1..].bytes().next().map_or(0, |digit| usize::from(digit.wrapping_sub(b'0')));
        out.push_str(args.get(number.wrapping_sub(1)).map_or("", String::as_str));
        rest = &rest[(at + 2).min(rest.len())..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_take_their_arguments_in_place() {
        assert_eq!(fill("f($2, $1, $1)", &["a".into(), "b".into()]), "f(b, a, a)");
    }
}
