//! The shipped recipes from end to end. Invariant: expected figures are worked out here from the published files, or are dates that a calendar on the
//! wall shows.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop where it stands")]

mod common;
#[path = "common/space.rs"]
mod space;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cbi::engine::table_columns::{dates, floats};
use cbi::engine::table_file;
use chrono::NaiveDate;
use serde_json::Value;

use space::TestSpace;

const PRICES: &str = "warehouse/fred.dcoilwtico.csv";
const HORIZONS: [(&str, usize); 3] = [("1w", 5), ("1m", 21), ("3m", 63)];
/// The targets of the demo: 3 tables, 3 queries, and 7 for each of 3 horizons.
const DEMO: u64 = 3 + 3 + 7 * 3;

fn date(text: &str) -> NaiveDate {
    NaiveDate::parse_from_str(text, "%Y-%m-%d").unwrap()
}

/// The published oil prices, read without any of cbi.
fn prices(text: &str) -> Vec<(NaiveDate, f64)> {
    let rows = text.lines().skip(1).map(|line| line.trim().split_once(',').unwrap()).filter(|(_, price)| *price != ".");
    rows.map(|(day, price)| (NaiveDate::parse_from_str(day, "%m/%d/%Y").unwrap(), price.parse().unwrap())).collect()
}

/// What `metrics.json` says of all test rows: one object a model.
fn errors(metrics: &Path) -> Vec<Value> {
    let metrics: Value = serde_json::from_str(&std::fs::read_to_string(metrics).unwrap()).unwrap();
    let all = metrics["segments"].as_array().unwrap().iter().find(|segment| segment["segment"] == "all").unwrap();
    all["models"].as_array().unwrap().clone()
}

/// Every model is in the same order of size as the naive forecast: neither broken nor too good to be true.
fn assert_plausible(models: &[Value]) {
    assert_eq!(models.len(), 4);
    for model in models {
        let (mae, naive) = (model["mae"].as_f64().unwrap(), model["naive"]["mae"].as_f64().unwrap());
        assert!(naive > 0.0 && (0.5..=3.0).contains(&(mae / naive)), "{model}");
    }
}

/// The newest output of a target.
fn output(space: &TestSpace, path: &str) -> PathBuf {
    space.path(".cbi-cache/out").join(path)
}

#[test]
fn a_fresh_copy_builds_the_demo_and_then_rests() {
    let space = TestSpace::wti();
    assert_eq!(space.build(&[]).ok().counts, Some((DEMO, 0, 0)));
    assert_eq!(space.build(&[]).ok().counts, Some((0, DEMO, 0)));

    for (horizon, due) in [("1w", "2019-01-10"), ("1m", "2019-02-04"), ("3m", "2019-04-04")] {
        let forecast = table_file::read(&output(&space, &format!("forecast/wti/{horizon}/table.parquet"))).unwrap();
        let last = |column: &str| floats(&forecast, column).unwrap().last().unwrap().unwrap();
        let day = |column: &str| NaiveDate::from_epoch_days(dates(&forecast, column).unwrap().last().unwrap().unwrap()).unwrap();
        assert_eq!((day("date"), day("target_date")), (date("2019-01-03"), date(due)), "{horizon}");
        assert_eq!(last("price").to_bits(), 46.92_f64.to_bits());
        assert_eq!(last("naive").to_bits(), 46.92_f64.to_bits());
        assert!((30.0..70.0).contains(&last("predicted")));
    }
}

#[test]
fn naive_errors_are_those_of_the_published_prices() {
    let space = TestSpace::wti();
    space.build(&["evaluate/wti/*"]).ok();
    let prices = prices(&space.read(PRICES));
    for (horizon, rows) in HORIZONS {
        let tested = prices.iter().zip(prices.iter().skip(rows)).filter(|((day, _), _)| *day >= date("2014-01-01"));
        let misses: Vec<f64> = tested.map(|((_, today), (_, then))| (then - today).abs()).collect();
        let models = errors(&output(&space, &format!("evaluate/wti/{horizon}/metrics.json")));
        assert_plausible(&models);
        for model in &models {
            assert_eq!(model["n"].as_u64().unwrap(), misses.len() as u64);
            let expected = misses.iter().sum::<f64>() / f64::from(u32::try_from(misses.len()).unwrap());
            assert!((model["naive"]["mae"].as_f64().unwrap() - expected).abs() < 1e-9, "{horizon}");
        }
    }
}

#[test]
fn models_that_are_not_trees_are_measured_on_the_same_rows() {
    let space = TestSpace::wti();
    space.build(&["compare/wti/1m", "evaluate/wti/1m"]).ok();
    let [compared, evaluated] = ["compare", "evaluate"].map(|name| errors(&output(&space, &format!("{name}/wti/1m/metrics.json"))));
    let names: BTreeSet<&str> = compared.iter().filter_map(|model| model["model"].as_str()?.split('/').nth(2)).collect();
    assert_eq!(names, BTreeSet::from(["ar", "drift", "elastic_net", "garch", "holt", "ridge", "seasonal_naive"]));
    for model in &compared {
        assert_eq!((&model["n"], &model["naive"]["mae"]), (&evaluated[0]["n"], &evaluated[0]["naive"]["mae"]));
        let (mae, naive) = (model["mae"].as_f64().unwrap(), model["naive"]["mae"].as_f64().unwrap());
        assert!((0.5..=6.0).contains(&(mae / naive)), "the price of a year ago is the worst of them: {model}");
    }
}

#[test]
fn soybean_oil_builds_on_the_platforms_tables_at_all_five_horizons() {
    let Some(shared) = common::shared() else { return };
    let warehouse = shared.join("warehouse");
    let arguments = ["--profile", "zl", "--warehouse", warehouse.to_str().unwrap()];
    let space = TestSpace::wti();
    let first = space.build(&arguments).ok();
    for horizon in ["1w", "1m", "3m", "6m", "12m"] {
        assert_plausible(&errors(&output(&space, &format!("evaluate/zl/{horizon}/metrics.json"))));
        assert!(first.targets.contains(&format!("forecast/zl/{horizon}")));
    }
    space.build(&arguments).ran(&[]);
}

#[test]
fn soybean_oil_trades_on_the_days_of_the_demos_calendar() {
    let space = TestSpace::wti();
    space.build(&["zl.trading_days", "calendar.us_trading_days"]).ok();
    let days = |target: &str| -> BTreeSet<i32> {
        let table = table_file::read(&output(&space, &format!("{target}/table.parquet"))).unwrap();
        dates(&table, "date").unwrap().into_iter().map(Option::unwrap).collect()
    };
    let from = date("2024-01-01").to_epoch_days();
    let mut expected: BTreeSet<i32> = days("calendar.us_trading_days").into_iter().filter(|day| *day >= from).collect();
    // A day of mourning on the stock exchange, on which soybean oil traded.
    expected.insert(date("2025-01-09").to_epoch_days());
    assert_eq!(days("zl.trading_days"), expected);
}
