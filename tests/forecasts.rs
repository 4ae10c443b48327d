//! From a backtest to intervals, signals and a score, on the committed crude oil series and, where they are, the platform's own tables. Invariant: every
//! figure is worked out again here, from the forecasts and the published prices alone.
#![allow(clippy::unwrap_used, clippy::cast_precision_loss, reason = "a test that cannot go on may stop where it stands")]

mod common;
mod crude_oil;
#[path = "common/space.rs"]
mod space;

use std::collections::BTreeMap;

use cbi::base::diagnostic::ExitCode;
use cbi::engine::backtest_file::{self, Predictions};
use cbi::engine::table_columns::{Values, dates, floats, strings};
use cbi::engine::table_file;
use cbi::kinds::request::{Response, RunError};
use chrono::{Days, NaiveDate};
use crude_oil::Work;
use serde_json::{Value, json};
use space::TestSpace;

/// A frame of crude oil, a model that has learnt to 2010, its walk from 2003 to 2010, and its forecasts of the newest days.
fn forecast() -> (Work, Predictions, Response) {
    let work = Work::new();
    let walk = json!({"from": "2003-01-01", "to": "2010-12-31", "train": "10 years", "test": "24 months"});
    let frame = json!({
        "features": "wti.features", "columns": ["ret_*", "ma_*", "vol_*"], "price": {"table": "wti.daily", "column": "price", "series": "spot"},
        "horizon": {"rows": crude_oil::HORIZON}, "label": "log_return", "folds": {"walk_forward": walk},
        "split": {"train": ["1987-01-05", "2010-12-31"], "valid": ["2011-01-01", "2013-12-31"], "test": ["2014-01-01"]},
    });
    work.run("frame", &frame, &[("features", "features"), ("price", "prices")], "frame").unwrap();
    let params = json!({"num_iterations": 20, "num_leaves": 7});
    work.run("lightgbm", &json!({"frame": "frame/x", "params": params}), &[("frame", "frame/fit")], "model").unwrap();
    let stanza = json!({"frame": "frame/x", "model": "model/x"});
    work.run("backtest", &stanza, &[("frame", "frame/folds"), ("model:0", "model/model")], "backtest").unwrap();
    let stanza = json!({
        "frame": "frame/x", "model": "model/x", "residuals": "backtest/x", "max_age_days": 5,
        "calendar": {"table": "calendar.us_trading_days", "column": "date"},
    });
    let inputs = [("calendar", "calendar"), ("frame", "frame/score"), ("model", "model/model"), ("residuals", "backtest/backtest")];
    let response = work.run("forecast", &stanza, &inputs, "forecast").unwrap();
    let past = backtest_file::read(&work.path("backtest/backtest")).unwrap();
    (work, past, response)
}

/// The change that a forecast expects.
fn expected(past: &Predictions) -> Vec<f64> {
    past.predicted.iter().zip(&past.price).map(|(predicted, price)| predicted / price - 1.0).collect()
}

