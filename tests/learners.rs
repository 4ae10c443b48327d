//! What learners promise: the same bytes from the same rows and parameters, early stopping that goes back to the best round, forecasts as price
//! levels, and refusals where a parameter or a frame is wrong.
#![allow(missing_docs, clippy::unwrap_used)]

mod crude_oil;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use cbi::base::diagnostic::ExitCode;
use cbi::engine::frame_file::{self, Part};
use cbi::kinds::trained;
use cbi::model::training::{LabelKind, ModelRecord};
use crude_oil::{declare, run, train, train_on, write_fit};
use serde_json::{Value, json};

fn lightgbm() -> Value {
    json!({"frame": "frame/x", "params": {
        "num_iterations": 400, "early_stopping_round": 20, "learning_rate": 0.05, "num_leaves": 15, "bagging_fraction": 0.8, "bagging_freq": 1,
        "feature_fraction": 0.7,
    }})
}

fn xgboost() -> Value {
    json!({"frame": "frame/x", "params": {
        "num_boost_round": 400, "early_stopping_rounds": 20, "eta": 0.05, "max_depth": 4, "subsample": 0.8, "colsample_bytree": 0.7,
    }})
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

fn record(model: &Path) -> ModelRecord {
    serde_json::from_slice(&fs::read(model.join("model.json")).unwrap()).unwrap()
}

#[test]
fn the_same_rows_and_parameters_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let fit = folder.path().join("fit");
    write_fit(&fit, LabelKind::LogReturn, true);
    for (kind, body) in [("lightgbm", lightgbm()), ("xgboost", xgboost()), ("naive", json!({"frame": "frame/x"}))] {
        let (one, _) = train(kind, &body, &fit, &[], &folder.path().join(kind).join("1"));
        let (two, _) = train(kind, &body, &fit, &[], &folder.path().join(kind).join("2"));
        assert!(files(&one) == files(&two), "{kind} gave other bytes the second time");
        let (three, _) = train_on(2, kind, &body, &fit, &[], &folder.path().join(kind).join("3"));
        let (four, _) = train_on(2, kind, &body, &fit, &[], &folder.path().join(kind).join("4"));
        assert!(files(&three) == files(&four), "{kind} on two threads gave other bytes the second time");
    }
}

#[test]
fn nothing_of_the_machine_stands_in_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let fit = folder.path().join("fit");
    write_fit(&fit, LabelKind::LogReturn, false);
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "no such host".into());
    for (kind, body) in [("lightgbm", lightgbm()), ("xgboost", xgboost())] {
        let (model, _) = train(kind, &body, &fit, &[], &folder.path().join(kind));
        for (name, bytes) in files(&model) {
            let text = String::from_utf8_lossy(&bytes);
            for trace in [folder.path().to_str().unwrap(), host.trim(), env!("CARGO_MANIFEST_DIR")] {
                assert!(!text.contains(trace), "{kind}: {name} names {trace}");
            }
        }
    }
}

#[test]
fn another_seed_or_rate_gives_another_model() {
    let folder = tempfile::tempdir().unwrap();
    let fit = folder.path().join("fit");
    write_fit(&fit, LabelKind::LogReturn, false);
    for (kind, base, file) in [("lightgbm", lightgbm(), "model.txt"), ("xgboost", xgboost(), "model.ubj")] {
        let mut seen = Vec::new();
        for (key, value) in [("seed", json!(42)), ("seed", json!(43)), ("learning_rate", json!(0.06)), ("max_bin", json!(31))] {
            let mut body = base.clone();
            body["params"].as_object_mut().unwrap().remove("eta");
            body["params"].as_object_mut().unwrap().remove("learning_rate");
            body["params"]["learning_rate"] = json!(0.05);
            body["params"][key] = value;
            let (model, _) = train(kind, &body, &fit, &[], &folder.path().join(kind).join(seen.len().to_string()));
            let bytes = fs::read(model.join(file)).unwrap();
            assert!(!seen.contains(&bytes), "{kind}: {key} changed nothing");
            seen.push(bytes);
        }
    }
}

