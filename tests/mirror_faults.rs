//! Servers that fail, in every way there is: what is believed is right, and no record is in the bucket without its blobs. A proxy before real server
//! processes does the failing; whether the bucket is sound is asked past it.
#![allow(missing_docs, clippy::unwrap_used)]

mod gcs_kit;
mod machine_kit;
mod proxy_kit;
mod s3_kit;
#[path = "common/space.rs"]
mod space;
mod store_kit;

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use cbi::mirror::bucket::Bucket;
use cbi::mirror::client::Mirror;
use cbi::mirror::layout::Epoch;
use cbi::mirror::stores::Address;
use cbi::mirror::verify::verify;
use cbi::model::result::ActionResult;
use machine_kit::{Machine, noise};
use proxy_kit::{Fault, Proxy, Seen};
use serde_json::Value;
use space::TestSpace;

/// A server, a proxy before it, and buckets that are reached both ways.
struct Line {
    proxy: Proxy,
    buckets: Box<dyn Fn(&str) -> Address>,
    made: usize,
}

impl Line {
    /// An empty bucket: past the proxy, and through it with requests that may take so long.
    fn bucket(&mut self, timeout: Duration) -> (Bucket, Address) {
        self.made += 1;
        let straight = (self.buckets)(&format!("bucket{}", self.made));
        let through = Address { endpoint: Some(self.proxy.address.clone()), timeout: Some(timeout), ..straight.clone() };
        (Bucket::open(&straight).unwrap(), through)
    }
}

fn mirror_at(address: &Address) -> Mirror {
    Mirror::new(Bucket::open(address).unwrap())
}

/// Runs `check` on every server that there is.
fn every_server(check: fn(&mut Line)) {
    if let Some(server) = s3_kit::S3::start() {
        let proxy = Proxy::before(&server.endpoint);
        check(&mut Line { proxy, buckets: Box::new(move |name| server.bucket(name)), made: 0 });
    }
    if let Some(server) = gcs_kit::Gcs::start() {
        let proxy = Proxy::in_the_name_of(&server.endpoint);
        check(&mut Line { proxy, buckets: Box::new(move |name| server.bucket(name)), made: 0 });
    }
}

/// A plan that breaks every request the first time it is made, and none after that.
fn once_each(fault: Fault) -> impl FnMut(usize, &Seen) -> Option<Fault> {
    let mut known = HashSet::new();
    move |_, seen| known.insert(format!("{} {}", seen.method, seen.path)).then(|| fault.clone())
}

fn answer(status: u16, retry_after: Option<&str>) -> Fault {
    let headers = retry_after.iter().map(|after| ("retry-after".to_owned(), (*after).to_owned())).collect();
    Fault::Answer(status, headers, String::new())
}

fn results(machine: &Machine) -> Vec<ActionResult> {
    let shared = noise(3000);
    vec![
        machine.makes(1, &[("a", b"a".to_vec()), ("shared", shared.clone())]),
        machine.makes(2, &[("b", b"b ".repeat(5000)), ("shared", shared), ("large", noise(100_000))]),
    ]
}

fn sound(bucket: &Bucket, when: &str) {
    assert_eq!(verify(bucket, true).unwrap().findings, [], "{when}");
}

#[test]
fn a_fault_of_any_kind_at_every_request_leaves_the_mirror_sound_and_no_wrong_result() {
    every_server(|line| {
        let passing = [
            ("429", answer(429, Some("0"))),
            ("503", answer(503, None)),
            ("a line cut before", Fault::CutBefore),
            ("a line cut in the middle of the request", Fault::CutDuring),
            ("a lost reply", Fault::LoseReply),
            ("a slow drip", Fault::Drip(5, Duration::from_millis(20))),
        ];
        for (name, fault) in passing {
            one_fault(line, name, fault, true);
        }
        // What these do to a request is not made good by asking again: the mirror is left alone, or a result is taken for missing.
        let failing = [("412", answer(412, None)), ("a truncated 200", Fault::CutReply(3)), ("a wrong byte", Fault::Spoil)];
        for (name, fault) in failing {
            one_fault(line, name, fault, false);
        }
    });
}

