//! A mirror that is pruned: what must stay does, what nobody needs goes, and nothing that happens meanwhile makes it unsound.
#![allow(missing_docs, clippy::unwrap_used)]

mod bucket_kit;
mod gcs_kit;
mod machine_kit;
mod proxy_kit;
mod s3_kit;
#[path = "common/space.rs"]
mod space;
mod store_kit;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use bucket_kit::every_bucket;
use cbi::base::digest::ActionKey;
use cbi::mirror::bucket::Bucket;
use cbi::mirror::error::MirrorResult;
use cbi::mirror::layout::Epoch;
use cbi::mirror::prune::{Ask, Pruned, apply, plan};
use cbi::mirror::push::{Pushed, pin, push};
use cbi::mirror::stores::Address;
use cbi::mirror::verify::verify;
use cbi::model::result::ActionResult;
use machine_kit::{Machine, PART, noise, packs_of};
use proxy_kit::{Fault, Proxy};
use serde_json::Value;
use space::TestSpace;

/// Long after everything in these tests.
const LATER: u64 = 4_000_000_000_000;
const DAY: u64 = 86_400_000;

/// Prunes so that these stay; epochs are emptied so long after their fence.
fn pruned(bucket: &Bucket, keep: &[&ActionResult], grace_ms: u64, now_ms: u64) -> Pruned {
    let keys: BTreeSet<ActionKey> = keep.iter().map(|result| result.key).collect();
    let ask = Ask { live: &keys, let_go: &BTreeSet::new(), since_ms: None, grace_ms, now_ms };
    let before = bucket.list("").unwrap();
    plan(bucket, &ask).unwrap();
    assert_eq!(bucket.list("").unwrap(), before, "a plan changes nothing");
    apply(bucket, &ask).unwrap()
}

/// As a release does: the pin first, so that a prune that fences after the push's look sees it.
fn push_pinned(bucket: &Bucket, machine: &Machine, result: &ActionResult) -> MirrorResult<Pushed> {
    pin(bucket, &[result.key])?;
    push(bucket, machine.session.content(), std::slice::from_ref(result))
}

fn three(machine: &Machine) -> [ActionResult; 3] {
    let shared = noise(5000);
    [
        machine.makes(1, &[("a", b"a".to_vec()), ("shared", shared.clone())]),
        machine.makes(2, &[("b", b"b".to_vec()), ("shared", shared)]),
        machine.makes(3, &[("long", noise(PART + 9)), ("c", Vec::new())]),
    ]
}

#[test]
fn what_must_stay_is_carried_over_and_the_rest_goes_when_its_time_has_come() {
    every_bucket(|bucket| {
        let first = Machine::new();
        let [a, b, long] = three(&first);
        first.pushes(bucket, &[a.clone(), b.clone(), long.clone()]);
        let pinned = first.makes(4, &[("pinned", b"pinned".to_vec())]);
        push_pinned(bucket, &first, &pinned).unwrap();

        let fence = pruned(bucket, &[&a, &long], DAY, 0);
        assert_eq!((fence.fenced.as_slice(), fence.carried, fence.broken, fence.deleted), (&[1][..], 3, 0, 0), "what is pinned stays too");
        assert!(!bucket.list("00000001/").unwrap().is_empty(), "those who still read there find it");
        for result in [&a, &long, &pinned] {
            assert_eq!(Machine::new().pulls(bucket, result).as_ref(), Some(result));
        }
        assert!(Machine::new().pulls(bucket, &b).is_none(), "nobody needs it");
        let wait = pruned(bucket, &[&a, &long], DAY, 0);
        assert_eq!((wait.fenced.len(), wait.carried, wait.deleted), (0, 0, 0), "its time has not come");

        let emptied = pruned(bucket, &[&a, &long], DAY, LATER);
        assert!(emptied.deleted > 10 && emptied.fenced.is_empty(), "{emptied:?}");
        assert_eq!(bucket.list("00000001/").unwrap(), []);
        assert_eq!(pruned(bucket, &[&a, &long], DAY, LATER), Pruned::default(), "nothing is left to do");
        for result in [&a, &long, &pinned] {
            assert_eq!(Machine::new().pulls(bucket, result).as_ref(), Some(result));
        }
        let report = verify(bucket, true).unwrap();
        assert_eq!((report.records, report.findings), (3, Vec::new()));
    });
}

