//! Promises about what a change reaches, on the repository's own crude oil recipes and on real snapshots of tables. Invariant: each test names every
//! step that runs; one more or one less fails it.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/space.rs"]
mod space;

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::LazyLock;

use cbi::engine::table_file;
use cbi::kinds::query;
use serde_json::Map;
use space::{Built, TestSpace};

const WANTED: [&str; 2] = ["forecast/wti/1w", "evaluate/wti/1w"];
const PRICES: &str = "warehouse/fred.dcoilwtico.csv";

/// A workspace in which everything wanted is built; each test works on a copy.
static BASE: LazyLock<TestSpace> = LazyLock::new(|| {
    let space = TestSpace::wti();
    let built = space.build(&WANTED).ok();
    assert_eq!(built.counts, Some((13, 0, 0)), "three tables, three queries, a frame, three models, their ensemble and two ends");
    space
});

fn built() -> TestSpace {
    let space = BASE.twin();
    // A copied file has another inode, so it is read again; what it holds is the same.
    space.build(&WANTED).ran(&[]);
    space
}

fn rebuild(space: &TestSpace) -> Built {
    space.build(&WANTED)
}

#[test]
fn without_a_change_nothing_runs() {
    let space = built();
    let again = rebuild(&space).ran(&[]);
    assert_eq!(again.counts, Some((0, 13, 0)));
}

#[test]
fn a_touched_file_is_no_change() {
    let space = built();
    for file in [PRICES, "sql/wti/features.sql", "recipes/wti/models.toml", "cbi.toml"] {
        let status = Command::new("touch").arg(space.path(file)).status().unwrap();
        assert!(status.success());
    }
    rebuild(&space).ran(&[]);
}

#[test]
fn sql_in_another_layout_and_with_other_comments_is_the_same() {
    let space = built();
    let text = space.read("sql/wti/features.sql");
    let lines = text.lines().map(|line| line.split("--").next().unwrap_or_default().trim());
    let bare = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n  /* here */ ");
    assert!(bare.len() < text.len() * 2 && bare != text);
    space.write("sql/wti/features.sql", bare);
    rebuild(&space).ran(&[]);
}

#[test]
fn the_order_of_stanzas_and_the_name_of_their_file_do_not_count() {
    let space = built();
    // Comments belong to nothing, so stanzas can be taken apart at blank lines and put together the other way round.
    let text = space.read("recipes/wti/models.toml");
    let mut parts: Vec<String> = Vec::new();
    for part in text.split("\n\n") {
        let body = part.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
        if body.starts_with('[') {
            parts.push(body);
        } else if let Some(last) = parts.last_mut() {
            last.push('\n');
            last.push_str(&body);
        }
    }
    parts.reverse();
    space.write("recipes/crude/everything.toml", parts.join("\n\n"));
    fs::remove_file(space.path("recipes/wti/models.toml")).unwrap();
    fs::rename(space.path("recipes/wti/data.toml"), space.path("recipes/crude/first.toml")).unwrap();
    rebuild(&space).ran(&[]);
}

#[test]
fn a_renamed_query_file_is_the_same_query() {
    let space = built();
    fs::rename(space.path("sql/wti/daily.sql"), space.path("sql/wti/clean.sql")).unwrap();
    space.edit("recipes/wti/data.toml", "sql/wti/daily.sql", "sql/wti/clean.sql");
    rebuild(&space).ran(&[]);
}

#[test]
fn an_edit_that_leaves_its_output_as_it_was_runs_that_step_alone() {
    let space = built();
    space.edit("sql/wti/daily.sql", "WHERE DCOILWTICO != '.'", "WHERE DCOILWTICO != '.' AND Date != ''");
    let again = rebuild(&space).ran(&["wti.daily"]);
    assert!(again.events.iter().any(|e| e["event"] == "ran" && e["unchanged"] == true));
    rebuild(&space).ran(&[]);
}

#[test]
fn a_day_without_a_price_reaches_the_clean_table_and_no_further() {
    let space = built();
    let text = space.read(PRICES);
    space.write(PRICES, format!("{}\r\n1/4/2019,.\r\n", text.trim_end()));
    rebuild(&space).ran(&["fred.dcoilwtico", "wti.daily"]);
}

#[test]
fn back_to_an_earlier_state_nothing_runs() {
    let space = built();
    let before = space.read("sql/wti/daily.sql");
    space.edit("sql/wti/daily.sql", "DCOILWTICO != '.'", "DCOILWTICO != '.' AND PARSE_DATE('%m/%d/%Y', Date) < DATE '2018-12-01'");
    let changed = rebuild(&space).ok();
    assert!(changed.targets.contains("forecast/wti/1w"), "{:?}", changed.targets);
    space.write("sql/wti/daily.sql", before);
    rebuild(&space).ran(&[]);
}

