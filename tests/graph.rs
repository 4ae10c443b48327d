//! Promises about the way from recipe texts to the graph of targets, kept for recipes of kind `command`.

use std::collections::{BTreeMap, BTreeSet};

use cbi::graph::build::{BuildError, TargetGraph, build};
use cbi::graph::expand::expand;
use cbi::graph::select::{above, matches, select};
use cbi::kinds::context::{DeclareContext, KindError};
use cbi::kinds::registry;
use cbi::model::recipe::{Declared, Source, Stanza};
use cbi::syntax::lets::Lets;
use cbi::syntax::recipe::parse;
use proptest::prelude::*;

/// Every stanza of these files; panics on errors.
fn stanzas(files: &[String]) -> Vec<Stanza> {
    let (mut stanzas, mut errors) = (Vec::new(), Vec::new());
    for (index, text) in files.iter().enumerate() {
        let (recipe, mut found) = parse(&format!("recipes/{index}.toml"), text);
        errors.append(&mut found);
        expand(recipe, &Lets::default(), &mut stanzas, &mut errors);
    }
    assert_eq!(errors, []);
    stanzas
}

/// Declares commands as the registry does; a `table` needs the warehouse table of its own name.
fn declare(stanza: &Stanza) -> Result<(u32, Declared), Vec<KindError>> {
    if stanza.kind == "table" {
        let inputs = BTreeMap::from([("source".to_owned(), Source::WarehouseTable(stanza.name.to_string()))]);
        return Ok((1, Declared { inputs, outputs: BTreeSet::from(["table".to_owned()]), ..Declared::default() }));
    }
    let context = DeclareContext {
        text: &|_| Err("no such file".into()),
        files: &|path| vec![path.to_owned()],
        env: &|_| None,
        kind_of: &|_| Some("command".into()),
        tune_of: &|_| None,
        as_of: None,
    };
    registry::declare(stanza, &context)
}

fn graph(files: &[String], tables: &[&str]) -> Result<TargetGraph, Vec<BuildError<KindError>>> {
    build(stanzas(files), &tables.iter().map(|&t| t.to_owned()).collect(), declare)
}

fn one(text: &str) -> Result<TargetGraph, Vec<BuildError<KindError>>> {
    graph(&[text.to_owned()], &["wti.raw", "wti.other"])
}

fn command(name: &str, needs: &[&str]) -> String {
    format!("[command.\"{name}\"]\nshell = \"true\"\noutputs = [\"{name}\"]\nneeds = {needs:?}\n")
}

fn commands(edges: &[(&str, &[&str])]) -> String {
    edges.iter().map(|(name, needs)| command(name, needs)).collect()
}