#[test]
fn what_a_laptop_that_slept_writes_into_a_fenced_epoch_is_not_read_and_goes_with_the_next_prune() {
    let bucket = Bucket::memory().unwrap();
    let first = Machine::new();
    let [a, b, _] = three(&first);
    first.pushes(&bucket, &[a.clone(), b.clone()]);
    pruned(&bucket, &[&a], 0, LATER);
    assert_eq!(bucket.list("00000001/").unwrap(), []);
    // It had looked for the epoch before it slept.
    bucket.put_if_absent(&Epoch(1).record(&b.key), b"a record without its blobs".to_vec()).unwrap();
    assert_eq!(verify(&bucket, true).unwrap().findings, [], "nobody reads there");
    assert!(Machine::new().pulls(&bucket, &b).is_none());
    assert_eq!(first.pushes(&bucket, std::slice::from_ref(&a)), 0, "what was carried is there");
    assert!(first.pushes(&bucket, std::slice::from_ref(&b)) > 0);
    assert_eq!(pruned(&bucket, &[&a, &b], 0, LATER).deleted, 1);
    assert_eq!(Machine::new().pulls(&bucket, &b).as_ref(), Some(&b));
}

#[test]
fn a_result_of_which_something_is_gone_or_wrong_is_not_carried_and_says_so() {
    let bucket = Bucket::memory().unwrap();
    let first = Machine::new();
    let [a, b, long] = three(&first);
    // Each in packs of its own, but for what they share.
    for result in [&b, &a, &long] {
        first.pushes(&bucket, std::slice::from_ref(result));
    }
    let wrong = Epoch(1).pack(&packs_of(&bucket, Epoch(1), &a)["a"][0]);
    let good = bucket.get(&wrong, 1 << 20).unwrap().unwrap();
    bucket.delete(&wrong).unwrap();
    bucket.put_if_absent(&wrong, good.iter().map(|byte| byte ^ 1).collect()).unwrap();
    bucket.delete(&Epoch(1).pack(packs_of(&bucket, Epoch(1), &long)["long"].last().unwrap())).unwrap();
    let unneeded = first.makes(9, &[("x", b"x".to_vec())]);
    first.pushes(&bucket, &[unneeded]);
    let done = pruned(&bucket, &[&a, &b, &long], 0, LATER);
    assert_eq!((done.carried, done.broken), (1, 2));
    assert_eq!(verify(&bucket, true).unwrap().findings, []);
    first.pushes(&bucket, &[a.clone(), long.clone()]);
    for result in [&a, &b, &long] {
        assert_eq!(Machine::new().pulls(&bucket, result).as_ref(), Some(result), "whoever has it pushes it whole again");
    }
}

#[test]
fn a_prune_that_ends_at_any_request_loses_nothing_and_the_next_one_finishes() {
    let Some(server) = gcs_kit::Gcs::start() else { return };
    let proxy = Proxy::in_the_name_of(&server.endpoint);
    let first = Machine::new();
    let [a, b, _] = three(&first);
    let live = BTreeSet::from([a.key]);
    let ask = Ask { live: &live, let_go: &BTreeSet::new(), since_ms: None, grace_ms: 0, now_ms: LATER };
    let (mut at, mut requests) = (0, 1);
    while at < requests {
        let straight = server.bucket(&format!("bucket{at}"));
        let bucket = Bucket::open(&straight).unwrap();
        first.pushes(&bucket, &[a.clone(), b.clone()]);
        let broken = Bucket::open(&Address { endpoint: Some(proxy.address.clone()), ..straight }).unwrap();
        proxy.plan(move |number, _| (number >= at).then(|| Fault::Answer(403, Vec::new(), String::new())));
        assert_eq!(apply(&broken, &ask).is_err(), at < requests);
        assert_eq!(verify(&bucket, true).unwrap().findings, [], "ended at request {at}");
        proxy.plan(|_, _| None);
        apply(&broken, &ask).unwrap();
        requests = if at == 0 { proxy.seen().len() } else { requests };
        assert_eq!(Machine::new().pulls(&bucket, &a).as_ref(), Some(&a), "ended at request {at}");
        assert!(Machine::new().pulls(&bucket, &b).is_none());
        assert_eq!(bucket.list("00000001/").unwrap(), []);
        assert_eq!(verify(&bucket, true).unwrap().findings, []);
        // Each request costs a bucket of its own: most of them are looked at.
        at += 1 + at / 12;
    }
    assert!(requests > 20, "{requests}");
}

