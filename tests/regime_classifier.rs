//! Promises about the classifier of regimes, on the committed crude oil series with regimes that follow each other.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop where it stands")]

mod crude_oil;
#[path = "vendor/python.rs"]
mod python;

use std::path::Path;
use std::process::Command;

use cbi::base::diagnostic::ExitCode;
use cbi::engine::table_columns::{Values, floats, strings};
use cbi::engine::table_file;
use cbi::kinds::request::{Response, RunError};
use chrono::NaiveDate;
use crude_oil::{Work, declare};
use python::{python, succeed};
use serde_json::{Value, json};

/// A frame with its folds, and a calendar of four regimes: the last two begin within the folds.
fn made(last: &str) -> Work {
    let work = Work::new();
    let frame = json!({
        "features": "wti.features", "columns": ["ret_*", "ma_*", "vol_*"], "price": {"table": "wti.daily", "column": "price", "series": "spot"},
        "horizon": {"rows": 21}, "label": "log_return",
        "split": {"train": ["1987-01-05", "2010-12-31"], "valid": ["2011-01-01", "2013-12-31"], "test": ["2014-01-01"]},
        "folds": {"walk_forward": {"from": "2000-01-01", "to": "2003-12-31", "train": "expanding", "test": "12 months"}},
    });
    work.run("frame", &frame, &[("features", "features"), ("price", "prices")], "frame").unwrap();
    let day = |text: &str| text.parse::<NaiveDate>().unwrap().to_epoch_days();
    let begins = [("2014-01-01", "glut"), ("2002-01-01", "war"), ("1998-01-01", "slump"), ("1986-01-01", "calm")];
    let days = day("1986-01-01")..=day(last);
    let name = |at: i32| begins.iter().find(|(begin, _)| day(begin) <= at).unwrap().1.to_owned();
    let names = Values::Strings(days.clone().map(|at| Some(name(at))).collect());
    work.table("regimes", vec![("date".to_owned(), Values::Dates(days.map(Some).collect())), ("regime".to_owned(), names)]);
    work
}

fn stanza() -> Value {
    json!({"frame": "frame/x", "regimes": {"table": "wti.regimes", "column": "regime"}, "params": {"num_iterations": 20, "num_leaves": 4}})
}

fn classify(work: &Work) -> Result<Response, RunError> {
    work.run("regime_classifier", &stanza(), &[("frame", "frame/folds"), ("regimes", "regimes"), ("score", "frame/score")], "out")
}

#[test]
fn days_in_a_regime_that_had_not_begun_count_as_wrong_and_are_told_beside_the_yardstick() {
    let work = made("2019-12-31");
    let report = classify(&work).unwrap();
    let days = table_file::read(&work.path("out/regimes/days.parquet")).unwrap();
    let (regimes, newest) = (strings(&days, "regime").unwrap(), strings(&days, "newest").unwrap());
    let probability = floats(&days, "probability").unwrap();
    // The war began with the fold of 2002, which had learnt from nothing of it; that of 2003 had.
    let wars = regimes.iter().filter(|regime| **regime == Some("war")).count();
    let new = probability.iter().filter(|probability| probability.is_none()).count();
    assert!(new > 200 && wars > new + 200, "{new} of {wars}");
    assert!(regimes.iter().zip(&probability).all(|(regime, p)| p.is_some() || *regime == Some("war")));
    assert!((report.metrics["unseen"] - f64::from(u32::try_from(new).unwrap())).abs() < 1e-9);
    let goes_on = regimes.iter().zip(&newest).filter(|(regime, newest)| regime == newest).count();
    assert_eq!(goes_on + new, regimes.len(), "of regimes that follow each other the newest goes on, or a new one begins");
    assert!(report.metrics["model/accuracy"] <= report.metrics["newest/accuracy"], "nobody can do better");
    assert!(!report.metrics.contains_key("newest/log_loss_seen"));

    let text = std::fs::read_to_string(work.path("out/regimes/regimes.md")).unwrap();
    for part in ["regime had not been seen before", "| the newest regime goes on |", "of the regimes before its own (glut)"] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let json: Value = serde_json::from_slice(&std::fs::read(work.path("out/regimes/regimes.json")).unwrap()).unwrap();
    let likeness = json["likeness"]["regimes"].as_array().unwrap();
    assert_eq!(likeness.len(), 3, "its own regime is none of them");
    assert!((likeness.iter().map(|of| of[1].as_f64().unwrap()).sum::<f64>() - 1.0).abs() < 1e-9);
}

#[test]
fn its_figures_are_scikit_learns() {
    let work = made("2019-12-31");
    let report = classify(&work).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vendor/regimes.py");
    let answer = succeed(Command::new(python()).arg(script).arg(work.path("out/regimes/days.parquet")));
    let theirs: Value = serde_json::from_str(answer.lines().last().unwrap()).unwrap();
    let figures = theirs["figures"].as_object().unwrap();
    assert_eq!(figures.keys().collect::<Vec<_>>(), report.metrics.keys().collect::<Vec<_>>());
    for (name, value) in figures {
        assert!((value.as_f64().unwrap() - report.metrics[name]).abs() <= 1e-9, "{name}: {theirs} {:?}", report.metrics);
    }
    let json: Value = serde_json::from_slice(&std::fs::read(work.path("out/regimes/regimes.json")).unwrap()).unwrap();
    assert_eq!(json["confusion"], theirs["confusion"]);
}

#[test]
fn a_day_without_a_regime_and_an_objective_of_ones_own_are_refused() {
    let error = classify(&made("2003-06-30")).unwrap_err();
    assert_eq!(error.code, ExitCode::Refused);
    assert!(error.message.starts_with("the calendar of regimes: ") && error.message.contains("2003-07-01"), "{}", error.message);
    let mut own = stanza();
    own["params"] = json!({"objective": "regression"});
    assert!(declare("regime_classifier", 1, &own).unwrap_err()[0].message.starts_with("'objective' may not be set here"));
}
