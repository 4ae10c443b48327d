//! Owns the resolving of written values: placeholders out, JSON in. Invariant: a string that is one placeholder keeps the value's type, and
//! what a resolved value says depends on nothing but the text and the values in scope.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeString, DeValue};

use crate::base::name::nearest;
use crate::model::recipe::Spot;
use crate::syntax::error::{Fault, SyntaxError};
use crate::syntax::recipe::SourceText;

/// Values by name.
pub type Values = BTreeMap<String, Value>;

/// The values that placeholders and conditions may name; earlier layers are looked at first.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a>(pub &'a [&'a Values]);

impl<'a> Scope<'a> {
    /// The value that a dotted path names.
    ///
    /// # Errors
    /// When there is no such value, or it has no such field.
    pub fn lookup(self, path: &str) -> Result<&'a Value, Fault> {
        let mut parts = path.split('.');
        let name = parts.next().unwrap_or_default();
        let mut value = self.0.iter().find_map(|layer| layer.get(name)).ok_or_else(|| self.unknown(name))?;
        let mut seen = name.to_owned();
        for field in parts {
            value = value.get(field).ok_or_else(|| Fault::UnknownField {
                value: seen.clone(),
                field: field.to_owned(),
                known: value.as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default(),
            })?;
            seen = format!("{seen}.{field}");
        }
        Ok(value)
    }

    fn unknown(self, name: &str) -> Fault {
        let names = self.0.iter().flat_map(|layer| layer.keys().map(String::as_str));
        Fault::UnknownValue { name: name.to_owned(), nearest: nearest(name, names).map(str::to_owned) }
    }
}

/// A piece of a text with placeholders.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Text that stands for itself.
    Text(Cow<'a, str>),
    /// The path inside `{…}`, and its range in the text.
    Placeholder(&'a str, Range<usize>),
}

/// A fault in a part of a string: the range in the string's own text.
pub type PartFault = (Range<usize>, Fault);

/// Cuts a text at its placeholders; `{{` and `}}` are braces.
///
/// # Errors
/// On a brace that neither opens nor closes a placeholder.
pub fn pieces(text: &str) -> Result<Vec<Piece<'_>>, PartFault> {
    let braces = |at: usize, problem| Err((at..at + 1, Fault::Braces { problem }));
    let mut pieces = Vec::new();
    let mut rest = 0;
    while let Some(found) = text[rest..].find(['{', '}']) {
        let at = rest + found;
        let brace = &text[at..=at];
        if text[at + 1..].starts_with(brace) {
            pieces.push(Piece::Text(Cow::Borrowed(&text[rest..=at])));
            rest = at + 2;
            continue;
        }
        if brace == "}" {
            return braces(at, "a '}' that closes nothing");
        }
        let Some(length) = text[at + 1..].find(['{', '}']).filter(|n| text[at + 1 + n..].starts_with('}')) else {
            return braces(at, "a '{' that is not closed");
        };
        let path = &text[at + 1..at + 1 + length];
        if path.is_empty() || !path.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')) {
            return Err((at..at + length + 2, Fault::Braces { problem: "a placeholder holds a name such as {horizon.name}" }));
        }
        if at > rest {
            pieces.push(Piece::Text(Cow::Borrowed(&text[rest..at])));
        }
        pieces.push(Piece::Placeholder(path, at + 1..at + 1 + length));
        rest = at + length + 2;
    }
    if rest < text.len() {
        pieces.push(Piece::Text(Cow::Borrowed(&text[rest..])));
    }
    Ok(pieces)
}

/// Fills the placeholders of a text.
///
/// # Errors
/// On misplaced braces, unknown names, and lists or tables inside a longer text.
pub fn interpolate(text: &str, scope: Scope) -> Result<Value, PartFault> {
    if !text.contains(['{', '}']) {
        return Ok(Value::String(text.to_owned()));
    }
    let pieces = pieces(text)?;
    if let [Piece::Placeholder(path, range)] = &pieces[..] {
        return scope.lookup(path).cloned().map_err(|fault| (range.clone(), fault));
    }
    let mut filled = String::with_capacity(text.len());
    for piece in &pieces {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Placeholder(path, range) => {
                let value = scope.lookup(path).map_err(|fault| (range.clone(), fault))?;
                filled.push_str(&inline(path, value).map_err(|fault| (range.clone(), fault))?);
            }
        }
    }
    Ok(Value::String(filled))
}

/// A value as it stands inside a text.
fn inline<'v>(path: &str, value: &'v Value) -> Result<Cow<'v, str>, Fault> {
    let not_text = |found| Err(Fault::NotText { name: path.to_owned(), found });
    match value {
        Value::String(text) => Ok(Cow::Borrowed(text)),
        Value::Array(_) => not_text("a list"),
        Value::Object(_) => not_text("a table"),
        other => Ok(Cow::Owned(other.to_string())),
    }
}

/// Resolves written values of one file, collecting what is wrong and where every value stands.
pub struct Resolver<'a> {
    /// The file.
    pub source: &'a SourceText<'a>,
    /// The values in scope.
    pub scope: Scope<'a>,
    /// Everything wrong so far.
    pub errors: &'a mut Vec<SyntaxError>,
}