#[test]
fn machines_that_push_while_others_prune_lose_nothing_that_is_pinned() {
    every_bucket(|bucket| {
        let stop = AtomicBool::new(false);
        let ask = Ask { live: &BTreeSet::new(), let_go: &BTreeSet::new(), since_ms: None, grace_ms: 0, now_ms: LATER };
        let pushed = std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        apply(bucket, &ask).unwrap();
                    }
                });
            }
            let pushers: Vec<_> = (0..2).map(|me| scope.spawn(move || pushes_pinned(bucket, me))).collect();
            let pushed: Vec<ActionResult> = pushers.into_iter().flat_map(|pusher| pusher.join().unwrap()).collect();
            stop.store(true, Ordering::Relaxed);
            pushed
        });
        assert!(pushed.len() > 2);
        apply(bucket, &ask).unwrap();
        assert_eq!(verify(bucket, true).unwrap().findings, []);
        for result in &pushed {
            assert_eq!(Machine::new().pulls(bucket, result).as_ref(), Some(result));
        }
    });
}

/// Makes and pins results one after the other, some of which a prune may have outrun too often; those that count as pushed.
fn pushes_pinned(bucket: &Bucket, me: u64) -> Vec<ActionResult> {
    let machine = Machine::new();
    let mut pushed = Vec::new();
    for n in 0..4 {
        let result = machine.makes(100 * (me + 1) + n, &[("own", format!("{me} {n}").into_bytes()), ("shared", noise(2000))]);
        let garbage = machine.makes(1000 * (me + 1) + n, &[("garbage", noise(100 + 10 * me + n))]);
        _ = push(bucket, machine.session.content(), &[garbage]);
        if push_pinned(bucket, &machine, &result).is_ok() {
            pushed.push(result);
        }
    }
    pushed
}

/// Runs `cbi` with `--json`, which must end well.
fn json(space: &TestSpace, arguments: &[&str]) -> Value {
    let output = space.command(&[arguments, &["--json"]].concat()).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_command_shows_a_plan_and_applies_it_when_told() {
    let mirror = tempfile::tempdir().unwrap();
    let space = TestSpace::wti();
    let settings = space.read("cbi.toml");
    space.write("cbi.toml", format!("{settings}\n[mirror]\nurl = \"file://{}\"\n", mirror.path().display()));
    space.build(&["wti.daily"]).ok();
    // Another machine's, of long ago, that nobody pinned.
    let other = Machine::new();
    let bucket = Bucket::open(&Address { url: format!("file://{}", mirror.path().display()), ..Address::default() }).unwrap();
    other.pushes(&bucket, &[other.makes(1, &[("old", noise(1000))])]);
    let results = json(&space, &["mirror", "status"])["results"].as_u64().unwrap();

    // Of what stays one is the record of the build.
    let shown = json(&space, &["mirror", "prune"]);
    assert_eq!((shown["plan"]["go"].as_u64(), shown["plan"]["stay"].as_u64()), (Some(1), Some(results)), "{shown}");
    assert_eq!((shown["builds_stay"].as_u64(), shown["builds_go"].as_u64()), (Some(1), Some(0)), "{shown}");
    assert_eq!(json(&space, &["mirror", "status"])["results"].as_u64(), Some(results));
    let fenced = json(&space, &["mirror", "prune", "--apply"]);
    assert_eq!((fenced["done"]["carried"].as_u64(), fenced["done"]["deleted"].as_u64()), (Some(results), Some(0)), "{fenced}");
    let text = String::from_utf8(space.command(&["mirror", "prune"]).output().unwrap().stdout).unwrap();
    assert!(text.contains("epoch 1: ") && text.contains("from"), "{text}");
    let emptied = json(&space, &["mirror", "prune", "--apply", "--grace", "0s"]);
    assert!(emptied["done"]["deleted"].as_u64() > Some(0), "{emptied}");
    json(&space, &["mirror", "verify", "--deep"]);
    let twin = TestSpace::wti();
    twin.write("cbi.toml", space.read("cbi.toml"));
    assert_eq!(json(&twin, &["mirror", "pull", "wti.daily"])["missing"].as_array().map(Vec::len), Some(0));
}