#[test]
fn intervals_come_from_what_the_model_missed_by_on_days_it_had_not_seen() {
    let (work, past, response) = forecast();
    let mut misses: Vec<f64> = past.actual.iter().zip(&past.predicted).map(|(a, p)| (a / p).ln().abs()).collect();
    misses.sort_by(f64::total_cmp);
    let table = table_file::read(&work.path("forecast/table").join(table_file::FILE_NAME)).unwrap();
    let last = |name: &str| *floats(&table, name).unwrap().last().unwrap();
    for (level, lower, upper) in [(80, "lower_80", "upper_80"), (95, "lower_95", "upper_95")] {
        let rank = ((misses.len() + 1) * level).div_ceil(100);
        let predicted = last("predicted").unwrap();
        let close = |found: Option<f64>, expected: f64| (found.unwrap() / expected - 1.0).abs() < 1e-12;
        assert!(close(last(lower), predicted * (-misses[rank - 1]).exp()) && close(last(upper), predicted * misses[rank - 1].exp()));
    }
    let told: Value = serde_json::from_slice(&std::fs::read(work.path("forecast/table/intervals.json")).unwrap()).unwrap();
    assert_eq!(
        (&told["n"], &told["open_at_once"], &told["scale"]),
        (&json!(misses.len()), &json!(crude_oil::HORIZON), &json!("log_ratio"))
    );
    // Eight years with the crash of 2008 in them: real coverage is what it is, but neither nothing nor everything.
    for level in [80, 95] {
        let held = |end: &str| response.metrics[&format!("coverage_{level}{end}")];
        assert!(held("_low") <= held("") && held("") <= held("_high") && held("_low") < held("_high"));
        assert!((0.5..1.0).contains(&held("")) && (0.3..1.0).contains(&held("_looking_back")), "{response:?}");
    }
    assert_eq!(response.notes.len(), 3, "{:?}", response.notes);
    assert_eq!(response.checks[0].age.as_ref().unwrap().newest, "2019-01-03");
}

#[test]
fn a_rule_is_tried_out_on_every_day_of_the_backtest() {
    let (work, past, _) = forecast();
    let rules = json!([
        {"signal": "BUY", "when": "change > 0.02 and vol_21 < 0.05", "reason": "it will rise, and the market is calm enough to say so"},
        {"signal": "WAIT", "when": "change < -0.02", "reason": "it will fall"},
    ]);
    let stanza = json!({"forecast": "forecast/x", "rules": rules, "features": "wti.features", "backtest": "backtest/x"});
    // What the test's declare calls every target: a model. Then the forecast must be refused.
    assert!(crude_oil::declare("signal", 1, &stanza).unwrap_err()[0].message.contains("is a lightgbm, not a forecast"));
    let response = signal(&work, &rules, true).unwrap();

    let prices = crude_oil::prices();
    let calm: BTreeMap<i32, bool> = (0..prices.len())
        .filter_map(|at| {
            let vol = crude_oil::features(&prices, at).into_iter().find(|(name, _)| name == "vol_21")?.1?;
            Some((prices[at].0.to_epoch_days(), vol < 0.05))
        })
        .collect();
    let (mut buys, mut waits, mut saved) = (0, 0, 0.0);
    for ((change, date), (price, actual)) in expected(&past).into_iter().zip(&past.dates).zip(past.price.iter().zip(&past.actual)) {
        if change > 0.02 && calm[date] {
            buys += 1;
        } else if change < -0.02 {
            waits += 1;
            saved += price - actual;
        }
    }
    assert!(buys > 20 && waits > 20, "{buys} {waits}");
    let number = |name: &str| response.metrics[&format!("trial/{name}")];
    let close = |name: &str, expected: f64| (number(name) - expected).abs() < 1e-9;
    assert!(close("n", past.dates.len() as f64) && close("BUY/n", f64::from(buys)) && close("WAIT/n", f64::from(waits)));
    assert!(close("rule/saved_share", saved / past.price.iter().sum::<f64>()) && close("buy every day/saved_share", 0.0));
    assert!(close("effective_n", past.dates.len() as f64 / crude_oil::HORIZON as f64));
    let table = table_file::read(&work.path("signal/table").join(table_file::FILE_NAME)).unwrap();
    let figures: Value = serde_json::from_str(strings(&table, "figures").unwrap().last().unwrap().unwrap()).unwrap();
    assert_eq!(figures.as_object().unwrap().keys().collect::<Vec<_>>(), ["change", "vol_21"]);
    let text = std::fs::read_to_string(work.path("signal/trial/trial.md")).unwrap();
    assert!(text.contains("| wait every day |") && text.contains("| BUY "), "{text}");
}

