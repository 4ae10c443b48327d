//! From a price series to an evaluated model and a dated forecast, action by action, on the committed crude oil series. Invariant: the expected
//! `fit` is made by other code (`crude_oil::write_fit`), so the two can only agree by both being right.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop where it stands")]

mod crude_oil;

use cbi::base::diagnostic::ExitCode;
use cbi::engine::frame_file::{self, ROWS_FILE};
use cbi::engine::price_history::PRICES_FILE;
use cbi::engine::table_columns::{dates, floats, strings};
use cbi::engine::table_file;
use cbi::kinds::request::{Response, RunError};
use cbi::model::series::Series;
use cbi::model::training::LabelKind;
use chrono::NaiveDate;
use crude_oil::Work;
use serde_json::{Value, json};

/// The steps of this pipeline.
trait Steps {
    fn frame(&self, train_to: &str, out: &str) -> Result<Response, RunError>;
    fn lightgbm(&self, frame: &str, out: &str);
}

impl Steps for Work {
    fn frame(&self, train_to: &str, out: &str) -> Result<Response, RunError> {
        let stanza = json!({
            "features": "wti.features",
            "columns": ["ret_1", "ret_2", "ret_3", "ret_5", "ret_10", "ret_21", "ret_42", "ret_63", "ret_126", "ret_252",
                "ma_5", "vol_5", "ma_10", "vol_10", "ma_21", "vol_21", "ma_63", "vol_63", "ma_126", "vol_126", "ma_252", "vol_252", "month", "weekday"],
            "price": {"table": "wti.daily", "column": "price", "series": "spot"},
            "horizon": {"rows": crude_oil::HORIZON},
            "label": "log_return",
            "split": {"train": ["1987-01-05", train_to], "valid": ["2011-01-01", "2013-12-31"], "test": ["2014-01-01"]},
        });
        self.run("frame", &stanza, &[("features", "features"), ("price", "prices")], out)
    }

    fn lightgbm(&self, frame: &str, out: &str) {
        let params = json!({"num_iterations": 40, "num_leaves": 7, "learning_rate": 0.05});
        self.run("lightgbm", &json!({"frame": "frame/wti/1m", "params": params}), &[("frame", frame)], out).unwrap();
    }
}

#[test]
fn the_fit_of_crude_oil_is_the_one_that_other_code_makes() {
    let work = Work::new();
    work.frame("2010-12-31", "frame").unwrap();
    crude_oil::write_fit(&work.path("expected"), LabelKind::LogReturn, false);
    for file in [ROWS_FILE, PRICES_FILE] {
        let bytes = |folder: &str| std::fs::read(work.path(folder).join(file)).unwrap();
        assert!(bytes("frame/fit") == bytes("expected"), "the same rows in the same bytes: {file}");
    }
    let record = |folder: &str| frame_file::read(&work.path(folder)).unwrap().record;
    assert_eq!(record("frame/fit"), record("expected"));
    assert_eq!(record("frame/score").price.series, Series::Spot);
}

