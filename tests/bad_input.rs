//! Promises about bad input that is found before anything runs: its exit code, its place, the way out. Invariant: after each of these nothing is
//! recorded and no output stands anywhere.
#![allow(clippy::unwrap_used)]

#[path = "common/space.rs"]
mod space;

use std::fs;

use space::{Built, TestSpace};

/// A workspace with one table of three prices and this recipe file.
fn with(recipes: &str) -> TestSpace {
    let space = TestSpace::empty();
    space.write("warehouse/m.prices.csv", "date,price\n2020-01-01,1.5\n2020-01-02,2.5\n2020-01-03,4.5\n");
    space.write("recipes/a.toml", recipes);
    space
}

/// The build ends with this code, complains with all these words on standard error and nothing else, and has recorded nothing.
fn refused(space: &TestSpace, targets: &[&str], code: i32, words: &[&str]) {
    let built = space.build(targets);
    assert_eq!(built.code, code, "{}\n{}", built.stdout, built.stderr);
    for word in words {
        assert!(built.stderr.contains(word), "'{word}' is not said:\n{}", built.stderr);
    }
    assert_eq!(built.stdout, "", "nothing began");
    nothing_is_left(space);
}

/// The step of this target fails with this code and these words in its error and hint; nothing is recorded.
fn fails(space: &TestSpace, target: &str, code: i32, words: &[&str]) -> Built {
    let before = space.results();
    let built = space.build(&[target]);
    let failure = built.failure(target).clone();
    assert_eq!((built.code, failure["code"].as_i64()), (code, Some(i64::from(code))), "{}\n{}", built.stdout, built.stderr);
    let said = format!("{}\n{}", failure["error"].as_str().unwrap(), failure["hint"].as_str().unwrap_or_default());
    for word in words {
        assert!(said.contains(word), "'{word}' is not said:\n{said}");
    }
    assert_eq!(built.counts.unwrap().2, 1);
    assert_eq!(space.results(), before + built.targets.len(), "what succeeded is recorded, what failed is not");
    assert!(!space.path(".cbi-cache/out").join(target).exists());
    assert_eq!(space.leftovers(), [""; 0]);
    built
}

fn nothing_is_left(space: &TestSpace) {
    assert_eq!(space.results(), 0);
    assert_eq!(fs::read_dir(space.path(".cbi-cache/out")).into_iter().flatten().count(), 0);
    assert_eq!(space.leftovers(), [""; 0]);
}

#[test]
fn broken_toml_is_shown_where_it_breaks() {
    let space = with("[sql.\"m.a\"]\nquery = \"SELECT 1 AS x\nkey = [\"x\"]\n");
    refused(&space, &["m.a"], 3, &["error: not valid TOML", "recipes/a.toml:2:"]);
}

#[test]
fn an_unknown_kind_or_key_comes_with_the_nearest_one() {
    let space = with("[sqll.\"m.a\"]\nquery = \"SELECT 1 AS x\"\n");
    refused(&space, &["m.a"], 3, &["sqll", "recipes/a.toml:1:", "hint: did you mean 'sql'?"]);
    let space = with("[sql.\"m.a\"]\nquerry = \"SELECT 1 AS x\"\n");
    refused(&space, &["m.a"], 3, &["unknown key 'querry'", "recipes/a.toml:2:", "hint: did you mean 'query'?"]);
}

#[test]
fn a_value_of_the_wrong_type_is_shown_with_what_it_must_be() {
    let space = with("[sql.\"m.a\"]\nquery = 3\n");
    refused(&space, &["m.a"], 3, &["'query' must be a string, found the number 3", "recipes/a.toml:2:"]);
}

#[test]
fn a_cycle_is_shown_with_its_path() {
    let space = with("[sql.\"m.a\"]\nquery = \"SELECT x FROM m.b\"\n[sql.\"m.b\"]\nquery = \"SELECT x FROM m.a\"\n");
    refused(&space, &["m.a"], 3, &["m.a → m.b → m.a", "recipes/a.toml:2:"]);
}

