//! What the store costs an action: `cargo bench --bench store [-- RESULTS]` (default 1,000). CPU time is Linux's count for our threads.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::cast_precision_loss)]

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::time::{Duration, Instant};

use cbi::base::digest::ActionKey;
use cbi::io::fs;
use cbi::model::action::Action;
use cbi::model::result::{ActionResult, Cost};
use cbi::store::action_cache::Session;
use cbi::store::content::{Batch, ContentStore};
use cbi::store::materialize::{capture, place};

/// What all threads alive have used.
fn cpu() -> Duration {
    let nanoseconds =
        |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("schedstat")).ok()?.split(' ').next()?.parse::<u64>().ok();
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    Duration::from_nanos(tasks.filter_map(|t| nanoseconds(t.unwrap())).sum())
}

fn measure<T>(what: &str, count: u64, run: impl FnOnce() -> T) -> T {
    let (start, before) = (Instant::now(), cpu());
    let value = run();
    let (wall, used) = (start.elapsed(), cpu().saturating_sub(before));
    let each = |d: Duration| d.as_secs_f64() * 1e6 / count as f64;
    println!("{what:34} {:9.1} µs wall {:9.1} µs cpu, each of {count}", each(wall), each(used));
    value
}

fn action(n: u64) -> Action {
    Action {
        kind: "command".into(),
        version: 1,
        engines: BTreeMap::new(),
        platform: "linux-x86_64-avx2".into(),
        threads: 1,
        params: serde_json::json!({ "shell": format!("cat src/{n}.txt > o/{n}"), "outputs": [format!("o/{n}")], "files": [format!("src/{n}.txt")] }),
        inputs: BTreeMap::new(),
        outputs: BTreeSet::from(["out".into()]),
    }
}

/// What an action leaves behind, short of recording it.
fn perform(session: &Session, n: u64) -> (ActionResult, Batch) {
    let folder = session.root().scratch().unwrap();
    fs::create_folder(&folder).unwrap();
    fs::write(&folder.join("o"), format!("output {n}\n").as_bytes()).unwrap();
    let mut batch = Batch::new();
    let manifest = capture(session.content(), &folder, &mut batch).unwrap();
    let action = action(n);
    let result = ActionResult {
        key: action.key(),
        action,
        target: format!("o/{n}"),
        outputs: BTreeMap::from([("out".into(), manifest)]),
        metrics: BTreeMap::new(),
        notes: Vec::new(),
        checks: Vec::new(),
        log: None,
        cost: Cost::default(),
        ended_ms: 0,
    };
    (result, batch)
}

fn main() {
    let count: u64 = env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(1000);
    let folder = tempfile::tempdir_in(env::var("CBI_BENCH_DIR").unwrap_or_else(|_| ".".to_owned())).unwrap();
    let path = folder.path().join("cache");
    let session = measure("make a cache", 1, || Session::open(&path).unwrap());
    let made: Vec<_> = measure("write and capture", count, || (0..count).map(|n| perform(&session, n)).collect());
    let keys: Vec<ActionKey> = made.iter().map(|(r, _)| r.key).collect();
    for (group, results) in [(1, &made[..made.len() / 4]), (10, &made[made.len() / 4..])] {
        measure(&format!("record, {group} together"), results.len() as u64, || {
            for some in results.chunks(group) {
                session.record_all(&some.iter().map(|(r, b)| (r, b)).collect::<Vec<_>>()).unwrap();
            }
        });
    }
    measure("release: index what was recorded", 1, || session.release().unwrap());
    measure("look up from memory", count, || assert!(keys.iter().all(|k| session.lookup(k).unwrap().is_some())));
    drop(session);
    let session = Session::open(&path).unwrap();
    measure("open the index, look up one", 1, || session.lookup(&keys[0]).unwrap());
    measure("look up from the index", count, || assert!(keys.iter().all(|k| session.lookup(k).unwrap().is_some())));
    measure("release: nothing new", 1, || session.release().unwrap());
    let results: Vec<_> = keys.iter().map(|k| session.lookup(k).unwrap().unwrap()).collect();
    measure("place", count, || {
        for (n, result) in results.iter().enumerate() {
            place(session.content(), &result.outputs["out"], &folder.path().join(n.to_string())).unwrap();
        }
    });
    let blobs = results.iter().flat_map(|r| r.outputs["out"].files.values());
    measure("size of a blob", count, || assert!(blobs.into_iter().all(|f| session.content().size_of(&f.blob).unwrap().is_some())));
}
