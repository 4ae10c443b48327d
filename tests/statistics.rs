//! What the learners that are not trees promise: they learn from the train rows alone, look at no later price, give the same bytes again, and say in
//! readable files what they learnt.
#![allow(
    clippy::unwrap_used,
    clippy::float_cmp,
    reason = "a test that cannot go on may stop where it stands; same bits are what is promised"
)]

mod crude_oil;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};

use arrow::array::RecordBatch;
use cbi::base::diagnostic::ExitCode;
use cbi::engine::frame_file::{self, FrameData, Part};
use cbi::engine::price_history::{self, PRICES_FILE, PriceHistory};
use cbi::engine::table_columns::{Values, floats, names, table};
use cbi::engine::table_file;
use cbi::kinds::request::RunError;
use cbi::kinds::trained::{self, TrainedModel};
use cbi::model::training::{Horizon, LabelKind, ModelRecord};
use crude_oil::{declare, run, train, write_fit};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

/// Every kind, with a stanza for it.
fn stanzas() -> Vec<(&'static str, Value)> {
    let stanza = |keys: Value| {
        let mut stanza = json!({"frame": "frame/x"});
        stanza.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        stanza
    };
    vec![
        ("ridge", stanza(json!({"params": {"alpha": 50}}))),
        ("elastic_net", stanza(json!({"params": {"alpha": 0.001}}))),
        ("seasonal_naive", stanza(json!({"params": {"seasonal_periods": 252}}))),
        ("drift", stanza(json!({}))),
        ("ar", stanza(json!({"params": {"lags": [1, 5, 21], "trend": "ct"}}))),
        ("exponential_smoothing", stanza(json!({"params": {"trend": "add", "smoothing_trend": 0.01}}))),
        ("garch", stanza(json!({}))),
    ]
}

/// The kinds that read the price series.
const OF_THE_SERIES: [&str; 5] = ["seasonal_naive", "drift", "ar", "exponential_smoothing", "garch"];

/// A folder with the frame's `fit`, and a model of each kind that was asked for.
struct Made {
    folder: tempfile::TempDir,
    metrics: Mutex<BTreeMap<String, BTreeMap<String, f64>>>,
}

impl Made {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_fit(&folder.path().join("fit"), LabelKind::LogReturn, true);
        Self { folder, metrics: Mutex::default() }
    }

    fn fit(&self) -> PathBuf {
        self.folder.path().join("fit")
    }

    /// The model's folder, and what was reported when it was made.
    fn made(&self, kind: &str) -> (PathBuf, BTreeMap<String, f64>) {
        let out = self.folder.path().join(kind);
        let mut metrics = self.metrics.lock().unwrap();
        let stanza = || stanzas().into_iter().find(|(other, _)| *other == kind).unwrap().1;
        let reported = metrics.entry(kind.to_owned()).or_insert_with(|| train(kind, &stanza(), &self.fit(), &[], &out).1.metrics);
        (out.join("model"), reported.clone())
    }

    fn model(&self, kind: &str) -> PathBuf {
        self.made(kind).0
    }

    fn read(&self, kind: &str) -> TrainedModel {
        trained::read(&self.model(kind)).unwrap()
    }

    fn frame(&self) -> FrameData {
        frame_file::read(&self.fit()).unwrap()
    }
}

static MADE: LazyLock<Made> = LazyLock::new(Made::new);

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

