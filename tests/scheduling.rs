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
