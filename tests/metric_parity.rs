//! Other people's arithmetic as the judge of ours: every figure that `evaluate` gives of real forecasts, worked out again from them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop where it stands")]

mod crude_oil;
#[path = "vendor/python.rs"]
mod python;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cbi::base::diagnostic::ExitCode;
use cbi::engine::judging::student;
use cbi::engine::table_columns::{Values, table};
use cbi::engine::table_file;
use cbi::kinds::request::{Request, Response, RunError};
use cbi::model::training::LabelKind;
use chrono::{Datelike, NaiveDate};
use crude_oil::{declare, train, write_fit, write_test};
use python::{python, succeed};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Crude oil with three models that learnt from it, one of them a quantile.
struct Oil(TempDir);

impl Oil {
    fn new() -> Self {
        let oil = Self(tempfile::tempdir().unwrap());
        write_fit(&oil.path("fit"), LabelKind::LogReturn, false);
        write_test(&oil.path("test"), LabelKind::LogReturn);
        let boosted = json!({"num_iterations": 60, "num_leaves": 7, "learning_rate": 0.05});
        let quantile = json!({"num_iterations": 60, "num_leaves": 7, "objective": "quantile", "alpha": 0.1});
        let grown = json!({"num_boost_round": 40, "max_depth": 3});
        for (kind, name, params) in [("lightgbm", "a", boosted), ("lightgbm", "b", quantile), ("xgboost", "c", grown)] {
            train(kind, &json!({"frame": "frame/x", "params": params}), &oil.path("fit"), &[], &oil.path(name));
        }
        oil
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The days of the test, each with its regime: the price above or below 60 dollars when the year began, a matter of record.
    fn regimes() -> BTreeMap<NaiveDate, &'static str> {
        let prices = crude_oil::prices();
        let opening = |year| prices.iter().find(|(date, _)| date.year() == year).unwrap().1;
        let tested = prices.iter().filter(|(date, _)| date.year() >= 2014);
        tested.map(|(date, _)| (*date, if opening(date.year()) > 60.0 { "dear" } else { "cheap" })).collect()
    }

    fn write_regimes(&self, regimes: &BTreeMap<NaiveDate, &str>) {
        let dates = Values::Dates(regimes.keys().map(|date| Some(date.to_epoch_days())).collect());
        let names = Values::Strings(regimes.values().map(|name| Some((*name).to_owned())).collect());
        let rows = table([("day".to_owned(), dates), ("regime".to_owned(), names)]).unwrap();
        fs::create_dir_all(self.path("regimes")).unwrap();
        table_file::write(&self.path("regimes").join(table_file::FILE_NAME), &rows, &["day".to_owned()]).unwrap();
    }

    fn evaluate(&self, keys: &Value, out: &str) -> Result<Response, RunError> {
        let mut body = json!({"frame": "frame/x", "models": ["model/a", "model/b", "model/c"],
            "regimes": {"table": "wti.regimes", "column": "regime", "date": "day"}});
        body.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        let declared = declare("evaluate", 1, &body).unwrap_or_else(|errors| panic!("{errors:?}"));
        let models = ["a", "b", "c"].iter().enumerate().map(|(at, name)| (format!("model:{at}"), self.path(name).join("model")));
        let mut inputs: BTreeMap<String, PathBuf> = models.collect();
        inputs.extend(["regimes", "frame"].map(|slot| (slot.to_owned(), self.path(if slot == "frame" { "test" } else { slot }))));
        cbi::kinds::dispatch::run(&Request::of("evaluate", declared.params, inputs, self.path(out)))
    }
}