#[test]
fn early_stopping_keeps_the_best_round_and_says_that_it_saw_the_valid_rows() {
    let folder = tempfile::tempdir().unwrap();
    let fit = folder.path().join("fit");
    write_fit(&fit, LabelKind::LogReturn, false);
    for (kind, stopped, key, rounds) in [
        ("lightgbm", lightgbm(), "early_stopping_round", "num_iterations"),
        ("xgboost", xgboost(), "early_stopping_rounds", "num_boost_round"),
    ] {
        let (model, response) = train(kind, &stopped, &fit, &[], &folder.path().join(kind).join("stopped"));
        let found = record(&model);
        let best = found.rounds.unwrap();
        assert!((1..400).contains(&best), "{kind} kept {best} rounds");
        assert!((response.metrics["rounds"] - f64::from(best)).abs() < 0.5);
        assert_eq!(found.trained_on.iter().map(|seen| seen.split.as_str()).collect::<Vec<_>>(), ["train", "valid"]);

        // So many rounds without early stopping make the same forecasts, and have seen fewer rows.
        let mut plain = stopped.clone();
        plain["params"].as_object_mut().unwrap().remove(key);
        plain["params"][rounds] = json!(best);
        let (plain, again) = train(kind, &plain, &fit, &[], &folder.path().join(kind).join("plain"));
        assert_eq!(record(&plain).trained_on.len(), 1);
        assert!((response.metrics["valid_mae"] - again.metrics["valid_mae"]).abs() < 1e-12, "{kind}");
    }
}

#[test]
fn forecasts_are_price_levels_whatever_the_label() {
    let folder = tempfile::tempdir().unwrap();
    for (name, kind) in [("level", LabelKind::Level), ("return", LabelKind::LogReturn)] {
        let fit = folder.path().join(name);
        write_fit(&fit, kind, false);
        let frame = frame_file::read(&fit).unwrap();
        let rows = frame.rows_of(Part::Valid);
        for (learner, body) in [("lightgbm", lightgbm()), ("xgboost", xgboost()), ("naive", json!({"frame": "frame/x"}))] {
            let (model, response) = train(learner, &body, &fit, &[], &folder.path().join(format!("{name}-{learner}")));
            let levels = trained::read(&model).unwrap().predict(&frame, &rows).unwrap();
            assert!(levels.iter().all(|level| (10.0..200.0).contains(level)), "{learner} on {name}: crude oil cost 75 to 115 dollars then");
            assert!(response.metrics["valid_naive_mae"] > 1.0, "{:?}", response.metrics);
        }
    }
}

#[test]
fn an_ensemble_weighs_by_the_inverse_of_the_error_and_has_seen_what_its_members_saw() {
    let folder = tempfile::tempdir().unwrap();
    let fit = folder.path().join("fit");
    write_fit(&fit, LabelKind::LogReturn, false);
    let (naive, n) = train("naive", &json!({"frame": "frame/x"}), &fit, &[], &folder.path().join("naive"));
    let (trees, t) = train("lightgbm", &lightgbm(), &fit, &[], &folder.path().join("lightgbm"));
    let (boosted, b) = train("xgboost", &xgboost(), &fit, &[], &folder.path().join("xgboost"));
    let members = [naive, trees, boosted];
    let body = json!({"frame": "frame/x", "models": ["m/1", "m/2", "m/3"], "weights": "inverse_error"});
    let (model, response) = train("ensemble", &body, &fit, &members, &folder.path().join("ensemble"));

    let inverse: Vec<f64> = [&n, &t, &b].iter().map(|r| 1.0 / r.metrics["valid_mae"]).collect();
    let found = record(&model);
    for (member, inverse_error) in found.members.iter().zip(&inverse) {
        assert!((member.weight - inverse_error / inverse.iter().sum::<f64>()).abs() < 1e-12);
    }
    assert_eq!(found.trained_on.iter().map(|seen| seen.split.as_str()).collect::<Vec<_>>(), ["train", "valid"]);
    assert_eq!(response.notes.len(), 3, "{:?}", response.notes);

    let frame = frame_file::read(&fit).unwrap();
    let rows = frame.rows_of(Part::Valid);
    let levels = trained::read(&model).unwrap().predict(&frame, &rows).unwrap();
    let parts: Vec<_> = members.iter().map(|m| trained::read(m).unwrap().predict(&frame, &rows).unwrap()).collect();
    for (row, level) in levels.iter().enumerate() {
        let expected: f64 = parts.iter().zip(&found.members).map(|(part, member)| part[row] * member.weight).sum();
        assert!((level - expected).abs() < 1e-9);
    }

    // An ensemble of ensembles, with weights given: a weight of nothing leaves a member without a say.
    let body = json!({"frame": "frame/x", "models": ["m/1", "m/2"], "weights": [0, 3]});
    let (outer, _) = train("ensemble", &body, &fit, &[members[0].clone(), model], &folder.path().join("outer"));
    let outer = trained::read(&outer).unwrap().predict(&frame, &rows).unwrap();
    assert!(outer.iter().zip(&levels).all(|(a, b)| (a - b).abs() < 1e-12));
}

