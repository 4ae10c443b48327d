//! Promises about ensembles whose members are weighed by regime or by trees, on the committed crude oil series.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop where it stands")]

mod crude_oil;

use cbi::base::diagnostic::ExitCode;
use cbi::engine::backtest_file::{self, Predictions};
use cbi::engine::combining::ByRegime;
use cbi::engine::frame_file;
use cbi::engine::gbdt::lightgbm;
use cbi::engine::table_columns::Values;
use cbi::kinds::request::{Response, RunError};
use cbi::kinds::trained;
use cbi::model::training::ModelRecord;
use chrono::NaiveDate;
use crude_oil::{Work, declare};
use serde_json::{Value, json};

fn frame() -> Value {
    json!({
        "features": "wti.features", "columns": ["ret_*", "vol_*"], "price": {"table": "wti.daily", "column": "price", "series": "spot"},
        "horizon": {"rows": 21}, "label": "log_return",
        "split": {"train": ["1987-01-05", "2010-12-31"], "valid": ["2011-01-01", "2013-12-31"], "test": ["2014-01-01"]},
        "folds": {"walk_forward": {"from": "2000-01-01", "to": "2003-12-31", "train": "10 years", "test": "12 months"}},
    })
}

/// A ridge and an autoregression of a frame, with their backtests.
fn members() -> Work {
    let work = Work::new();
    work.run("frame", &frame(), &[("features", "features"), ("price", "prices")], "frame").unwrap();
    for (kind, params) in [("ridge", json!({"alpha": 100.0})), ("ar", json!({"lags": 3}))] {
        work.run(kind, &json!({"frame": "frame/x", "params": params}), &[("frame", "frame/fit")], kind).unwrap();
        let inputs = [("frame", "frame/folds"), ("model:0", &*format!("{kind}/model"))];
        work.run("backtest", &json!({"frame": "frame/x", "model": "model/x"}), &inputs, &format!("{kind}_backtest")).unwrap();
    }
    work
}

fn stanza(keys: &Value) -> Value {
    let mut stanza = json!({"frame": "frame/x", "models": ["model/a", "model/b"], "backtests": ["backtest/a", "backtest/b"]});
    stanza.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    stanza
}

const INPUTS: [(&str, &str); 5] = [
    ("backtest:0", "ridge_backtest/backtest"),
    ("backtest:1", "ar_backtest/backtest"),
    ("frame", "frame/fit"),
    ("model:0", "ridge/model"),
    ("model:1", "ar/model"),
];

fn ensemble(work: &Work, keys: &Value) -> Result<Response, RunError> {
    let by_regime = keys.get("regimes").map(|_| ("regimes", "regimes"));
    let mut inputs: Vec<(&str, &str)> = INPUTS.into_iter().chain(by_regime).collect();
    inputs.sort_unstable();
    work.run("ensemble", &stanza(keys), &inputs, "ensemble")
}

/// A calendar from 1990 to `last`: `early` to mid-2002, `late` to 2015, `new` after it.
fn write_regimes(work: &Work, last: &str) {
    let day = |text: &str| text.parse::<NaiveDate>().unwrap().to_epoch_days();
    let days = day("1990-01-01")..=day(last);
    let name = |at: i32| {
        if at < day("2002-07-01") {
            "early"
        } else if at < day("2016-01-01") {
            "late"
        } else {
            "new"
        }
    };
    let names = Values::Strings(days.clone().map(|at| Some(name(at).to_owned())).collect());
    work.table("regimes", vec![("date".to_owned(), Values::Dates(days.map(Some).collect())), ("regime".to_owned(), names)]);
}

fn by_regime(least: u64) -> Value {
    json!({"weights": "inverse_error", "regimes": {"table": "wti.regimes", "column": "regime", "least": least}})
}