#[test]
fn a_model_of_crude_oil_is_measured_on_later_rows_and_forecasts_from_the_newest() {
    let work = Work::new();
    let made = work.frame("2010-12-31", "frame").unwrap();
    assert!((made.metrics["score_rows"] - 21.0).abs() < 0.5);
    work.lightgbm("frame/fit", "lightgbm");
    let stanza = json!({"frame": "frame/wti/1m", "models": ["model/wti/lightgbm/1m"]});
    let measured = work.run("evaluate", &stanza, &[("frame", "frame/test"), ("model:0", "lightgbm/model")], "evaluate").unwrap();
    let number = |name: &str| measured.metrics[name];
    assert!((number("n") - made.metrics["test_rows"]).abs() < 0.5);
    // What naive errs by is a fact of the series: from 2014 on, 21 rows later.
    let prices = crude_oil::prices();
    let from = prices.iter().position(|(date, _)| date.to_string().as_str() >= "2014-01-01").unwrap();
    let errors: Vec<f64> =
        (from..prices.len() - crude_oil::HORIZON).map(|at| (prices[at + crude_oil::HORIZON].1 - prices[at].1).abs()).collect();
    #[allow(clippy::cast_precision_loss)]
    let expected = errors.iter().sum::<f64>() / errors.len() as f64;
    assert!((number("naive/mae") - expected).abs() < 1e-9, "{} and {expected}", number("naive/mae"));
    let ratio = number("model/wti/lightgbm/1m/mae") / number("naive/mae");
    assert!((number("model/wti/lightgbm/1m/mae_ratio") - ratio).abs() < 1e-12);

    let stanza = json!({"frame": "frame/wti/1m", "model": "model/wti/lightgbm/1m", "calendar": {"table": "calendar.us_trading_days", "column": "date"}});
    let inputs = [("frame", "frame/score"), ("model", "lightgbm/model"), ("calendar", "calendar")];
    let forecast = work.run("forecast", &stanza, &inputs, "forecast").unwrap();
    let made = table_file::read(&work.path("forecast/table").join(table_file::FILE_NAME)).unwrap();
    assert_eq!(made.num_rows(), crude_oil::HORIZON);
    let last = |name: &str| floats(&made, name).unwrap()[made.num_rows() - 1].unwrap();
    let due = dates(&made, "target_date").unwrap()[made.num_rows() - 1].unwrap();
    // The 21st trading day after 3 January 2019, Martin Luther King's day left out.
    assert_eq!(NaiveDate::from_epoch_days(due).unwrap().to_string(), "2019-02-04");
    assert_eq!(strings(&made, "horizon").unwrap()[0], Some("21 rows"));
    assert_eq!(strings(&made, "series").unwrap()[0], Some("spot"));
    let newest = prices[prices.len() - 1].1;
    assert!((last("price") - newest).abs() < 1e-12 && (last("naive") - newest).abs() < 1e-12);
    assert!((last("predicted") - forecast.metrics["predicted"]).abs() < 1e-12 && last("predicted") > 0.0);
    let note = format!("2019-01-03: {newest:.2} → {:.2} by 2019-02-04 (naive {newest:.2})", last("predicted"));
    assert_eq!(forecast.notes, [note]);
}

#[test]
fn a_model_is_not_measured_on_a_frame_whose_test_it_has_learnt_from() {
    let work = Work::new();
    work.frame("2010-12-31", "frame").unwrap();
    work.lightgbm("frame/fit", "lightgbm");
    // The same model, asked about the rows it learnt from.
    let stanza = json!({"frame": "frame/wti/1m", "models": ["model/wti/lightgbm/1m"]});
    let error = work.run("evaluate", &stanza, &[("frame", "frame/fit"), ("model:0", "lightgbm/model")], "evaluate").unwrap_err();
    assert_eq!(error.code, ExitCode::Refused);
    assert!(error.message.contains("has seen rows it is asked to be measured on: it learnt from train rows of 1987-01-05 to "), "{error}");
}

#[test]
fn a_frame_that_cannot_be_made_says_so_with_its_exit_code() {
    let work = Work::new();
    let stanza = |columns: Value, table: &str| {
        json!({
            "features": "wti.features", "columns": columns, "price": {"table": "wti.daily", "column": table, "series": "spot"}, "horizon": {"rows": 21},
            "split": {"train": ["1987-01-05", "2010-12-31"], "valid": ["2011-01-01", "2013-12-31"], "test": ["2014-01-01"]},
        })
    };
    let refused = |stanza: &Value| {
        let error = work.run("frame", stanza, &[("features", "features"), ("price", "prices")], "frame").unwrap_err();
        assert!(!work.path("frame").join("fit").exists(), "nothing is written");
        (error.code, error.message, error.hint)
    };
    let unknown = refused(&stanza(json!(["ret_1", "rett_21"]), "price"));
    assert_eq!(unknown, (ExitCode::Invalid, "the feature table has no column 'rett_21'".into(), Some("did you mean 'ret_21'?".into())));
    let none = refused(&stanza(json!(["mom_*"]), "price"));
    assert_eq!((none.0, none.1.as_str()), (ExitCode::Invalid, "no column of the feature table matches 'mom_*'"));
    let price = refused(&stanza(json!(["ret_1"]), "prize"));
    assert_eq!(price, (ExitCode::Invalid, "the price table has no column 'prize'".into(), Some("did you mean 'price'?".into())));
    let mut early = stanza(json!(["ret_1"]), "price");
    early["split"]["train"] = json!(["1980-01-01", "1985-12-31"]);
    let (code, message, _) = refused(&early);
    assert_eq!(code, ExitCode::Refused);
    assert!(message.starts_with("no train rows: no price from 1980-01-01 to 1985-12-31 has an outcome"), "{message}");
}