/// A copy of the frame's `fit`, changed.
fn changed(change: impl Fn(&Path)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files(&MADE.fit()) {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    change(folder.path());
    folder
}

/// Writes the rows in `folder` with another column in the place of the one of this name.
fn replace_column(folder: &Path, column: &str, values: Values) {
    let path = folder.join(frame_file::ROWS_FILE);
    let rows = table_file::read(&path).unwrap();
    let new = table([(column.to_owned(), values)]).unwrap();
    let columns = names(&rows).into_iter().zip(rows.columns()).map(|(name, old)| {
        let values = if name == column { new.column(0) } else { old };
        (name, values.clone())
    });
    let rows = RecordBatch::try_from_iter(columns.collect::<Vec<_>>()).unwrap();
    table_file::write(&path, &rows, &["date".to_owned()]).unwrap();
}

/// Writes the rows in `folder` with a column's known values changed, given their dates.
fn change_column(folder: &Path, column: &str, change: impl Fn(i32, f64) -> f64) {
    let old = floats(&table_file::read(&folder.join(frame_file::ROWS_FILE)).unwrap(), column).unwrap();
    let dates = frame_file::read(folder).unwrap().dates;
    let new = dates.iter().zip(old).map(|(date, value)| value.map(|value| change(*date, value))).collect();
    replace_column(folder, column, Values::Floats(new));
}

fn refused(kind: &str, stanza: &Value, fit: &Path) -> RunError {
    let out = tempfile::tempdir().unwrap();
    run(kind, &declare(kind, 1, stanza).unwrap(), fit, &[], out.path()).unwrap_err()
}

#[test]
fn the_same_rows_and_parameters_give_the_same_bytes() {
    let again = Made::new();
    for (kind, _) in stanzas() {
        assert!(files(&again.model(kind)) == files(&MADE.model(kind)), "{kind} gave other bytes the second time");
    }
}

#[test]
fn a_record_says_what_was_learnt_from_and_with_which_parameters() {
    let trained_on = MADE.frame().trained_on(Part::Train).unwrap();
    for (kind, _) in stanzas() {
        let record: ModelRecord = serde_json::from_slice(&fs::read(MADE.model(kind).join("model.json")).unwrap()).unwrap();
        assert_eq!(record.kind, kind);
        assert_eq!(record.trained_on, std::slice::from_ref(&trained_on), "{kind}: train rows and no others");
        assert_eq!(record.features.is_empty(), OF_THE_SERIES.contains(&kind), "{kind}");
        assert!(record.engine.is_none() && record.seed.is_none());
    }
    let params = |kind: &str| MADE.read(kind).record.params;
    assert_eq!(json!(params("ridge")), json!({"alpha": 50.0, "fit_intercept": true}));
    let elastic = json!({"alpha": 0.001, "fit_intercept": true, "l1_ratio": 0.5, "max_iter": 1000, "tol": 1e-4});
    assert_eq!(json!(params("elastic_net")), elastic);
    assert_eq!(json!(params("ar")), json!({"lags": [1, 5, 21], "series": "log_return", "trend": "ct"}));
    assert_eq!(json!(params("garch")), json!({"dist": "normal", "mean": "Constant", "p": 1, "q": 1}));
}

#[test]
fn what_was_learnt_can_be_read_by_anyone() {
    let json = |kind: &str, file: &str| -> Value { serde_json::from_slice(&fs::read(MADE.model(kind).join(file)).unwrap()).unwrap() };
    let ridge = json("ridge", "linear.json");
    let ret_1 = &ridge["features"][0];
    assert_eq!((ret_1["name"].as_str(), ridge["features"].as_array().unwrap().len()), (Some("ret_1"), 24));
    assert!(["impute", "center", "scale", "coefficient"].iter().all(|key| ret_1[key].is_f64()), "{ret_1}");
    let ar = json("ar", "series.json");
    assert_eq!((ar["first"].as_str(), ar["steps"].as_u64()), (Some("1987-01-05"), Some(21)));
    assert_eq!(ar["form"]["ar"]["coefficients"].as_array().unwrap().len(), 3);
    let garch = json("garch", "series.json");
    let persistence = garch["form"]["garch"]["alpha[1]"].as_f64().unwrap() + garch["form"]["garch"]["beta[1]"].as_f64().unwrap();
    assert!((0.9..1.0).contains(&persistence), "oil's swings come in clusters: {garch}");
}

#[test]
fn nothing_but_train_rows_is_learnt_from() {
    let frame = MADE.frame();
    let last = frame.rows_of(Part::Train).iter().map(|&row| frame.outcome_dates[row]).max().unwrap();
    let later = changed(|folder| {
        let begins = frame.dates[frame.rows_of(Part::Valid)[0]];
        for column in ["label", "ret_1", "vol_21", "weight"] {
            change_column(folder, column, |date, value| if date >= begins { value * 3.0 + 0.1 } else { value });
        }
        let days = frame.prices.dates.iter().zip(&frame.prices.prices);
        let history: PriceHistory = days.map(|(date, price)| (*date, if *date > last { price * 2.0 } else { *price })).collect();
        price_history::write(folder, &history).unwrap();
    });
    let out = tempfile::tempdir().unwrap();
    for (kind, stanza) in stanzas() {
        let (model, _) = train(kind, &stanza, later.path(), &[], &out.path().join(kind));
        assert!(files(&model) == files(&MADE.model(kind)), "{kind} has learnt from what came after the train rows' outcomes");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn no_price_after_a_row_changes_its_forecast(row in any::<Index>(), cut in any::<Index>()) {
        let frame = MADE.frame();
        let rows = frame.rows_of(Part::Valid);
        let row = *row.get(&rows);
        let after = frame.prices.dates.iter().filter(|date| **date > frame.dates[row]).count();
        let known = frame.prices.dates.len() - cut.index(after + 1);
        let shorter = FrameData { prices: frame.prices.between(i32::MIN, frame.prices.dates[known - 1]), ..frame.clone() };
        for kind in OF_THE_SERIES {
            let model = MADE.read(kind);
            let bits = |frame: &FrameData, rows: &[usize]| model.predict(frame, rows).unwrap().iter().map(|f| f.to_bits()).collect::<Vec<_>>();
            let alone = bits(&shorter, &[row]);
            prop_assert_eq!(&alone, &bits(&frame, &[row]));
            let all = bits(&frame, &rows);
            prop_assert_eq!(alone[0], all[rows.iter().position(|other| *other == row).unwrap()], "whatever other rows are asked for");
            let spread = |frame: &FrameData, rows: &[usize]| model.volatility(frame, rows).unwrap().map(|all| all[0].to_bits());
            prop_assert_eq!(spread(&shorter, &[row]), spread(&frame, &[row]));
        }
    }
}

#[test]
fn the_simplest_forecasts_are_what_their_names_say() {
    let frame = MADE.frame();
    let rows = frame.rows_of(Part::Valid);
    let place = |row: usize| frame.prices.position(frame.dates[row]).unwrap();
    let season = MADE.read("seasonal_naive").predict(&frame, &rows).unwrap();
    assert!(
        rows.iter().zip(&season).all(|(&row, found)| *found == frame.prices.prices[place(row) + 21 - 252]),
        "one year before the target"
    );
    let train = frame.trained_on(Part::Train).unwrap();
    let day = |text: &str| frame.prices.position(text.parse::<chrono::NaiveDate>().unwrap().to_epoch_days()).unwrap();
    let (first, last) = (day(&train.first), day(&train.outcome_last));
    let steps = f64::from(u32::try_from(last - first).unwrap());
    let change = (frame.prices.prices[last] - frame.prices.prices[first]) / steps;
    let drift = MADE.read("drift").predict(&frame, &rows).unwrap();
    assert!(rows.iter().zip(&drift).all(|(&row, found)| (found - frame.price[row] - 21.0 * change).abs() < 1e-9));
}

#[test]
fn every_model_forecasts_prices_and_garch_how_far_they_move() {
    let frame = MADE.frame();
    let rows = frame.rows_of(Part::Valid);
    for (kind, _) in stanzas() {
        let model = MADE.read(kind);
        let levels = model.predict(&frame, &rows).unwrap();
        assert!(levels.iter().all(|level| (10.0..200.0).contains(level)), "{kind}: crude oil cost 75 to 115 dollars then");
        assert_eq!(model.volatility(&frame, &rows).unwrap().is_some(), kind == "garch");
        let metrics = MADE.made(kind).1;
        assert!(metrics["valid_mae"] > 1.0 && metrics.contains_key("valid_naive_mae"));
    }
    let spread = MADE.read("garch").volatility(&frame, &rows).unwrap().unwrap();
    assert!(spread.iter().all(|spread| (0.03..0.4).contains(spread)), "a month's move of oil, as a share");
    let metric = |kind: &str, name: &str| MADE.made(kind).1[name];
    assert!((metric("garch", "valid_volatility") - 0.09).abs() < 0.03);
    assert!(metric("garch", "log_likelihood") < 0.0 && metric("exponential_smoothing", "sse") > 0.0);
}

#[test]
fn an_ensemble_takes_linear_and_series_models_beside_each_other() {
    let frame = MADE.frame();
    let rows = frame.rows_of(Part::Valid);
    let members = ["ridge", "ar", "garch"].map(|kind| MADE.model(kind));
    let body = json!({"frame": "frame/x", "models": ["m/1", "m/2", "m/3"]});
    let out = tempfile::tempdir().unwrap();
    let (model, _) = train("ensemble", &body, &MADE.fit(), &members, out.path());
    let levels = trained::read(&model).unwrap().predict(&frame, &rows).unwrap();
    let parts: Vec<_> = members.iter().map(|member| trained::read(member).unwrap().predict(&frame, &rows).unwrap()).collect();
    let mean = |row: usize| parts.iter().map(|part| part[row]).sum::<f64>() / 3.0;
    assert!(levels.iter().enumerate().all(|(row, level)| (level - mean(row)).abs() < 1e-9));
}

#[test]
fn a_horizon_in_days_is_as_many_rows_as_it_was_for_the_train_rows() {
    let days = changed(|folder| {
        let mut record = frame_file::read(folder).unwrap().record;
        record.label.horizon = Horizon::Days(30);
        fs::write(folder.join(frame_file::RECORD_FILE), serde_json::to_vec(&record).unwrap()).unwrap();
    });
    let out = tempfile::tempdir().unwrap();
    let (model, _) = train("drift", &json!({"frame": "frame/x"}), days.path(), &[], out.path());
    let drift: Value = serde_json::from_slice(&fs::read(model.join("series.json")).unwrap()).unwrap();
    assert_eq!(drift["steps"], 21, "the outcomes of these rows do lie 21 prices ahead");
}

#[test]
fn a_wrong_parameter_is_refused_before_anything_runs() {
    let refusal = |kind: &str, keys: Value| {
        let mut stanza = json!({"frame": "frame/x"});
        stanza.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        let errors = declare(kind, 1, &stanza).unwrap_err();
        format!("{} | {}", errors[0].message, errors[0].hint.clone().unwrap_or_default())
    };
    let params = |kind: &str, params: Value| refusal(kind, json!({"params": params}));
    assert_eq!(params("ridge", json!({"alhpa": 1})), "scikit-learn's Ridge 1.9.1 has no parameter 'alhpa' | did you mean 'alpha'?");
    assert!(params("ridge", json!({"tol": 1e-3})).starts_with("'tol' may not be set here: ridge is solved in one step"));
    assert_eq!(params("ridge", json!({"alpha": -1})), "'alpha' must be 0 or more, not -1 | ");
    assert_eq!(params("elastic_net", json!({"l1_ratio": 1.5})), "'l1_ratio' must be from 0 to 1, not 1.5 | ");
    assert!(params("elastic_net", json!({"max_iter": 0})).contains("a whole number, at least 1"));
    assert_eq!(params("seasonal_naive", json!({})), "'seasonal_periods' is missing: a whole number, at least 1 | ");
    assert_eq!(
        params("seasonal_naive", json!({"season_periods": 5})),
        "seasonal_naive has no parameter 'season_periods' | did you mean 'seasonal_periods'?"
    );
    assert_eq!(params("ar", json!({"lag": 5})), "statsmodels' AutoReg 0.15.0 has no parameter 'lag' | did you mean 'lags'?");
    assert_eq!(params("ar", json!({"lags": [1, 2, 1]})), "'lags' must be distinct lags, not [1,2,1] | ");
    assert!(params("ar", json!({"lags": [0, 1]})).contains("a list of whole numbers from 1"));
    assert!(params("ar", json!({"lags": 1, "trend": "ctt"})).contains("one of n, c, t, ct"));
    assert!(refusal("ar", json!({"series": "level", "params": {"lags": 1}})).contains("\"log_return\""));
    let smoothing = |value: Value| params("exponential_smoothing", value);
    assert_eq!(smoothing(json!({"damped_trend": true})), "'damped_trend' cannot be used without 'trend': there is no trend to damp | ");
    assert!(smoothing(json!({"seasonal": "add"})).contains("without 'seasonal_periods'"));
    assert!(smoothing(json!({"use_boxcox": true})).contains("say `series` in the stanza"));
    assert!(smoothing(json!({"trend": "add", "smoothing_level": 0.1, "smoothing_trend": 0.2})).contains("from 0 to smoothing_level"));
    assert!(smoothing(json!({"smooting_level": 0.1})).ends_with("did you mean 'smoothing_level'?"));
    assert_eq!(params("garch", json!({"p": 2})), "'p' must be 1, not 2 | ");
    assert!(params("garch", json!({"dist": "t"})).contains("one of normal"));
    assert!(refusal("drift", json!({"params": {}})).contains("'params'"));
}

#[test]
fn the_same_number_written_otherwise_is_the_same_key() {
    let key = |params: Value| declare("ridge", 1, &json!({"frame": "frame/x", "params": params})).unwrap().params;
    assert_eq!(key(json!({"alpha": 1})), key(json!({})));
    assert_ne!(key(json!({"alpha": 2})), key(json!({})));
    let lags = |lags: Value| declare("ar", 1, &json!({"frame": "frame/x", "params": {"lags": lags}})).unwrap().params;
    assert_eq!(lags(json!(3)), lags(json!([3, 1, 2])));
}

#[test]
fn what_cannot_be_learnt_from_is_refused_with_the_way_out() {
    let stanza = |kind: &str| stanzas().into_iter().find(|(other, _)| *other == kind).unwrap().1;
    let without = changed(|folder| fs::remove_file(folder.join(PRICES_FILE)).unwrap());
    let negative = changed(|folder| {
        let mut history = MADE.frame().prices;
        history.prices[40] = -37.63;
        price_history::write(folder, &history).unwrap();
    });
    for kind in OF_THE_SERIES {
        let error = refused(kind, &stanza(kind), without.path());
        assert_eq!((error.code, error.message.as_str()), (ExitCode::Refused, "the frame holds no price history"), "{kind}");
    }
    for kind in ["ar", "exponential_smoothing", "garch"] {
        let error = refused(kind, &stanza(kind), negative.path());
        let expected = "the price is -37.63 on 1987-03-03, and only a price above zero has a logarithm";
        assert_eq!((error.code, error.message.as_str()), (ExitCode::Refused, expected), "{kind}");
    }
    let mut difference = stanza("ar");
    difference["series"] = json!("difference");
    let out = tempfile::tempdir().unwrap();
    train("ar", &difference, negative.path(), &[], out.path());

    // The month twice over, and no penalty to choose between the two.
    let twice = changed(|folder| {
        let frame = frame_file::read(folder).unwrap();
        let months = frame.matrix(&["month".into()], &(0..frame.len()).collect::<Vec<_>>()).unwrap();
        replace_column(folder, "weekday", Values::Floats(months.iter().map(|month| Some(2.0 * month)).collect()));
    });
    let error = refused("ridge", &json!({"frame": "frame/x", "params": {"alpha": 0}}), twice.path());
    assert!(error.code == ExitCode::Refused && error.message.contains("feature 'weekday' is a combination of those before it"), "{error}");
    assert_eq!(error.hint.as_deref(), Some("params = { alpha = 1.0 }"));
}

#[test]
fn rows_that_are_judged_by_may_not_lie_inside_what_a_series_is_learnt_from() {
    // As in a k-fold split: a block in the middle is kept for judging.
    let broken = changed(|folder| {
        let frame = frame_file::read(folder).unwrap();
        let word = |row: usize| if (100..200).contains(&row) { "valid" } else { frame.split[row].word() };
        replace_column(folder, "split", Values::Strings((0..frame.len()).map(|row| Some(word(row).to_owned())).collect()));
    });
    let error = refused("drift", &json!({"frame": "frame/x"}), broken.path());
    assert_eq!(error.code, ExitCode::Refused);
    assert!(
        error.message.starts_with("a model of the price series learns from one unbroken stretch, but the valid row of 1987-"),
        "{error}"
    );
}

#[test]
fn a_penalty_that_leaves_nothing_and_a_search_cut_short_are_said() {
    let out = tempfile::tempdir().unwrap();
    let notes = |params: Value, name: &str| {
        let body = json!({"frame": "frame/x", "params": params});
        train("elastic_net", &body, &MADE.fit(), &[], &out.path().join(name)).1.notes
    };
    assert_eq!(notes(json!({}), "strong"), ["every coefficient is zero: the forecast is the same label for all rows"]);
    let short = notes(json!({"alpha": 1e-5, "max_iter": 2}), "short");
    assert!(short[0].starts_with("not settled after 2 rounds: the gap is "), "{short:?}");
}

#[test]
fn a_row_too_early_for_a_forecast_is_named() {
    let frame = MADE.frame();
    let error = MADE.read("seasonal_naive").predict(&frame, &[3]).unwrap_err().to_string();
    assert_eq!(error, "a forecast from 1987-01-08 needs 231 earlier prices, and 3 are known");
    let late = FrameData { prices: frame.prices.between(frame.dates[500], i32::MAX), ..frame.clone() };
    let error = MADE.read("ar").predict(&late, &[600]).unwrap_err().to_string();
    assert!(error.ends_with("but the model's on 1987-01-05"), "{error}");
}
