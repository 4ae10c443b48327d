//! Promises about the recipes that come with the repository: they make a graph, and what they name is there.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cbi::graph::build::{BuildError, TargetGraph, build};
use cbi::graph::expand::expand;
use cbi::graph::select::select;
use cbi::kinds::context::{DeclareContext, KindError};
use cbi::kinds::registry;
use cbi::model::recipe::Stanza;
use cbi::syntax::recipe::parse;
use cbi::syntax::settings::{self, Settings};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Names of the files in a folder and below it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The tables of a warehouse folder.
fn tables(folder: &Path) -> BTreeSet<String> {
    let names = files(folder).into_iter().filter(|path| path.extension().is_some_and(|e| e == "parquet" || e == "csv"));
    names.filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect()
}

fn settings(profile: Option<&str>) -> Settings {
    settings::parse("cbi.toml", &read("cbi.toml"), profile).expect("cbi.toml is right")
}

fn stanzas(settings: &Settings) -> Vec<Stanza> {
    let (mut stanzas, mut errors) = (Vec::new(), Vec::new());
    for path in files(&root().join("recipes")).into_iter().filter(|path| path.extension().is_some_and(|e| e == "toml")) {
        let text = std::fs::read_to_string(&path).expect("a recipe");
        let (recipe, mut found) = parse(&path.strip_prefix(root()).expect("below the root").to_string_lossy(), &text);
        errors.append(&mut found);
        expand(recipe, &settings.lets, &mut stanzas, &mut errors);
    }
    assert_eq!(errors, []);
    stanzas
}

fn graph(settings: &Settings, tables: &BTreeSet<String>) -> Result<TargetGraph, Vec<BuildError<KindError>>> {
    let stanzas = registry::with_parts(stanzas(settings));
    let tunes: BTreeMap<String, Stanza> = stanzas.iter().filter(|s| s.kind == "tune").map(|s| (s.name.to_string(), s.clone())).collect();
    let kinds: BTreeMap<String, String> = stanzas.iter().map(|s| (s.name.to_string(), s.kind.clone())).collect();
    let context = DeclareContext {
        text: &|path| std::fs::read_to_string(root().join(path)).map(Into::into).map_err(|error| error.to_string()),
        files: &|path| vec![path.to_owned()],
        env: &|_| None,
        kind_of: &|name| kinds.get(name).cloned(),
        tune_of: &|name| tunes.get(name),
        as_of: settings.as_of.as_deref(),
    };
    build(stanzas, tables, |stanza| registry::declare(stanza, &context))
}

#[test]
fn the_demo_needs_nothing_but_the_warehouse_beside_it() {
    let settings = settings(None);
    let graph = graph(&settings, &tables(&root().join(&settings.warehouse))).expect("a graph");
    let chosen = select(&graph, &settings.default).expect("everything that the defaults need");
    assert_eq!(chosen.roots.len(), 6, "a forecast and an evaluation for each of three horizons");
    let kinds: BTreeSet<&str> = chosen.closure.iter().map(|id| graph[*id].stanza.kind.as_str()).collect();
    for kind in ["table", "sql", "frame", "naive", "lightgbm", "xgboost", "ensemble", "evaluate", "forecast"] {
        assert!(kinds.contains(kind), "the demo shows kind {kind}");
    }
    // Recipes for another warehouse do no harm until they are asked for.
    let missing = select(&graph, &["forecast/zl/1m".into()]).expect_err("the soybean tables are not beside it");
    assert!(missing.iter().all(|error| error.place().is_some()));
}

#[test]
fn soybean_oil_needs_nothing_but_the_platforms_tables() {
    let Some(shared) = common::shared() else { return };
    let settings = settings(Some("zl"));
    let graph = graph(&settings, &tables(&shared.join("warehouse"))).expect("a graph");
    let chosen = select(&graph, &settings.default).expect("everything that soybean oil needs");
    assert_eq!(chosen.roots.len(), 10, "a forecast and an evaluation for each of five horizons");
}