impl Resolver<'_> {
    /// The value of a key as [`resolve`](Self::resolve) gives it, with the key's own spot among `spots`.
    pub fn entry(&mut self, path: &str, key: &Spanned<DeString>, written: &Spanned<DeValue>, spots: &mut BTreeMap<String, Spot>) -> Value {
        spots.insert(path.to_owned(), Spot::new(key.span(), self.source.place(written.span())));
        self.resolve(path, written, Some(spots))
    }

    /// The value as JSON; `null` where it could not be resolved. Where `spots` is given, the spot of each value inside it is added under its
    /// dotted path.
    pub fn resolve(&mut self, path: &str, written: &Spanned<DeValue>, mut spots: Option<&mut BTreeMap<String, Spot>>) -> Value {
        match written.get_ref() {
            DeValue::String(text) => self.text(text, written.span()),
            DeValue::Boolean(value) => Value::Bool(*value),
            DeValue::Datetime(value) => Value::String(value.to_string()),
            DeValue::Integer(value) => {
                let number = i64::from_str_radix(value.as_str(), value.radix()).ok();
                self.number(number.map(Value::from), &value.to_string(), written.span())
            }
            DeValue::Float(value) => {
                let number = value.as_str().parse().ok().and_then(serde_json::Number::from_f64);
                self.number(number.map(Value::Number), value.as_str(), written.span())
            }
            DeValue::Array(items) => {
                let items = items.iter().enumerate().map(|(index, item)| {
                    let path = format!("{path}.{index}");
                    if let Some(spots) = spots.as_deref_mut() {
                        spots.insert(path.clone(), Spot::both(self.source.place(item.span())));
                    }
                    self.resolve(&path, item, spots.as_deref_mut())
                });
                Value::Array(items.collect())
            }
            DeValue::Table(entries) => {
                let mut map = Map::new();
                for (key, item) in entries {
                    let path = format!("{path}.{}", key.get_ref());
                    let value = match spots.as_deref_mut() {
                        Some(spots) => self.entry(&path, key, item, spots),
                        None => self.resolve(&path, item, None),
                    };
                    map.insert(key.get_ref().to_string(), value);
                }
                Value::Object(map)
            }
        }
    }

    /// A string with its placeholders filled; `null` where they could not be.
    pub fn text(&mut self, text: &str, span: Range<usize>) -> Value {
        interpolate(text, self.scope).unwrap_or_else(|(part, fault)| {
            self.errors.push(fault.at(self.source.place_in(span, text, part)));
            Value::Null
        })
    }

    fn number(&mut self, number: Option<Value>, written: &str, span: Range<usize>) -> Value {
        number.unwrap_or_else(|| {
            self.errors.push(Fault::BadNumber { text: written.to_owned() }.at(self.source.place(span)));
            Value::Null
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn fill(text: &str) -> Result<Value, String> {
        let values =
            BTreeMap::from([("horizon".to_owned(), json!({"name": "1m", "rows": 21, "list": [1]})), ("rate".to_owned(), json!(0.05))]);
        interpolate(text, Scope(&[&values])).map_err(|(part, fault)| format!("{}: {fault}", &text[part]))
    }

    #[test]
    fn a_lone_placeholder_keeps_its_type_and_one_in_a_text_becomes_text() {
        assert_eq!(fill("{horizon.rows}"), Ok(json!(21)));
        assert_eq!(fill("{horizon.list}"), Ok(json!([1])));
        assert_eq!(fill("model/{horizon.name}/{horizon.rows}"), Ok(json!("model/1m/21")));
        assert_eq!(fill("at {rate}"), Ok(json!("at 0.05")));
        assert_eq!(fill("plain"), Ok(json!("plain")));
    }

    #[test]
    fn doubled_braces_are_braces() {
        assert_eq!(fill("{{horizon}}"), Ok(json!("{horizon}")));
        assert_eq!(fill("{{{horizon.name}}}"), Ok(json!("{1m}")));
        assert_eq!(fill("awk '{{print $1}}'"), Ok(json!("awk '{print $1}'")));
    }

    #[test]
    fn a_placeholder_that_cannot_be_filled_is_refused_at_its_place() {
        assert_eq!(fill("x {horizn.name}"), Err("horizn.name: nothing here is called 'horizn'".into()));
        assert_eq!(fill("{horizon.nme}"), Err("horizon.nme: 'horizon' has no field 'nme'".into()));
        assert_eq!(fill("x{horizon}"), Err("horizon: 'horizon' is a table, which cannot stand inside a text".into()));
        assert_eq!(fill("x {horizon"), Err("{: a '{' that is not closed".into()));
        assert_eq!(fill("x } y"), Err("}: a '}' that closes nothing".into()));
        assert_eq!(fill("{}"), Err("{}: a placeholder holds a name such as {horizon.name}".into()));
    }

    proptest! {
        #[test]
        fn any_text_survives_escaping(text in ".{0,20}") {
            let escaped = text.replace('{', "{{").replace('}', "}}");
            prop_assert_eq!(fill(&escaped), Ok(json!(text)));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[{}a.é ]{0,12}") {
            let _ = fill(&text);
        }
    }
}