/// Pushes and pulls with every request broken once; with `passes` both must succeed all the same.
fn one_fault(line: &mut Line, name: &str, fault: Fault, passes: bool) {
    let (straight, through) = line.bucket(Duration::from_secs(20));
    let first = Machine::new();
    let made = results(&first);
    line.proxy.plan(once_each(fault.clone()));
    let mirror = mirror_at(&through);
    let pushed = mirror.store(&first.session, &made).map_or(0, |pushed| pushed.results);
    sound(&straight, name);
    assert!(!passes || pushed == 2, "{name}: {:?}", mirror.failure());
    line.proxy.plan(|_, _| None);
    assert_eq!(mirror_at(&through).store(&first.session, &made).unwrap().results, 2, "{name}: what is missing is caught up on");
    sound(&straight, name);

    line.proxy.plan(once_each(fault));
    let second = Machine::new();
    let mirror = mirror_at(&through);
    for result in &made {
        let pulled = mirror.fetch(&second.session, &result.key);
        assert!(pulled.as_ref().is_none_or(|pulled| pulled == result), "{name}: another result");
        assert!(!passes || pulled.is_some(), "{name}: {:?}", mirror.failure());
        assert_eq!(second.session.lookup(&result.key).unwrap(), pulled, "{name}: recorded if and only if it is whole");
    }
    line.proxy.plan(|_, _| None);
    for result in &made {
        let third = Machine::new();
        assert_eq!(third.pulls(&straight, result).as_ref(), Some(result), "{name}");
    }
}

#[test]
fn a_server_that_never_does_is_left_alone_after_a_bounded_time() {
    every_server(|line| {
        let first = Machine::new();
        let made = results(&first);
        let forever: [(&str, Fault); 4] = [
            ("503", answer(503, None)),
            ("403", answer(403, None)),
            ("a line that is always cut", Fault::CutBefore),
            ("a drip without an end", Fault::Drip(50, Duration::from_millis(500))),
        ];
        for (name, fault) in forever {
            let (straight, through) = line.bucket(Duration::from_secs(2));
            let begun = Instant::now();
            let mirror = mirror_at(&through);
            let always = fault.clone();
            line.proxy.plan(move |_, _| Some(always.clone()));
            assert!(mirror.store(&first.session, &made).is_none(), "{name}");
            let failure = mirror.failure().unwrap();
            assert!(failure.contains("bucket"), "{name}: {failure}");
            let asked = line.proxy.seen().len();
            assert!(mirror.fetch(&first.session, &made[0].key).is_none());
            assert_eq!(line.proxy.seen().len(), asked, "{name}: it is left alone");
            assert!(begun.elapsed() < Duration::from_mins(2), "{name}: {:?}", begun.elapsed());
            line.proxy.plan(|_, _| None);
            sound(&straight, name);
        }
    });
}

#[test]
fn a_push_that_ends_at_any_request_leaves_a_sound_mirror_and_the_next_one_finishes() {
    every_server(|line| {
        let first = Machine::new();
        let made = results(&first);
        let mut requests = 1;
        let mut at = 0;
        while at < requests {
            let (straight, through) = line.bucket(Duration::from_secs(2));
            line.proxy.plan(move |number, _| (number >= at).then(|| answer(403, None)));
            _ = mirror_at(&through).store(&first.session, &made);
            sound(&straight, &format!("ended at request {at}"));
            line.proxy.plan(|_, _| None);
            assert_eq!(mirror_at(&through).store(&first.session, &made).unwrap().results, 2);
            requests = requests.max(if at == 0 { line.proxy.seen().len() } else { 0 });
            sound(&straight, &format!("finished after request {at}"));
            at += 1;
        }
        assert!(requests > 10, "{requests}");
    });
}

#[test]
fn a_list_that_lags_hides_neither_a_newer_epoch_nor_a_fence() {
    every_server(|line| {
        let (straight, through) = line.bucket(Duration::from_secs(20));
        let first = Machine::new();
        let made = results(&first);
        for name in [Epoch(1).opened(), Epoch(2).opened(), Epoch(1).fenced()] {
            straight.put_if_absent(&name, Vec::new()).unwrap();
        }
        // What was there a while ago: nothing.
        let nothing = r#"<?xml version="1.0"?><ListBucketResult><Name>b</Name><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>"#;
        line.proxy.plan(move |_, seen| {
            let headers = vec![("content-type".to_owned(), "application/xml".to_owned())];
            seen.path.contains("list-type=2").then(|| Fault::Answer(200, headers, nothing.to_owned()))
        });
        let mirror = mirror_at(&through);
        assert_eq!(mirror.store(&first.session, &made).unwrap().results, 2, "{:?}", mirror.failure());
        assert!(mirror.fetch(&Machine::new().session, &made[0].key).is_none(), "who sees no epoch has a miss");
        line.proxy.plan(|_, _| None);
        sound(&straight, "after a list that lags");
        for result in &made {
            assert!(straight.size_of(&Epoch(2).record(&result.key)).unwrap().is_some(), "it went into the newest epoch");
            assert_eq!(Machine::new().pulls(&straight, result).as_ref(), Some(result));
        }
    });
}

