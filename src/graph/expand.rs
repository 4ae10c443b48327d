//! Owns the step from stanzas as written to one stanza a target. Invariant: what comes out depends on the stanzas and the values alone, and a
//! stanza gives one target for each combination of its lists that its `where` keeps.

use std::collections::BTreeMap;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeString, DeValue};

use crate::base::name::TargetName;
use crate::base::units;
use crate::model::recipe::{Common, Place, Spot, Stanza};
use crate::syntax::condition::{self, Condition};
use crate::syntax::error::{Fault, SyntaxError};
use crate::syntax::interpolate::{Resolver, Scope, Values};
use crate::syntax::lets::{self, Lets};
use crate::syntax::recipe::{COMMON_KEYS, RawRecipe, RawStanza, SourceText};
use crate::syntax::shape;

/// Expands every stanza of one recipe file; `shared` holds the workspace's `[let]` values. What can be expanded is added to `into`, and
/// everything that is wrong to `errors`.
pub fn expand(recipe: RawRecipe, shared: &Lets, into: &mut Vec<Stanza>, errors: &mut Vec<SyntaxError>) {
    let own = lets::resolve(&recipe.source, &recipe.lets, shared, errors);
    for stanza in recipe.stanzas {
        Expansion { source: &recipe.source, own: &own.values, shared: &shared.values, stanza: &stanza, errors }.run(into);
    }
}

/// One stanza being expanded.
struct Expansion<'a, 'e> {
    source: &'a SourceText<'a>,
    own: &'a Values,
    shared: &'a Values,
    stanza: &'a RawStanza<'a>,
    errors: &'e mut Vec<SyntaxError>,
}

/// A loop variable and its values.
type Loop = (String, Vec<Value>);