/// 1 over the mean absolute error on the rows wanted, scaled to add up to 1.
fn inverse_errors(proofs: &[Predictions; 2], wanted: impl Fn(&str) -> bool) -> [f64; 2] {
    let rows: Vec<usize> = (0..proofs[0].dates.len()).filter(|&row| wanted(&frame_file::iso_date(proofs[0].dates[row]))).collect();
    let inverse =
        proofs.each_ref().map(|proof| 1.0 / rows.iter().map(|&row| (proof.predicted[row] - proof.actual[row]).abs()).sum::<f64>());
    inverse.map(|one| one / (inverse[0] + inverse[1]))
}

fn near(found: &[f64], expected: &[f64]) -> bool {
    found.len() == expected.len() && found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-9)
}

#[test]
fn each_regime_weighs_by_its_own_errors_and_one_with_too_few_by_all() {
    let work = members();
    write_regimes(&work, "2019-12-31");
    let report = ensemble(&work, &by_regime(300)).unwrap();
    let by: ByRegime = serde_json::from_slice(&std::fs::read(work.path("ensemble/model/regimes.json")).unwrap()).unwrap();
    let proofs = ["ridge", "ar"].map(|kind| backtest_file::read(&work.path(&format!("{kind}_backtest/backtest"))).unwrap());
    let early = inverse_errors(&proofs, |date| date < "2002-07-01");
    assert!(near(by.regimes["early"].weights.as_ref().unwrap(), &early));
    assert!(near(by.regimes["late"].weights.as_ref().unwrap(), &inverse_errors(&proofs, |date| date >= "2002-07-01")));
    let all = inverse_errors(&proofs, |_| true);
    assert!(near(&by.all, &all) && !near(&all, &early));
    assert_eq!((by.regimes["new"].rows, by.regimes["new"].weights.clone()), (0, None));
    assert!(report.notes.contains(&"regime new, 0 forecasts, fewer than 300: the weights of all".to_owned()), "{:?}", report.notes);
    assert!(report.notes.iter().any(|note| note.starts_with(&format!("regime early, {} forecasts: 0.", by.regimes["early"].rows))));

    // What it forecasts on a day is weighted by that day's regime.
    let test = frame_file::read(&work.path("frame/test")).unwrap();
    let [ridge, ar, own] = ["ridge", "ar", "ensemble"].map(|name| trained::read(&work.path(name).join("model")).unwrap());
    let newest = test.len() - 1;
    for (row, weights) in [(0, by.regimes["late"].weights.clone().unwrap()), (newest, by.all.clone())] {
        let of = |model: &trained::TrainedModel| model.predict(&test, &[row]).unwrap()[0];
        let expected = test.price[row] + weights[0] * (of(&ridge) - test.price[row]) + weights[1] * (of(&ar) - test.price[row]);
        assert!((of(&own) - expected).abs() < 1e-9, "{row}");
    }
    // Its own backtest began with equal weights, for nothing had come due.
    let past = backtest_file::read(&work.path("ensemble/backtest")).unwrap();
    assert!((past.predicted[0] - f64::midpoint(proofs[0].predicted[0], proofs[1].predicted[0])).abs() < 1e-9);
}

#[test]
fn a_day_without_a_regime_is_refused_in_making_and_in_forecasting() {
    let work = members();
    write_regimes(&work, "2003-06-30");
    let error = ensemble(&work, &by_regime(50)).unwrap_err();
    assert_eq!(error.code, ExitCode::Refused);
    assert!(
        error.message.starts_with("the calendar of regimes: ") && error.message.contains("days have no regime: 2003-07-01"),
        "{}",
        error.message
    );

    write_regimes(&work, "2014-12-31");
    ensemble(&work, &by_regime(50)).unwrap();
    let stanza = json!({"frame": "frame/x", "model": "model/x", "calendar": {"table": "wti.days", "column": "date"}});
    let inputs = [("calendar", "calendar"), ("frame", "frame/score"), ("model", "ensemble/model")];
    let error = work.run("forecast", &stanza, &inputs, "forecast").unwrap_err();
    assert_eq!(error.code, ExitCode::Refused);
    assert!(error.message.contains("weights hang on the regime of the day: 1 days have no regime: 20"), "{}", error.message);
    let judged = work.run(
        "evaluate",
        &json!({"frame": "frame/x", "models": ["model/x"]}),
        &[("frame", "frame/test"), ("model:0", "ensemble/model")],
        "judged",
    );
    assert_eq!(judged.unwrap_err().code, ExitCode::Refused);
}