#[test]
fn a_model_refuses_a_frame_of_another_horizon_or_without_its_features() {
    let folder = tempfile::tempdir().unwrap();
    let fit = folder.path().join("fit");
    write_fit(&fit, LabelKind::LogReturn, false);
    let (model, _) = train("lightgbm", &lightgbm(), &fit, &[], &folder.path().join("m"));
    let model = trained::read(&model).unwrap();
    let mut frame = frame_file::read(&fit).unwrap();
    frame.record.label.horizon = cbi::model::training::Horizon::Rows(5);
    let error = model.predict(&frame, &[0]).unwrap_err().to_string();
    assert_eq!(error, "the model forecasts wti.daily.price at {\"rows\":21}, the frame asks for wti.daily.price at {\"rows\":5}");
    let mut frame = frame_file::read(&fit).unwrap();
    frame.record.features[0] = "ret_one".into();
    assert_eq!(model.predict(&frame, &[0]).unwrap_err().to_string(), "the frame has no feature 'ret_1'");
}

#[test]
fn a_wrong_parameter_is_refused_before_anything_runs() {
    let refusal = |kind: &str, params: Value| {
        let errors = declare(kind, 1, &json!({"frame": "frame/x", "params": params})).unwrap_err();
        assert_eq!(&*errors[0].place.file, "recipes/x.toml", "the place of the key");
        format!("{} | {}", errors[0].message, errors[0].hint.clone().unwrap_or_default())
    };
    assert_eq!(refusal("lightgbm", json!({"num_leafs": 3})), "lightgbm 4.7.0 has no parameter 'num_leafs' | did you mean 'num_leaf'?");
    assert!(refusal("lightgbm", json!({"num_threads": 3})).contains("set `threads` in the stanza"));
    assert!(refusal("lightgbm", json!({"boosting": "dart", "early_stopping_round": 5})).contains("cannot be gone back to"));
    assert!(refusal("lightgbm", json!({"objective": "my_own"})).contains("must be one of regression"));
    assert!(refusal("lightgbm", json!({"num_iterations": 0})).contains("a whole number, at least 1"));
    assert_eq!(refusal("xgboost", json!({"max_dept": 3})), "xgboost 3.2.0 has no parameter 'max_dept' | did you mean 'max_depth'?");
    assert!(refusal("xgboost", json!({"device": "cuda"})).contains("trained on the CPU"));
    assert!(refusal("xgboost", json!({"eta": 0.1, "learning_rate": 0.1})).contains("one parameter, given twice"));
}

#[test]
fn a_parameter_that_the_library_would_ignore_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let fit = folder.path().join("fit");
    write_fit(&fit, LabelKind::LogReturn, false);
    let body = json!({"frame": "frame/x", "params": {"rate_drop": 0.1, "skip_drop": 0.5}});
    let error = run("xgboost", &declare("xgboost", 1, &body).unwrap(), &fit, &[], &folder.path().join("m")).unwrap_err();
    let expected = "xgboost has no use for 'rate_drop', 'skip_drop' with this booster and objective";
    assert_eq!((error.code, error.message.as_str()), (ExitCode::Invalid, expected));
}