#[test]
fn rules_over_intervals_leave_out_the_days_that_had_none_yet() {
    let (work, past, _) = forecast();
    let rules = json!([{"signal": "BUY", "when": "lower_80 > price", "reason": "even the low end lies above today's price"}]);
    let response = signal(&work, &rules, false).unwrap();
    // Four outcomes must be known for an interval of 80 %, and the first is known 21 rows later.
    assert!((response.metrics["trial/undecided"] - (crude_oil::HORIZON + 3) as f64).abs() < 0.5, "{response:?}");
    let rules = json!([{"signal": "BUY", "when": "voll_21 > 0", "reason": "a slip of the finger"}]);
    let error = signal(&work, &rules, true).unwrap_err();
    assert_eq!((error.code, error.hint.as_deref()), (ExitCode::Invalid, Some("did you mean 'vol_21'?")));
    assert!(past.dates.len() > 1900);
}

/// The signals of crude oil by these rules.
fn signal(work: &Work, rules: &Value, features: bool) -> Result<Response, RunError> {
    let bootstrap = json!({"resamples": 1000, "block": null, "seed": 42});
    let params = json!({"rules": rules, "default": "MONITOR", "date": features.then_some("date"), "backtest": bootstrap});
    let mut inputs =
        BTreeMap::from([("forecast".to_owned(), work.path("forecast/table")), ("backtest".to_owned(), work.path("backtest/backtest"))]);
    if features {
        inputs.insert("features".into(), work.path("features"));
    }
    let out = work.path("signal");
    cbi::kinds::dispatch::run(&cbi::kinds::request::Request::of("signal", params, inputs, out))
}

#[test]
fn published_forecasts_are_judged_by_the_prices_that_came_and_the_rest_is_open() {
    let work = Work::new();
    let prices = crude_oil::prices();
    let made = &prices[prices.len() - 200..];
    let days =
        |days: &dyn Fn(NaiveDate) -> NaiveDate| Values::Dates(made.iter().map(|(date, _)| Some(days(*date).to_epoch_days())).collect());
    let month = |date: NaiveDate| date + Days::new(30);
    work.table(
        "published",
        vec![
            ("date".to_owned(), days(&|date| date)),
            ("due".to_owned(), days(&month)),
            ("model".to_owned(), Values::Strings(vec![Some("always more".into()); made.len()])),
            ("predicted".to_owned(), Values::Floats(made.iter().map(|(_, price)| Some(price * 1.01)).collect())),
        ],
    );
    let stanza = json!({
        "forecasts": {"table": "p.forecasts", "target_date": "due", "model": "model"},
        "price": {"table": "wti.daily", "column": "price", "series": "spot"},
    });
    let response = work.run("score", &stanza, &[("forecasts", "published"), ("price", "prices")], "score").unwrap();
    let told: Value = serde_json::from_str(&std::fs::read_to_string(work.path("score/score/score.json")).unwrap()).unwrap();
    assert_eq!(told["series"], "spot");
    let mut adjusted = stanza.clone();
    adjusted["price"]["series"] = json!({"symbol": "CL", "exchange": "NYMEX", "contract": "front month", "roll": "ratio_adjusted"});
    let refused = crude_oil::declare("score", 1, &adjusted).unwrap_err();
    assert!(refused[0].message.starts_with("a ratio-adjusted series does not hold the prices that came"), "{}", refused[0]);
    let came = |date: NaiveDate| prices.iter().find(|(day, _)| *day >= month(date)).map(|(_, price)| *price);
    let due: Vec<(f64, f64)> = made.iter().filter_map(|(date, price)| Some((*price, came(*date)?))).collect();
    let mean = |miss: &dyn Fn(&(f64, f64)) -> f64| due.iter().map(|one| miss(one).abs()).sum::<f64>() / due.len() as f64;
    let close = |name: &str, expected: f64| (response.metrics[name] - expected).abs() < 1e-9;
    assert!(close("published", 200.0) && close("due", due.len() as f64) && close("open", (200 - due.len()) as f64));
    assert!(close("always more/mae", mean(&|(price, actual)| price * 1.01 - actual)));
    assert!(close("always more/naive_mae", mean(&|(price, actual)| price - actual)));
    let rows = table_file::read(&work.path("score/score/forecasts.parquet")).unwrap();
    let open = strings(&rows, "state").unwrap().into_iter().filter(|state| *state == Some("open")).count();
    assert_eq!((open, dates(&rows, "outcome_date").unwrap().iter().flatten().count()), (200 - due.len(), due.len()));
    let text = std::fs::read_to_string(work.path("score/score/score.md")).unwrap();
    assert!(text.contains("| always more") && text.contains("## By quarter"), "{text}");
}

