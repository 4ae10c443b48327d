//! Promises of checks on the platform's real tables: every defect that `PROVENANCE.md` names and a check can see is seen, with its count; what is
//! clean is called clean; contaminated rows are refused. Invariant: the tables are read where they are and never copied into the repository.
//!
//! Defects that no check can see, and why:
//! - `crude_oil`, `natural_gas`, `gold` and `usd_index` keep open, high and low as whole numbers. A type is no value; what shows is its result, a close
//!   outside `[low, high]`, and that is seen.
//! - `soybean_meal.time` has a time zone and the others' has none: a type again, and `cbi diff` of the tables shows it.
//! - `economic_indicators`: rows of October and November 2025 carry the time of loading as their time. Any moment is a valid time; only who loads can tell.
//! - `biofuel_components_canonical`: `*_usd_mt` columns are derived, which their values do not say. That each market begins on its own day is in the
//!   counts of `not_null`, and no defect.
//! - `backtesting_history.actual_1w` … `actual_6m` sit across the price table's own gaps on some days. Seeing it needs rows counted forward, which is
//!   making labels: frames do that, and `tests/frame_zl.rs` counts those days.
//! - `regime_calendar` is policy, not a measurement: a reason not to take it for a feature, not a fault in its rows.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/space.rs"]
mod space;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;
use space::TestSpace;

