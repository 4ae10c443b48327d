//! Promises about which steps run beside each other: what they really hold in memory decides. Invariant: the memory is really allocated.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/space.rs"]
mod space;

use serde_json::Value;
use space::{Built, TestSpace};

/// Two steps that each hold 200 MiB for a while, though nobody said so.
fn hungry() -> TestSpace {
    let space = TestSpace::empty();
    space.write("size.txt", "209715200\n");
    let step = |name: &str, pause: &str| {
        format!(
            "[command.\"big/{name}\"]\nfiles = [\"size.txt\"]\noutputs = [\"count\"]\n\
             shell = \"head -c $(cat size.txt) /dev/zero | tail -c $(cat size.txt) | (sleep {pause}; wc -c) > count\"\n"
        )
    };
    space.write("recipes/big.toml", step("a", "2") + &step("b", "2.1"));
    space
}

fn events<'a>(built: &'a Built, name: &str) -> Vec<&'a Value> {
    built.events.iter().filter(|event| event["event"] == name).collect()
}

/// The last build as it went.
fn timeline(space: &TestSpace) -> Vec<Value> {
    let output = space.command(&["log", "--timeline", "--json"]).output().unwrap();
    let drawn: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    drawn["bars"].as_array().unwrap().clone()
}

#[test]
fn an_action_that_outgrows_its_reservation_is_ended_where_memory_is_short_and_runs_again_alone() {
    let space = hungry();
    let first = space.build(&["-j", "2", "--memory", "300MiB"]).ran(&["big/a", "big/b"]);
    let outgrew = events(&first, "outgrew");
    assert_eq!(outgrew.len(), 1, "{}", first.stdout);
    assert_eq!((outgrew[0]["reserved_bytes"].as_u64(), outgrew[0]["budget_bytes"].as_u64()), (Some(128 << 20), Some(300 << 20)));
    assert!(outgrew[0]["held_bytes"].as_u64().unwrap() > 128 << 20);
    let target = outgrew[0]["target"].as_str().unwrap();
    let mine = |name: &str| events(&first, name).iter().filter(|e| e["target"] == target).count();
    assert_eq!((mine("started"), mine("ran")), (2, 1), "it began twice and counts once");
    assert_eq!(first.counts, Some((2, 0, 0)));
    for name in ["a", "b"] {
        assert_eq!(space.read(&format!(".cbi-cache/out/big/{name}/count")).trim(), "209715200");
    }
    let how = |bars: &[Value]| bars.iter().map(|bar| bar["outcome"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let mut first_went = how(&timeline(&space));
    first_went.sort();
    assert_eq!(first_went, ["outgrew", "ran", "ran"]);
    // The next time it is known: they are not begun beside each other.
    space.write("size.txt", "209715199\n");
    let second = space.build(&["-j", "2", "--memory", "300MiB"]).ran(&["big/a", "big/b"]);
    assert!(events(&second, "outgrew").is_empty(), "{}", second.stdout);
    let bars = timeline(&space);
    assert!(bars.iter().all(|bar| bar["lane"] == 0), "one after the other: {bars:?}");
}

#[test]
fn an_action_that_outgrows_its_reservation_goes_on_where_memory_is_free() {
    let space = hungry();
    let built = space.build(&["-j", "2", "--memory", "1GiB"]).ran(&["big/a", "big/b"]);
    assert!(events(&built, "outgrew").is_empty());
    assert!(timeline(&space).iter().any(|bar| bar["lane"] == 1), "side by side");
    let seen = |e: &&Value| e["cost"]["peak_bytes"].as_u64().unwrap() > 200 << 20;
    assert!(events(&built, "ran").iter().all(seen), "what all processes of a step held together is learned: {}", built.stdout);
}

/// Two small steps side by side and one above them.
fn small() -> TestSpace {
    let space = TestSpace::empty();
    space.write("a.txt", "1\n");
    let step = |name: &str, line: &str, needs: &str| {
        format!(
            "[command.\"s/{name}\"]\nfiles = [\"a.txt\"]\nneeds = [{needs}]\noutputs = [\"{name}\"]\nshell = \"{line}; cat a.txt > {name}\"\n"
        )
    };
    space.write("recipes/s.toml", step("x", "sleep 0.2", "") + &step("y", "sleep 0.4", "") + &step("z", "true", "\"s/x\", \"s/y\""));
    space
}

fn planned(space: &TestSpace, arguments: &[&str]) -> Value {
    let all: Vec<&str> = ["plan", "--json"].iter().chain(arguments).copied().collect();
    let output = space.command(&all).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn a_plan_says_when_each_step_would_begin_and_when_the_last_would_end() {
    let space = small();
    let first = planned(&space, &["-j", "2"]);
    assert_eq!((&first["totals"]["never_run"], &first["totals"]["wall_ms"]), (&3.into(), &2000.into()), "a second each, two at once");
    space.build(&[]).ran(&["s/x", "s/y", "s/z"]);
    assert_eq!(planned(&space, &[])["totals"]["wall_ms"], 0, "there is nothing to do");
    space.write("a.txt", "2\n");
    let (one, two) = (planned(&space, &["-j", "1"]), planned(&space, &["-j", "2"]));
    let number = |plan: &Value, key: &str| plan["totals"][key].as_u64().unwrap();
    assert_eq!(number(&one, "wall_ms"), number(&one, "expected_ms"), "one after the other");
    assert_eq!(number(&two, "wall_ms"), number(&two, "critical_ms"));
    assert!(number(&two, "wall_ms") < number(&one, "wall_ms") && number(&two, "peak_bytes") > number(&one, "peak_bytes"));
    let order: Vec<&str> = one["steps"].as_array().unwrap().iter().map(|step| step["target"].as_str().unwrap()).collect();
    assert_eq!(order, ["s/y", "s/x", "s/z"], "the longer way first, and nothing before what it needs");
    let narrow = planned(&space, &["-j", "2", "--memory", "1MiB"]);
    assert_eq!(number(&narrow, "wall_ms"), number(&one, "wall_ms"), "what is larger than the budget runs alone");
}

#[test]
fn a_build_can_be_drawn_as_text_as_a_picture_and_as_a_trace() {
    let space = small();
    let none = Built::of(&space.command(&["log", "--timeline"]).output().unwrap());
    assert_eq!((none.code, none.stderr.contains("no build has run anything here yet")), (2, true), "{}", none.stderr);
    space.build(&[]).ran(&["s/x", "s/y", "s/z"]);
    let drawn = |arguments: &[&str]| {
        let built = Built::of(&space.command(arguments).output().unwrap());
        assert_eq!(built.code, 0, "{}", built.stderr);
        built.stdout
    };
    let text = drawn(&["log", "--timeline"]);
    assert!(text.contains("lane 2 ") && text.contains("s/z") && text.contains("3 runs in "), "{text}");
    let svg = drawn(&["log", "--timeline=svg"]);
    assert!(svg.starts_with("<svg ") && svg.matches("<rect").count() == 3, "{svg}");
    let trace: Value = serde_json::from_str(&drawn(&["log", "--timeline=trace"])).unwrap();
    let complete = trace["traceEvents"].as_array().unwrap().iter().filter(|event| event["ph"] == "X").count();
    assert_eq!(complete, 3);
    // An earlier build is named by its hash.
    let log: Value = serde_json::from_str(&drawn(&["log", "--json"])).unwrap();
    space.write("a.txt", "2\n");
    space.build(&["s/x"]).ran(&["s/x"]);
    assert!(drawn(&["log", "--timeline"]).contains("1 run in "));
    assert!(drawn(&["log", &log[0]["build"].as_str().unwrap()[..12], "--timeline"]).contains("3 runs in "));
    assert_eq!(Built::of(&space.command(&["log", "s/x", "--timeline"]).output().unwrap()).code, 2);
}