#[test]
fn a_stack_of_trees_forecasts_what_its_trees_say_of_the_members_changes() {
    let work = members();
    let keys =
        json!({"weights": "stacked", "stacker": "lightgbm", "params": {"num_iterations": 30, "num_leaves": 4, "learning_rate": 0.05}});
    let report = ensemble(&work, &keys).unwrap();
    let test = frame_file::read(&work.path("frame/test")).unwrap();
    let rows: Vec<usize> = (0..test.len()).step_by(50).collect();
    let [ridge, ar, own] =
        ["ridge", "ar", "ensemble"].map(|name| trained::read(&work.path(name).join("model")).unwrap().predict(&test, &rows).unwrap());
    let stack = lightgbm::Model::read(&std::fs::read_to_string(work.path("ensemble/model/stack.txt")).unwrap()).unwrap();
    for (at, &row) in rows.iter().enumerate() {
        let price = test.price[row];
        let change = stack.predict(&[ridge[at] / price - 1.0, ar[at] / price - 1.0], 2).unwrap()[0];
        assert!((own[at] - price * (1.0 + change)).abs() < 1e-9, "{row}");
    }
    let record: ModelRecord = serde_json::from_slice(&std::fs::read(work.path("ensemble/model/model.json")).unwrap()).unwrap();
    assert!((record.members.iter().map(|member| member.weight).sum::<f64>() - 1.0).abs() < 1e-9, "shares of the gain");
    assert_eq!(record.params["weights"]["stacked_trees"]["num_iterations"], json!(30));
    assert!(record.trained_on.iter().any(|seen| seen.split == "weights"));
    assert!(report.notes[0].starts_with("share of the gain of model 1 (ridge): "), "{:?}", report.notes);
    assert!(report.metrics["backtest_mae"] > 0.0);
}

#[test]
fn keys_that_would_be_passed_over_are_refused() {
    let refused = |keys: Value| declare("ensemble", 1, &stanza(&keys)).unwrap_err()[0].message.clone();
    assert!(refused(json!({"weights": "equal", "stacker": "lightgbm"})).starts_with("'stacker' makes 'stacked' weights"));
    assert!(refused(json!({"weights": "stacked", "params": {"num_leaves": 4}})).starts_with("'params' are those of the stacker lightgbm"));
    assert!(refused(json!({"weights": "stacked", "stacker": "lightgbm", "alpha": 1})).contains("the stacker is lightgbm"));
    let regimes = json!({"table": "wti.regimes", "column": "regime"});
    assert!(refused(json!({"weights": "stacked", "regimes": regimes})).starts_with("only 'inverse_error' weights hang on regimes"));
    let stops = json!({"weights": "stacked", "stacker": "lightgbm", "params": {"early_stopping_round": 5}});
    assert!(refused(stops).contains("none left to stop by"));
    assert!(refused(json!({"weights": "stacked", "stacker": "lightgbm", "params": {"num_leafs": 5}})).contains("no parameter 'num_leafs'"));
    let mut alone = stanza(&json!({"weights": "inverse_error", "regimes": regimes}));
    alone.as_object_mut().unwrap().remove("backtests");
    let error = declare("ensemble", 1, &alone).unwrap_err()[0].message.clone();
    assert!(error.starts_with("weights by regime are earned on out-of-sample forecasts"), "{error}");
}