#[test]
fn every_figure_is_that_of_other_peoples_libraries() {
    let oil = Oil::new();
    let regimes = Oil::regimes();
    oil.write_regimes(&regimes);
    oil.evaluate(&json!({"explain": {"rows": 252}}), "judged").unwrap();
    let days: BTreeMap<String, &str> = regimes.iter().map(|(date, name)| (date.to_string(), *name)).collect();
    fs::write(oil.path("regimes.json"), serde_json::to_string(&days).unwrap()).unwrap();

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vendor/metrics.py");
    let mut command = Command::new(python());
    command.args([script, oil.path("judged/metrics"), oil.path("regimes.json")]).args(["21", "21"]);
    let verdict: Value = serde_json::from_str(succeed(&mut command).lines().last().unwrap()).unwrap();
    // All, two regimes, five years, twenty quarters, each of three models.
    assert_eq!(verdict["measured"], 3 * (1 + 2 + 5 + 20), "{verdict}");
    let largest = verdict["largest"].as_object().unwrap();
    assert!(largest.len() >= 30, "{verdict}");
    for (column, difference) in largest {
        assert!(difference.as_f64().is_some_and(|d| d <= 1e-9), "{column}: {verdict}");
    }
    // Another's random numbers, ten times as many: ends of intervals agree as far as simulation lets them.
    let simulated: Vec<f64> = serde_json::from_value(verdict["simulated"].clone()).unwrap();
    assert!(simulated.len() == 3 && simulated.iter().all(|widths| *widths < 0.08), "{verdict}");

    let text = fs::read_to_string(oil.path("judged/metrics/metrics.md")).unwrap();
    for part in [
        "# wti.daily.price, 21 rows ahead\n\nPrices: spot.\n",
        "## Errors\n",
        "## Quantiles\n",
        "## Ratio by regime\n",
        "| cheap ",
        "| 2016-Q1 ",
        "## What moves model/c (SHAP",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let again = oil.path("judged/metrics/metrics.parquet");
    oil.evaluate(&json!({"explain": {"rows": 252}}), "again").unwrap();
    assert!(fs::read(again).unwrap() == fs::read(oil.path("again/metrics/metrics.parquet")).unwrap(), "the same bits again");
}

#[test]
fn a_quantile_sets_forecasts_are_the_vendors_in_order_and_its_figures_scikit_learns() {
    let oil = Oil::new();
    for (learner, params) in [
        ("lightgbm", json!({"num_iterations": 60, "num_leaves": 7, "early_stopping_round": 20})),
        ("xgboost", json!({"num_boost_round": 40, "max_depth": 3})),
    ] {
        let body = json!({"frame": "frame/x", "learner": learner, "levels": [0.025, 0.1, 0.5, 0.9], "params": params});
        train("quantiles", &body, &oil.path("fit"), &[], &oil.path(learner));
        let stanza = json!({"frame": "frame/x", "models": ["model/set"]});
        let declared = declare("evaluate", 1, &stanza).unwrap_or_else(|errors| panic!("{errors:?}"));
        let out = oil.path(&format!("{learner}_judged"));
        let inputs = [("frame".to_owned(), oil.path("test")), ("model:0".to_owned(), oil.path(learner).join("model"))].into();
        let request = Request::of("evaluate", declared.params, inputs, out.clone());
        let report = cbi::kinds::dispatch::run(&request).unwrap_or_else(|error| panic!("{error}"));
        assert!(report.metrics.contains_key("model/set/p2.5/pinball") && report.metrics.contains_key("model/set/p10_p90/coverage"));

        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vendor/quantile_sets.py");
        let mut command = Command::new(python());
        command.args([script, oil.path("fit"), oil.path("test"), oil.path(learner).join("model"), out.join("metrics")]).args(["21", "21"]);
        let verdict: Value = serde_json::from_str(succeed(&mut command).lines().last().unwrap()).unwrap();
        // All, five years and twenty quarters: four levels and one interval each.
        assert_eq!(verdict["measured"], (1 + 5 + 20) * 5, "{verdict}");
        for (what, difference) in verdict["largest"].as_object().unwrap() {
            let tolerance = if what == "quantile" && learner == "xgboost" { 1e-6 } else { 1e-9 };
            assert!(difference.as_f64().is_some_and(|d| d <= tolerance), "{learner}, {what}: {verdict}");
        }
        let text = fs::read_to_string(out.join("metrics/metrics.md")).unwrap();
        for part in ["## Quantile sets, level by level\n", "## Quantile sets, between two levels\n", "| p10 to p90 |"] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}

#[test]
fn tails_of_students_t_are_scipys() {
    let questions: Vec<(f64, f64)> =
        [1.0, 2.0, 9.0, 62.0, 1235.0, 6000.0].iter().flat_map(|df| [0.0, 1e-3, 0.3, 1.0, 1.96, 4.5, 12.0].map(|t| (t, *df))).collect();
    let ours: Vec<f64> = questions.iter().map(|(t, df)| student::two_sided(*t, *df)).collect();
    let script = "import json, sys, scipy.stats as s\nprint(json.dumps([2 * s.t.sf(t, df) for t, df in json.loads(sys.argv[1])]))";
    let answer = succeed(Command::new(python()).args(["-c", script, &serde_json::to_string(&questions).unwrap()]));
    let theirs: Vec<f64> = serde_json::from_str(&answer).unwrap();
    for ((question, ours), theirs) in questions.iter().zip(&ours).zip(&theirs) {
        assert!((ours - theirs).abs() <= 1e-10 * theirs, "{question:?}: {ours} {theirs}");
    }
}

#[test]
fn a_test_day_without_a_regime_is_refused_with_the_days() {
    let oil = Oil::new();
    let mut regimes = Oil::regimes();
    let gone: NaiveDate = "2016-02-03".parse().unwrap();
    assert!(regimes.remove(&gone).is_some());
    oil.write_regimes(&regimes);
    let error = oil.evaluate(&json!({}), "judged").unwrap_err();
    let expected = "the calendar of regimes: 1 days have no regime: 2016-02-03";
    assert_eq!((error.code, error.message.as_str()), (ExitCode::Refused, expected));
    assert!(!oil.path("judged/metrics/metrics.json").exists(), "nothing is written");
}

#[test]
fn blocks_shorter_than_the_horizon_are_the_recipes_mistake() {
    let oil = Oil::new();
    oil.write_regimes(&Oil::regimes());
    let error = oil.evaluate(&json!({"bootstrap": {"block": 5}}), "judged").unwrap_err();
    assert_eq!(error.code, ExitCode::Invalid);
    assert_eq!(error.hint.unwrap(), "bootstrap = { block = 21 }, or leave it out");
}