/// What the raw tables are known for: table (without its dataset), check, how many rows break it. 0 stands for a table that is clean in that.
const KNOWN: &[(&str, &str, u64)] = &[
    // "26 days with 2-5 rows", "OHL null on 19", "close outside [low,high] on 699 rows", no rows from New Year to October 2020.
    ("soybean_oil_prices", "one row a day", 26),
    ("soybean_oil_prices", "not_null open, high, low", 19),
    ("soybean_oil_prices", "range close low to high", 699),
    ("soybean_oil_prices", "max_gap time 7 days", 3),
    ("soybean_oil_prices", "range close 5 to 120", 0),
    // "the best spine", "WTI -37.63 on 2020-04-20", "equals ZL table on 6021/6024 common days".
    ("biofuel_components_canonical", "unique date", 0),
    ("biofuel_components_canonical", "not_null date", 0),
    ("biofuel_components_canonical", "max_gap date 7 days", 0),
    ("biofuel_components_canonical", "range soybean_oil_price_cwt 5 to 120", 0),
    ("biofuel_components_canonical", "no_frozen_tail * 5 rows", 0),
    ("biofuel_components_canonical", "no_dead_columns", 0),
    ("biofuel_components_canonical", "WTI below zero", 1),
    ("biofuel_components_canonical", "agrees_with forecasting_data_warehouse.soybean_oil_prices: soybean_oil_price_cwt", 3),
    // Each historical row three or two times; the close outside [low,high] on so many rows; the gap of 2020.
    ("soybean_prices", "unique time, symbol", 9_624),
    ("soybean_prices", "range close low to high", 2_538),
    ("soybean_prices", "max_gap time 7 days", 1),
    ("soybean_prices", "not_null open, high, low", 15),
    ("soybean_meal_prices", "unique time, symbol", 4_746),
    ("soybean_meal_prices", "range close low to high", 1_542),
    ("soybean_meal_prices", "max_gap time 7 days", 2),
    ("soybean_meal_prices", "not_null open, high, low", 26),
    ("corn_prices", "unique time, symbol", 9_568),
    ("corn_prices", "range close low to high", 2_397),
    ("corn_prices", "not_null open, high, low", 14),
    ("corn_prices", "max_gap time 7 days", 3),
    // "columns date, open_price, high_price, low_price, close_price all null", and `symbol` is constant.
    ("wheat_prices", "unique time, symbol", 9_582),
    ("wheat_prices", "range close low to high", 2_484),
    ("wheat_prices", "no_dead_columns", 6),
    ("wheat_prices", "max_gap time 7 days", 3),
    // Open, high and low null after 2020-10; two symbols for one market in 2018 and 2019.
    ("crude_oil_prices", "unique time, symbol", 4_800),
    ("crude_oil_prices", "not_null open, high, low", 1_259),
    ("crude_oil_prices", "range close low to high", 1_752),
    ("crude_oil_prices", "max_gap time 7 days", 2),
    ("natural_gas_prices", "unique time, symbol", 4_801),
    ("natural_gas_prices", "one symbol a day", 503),
    ("natural_gas_prices", "not_null open, high, low", 1_965),
    ("gold_prices", "unique time, symbol", 4_796),
    ("gold_prices", "one symbol a day", 502),
    ("gold_prices", "not_null open, high, low", 1_963),
    ("usd_index_prices", "unique time, symbol", 4_836),
    ("usd_index_prices", "one symbol a day", 503),
    ("usd_index_prices", "not_null provenance_uuid", 1_964),
    ("usd_index_prices", "fresh time 5 days", 1),
    // "SPX to 2017 rows 2x", "ends 2025-10-20"; its prices are good.
    ("sp500_prices", "unique time, symbol", 4_309),
    ("sp500_prices", "fresh time 5 days", 1),
    ("sp500_prices", "range close low to high", 0),
    ("sp500_prices", "not_null open, high, low", 0),
    // 49 CPO=F without a close, 62 PALM_COMPOSITE that are no price, 80 flat days.
    ("palm_oil_prices", "accepted symbol", 111),
    ("palm_oil_prices", "not_null close", 49),
    ("palm_oil_prices", "range close at least 100", 62),
    ("palm_oil_prices", "the price moves", 80),
    // "REAL and clean".
    ("vix_daily", "unique date", 0),
    ("vix_daily", "not_null date, symbol, open, high, low, close", 0),
    ("vix_daily", "range close 5 to 100", 0),
    ("vix_daily", "monotonic date", 0),
    ("vix_daily", "row_count at least 6271", 0),
    ("vix_daily", "no_frozen_tail close 5 rows", 0),
    // "only from 2018", "column time is the load time, constant".
    ("treasury_prices", "no_dead_columns time", 1),
    ("treasury_prices", "begins with the others", 1),
    ("treasury_prices", "unique date", 0),
    ("treasury_prices", "range close 0.3 to 6", 0),
    // "each row exported 2-3x; RUB 1 row".
    ("currency_data", "unique date, to_currency", 35_332),
    ("currency_data", "accepted to_currency", 1),
    // "dollar_index holds two different indices", "usd_cny_rate_fred stops 2019-05-02", zeros and a 1900 date, 3221 rows without a source, repeats.
    ("economic_indicators", "one dollar index", 6),
    ("economic_indicators", "every rate goes on", 1),
    ("economic_indicators", "no harvest of zero", 20),
    ("economic_indicators", "range time at least 1947-01-01", 15),
    ("economic_indicators", "not_null source_name", 3_221),
    ("economic_indicators", "unique time, indicator, value", 7_220),
    // "78 dups", managed money 0 in all rows, "12 gaps of 5-24 weeks", "no rows after 2025-09-23".
    ("cftc_cot", "unique report_date", 78),
    ("cftc_cot", "no_dead_columns managed_money_*, commercial_*, open_interest", 3),
    ("cftc_cot", "max_gap report_date 28 days", 12),
    ("cftc_cot", "fresh report_date 14 days", 1),
    // Tenths of a degree from one source, Fahrenheit from another, rows four times, INMET tagged NOAA, 639 days without rain.
    ("weather_data", "July is warm in Iowa", 1),
    ("weather_data", "range temp_max -40 to 50", 340),
    ("weather_data", "unique date, station_id", 6_838),
    ("weather_data", "INMET is not NOAA", 7),
    ("weather_data", "it rains everywhere", 1),
    // The calendar is whole and agrees with the table of weights; the file of weights does not.
    ("regime_calendar", "unique date", 0),
    ("regime_calendar", "max_gap date 1 day", 0),
    ("regime_calendar", "references registry.regime_weights: regime", 0),
    ("regime_calendar", "agrees_with registry.regime_weights: training_weight", 0),
    ("regime_weights", "agrees_with registry.regime_weights_yaml: weight", 3),
    // "11 all-null and 24 constant columns"; its labels are honest.
    ("production_1w_backup_20251105", "no_dead_columns", 35),
    ("production_1w_backup_20251105", "no_frozen_tail target_*, zl_price_current 10 rows", 0),
    ("production_1w_backup_20251105", "unique date", 0),
    // PROVENANCE.md says "2 duplicate dates"; the file has three, each five times. The prices are those of the price table.
    ("backtesting_history", "unique forecast_date", 12),
    ("backtesting_history", "agrees_with forecasting_data_warehouse.soybean_oil_prices: actual_price", 0),
    // Made again: all 5,969 margins; all rates but one, and 21 of MYR.
    ("vw_crush_margins_daily", "agrees_with zl.crush_margins: crush_margin_usd_per_bu", 0),
    ("vw_crush_margins_daily", "agrees_with zl.crush_margins: margin_status", 0),
    ("currency_complete", "agrees_with zl.currency: usd_cny_rate", 1),
    ("currency_complete", "agrees_with zl.currency: usd_brl_rate", 1),
    ("currency_complete", "agrees_with zl.currency: usd_myr_rate", 21),
    // "bounds, regime, signals all null".
    ("production_forecasts", "no_dead_columns lower_bound_*, upper_bound_*, market_regime, primary_signal_driver", 6),
];

