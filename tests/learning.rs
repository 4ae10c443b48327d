//! Promises about what a frame may learn from, as far as the recipes show it: every table beneath it says when its rows are known, and reaches it by its date.

use std::collections::{BTreeMap, BTreeSet};

use cbi::graph::build::{TargetGraph, build};
use cbi::graph::error::GraphError;
use cbi::graph::expand::expand;
use cbi::graph::select::select;
use cbi::kinds::context::DeclareContext;
use cbi::kinds::registry;
use cbi::syntax::lets::Lets;
use cbi::syntax::recipe::parse;
use cbi::syntax::sql::lookahead::lookahead;
use cbi::syntax::sql::read::read;

const FRAME: &str = "
[frame.\"frame/x\"]
features = \"m.features\"
columns = [\"x\"]
price = { table = \"m.raw\", column = \"price\", series = \"spot\" }
horizon = { rows = 5 }
split = { train = [2000-01-01, 2001-01-01], valid = [2001-02-01, 2002-01-01], test = [2002-02-01] }
";

const AHEAD: &str = "SELECT date, LEAD(price, 5) OVER (ORDER BY date) AS x\nFROM m.raw";

/// The graph of a recipe over the warehouse tables `m.raw` and `m.slow`.
fn graph(text: &str) -> TargetGraph {
    let (recipe, mut errors) = parse("recipes/a.toml", text);
    let mut stanzas = Vec::new();
    expand(recipe, &Lets::default(), &mut stanzas, &mut errors);
    assert_eq!(errors, []);
    let kinds: BTreeMap<String, String> = stanzas.iter().map(|s| (s.name.to_string(), s.kind.clone())).collect();
    let context = DeclareContext {
        text: &|_| Ok(AHEAD.into()),
        files: &|_| Vec::new(),
        env: &|_| None,
        kind_of: &|name| kinds.get(name).cloned(),
        tune_of: &|_| None,
        as_of: None,
    };
    let tables: BTreeSet<String> = ["m.raw", "m.slow"].map(str::to_owned).into();
    build(stanzas, &tables, |stanza| registry::declare(stanza, &context)).unwrap_or_else(|errors| panic!("{errors:?}"))
}

/// What is said against choosing a target, each with the text of the line that it points at and with its hint.
fn said(text: &str, target: &str) -> Vec<(String, String, String)> {
    let errors = select(&graph(text), &[target.to_owned()]).err().unwrap_or_default();
    let line = |error: &GraphError| {
        let at = error.place().unwrap_or_else(|| panic!("{error} has a place")).span.start;
        let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
        text[start..].lines().next().unwrap_or_default().to_owned()
    };
    errors.iter().map(|error| (error.to_string(), line(error), error.hint().unwrap_or_default())).collect()
}

fn messages(text: &str, target: &str) -> Vec<String> {
    said(text, target).into_iter().map(|(message, ..)| message).collect()
}

#[test]
fn a_table_beneath_a_frame_that_does_not_say_when_it_is_known_is_refused_through_any_number_of_queries() {
    let chain = "[table.\"m.raw\"]\navailable_after = \"0 days\"\n[table.\"m.slow\"]\n[sql.\"m.a\"]\nquery = \"SELECT * FROM m.slow\"\n\
                 [sql.\"m.features\"]\nquery = \"SELECT * FROM m.raw JOIN m.a USING (date)\"\n";
    let refused = said(&format!("{chain}{FRAME}"), "frame/x");
    let message = "'m.slow', which 'frame/x' would learn from, does not say how long after its date a row is known";
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!((refused[0].0.as_str(), refused[0].1.as_str()), (message, "[table.\"m.slow\"]"));
    assert!(refused[0].2.contains("available_after ="), "{}", refused[0].2);
    // Whoever does not learn from it may build it.
    assert!(messages(&format!("{chain}{FRAME}"), "m.features").is_empty());
    let told = chain.replace("[table.\"m.slow\"]\n", "[table.\"m.slow\"]\navailable_after = \"6 weeks\"\n");
    assert!(messages(&format!("{told}{FRAME}"), "frame/x").is_empty());
}

#[test]
fn a_table_without_a_stanza_is_refused_where_the_query_names_it() {
    let frame = FRAME.replace("table = \"m.raw\"", "table = \"m.slow\"");
    let text = format!("[sql.\"m.features\"]\nquery = \"SELECT * FROM m.raw\"\n{frame}");
    let refused = said(&text, "frame/x");
    assert_eq!(refused[0].1, "query = \"SELECT * FROM m.raw\"");
    assert!(refused[0].2.starts_with("write a stanza: [table.\"m.raw\"] with available_after"), "{}", refused[0].2);
}

#[test]
fn a_pinned_query_is_no_way_around_the_tables_that_it_reads() {
    let pinned = "[table.\"m.features\"]\nquery = \"SELECT * FROM m.raw\"\n";
    assert!(messages(&format!("{pinned}{FRAME}"), "frame/x")[0].starts_with("'m.raw', which 'frame/x' would learn from"));
}

#[test]
fn tables_that_a_frame_does_not_learn_from_need_not_say_anything() {
    // The price makes the label; the table of a check is compared with and no more.
    let text = "[sql.\"m.features\"]\nquery = \"SELECT DATE '2020-01-01' AS date, 1 AS x\"\nchecks = [{ references = { column = \"x\", table = \"m.slow\" } }]\n";
    assert!(messages(&format!("{text}{FRAME}"), "frame/x").is_empty());
}

#[test]
fn a_lag_is_not_joined_away_by_learning_straight_from_the_table() {
    let straight = |after: &str| {
        let text = format!("[table.\"m.slow\"]\navailable_after = \"{after}\"\n{}", FRAME.replace("m.features", "m.slow"));
        messages(&text, "frame/x")
    };
    assert_eq!(straight("0 days"), Vec::<String>::new());
    assert_eq!(straight("3 days"), ["'frame/x' would learn on a day from the row of 'm.slow' with that date, which is known 3 days later"]);
}

#[test]
fn a_frame_joins_by_the_date_that_its_features_are_tested_by() {
    let text = |key: &str, date: &str| {
        let table =
            format!("[table.\"m.raw\"]\navailable_after = \"0 days\"\n[sql.\"m.features\"]\nquery = \"SELECT * FROM m.raw\"\n{key}");
        messages(&format!("{table}{FRAME}{date}"), "frame/x")
    };
    let refused = "'frame/x' joins 'm.features' by 'day', which is not the first column of that table's key";
    assert_eq!(text("", "date = \"day\"\n"), [refused]);
    assert_eq!(text("key = [\"date\", \"day\"]\n", "date = \"day\"\n"), [refused]);
    assert_eq!(text("key = [\"day\"]\n", "date = \"day\"\n"), Vec::<String>::new());
}

#[test]
fn what_no_query_made_and_no_warehouse_holds_is_nothing_to_learn_from() {
    let text = "[signal.\"m.features\"]\nforecast = \"f\"\nrules = [{ signal = \"BUY\", when = \"change > 0\", reason = \"up\" }]\n\
                [forecast.\"f\"]\nframe = \"frame/y\"\nmodel = \"model/y\"\ncalendar = { table = \"m.raw\", column = \"date\" }\n[naive.\"model/y\"]\nframe = \"frame/y\"\n";
    let other = FRAME.replace("frame/x", "frame/y").replace("m.features", "m.raw");
    let table = "[table.\"m.raw\"]\navailable_after = \"0 days\"\n";
    let refused = messages(&format!("{table}{text}{other}{FRAME}"), "frame/x");
    assert_eq!(refused, ["'m.features', which 'frame/x' would learn from, is made by a signal: nobody can test what was known when"]);
}

#[test]
fn a_query_that_looks_ahead_is_refused_at_the_function_when_a_frame_stands_on_it_and_else_it_is_not() {
    let chain = "[table.\"m.raw\"]\navailable_after = \"0 days\"\n[sql.\"m.ahead\"]\nfile = \"sql/ahead.sql\"\n\
                 [sql.\"m.features\"]\nquery = \"SELECT * FROM m.ahead\"\n";
    let graph = graph(&format!("{chain}{FRAME}"));
    let errors = select(&graph, &["frame/x".to_owned()]).err().unwrap_or_default();
    let [error] = errors.as_slice() else { panic!("{errors:?}") };
    assert_eq!(error.to_string(), "'m.ahead', which 'frame/x' would learn from, looks ahead: LEAD reads a later row");
    let place = error.place().expect("a place");
    assert_eq!((&*place.file, &AHEAD[place.span.clone()]), ("sql/ahead.sql", "LEAD"));
    assert!(error.hint().expect("a hint").starts_with("LAG(x, n) OVER (ORDER BY date)"));
    assert!(select(&graph, &["m.features".to_owned()]).is_ok(), "a report may look both ways");
}

#[test]
fn the_queries_that_come_with_the_repository_do_not_look_ahead() {
    for folder in ["sql/wti", "sql/zl"] {
        for entry in std::fs::read_dir(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).expect("a folder") {
            let text = std::fs::read_to_string(entry.expect("a file").path()).expect("a query");
            assert_eq!(lookahead(&read(&text).expect("a query").query), []);
        }
    }
}

#[test]
fn a_frame_is_told_how_long_the_rows_of_a_joined_table_wait() {
    let text = |after: &str| {
        let frame = FRAME.replace("columns = [\"x\"]", "columns = [\"x\"]\njoin = [{ table = \"m.slow\", columns = [\"s\"], max_age_days = 70 }, { table = \"m.made\", columns = [\"t\"], max_age_days = 9 }]");
        format!(
            "[table.\"m.raw\"]\navailable_after = \"0 days\"\n[table.\"m.slow\"]\n{after}[sql.\"m.features\"]\nquery = \"SELECT * FROM m.raw\"\n\
                 [sql.\"m.made\"]\nquery = \"SELECT * FROM m.raw\"\n{frame}"
        )
    };
    let lags = |after: &str| {
        let graph = graph(&text(after));
        graph[graph.find("frame/x").unwrap()].declared.params["lags"].clone()
    };
    assert_eq!(lags("available_after = \"6 weeks\"\n"), serde_json::json!({"join:0": 42}), "the rows of a query are known on their dates");
    assert_eq!(messages(&text("available_after = \"6 weeks\"\n"), "frame/x"), Vec::<String>::new());
    let refused = messages(&text(""), "frame/x");
    assert_eq!(refused, ["'m.slow', which 'frame/x' would learn from, does not say how long after its date a row is known"]);
}
