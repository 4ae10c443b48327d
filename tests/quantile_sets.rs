//! Promises about quantile sets on the committed crude oil series: they never cross, walk forward, are refitted, weighed and forecast from.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop where it stands")]

mod crude_oil;

use cbi::base::diagnostic::ExitCode;
use cbi::engine::backtest_file::{self, read_record};
use cbi::engine::table_columns::{floats, strings};
use cbi::engine::{frame_file, table_file};
use cbi::kinds::trained;
use cbi::model::training::ModelRecord;
use crude_oil::{Work, declare};
use serde_json::{Value, json};

fn frame() -> Value {
    json!({
        "features": "wti.features", "columns": ["ret_*", "ma_*", "vol_*"], "price": {"table": "wti.daily", "column": "price", "series": "spot"},
        "horizon": {"rows": 21}, "label": "log_return",
        "split": {"train": ["1987-01-05", "2010-12-31"], "valid": ["2011-01-01", "2013-12-31"], "test": ["2014-01-01"]},
        "folds": {"walk_forward": {"from": "2000-01-01", "to": "2002-12-31", "train": "8 years", "valid": "2 years", "test": "12 months"}},
        "refit": "monthly",
    })
}

/// A frame, and a set of three quantiles with all that can be made of it.
fn made() -> Work {
    let work = Work::new();
    work.run("frame", &frame(), &[("features", "features"), ("price", "prices")], "frame").unwrap();
    let params = json!({"num_iterations": 60, "early_stopping_round": 10, "num_leaves": 7, "learning_rate": 0.1});
    work.run("quantiles", &json!({"frame": "frame/x", "params": params}), &[("frame", "frame/fit")], "set").unwrap();
    work
}

fn again() -> Value {
    json!({"frame": "frame/x", "model": "model/x"})
}

#[test]
fn a_set_never_crosses_and_its_middle_is_its_forecast() {
    let work = made();
    let (model, test) = (trained::read(&work.path("set/model")).unwrap(), frame_file::read(&work.path("frame/test")).unwrap());
    let rows: Vec<usize> = (0..test.len()).collect();
    let set = model.quantiles(&test, &rows).unwrap().unwrap();
    assert_eq!(set.levels, [0.1, 0.5, 0.9]);
    assert!(rows.iter().all(|&row| set.predicted[0][row] <= set.predicted[1][row] && set.predicted[1][row] <= set.predicted[2][row]));
    assert_eq!(model.predict(&test, &rows).unwrap(), set.predicted[1]);
    assert_eq!(model.record.rounds_kept().len(), 3, "each level stops by itself");
    assert!(model.record.engine.is_some());
}

#[test]
fn a_set_walks_forward_and_its_backtest_holds_all_levels_and_what_naive_said() {
    let work = made();
    let report = work.run("backtest", &again(), &[("frame", "frame/folds"), ("model:0", "set/model")], "walked").unwrap();
    let (past, record) = (backtest_file::read(&work.path("walked/backtest")).unwrap(), read_record(&work.path("walked/backtest")).unwrap());
    let set = past.quantiles.as_ref().unwrap();
    assert_eq!((set.levels.as_slice(), record.folds.len()), ([0.1, 0.5, 0.9].as_slice(), 3));
    assert_eq!(set.predicted[1], past.predicted);
    assert!(record.folds.iter().all(|fold| fold.levels.iter().all(|level| level.rounds.is_some_and(|rounds| rounds <= 60))));
    // Naive quantiles are of the fold's own train rows: between two folds their distance to the price changes.
    let naive = |row: usize| set.naive[2][row] / past.price[row];
    let second = past.folds.iter().position(|fold| *fold != past.folds[0]).unwrap();
    assert!((naive(0) - naive(1)).abs() < 1e-12 && (naive(0) - naive(second)).abs() > 1e-6);
    let crossed = set.crossed.iter().filter(|crossed| **crossed).count();
    assert!(
        (report.metrics["crossed"] - f64::from(u32::try_from(crossed).unwrap()) / f64::from(u32::try_from(past.dates.len()).unwrap()))
            .abs()
            < 1e-12
    );

    let judged = work.run("evaluate", &json!({"backtests": ["backtest/x"]}), &[("model:0", "walked/backtest")], "judged").unwrap();
    assert!((judged.metrics["backtest/x/crossed"] - report.metrics["crossed"]).abs() < 1e-12);
    assert!(judged.metrics["backtest/x/p10_p90/width"] > 0.0);
    let levels = table_file::read(&work.path("judged/metrics/quantiles.parquet")).unwrap();
    assert_eq!(floats(&levels, "level").unwrap()[..3], [Some(0.1), Some(0.5), Some(0.9)]);
    assert!(strings(&levels, "segment").unwrap().contains(&Some("2001")));

    // In an ensemble a set is its middle, and the ensemble is no set.
    let stanza = json!({"frame": "frame/x", "models": ["model/a"], "backtests": ["backtest/a"], "weights": "equal"});
    let inputs = [("backtest:0", "walked/backtest"), ("frame", "frame/fit"), ("model:0", "set/model")];
    work.run("ensemble", &stanza, &inputs, "ensemble").unwrap();
    assert_eq!(backtest_file::read(&work.path("ensemble/backtest")).unwrap().quantiles, None);
}

