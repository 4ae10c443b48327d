//! Promises about cheating, kept on the platform's own tables: a recipe for each of the ways in which the old metrics came out too good is refused, with
//! the place or the reason. Invariant: every recipe here is one line away from an honest one, and the honest one builds.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;
#[path = "common/space.rs"]
mod space;

use std::path::PathBuf;

use space::{Built, TestSpace};

/// Prices of soybean oil, traders' positions, and a table of the old platform with targets in it.
const TABLES: &str = r#"
[table."yahoo_finance_comprehensive.biofuel_components_canonical"]
available_after = "0 days"
columns = ["date", "soybean_oil_price_cwt"]

[table."forecasting_data_warehouse.cftc_cot"]
key = ["report_date"]
columns = ["report_date", "contract_code", "commercial_net", "open_interest"]
available_after = "3 days"

[table."archive_consolidation_nov6.production_1w_backup_20251105"]
available_after = "0 days"

[sql."m.daily"]
query = "SELECT date, soybean_oil_price_cwt AS price FROM yahoo_finance_comprehensive.biofuel_components_canonical WHERE soybean_oil_price_cwt IS NOT NULL"
"#;

/// A target of each kind on the features in `sql/NAME.sql`.
const ABOVE: &str = r#"
[sql."m.NAME"]
file = "sql/NAME.sql"

[frame."frame/NAME"]
features = "m.NAME"
columns = ["x"]
price = { table = "m.daily", column = "price", series = { symbol = "ZL", exchange = "CBOT", contract = "front month", roll = "unadjusted" } }
horizon = { rows = 20 }
label = "log_return"
split = { train = [2001-05-18, 2022-12-31], valid = [2023-01-01, 2023-12-31], test = [2024-01-01] }

[ridge."model/NAME"]
frame = "frame/NAME"
params = { alpha = 1.0 }
"#;