#[test]
fn rows_in_another_order_reach_the_pinned_table_alone() {
    let space = built();
    let text = space.read(PRICES);
    let mut lines: Vec<&str> = text.lines().collect();
    lines[1..].reverse();
    space.write(PRICES, lines.join("\n") + "\n");
    rebuild(&space).ran(&["fred.dcoilwtico"]);
}

#[test]
fn new_rows_make_a_new_forecast_and_train_nothing() {
    let space = BASE.twin();
    let whole = space.read(PRICES);
    let lines: Vec<&str> = whole.lines().collect();
    space.write("other/fred.dcoilwtico.csv", lines[..lines.len() - 40].join("\n") + "\n");
    for table in ["fred.cpilfesl.csv", "calendar.us_trading_days.csv"] {
        fs::copy(space.path(&format!("warehouse/{table}")), space.path(&format!("other/{table}"))).unwrap();
    }
    let other = |space: &TestSpace| space.build(&[WANTED[0], WANTED[1], "--warehouse", "other"]);
    // Both directions are one promise: forty days fewer than the base, then the days that FRED published next.
    let followers = ["fred.dcoilwtico", "wti.daily", "wti.features", "frame/wti/1w", "evaluate/wti/1w", "forecast/wti/1w"];
    other(&space).ran(&followers);
    space.write("other/fred.dcoilwtico.csv", lines[..lines.len() - 20].join("\n") + "\n");
    other(&space).ran(&followers);
    space.write("other/fred.dcoilwtico.csv", &whole);
    other(&space).ran(&[]);
}

#[test]
fn a_column_that_no_frame_lists_trains_nothing() {
    let space = built();
    space.edit("sql/wti/features.sql", "AS cal_weekday,", "AS cal_weekday,\n  EXTRACT(YEAR FROM date) AS unlisted_year,");
    rebuild(&space).ran(&["wti.features", "frame/wti/1w"]);
}

#[test]
fn one_models_parameter_reaches_that_model_and_what_uses_it() {
    let space = built();
    space.edit("recipes/wti/models.toml", "num_leaves = 15", "num_leaves = 14");
    rebuild(&space).ran(&["model/wti/lightgbm/1w", "ensemble/wti/1w", "evaluate/wti/1w", "forecast/wti/1w"]);
}

#[test]
fn what_is_only_for_people_and_the_scheduler_is_no_change() {
    let space = built();
    space.edit("recipes/wti/data.toml", "One clean price a day", "A price a day");
    space.edit(
        "recipes/wti/data.toml",
        "file = \"sql/wti/daily.sql\"",
        "file = \"sql/wti/daily.sql\"\npriority = 3\nmemory = \"1GiB\"\ntimeout = \"5m\"",
    );
    space.build(&["-j", "1", WANTED[0], WANTED[1]]).ran(&[]);
}

#[test]
fn threads_are_part_of_the_key() {
    let space = built();
    space.edit("recipes/wti/data.toml", "file = \"sql/wti/daily.sql\"", "file = \"sql/wti/daily.sql\"\nthreads = 2");
    rebuild(&space).ran(&["wti.daily"]);
}

/// What stands on a frame in each of the recipes below.
const MODELS: &str = r#"
[naive."model/naive"]
frame = "frame/1w"
[lightgbm."model/trees"]
frame = "frame/1w"
params = { objective = "regression", num_iterations = 20, seed = 1 }
[evaluate."evaluate/1w"]
frame = "frame/1w"
models = ["model/naive", "model/trees"]
[forecast."forecast/1w"]
frame = "frame/1w"
model = "model/trees"
calendar = { table = "m.calendar", column = "date" }
[sql."m.calendar"]
query = "SELECT date FROM UNNEST(GENERATE_DATE_ARRAY('2020-01-01', '2026-12-31')) AS date"
"#;

/// A snapshot of a real table taken before a change, in a workspace of its own; `None` where the snapshots are not at hand.
fn snapshot(change: &str, table: &str, recipes: &str) -> Option<(TestSpace, impl Fn(&TestSpace) + use<>)> {
    let folder = common::shared()?.join("warehouse-changes").join(change);
    let space = TestSpace::empty();
    space.write("recipes/all.toml", format!("{recipes}{MODELS}"));
    let file = format!("warehouse/{table}.parquet");
    fs::copy(folder.join("before.parquet"), space.path(&file)).unwrap();
    let change = move |space: &TestSpace| {
        fs::remove_file(space.path(&file)).unwrap();
        fs::copy(folder.join("after.parquet"), space.path(&file)).map(|_| ()).unwrap();
    };
    Some((space, change))
}

