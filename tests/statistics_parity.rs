//! scikit-learn, statsmodels and arch as judges: fitted to the same rows they come to the same models and forecasts. The rows are those of crude oil.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop where it stands")]

mod crude_oil;
#[path = "vendor/python.rs"]
mod python;

use std::fs;
use std::path::Path;
use std::process::Command;

use cbi::engine::frame_file::{self, Part};
use cbi::kinds::trained;
use cbi::model::training::LabelKind;
use crude_oil::{train, write_fit};
use python::{python, succeed};
use serde_json::{Value, json};

/// Fits the stanza through cbi, lets the package that its parameters are named after do the same, and gives what that says of the two.
fn judged(kind: &str, stanza: &Value, label: LabelKind, weight: bool, every: usize) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let fit = folder.path().join("fit");
    write_fit(&fit, label, weight);
    let mut body = json!({"frame": "frame/x"});
    body.as_object_mut().unwrap().extend(stanza.as_object().unwrap().clone());
    let (model, _) = train(kind, &body, &fit, &[], &folder.path().join("made"));
    let frame = frame_file::read(&fit).unwrap();
    let rows: Vec<usize> = frame.rows_of(Part::Valid).into_iter().step_by(every).collect();
    let read = trained::read(&model).unwrap();
    let answers =
        json!({"rows": rows, "forecasts": read.predict(&frame, &rows).unwrap(), "volatility": read.volatility(&frame, &rows).unwrap()});
    let file = folder.path().join("answers.json");
    fs::write(&file, answers.to_string()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vendor/statistics_parity.py");
    let said = succeed(Command::new(python()).args([script.as_path(), &fit, &model, &file]).env("OMP_NUM_THREADS", "1"));
    let mut verdict: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(verdict["rows"], json!(rows.len()));
    verdict["of"] = json!(format!("{kind} {stanza}"));
    verdict
}

fn at_most(verdict: &Value, name: &str, most: f64) {
    let found = verdict[name].as_f64().unwrap_or_else(|| panic!("{name}: {verdict}"));
    assert!(found <= most, "{name} is more than {most}: {verdict}");
}

#[test]
fn ridge_is_scikit_learns() {
    for (params, label, weight) in [
        (json!({}), LabelKind::LogReturn, false),
        (json!({"alpha": 250}), LabelKind::LogReturn, true),
        (json!({"alpha": 0.1, "fit_intercept": false}), LabelKind::Level, true),
    ] {
        let verdict = judged("ridge", &json!({"params": params}), label, weight, 1);
        at_most(&verdict, "forecasts", 1e-9);
    }
}

#[test]
fn elastic_net_is_scikit_learns_and_keeps_the_same_features() {
    for (params, label, weight) in [
        (json!({"alpha": 0.001, "tol": 1e-9, "max_iter": 100_000}), LabelKind::LogReturn, false),
        (json!({"alpha": 0.002, "l1_ratio": 0.9, "tol": 1e-9, "max_iter": 100_000}), LabelKind::LogReturn, true),
        (json!({"alpha": 0.5, "l1_ratio": 1.0, "fit_intercept": false, "tol": 1e-9, "max_iter": 100_000}), LabelKind::Level, false),
    ] {
        let verdict = judged("elastic_net", &json!({"params": params}), label, weight, 1);
        at_most(&verdict, "forecasts", 1e-6);
        assert_eq!(verdict["same_features"], true, "{verdict}");
        let kept = verdict["features"].as_u64().unwrap();
        assert!(kept > 0 && kept < 24, "the penalty leaves some out and not all: {verdict}");
    }
}

#[test]
fn autoregression_is_statsmodels() {
    for stanza in [
        json!({"params": {"lags": 5}}),
        json!({"params": {"lags": [21, 1, 5], "trend": "ct"}, "series": "difference"}),
        json!({"params": {"lags": 2, "trend": "n"}}),
        json!({"params": {"lags": 0, "trend": "t"}}),
    ] {
        let verdict = judged("ar", &stanza, LabelKind::LogReturn, false, 60);
        at_most(&verdict, "forecasts", 1e-9);
        at_most(&verdict, "parameters", 1e-9);
    }
}

#[test]
fn exponential_smoothing_is_statsmodels_and_fits_no_worse() {
    for stanza in [
        json!({}),
        json!({"params": {"trend": "add"}}),
        json!({"params": {"trend": "add", "damped_trend": true}, "series": "price"}),
        json!({"params": {"trend": "add", "damped_trend": true, "seasonal": "add", "seasonal_periods": 5,
                          "smoothing_trend": 0.01, "damping_trend": 0.9}}),
        json!({"params": {"trend": "add", "smoothing_level": 0.2}}),
    ] {
        let verdict = judged("exponential_smoothing", &stanza, LabelKind::LogReturn, false, 200);
        at_most(&verdict, "forecasts", 1e-9);
        at_most(&verdict, "same_sse", 1e-9);
        at_most(&verdict, "above_their_best", 1e-6);
    }
}

#[test]
fn garch_is_that_of_arch() {
    for params in [json!({}), json!({"mean": "Zero", "p": 1, "q": 1, "dist": "normal"})] {
        let verdict = judged("garch", &json!({"params": params}), LabelKind::LogReturn, false, 20);
        at_most(&verdict, "forecasts", 1e-12);
        at_most(&verdict, "parameters", 1e-3);
        at_most(&verdict, "same_likelihood", 1e-9);
        at_most(&verdict, "below_their_best", 1e-6);
        at_most(&verdict, "volatility", 1e-9);
    }
}
