//! Owns `[let]`. Invariant: a resolved value holds no placeholder, whatever order the values were written in.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::model::recipe::Place;
use crate::syntax::error::{Fault, SyntaxError};
use crate::syntax::interpolate::{Piece, Resolver, Scope, Values, pieces};
use crate::syntax::recipe::SourceText;

/// Resolved `[let]` values.
#[derive(Debug, Clone, Default)]
pub struct Lets {
    /// The values.
    pub values: Values,
    /// Where each was given.
    pub places: BTreeMap<String, Place>,
}

/// Resolves the `[let]` table of a file, whose values may name each other and those of `shared`.
pub fn resolve(source: &SourceText, table: &DeTable, shared: &Lets, errors: &mut Vec<SyntaxError>) -> Lets {
    let written = table.iter().map(|(key, value)| (key.get_ref().as_ref(), value)).collect();
    let mut work = Work { source, written, shared, lets: Lets::default(), path: Vec::new(), errors };
    for (key, _) in table {
        let name = key.get_ref().as_ref();
        let place = source.place(key.span());
        if let Some(first) = shared.places.get(name) {
            let fault = Fault::LetTwice { name: name.to_owned(), other: first.file.to_string() };
            work.errors.push(fault.at(place.clone()));
        }
        work.lets.places.insert(name.to_owned(), place);
        work.value(name);
    }
    work.lets
}

struct Work<'a, 'e> {
    source: &'a SourceText<'a>,
    written: HashMap<&'a str, &'a Spanned<DeValue<'a>>>,
    shared: &'a Lets,
    lets: Lets,
    /// The values being resolved, each needed by the one before.
    path: Vec<&'a str>,
    errors: &'e mut Vec<SyntaxError>,
}

impl Work<'_, '_> {
    /// Resolves one value, after those it names.
    fn value(&mut self, name: &str) {
        let Some((&name, &written)) = self.written.get_key_value(name) else { return };
        if self.lets.values.contains_key(name) {
            return;
        }
        if let Some(start) = self.path.iter().position(|other| *other == name) {
            let path = self.path[start..].iter().chain([&name]).map(|&name| name.to_owned()).collect();
            self.errors.push(Fault::LetCycle { path }.at(self.source.place(written.span())));
            self.lets.values.insert(name.to_owned(), Value::Null);
            return;
        }
        self.path.push(name);
        let mut needed = Vec::new();
        names(written, &mut needed);
        for other in needed {
            self.value(&other);
        }
        self.path.pop();
        if self.lets.values.contains_key(name) {
            return;
        }
        let mut resolver =
            Resolver { source: self.source, scope: Scope(&[&self.lets.values, &self.shared.values]), errors: &mut *self.errors };
        let value = resolver.resolve(name, written, None);
        self.lets.values.insert(name.to_owned(), value);
    }
}

/// The names at the head of every placeholder in a value.
fn names(written: &Spanned<DeValue>, into: &mut Vec<String>) {
    match written.get_ref() {
        DeValue::String(text) => {
            for piece in pieces(text).unwrap_or_default() {
                if let Piece::Placeholder(path, _) = piece {
                    into.push(path.split('.').next().unwrap_or_default().to_owned());
                }
            }
        }
        DeValue::Array(items) => items.iter().for_each(|item| names(item, into)),
        DeValue::Table(entries) => entries.values().for_each(|item| names(item, into)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::syntax::recipe::parse;

    fn lets(text: &str) -> (Lets, Vec<String>) {
        let (recipe, mut errors) = parse("a.toml", text);
        let shared =
            Lets { values: BTreeMap::from([("root".into(), json!("wti"))]), places: BTreeMap::from([("root".into(), Place::default())]) };
        let lets = resolve(&recipe.source, &recipe.lets, &shared, &mut errors);
        (lets, errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn values_may_name_each_other_in_any_order() {
        let (lets, errors) = lets("[let]\na = \"{b.table}\"\nb = { table = \"{root}.daily\", rows = 5 }\nc = [\"{b.rows}\", \"{a}\"]\n");
        assert_eq!(errors, Vec::<String>::new());
        assert_eq!(lets.values["a"], json!("wti.daily"));
        assert_eq!(lets.values["c"], json!([5, "wti.daily"]));
    }

    #[test]
    fn values_that_need_each_other_are_refused_with_the_path() {
        let (_, errors) = lets("[let]\na = \"{b}\"\nb = \"{c}\"\nc = \"{a}\"\n");
        assert_eq!(errors, ["[let] values need each other: a → b → c → a"]);
    }

    #[test]
    fn a_value_given_twice_is_refused() {
        let (_, errors) = lets("[let]\nroot = 1\n");
        assert_eq!(errors, ["'root' is already given in the [let] of "]);
    }
}
