//! Promises about `docs/recipes.md`: it tells every kind and key, and its examples are true.

use std::collections::{BTreeMap, BTreeSet};

use cbi::graph::expand::expand;
use cbi::kinds::context::DeclareContext;
use cbi::kinds::registry::{self, KINDS};
use cbi::model::recipe::Stanza;
use cbi::syntax::lets::Lets;
use cbi::syntax::recipe::{COMMON_KEYS, parse};
use cbi::syntax::settings;
use cbi::syntax::settings_keys::SECTIONS;
use cbi::syntax::shape::{Key, Want};

const DOC: &str = include_str!("../docs/recipes.md");

/// The part of the page under `## heading`.
fn section(heading: &str) -> &'static str {
    let start = DOC.find(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("docs/recipes.md has no section '{heading}'"));
    let body = &DOC[start + 4..];
    body.find("\n## ").map_or(body, |end| &body[..end])
}

/// Keys, those of tables inside included, by the path they have in the page.
fn names(keys: &[Key]) -> Vec<&'static str> {
    let inside = |key: &Key| match key.want {
        Want::Table(inner) | Want::Choice(inner) => names(inner),
        Want::Map(Want::Table(inner)) => names(inner),
        _ => Vec::new(),
    };
    keys.iter().flat_map(|key| std::iter::once(key.name).chain(inside(key))).collect()
}

fn assert_told(text: &str, names: &[&str], whose: &str) {
    let words: BTreeSet<&str> = text.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    for name in names {
        assert!(words.contains(name), "docs/recipes.md does not tell the key '{name}' of {whose}");
    }
}

#[test]
fn every_kind_and_key_is_told() {
    for kind in KINDS {
        let section = section(&format!("`{}`", kind.name));
        for key in kind.keys {
            assert!(
                section.contains(&format!("| `{}` |", key.name)),
                "docs/recipes.md does not tell the key '{}' of {}",
                key.name,
                kind.name
            );
        }
        assert_told(section, &names(kind.keys), kind.name);
    }
    let common = section("Keys of every stanza");
    assert_told(common, &names(COMMON_KEYS), "every stanza");
    let settings = section("The settings, `cbi.toml`");
    assert_told(settings, &names(SECTIONS), "cbi.toml");
}

#[test]
fn no_kind_is_told_that_is_not_there() {
    let told = DOC.lines().filter_map(|line| line.strip_prefix("## `")?.strip_suffix('`'));
    for name in told {
        assert!(registry::find(name).is_some(), "docs/recipes.md tells a kind '{name}'");
    }
}

/// The TOML examples of the page.
fn examples() -> Vec<&'static str> {
    DOC.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn the_examples_are_true() {
    let (settings, recipes): (Vec<&str>, Vec<&str>) = examples().into_iter().partition(|text| text.starts_with("# cbi.toml"));
    for text in settings {
        assert!(settings::parse("cbi.toml", text, Some("zl")).is_ok(), "{text}");
    }
    let all: Vec<(&str, Vec<Stanza>)> = recipes.into_iter().map(|text| (text, stanzas(text))).collect();
    let kinds: BTreeMap<&str, &str> = all.iter().flat_map(|(_, all)| all).map(|s| (s.name.as_str(), s.kind.as_str())).collect();
    let tunes: BTreeMap<&str, &Stanza> = all.iter().flat_map(|(_, all)| all).map(|s| (s.name.as_str(), s)).collect();
    let context = DeclareContext {
        text: &|path| Ok(query(path).into()),
        files: &|glob| vec![glob.replace('*', "x")],
        env: &|_| None,
        kind_of: &|name| kinds.get(name).map(|&kind| kind.to_owned()),
        tune_of: &|name| tunes.get(name).copied().filter(|stanza| stanza.kind == "tune"),
        as_of: Some("2019-01-03"),
    };
    for (text, stanzas) in &all {
        for stanza in stanzas {
            let errors = registry::declare(stanza, &context).err().unwrap_or_default();
            assert!(errors.is_empty(), "{text}\n{errors:#?}");
        }
    }
}

/// The query that the page shows under this path, or some other one.
fn query(path: &str) -> &'static str {
    let mut shown = DOC.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next());
    let heading = format!("-- {path}\n");
    shown.find(|text| text.starts_with(&heading)).unwrap_or("SELECT date, price FROM wti.raw")
}

fn stanzas(text: &str) -> Vec<Stanza> {
    let (recipe, mut errors) = parse("example.toml", text);
    let mut stanzas = Vec::new();
    expand(recipe, &Lets::default(), &mut stanzas, &mut errors);
    assert!(errors.is_empty() && !stanzas.is_empty(), "{text}\n{errors:#?}");
    stanzas
}

#[test]
fn the_example_of_for_makes_as_many_targets_as_the_page_says() {
    let text = examples().into_iter().find(|text| text.contains("where =")).expect("an example with where");
    let names: Vec<String> = stanzas(text).iter().map(|s| s.name.to_string()).collect();
    assert_eq!(names, ["ensemble/wti/1m", "ensemble/wti/3m", "ensemble/zl/1w", "ensemble/zl/1m", "ensemble/zl/3m"]);
}