/// A workspace over the real tables, with the file of regime weights as the table that it is.
fn space(shared: &Path) -> TestSpace {
    let space = TestSpace::wti();
    std::fs::remove_dir_all(space.path("recipes")).unwrap();
    std::fs::remove_dir_all(space.path("warehouse")).unwrap();
    std::fs::create_dir(space.path("warehouse")).unwrap();
    for entry in std::fs::read_dir(shared.join("warehouse")).unwrap().map(Result::unwrap) {
        if entry.path().extension().is_some_and(|e| e == "parquet") {
            std::os::unix::fs::symlink(entry.path(), space.path("warehouse").join(entry.file_name())).unwrap();
        }
    }
    let yaml = std::fs::read_to_string(shared.join("warehouse/regime_weights.yaml")).unwrap();
    space.write("warehouse/registry.regime_weights_yaml.csv", weights(&yaml));
    space
}

/// Regimes and weights of the YAML file: a block for each regime, two spaces deep.
fn weights(yaml: &str) -> String {
    let (mut csv, mut regime) = ("regime,weight\n".to_owned(), "");
    for line in yaml.lines().skip_while(|line| *line != "regimes:").skip(1) {
        match (line.strip_prefix("    weight: "), line.strip_prefix("  ").and_then(|l| l.strip_suffix(':'))) {
            (Some(weight), _) => writeln!(csv, "{regime},{weight}").unwrap(),
            (None, Some(name)) if !name.starts_with(' ') => regime = name,
            _ => {}
        }
    }
    assert_eq!(csv.lines().count(), 17, "16 regimes");
    csv
}

fn check(space: &TestSpace, arguments: &[&str]) -> (Value, i32) {
    let all: Vec<&str> = ["check", "--json"].iter().chain(arguments).copied().collect();
    let output = space.command(&all).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}\n{}", String::from_utf8_lossy(&output.stderr)));
    (said, output.status.code().unwrap())
}

/// (Table without its dataset, check) → how many rows break it, and what is said.
fn verdicts(said: &Value) -> BTreeMap<(String, String), (u64, String)> {
    let one = |check: &Value| {
        let text = |key: &str| check[key].as_str().unwrap().to_owned();
        let bad = check["bad"].as_u64().unwrap();
        assert_eq!(check["passed"], bad == 0);
        ((text("target").split_once('.').unwrap().1.to_owned(), text("check")), (bad, text("what")))
    };
    said["checks"].as_array().unwrap().iter().map(one).collect()
}