fn said(errors: &[BuildError<KindError>]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn a_key_that_means_nothing_is_shown_at_the_key() {
    let context = DeclareContext {
        text: &|_| Ok("SELECT @n AS x FROM a.b".into()),
        files: &|path| vec![path.to_owned()],
        env: &|_| None,
        kind_of: &|name| Some(if name == "f" { "frame" } else { "table" }.to_owned()),
        tune_of: &|_| None,
        as_of: None,
    };
    let frame = "features = \"a.b\"\ncolumns = [\"x\"]";
    let price = "price = { table = \"a.b\", column = \"x\", series = \"spot\" }";
    let horizon = "horizon = { rows = 5 }";
    let split = "split = { train = [2000-01-01, 2001-01-01], valid = [2001-02-01, 2002-01-01], test = [2002-02-01] }";
    let stanza = |kind: &str, lines: &[&str]| format!("[{kind}.\"t\"]\n{}\n", lines.join("\n"));
    for (text, key) in [
        (stanza("sql", &["query = \"SELECT 1 AS x\"", "querry = \"SELECT\""]), "querry"),
        (stanza("sql", &["file = \"a.sql\"", "params = { n = 1, m = 2 }"]), "m"),
        (stanza("frame", &[frame, price, horizon, "split = { train = [2000-01-01, 2001-01-01], trial = [2002-01-01] }"]), "trial"),
        (
            stanza("frame", &[frame, "price = { table = \"a.b\", column = \"x\", colum = \"y\", series = \"spot\" }", horizon, split]),
            "colum",
        ),
        (stanza("frame", &[frame, price, "horizon = { rowz = 5 }", split]), "rowz"),
        (stanza("frame", &[frame, price, horizon, split, "[frame.\"t\".pric]\ntable = \"a.b\""]), "pric"),
        (stanza("lightgbm", &["frame = \"f\"", "params = { learning_rat = 0.1 }"]), "learning_rat"),
        (stanza("lightgbm", &["frame = \"f\"", "[lightgbm.\"t\".params]\nlearning_rat = 0.1"]), "learning_rat"),
        (stanza("xgboost", &["frame = \"f\"", "params = { etaa = 0.1 }"]), "etaa"),
        (stanza("table", &["from = \"a.b\"", "columns = [\"x\"]", "types = { y = \"INT64\" }"]), "y"),
        (stanza("command", &["shell = \"true\"", "outputs = [\"o\"]", "timout = \"1m\""]), "timout"),
    ] {
        let (recipe, mut errors) = parse("recipes/a.toml", &text);
        let mut stanzas = Vec::new();
        expand(recipe, &Lets::default(), &mut stanzas, &mut errors);
        assert_eq!(errors, [], "{text}");
        let refused = registry::declare(&stanzas[0], &context).map(|_| ()).unwrap_err();
        let shown = &text[refused[0].place.span.clone()];
        assert_eq!(shown, key, "{}: {text}", refused[0]);
    }
}

/// What a graph says, without the places.
fn summary(graph: &TargetGraph) -> Vec<String> {
    let names = |ids: &[_]| ids.iter().map(|id| graph[*id].name().to_string()).collect::<Vec<_>>().join(" ");
    let line = |node: &cbi::graph::build::Node| {
        format!("{} {} | {} | {} | {:?}", node.stanza.kind, node.name(), names(&node.deps), names(&node.dependants), node.declared.inputs)
    };
    graph.nodes.iter().map(line).collect()
}

#[test]
fn a_table_of_the_warehouse_read_by_its_name_becomes_a_target() {
    let graph = one(&commands(&[("o/b", &["o/a", "wti.raw"]), ("o/a", &["wti.raw"])])).unwrap();
    assert_eq!(graph.nodes.iter().map(|n| n.name().as_str()).collect::<Vec<_>>(), ["wti.raw", "o/a", "o/b"]);
    assert!(graph.nodes[0].implicit);
    let artifact = &graph.nodes[1].declared.inputs["need:wti.raw"];
    assert_eq!(*artifact, Source::Target { name: "wti.raw".parse().unwrap(), artifact: "table".into() });
    // Globs leave it out, its name does not.
    assert_eq!(matches(&graph, "**").unwrap().len(), 2);
    assert_eq!(matches(&graph, "wti.raw").unwrap().len(), 1);
}

#[test]
fn a_name_nobody_has_fails_only_those_who_ask_for_it() {
    let graph = one(&commands(&[("o/a", &["wti.row"]), ("o/b", &["o/a"]), ("o/c", &[])])).unwrap();
    assert!(select(&graph, &["o/c".into()]).is_ok());
    let errors = select(&graph, &["o/b".into()]).unwrap_err();
    assert_eq!(errors[0].to_string(), "'wti.row', which 'o/a' needs, is neither a target nor a table of the warehouse");
    assert_eq!(errors[0].hint().as_deref(), Some("did you mean 'wti.raw'?"));
    assert_eq!(errors[0].place().unwrap().span.len(), "\"wti.row\"".len());
}

#[test]
fn cycles_are_named_with_their_path() {
    let text = commands(&[("a", &["c"]), ("b", &["a"]), ("c", &["b"]), ("d", &["d"]), ("e", &["a"])]);
    assert_eq!(said(&one(&text).unwrap_err()), ["targets need each other: a → c → b → a", "targets need each other: d → d"]);
}

#[test]
fn two_writers_are_named_with_both_places() {
    let files = [command("o/x", &[]), format!("\n\n{}", command("o/x", &[])), command("O/x", &[])];
    let errors = graph(&files, &[]).unwrap_err();
    let BuildError::Graph(two) = errors.iter().find(|e| e.to_string() == "two stanzas make 'o/x'").unwrap() else { panic!() };
    assert_eq!((&*two.also().unwrap().0.file, &*two.place().unwrap().file), ("recipes/0.toml", "recipes/1.toml"));
    assert!(said(&errors).contains(&"'O/x' and 'o/x' are one name where case is ignored".to_owned()));
}

#[test]
fn a_target_cannot_take_the_name_of_a_warehouse_table_but_can_declare_it() {
    assert_eq!(said(&one(&command("wti.raw", &[])).unwrap_err()), ["'wti.raw' is already a table of the warehouse"]);
    assert!(one("[table.\"wti.raw\"]\n").is_ok());
}

#[test]
fn an_artifact_that_a_target_does_not_make_is_refused_with_those_it_makes() {
    let errors = one(&commands(&[("a", &["b#model"]), ("b", &[])])).unwrap_err();
    let BuildError::Graph(error) = &errors[0] else { panic!() };
    assert_eq!((error.to_string().as_str(), error.hint().as_deref()), ("'b' has no artifact 'model'", Some("'b#out'")));
}

#[test]
fn independent_mistakes_are_reported_together() {
    let text = format!("{}[comand.\"x\"]\n[command.\"y\"]\nshell = 1\n", commands(&[("a", &["b"]), ("b", &["a"])]));
    assert_eq!(
        said(&one(&text).unwrap_err()),
        [
            "unknown kind 'comand'",
            "'shell' must be a string, found the number 1",
            "command 'y' needs the key 'outputs'",
            "targets need each other: a → b → a",
        ]
    );
}

#[test]
fn a_header_without_quotes_says_so() {
    let errors = one("[command.wti.daily]\nshell = \"true\"\noutputs = [\"x\"]\n").unwrap_err();
    let hints: Vec<_> = errors
        .iter()
        .map(|e| match e {
            BuildError::Declare(e) => e.hint.clone(),
            BuildError::Graph(_) => None,
        })
        .collect();
    assert!(hints.contains(&Some("a dot in a target's name needs quotes: [command.\"wti.daily\"]".into())), "{hints:?}");
}

#[test]
fn globs_choose_within_a_segment_and_across_segments() {
    let names = ["model/wti/lightgbm/1m", "model/wti/naive/1m", "model/wti/naive/3m", "model/1m", "frame/wti/1m"];
    let graph = one(&names.iter().map(|n| command(n, &[])).collect::<String>()).unwrap();
    let chosen = |pattern: &str| matches(&graph, pattern).map(|ids| ids.iter().map(|id| graph[*id].name().to_string()).collect::<Vec<_>>());
    assert_eq!(chosen("model/**/1m").unwrap(), ["model/1m", "model/wti/lightgbm/1m", "model/wti/naive/1m"]);
    assert_eq!(chosen("model/*").unwrap(), ["model/1m"]);
    assert_eq!(chosen("*/wti/{1m,2m}").unwrap(), ["frame/wti/1m"]);
    assert_eq!(chosen("model/wti/n*/3m").unwrap(), ["model/wti/naive/3m"]);
    let error = chosen("model/wti/naiv/1m").unwrap_err();
    assert_eq!(error.to_string(), "no target matches 'model/wti/naiv/1m'");
    assert!(error.hint().unwrap().starts_with("did you mean 'model/wti/naive/1m'"), "{error:?}");
    assert_eq!(chosen("model/[").unwrap_err().to_string(), "'model/[' is not a glob: unclosed character class; missing ']'");
    let several = select(&graph, &["model/*".into(), "nothing/*".into(), "nobody".into()]).unwrap_err();
    assert_eq!(several.len(), 2);
}

#[test]
fn a_word_chooses_every_target_that_has_it_as_a_segment_or_dataset() {
    let targets = ["model/zl/1w", "model/wti/1w", "zl/all", "zlx/1w"].map(|name| command(name, &[])).concat();
    let table = "[table.\"zl.daily\"]\n[table.\"wti.zl\"]\n";
    let graph = graph(&[format!("{targets}{table}")], &["zl.daily", "wti.zl"]).unwrap();
    let chosen = |word: &str| matches(&graph, word).map(|ids| ids.iter().map(|id| graph[*id].name().to_string()).collect::<Vec<_>>());
    let mut zl = chosen("zl").unwrap();
    zl.sort();
    assert_eq!(zl, ["model/zl/1w", "zl.daily", "zl/all"]);
    assert_eq!(chosen("1w").unwrap().len(), 3);
    assert_eq!(chosen("zlz").unwrap_err().to_string(), "no target matches 'zlz'");
}

#[test]
fn what_is_chosen_comes_with_what_it_needs_and_knows_what_needs_it() {
    let graph = one(&commands(&[("a", &[]), ("b", &["a"]), ("c", &["b"]), ("d", &["a"])])).unwrap();
    let names = |ids: &[_]| ids.iter().map(|id| graph[*id].name().to_string()).collect::<Vec<_>>().join(" ");
    let chosen = select(&graph, &["c".into()]).unwrap();
    assert_eq!((names(&chosen.roots).as_str(), names(&chosen.closure).as_str()), ("c", "a b c"));
    assert_eq!(names(&above(&graph, &[graph.find("b").unwrap()])), "b c");
}

/// Names and needs of a graph without cycles.
fn acyclic() -> impl Strategy<Value = Vec<(String, Vec<usize>)>> {
    proptest::collection::vec(proptest::collection::vec(0..1000usize, 0..4), 1..25).prop_map(|rows| {
        let needs = |index: usize, row: Vec<usize>| if index == 0 { Vec::new() } else { row.into_iter().map(|n| n % index).collect() };
        rows.into_iter().enumerate().map(|(index, row)| (format!("o/{}", index * 7919 % 1000), needs(index, row))).collect()
    })
}

fn text_of(rows: &[(String, Vec<usize>)], index: usize) -> String {
    let needs: BTreeSet<&str> = rows[index].1.iter().map(|n| rows[*n].0.as_str()).collect();
    command(&rows[index].0, &needs.into_iter().collect::<Vec<_>>())
}

proptest! {
    #[test]
    fn the_order_of_stanzas_and_files_changes_nothing(rows in acyclic(), seed in any::<u64>(), files in 1..5usize) {
        let texts: Vec<String> = (0..rows.len()).map(|i| text_of(&rows, i)).collect();
        let plain = summary(&graph(&[texts.concat()], &[]).unwrap());
        let mut split = vec![String::new(); files];
        let mut shuffled: Vec<usize> = (0..rows.len()).collect();
        shuffled.sort_by_key(|i| (*i as u64 + 1).wrapping_mul(seed | 1).rotate_left(17));
        for (position, index) in shuffled.iter().enumerate() {
            split[position % files].push_str(&texts[*index]);
        }
        prop_assert_eq!(summary(&graph(&split, &[]).unwrap()), plain);
    }

    #[test]
    fn what_a_target_needs_stands_before_it(rows in acyclic()) {
        let texts: Vec<String> = (0..rows.len()).map(|i| text_of(&rows, i)).collect();
        let graph = graph(&[texts.concat()], &[]).unwrap();
        for (id, node) in graph.ids().zip(&graph.nodes) {
            prop_assert!(node.deps.iter().all(|dep| *dep < id));
            prop_assert!(node.dependants.iter().all(|other| graph[*other].deps.contains(&id)));
            prop_assert_eq!(graph.find(node.name().as_str()), Some(id));
        }
    }
}

/// Recipe text with a mistake somewhere: a piece cut out, or another put in.
fn broken() -> impl Strategy<Value = String> {
    let whole = "[let]\nh = [{ name = \"1w\", rows = 5 }]\n[command.\"o/{x.name}/{y}\"]\nfor = { x = \"h\", y = [1, 'é'] }\nwhere = \"x.rows > 1 and y in ['a']\"\n\
        shell = \"awk '{{print}}' {x.rows}\"\noutputs = ['o/{y}']\nneeds = [\"a.b\"]\nthreads = 2\ntimeout = \"3m\"\nenv = { A = \"{y}\" }\n[command.a.b]\n[frame.c]\nsplit = { train = [2001-01-01] }\n";
    let pieces = prop::sample::select(vec![
        "", "{", "}", "\"", "'", "[", "]", "=", "\n", "é", "..", "command", "[let]\n", "x", "-1", "#", ", ", "1e999", "0x",
    ]);
    (0..whole.len(), 0..9usize, pieces).prop_map(move |(at, cut, piece)| {
        let bytes = [&whole.as_bytes()[..at], piece.as_bytes(), &whole.as_bytes()[(at + cut).min(whole.len())..]].concat();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn a_mistake_is_an_error_in_the_text_and_never_a_panic(text in broken()) {
        let (recipe, mut errors) = parse("a.toml", &text);
        let mut stanzas = Vec::new();
        expand(recipe, &Lets::default(), &mut stanzas, &mut errors);
        let places = errors.iter().map(|error| error.place.clone());
        let refused = build(stanzas, &BTreeSet::new(), declare).err().unwrap_or_default();
        let refused = refused.iter().filter_map(|error| match error {
            BuildError::Graph(error) => error.place().cloned(),
            BuildError::Declare(error) => Some(error.place.clone()),
        });
        for place in places.chain(refused) {
            prop_assert!(text.get(place.span.clone()).is_some(), "{:?} is no part of the text", place);
        }
    }
}

/// `cargo test --release --test graph -- --ignored --nocapture a_hundred_thousand`: time and memory of a large workspace.
#[test]
#[ignore = "a measurement, not a check"]
fn a_hundred_thousand_targets() {
    let count: usize = std::env::var("TARGETS").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let per_file = 10_000;
    let texts: Vec<String> = (0..count.div_ceil(per_file)).map(|file| (0..per_file).map(|i| big(file * per_file + i)).collect()).collect();
    let size: usize = texts.iter().map(String::len).sum();
    let begin = cbi::base::clock::start();
    let stanzas = stanzas(&texts);
    let expanded = begin.elapsed();
    let graph = build(stanzas, &BTreeSet::new(), declare).map_err(|e| said(&e)).unwrap();
    let built = begin.elapsed();
    let edges: usize = graph.nodes.iter().map(|n| n.deps.len()).sum();
    let chosen = select(&graph, &["o/**".into()]).unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|l| l.starts_with("VmHWM")).unwrap_or_default();
    let selected = begin.elapsed();
    assert_eq!(chosen.closure.len(), graph.nodes.len());
    let text = format!(
        "{} targets, {edges} edges, {size} bytes: expanded {expanded:?}, built {built:?}, selected {selected:?}, {peak}\n",
        graph.nodes.len()
    );
    std::fs::write(std::env::temp_dir().join("cbi-graph-measure.txt"), text).unwrap();
}

fn big(index: usize) -> String {
    let layer = 1000;
    let below = |n: usize| format!("o/t{}", index / layer * layer - layer + (index * 7 + n * 131) % layer);
    let needs: Vec<String> = if index < layer { vec![] } else { (0..3).map(below).collect() };
    let files = if index < layer { format!("src/s{index}.txt") } else { "src/common.txt".to_owned() };
    format!(
        "[command.\"o/t{index}\"]\nshell = \"cat {} > o/t{index} && echo {index} >> o/t{index}\"\nfiles = [\"{files}\"]\nneeds = {needs:?}\noutputs = [\"o/t{index}\"]\n\n",
        needs.join(" ")
    )
}