const CLOSES: &str = r#"
[table."m.closes"]
key = ["time", "symbol"]
available_after = "0 days"
[sql."m.daily"]
query = "SELECT DATE(time) AS date, AVG(close) AS price FROM m.closes WHERE symbol = 'ZL' GROUP BY 1"
[sql."m.features"]
query = '''
SELECT date, price / LAG(price) OVER (ORDER BY date) - 1 AS ret_1, price / LAG(price, 5) OVER (ORDER BY date) - 1 AS ret_5 FROM m.daily
'''
[frame."frame/1w"]
features = "m.features"
columns = ["ret_*"]
price = { table = "m.daily", column = "price", series = { symbol = "ZL", exchange = "CBOT", contract = "front month", roll = "unadjusted" } }
horizon = { rows = 5 }
label = "log_return"
"#;

#[test]
fn a_real_table_whose_rows_came_in_another_order_is_pinned_again_and_that_is_all() {
    let split = "split = { train = [2022-01-03, 2023-12-29], valid = [2024-01-01, 2024-06-28], test = [2024-07-01] }\n";
    let Some((space, change)) = snapshot("02_same_rows_other_bytes", "m.closes", &format!("{CLOSES}{split}")) else { return };
    space.build(&["**"]).ok();
    change(&space);
    space.build(&["**"]).ran(&["m.closes"]);
}

#[test]
fn history_before_the_split_reaches_the_frame_and_trains_nothing() {
    let split = "split = { train = [2021-01-04, 2023-12-29], valid = [2024-01-01, 2024-06-28], test = [2024-07-01] }\n";
    let Some((space, change)) = snapshot("01_append_only_history_backfill", "m.closes", &format!("{CLOSES}{split}")) else { return };
    space.build(&["**"]).ok();
    change(&space);
    space.build(&["**"]).ran(&["m.closes", "m.daily", "m.features", "frame/1w"]);
}

#[test]
fn columns_added_to_a_real_table_reach_what_reads_all_of_it_and_train_nothing() {
    let recipes = r#"
[table."m.training"]
available_after = "0 days"
[sql."m.days"]
query = "SELECT date FROM m.training"
[frame."frame/1w"]
features = "m.training"
columns = ["return_1d", "return_7d", "volatility_30d", "vix_*"]
price = { table = "m.training", column = "zl_price_current", series = { symbol = "ZL", exchange = "CBOT", contract = "front month", roll = "unadjusted" } }
horizon = { rows = 5 }
split = { train = [2021-01-04, 2023-12-29], valid = [2024-01-01, 2024-06-28], test = [2024-07-01] }
"#;
    let Some((space, change)) = snapshot("10_columns_added_only", "m.training", recipes) else { return };
    space.build(&["**"]).ok();
    change(&space);
    space.build(&["**"]).ran(&["m.training", "m.days", "frame/1w"]);
}

/// The shipped recipes on the platform's own tables, of which the one that says on which days soybean oil traded grows.
#[test]
fn new_days_of_soybean_oil_make_a_new_forecast_and_train_nothing() {
    const SPINE: &str = "yahoo_finance_comprehensive.biofuel_components_canonical";
    let Some(shared) = common::shared() else { return };
    let space = TestSpace::wti();
    fs::create_dir(space.path("platform")).unwrap();
    for table in cbi::engine::warehouse::tables(&shared.join("warehouse")).unwrap().values() {
        fs::copy(table, space.path("platform").join(table.file_name().unwrap())).unwrap();
    }
    let whole = BTreeMap::from([(SPINE.to_owned(), shared.join(format!("warehouse/{SPINE}.parquet")))]);
    let until = |day: &str| {
        let rows = query::rows(&format!("SELECT * FROM {SPINE} WHERE date <= DATE '{day}'"), &Map::new(), &whole).unwrap();
        let file = space.path(&format!("platform/{SPINE}.parquet"));
        fs::remove_file(&file).unwrap();
        table_file::write(&file, &rows, &["date".to_owned()]).unwrap();
    };
    let build_at = |day: &str| {
        until(day);
        space.build(&["--profile", "zl", "--warehouse", "platform", "--as-of", day, "forecast/zl/1w", "evaluate/zl/1w"])
    };
    assert!(build_at("2025-09-30").ok().targets.contains("model/zl/lightgbm/1w"));
    build_at("2025-10-31").ran(&[SPINE, "zl.markets", "zl.features", "frame/zl/1w", "evaluate/zl/1w", "forecast/zl/1w"]);
}