#[test]
fn a_refit_trains_each_level_for_the_rounds_it_was_chosen_with_and_forecasts_carry_its_quantiles() {
    let work = made();
    work.run("refit", &again(), &[("frame", "frame/refit"), ("model:0", "set/model")], "again").unwrap();
    let record =
        |name: &str| -> ModelRecord { serde_json::from_slice(&std::fs::read(work.path(name).join("model/model.json")).unwrap()).unwrap() };
    assert_eq!(record("again").rounds_kept(), record("set").rounds_kept());

    let mut stanza =
        json!({"frame": "frame/x", "model": "model/x", "quantiles": "quantiles/x", "calendar": {"table": "wti.days", "column": "date"}});
    let inputs = [("calendar", "calendar"), ("frame", "frame/score"), ("model", "naive/model"), ("quantiles", "again/model")];
    work.run("naive", &json!({"frame": "frame/x"}), &[("frame", "frame/fit")], "naive").unwrap();
    stanza["quantiles"] = json!("quantiles/x");
    let report = work.run("forecast", &stanza, &inputs, "forecast").unwrap();
    let table = table_file::read(&work.path("forecast/table/table.parquet")).unwrap();
    let [low, middle, high] = ["p10", "p50", "p90"].map(|name| floats(&table, name).unwrap());
    assert!(low.iter().zip(&middle).zip(&high).all(|((low, middle), high)| low < middle && middle < high));
    assert!(report.notes.iter().any(|note| note.starts_with("p10 ") && note.contains(", p90 ")), "{:?}", report.notes);
    let wrong = [("calendar", "calendar"), ("frame", "frame/score"), ("model", "naive/model"), ("quantiles", "naive/model")];
    let error = work.run("forecast", &stanza, &wrong, "refused").unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (ExitCode::Invalid, "'quantiles' names a model of one price, which has none"));
}

#[test]
fn what_makes_no_set_is_refused_at_its_place() {
    let refused = |body: Value| {
        let mut body = body;
        body["frame"] = json!("frame/x");
        declare("quantiles", 1, &body).unwrap_err()[0].message.clone()
    };
    assert_eq!(refused(json!({"levels": [0.5, 1.0]})), "a level is above 0 and below 1, not 1");
    assert_eq!(refused(json!({"levels": [0.5, 0.1]})), "levels ascend, and 0.1 does not come after 0.5");
    assert!(refused(json!({"levels": [0.1, 0.9]})).contains("0.5 among them"));
    assert!(refused(json!({"params": {"objective": "regression"}})).starts_with("'objective' may not be set here: a quantile set gives"));
    assert!(refused(json!({"learner": "xgboost", "params": {"quantile_alpha": 0.5}})).starts_with("'quantile_alpha' may not be set here"));
    assert!(refused(json!({"learner": "lightgbm", "params": {"num_leafs": 3}})).contains("no parameter 'num_leafs'"));
    let stanza = json!({"frame": "frame/x", "model": "m/x", "quantiles": "frame/x", "calendar": {"table": "wti.days", "column": "date"}});
    assert_eq!(declare("forecast", 1, &stanza).unwrap_err()[0].message, "'frame/x' is a frame, not a quantile set");
}
