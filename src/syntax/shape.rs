//! Owns key tables: which keys a section takes and what each must hold. Invariant: checks, JSON Schema and documentation are all made from
//! these tables, so they cannot disagree.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::base::name::nearest;
use crate::base::units;
use crate::model::recipe::Spot;
use crate::syntax::error::{Fault, SyntaxError};

/// One key of a section.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it means, in a sentence.
    pub about: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// What it must hold.
    pub want: Want,
}

/// What a value must be.
#[derive(Debug, Clone, Copy)]
pub enum Want {
    /// Any text.
    Text,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// The name of a target, or `target#artifact`.
    Target,
    /// The name of a table, `dataset.table`.
    TableName,
    /// A date, `2019-01-03`.
    Date,
    /// A size such as `2GiB`.
    Bytes,
    /// A duration such as `30m`.
    Duration,
    /// A whole number, at least this.
    Int(i64),
    /// Any number.
    Number,
    /// `true` or `false`.
    Bool,
    /// Any value.
    Any,
    /// A list of these, with at least one of them where the flag is set.
    List(&'static Want, bool),
    /// A table with these keys.
    Table(&'static [Key]),
    /// A table with exactly one of these keys.
    Choice(&'static [Key]),
    /// A table with any keys, each holding this.
    Map(&'static Want),
    /// One of these forms.
    Either(&'static [Want]),
}

impl Key {
    /// A key that must be there.
    #[must_use]
    pub const fn required(name: &'static str, want: Want, about: &'static str) -> Self {
        Self { name, about, required: true, want }
    }

    /// A key that may be missing.
    #[must_use]
    pub const fn optional(name: &'static str, want: Want, about: &'static str) -> Self {
        Self { name, about, required: false, want }
    }
}

/// Every way in which `body` differs from the key table `keys`; `spot` tells where the key and value at a dotted path stand, or the owner for `""`.
pub fn check(owner: &str, body: &BTreeMap<String, Value>, keys: &[Key], spot: &dyn Fn(&str) -> Spot) -> Vec<SyntaxError> {
    let mut checker = Checker { owner, spot, errors: Vec::new() };
    checker.keys("", body.iter(), keys);
    checker.errors
}

struct Checker<'a> {
    owner: &'a str,
    spot: &'a dyn Fn(&str) -> Spot,
    errors: Vec<SyntaxError>,
}

impl Checker<'_> {
    fn keys<'v>(&mut self, prefix: &str, entries: impl Iterator<Item = (&'v String, &'v Value)>, keys: &[Key]) {
        let mut found = vec![false; keys.len()];
        for (name, value) in entries {
            let path = format!("{prefix}{name}");
            if let Some(index) = keys.iter().position(|k| k.name == name) {
                found[index] = true;
                self.value(&path, value, &keys[index].want);
            } else {
                let nearest = nearest(name, keys.iter().map(|k| k.name)).map(str::to_owned);
                let key = path.clone();
                self.at_key(&path, Fault::UnknownKey { key, owner: self.owner.to_owned(), nearest, unquoted: None });
            }
        }
        for (key, found) in keys.iter().zip(found) {
            if key.required && !found {
                let fault =
                    Fault::MissingKey { key: format!("{prefix}{}", key.name), owner: self.owner.to_owned(), want: describe(&key.want) };
                self.at_key(prefix.trim_end_matches('.'), fault);
            }
        }
    }

    fn value(&mut self, path: &str, value: &Value, want: &Want) {
        match (want, value) {
            (Want::List(inner, _), Value::Array(items)) if fits_shallow(value, want) => {
                for (index, item) in items.iter().enumerate().filter(|(_, item)| !(is_plain(inner) && fits_shallow(item, inner))) {
                    self.value(&format!("{path}.{index}"), item, inner);
                }
            }
            (Want::Table(keys), Value::Object(map)) => self.keys(&format!("{path}."), map.iter(), keys),
            (Want::Choice(keys), Value::Object(map)) => {
                if map.len() == 1 {
                    self.keys(&format!("{path}."), map.iter(), keys);
                } else {
                    self.wrong(path, value, want);
                }
            }
            (Want::Map(inner), Value::Object(map)) => {
                for (name, item) in map {
                    self.value(&format!("{path}.{name}"), item, inner);
                }
            }
            (Want::Either(forms), _) => match forms.iter().find(|form| fits_shallow(value, form)) {
                Some(form) => self.value(path, value, form),
                None => self.wrong(path, value, want),
            },
            _ if fits_shallow(value, want) => {}
            _ => self.wrong(path, value, want),
        }
    }

    fn wrong(&mut self, path: &str, value: &Value, want: &Want) {
        let fault = Fault::WrongValue { key: path.to_owned(), want: describe(want), found: found(value) };
        self.errors.push(fault.at((self.spot)(path).value));
    }

    fn at_key(&mut self, path: &str, fault: Fault) {
        self.errors.push(fault.at((self.spot)(path).key()));
    }
}

/// Whether there is nothing to look at inside a value of this form.
fn is_plain(want: &Want) -> bool {
    !matches!(want, Want::List(..) | Want::Table(_) | Want::Choice(_) | Want::Map(_) | Want::Either(_))
}

/// Whether a value has the outer form of `want`; what it holds inside is not looked at.
fn fits_shallow(value: &Value, want: &Want) -> bool {
    match want {
        Want::Any => true,
        Want::Text => value.is_string(),
        Want::Target => value.as_str().is_some_and(|t| !t.is_empty()),
        Want::OneOf(words) => value.as_str().is_some_and(|t| words.contains(&t)),
        Want::TableName => value.as_str().is_some_and(crate::base::name::is_table_name),
        Want::Date => value.as_str().is_some_and(is_date),
        Want::Bytes => value.as_str().and_then(units::parse_bytes).is_some(),
        Want::Duration => value.as_str().and_then(units::parse_duration).is_some(),
        Want::Int(least) => value.as_i64().is_some_and(|n| n >= *least),
        Want::Number => value.is_number(),
        Want::Bool => value.is_boolean(),
        Want::List(_, filled) => value.as_array().is_some_and(|items| !(*filled && items.is_empty())),
        Want::Table(_) | Want::Choice(_) | Want::Map(_) => value.is_object(),
        Want::Either(forms) => forms.iter().any(|form| fits_shallow(value, form)),
    }
}

/// Whether `text` is a calendar date, `YYYY-MM-DD`.
#[must_use]
pub fn is_date(text: &str) -> bool {
    text.len() == 10 && chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok()
}

/// What a key takes, for people.
#[must_use]
pub fn describe(want: &Want) -> String {
    let names = |keys: &[Key]| keys.iter().map(|k| format!("{} = …", k.name)).collect::<Vec<_>>();
    match want {
        Want::Any => "a value".into(),
        Want::Text => "a string".into(),
        Want::Target => "the name of a target".into(),
        Want::TableName => "a table's name, \"dataset.table\"".into(),
        Want::Date => "a date such as 2019-01-03".into(),
        Want::Bytes => "a size such as \"2GiB\"".into(),
        Want::Duration => "a duration such as \"30m\"".into(),
        Want::OneOf(words) => words.iter().map(|w| format!("\"{w}\"")).collect::<Vec<_>>().join(" or "),
        Want::Int(i64::MIN) => "a whole number".into(),
        Want::Int(least) => format!("a whole number, at least {least}"),
        Want::Number => "a number".into(),
        Want::Bool => "true or false".into(),
        Want::List(inner, filled) => format!("a list of which each is {}{}", describe(inner), if *filled { ", not empty" } else { "" }),
        Want::Table(keys) => format!("a table {{ {} }}", names(keys).join(", ")),
        Want::Choice(keys) => {
            let forms: Vec<_> = names(keys).into_iter().map(|n| format!("{{ {n} }}")).collect();
            forms.join(" or ")
        }
        Want::Map(inner) => format!("a table of which each value is {}", describe(inner)),
        Want::Either(forms) => forms.iter().map(describe).collect::<Vec<_>>().join(", or "),
    }
}

/// What a value is, for people.
#[must_use]
pub fn found(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Bool(b) => format!("{b}"),
        Value::Number(n) => format!("the number {n}"),
        Value::String(text) => format!("the string \"{}\"", shortened(text)),
        Value::Array(items) if items.is_empty() => "an empty list".into(),
        Value::Array(_) => "a list".into(),
        Value::Object(map) => format!("a table with the keys {}", map.keys().cloned().collect::<Vec<_>>().join(", ")),
    }
}

fn shortened(text: &str) -> String {
    let line: String = text.chars().take(40).take_while(|c| *c != '\n').collect();
    if line.len() < text.len() { format!("{line}…") } else { line }
}
