//! Owns how far two versions of the same thing are apart in their numbers. Invariant: whatever is no number must be the same, and whole numbers count as such.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Float64Type;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::table_cells::cell;

/// How far two things are apart.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Nearness {
    /// The largest share by which two numbers differ: of the larger of the two, or of 1 where both are smaller.
    pub by: f64,
    /// Where that is, with both numbers; empty where none differ.
    pub at: String,
    /// What differs and is no number that may; the first of it.
    pub other: Option<String>,
}

impl Nearness {
    /// Whether nothing differs but numbers, by no more than this share.
    #[must_use]
    pub fn is_within(&self, tolerance: f64) -> bool {
        self.other.is_none() && self.by <= tolerance
    }

    /// Takes two numbers into account.
    pub fn number(&mut self, a: f64, b: f64, at: impl FnOnce() -> String) {
        let by = apart(a, b);
        if by > self.by {
            self.by = by;
            self.at = format!("{}: {a:?} and {b:?}", at());
        }
    }

    fn differs(&mut self, what: impl FnOnce() -> String) {
        if self.other.is_none() {
            self.other = Some(what());
        }
    }

    fn values(&mut self, a: &Value, b: &Value, at: &dyn Fn() -> String) {
        match (a, b) {
            (Value::Array(x), Value::Array(y)) if x.len() == y.len() => x.iter().zip(y).for_each(|(x, y)| self.values(x, y, at)),
            (Value::Object(x), Value::Object(y)) if x.keys().eq(y.keys()) => {
                for ((key, x), (_, y)) in x.iter().zip(y) {
                    self.values(x, y, &|| format!("{}.{key}", at()));
                }
            }
            (Value::Number(x), Value::Number(y)) if x.is_f64() || y.is_f64() => {
                if let Some((x, y)) = x.as_f64().zip(y.as_f64()) {
                    self.number(x, y, at);
                }
            }
            _ if a == b => {}
            _ => self.differs(|| format!("{}: {a} and {b}", at())),
        }
    }
}

/// The share by which two numbers differ; endless where one of them is none and the other is.
fn apart(a: f64, b: f64) -> f64 {
    if a.to_bits() == b.to_bits() || (a - b).abs() <= 0.0 || a.is_nan() && b.is_nan() {
        return 0.0;
    }
    let by = (a - b).abs() / a.abs().max(b.abs()).max(1.0);
    if by.is_nan() { f64::INFINITY } else { by }
}

/// Two tables, column by column, row by row in their order.
#[must_use]
pub fn tables(old: &RecordBatch, new: &RecordBatch) -> Nearness {
    let mut found = Nearness::default();
    let columns = |batch: &RecordBatch| -> Vec<_> {
        batch.schema().fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect()
    };
    if columns(old) != columns(new) {
        found.differs(|| "the columns are others".to_owned());
        return found;
    }
    if old.num_rows() != new.num_rows() {
        found.differs(|| format!("{} rows and {}", old.num_rows(), new.num_rows()));
        return found;
    }
    for (field, (a, b)) in old.schema().fields().iter().zip(old.columns().iter().zip(new.columns())) {
        let name = field.name();
        match (a.as_primitive_opt::<Float64Type>(), b.as_primitive_opt::<Float64Type>()) {
            (Some(x), Some(y)) => {
                for (row, (x, y)) in x.iter().zip(y).enumerate() {
                    match (x, y) {
                        (Some(x), Some(y)) => found.number(x, y, || format!("{name}, row {}", row + 1)),
                        (None, None) => {}
                        _ => found.differs(|| format!("{name}, row {}: only one has a value", row + 1)),
                    }
                }
            }
            _ if a.to_data() == b.to_data() => {}
            _ => (0..a.len()).for_each(|row| found.values(&cell(a, row), &cell(b, row), &|| format!("{name}, row {}", row + 1))),
        }
    }
    found
}

/// Two texts in JSON; `None` where one of them is none.
#[must_use]
pub fn json(old: &str, new: &str) -> Option<Nearness> {
    let (old, new) = (serde_json::from_str(old).ok()?, serde_json::from_str(new).ok()?);
    let mut found = Nearness::default();
    found.values(&old, &new, &String::new);
    Some(found)
}

/// Two texts, number by number. With `rounded` they are for people: a number with few digits may differ by one in its last.
#[must_use]
pub fn texts(old: &str, new: &str, rounded: bool) -> Nearness {
    let mut found = Nearness::default();
    let (mut a, mut b) = (Tokens { text: old, line: 1 }, Tokens { text: new, line: 1 });
    loop {
        let line = a.line;
        match (a.next(), b.next()) {
            (None, None) => return found,
            (Some(Token::Number(x)), Some(Token::Number(y))) => {
                let whole = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-' || byte == b'+');
                if x != y && whole(x) && whole(y) {
                    found.differs(|| format!("line {line}: {x} and {y}"));
                } else if let (Ok(p), Ok(q)) = (x.parse::<f64>(), y.parse::<f64>())
                    && !(rounded && (p - q).abs() <= last_place(x).min(last_place(y)) * 1.000_001)
                {
                    found.number(p, q, || format!("line {line}"));
                }
            }
            (x, y) if x == y => {}
            _ => {
                found.differs(|| format!("line {line} reads otherwise"));
                return found;
            }
        }
    }
}