impl<'a> Expansion<'a, '_> {
    fn run(&mut self, into: &mut Vec<Stanza>) {
        let before = self.errors.len();
        let loops = self.loops();
        let condition = self.condition();
        if self.errors.len() > before {
            return;
        }
        for variables in combinations(&loops) {
            let keep = condition.as_ref().is_none_or(|condition| self.keeps(condition, &variables));
            if keep && let Some(stanza) = self.one(&variables) {
                into.push(stanza);
            }
            if self.errors.len() > before {
                return; // Every further combination would say the same again.
            }
        }
    }

    fn entry(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.stanza.body.get(key)
    }

    /// The lists of `for`, in the order they are written.
    fn loops(&mut self) -> Vec<Loop> {
        let Some(written) = self.entry("for") else { return Vec::new() };
        let DeValue::Table(table) = written.get_ref() else {
            let fault = Fault::WrongValue { key: "for".into(), want: "a table { variable = list }".into(), found: "something else".into() };
            self.errors.push(fault.at(self.source.place(written.span())));
            return Vec::new();
        };
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries.into_iter().filter_map(|(key, value)| self.one_loop(key, value)).collect()
    }

    fn one_loop(&mut self, key: &Spanned<DeString>, written: &Spanned<DeValue>) -> Option<Loop> {
        let variable = key.get_ref().to_string();
        if self.own.contains_key(&variable) || self.shared.contains_key(&variable) {
            self.errors.push(Fault::Hides { variable }.at(self.source.place(key.span())));
            return None;
        }
        let scope = [self.own, self.shared];
        let value = match written.get_ref() {
            DeValue::String(name) if !name.contains('{') => match Scope(&scope).lookup(name) {
                Ok(value) => value.clone(),
                Err(fault) => {
                    self.errors.push(fault.at(self.source.place(written.span())));
                    return None;
                }
            },
            _ => Resolver { source: self.source, scope: Scope(&scope), errors: self.errors }.resolve("for", written, None),
        };
        match value {
            Value::Array(values) => Some((variable, values)),
            Value::Null => None,
            other => {
                let found = shape::found(&other);
                self.errors.push(Fault::NotAList { variable, found }.at(self.source.place(written.span())));
                None
            }
        }
    }

    fn condition(&mut self) -> Option<Condition> {
        let written = self.entry("where")?;
        let DeValue::String(text) = written.get_ref() else {
            let fault = Fault::WrongValue { key: "where".into(), want: "a string".into(), found: "something else".into() };
            self.errors.push(fault.at(self.source.place(written.span())));
            return None;
        };
        match condition::parse(text) {
            Ok(condition) => Some(condition),
            Err((part, fault)) => {
                self.errors.push(fault.at(self.source.place_in(written.span(), text, part)));
                None
            }
        }
    }

    fn keeps(&mut self, condition: &Condition, variables: &Values) -> bool {
        condition.holds(Scope(&[variables, self.own, self.shared])).unwrap_or_else(|(part, fault)| {
            if let Some(written) = self.entry("where") {
                let text = written.get_ref().as_str().unwrap_or_default();
                self.errors.push(fault.at(self.source.place_in(written.span(), text, part)));
            }
            false
        })
    }

    /// The stanza for one combination of the loop variables.
    fn one(&mut self, variables: &Values) -> Option<Stanza> {
        let before = self.errors.len();
        let scope = [variables, self.own, self.shared];
        let mut resolver = Resolver { source: self.source, scope: Scope(&scope), errors: self.errors };
        let name = resolver.text(&self.stanza.name, self.stanza.name_span.clone());
        let (mut body, mut common, mut spots) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (key, written) in &self.stanza.body {
            let name = key.get_ref().as_ref();
            if matches!(name, "for" | "where") {
                continue;
            }
            let value = resolver.entry(name, key, written, &mut spots);
            let to = if COMMON_KEYS.iter().any(|known| known.name == name) { &mut common } else { &mut body };
            to.insert(name.to_owned(), value);
        }
        let place = self.source.place(self.stanza.header.clone());
        let name = self.name(&name)?;
        let common = self.common(&common, &spots, &place);
        let kind = self.stanza.kind.clone().into_owned();
        (self.errors.len() == before).then_some(Stanza { kind, name, body, common, place, spots, part: None })
    }

    fn name(&mut self, name: &Value) -> Option<TargetName> {
        let reason = match name {
            Value::Null => return None,
            Value::String(text) => match text.parse() {
                Ok(name) => return Some(name),
                Err(error) => format!("{error}"),
            },
            other => format!("a target's name must be a string, found {}", shape::found(other)),
        };
        self.errors.push(Fault::BadName { reason }.at(self.source.place(self.stanza.name_span.clone())));
        None
    }

    fn common(&mut self, given: &BTreeMap<String, Value>, spots: &BTreeMap<String, Spot>, header: &Place) -> Common {
        if given.is_empty() {
            return Common::default();
        }
        let spot = |path: &str| spots.get(path).cloned().unwrap_or_else(|| Spot::both(header.clone()));
        self.errors.extend(shape::check(&self.stanza.kind, given, COMMON_KEYS, &spot));
        let text = |key: &str| given.get(key).and_then(Value::as_str);
        let int = |key: &str| given.get(key).and_then(Value::as_i64);
        let tolerance = given.get("tolerance").and_then(Value::as_f64);
        if let Some(tolerance) = tolerance.filter(|tolerance| !(0.0..1.0).contains(tolerance)) {
            let key = "tolerance".to_owned();
            self.errors.push(Fault::Tolerance { tolerance: tolerance.to_string() }.at(spot(&key).value));
        }
        Common {
            description: text("description").map(str::to_owned),
            priority: int("priority").unwrap_or_default(),
            threads: int("threads").and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
            memory: text("memory").and_then(units::parse_bytes),
            timeout_ms: text("timeout").and_then(units::parse_duration).and_then(|d| u64::try_from(d.as_millis()).ok()),
            tolerance,
        }
    }
}

