//! Promises about searches for parameters, on the committed crude oil series. Invariant: what a search should have chosen is worked out here from figures
//! that its ranking does not read.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop where it stands")]

mod common;
mod crude_oil;
#[path = "common/space.rs"]
mod space;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use cbi::base::diagnostic::ExitCode;
use cbi::engine::table_columns::{floats, strings};
use cbi::engine::table_file;
use cbi::model::training::ModelRecord;
use cbi::model::tuning::Tuned;
use crude_oil::Work;
use serde_json::{Value, json};
use space::{Built, TestSpace};

const RECIPE: &str = r#"
[tune."tune/straight"]
frame = "frame/wti/1m"
learner = "ridge"
space = { alpha = { low = 0.1, high = 100000.0, scale = "log" } }
trials = 5

[ridge."model/straight"]
frame = "frame/wti/1m"
tuned = "tune/straight"
params = { fit_intercept = true }

[tune."tune/trees"]
frame = "frame/wti/1m"
learner = "lightgbm"
params = { objective = "regression", min_data_in_leaf = 100, seed = 1 }
space = { num_leaves = [3, 7, 15, 31], learning_rate = { low = 0.01, high = 0.3, scale = "log" }, feature_fraction = { low = 0.3, high = 1.0 } }
trials = 7
metric = "rmse"
halving = { rounds = [4, 12, 30], factor = 3 }

[lightgbm."model/trees"]
frame = "frame/wti/1m"
tuned = "tune/trees"
params = { max_depth = 4 }
"#;

/// A workspace with the frame built; each test works on a copy.
static BASE: LazyLock<TestSpace> = LazyLock::new(|| {
    let space = TestSpace::wti();
    space.write("recipes/tuned.toml", RECIPE);
    space.build(&["frame/wti/1m"]).ok();
    space
});

fn trials(numbers: std::ops::RangeInclusive<usize>) -> BTreeSet<String> {
    numbers.map(|number| format!("tune/straight/trial-{number:02}")).collect()
}

fn with(mut targets: BTreeSet<String>, more: &[&str]) -> BTreeSet<String> {
    targets.extend(more.iter().map(ToString::to_string));
    targets
}

fn read(space: &TestSpace, path: &str) -> Value {
    serde_json::from_str(&space.read(&format!(".cbi-cache/out/{path}"))).unwrap()
}