/// What one more in the last digit of a number comes to.
fn last_place(text: &str) -> f64 {
    let (digits, exponent) = text.split_once(['e', 'E']).map_or((text, 0), |(digits, exponent)| (digits, exponent.parse().unwrap_or(0)));
    let decimals = digits.split_once('.').map_or(0, |(_, decimals)| i32::try_from(decimals.len()).unwrap_or(i32::MAX));
    10_f64.powi(exponent - decimals)
}

#[derive(Debug, PartialEq)]
enum Token<'a> {
    Number(&'a str),
    Words(&'a str),
}

/// A text in numbers and what stands between them.
struct Tokens<'a> {
    text: &'a str,
    line: usize,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        if self.text.is_empty() {
            return None;
        }
        let number = number(self.text);
        let end = if number > 0 { number } else { words(self.text) };
        let (token, rest) = self.text.split_at(end);
        self.text = rest;
        self.line += token.matches('\n').count();
        Some(if number > 0 { Token::Number(token) } else { Token::Words(token) })
    }
}

/// The bytes of the number that a text begins with.
fn number(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes[from.min(bytes.len())..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let sign = usize::from(matches!(bytes.first(), Some(b'-' | b'+')));
    let whole = digits(sign);
    if whole == 0 {
        return 0;
    }
    let mut end = sign + whole;
    if bytes.get(end) == Some(&b'.') && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let signed = end + 1 + usize::from(matches!(bytes.get(end + 1), Some(b'-' | b'+')));
        if digits(signed) > 0 {
            end = signed + digits(signed);
        }
    }
    end
}

/// The bytes before the next number.
fn words(text: &str) -> usize {
    let from = text.chars().next().map_or(0, char::len_utf8);
    let place = text[from..].find(|c: char| c.is_ascii_digit()).map_or(text.len(), |at| from + at);
    match text.as_bytes().get(place.wrapping_sub(1)) {
        Some(b'-' | b'+') if place < text.len() && place > from => place - 1,
        _ => place,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    fn table(values: &[Option<f64>], counts: &[i64], words: &[&str]) -> RecordBatch {
        let schema = Schema::new(vec![
            Field::new("x", DataType::Float64, true),
            Field::new("n", DataType::Int64, false),
            Field::new("word", DataType::Utf8, false),
        ]);
        let columns: Vec<arrow::array::ArrayRef> = vec![
            Arc::new(Float64Array::from(values.to_vec())),
            Arc::new(Int64Array::from(counts.to_vec())),
            Arc::new(StringArray::from(words.to_vec())),
        ];
        RecordBatch::try_new(Arc::new(schema), columns).unwrap()
    }

    #[test]
    fn tables_are_near_by_their_floats_and_the_same_in_all_else() {
        let base = table(&[Some(100.0), None, Some(f64::NAN)], &[1, 2, 3], &["a", "b", "c"]);
        assert_eq!(tables(&base, &base), Nearness::default());
        let near = tables(&base, &table(&[Some(100.000_000_1), None, Some(f64::NAN)], &[1, 2, 3], &["a", "b", "c"]));
        assert!(near.is_within(1e-8) && !near.is_within(1e-10) && near.at.starts_with("x, row 1: 100.0"), "{near:?}");
        for other in [
            table(&[Some(100.0), Some(0.0), Some(f64::NAN)], &[1, 2, 3], &["a", "b", "c"]),
            table(&[Some(100.0), None, Some(f64::NAN)], &[1, 2, 4], &["a", "b", "c"]),
            table(&[Some(100.0), None, Some(f64::NAN)], &[1, 2, 3], &["a", "b", "d"]),
            table(&[Some(100.0), None], &[1, 2], &["a", "b"]),
            base.project(&[0, 1]).unwrap(),
        ] {
            assert!(!tables(&base, &other).is_within(1.0), "{other:?}");
        }
        assert!(
            !tables(&base, &table(&[Some(100.0), None, Some(1.0)], &[1, 2, 3], &["a", "b", "c"])).is_within(1e9),
            "no number beside one"
        );
    }

    #[test]
    fn json_is_compared_by_value_and_names_the_place() {
        let near = json(r#"{"a": [1.5, {"b": 2}]}"#, r#"{"a": [1.5000001, {"b": 2}]}"#).unwrap();
        assert!(near.is_within(1e-6) && near.at.starts_with(".a"), "{near:?}");
        assert!(json(r#"{"b": 2}"#, r#"{"b": 3}"#).unwrap().other.is_some(), "whole numbers count");
        assert!(json(r#"{"b": 2}"#, r#"{"c": 2}"#).unwrap().other.is_some());
        assert_eq!(json("{", "{}"), None);
    }

    #[test]
    fn texts_are_compared_number_by_number() {
        assert_eq!(texts("mae 1.5, n 3\n", "mae 1.5, n 3\n", false), Nearness::default());
        let near = texts("a\nmae=-1.5e-3 rows", "a\nmae=-1.5000001e-3 rows", false);
        assert!(near.is_within(1e-9) && near.at.starts_with("line 2"), "{near:?}");
        assert!(texts("n 3", "n 4", false).other.is_some());
        assert!(texts("mae 1.5", "mse 1.5", false).other.is_some());
        assert!(texts("1.5", "1.5 and more", false).other.is_some());
        // What was rounded for people may have been rounded the other way.
        assert!(texts("4.58", "4.59", true).is_within(0.0) && !texts("4.58", "4.60", true).is_within(1e-9));
        assert!(!texts("4.58", "4.59", false).is_within(1e-9));
    }
}