#[test]
fn a_table_that_is_nowhere_comes_with_the_nearest_one() {
    let space = with("[sql.\"m.a\"]\nfile = \"sql/a.sql\"\n");
    space.write("sql/a.sql", "SELECT date\nFROM m.pricess\n");
    refused(&space, &["m.a"], 3, &["'m.pricess'", "sql/a.sql:2:6", "did you mean 'm.prices'?"]);
}

#[test]
fn an_sql_mistake_is_shown_in_its_own_file() {
    let space = with("[sql.\"m.a\"]\nfile = \"sql/a.sql\"\n");
    space.write("sql/a.sql", "SELECT date,\nFROM FROM m.prices\n");
    refused(&space, &["m.a"], 3, &["error: ", "sql/a.sql:2:"]);
}

#[test]
fn a_query_with_another_result_each_time_is_refused_with_what_to_use_instead() {
    for call in ["CURRENT_DATE()", "RAND()", "GENERATE_UUID()", "CURRENT_TIMESTAMP()"] {
        let space = with("[sql.\"m.a\"]\nfile = \"sql/a.sql\"\n");
        space.write("sql/a.sql", format!("SELECT price,\n  {call} AS x\nFROM m.prices\n"));
        refused(&space, &["m.a"], 3, &["sql/a.sql:2:3", "hint: "]);
    }
    let space = with("[sql.\"m.a\"]\nquery = \"SELECT CURRENT_DATE() AS x\"\n");
    refused(&space, &["m.a"], 3, &["@as_of"]);
}

#[test]
fn a_name_that_climbs_out_is_no_name() {
    for name in ["../x", "a/../../x", "/x", "a//b"] {
        let space = with(&format!("[command.\"{name}\"]\nshell = \"true\"\noutputs = [\"o\"]\n"));
        refused(&space, &["**"], 3, &[name, "recipes/a.toml:1:"]);
        assert!(!space.path("../x").exists());
    }
    let space = with("[command.\"a\"]\nshell = \"true\"\noutputs = [\"../o\"]\n");
    refused(&space, &["a"], 3, &["'../o' is not a path inside", "recipes/a.toml:3:"]);
    let space = with("[command.\"a\"]\nshell = \"true\"\nfiles = [\"../o\"]\noutputs = [\"o\"]\n");
    refused(&space, &["a"], 3, &["'../o' is not a path inside the workspace", "recipes/a.toml:3:"]);
}

#[cfg(unix)]
#[test]
fn a_link_out_of_the_workspace_is_not_followed() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret.sql"), "SELECT 1 AS x").unwrap();
    let space = with("[sql.\"m.a\"]\nfile = \"sql/a.sql\"\n");
    fs::create_dir(space.path("sql")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("secret.sql"), space.path("sql/a.sql")).unwrap();
    refused(&space, &["m.a"], 3, &["sql/a.sql", "a link out of the workspace", "(a copy would do)", "recipes/a.toml:2:"]);
    assert!(!space.build(&["m.a"]).stderr.contains("did you mean 'sql/a.sql'"));

    let space = with("[command.\"a\"]\nshell = \"cat in/secret.sql > o\"\nfiles = [\"in/secret.sql\"]\noutputs = [\"o\"]\n");
    std::os::unix::fs::symlink(outside.path(), space.path("in")).unwrap();
    let built = space.build(&["a"]);
    assert_eq!(built.code, 3, "{}\n{}", built.stdout, built.stderr);
    let failure = built.failure("a");
    assert!(failure["error"].as_str().unwrap().contains("a link out of the workspace"), "{failure}");
    assert_eq!((&built.events[0]["event"], &failure["place"]), (&"planned".into(), &"recipes/a.toml:3:11".into()), "the plan comes first");
    nothing_is_left(&space);
}

#[test]
fn a_target_that_is_not_there_comes_with_the_nearest_one() {
    let space = with("[sql.\"m.daily\"]\nquery = \"SELECT date FROM m.prices\"\n");
    refused(&space, &["m.dailly"], 2, &["no target matches 'm.dailly'", "did you mean 'm.daily'?"]);
    refused(&space, &["nothing/*"], 2, &["no target matches 'nothing/*'", "hint: cbi graph"]);
}