#[test]
fn an_epoch_that_is_fenced_at_any_moment_of_a_push_does_not_get_its_result_lost() {
    every_server(|line| {
        let first = Machine::new();
        let made = results(&first);
        for at in (0..30).step_by(3) {
            let (straight, through) = line.bucket(Duration::from_secs(20));
            straight.put_if_absent(&Epoch(1).opened(), Vec::new()).unwrap();
            let other = Bucket::open(&through).unwrap();
            let mut fenced = false;
            line.proxy.plan(move |number, _| {
                if number >= at && !fenced {
                    fenced = true;
                    // Somebody else prunes, past the line.
                    straight.put_if_absent(&Epoch(2).opened(), Vec::new()).unwrap();
                    straight.put_if_absent(&Epoch(1).fenced(), Vec::new()).unwrap();
                }
                None
            });
            let pushed = mirror_at(&through).store(&first.session, &made).unwrap();
            assert_eq!(pushed.results, 2);
            line.proxy.plan(|_, _| None);
            sound(&other, &format!("fenced at request {at}"));
            for result in &made {
                assert_eq!(Machine::new().pulls(&other, result).as_ref(), Some(result), "fenced at request {at}");
            }
        }
    });
}

/// A clone of the repository's workspace with this mirror.
fn space(address: &Address) -> TestSpace {
    let space = TestSpace::wti();
    let settings = space.read("cbi.toml");
    let (url, endpoint) = (&address.url, address.endpoint.as_deref().unwrap());
    space.write(
        "cbi.toml",
        format!("{settings}\n[mirror]\nurl = \"{url}\"\nendpoint = \"{endpoint}\"\nanonymous = true\ntimeout = \"5s\"\n"),
    );
    space
}

fn told(space: &TestSpace, arguments: &[&str]) -> String {
    let output = space.command(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_build_is_right_whatever_its_mirror_does() {
    let alone = TestSpace::wti();
    alone.build(&["wti.daily"]).ok();
    let right = told(&alone, &["cat", "wti.daily", "--json", "-n", "0"]);
    let faults = [
        ("429", answer(429, Some("0"))),
        ("503", answer(503, None)),
        ("412", answer(412, None)),
        ("reset", Fault::CutDuring),
        ("truncated", Fault::CutReply(3)),
        ("drip", Fault::Drip(5, Duration::from_millis(20))),
        ("wrong byte", Fault::Spoil),
        ("lost reply", Fault::LoseReply),
    ];
    let mut server = match gcs_kit::Gcs::start() {
        None => return,
        Some(server) => {
            let proxy = Proxy::in_the_name_of(&server.endpoint);
            Line { proxy, buckets: Box::new(move |name| server.bucket(name)), made: 0 }
        }
    };
    for (name, fault) in faults {
        let (straight, through) = server.bucket(Duration::from_secs(5));
        for machine in ["first", "second"] {
            let space = space(&through);
            server.proxy.plan(once_each(fault.clone()));
            space.build(&["wti.daily"]).ok();
            server.proxy.plan(|_, _| None);
            assert_eq!(told(&space, &["cat", "wti.daily", "--json", "-n", "0"]), right, "{name}, {machine}");
            told(&space, &["mirror", "verify", "--deep"]);
            told(&space, &["mirror", "push"]);
            told(&space, &["mirror", "verify", "--deep"]);
            sound(&straight, name);
        }
    }
}

#[test]
fn ctrl_c_while_the_end_of_a_build_waits_leaves_a_sound_mirror_and_says_how_to_catch_up() {
    let Some(server) = gcs_kit::Gcs::start() else { return };
    let proxy = Proxy::in_the_name_of(&server.endpoint);
    let straight = server.bucket("bucket");
    let space = space(&Address { endpoint: Some(proxy.address.clone()), ..straight.clone() });
    // Every answer to something that was put takes seconds.
    proxy.plan(|_, seen| (seen.method == "POST").then_some(Fault::Drip(20, Duration::from_millis(300))));
    let mut child = space.command(&["build", "--json", "wti.daily"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut events = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        if event["event"] == "pushing" && events.iter().all(|earlier: &Value| earlier["event"] != "pushing") {
            rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
        }
        events.push(event);
    }
    assert_eq!(child.wait().unwrap().code(), Some(130), "{events:?}");
    let said = |name: &str| events.iter().find(|event| event["event"] == name).unwrap_or_else(|| panic!("no {name}: {events:?}"));
    assert!(said("mirrored")["unpushed"].as_u64() > Some(0) && said("mirrored")["failure"] == "it was stopped", "{events:?}");
    assert_eq!(said("finished")["outcome"], "ok", "the build itself was done");
    sound(&Bucket::open(&straight).unwrap(), "stopped");
    proxy.plan(|_, _| None);
    told(&space, &["mirror", "push"]);
    let status: Value = serde_json::from_str(&told(&space, &["mirror", "status", "--json"])).unwrap();
    assert_eq!(status["unpushed"], 0);
    space.build(&["wti.daily"]).ran(&[]);
    sound(&Bucket::open(&straight).unwrap(), "caught up");
}