#[test]
fn the_platforms_four_published_forecasts_have_no_outcome_yet() {
    let Some(shared) = common::shared() else { return };
    let space = TestSpace::wti();
    let warehouse = shared.join("warehouse");
    space.build(&["--profile", "zl", "--warehouse", warehouse.to_str().unwrap(), "score/zl/production"]).ok();
    let told: Value = serde_json::from_str(&space.read(".cbi-cache/out/score/zl/production/score.json")).unwrap();
    assert_eq!(told["prices_until"], "2025-11-06");
    let groups = told["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 4);
    assert!(groups.iter().all(|group| group["published"] == 1 && group["open"] == 1 && group["judgement"].is_null()), "{told:#}");
    let text = space.read(".cbi-cache/out/score/zl/production/score.md");
    assert!(text.contains("4 published, none has an outcome yet: prices end on 2025-11-06, the next comes due on 2025-11-10"), "{text}");
}

#[test]
fn a_forecast_from_old_data_is_refused_unless_it_is_let_pass_and_then_it_is_marked() {
    let space = TestSpace::wti();
    space.write(
        "recipes/wti/aged.toml",
        "[forecast.\"forecast/wti/aged\"]\nframe = \"frame/wti/1w\"\nmodel = \"model/wti/naive/1w\"\nmax_age_days = 5\n\
         calendar = { table = \"calendar.us_trading_days\", column = \"date\" }\nsources = [{ table = \"wti.daily\", max_age_days = 9 }]\n",
    );
    space.build(&["forecast/wti/aged"]).ok();
    space.build(&["--as-of", "2019-01-08", "forecast/wti/aged"]).ran(&[]);
    let stale = space.build(&["--as-of", "2019-01-09", "forecast/wti/aged"]);
    assert_eq!(stale.code, 8, "{stale:?}");
    let failure = stale.failure("forecast/wti/aged");
    assert!(
        failure["error"].as_str().unwrap().contains("the newest complete day is 2019-01-03, 6 days before 2019-01-09; 5 are allowed"),
        "{failure}"
    );
    let passed = space.build(&["--as-of", "2019-01-09", "--allow-stale", "forecast/wti/aged"]).ran(&[]);
    assert!(passed.stdout.contains("let pass by --allow-stale"), "{}", passed.stdout);
    let table = table_file::read(&space.path(".cbi-cache/out/forecast/wti/aged/table.parquet")).unwrap();
    let day = |text: &str| Some(text.parse::<NaiveDate>().unwrap().to_epoch_days());
    assert_eq!(*dates(&table, "fresh_until").unwrap().last().unwrap(), day("2019-01-08"), "each row says until when it is fresh");
    let told: Value = serde_json::from_str(strings(&table, "sources").unwrap().last().unwrap().unwrap()).unwrap();
    assert_eq!((&told[0]["newest"], &told[0]["age_days"]), (&json!("2019-01-03"), &json!(0)));
    assert_eq!(told[0]["hash"].as_str().unwrap().len(), 64);
    assert!(strings(&table, "model_hash").unwrap().iter().all(|hash| hash.is_some_and(|hash| hash.len() == 64)));
}