#[test]
fn a_mistake_in_one_query_does_not_keep_others_from_being_built() {
    let space = with("[sql.\"m.a\"]\nfile = \"sql/a.sql\"\n[sql.\"m.b\"]\nquery = \"SELECT price FROM m.prices\"\n");
    space.write("sql/a.sql", "SELECT FROM FROM m.prices\n");
    space.build(&["m.b"]).ran(&["m.b", "m.prices"]);
    assert_eq!(space.build(&["m.a"]).code, 3);
    assert_eq!(space.build(&["**"]).code, 3);
}

#[test]
fn what_is_wrong_with_the_place_is_said() {
    let space = with("[command.a]\nshell = \"true\"\noutputs = [\"o\"]\n");
    space.write(".cbi-cache", "mine");
    let built = space.build(&["a"]);
    assert_eq!(built.code, 2, "{}", built.stderr);
    assert!(built.stderr.contains(".cbi-cache' is not a folder") && built.stderr.contains("hint: move it elsewhere"), "{}", built.stderr);
    assert_eq!(space.read(".cbi-cache"), "mine");
    let space = TestSpace::empty();
    fs::remove_file(space.path("cbi.toml")).unwrap();
    refused(&space, &[], 2, &["not in a workspace", "hint: cbi init"]);
    let space = with("");
    refused(&space, &["--warehouse", "nowhere", "m.prices"], 2, &["nowhere", "hint: name it with --warehouse"]);
    space.write("cbi.toml", "[workspace]\nname = \"x\"\nwarehous = \"w\"\n");
    refused(&space, &["m.prices"], 3, &["warehous'", "cbi.toml:3:", "did you mean 'warehouse'?"]);
}

#[test]
fn an_unknown_column_is_named() {
    let space = with("[sql.\"m.a\"]\nquery = \"SELECT date, prise FROM m.prices\"\n");
    let built = fails(&space, "m.a", 3, &["prise", "did you mean 'price'?"]);
    assert_eq!(built.failure("m.a")["place"], "recipes/a.toml:2:23");
    let space = with("[sql.\"m.a\"]\nfile = \"sql/a.sql\"\n");
    space.write("sql/a.sql", "-- no prise here\nSELECT date,\n  prise\nFROM m.prices\n");
    assert_eq!(fails(&space, "m.a", 3, &["prise"]).failure("m.a")["place"], "sql/a.sql:3:3");
    assert!(space.build_plainly(&["m.a"]).stdout.contains("--> sql/a.sql:3:3"));
}

#[test]
fn values_of_types_that_do_not_go_together_are_named_as_bigquery_names_them() {
    let space = with("[sql.\"m.a\"]\nfile = \"sql/a.sql\"\n");
    for sql in ["SELECT date, price + 1 AS x FROM m.prices", "SELECT ABS(price) AS x FROM m.prices"] {
        space.write("sql/a.sql", sql);
        let built = fails(&space, "m.a", 3, &["STRING", "CAST(x AS FLOAT64)"]);
        let said = built.failure("m.a")["error"].to_string();
        assert!(!said.contains("VARCHAR") && !said.contains("explicit"), "{said}");
    }
}

#[test]
fn a_mistake_in_a_stanza_of_many_targets_is_told_once() {
    let space = with("[sql.\"m.a{n}\"]\nfor = { n = [1, 2, 3] }\nquerry = \"SELECT 1 AS x\"\n");
    let built = space.build(&["**"]);
    assert_eq!(built.stderr.matches("error:").count(), 1, "{}", built.stderr);
    assert!(built.stderr.contains("unknown key 'querry' in sql 'm.a1', and in 2 more targets of its stanza"), "{}", built.stderr);
}