#[test]
fn every_known_defect_that_a_check_can_see_is_seen() {
    let Some(shared) = common::shared() else { return };
    let space = space(&shared);
    space.write("recipes/defects.toml", include_str!("checks_zl/defects.toml"));
    let (said, code) = check(&space, &["**", "--as-of", "2025-11-06"]);
    assert_eq!(code, 0, "raw tables warn: {}", said["failed"]);
    let found = verdicts(&said);
    let mut wrong = String::new();
    for (table, check, bad) in KNOWN {
        match found.get(&((*table).to_owned(), (*check).to_owned())) {
            Some((counted, _)) if counted == bad => {}
            other => writeln!(wrong, "{table}: {check}: {bad} expected, found {other:?}").unwrap(),
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    for (table, check, part) in [
        ("soybean_oil_prices", "max_gap time 7 days", "2019-12-31 to 2020-10-21, 295 days"),
        ("palm_oil_prices", "accepted symbol", "PALM_COMPOSITE × 62, CPO=F × 49"),
        ("production_1w_backup_20251105", "no_dead_columns", "11 columns without any value"),
        ("production_1w_backup_20251105", "no_dead_columns", "24 columns constant"),
        ("regime_weights", "agrees_with registry.regime_weights_yaml: weight", "registry.regime_weights_yaml.weight 400"),
        ("biofuel_components_canonical", "WTI below zero", "date 2020-04-20"),
    ] {
        let what = &found[&(table.to_owned(), check.to_owned())].1;
        assert!(what.contains(part), "{table}: {check}: {what}");
    }
    let regimes =
        said["checks"].as_array().unwrap().iter().find(|c| c["check"] == "agrees_with registry.regime_weights_yaml: weight").unwrap();
    assert_eq!(self::regimes(regimes), ["trump_anticipation_2024", "trump_return_2024_2025", "trump_second_term"]);
}

#[test]
fn the_repositorys_soybean_recipes_raise_no_false_alarm_on_cleaned_tables() {
    let Some(shared) = common::shared() else { return };
    let space = TestSpace::wti();
    let warehouse = shared.join("warehouse");
    let (said, code) = check(&space, &["zl.*", "--profile", "zl", "--warehouse", warehouse.to_str().unwrap()]);
    assert_eq!(code, 0, "{}", said["failed"]);
    let checks = said["checks"].as_array().unwrap();
    let of = |cleaned: bool| checks.iter().filter(move |c| c["target"].as_str().unwrap().starts_with("zl.") == cleaned);
    let alarms: Vec<&Value> = of(true).filter(|c| c["passed"] == false).collect();
    assert!(alarms.is_empty(), "{alarms:#?}");
    let strict = |c: &Value| c["severity"] == "error" || (c["severity"] == "learning" && c["check"] == "known on the day");
    assert!(of(true).all(strict) && of(true).count() >= 30, "cleaned tables are held to much");
    assert!(
        of(false).all(|c| c["severity"] == "warn") && of(false).any(|c| c["passed"] == false),
        "raw tables warn, and there is what to warn of"
    );
}

/// The regimes on which two tables part.
fn regimes(check: &Value) -> Vec<&str> {
    check["rows"].as_array().unwrap().iter().map(|row| row[0].as_str().unwrap()).collect()
}

#[test]
fn a_second_copy_of_the_regimes_weights_that_disagrees_is_a_warning_that_names_both() {
    let Some(shared) = common::shared() else { return };
    let space = TestSpace::wti();
    space.write("other/PLACE.txt", "");
    for name in ["registry.regime_calendar.parquet", "registry.regime_weights.parquet"] {
        std::os::unix::fs::symlink(shared.join("warehouse").join(name), space.path("other").join(name)).unwrap();
    }
    let yaml = std::fs::read_to_string(shared.join("warehouse/regime_weights.yaml")).unwrap();
    space.write("other/registry.regime_weights_yaml.csv", weights(&yaml));
    let zl = ["--profile", "zl", "--warehouse", "other"];
    let (said, code) = check(&space, &[&["registry.regime_*"], &zl[..]].concat());
    assert_eq!(code, 0, "both are raw tables: {}", said["failed"]);
    let copy = said["checks"].as_array().unwrap().iter().find(|c| c["check"] == "agrees_with registry.regime_weights: weight").unwrap();
    assert_eq!((copy["target"].as_str(), copy["severity"].as_str()), (Some("registry.regime_weights_yaml"), Some("warn")));
    assert_eq!(regimes(copy), ["trump_anticipation_2024", "trump_return_2024_2025", "trump_second_term"]);
    // The same file in the place of the table: what is built on the calendar is built, and says so.
    std::fs::remove_file(space.path("other/registry.regime_weights.parquet")).unwrap();
    std::fs::rename(space.path("other/registry.regime_weights_yaml.csv"), space.path("other/registry.regime_weights.csv")).unwrap();
    space.write("recipes/other.toml", "[table.\"registry.regime_weights\"]\nkey = [\"regime\"]\ntypes = { weight = \"INT64\" }\n");
    let built = space.build(&[&["zl.regimes"], &zl[..]].concat()).ok();
    let warned: Vec<&Value> = built.events.iter().filter(|e| e["event"] == "warned").collect();
    assert_eq!((warned.len(), warned[0]["target"].as_str()), (1, Some("registry.regime_calendar")), "{}", built.stdout);
    let text = warned[0]["warnings"].to_string();
    assert!(text.contains("registry.regime_weights") && text.contains("trump_return_2024_2025"), "{text}");
}

#[test]
fn a_day_to_learn_from_without_a_regime_is_refused_by_the_frame() {
    let Some(shared) = common::shared() else { return };
    let space = TestSpace::wti();
    let warehouse = shared.join("warehouse");
    let frame = ["frame/zl/1m", "--profile", "zl", "--warehouse", warehouse.to_str().unwrap()];
    let text = space.read("sql/zl/regimes.sql");
    space.write(
        "sql/zl/regimes.sql",
        format!(
            "{}\nWHERE date < TIMESTAMP '2023-11-01' AND NOT date BETWEEN TIMESTAMP '2008-09-15' AND TIMESTAMP '2008-09-19'\n",
            text.trim_end()
        ),
    );
    space.edit("recipes/zl/data.toml", "{ max_gap = { column = \"date\", days = 1 } }", "{ max_gap = { column = \"date\", days = 9 } }");
    let refused = space.build(&frame);
    assert_eq!(refused.code, 8, "{}", refused.stderr);
    let error = refused.failure("frame/zl/1m")["error"].as_str().unwrap();
    assert!(error.starts_with("'zl.regimes' has no weight in 'training_weight' for "), "{error}");
    assert!(error.contains(" days to learn from: 2008-09-15 to 20"), "{error}");
    space.write("sql/zl/regimes.sql", text);
    space.build(&frame).ok();
}

const TRAINING: &str = r#"
[table."m.training"]
checks = [
  { unique = ["date"] },
  { no_frozen_tail = { column = ["target_*", "zl_price_current"], rows = 10 }, severity = "error" },
  { max_gap = { column = "date", days = 10 } },
]
[sql."m.above"]
query = "SELECT date, target_1w FROM m.training"
"#;

#[test]
fn appended_rows_with_invented_frozen_labels_are_refused_by_name_rows_and_reason() {
    let Some(shared) = common::shared() else { return };
    let change = shared.join("warehouse-changes/05_append_contaminated");
    let space = TestSpace::empty();
    space.write("recipes/all.toml", TRAINING);
    let file = space.path("warehouse/m.training.parquet");
    std::fs::copy(change.join("before.parquet"), &file).unwrap();
    space.build(&[]).ran(&["m.training", "m.above"]);
    std::fs::remove_file(&file).unwrap();
    std::fs::copy(change.join("after.parquet"), &file).unwrap();
    let refused = space.build(&[]);
    assert_eq!((refused.code, refused.counts), (8, Some((0, 0, 1))), "{}", refused.stderr);
    let error = refused.failure("m.training")["error"].as_str().unwrap();
    let tail = |column: &str, value: &str| {
        format!("the last 24 values of {column} are all {value}, row 1449 (date 2025-10-14) to row 1472 (date 2025-11-06)")
    };
    assert!(error.starts_with("check 'no_frozen_tail target_*, zl_price_current 10 rows': "), "{error}");
    for part in
        [tail("target_1w", "33.63999938964844"), tail("target_1m", "31.31999969482422"), tail("zl_price_current", "34.2400016784668")]
    {
        assert!(error.contains(&part), "{error}");
    }
    assert!(refused.events.iter().any(|e| e["event"] == "blocked" && e["target"] == "m.above"), "nothing is made of them");
    // What was there before is still good, and back to it nothing runs.
    std::fs::remove_file(&file).unwrap();
    std::fs::copy(change.join("before.parquet"), &file).unwrap();
    space.build(&[]).ran(&[]);
}
