//! The vendors' own Python packages as judges: they load our model files and predict the same, and train the same from the same rows.
#![allow(missing_docs, clippy::unwrap_used)]

mod crude_oil;
#[path = "vendor/python.rs"]
mod python;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use cbi::base::diagnostic::ExitCode;
use cbi::engine::frame_file;
use cbi::engine::gbdt::vocabulary::lightgbm::LIGHTGBM;
use cbi::engine::gbdt::vocabulary::xgboost::XGBOOST;
use cbi::engine::parameters::Form;
use cbi::kinds::trained;
use cbi::model::training::LabelKind;
use crude_oil::{declare, run, train, write_fit};
use python::{python, succeed};
use serde_json::{Value, json};

struct Case {
    label: LabelKind,
    weight: bool,
    params: Value,
}

fn case(label: LabelKind, weight: bool, params: Value) -> Case {
    Case { label, weight, params }
}

/// The features that the parameters say are categories, sorted.
fn categories(params: &Value) -> Vec<String> {
    let listed = params["categorical_feature"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let typed = params["feature_types"].as_object().into_iter().flatten().filter(|(_, of)| **of == "c").map(|(name, _)| name.as_str());
    listed.chain(typed).map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Trains each case through cbi and asks the vendor's package.
fn judged(kind: &str, cases: &[Case], tolerance: f64) {
    let folder = tempfile::tempdir().unwrap();
    for (index, case) in cases.iter().enumerate() {
        let place = folder.path().join(index.to_string());
        let fit = place.join("fit");
        write_fit(&fit, case.label, case.weight);
        let (model, _) = train(kind, &json!({"frame": "frame/x", "params": case.params}), &fit, &[], &place);
        let frame = frame_file::read(&fit).unwrap();
        let rows: Vec<usize> = (0..frame.len()).collect();
        let predictions = place.join("predictions.json");
        let levels = trained::read(&model).unwrap().predict(&frame, &rows).unwrap();
        fs::write(&predictions, serde_json::to_string(&levels).unwrap()).unwrap();

        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vendor/parity.py");
        let mut command = Command::new(python());
        command.args([script.as_path(), &fit, &model, &predictions]).env("OMP_NUM_THREADS", "1");
        let answer = succeed(&mut command);
        let verdict: Value = serde_json::from_str(answer.lines().last().unwrap()).unwrap();
        let number = |name: &str| verdict[name].as_f64().unwrap();
        let what = format!("{kind} {}: {verdict}", case.params);
        assert!(number("rows") > 6000.0, "{what}");
        assert!(number("largest_difference") <= tolerance, "{what}");
        assert!((number("mae_cbi") - number("mae_vendor")).abs() <= tolerance * number("mae_vendor"), "{what}");
        assert_eq!(verdict["same_trees"], true, "{what}");
        let record: Value = serde_json::from_slice(&fs::read(model.join("model.json")).unwrap()).unwrap();
        assert_eq!(verdict["rounds"], record["rounds"], "{what}");
        assert_eq!(verdict["categorical"], json!(categories(&case.params)), "features split by sets of their values: {what}");
    }
}

#[test]
fn lightgbm_reads_our_model_predicts_the_same_and_trains_the_same() {
    let cases = [
        case(
            LabelKind::LogReturn,
            false,
            json!({"num_iterations": 500, "early_stopping_round": 30, "learning_rate": 0.03, "num_leaves": 31}),
        ),
        case(
            LabelKind::LogReturn,
            true,
            json!({"objective": "mae", "metric": ["l1", "l2"], "num_iterations": 300, "early_stopping_round": 20, "bagging_fraction": 0.8,
                   "bagging_freq": 1, "feature_fraction": 0.7, "lambda_l2": 5, "min_data_in_leaf": 100, "seed": 7}),
        ),
        case(LabelKind::Level, true, json!({"boosting": "dart", "num_iterations": 60, "max_depth": 6, "drop_rate": 0.2})),
        case(
            LabelKind::Level,
            false,
            json!({"objective": "quantile", "alpha": 0.9, "num_iterations": 80, "max_bin": 63, "categorical_feature": ["month", "weekday"]}),
        ),
        case(LabelKind::LogReturn, false, json!({"num_iterations": 100, "extra_trees": true, "path_smooth": 1.5, "linear_tree": true})),
        case(
            LabelKind::LogReturn,
            true,
            json!({"data_sample_strategy": "goss", "top_rate": 0.3, "other_rate": 0.2, "metric": "l2", "num_iterations": 300,
                   "early_stopping_round": 20, "learning_rate": 0.05, "max_depth": 5, "min_data_in_leaf": 100, "feature_fraction": 0.7}),
        ),
        case(
            LabelKind::LogReturn,
            false,
            json!({"objective": "huber", "alpha": 0.05, "metric": "l1", "num_iterations": 300, "early_stopping_round": 20,
                   "feature_fraction_bynode": 0.6, "min_gain_to_split": 1e-4, "lambda_l1": 0.1}),
        ),
        case(
            LabelKind::Level,
            true,
            json!({"boosting": "rf", "bagging_fraction": 0.6, "bagging_freq": 1, "num_iterations": 40, "max_cat_to_onehot": 1,
                   "cat_smooth": 1, "cat_l2": 1, "min_data_per_group": 10, "categorical_feature": ["month"]}),
        ),
        case(
            LabelKind::LogReturn,
            false,
            json!({"num_iterations": 80, "monotone_constraints": {"ret_21": 1, "vol_21": -1}, "monotone_constraints_method": "advanced",
                   "monotone_penalty": 0.5, "interaction_constraints": [["ret_21", "vol_21", "month"], ["ma_5", "ret_5"]]}),
        ),
    ];
    judged("lightgbm", &cases, 1e-12);
}

#[test]
fn xgboost_reads_our_model_predicts_the_same_and_trains_the_same() {
    let monotone: Vec<i32> = (0..24).map(|feature| [1, 0, -1][feature % 3]).collect();
    let cases = [
        case(LabelKind::LogReturn, false, json!({"num_boost_round": 500, "early_stopping_rounds": 30, "eta": 0.03, "max_depth": 5})),
        case(
            LabelKind::LogReturn,
            true,
            json!({"objective": "reg:absoluteerror", "eval_metric": ["rmse", "mae"], "num_boost_round": 300, "early_stopping_rounds": 20,
                   "subsample": 0.8, "colsample_bytree": 0.7, "min_child_weight": 50, "lambda": 5, "seed": 7}),
        ),
        case(LabelKind::Level, true, json!({"booster": "dart", "num_boost_round": 60, "rate_drop": 0.2, "max_depth": 4})),
        case(
            LabelKind::Level,
            false,
            json!({"objective": "reg:quantileerror", "quantile_alpha": 0.9, "num_boost_round": 80, "max_bin": 63}),
        ),
        case(LabelKind::LogReturn, false, json!({"num_boost_round": 100, "tree_method": "exact", "monotone_constraints": monotone})),
        case(
            LabelKind::LogReturn,
            false,
            json!({"num_boost_round": 50, "booster": "gblinear", "updater": "coord_descent", "base_score": 0.1}),
        ),
        case(
            LabelKind::LogReturn,
            true,
            json!({"objective": "reg:pseudohubererror", "huber_slope": 0.05, "eval_metric": "mphe", "num_boost_round": 200,
                   "early_stopping_rounds": 20, "grow_policy": "lossguide", "max_leaves": 15, "max_depth": 0, "colsample_bylevel": 0.7,
                   "colsample_bynode": 0.8, "gamma": 1e-4, "alpha": 0.1}),
        ),
        case(
            LabelKind::Level,
            false,
            json!({"num_boost_round": 60, "tree_method": "approx", "num_parallel_tree": 2, "subsample": 0.8, "max_cat_to_onehot": 3,
                   "max_cat_threshold": 8, "feature_types": {"month": "c", "weekday": "c"}}),
        ),
        case(
            LabelKind::Level,
            true,
            json!({"num_boost_round": 60, "eta": 0.1, "feature_types": {"month": "c"}, "max_cat_to_onehot": 1,
                   "monotone_constraints": {"ret_21": 1, "vol_21": -1}, "interaction_constraints": [["ret_21", "vol_21", "month"], ["ma_5", "ret_5"]]}),
        ),
    ];
    judged("xgboost", &cases, 1e-6);
}

/// Forecasts of the rows, with one feature at each of its deciles: one list a decile.
fn swept(kind: &str, params: &Value, feature: &str) -> Vec<Vec<f64>> {
    let folder = tempfile::tempdir().unwrap();
    let fit = folder.path().join("fit");
    write_fit(&fit, LabelKind::Level, false);
    let (model, _) = train(kind, &json!({"frame": "frame/x", "params": params}), &fit, &[], folder.path());
    let (model, mut frame) = (trained::read(&model).unwrap(), frame_file::read(&fit).unwrap());
    let column = frame.record.features.iter().position(|name| name == feature).unwrap();
    let mut values: Vec<f64> = frame.features[column].iter().copied().filter(|value| !value.is_nan()).collect();
    values.sort_by(f64::total_cmp);
    let rows: Vec<usize> = (0..frame.len()).step_by(20).collect();
    let at = |decile: usize| values[(values.len() - 1) * decile / 10];
    (0..=10)
        .map(|decile| {
            frame.features[column].fill(at(decile));
            model.predict(&frame, &rows).unwrap()
        })
        .collect()
}

/// The largest fall from one decile to the next.
fn largest_fall(swept: &[Vec<f64>]) -> f64 {
    let falls = swept.windows(2).flat_map(|pair| pair[0].iter().zip(&pair[1]).map(|(before, after)| before - after));
    falls.fold(0.0, f64::max)
}

#[test]
fn a_monotone_constraint_binds_where_the_free_model_bends() {
    let trees = [("lightgbm", json!({"num_iterations": 60})), ("xgboost", json!({"num_boost_round": 60}))];
    for (kind, free) in trees {
        let mut bound = free.clone();
        bound["monotone_constraints"] = json!({"ret_21": 1});
        let (free, bound) = (swept(kind, &free, "ret_21"), swept(kind, &bound, "ret_21"));
        assert!(largest_fall(&free) > 0.1, "{kind}: without the constraint forecasts fall too");
        assert!(largest_fall(&bound) <= 1e-6, "{kind}: {}", largest_fall(&bound));
        assert!(bound[0] != bound[10], "{kind}: the feature is still used");
    }
}

#[test]
fn parameters_by_a_name_that_no_feature_has_are_refused_with_the_nearest() {
    let folder = tempfile::tempdir().unwrap();
    let fit = folder.path().join("fit");
    write_fit(&fit, LabelKind::LogReturn, false);
    let refused = |kind: &str, params: Value| {
        let declared = declare(kind, 1, &json!({"frame": "frame/x", "params": params})).unwrap();
        run(kind, &declared, &fit, &[], &folder.path().join("m")).unwrap_err()
    };
    for kind in ["lightgbm", "xgboost"] {
        let error = refused(kind, json!({"monotone_constraints": {"ret_20": 1}}));
        let message = "'monotone_constraints' names 'ret_20', which is not a feature of the frame";
        assert_eq!((error.code, error.message.as_str()), (ExitCode::Invalid, message));
        assert!(error.hint.unwrap().starts_with("did you mean 'ret_2"), "{kind}");
        let error = refused(kind, json!({"interaction_constraints": [["monthly"]]}));
        assert_eq!(error.hint.unwrap(), "did you mean 'month'?");
    }
    let error = refused("lightgbm", json!({"categorical_feature": ["weekdays"]}));
    assert_eq!((error.code, error.hint.as_deref()), (ExitCode::Invalid, Some("did you mean 'weekday'?")));
    let error = refused("xgboost", json!({"feature_types": {"weekdays": "c"}}));
    assert_eq!((error.code, error.hint.as_deref()), (ExitCode::Invalid, Some("did you mean 'weekday'?")));
    for (kind, params) in [("lightgbm", json!({"categorical_feature": ["ret_1"]})), ("xgboost", json!({"feature_types": {"ret_1": "c"}}))] {
        let error = refused(kind, params);
        assert_eq!(error.code, ExitCode::Refused);
        assert!(error.message.starts_with("feature 'ret_1' is said to be categorical, but holds "), "{}", error.message);
    }
    let wrong = declare("xgboost", 1, &json!({"frame": "frame/x", "params": {"monotone_constraints": {"ret_1": 2}}})).unwrap_err();
    assert!(wrong[0].message.contains("-1, 0 or 1 by feature names"), "{}", wrong[0].message);
}

/// Trains each case through cbi, lets it explain its forecasts and asks the vendor's package for the same.
fn explained(kind: &str, cases: &[Case], tolerance: f64) {
    let folder = tempfile::tempdir().unwrap();
    for (index, case) in cases.iter().enumerate() {
        let place = folder.path().join(index.to_string());
        let fit = place.join("fit");
        write_fit(&fit, case.label, case.weight);
        let (model, _) = train(kind, &json!({"frame": "frame/x", "params": case.params}), &fit, &[], &place);
        let frame = frame_file::read(&fit).unwrap();
        let rows: Vec<usize> = (frame.len() - 252..frame.len()).collect();
        let explanation = trained::read(&model).unwrap().explain(&frame, &rows).unwrap().unwrap();
        let told = place.join("explanation.json");
        fs::write(&told, serde_json::to_string(&json!({"gains": explanation.gains, "contributions": explanation.contributions})).unwrap())
            .unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vendor/contributions.py");
        let answer = succeed(Command::new(python()).args([script.as_path(), &fit, &model, &told]).env("OMP_NUM_THREADS", "1"));
        let verdict: Value = serde_json::from_str(answer.lines().last().unwrap()).unwrap();
        let number = |name: &str| verdict[name].as_f64().unwrap();
        let what = format!("{kind} {}: {verdict}", case.params);
        assert!(number("rows") > 251.5 && number("moved") > 0.0, "{what}");
        assert!(number("contributions") <= tolerance && number("gains") <= tolerance, "{what}");
        assert!(number("sum") <= 1e-6, "contributions add up to the raw prediction: {what}");
    }
}

#[test]
fn the_vendors_packages_explain_our_models_with_the_same_contributions_and_gains() {
    let dart = json!({"boosting": "dart", "num_iterations": 60, "max_depth": 6, "drop_rate": 0.2});
    let cases = [
        case(LabelKind::LogReturn, false, json!({"num_iterations": 200, "learning_rate": 0.03, "num_leaves": 31})),
        case(LabelKind::Level, true, dart),
    ];
    explained("lightgbm", &cases, 1e-9);
    let dart = json!({"booster": "dart", "num_boost_round": 60, "rate_drop": 0.2, "max_depth": 4});
    let cases = [
        case(LabelKind::LogReturn, false, json!({"num_boost_round": 200, "eta": 0.03, "max_depth": 5})),
        case(LabelKind::Level, true, dart),
    ];
    explained("xgboost", &cases, 1e-5);
}

#[test]
fn our_list_of_lightgbms_parameters_is_the_librarys_own() {
    let script = "import ctypes, lightgbm.basic as b\n\
        room = ctypes.create_string_buffer(1 << 20); size = ctypes.c_int64(0)\n\
        b._LIB.LGBM_DumpParamAliases(ctypes.c_int64(1 << 20), ctypes.byref(size), room); print(room.value.decode())";
    let printed = succeed(Command::new(python()).args(["-c", script]));
    let theirs: BTreeMap<String, BTreeSet<String>> = serde_json::from_str(&printed).unwrap();
    let owned: BTreeSet<&str> = LIGHTGBM.owned.iter().flat_map(|owned| owned.names).copied().collect();
    for (name, aliases) in &theirs {
        match LIGHTGBM.parameters.iter().find(|parameter| parameter.name == name) {
            Some(ours) => assert_eq!(ours.aliases.iter().map(|&a| a.to_owned()).collect::<BTreeSet<_>>(), *aliases, "{name}"),
            None => assert!(aliases.iter().chain([name]).all(|n| owned.contains(n.as_str())), "{name} is not in our list"),
        }
    }
    let all: BTreeSet<&str> = theirs.iter().flat_map(|(name, aliases)| aliases.iter().chain([name])).map(String::as_str).collect();
    let given = LIGHTGBM.parameters.iter().flat_map(|parameter| parameter.aliases.iter().chain([&parameter.name]));
    assert_eq!(given.chain(&owned).copied().filter(|name| !all.contains(name)).collect::<Vec<_>>(), [""; 0]);
}

/// A value that the parameter can hold.
fn sample(name: &str, form: Form) -> Value {
    match form {
        _ if name == "tweedie_variance_power" => json!(1.5),
        Form::Int | Form::Lags => json!(2),
        Form::Number => json!(0.5),
        Form::Bool => json!(true),
        Form::Word(words) | Form::Words(words) | Form::Types(words) => json!(words[0]),
        Form::Numbers | Form::Signs => json!("(1,0)"),
        Form::Groups => json!("[[0,1]]"),
        Form::Features => json!([0]),
    }
}

#[test]
fn xgboost_knows_every_parameter_that_we_let_through() {
    let not_of_the_booster = ["num_boost_round", "early_stopping_rounds", "feature_types"];
    let parameters = XGBOOST.parameters.iter().filter(|parameter| !not_of_the_booster.contains(&parameter.name));
    let given = parameters.map(|parameter| {
        let name = parameter.name;
        let beside = match name {
            "sample_type" | "normalize_type" | "rate_drop" | "one_drop" | "skip_drop" => json!({"booster": "dart"}),
            "updater" => json!({"booster": "gblinear"}),
            "feature_selector" | "top_k" => json!({"booster": "gblinear", "updater": "coord_descent"}),
            "tweedie_variance_power" => json!({"objective": "reg:tweedie"}),
            "huber_slope" => json!({"objective": "reg:pseudohubererror"}),
            "quantile_alpha" => json!({"objective": "reg:quantileerror"}),
            _ => json!({}),
        };
        let names: Vec<&str> = parameter.aliases.iter().copied().chain([name]).collect();
        json!({"names": names, "value": sample(name, parameter.form), "beside": beside})
    });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vendor/known.py");
    let given = serde_json::to_string(&given.collect::<Vec<_>>()).unwrap();
    let printed = succeed(Command::new(python()).arg(script).arg(given));
    assert_eq!(printed.lines().last().unwrap(), "[]", "parameters that the library does not use");
}
