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
    // The next time it is known: they are not begun beside each other.
    space.write("size.txt", "209715199\n");
    let second = space.build(&["-j", "2", "--memory", "300MiB"]).ran(&["big/a", "big/b"]);
    assert!(events(&second, "outgrew").is_empty(), "{}", second.stdout);
    let order: Vec<&str> = second.events.iter().filter_map(|e| e["event"].as_str()).filter(|e| matches!(*e, "started" | "ran")).collect();
    assert_eq!(order, ["started", "ran", "started", "ran"]);
}

#[test]
fn an_action_that_outgrows_its_reservation_goes_on_where_memory_is_free() {
    let space = hungry();
    let built = space.build(&["-j", "2", "--memory", "1GiB"]).ran(&["big/a", "big/b"]);
    assert!(events(&built, "outgrew").is_empty());
    let order: Vec<&str> = built.events.iter().filter_map(|e| e["event"].as_str()).filter(|e| matches!(*e, "started" | "ran")).collect();
    assert_eq!(order[..2], ["started", "started"], "side by side");
    let seen = |e: &&Value| e["cost"]["peak_bytes"].as_u64().unwrap() > 200 << 20;
    assert!(events(&built, "ran").iter().all(seen), "what all processes of a step held together is learned: {}", built.stdout);
}