#[test]
fn weights_that_make_no_mean_are_refused_before_anything_runs() {
    let refusal = |weights: Value| {
        let body = json!({"frame": "frame/x", "models": ["m/1", "m/2"], "weights": weights});
        declare("ensemble", 1, &body).unwrap_err()[0].message.clone()
    };
    assert_eq!(refusal(json!([1])), "there are 1 weights for 2 models");
    assert_eq!(refusal(json!([1, -1])), "a weight is 0 or more, not -1");
    assert_eq!(refusal(json!([0, 0])), "the weights add up to nothing");
    assert!(refusal(json!("best")).contains("\"inverse_error\""));
    let body = json!({"frame": "frame/x", "models": ["m/1", "m/2"], "weights": "inverse_error", "alpha": 2});
    let error = &declare("ensemble", 1, &body).unwrap_err()[0];
    assert_eq!(error.message, "'alpha' is the penalty of 'stacked' weights, and these are others");
    assert_eq!(&*error.place.file, "recipes/x.toml");
}

#[test]
fn the_parameters_enter_the_key_under_one_name_and_the_threads_by_themselves() {
    let declared = |threads, params: Value| declare("lightgbm", threads, &json!({"frame": "frame/x", "params": params})).unwrap();
    assert_eq!(declared(1, json!({"eta": 0.1})).params, declared(2, json!({"learning_rate": 0.1})).params);
    assert_ne!(declared(1, json!({"eta": 0.1})).params, declared(1, json!({"eta": 0.2})).params);
    assert_eq!(declared(1, json!({})).engines.into_iter().collect::<Vec<_>>(), ["lightgbm"]);
}

#[test]
fn early_stopping_on_a_frame_without_valid_rows_is_a_refused_check() {
    let folder = tempfile::tempdir().unwrap();
    let fit = folder.path().join("fit");
    write_fit(&fit, LabelKind::LogReturn, false);
    only_train_rows(&fit);
    for (kind, body) in [("lightgbm", lightgbm()), ("xgboost", xgboost())] {
        let error = run(kind, &declare(kind, 1, &body).unwrap(), &fit, &[], &folder.path().join(kind)).unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (ExitCode::Refused, "early stopping needs valid rows, and the frame has none"));
        assert!(error.hint.unwrap().contains("`valid` range"));
    }
}

/// Cuts the frame in `fit` down to its train rows.
fn only_train_rows(fit: &Path) {
    let path = fit.join(frame_file::ROWS_FILE);
    let rows = cbi::engine::table_file::read(&path).unwrap();
    let train = frame_file::read(fit).unwrap().rows_of(Part::Train).len();
    cbi::engine::table_file::write(&path, &rows.slice(0, train), &["date".to_owned()]).unwrap();
}

#[test]
fn categorical_features_and_bins_reach_the_dataset() {
    let folder = tempfile::tempdir().unwrap();
    let fit = folder.path().join("fit");
    write_fit(&fit, LabelKind::LogReturn, false);
    let body = json!({"frame": "frame/x", "params": {"categorical_feature": ["month", "weekday"], "max_bin": 15, "num_iterations": 20, "min_data_per_group": 10}});
    let (model, _) = train("lightgbm", &body, &fit, &[], &folder.path().join("m"));
    let text = fs::read_to_string(model.join("model.txt")).unwrap();
    assert!(text.contains("[max_bin: 15]") && text.contains("[categorical_feature: 22,23]"), "the parameters are recorded");
    let info = text.lines().find_map(|line| line.strip_prefix("feature_infos=")).unwrap();
    let month = info.split(' ').nth(22).unwrap();
    assert!(month.contains(':') && !month.starts_with('['), "month is a set of categories, not a range: {month}");
    assert!(text.lines().any(|line| line.starts_with("num_cat=") && line != "num_cat=0"), "a tree splits by categories");

    let body = json!({"frame": "frame/x", "params": {"categorical_feature": ["monht"]}});
    let error = run("lightgbm", &declare("lightgbm", 1, &body).unwrap(), &fit, &[], &folder.path().join("n")).unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str()),
        (ExitCode::Invalid, "'categorical_feature' names 'monht', which is not a feature of the frame")
    );
}