/// Every combination of the loops' values, the last variable moving fastest; one empty combination where there is no loop.
fn combinations(loops: &[Loop]) -> impl Iterator<Item = Values> + '_ {
    let total = loops.iter().map(|(_, values)| values.len()).product();
    (0..total).map(move |index: usize| {
        let mut rest = index;
        let mut variables = Values::new();
        for (name, values) in loops.iter().rev() {
            variables.insert(name.clone(), values[rest % values.len()].clone());
            rest /= values.len();
        }
        variables
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::syntax::recipe::parse;

    fn expand_text(text: &str) -> (Vec<Stanza>, Vec<String>) {
        let (recipe, mut errors) = parse("recipes/a.toml", text);
        let shared = Lets { values: BTreeMap::from([("root".into(), json!("wti"))]), places: BTreeMap::new() };
        let mut stanzas = Vec::new();
        expand(recipe, &shared, &mut stanzas, &mut errors);
        let said = errors.iter().map(|e| format!("{}: {e}", &text[e.place.span.clone()])).collect();
        (stanzas, said)
    }

    #[test]
    fn a_stanza_becomes_one_target_for_each_combination_that_where_keeps() {
        let (stanzas, errors) = expand_text(
            r#"
            [let]
            horizons = [{ name = "1w", rows = 5 }, { name = "1m", rows = 21 }]
            [lightgbm."model/{root}/{learner}/{horizon.name}"]
            for = { horizon = "horizons", learner = ["a", "b"] }
            where = "horizon.rows > 5 or learner == 'b'"
            frame = "frame/{root}/{horizon.name}"
            params = { rounds = "{horizon.rows}", rate = 0.05, start = 2001-02-03 }
            priority = "{horizon.rows}"
            timeout = "30m"
            "#,
        );
        assert_eq!(errors, Vec::<String>::new());
        let names: Vec<_> = stanzas.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["model/wti/b/1w", "model/wti/a/1m", "model/wti/b/1m"]);
        let last = &stanzas[2];
        assert_eq!(last.body["params"], json!({"rounds": 21, "rate": 0.05, "start": "2001-02-03"}));
        assert_eq!(last.body["frame"], json!("frame/wti/1m"));
        assert_eq!((last.common.priority, last.common.timeout_ms), (21, Some(1_800_000)));
        assert!(!last.body.contains_key("for") && !last.body.contains_key("priority"));
    }

    #[test]
    fn mistakes_are_reported_at_their_place() {
        for (text, expected) in [
            ("[sql.\"../x\"]", "\"../x\": '../x' is not a target name: '.' and '..' would leave the target's folder"),
            ("[sql.\"a.{x}\"]\nfor = { x = \"lst\" }", "\"lst\": nothing here is called 'lst'"),
            ("[sql.\"a.{x}\"]\nfor = { x = \"root\" }", "\"root\": 'for' needs a list for 'x', found the string \"wti\""),
            ("[sql.\"a.{root}\"]\nfor = { root = [1] }", "root: the 'for' variable 'root' has the name of a [let] value"),
            ("[sql.\"a.{x}\"]\nfor = { x = [1] }\nwhere = \"y > 1\"", "y: nothing here is called 'y'"),
            ("[sql.\"a.{x}\"]\nfor = { x = [1] }\nwhere = \"x >\"", ">: in this condition: a value is missing at the end"),
            ("[sql.\"a.b\"]\nfile = \"sql/{roof}.sql\"", "roof: nothing here is called 'roof'"),
            ("[sql.\"a.b\"]\nthreads = 0", "0: 'threads' must be a whole number, at least 1, found the number 0"),
            ("[sql.\"a.b\"]\ntimeout = \"soon\"", "\"soon\": 'timeout' must be a duration such as \"30m\", found the string \"soon\""),
            ("[sql.\"a.b\"]\nparams = { x = inf }", "inf: inf cannot be kept as a number"),
            (
                "[sql.\"a.b\"]\nparams = { x = 99999999999999999999 }",
                "99999999999999999999: 99999999999999999999 cannot be kept as a number",
            ),
        ] {
            assert_eq!(expand_text(text).1, [expected], "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_number_of_targets_is_the_product_of_the_lists(lengths in proptest::collection::vec(0..5usize, 1..4)) {
            let variables: Vec<_> = (0..lengths.len()).map(|v| format!("v{v}")).collect();
            let name: Vec<_> = variables.iter().map(|v| format!("{{{v}}}")).collect();
            let lists: Vec<_> = variables.iter().zip(&lengths).map(|(v, n)| format!("{v} = {:?}", (0..*n).collect::<Vec<_>>())).collect();
            let (stanzas, errors) = expand_text(&format!("[command.\"o/{}\"]\nfor = {{ {} }}\n", name.join("/"), lists.join(", ")));
            prop_assert_eq!(errors, Vec::<String>::new());
            let names: std::collections::BTreeSet<_> = stanzas.iter().map(|s| s.name.clone()).collect();
            prop_assert_eq!(names.len(), lengths.iter().product::<usize>());
            prop_assert_eq!(stanzas.len(), names.len());
        }
    }
}
