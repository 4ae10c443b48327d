//! The shipped recipes from end to end: what they make, and what a change makes run again. Invariant: expected figures are worked out here from the
//! published files, or are dates that a calendar on the wall shows.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;
mod workspace;

use std::collections::BTreeSet;
use std::path::Path;

use cbi::engine::table_columns::{dates, floats};
use cbi::engine::table_file;
use chrono::NaiveDate;
use serde_json::Value;

use workspace::Workspace;

const PRICES: &str = "warehouse/fred.dcoilwtico.csv";
const HORIZONS: [(&str, usize); 3] = [("1w", 5), ("1m", 21), ("3m", 63)];
/// The targets of the demo: 3 tables, 3 queries, and 7 for each of 3 horizons.
const DEMO: usize = 3 + 3 + 7 * 3;

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

fn names(of: &[&str]) -> BTreeSet<String> {
    of.iter().map(ToString::to_string).collect()
}

fn each_horizon(of: &[&str]) -> BTreeSet<String> {
    HORIZONS.iter().flat_map(|(horizon, _)| of.iter().map(move |name| format!("{name}/{horizon}"))).collect()
}

#[test]
fn a_fresh_copy_builds_the_demo_and_then_rests() {
    let workspace = Workspace::copy();
    let first = workspace.build(&[]);
    assert_eq!((first.ran.len(), first.reused), (DEMO, 0));
    let second = workspace.build(&[]);
    assert_eq!((second.ran.len(), second.reused), (0, DEMO as u64));

    for (horizon, due) in [("1w", "2019-01-10"), ("1m", "2019-02-04"), ("3m", "2019-04-04")] {
        let forecast = table_file::read(&workspace.output(&format!("forecast/wti/{horizon}/table.parquet"))).unwrap();
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
    let workspace = Workspace::copy();
    workspace.build(&["evaluate/wti/*"]);
    let prices = prices(&workspace.read(PRICES));
    for (horizon, rows) in HORIZONS {
        let tested = prices.iter().zip(prices.iter().skip(rows)).filter(|((day, _), _)| *day >= date("2014-01-01"));
        let misses: Vec<f64> = tested.map(|((_, today), (_, then))| (then - today).abs()).collect();
        let models = errors(&workspace.output(&format!("evaluate/wti/{horizon}/metrics.json")));
        assert_plausible(&models);
        for model in &models {
            assert_eq!(model["n"].as_u64().unwrap(), misses.len() as u64);
            let expected = misses.iter().sum::<f64>() / f64::from(u32::try_from(misses.len()).unwrap());
            assert!((model["naive"]["mae"].as_f64().unwrap() - expected).abs() < 1e-9, "{horizon}");
        }
    }
}

#[test]
fn what_changes_nothing_runs_nothing() {
    let workspace = Workspace::copy();
    workspace.build(&[]);
    workspace.write(PRICES, &workspace.read(PRICES));
    workspace.edit("sql/wti/daily.sql", "SELECT", "-- Another comment,\n-- and another layout.\nSELECT\n\n");
    workspace.edit("recipes/wti/models.toml", "# The yardstick: the price stays where it is.", "# Naive.");
    std::fs::rename(workspace.path("recipes/wti/data.toml"), workspace.path("recipes/wti/tables.toml")).unwrap();
    assert_eq!(workspace.build(&[]).ran, names(&[]));
}

#[test]
fn rows_in_another_order_run_the_table_step_alone() {
    let workspace = Workspace::copy();
    workspace.build(&[]);
    let text = workspace.read(PRICES);
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    lines[1..].reverse();
    workspace.write(PRICES, &lines.concat());
    assert_eq!(workspace.build(&[]).ran, names(&["fred.dcoilwtico"]));
}

#[test]
fn new_days_train_nothing_and_going_back_runs_nothing() {
    let workspace = Workspace::copy();
    let whole = workspace.read(PRICES);
    let december = whole.find("12/3/2018").unwrap();
    workspace.write(PRICES, &whole[..december]);
    workspace.build(&[]);
    workspace.write(PRICES, &whole);
    let expected = names(&["fred.dcoilwtico", "wti.daily", "wti.features"]);
    let expected = expected.union(&each_horizon(&["frame/wti", "evaluate/wti", "forecast/wti"])).cloned().collect();
    assert_eq!(workspace.build(&[]).ran, expected);
    workspace.write(PRICES, &whole[..december]);
    assert_eq!(workspace.build(&[]).ran, names(&[]));
}

#[test]
fn a_parameter_runs_its_models_and_what_uses_them() {
    let workspace = Workspace::copy();
    workspace.build(&[]);
    workspace.edit("recipes/wti/models.toml", "num_leaves = 15", "num_leaves = 14");
    assert_eq!(workspace.build(&[]).ran, each_horizon(&["model/wti/lightgbm", "ensemble/wti", "evaluate/wti", "forecast/wti"]));
}

#[test]
fn soybean_oil_builds_on_the_platforms_tables_at_all_five_horizons() {
    let Some(shared) = common::shared() else { return };
    let warehouse = shared.join("warehouse");
    let arguments = ["--profile", "zl", "--warehouse", warehouse.to_str().unwrap()];
    let workspace = Workspace::copy();
    let first = workspace.build(&arguments);
    assert_eq!(first.reused, 0);
    for horizon in ["1w", "1m", "3m", "6m", "12m"] {
        assert_plausible(&errors(&workspace.output(&format!("evaluate/zl/{horizon}/metrics.json"))));
        assert!(first.ran.contains(&format!("forecast/zl/{horizon}")));
    }
    assert_eq!(workspace.build(&arguments).ran, names(&[]));
}

#[test]
fn soybean_oil_trades_on_the_days_of_the_demos_calendar() {
    let workspace = Workspace::copy();
    workspace.build(&["zl.trading_days", "calendar.us_trading_days"]);
    let days = |target: &str| -> BTreeSet<i32> {
        let table = table_file::read(&workspace.output(&format!("{target}/table.parquet"))).unwrap();
        dates(&table, "date").unwrap().into_iter().map(Option::unwrap).collect()
    };
    let from = date("2024-01-01").to_epoch_days();
    let mut expected: BTreeSet<i32> = days("calendar.us_trading_days").into_iter().filter(|day| *day >= from).collect();
    // A day of mourning on the stock exchange, on which soybean oil traded.
    expected.insert(date("2025-01-09").to_epoch_days());
    assert_eq!(days("zl.trading_days"), expected);
}
