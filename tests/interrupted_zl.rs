//! A build of a good part of soybean oil's set that is stopped ten times, by Ctrl-C and by SIGKILL: each time only what was in flight is lost,
//! and the end is the same. Invariant: the moments are the same in every run of the test.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop where it stands")]

mod common;
#[path = "common/space.rs"]
mod space;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use cbi::app::latest;
use cbi::model::build::BuiltTarget;
use cbi::store::action_cache::Session;
use rustix::process::{Pid, Signal, kill_process};
use space::{Built, TestSpace};

/// What three horizons have, without their longest steps: the twelve years of every tree take more time than a test may.
const WANTED: [&str; 3] = [
    "{ensemble,evaluate,forecast}/zl/{1w,1m,12m}",
    "model/zl/{lightgbm_dart,lightgbm_goss,lightgbm_huber,xgboost_dart,ridge,elastic_net,ar,holt,drift,seasonal_naive,garch,quantiles}/{1w,1m,12m}",
    "backtest/zl/{ridge,elastic_net,ar,holt,drift}/1w",
];
const JOBS: usize = 2;
const STOPS: usize = 10;
/// Steps in flight: those that run, and as many that ended and wait for the disk together.
const IN_FLIGHT: usize = 2 * JOBS;

fn words(warehouse: &Path) -> Vec<String> {
    let before = ["build", "--json", "--profile", "zl", "-j2", "--warehouse", warehouse.to_str().unwrap()];
    before.iter().chain(&WANTED).map(ToString::to_string).collect()
}

/// Builds until so many steps were told to have run and a while more, then sends the signal. Returns all that was said until the end.
fn build_until(space: &TestSpace, words: &[String], (ran, more): (usize, Duration), signal: Signal) -> Built {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut child = space.command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let (mut text, mut told) = (String::new(), 0);
    while told < ran {
        let from = text.len();
        assert!(out.read_line(&mut text).unwrap() > 0, "it ended before it was stopped: {text}");
        told += usize::from(text[from..].contains(r#""event":"ran""#));
    }
    sleep(more);
    kill_process(Pid::from_child(&child), signal).unwrap();
    out.read_to_string(&mut text).unwrap();
    let mut output = child.wait_with_output().unwrap();
    output.stdout = text.into_bytes();
    Built::of(&output)
}

/// Targets with an event of this kind, each as often as it has one.
fn targets(built: &Built, event: &str) -> Vec<String> {
    built.events.iter().filter(|e| e["event"] == event).map(|e| e["target"].as_str().unwrap().to_owned()).collect()
}

/// What stands in the journal of every target.
fn digests(space: &TestSpace) -> BTreeMap<String, BuiltTarget> {
    latest::targets(&Session::open(&space.path(".cbi-cache")).unwrap()).unwrap()
}

#[test]
fn stopped_ten_times_at_random_only_what_was_in_flight_is_lost_and_the_end_is_the_same() {
    let Some(shared) = common::shared() else { return };
    let words = words(&shared.join("warehouse"));
    let [whole, stopped] = [TestSpace::wti(), TestSpace::wti()];
    let plain: Vec<&str> = words.iter().skip(2).map(String::as_str).collect();
    let all = whole.build(&plain).ok().targets;

    let mut random = fastrand::Rng::with_seed(42);
    let (mut begun, mut recorded) = (0, BTreeSet::new());
    let mut take = |built: &Built| {
        let ran = targets(built, "ran");
        assert!(ran.iter().all(|target| recorded.insert(target.clone())), "what was told to have run runs again: {ran:?}");
        begun += targets(built, "started").len();
        recorded.len()
    };
    let mut told = 0;
    for stop in 0..STOPS {
        // Never so late that an idle machine has nothing left for the stops to come.
        let latest = (all.len() - told) / (2 * (STOPS - stop));
        let moment = (random.usize(0..=latest), Duration::from_millis(random.u64(0..200)));
        let (signal, code) = if stop % 2 == 0 { (Signal::INT, 130) } else { (Signal::KILL, -1) };
        let built = build_until(&stopped, &words, moment, signal);
        assert_eq!(built.code, code, "{stop}: {built:?}");
        told = take(&built);
        assert!(told < all.len(), "{stop}: nothing was left to stop");
    }
    let last = stopped.build(&plain).ok();
    assert!(!last.targets.is_empty());
    // A step that was recorded in the moment of a kill is nobody's to tell any more, and does not run again.
    let told = take(&last);
    assert!(told <= all.len() && told + STOPS * IN_FLIGHT >= all.len(), "{told} of {} were told to have run", all.len());
    assert!(begun <= all.len() + STOPS * IN_FLIGHT, "{begun} were begun for {} targets", all.len());
    assert_eq!(digests(&whole), digests(&stopped));
}
