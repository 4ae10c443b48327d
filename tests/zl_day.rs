//! Promises about one more day of soybean oil, in the whole set of one horizon: what goes to work keeps its models, and the new forecast is there.
//! Invariant: the rows are the platform's own; the day is taken out of copies of its tables and put back.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on may stop where it stands, and this one says how long it took"
)]

mod common;
#[path = "common/space.rs"]
mod space;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use cbi::engine::table_file;
use cbi::engine::warehouse;
use cbi::kinds::query;
use serde_json::{Map, Value};
use space::{Built, TestSpace};

/// The closes of ZL, by its own table and by the one that has all markets side by side; both have a row of the day before and of the day.
const CLOSES: &str = "forecasting_data_warehouse.soybean_oil_prices";
const MARKETS: &str = "yahoo_finance_comprehensive.biofuel_components_canonical";

/// All that one horizon has: frames, models, a search, backtests, ensembles, evaluations, refits, forecasts and signals.
const WANTED: [&str; 2] = ["*/zl/1w", "*/zl/*/1w"];

/// The workspace's copies of the platform's tables, of which two lose rows and get them back.
struct Platform {
    space: TestSpace,
    whole: BTreeMap<String, PathBuf>,
}

impl Platform {
    fn new(whole: BTreeMap<String, PathBuf>) -> Self {
        let space = TestSpace::with_short_networks();
        fs::create_dir(space.path("platform")).unwrap();
        for file in whole.values() {
            fs::copy(file, space.path("platform").join(file.file_name().unwrap())).unwrap();
        }
        Self { space, whole }
    }

    /// Leaves the table's rows until `day` and no others.
    fn until(&self, table: &str, date: &str, day: &str) {
        let text = format!("SELECT * FROM {table} WHERE DATE({date}) <= DATE '{day}'");
        let rows = query::rows(&text, &Map::new(), &self.whole).unwrap();
        let file = self.space.path(&format!("platform/{table}.parquet"));
        fs::remove_file(&file).unwrap();
        table_file::write(&file, &rows, &[date.to_owned()]).unwrap();
    }

    fn build(&self, day: &str) -> Built {
        self.build_these(day, &WANTED)
    }

    fn build_these(&self, day: &str, wanted: &[&str]) -> Built {
        self.space.build(&[&["--profile", "zl", "--warehouse", "platform", "--as-of", day][..], wanted].concat()).ok()
    }

    /// Publishes the day's forecasts and counts all that were ever published.
    fn published(&self, day: &str) -> usize {
        self.build_these(day, &["publish/zl/1w"]).ran(&["publish/zl/1w"]);
        self.build_these(day, &["publish/zl/1w"]).ran(&[]);
        table_file::read(&self.space.path("published/predictions.zl_forecasts.parquet")).unwrap().num_rows()
    }
}

/// How many steps of each kind ran.
fn kinds(built: &Built) -> BTreeMap<&str, usize> {
    let kind: BTreeMap<&str, &str> = built.events.iter().filter_map(|e| Some((e["target"].as_str()?, e["kind"].as_str()?))).collect();
    let mut counts = BTreeMap::new();
    built.targets.iter().for_each(|target| *counts.entry(kind[target.as_str()]).or_insert(0) += 1);
    counts
}

/// What its steps cost.
fn cpu_ms(built: &Built) -> u64 {
    built.events.iter().filter(|e| e["event"] == "ran").map(|e| e["cost"]["cpu_ms"].as_u64().unwrap()).sum()
}

#[test]
fn one_added_day_makes_new_forecasts_and_trains_nothing() {
    let Some(shared) = common::shared() else { return };
    let platform = Platform::new(warehouse::tables(&shared.join("warehouse")).unwrap());
    platform.until(CLOSES, "time", "2025-11-04");
    platform.until(MARKETS, "date", "2025-11-04");
    let first = platform.build("2025-11-04");
    let trained = ["backtest", "elastic_net", "ensemble", "garch", "lightgbm", "neural", "quantiles", "refit", "ridge", "tune", "xgboost"];
    assert!(trained.iter().all(|kind| kinds(&first).contains_key(kind)), "{:?}", kinds(&first));

    let published = platform.published("2025-11-04");

    // The day's close comes into the table of ZL, which the other one is held against: both tables are looked at again, and that is all.
    platform.until(CLOSES, "time", "2025-11-05");
    platform.build("2025-11-05").ran(&[CLOSES, MARKETS]);

    // And into the one that forecasts are made from.
    platform.until(MARKETS, "date", "2025-11-05");
    let began = Instant::now();
    let day = platform.build("2025-11-05");
    let wall = began.elapsed();
    // The classifier of regimes is an evaluation that ends with the newest day: which earlier regimes that day looks like.
    let expected = [("evaluate", 3), ("forecast", 3), ("frame", 3), ("regime_classifier", 1), ("signal", 3), ("sql", 2), ("table", 1)];
    assert_eq!(kinds(&day), BTreeMap::from(expected), "{:?}", day.targets);
    let (steps, all, seconds) = (day.targets.len(), first.targets.len(), wall.as_secs_f64());
    println!("one more day: {steps} steps of {all} ran, {} ms CPU of {} ms, in {seconds:.1} s", cpu_ms(&day), cpu_ms(&first));
    let forecasts: Vec<&Value> = day.events.iter().filter(|e| e["event"] == "ran" && e["target"] == "forecast/zl/production/1w").collect();
    let said = forecasts[0]["notes"].to_string();
    assert!(said.contains("2025-11-05"), "{said}");
    assert_eq!(platform.build("2025-11-05").targets.len(), 0);
    // Four of the five days without an outcome were published before, and stay as they were.
    assert_eq!(platform.published("2025-11-05"), published + 1);
}