/// What `cbi show` tells of a target.
fn shown(space: &TestSpace, target: &str) -> Value {
    let output = space.command(&["show", "--json", target]).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{target}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn metric(space: &TestSpace, target: &str, name: &str) -> f64 {
    shown(space, target)["metrics"][name].as_f64().unwrap()
}

#[test]
fn each_trial_is_a_step_a_repeated_search_is_free_and_a_grown_one_runs_only_what_is_new() {
    let space = BASE.twin();
    let built = space.build(&["model/straight"]).ok();
    assert_eq!(built.targets, with(trials(1..=5), &["tune/straight", "model/straight"]));
    space.build(&["model/straight"]).ran(&[]);
    let alphas = |space: &TestSpace| {
        let table = table_file::read(&space.path(".cbi-cache/out/tune/straight/results/results.parquet")).unwrap();
        floats(&table, "param_alpha").unwrap()
    };
    let before = alphas(&space);

    space.edit("recipes/tuned.toml", "trials = 5", "trials = 8");
    let grown = space.build(&["tune/straight"]).ok();
    assert_eq!(grown.targets, with(trials(6..=8), &["tune/straight"]));
    assert!(before.iter().all(|alpha| alphas(&space).contains(alpha)));

    space.edit("recipes/tuned.toml", "trials = 8", "trials = 8\nseed = 7");
    let other = space.build(&["tune/straight"]).ok();
    assert_eq!(other.targets, with(trials(1..=8), &["tune/straight"]), "another seed draws others");
    assert!(before.iter().all(|alpha| !alphas(&space).contains(alpha)));
    space.edit("recipes/tuned.toml", "seed = 7", "seed = 42");
    space.build(&["tune/straight"]).ran(&[]);
}

#[test]
fn the_same_best_parameters_train_nothing_again_and_others_do() {
    let space = BASE.twin();
    space.build(&["model/straight"]).ok();
    let best = read(&space, "tune/straight/best/tuned.json");
    // Far too strong a penalty: the search grows by trials that do not win.
    space.edit("recipes/tuned.toml", "trials = 5", "trials = 6\nmetric = \"mape\"");
    let again = space.build(&["model/straight"]).ok();
    let same = read(&space, "tune/straight/best/tuned.json") == best;
    assert_eq!(again.targets.contains("model/straight"), !same, "{:?}", again.targets);

    space.edit("recipes/tuned.toml", "low = 0.1, high = 100000.0", "low = 1e6, high = 1e7");
    let moved = space.build(&["model/straight"]).ok();
    assert!(moved.targets.contains("model/straight"));
    let model = read(&space, "model/straight/model.json");
    assert_eq!(model["params"]["alpha"], read(&space, "tune/straight/best/tuned.json")["params"]["alpha"]);
    assert_eq!(model["trained_on"].as_array().unwrap().iter().filter(|seen| seen["split"] == "tuning").count(), 2);
}

#[test]
fn a_search_that_was_stopped_goes_on_where_it_was() {
    let all: BTreeSet<String> = with(trials(1..=5), &["tune/straight"]);
    for signal in ["-INT", "-KILL"] {
        let space = BASE.twin();
        let mut command = space.command(&["build", "--json", "-j1", "tune/straight"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut told = BTreeSet::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
            if event["event"] == "ran" {
                told.insert(event["target"].as_str().unwrap().to_owned());
                if told.len() == 2 {
                    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
                }
            }
        }
        assert!(!child.wait().unwrap().success());
        assert!((2..all.len()).contains(&told.len()), "{told:?}");
        let rest = space.build(&["tune/straight"]).ok();
        assert_eq!(rest.targets.intersection(&told).count(), 0, "{signal}: what was told to have run does not run again");
        assert!(rest.targets.len() + told.len() >= all.len() - 1, "at most one step ran and could not tell");
        assert!(rest.targets.is_subset(&all));
    }
}

#[test]
fn halving_goes_on_with_the_best_and_the_best_of_all_rungs_is_chosen() {
    let space = BASE.twin();
    let built = space.build(&["model/trees"]).ok();
    assert_eq!(built.targets.iter().filter(|target| target.starts_with("tune/trees/")).count(), 7 + 1 + 3 + 1 + 1);
    // The oracle: the error that each model's own training reported.
    let best_of = |names: Vec<String>| {
        let mut by_error: Vec<(f64, String)> = names.into_iter().map(|name| (metric(&space, &name, "valid_rmse"), name)).collect();
        by_error.sort_by(|a, b| a.0.total_cmp(&b.0));
        by_error.into_iter().map(|(_, name)| name).collect::<Vec<_>>()
    };
    let searched = |path: &str| {
        let params = &read(&space, path)["params"];
        ["num_leaves", "learning_rate", "feature_fraction"].map(|name| params[name].clone())
    };
    let first = best_of((1..=7).map(|n| format!("tune/trees/trial-{n:02}")).collect());
    for (slot, trial) in first.iter().take(3).enumerate() {
        let slot = slot + 1;
        assert_eq!(searched(&format!("tune/trees/rank-1/slot-{slot}/tuned.json")), searched(&format!("{trial}/model.json")));
        let model = read(&space, &format!("tune/trees/rung-2/slot-{slot}/model.json"));
        assert_eq!((&model["rounds"], &model["params"]["num_iterations"]), (&json!(12), &json!(12)));
    }
    let second = best_of((1..=3).map(|n| format!("tune/trees/rung-2/slot-{n}")).collect());
    assert_eq!(searched("tune/trees/rank-2/slot-1/tuned.json"), searched(&format!("{}/model.json", second[0])));
    let last = "tune/trees/rung-3/slot-1".to_owned();
    let best = best_of([first.clone(), second, vec![last.clone()]].concat()).remove(0);
    assert_eq!(searched("tune/trees/best/tuned.json"), searched(&format!("{best}/model.json")));
    let (chosen, model) = (read(&space, &format!("{best}/model.json")), read(&space, "model/trees/model.json"));
    assert_eq!((&model["rounds"], &model["params"]["max_depth"]), (&chosen["rounds"], &json!(4)));

    let table = table_file::read(&space.path(".cbi-cache/out/tune/trees/results/results.parquet")).unwrap();
    assert_eq!(floats(&table, "rung").unwrap().iter().flatten().filter(|rung| **rung < 1.5).count(), 7);
    assert_eq!(table.num_rows(), 7 + 3 + 1);
    assert!((floats(&table, "rmse").unwrap()[10].unwrap() - metric(&space, &last, "valid_rmse")).abs() < 1e-9);
    assert!(floats(&table, "naive_rmse").unwrap().iter().all(|naive| naive.is_some_and(|naive| naive > 0.0)));
    let text = shown(&space, "tune/trees")["table"].as_str().unwrap().to_owned();
    assert!(text.contains("| rank | trial |") && text.contains("naive") && text.contains("## Rung 3"), "{text}");

    // Trees again, but more of them: slots that hold what they held are not trained again.
    space.edit("recipes/tuned.toml", "trials = 7", "trials = 9");
    let grown = space.build(&["tune/trees"]).ok().targets;
    let new: Vec<&str> = grown.iter().map(String::as_str).filter(|target| target.contains("/trial-")).collect();
    assert_eq!(new, ["tune/trees/trial-08", "tune/trees/trial-09"]);
    let kept = best_of((1..=9).map(|n| format!("tune/trees/trial-{n:02}")).collect());
    let newcomers = kept.iter().take(3).filter(|trial| !first[..3].contains(*trial)).count();
    assert_eq!(grown.iter().filter(|target| target.contains("/rung-2/")).count(), newcomers, "{grown:?}");
}

#[test]
fn no_trial_sees_a_test_row() {
    let space = BASE.twin();
    space.build(&["model/straight"]).ok();
    let edited = |day: &str, built: Built| (day.to_owned(), built.targets.into_iter().filter(|target| target.contains("straight")).count());
    let change = |day: &str| {
        let path = "warehouse/fred.dcoilwtico.csv";
        let text = space.read(path);
        let line = text.lines().find(|line| line.starts_with(&format!("{day},"))).unwrap_or_else(|| panic!("no {day}"));
        space.edit(path, line, &format!("{day},77.77"));
        edited(day, space.build(&["model/straight"]).ok())
    };
    assert_eq!(change("6/15/2016").1, 0, "a price of the test range reaches no trial");
    assert_eq!(change("6/15/2012").1, 7, "a price of the valid range reaches all of them");
}

#[test]
fn what_cannot_be_searched_is_refused_before_anything_runs() {
    let stanza = |changes: Value| {
        let mut stanza = json!({
            "frame": "frame/x", "learner": "lightgbm", "params": {"num_iterations": 50},
            "space": {"num_leaves": [7, 15], "learning_rate": {"low": 0.01, "high": 0.1}},
        });
        stanza.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        stanza
    };
    let said = |changes: Value| {
        let errors = crude_oil::declare("tune", 1, &stanza(changes)).map(|_| ()).unwrap_err();
        let hint = errors[0].hint.as_ref().map_or_else(String::new, |hint| format!(" [{hint}]"));
        format!("{}{hint}", errors[0].message)
    };
    assert!(crude_oil::declare("tune", 1, &stanza(json!({}))).is_ok());
    for (changes, expected) in [
        (json!({"space": {"num_leafs": [7]}}), "lightgbm 4.7.0 has no parameter 'num_leafs' [did you mean 'num_leaf'?]"),
        (json!({"params": {"num_leafs": 7}}), "lightgbm 4.7.0 has no parameter 'num_leafs' [did you mean 'num_leaf'?]"),
        (json!({"space": {"num_leaves": {"low": 3.0, "high": 40}}}), "'num_leaves' must be a whole number, not 3.0"),
        (json!({"space": {"num_leaves": [7, "many"]}}), "'num_leaves' must be a whole number, not \"many\""),
        (json!({"space": {"learning_rate": {"low": 0.2, "high": 0.1}}}), "'learning_rate' is searched from 0.2 to 0.1, where nothing lies"),
        (json!({"space": {}}), "there is no parameter to search"),
        (
            json!({"space": {"num_iterations": [10, 20]}}),
            "'num_iterations' is in `params` too, and cannot be both fixed and searched [take it out of one of them]",
        ),
        (json!({"space": {"num_boost_round": [10, 20]}}), "'num_iterations' and 'num_boost_round' are one parameter, given twice"),
        (json!({"halving": {"rounds": [10, 30]}}), "'num_iterations' is set by `halving`, rung by rung"),
        (
            json!({"params": {}, "halving": {"rounds": [30, 10]}}),
            "the rungs' rounds are at least two numbers, each larger than the one before [rounds = [100, 300, 900]]",
        ),
        (
            json!({"learner": "ridge", "params": {}, "space": {"alpha": [1, 2]}, "halving": {"rounds": [10, 30]}}),
            "ridge is not trained in rounds, so no trial can be given fewer of them [leave out `halving`: every trial is then trained once]",
        ),
        (json!({"metric": "pinball"}), "these trials forecast no quantile, which 'pinball' does not measure [metric = \"mae\"]"),
        (
            json!({"params": {"objective": "quantile"}, "metric": "mae"}),
            "these trials forecast a quantile, which 'mae' does not measure [metric = \"pinball\"]",
        ),
        (
            json!({"params": {"objective": "quantile"}, "space": {"alpha": [0.1, 0.9]}}),
            "these trials forecast different quantiles, which cannot be ranked against each other",
        ),
        (json!({"trials": 5000}), "a search has at most 1000 trials"),
    ] {
        let said = said(changes.clone());
        let same = said == expected
            || said.replace("'num_boost_round' and 'num_iterations'", "'num_iterations' and 'num_boost_round'") == expected;
        assert!(same, "{changes}\n{said}");
    }
    assert!(
        said(json!({"space": {"boosting": ["dart"], "num_leaves": [7]}, "params": {"early_stopping_round": 5}}))
            .starts_with("trial 1 (boosting = \"dart\", num_leaves = 7): 'early_stopping_round' cannot be used with boosting = \"dart\"")
    );
}

#[test]
fn every_learner_with_parameters_can_be_searched() {
    for (learner, params, space, metric) in [
        ("seasonal_naive", json!({}), json!({"seasonal_periods": [63, 252]}), "mae"),
        ("ar", json!({"trend": "c"}), json!({"lags": [1, 5, [1, 21]], "series": ["log_return", "difference"]}), "mae"),
        ("exponential_smoothing", json!({"trend": "add"}), json!({"damped_trend": [true, false]}), "mae"),
        ("garch", json!({}), json!({"mean": ["Constant", "Zero"]}), "mae"),
        ("ridge", json!({}), json!({"alpha": {"low": 1, "high": 9}}), "mae"),
        ("elastic_net", json!({"alpha": 0.1}), json!({"l1_ratio": {"low": 0.1, "high": 1.0}}), "mae"),
        ("lightgbm", json!({"objective": "quantile", "alpha": 0.1}), json!({"num_leaves": [3, 7]}), "pinball"),
        ("xgboost", json!({"objective": "reg:quantileerror", "quantile_alpha": 0.9}), json!({"max_depth": [3, 4]}), "pinball"),
    ] {
        let stanza = json!({"frame": "frame/x", "learner": learner, "params": params, "space": space});
        let declared = crude_oil::declare("tune", 1, &stanza).unwrap_or_else(|errors| panic!("{learner}: {errors:?}"));
        assert_eq!(declared.params["metric"], json!(metric), "{learner}");
        assert!(declared.outputs.iter().map(String::as_str).eq(["best", "results"]), "{learner}");
    }
}

#[test]
fn the_scale_of_a_series_is_searched_like_a_parameter() {
    let work = Work::new();
    let tables = [("features", "features"), ("price", "prices")];
    work.run("frame", &frame("2003-12-31", ["2004-01-01", "2007-12-31"], "2008-01-01"), &tables, "late").unwrap();
    let search = json!({"frame": "frame/x", "learner": "ar", "params": {"lags": 3}, "space": {"series": ["difference", "log_return"]}});
    let drawn = crude_oil::declare("tune", 1, &search).unwrap().params["trials"].clone();
    for (at, params) in drawn.as_array().unwrap().iter().enumerate() {
        let stanza = json!({"frame": "frame/x", "params": params});
        work.run("ar", &stanza, &[("frame", "late/fit")], &format!("trial-{at}")).unwrap();
        assert_eq!(record(&work, &format!("trial-{at}")).params["series"], params["series"]);
    }
    let inputs = [("frame", "late/fit"), ("model:0", "trial-0/model"), ("model:1", "trial-1/model")];
    work.run("tune", &search, &inputs, "search").unwrap();
    work.run("ar", &json!({"frame": "frame/x", "tuned": "tune/x"}), &[("frame", "late/fit"), ("tuned", "search/best")], "model").unwrap();
    let tuned: Tuned = serde_json::from_slice(&fs::read(work.path("search/best/tuned.json")).unwrap()).unwrap();
    assert_eq!(record(&work, "model").params["series"], tuned.params["series"]);
    // What the search set may not be set beside it.
    let twice = json!({"frame": "frame/x", "tuned": "tune/x", "params": {"lags": 5}});
    let refused = work.run("ar", &twice, &[("frame", "late/fit"), ("tuned", "search/best")], "twice").unwrap_err();
    assert_eq!((refused.code, refused.message.as_str()), (ExitCode::Invalid, "'lags' is set by the search, so it may not be set here"));
}

#[test]
fn a_mistake_in_a_search_is_shown_at_its_place_once() {
    let space = BASE.twin();
    space.edit("recipes/tuned.toml", "space = { alpha =", "space = { alhpa =");
    let refused = space.build(&["model/straight"]);
    assert_eq!((refused.code, refused.stderr.matches("error:").count()), (3, 1), "{}", refused.stderr);
    assert!(refused.stderr.contains("recipes/tuned.toml:5:11") && refused.stderr.contains("did you mean 'alpha'?"), "{}", refused.stderr);

    let space = BASE.twin();
    space.edit("recipes/tuned.toml", "frame = \"frame/wti/1m\"\nlearner = \"ridge\"", "frame = \"frame/wti/1n\"\nlearner = \"ridge\"");
    let refused = space.build(&["tune/straight"]);
    assert_eq!((refused.code, refused.stderr.matches("error:").count()), (3, 1), "{}", refused.stderr);

    let space = BASE.twin();
    space.edit("recipes/tuned.toml", "params = { max_depth = 4 }", "params = { num_leaves = 4 }");
    let refused = space.build(&["model/trees"]);
    assert_eq!(refused.code, 3);
    assert!(refused.stderr.contains("'num_leaves' is set by the search, so it may not be set here"), "{}", refused.stderr);
    space.edit("recipes/tuned.toml", "[lightgbm.\"model/trees\"]", "[xgboost.\"model/trees\"]");
    let refused = space.build(&["model/trees"]);
    assert!(refused.stderr.contains("'tune/trees' searches parameters of lightgbm, not of xgboost"), "{}", refused.stderr);
}

fn frame(train_to: &str, valid: [&str; 2], test_from: &str) -> Value {
    json!({
        "features": "wti.features", "columns": ["ret_*", "ma_*"], "price": {"table": "wti.daily", "column": "price", "series": "spot"},
        "horizon": {"rows": 21}, "label": "log_return",
        "split": {"train": ["1987-01-05", train_to], "valid": valid, "test": [test_from]},
        "folds": {"walk_forward": {"from": "2000-01-01", "to": "2003-12-31", "train": "10 years", "test": "12 months"}}, "refit": "monthly",
    })
}

/// Two frames, `early` and `late`; a search on one of them, and a model of `late` with its parameters.
fn tuned_on(searched: &str) -> Work {
    let work = Work::new();
    let tables = [("features", "features"), ("price", "prices")];
    work.run("frame", &frame("1995-12-31", ["1996-01-01", "1999-10-31"], "2004-01-01"), &tables, "early").unwrap();
    work.run("frame", &frame("2003-12-31", ["2004-01-01", "2007-12-31"], "2008-01-01"), &tables, "late").unwrap();
    let search = json!({"frame": "frame/x", "learner": "ridge", "space": {"alpha": [10.0, 1000.0]}});
    let drawn = crude_oil::declare("tune", 1, &search).unwrap().params["trials"].clone();
    for (at, params) in drawn.as_array().unwrap().iter().enumerate() {
        let stanza = json!({"frame": "frame/x", "params": params});
        work.run("ridge", &stanza, &[("frame", &format!("{searched}/fit"))], &format!("trial-{at}")).unwrap();
    }
    let fit = format!("{searched}/fit");
    work.run("tune", &search, &[("frame", &fit), ("model:0", "trial-0/model"), ("model:1", "trial-1/model")], "search").unwrap();
    let stanza = json!({"frame": "frame/x", "tuned": "tune/x"});
    work.run("ridge", &stanza, &[("frame", "late/fit"), ("tuned", "search/best")], "model").unwrap();
    work
}

fn record(work: &Work, model: &str) -> ModelRecord {
    serde_json::from_slice(&fs::read(work.path(model).join("model/model.json")).unwrap()).unwrap()
}

#[test]
fn parameters_tuned_on_rows_that_folds_forecast_are_refused_and_others_go_with_every_training() {
    let again = json!({"frame": "frame/x", "model": "model/x"});
    let work = tuned_on("late");
    let refused = work.run("backtest", &again, &[("frame", "late/folds"), ("model:0", "model/model")], "backtest").unwrap_err();
    assert_eq!(refused.code, ExitCode::Refused);
    assert_eq!(
        refused.message,
        "its parameters were tuned on rows with outcomes up to 2007-12-31, but the folds forecast from 2000-01-01 on"
    );

    let work = tuned_on("early");
    let seen = record(&work, "model").tuned_on();
    let tuned: Tuned = serde_json::from_slice(&fs::read(work.path("search/best/tuned.json")).unwrap()).unwrap();
    assert_eq!(seen, tuned.tuned_on);
    assert!(seen.iter().all(|seen| seen.outcome_last.as_str() < "2000-01-01"), "{seen:?}");
    work.run("backtest", &again, &[("frame", "late/folds"), ("model:0", "model/model")], "backtest").unwrap();
    let backtest: Value = serde_json::from_slice(&fs::read(work.path("backtest/backtest/backtest.json")).unwrap()).unwrap();
    assert_eq!(backtest["params"]["alpha"], tuned.params["alpha"]);
    assert!(
        backtest["folds"].as_array().unwrap().iter().all(|fold| fold["trained_on"]
            .as_array()
            .unwrap()
            .iter()
            .any(|s| s["split"] == "tuning"))
    );
    work.run("refit", &again, &[("frame", "late/refit"), ("model:0", "model/model")], "refit").unwrap();
    assert_eq!((record(&work, "refit").tuned_on(), &record(&work, "refit").params["alpha"]), (seen, &tuned.params["alpha"]));
}

#[test]
fn a_model_is_not_measured_on_rows_its_parameters_were_tuned_on() {
    let evaluate = json!({"frame": "frame/x", "models": ["model/x"]});
    let work = tuned_on("late");
    // A model that itself learnt from nothing after 1999, with parameters that were chosen on later rows.
    let stanza = json!({"frame": "frame/x", "tuned": "tune/x"});
    work.run("ridge", &stanza, &[("frame", "early/fit"), ("tuned", "search/best")], "leaking").unwrap();
    let refused = work.run("evaluate", &evaluate, &[("frame", "early/test"), ("model:0", "leaking/model")], "refused").unwrap_err();
    assert_eq!(refused.code, ExitCode::Refused);
    assert!(refused.message.contains("it learnt from tuning rows of 2004-01-05 to 2007-"), "{}", refused.message);
    work.run("evaluate", &evaluate, &[("frame", "late/test"), ("model:0", "model/model")], "measured").unwrap();
}

#[test]
fn the_choice_is_the_trial_with_the_smallest_error_on_the_valid_rows() {
    let work = tuned_on("late");
    let mae = |name: &str| {
        let model = cbi::kinds::trained::read(&work.path(name)).unwrap();
        let frame = cbi::engine::frame_file::read(&work.path("late/fit")).unwrap();
        let rows = frame.rows_of(cbi::engine::frame_file::Part::Valid);
        let levels = frame.outcome_levels();
        model.predict(&frame, &rows).unwrap().iter().zip(&rows).map(|(p, &row)| (p - levels[row]).abs()).sum::<f64>()
    };
    let results: Value = serde_json::from_slice(&fs::read(work.path("search/results/results.json")).unwrap()).unwrap();
    let best = &results["trials"][0];
    let better = usize::from(mae("trial-0/model") > mae("trial-1/model"));
    assert_eq!(best["trial"], json!(better + 1), "{results}");
    assert_eq!(best["params"]["alpha"], record(&work, &format!("trial-{better}")).params["alpha"]);
    let table = table_file::read(&work.path("search/results/results.parquet")).unwrap();
    assert!(strings(&table, "param_alpha").is_err(), "numbers are a column of numbers");
    assert_eq!(floats(&table, "rank").unwrap(), [Some(1.0), Some(2.0)]);
}