/// A frame whose test and valid rows are train rows of the others.
const EARLIER: &str = "
[frame.\"frame/earlier\"]
features = \"m.honest\"
columns = [\"x\"]
price = { table = \"m.daily\", column = \"price\", series = { symbol = \"ZL\", exchange = \"CBOT\", contract = \"front month\", roll = \"unadjusted\" } }
horizon = { rows = 20 }
label = \"log_return\"
split = { train = [2001-05-18, 2017-12-31], valid = [2018-01-01, 2018-12-31], test = [2019-01-01] }
";

const HONEST: &str = "SELECT date, LN(price / LAG(price, 20) OVER (ORDER BY date)) AS x FROM m.daily";

/// A workspace over the platform's tables, with these features by their names.
fn workspace(features: &[(&str, &str)]) -> Option<(TestSpace, PathBuf)> {
    let shared = common::shared()?;
    let space = TestSpace::empty();
    let mut recipes = TABLES.to_owned();
    for (name, query) in features {
        recipes.push_str(&ABOVE.replace("NAME", name));
        space.write(&format!("sql/{name}.sql"), query);
    }
    space.write("recipes/all.toml", recipes);
    Some((space, shared.join("warehouse")))
}

fn build(space: &TestSpace, warehouse: &std::path::Path, words: &[&str]) -> Built {
    let all: Vec<&str> = ["--warehouse", warehouse.to_str().unwrap()].iter().chain(words).copied().collect();
    space.build_plainly(&all)
}

/// What is said against a build that must fail with this code, in one text.
fn refused(built: &Built, code: i32, words: &[&str]) {
    let said = format!("{}\n{}", built.stdout, built.stderr);
    assert_eq!(built.code, code, "{said}");
    for word in words {
        assert!(said.contains(word), "'{word}' is not in:\n{said}");
    }
}

/// Features whose query can be seen to look ahead are refused before anything is built, at their place.
#[test]
fn features_that_can_be_seen_to_look_ahead_are_refused_where_they_are_written() {
    let over = |window: &str| format!("SELECT\n  date,\n  {window} AS x\nFROM m.daily");
    for (query, words) in [
        // LEAD feature.
        (over("LEAD(price, 20) OVER (ORDER BY date)"), ["sql/cheat.sql:3:3", "^^^^", "LEAD reads a later row"]),
        // Centred average.
        (
            over("AVG(price) OVER (ORDER BY date ROWS BETWEEN 10 PRECEDING AND 10 FOLLOWING)"),
            ["sql/cheat.sql:3:3", "^^^", "the window of AVG ends after the row it is for"],
        ),
        // Target encoded over all rows.
        (
            over("AVG(price) OVER (PARTITION BY EXTRACT(DAYOFWEEK FROM date))"),
            ["sql/cheat.sql:3:3", "^^^", "AVG is taken over rows of all dates, the later ones too"],
        ),
        // Scaler fitted on all rows.
        (
            over("(price - AVG(price) OVER ()) / STDDEV(price) OVER ()"),
            ["sql/cheat.sql:3:12", "sql/cheat.sql:3:34", "STDDEV is taken over rows of all dates"],
        ),
        (over("LAG(price, 20) OVER (ORDER BY date DESC)"), ["sql/cheat.sql:3:3", "^^^", "begins with the newest row"]),
    ] {
        let Some((space, warehouse)) = workspace(&[("cheat", &query)]) else { return };
        let built = build(&space, &warehouse, &["frame/cheat"]);
        refused(&built, 3, &words);
        refused(&built, 3, &["'m.cheat', which 'frame/cheat' would learn from, looks ahead", "hint: "]);
        assert_eq!(space.results(), 0, "nothing was built");
    }
}

/// What no window shows is found by running each query again without the rows that were not known: joins, subqueries, publication lags.
#[test]
fn features_that_turn_out_to_look_ahead_are_refused_with_their_columns_and_days() {
    let cheats = [
        // A LEAD by another name.
        (
            "self_join",
            "SELECT a.date, b.price / a.price AS x FROM m.daily AS a JOIN m.daily AS b ON b.date = DATE_ADD(a.date, INTERVAL 28 DAY)",
        ),
        // Target encoded over all rows.
        (
            "encoded",
            "SELECT date, mean AS x FROM m.daily JOIN (SELECT EXTRACT(DAYOFWEEK FROM date) AS weekday, AVG(price) AS mean FROM m.daily GROUP BY weekday) \
             ON weekday = EXTRACT(DAYOFWEEK FROM date)",
        ),
        // Scaler fitted on all rows.
        ("scaled", "SELECT date, (price - (SELECT AVG(price) FROM m.daily)) / (SELECT STDDEV(price) FROM m.daily) AS x FROM m.daily"),
        // Tuesday's report on Tuesday, three days before it is out.
        (
            "positions",
            "SELECT daily.date, MAX(commercial_net / open_interest) AS x FROM m.daily AS daily LEFT JOIN forecasting_data_warehouse.cftc_cot \
             ON report_date = daily.date AND contract_code = 'ZL' AND open_interest > 0 GROUP BY daily.date",
        ),
    ];
    let mut all = cheats.to_vec();
    all.push(("honest", HONEST));
    let Some((space, warehouse)) = workspace(&all) else { return };
    let built = build(&space, &warehouse, &["--keep-going", "model/*"]);
    for (name, _) in cheats {
        let about = format!("frame/{name}: it would learn what was not known on the day: 'm.{name}', on ");
        refused(&built, 8, &[&about, "it could not have been known: ", &format!("cbi check m.{name}")]);
        let line = built.stdout.lines().chain(built.stderr.lines()).find(|line| line.contains(&about)).unwrap();
        assert!(line.contains("'x' of 20") || line.contains("the row of 20"), "the column and the day: {line}");
    }
    assert!(space.path(".cbi-cache/out/model/honest").exists(), "{}", built.stderr);
    assert!(space.path(".cbi-cache/out/m.scaled").exists(), "the query itself may be built");
    // The next build refuses them again and runs nothing.
    let again = build(&space, &warehouse, &["--keep-going", "model/*"]);
    refused(&again, 8, &["frame/positions: it would learn what was not known on the day"]);
}

/// The label is made in the frame; a table that brings its own is of no use.
#[test]
fn a_label_from_the_table_is_refused_as_a_label_and_as_a_feature() {
    let Some((space, warehouse)) = workspace(&[("honest", HONEST)]) else { return };
    space.edit("recipes/all.toml", "label = \"log_return\"", "label = \"target_1w\"");
    refused(&build(&space, &warehouse, &["frame/honest"]), 3, &["recipes/all.toml:", "'label' must be", "\"target_1w\""]);
    space.edit("recipes/all.toml", "label = \"target_1w\"", "label = \"log_return\"");
    space.edit("recipes/all.toml", "features = \"m.honest\"", "features = \"archive_consolidation_nov6.production_1w_backup_20251105\"");
    space.edit("recipes/all.toml", "columns = [\"x\"]", "columns = [\"corn_price\", \"target_*\"]");
    space.edit("recipes/all.toml", "2001-05-18", "2020-01-02");
    let words = [
        "not features but outcomes",
        "'target_1w' is the price 7 rows later",
        "'target_6m' is the price 180 rows later",
        "makes the label itself",
    ];
    refused(&build(&space, &warehouse, &["frame/honest"]), 8, &words);
}

#[test]
fn a_test_inside_train_is_refused_in_the_split_and_across_frames() {
    let Some((space, warehouse)) = workspace(&[("honest", HONEST)]) else { return };
    let split = "valid = [2023-01-01, 2023-12-31], test = [2024-01-01]";
    space.edit("recipes/all.toml", split, "valid = [2023-01-01, 2023-12-31], test = [2022-06-01]");
    refused(&build(&space, &warehouse, &["frame/honest"]), 3, &["'test' begins on 2022-06-01, but 'valid' ends on 2023-12-31"]);
    space.edit("recipes/all.toml", "test = [2022-06-01]", "test = [2024-01-01]");
    // Two frames: a model that learnt from later rows, measured on the test of another.
    let evaluate = "
[evaluate.\"evaluate/x\"]
frame = \"frame/earlier\"
models = [\"model/honest\"]
";
    let recipes = space.read("recipes/all.toml") + EARLIER + evaluate;
    space.write("recipes/all.toml", recipes);
    refused(
        &build(&space, &warehouse, &["evaluate/x"]),
        8,
        &["has seen rows it is asked to be measured on", "which meet 1008 test rows, 2019-01-02 to 2022-12-30"],
    );
}

#[test]
fn no_embargo_can_be_taken_away() {
    let Some((space, warehouse)) = workspace(&[("honest", HONEST)]) else { return };
    let build = |words: &[&str]| build(&space, &warehouse, words);
    space.edit("recipes/all.toml", "test = [2024-01-01] }", "test = [2024-01-01], embargo = 0 }");
    refused(&build(&["frame/honest"]), 3, &["recipes/all.toml:", "embargo"]);
    space.edit("recipes/all.toml", ", embargo = 0 }", " }");
    let built = build(&["frame/honest"]);
    let left_out = [
        "20 train rows left out: their outcome is not known before valid begins",
        "20 valid rows left out: their outcome is not known before valid ends",
    ];
    refused(&built, 0, &left_out);
}

#[test]
fn an_ensemble_on_forecasts_that_its_members_learnt_from_is_refused() {
    let Some((space, warehouse)) = workspace(&[("honest", HONEST)]) else { return };
    let ensemble = "
[naive.\"model/naive\"]
frame = \"frame/earlier\"

[ensemble.\"ensemble/x\"]
frame = \"frame/earlier\"
models = [\"model/naive\", \"model/honest\"]
weights = \"stacked\"
";
    let recipes = space.read("recipes/all.toml") + EARLIER + ensemble;
    space.write("recipes/all.toml", recipes);
    let words = ["recipes/all.toml:", "'stacked' weights are earned on out-of-sample forecasts, and there are no 'backtests'"];
    refused(&build(&space, &warehouse, &["ensemble/x"]), 3, &words);
    // The valid rows of one frame are train rows of the one that a member was fitted to.
    space.edit("recipes/all.toml", "weights = \"stacked\"", "weights = \"inverse_error\"");
    let words = [
        "member 2 cannot take part: it learnt from rows of 2001-05-18 to 2022-12-01 with outcomes up to 2022-12-30",
        "its weight would be earned on rows of 2018-01-02 to 2018-1",
    ];
    refused(&build(&space, &warehouse, &["ensemble/x"]), 8, &words);
}

#[test]
fn a_shuffled_split_cannot_be_written() {
    let Some((space, warehouse)) = workspace(&[("honest", HONEST)]) else { return };
    let honest = space.read("recipes/all.toml");
    for (from, to, words) in [
        ("test = [2024-01-01] }", "test = [2024-01-01], shuffle = true }", "'split.shuffle'"),
        (
            "split = { train = [2001-05-18, 2022-12-31], valid = [2023-01-01, 2023-12-31], test = [2024-01-01] }",
            "split = { random = 0.2 }",
            "'split.random'",
        ),
        ("label = \"log_return\"", "folds = { shuffled = { count = 5 } }", "'folds"),
    ] {
        space.write("recipes/all.toml", &honest);
        space.edit("recipes/all.toml", from, to);
        refused(&build(&space, &warehouse, &["frame/honest"]), 3, &["recipes/all.toml:", words]);
    }
}

#[test]
fn stale_inputs_are_refused_unless_somebody_says_so() {
    let Some((space, warehouse)) = workspace(&[("honest", HONEST)]) else { return };
    let forecast = "
[forecast.\"forecast/x\"]
frame = \"frame/honest\"
model = \"model/honest\"
calendar = { table = \"m.days\", column = \"date\" }
max_age_days = 5

[sql.\"m.days\"]
query = \"SELECT date FROM UNNEST(GENERATE_DATE_ARRAY('2024-01-01', '2026-12-31')) AS date\"
";
    let recipes = space.read("recipes/all.toml") + forecast;
    space.write("recipes/all.toml", recipes);
    refused(&build(&space, &warehouse, &["--as-of", "2025-11-06", "forecast/x"]), 0, &[]);
    let late = |words: &[&str]| build(&space, &warehouse, &[&["--as-of", "2025-12-24", "forecast/x"], words].concat());
    refused(&late(&[]), 8, &["2025-11-06, 48 days before 2025-12-24; 5 are allowed", "--allow-stale"]);
    refused(&late(&["--allow-stale"]), 0, &["1 warning of checks on 1 table"]);
}
