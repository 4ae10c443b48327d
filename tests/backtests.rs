//! Out-of-sample forecasts and refits on the committed crude oil series. Invariant: what a fold forecasts is compared with a model trained by hand
//! on rows that this test picks itself.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop where it stands")]

mod crude_oil;

use std::path::Path;

use cbi::base::diagnostic::ExitCode;
use cbi::engine::backtest_file::{self, Predictions, read_record};
use cbi::engine::frame_file::{self, FrameData, Part, iso_date};
use cbi::kinds::learner::{Settings, teach};
use cbi::kinds::{learners, trained};
use cbi::model::backtest::BacktestRecord;
use cbi::model::training::ModelRecord;
use crude_oil::Work;
use serde_json::{Value, json};

fn frame(folds: &Value) -> Value {
    json!({
        "features": "wti.features", "columns": ["ret_*", "ma_*", "vol_*"], "price": {"table": "wti.daily", "column": "price", "series": "spot"},
        "horizon": {"rows": 21}, "label": "log_return",
        "split": {"train": ["1987-01-05", "2010-12-31"], "valid": ["2011-01-01", "2013-12-31"], "test": ["2014-01-01"]},
        "folds": folds, "refit": "monthly",
    })
}

fn walk_forward(valid: Option<&str>) -> Value {
    let mut walk = json!({"from": "2000-01-01", "to": "2003-12-31", "train": "10 years", "test": "12 months"});
    if let Some(valid) = valid {
        walk["valid"] = json!(valid);
    }
    json!({ "walk_forward": walk })
}

const TREES: &str = r#"{"num_iterations": 60, "early_stopping_round": 10, "num_leaves": 7, "learning_rate": 0.1}"#;

/// A frame, a model of it, and the model's backtest.
fn backtest(folds: &Value, params: &Value) -> (Work, Result<Predictions, (ExitCode, String)>) {
    let work = Work::new();
    work.run("frame", &frame(folds), &[("features", "features"), ("price", "prices")], "frame").unwrap();
    work.run("lightgbm", &json!({"frame": "frame/x", "params": params}), &[("frame", "frame/fit")], "model").unwrap();
    let stanza = json!({"frame": "frame/x", "model": "model/x"});
    let ran = work.run("backtest", &stanza, &[("frame", "frame/folds"), ("model:0", "model/model")], "backtest");
    let read = |_| backtest_file::read(&work.path("backtest/backtest")).unwrap();
    let ran = ran.map(read).map_err(|error| (error.code, error.to_string()));
    (work, ran)
}

fn trees() -> Value {
    serde_json::from_str(TREES).unwrap()
}

fn record(work: &Work) -> BacktestRecord {
    read_record(&work.path("backtest/backtest")).unwrap()
}

/// The rows of a history whose date and outcome date are right.
fn picked(history: &FrameData, wanted: impl Fn(&str, &str) -> bool) -> Vec<usize> {
    (0..history.len()).filter(|&row| wanted(&iso_date(history.dates[row]), &iso_date(history.outcome_dates[row]))).collect()
}

#[test]
fn a_fold_forecasts_what_a_model_trained_by_hand_on_its_past_forecasts() {
    let (work, forecasts) = backtest(&walk_forward(Some("2 years")), &trees());
    let forecasts = forecasts.unwrap();
    let history = frame_file::read(&work.path("frame/folds")).unwrap();
    assert!(history.outcome_dates.iter().all(|date| iso_date(*date).as_str() <= "2003-12-31"));

    let valid = picked(&history, |date, outcome| date >= "1999-01-01" && outcome < "2001-01-01");
    let before = picked(&history, |_, outcome| outcome < "1999-01-01");
    let last = iso_date(history.dates[*before.last().unwrap()]);
    let first = format!("{}{}", last[..4].parse::<i32>().unwrap() - 10, &last[4..]);
    let parts = before.into_iter().filter(|&row| iso_date(history.dates[row]) > first).map(|row| (row, Part::Train));
    let lesson = history.subset(&parts.chain(valid.into_iter().map(|row| (row, Part::Valid))).collect::<Vec<_>>());
    let model: ModelRecord = serde_json::from_slice(&std::fs::read(work.path("model/model/model.json")).unwrap()).unwrap();
    let by_hand = work.path("by_hand");
    let settings = Settings { params: model.params, threads: 1, ..Settings::default() };
    teach(learners::of("lightgbm").unwrap(), &lesson, &settings, &by_hand).unwrap();
    let test = picked(&history, |date, _| ("2001-01-01".."2002-01-01").contains(&date));
    let expected = trained::read(&by_hand).unwrap().predict(&history, &test).unwrap();

    let of_fold: Vec<f64> = forecasts.folds.iter().zip(&forecasts.predicted).filter(|(f, _)| *f == "2001-01-02").map(|(_, p)| *p).collect();
    assert_eq!(of_fold, expected);
    assert_eq!(record(&work).folds.len(), 4);
    for fold in record(&work).folds {
        assert!(fold.rounds.is_some_and(|rounds| rounds < 60));
        assert!(fold.trained_on.iter().all(|seen| seen.outcome_last < fold.first), "{fold:?}");
    }
}