#[test]
fn a_table_without_rows_is_refused() {
    let space = with("[sql.\"m.a\"]\nquery = \"SELECT date FROM m.prices WHERE price = '0'\"\n");
    fails(&space, "m.a", 8, &["no rows"]);
    let space = with("[table.\"m.prices\"]\n");
    space.write("warehouse/m.prices.csv", "date,price\n");
    fails(&space, "m.prices", 8, &["no rows"]);
}

#[test]
fn a_warehouse_file_that_is_no_table_is_refused_by_its_path_and_line() {
    let space = with("[table.\"m.prices\"]\n");
    let file = fs::canonicalize(space.path("warehouse/m.prices.csv")).unwrap();
    for (bytes, words) in [
        (&b"date,price\n2020-01-01,1\n2020-01-02,2,3\n"[..], ":3: the row has 3 fields, the header 2"),
        (b"date,price\n2020-01-01\n", ":2: the row has 1 field, the header 2"),
        (b"date,price\n2020-01-01,\"1\n", ":2: a quote opens here that nothing closes"),
        (b"date,price\n2020-01-01,\xe9\n", ":2: this is not UTF-8"),
    ] {
        space.write("warehouse/m.prices.csv", bytes);
        let said = format!("{}{words}", file.display());
        let built = fails(&space, "m.prices", 8, &[&said]);
        let failure = built.failure("m.prices");
        assert!(failure["hint"].is_string(), "{failure}");
        assert_eq!(failure["log_tail"], serde_json::json!([]), "nothing is said twice");
        let looked = Built::of(&space.command(&["cat", "m.prices"]).output().unwrap());
        assert_eq!((looked.code, looked.stderr.contains(&said)), (8, true), "{}", looked.stderr);
    }
    space.write("warehouse/m.prices.csv", "date,price\r\n2020-01-01,1\n2020-01-02,2\r\n");
    space.build(&["m.prices"]).ran(&["m.prices"]);
}

/// Prices of two hundred days, from one of these expressions over `n`, and a frame on them.
fn frame(price: &str, feature: &str, train: &str) -> TestSpace {
    let recipes = format!(
        "[sql.\"m.p\"]\nquery = \"SELECT DATE_ADD(DATE '2020-01-01', INTERVAL n DAY) AS date, {price} AS price, {feature} AS f \
         FROM UNNEST(GENERATE_ARRAY(0, 200)) AS n\"\n\
         [frame.\"frame/x\"]\nfeatures = \"m.p\"\ncolumns = [\"f\"]\nprice = {{ table = \"m.p\", column = \"price\", series = \"index\" }}\nhorizon = {{ rows = 1 }}\n\
         split = {{ train = {train}, valid = [2020-05-01, 2020-06-01], test = [2020-06-02] }}\n"
    );
    with(&recipes)
}

const TRAIN: &str = "[2020-01-02, 2020-04-30]";

#[test]
fn a_frame_that_cannot_teach_is_refused() {
    let rising = "CAST(10 + n + MOD(n, 3) AS FLOAT64)";
    let good = frame(rising, "CAST(n AS FLOAT64)", TRAIN);
    good.build(&["frame/x"]).ran(&["m.p", "frame/x"]);
    fails(&frame(rising, "CAST(NULL AS FLOAT64)", TRAIN), "frame/x", 8, &["no value at all", "'f'", "leave them out"]);
    fails(&frame("IF(n < 150, 7.0, 10.0 + n)", "CAST(n AS FLOAT64)", TRAIN), "frame/x", 8, &["stays at 7", "leave those days out"]);
    let words = ["no train rows", "2010-01-01", "move the ranges of 'split' to where prices are, 2020-01-01 to 2020-07-19"];
    fails(&frame(rising, "CAST(n AS FLOAT64)", "[2010-01-01, 2010-12-31]"), "frame/x", 8, &words);
    let space = frame(rising, "CAST(n AS FLOAT64)", TRAIN);
    space.edit("recipes/a.toml", "columns = [\"f\"]", "columns = [\"g\"]");
    assert_eq!(fails(&space, "frame/x", 3, &["no column 'g'"]).failure("frame/x")["place"], "recipes/a.toml:5:13");
}
