//! Published tables of the platform, made again from their sources: the SQL that does it is the workspace's own.
#![allow(missing_docs, clippy::unwrap_used, clippy::float_cmp)]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use cbi::engine::table_columns::{dates, floats, strings};
use cbi::engine::table_file;
use cbi::kinds::query;
use serde_json::Map;

fn text_of(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// Runs a query over the real warehouse.
fn run(text: &str, shared: &Path) -> RecordBatch {
    let tables: BTreeMap<String, PathBuf> = cbi::engine::warehouse::tables(&shared.join("warehouse")).unwrap();
    query::rows(text, &Map::new(), &tables).unwrap()
}

/// Date → value of a column.
fn by_date(table: &RecordBatch, column: &str) -> BTreeMap<i32, Option<f64>> {
    let dates = dates(table, "date").unwrap().into_iter().map(Option::unwrap);
    let values = dates.zip(floats(table, column).unwrap()).collect::<BTreeMap<_, _>>();
    assert_eq!(values.len(), table.num_rows(), "one row a date");
    values
}

fn golden(shared: &Path, name: &str) -> RecordBatch {
    table_file::read(&shared.join("warehouse").join(format!("{name}.parquet"))).unwrap()
}

/// On how many of the dates of `wanted` the two agree.
fn agreeing(wanted: &BTreeMap<i32, Option<f64>>, made: &BTreeMap<i32, Option<f64>>, tolerance: f64) -> usize {
    let same = |a: &Option<f64>, b: &Option<f64>| match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= tolerance,
        (a, b) => a == b,
    };
    wanted.iter().filter(|(date, value)| made.get(date).is_some_and(|made| same(value, made))).count()
}

#[test]
fn the_crush_margin_of_every_day_is_made_again() {
    let Some(shared) = common::shared() else { return };
    let golden = golden(&shared, "curated.vw_crush_margins_daily");
    let made = run(&text_of("sql/zl/crush_margins.sql"), &shared);
    assert_eq!((golden.num_rows(), made.num_rows()), (5_969, 5_969));
    for column in ["oil_price_lb", "bean_price_bu", "meal_price_ton", "crush_margin_usd_per_bu"] {
        let agreeing = agreeing(&by_date(&golden, column), &by_date(&made, column), 1e-9);
        assert_eq!(agreeing, 5_969, "{column}");
    }
    let status = |table: &RecordBatch| {
        let days = dates(table, "date").unwrap().into_iter().map(Option::unwrap);
        let status = strings(table, "margin_status").unwrap().into_iter().map(|s| s.unwrap_or_default().to_owned()).collect::<Vec<_>>();
        days.zip(status).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(status(&golden), status(&made));
}

#[test]
fn the_exchange_rates_are_made_again() {
    let Some(shared) = common::shared() else { return };
    let golden = golden(&shared, "models_v4.currency_complete");
    let made = run(&text_of("sql/zl/currency.sql"), &shared);
    assert_eq!(golden.num_rows(), 6_287);
    for (column, days) in [("usd_cny_rate", 6_286), ("usd_brl_rate", 6_286), ("usd_myr_rate", 6_266)] {
        assert_eq!(agreeing(&by_date(&golden, column), &by_date(&made, column), 1e-9), days, "{column}");
    }
}

#[test]
fn known_prices_are_found() {
    let Some(shared) = common::shared() else { return };
    let known = run(
        "SELECT
           (SELECT soybean_oil_price_cwt FROM yahoo_finance_comprehensive.biofuel_components_canonical WHERE date = '2022-04-28') AS zl,
           (SELECT crude_oil_price_bbl FROM yahoo_finance_comprehensive.biofuel_components_canonical WHERE date = '2020-04-20') AS wti,
           (SELECT close FROM forecasting_data_warehouse.vix_daily WHERE date = '2020-03-16') AS vix,
           (SELECT MAX(close) FROM forecasting_data_warehouse.sp500_prices WHERE DATE(time) = '2009-03-09') AS sp500",
        &shared,
    );
    let value = |column: &str| (floats(&known, column).unwrap()[0].unwrap() * 100.0).round() / 100.0;
    assert_eq!([value("zl"), value("wti"), value("vix"), value("sp500")], [90.60, -37.63, 82.69, 676.53]);
}

#[test]
fn the_same_rows_in_another_order_and_file_give_the_same_bytes() {
    let Some(shared) = common::shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let canonical = |name: &str| {
        let rows = table_file::read(&shared.join("warehouse-changes/02_same_rows_other_bytes").join(name)).unwrap();
        let path = folder.path().join(name);
        table_file::write(&path, &rows, &["time".to_owned()]).unwrap();
        (rows.num_rows(), std::fs::read(path).unwrap())
    };
    let (before, after) = (canonical("before.parquet"), canonical("after.parquet"));
    assert!(before.0 > 0);
    assert_eq!(before, after);
}