#[test]
fn a_purged_fold_learns_from_both_sides_of_the_stretch_it_forecasts() {
    let purged = json!({"purged": {"from": "1987-01-05", "to": "2003-12-31", "count": 4}});
    let (work, forecasts) = backtest(&purged, &trees());
    let forecasts = forecasts.unwrap();
    let history = frame_file::read(&work.path("frame/folds")).unwrap();
    assert_eq!(forecasts.dates, history.dates);
    let record = record(&work);
    assert_eq!(record.folds.len(), 4);
    let second = &record.folds[1];
    assert!(second.trained_on[0].first < second.first && second.trained_on[0].outcome_last > second.last);
    assert!(second.trained_on[0].rows + second.rows + 2 * 21 >= history.len() as u64 - 2, "only the gap is left out");
}

#[test]
fn rounds_chosen_on_rows_that_the_folds_forecast_are_refused() {
    let (_, refused) = backtest(&walk_forward(None), &trees());
    let (code, error) = refused.unwrap_err();
    assert_eq!(code, ExitCode::Refused);
    assert_eq!(error, "its number of rounds was chosen on rows with outcomes up to 2013-12-31, but the folds forecast from 2000-01-01 on");
    let fixed = json!({"num_iterations": 20, "num_leaves": 7});
    assert!(backtest(&walk_forward(None), &fixed).1.is_ok(), "a number that nobody chose by looking is no leak");
}

#[test]
fn a_valid_stretch_that_the_horizon_empties_is_refused_with_what_would_do() {
    let (_, refused) = backtest(&walk_forward(Some("1 month")), &trees());
    let (code, error) = refused.unwrap_err();
    assert_eq!(code, ExitCode::Refused);
    assert!(error.starts_with("the fold that forecasts from 2000-01-01 has "), "{error}");
}

#[test]
fn a_refit_learns_from_all_outcomes_before_this_month_and_keeps_the_rounds() {
    let (work, _) = backtest(&walk_forward(Some("2 years")), &trees());
    let stanza = json!({"frame": "frame/x", "model": "model/x"});
    work.run("refit", &stanza, &[("frame", "frame/refit"), ("model:0", "model/model")], "refit").unwrap();
    let read = |path: &Path| serde_json::from_slice::<ModelRecord>(&std::fs::read(path.join("model.json")).unwrap()).unwrap();
    let (chosen, again) = (read(&work.path("model/model")), read(&work.path("refit/model")));
    assert_eq!(again.rounds, chosen.rounds);
    assert_eq!(again.trained_on.len(), 1);
    assert_eq!((again.trained_on[0].first.as_str(), again.trained_on[0].outcome_last.as_str()), ("1987-01-05", "2018-12-28"));
    assert_eq!(again.params["num_iterations"], json!(chosen.rounds));
    assert!(!again.params.contains_key("early_stopping_round"));

    let forecast = trained::read(&work.path("refit/model")).unwrap();
    let test = frame_file::read(&work.path("frame/test")).unwrap();
    assert!(forecast.predict(&test, &[0]).unwrap()[0].is_finite());
}

/// Two models' backtests, and an ensemble that earns its weights on them.
fn stacked(weights: &str) -> (Work, Value) {
    let work = Work::new();
    work.run("frame", &frame(&walk_forward(Some("2 years"))), &[("features", "features"), ("price", "prices")], "frame").unwrap();
    for (kind, params) in [("lightgbm", trees()), ("ridge", json!({"alpha": 100.0}))] {
        work.run(kind, &json!({"frame": "frame/x", "params": params}), &[("frame", "frame/fit")], kind).unwrap();
        let stanza = json!({"frame": "frame/x", "model": "model/x"});
        let inputs = [("frame", "frame/folds"), ("model:0", &*format!("{kind}/model"))];
        work.run("backtest", &stanza, &inputs, &format!("{kind}_backtest")).unwrap();
    }
    let stanza = json!({
        "frame": "frame/x", "models": ["model/a", "model/b"], "backtests": ["backtest/a", "backtest/b"], "weights": weights,
    });
    let inputs = [
        ("backtest:0", "lightgbm_backtest/backtest"),
        ("backtest:1", "ridge_backtest/backtest"),
        ("frame", "frame/fit"),
        ("model:0", "lightgbm/model"),
        ("model:1", "ridge/model"),
    ];
    work.run("ensemble", &stanza, &inputs, "ensemble").unwrap();
    (work, stanza)
}

#[test]
fn an_ensemble_is_weighed_on_forecasts_its_members_made_out_of_sample() {
    let (work, _) = stacked("stacked");
    let read = |name: &str| backtest_file::read(&work.path(name)).unwrap();
    let (trees, ridge, own) = (read("lightgbm_backtest/backtest"), read("ridge_backtest/backtest"), read("ensemble/backtest"));
    let record: ModelRecord = serde_json::from_slice(&std::fs::read(work.path("ensemble/model/model.json")).unwrap()).unwrap();
    let seen = record.trained_on.iter().find(|seen| seen.split == "weights").unwrap();
    assert_eq!(seen.rows, own.dates.len() as u64);
    // What the members did in the first fold weighs those of the second, and so on: the first has equal weights.
    let first = f64::midpoint(trees.predicted[0], ridge.predicted[0]);
    assert!((own.predicted[0] - first).abs() < 1e-9);
    assert_eq!((own.dates.clone(), own.actual.clone()), (trees.dates, trees.actual));
    assert_eq!(read_record(&work.path("ensemble/backtest")).unwrap().kind, "ensemble");
}

#[test]
fn backtests_are_measured_beside_naive_as_test_rows_are() {
    let (work, _) = stacked("inverse_error");
    let stanza = json!({"backtests": ["backtest/a", "backtest/b", "ensemble/x"]});
    let inputs = [("model:0", "lightgbm_backtest/backtest"), ("model:1", "ridge_backtest/backtest"), ("model:2", "ensemble/backtest")];
    let measured = work.run("evaluate", &stanza, &inputs, "evaluate").unwrap();
    let own = backtest_file::read(&work.path("ensemble/backtest")).unwrap();
    let rows = f64::from(u32::try_from(own.dates.len()).unwrap());
    let mae = |levels: &[f64]| own.actual.iter().zip(levels).map(|(a, p)| (a - p).abs()).sum::<f64>() / rows;
    let near = |name: &str, value: f64| assert!((measured.metrics[name] - value).abs() < 1e-9, "{name}: {:?}", measured.metrics);
    near("n", rows);
    near("naive/mae", mae(&own.price));
    near("ensemble/x/mae", mae(&own.predicted));
}

#[test]
fn stacked_weights_need_forecasts_that_nobody_learnt_from() {
    let stanza = json!({"frame": "frame/x", "models": ["model/a", "model/b"], "weights": "stacked"});
    let refused = crude_oil::declare("ensemble", 1, &stanza).unwrap_err();
    assert!(refused[0].message.starts_with("'stacked' weights are earned on out-of-sample forecasts"), "{refused:?}");
    let model = json!({"frame": "frame/x", "models": ["model/a"], "backtests": ["model/a#model"], "weights": "stacked"});
    let refused = crude_oil::declare("ensemble", 1, &model).unwrap_err();
    assert_eq!(refused[0].message, "weights are earned on 'model/a#backtest', not on its 'model'");
}

#[test]
fn models_of_the_series_and_linear_ones_walk_forward_and_are_refitted() {
    let work = Work::new();
    let tables = [("features", "features"), ("price", "prices")];
    work.run("frame", &frame(&walk_forward(None)), &tables, "frame").unwrap();
    let purged = json!({"purged": {"from": "1987-01-05", "to": "2003-12-31", "count": 4}});
    work.run("frame", &frame(&purged), &tables, "purged").unwrap();
    let again = json!({"frame": "frame/x", "model": "model/x"});
    for (kind, params) in [("ar", json!({"lags": 3})), ("garch", json!({})), ("ridge", json!({"alpha": 100}))] {
        let of = |what: &str| format!("{kind}/{what}");
        work.run(kind, &json!({"frame": "frame/x", "params": params}), &[("frame", "frame/fit")], &of("own")).unwrap();
        let own = of("own/model");
        let model = ("model:0", own.as_str());
        work.run("backtest", &again, &[("frame", "frame/folds"), model], &of("backtest")).unwrap();
        let forecasts = backtest_file::read(&work.path(&of("backtest/backtest"))).unwrap();
        let naive = forecasts.price.iter().zip(&forecasts.actual).map(|(price, actual)| (price - actual).abs()).sum::<f64>();
        let error = forecasts.predicted.iter().zip(&forecasts.actual).map(|(predicted, actual)| (predicted - actual).abs()).sum::<f64>();
        assert!((0.5..1.5).contains(&(error / naive)), "{kind}: {error} and {naive}");

        let holes = work.run("backtest", &again, &[("frame", "purged/folds"), model], &of("purged"));
        assert_eq!(holes.is_ok(), kind == "ridge", "a series has no hole to forecast");

        work.run("refit", &again, &[("frame", "frame/refit"), model], &of("refit")).unwrap();
        let refitted = trained::read(&work.path(&of("refit/model"))).unwrap();
        let newest = frame_file::read(&work.path("frame/score")).unwrap();
        let levels = refitted.predict(&newest, &(0..newest.len()).collect::<Vec<_>>()).unwrap();
        assert!(levels.iter().all(|level| (25.0..75.0).contains(level)), "{kind}: {levels:?}");
    }
}
