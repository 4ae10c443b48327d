//! What carrying results through a bucket costs, one part a process, so that each has a peak of its own:
//! `cargo bench --bench mirror -- keep FOLDER STORE | push STORE URL ENDPOINT | pull STORE URL ENDPOINT`. `benches/mirror.py` runs it beside rclone.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::cast_precision_loss)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use cbi::mirror::bucket::Bucket;
use cbi::mirror::epochs::Epochs;
use cbi::mirror::pull::pull;
use cbi::mirror::push::push;
use cbi::mirror::stores::Address;
use cbi::model::action::Action;
use cbi::model::result::{ActionResult, Cost};
use cbi::store::action_cache::Session;
use cbi::store::content::Batch;
use cbi::store::materialize::capture;

/// The one action whose result travels.
fn action() -> Action {
    Action {
        kind: "command".into(),
        version: 1,
        engines: BTreeMap::new(),
        platform: "any".into(),
        threads: 1,
        params: serde_json::json!({ "shell": "bench" }),
        inputs: BTreeMap::new(),
        outputs: BTreeSet::from(["out".into()]),
    }
}

/// Takes all files of a folder into a store, as the result of the action.
fn keep(folder: &str, session: &Session) {
    let mut batch = Batch::new();
    let manifest = capture(session.content(), Path::new(folder), &mut batch).unwrap();
    let result = ActionResult {
        key: action().key(),
        action: action(),
        target: "bench".into(),
        outputs: BTreeMap::from([("out".into(), manifest)]),
        metrics: BTreeMap::new(),
        notes: Vec::new(),
        checks: Vec::new(),
        log: None,
        cost: Cost::default(),
        ended_ms: 1,
    };
    session.record(&result, &batch).unwrap();
}

fn bucket(url: &str, endpoint: &str) -> Bucket {
    let address = Address { url: url.into(), endpoint: Some(endpoint.into()), anonymous: true, ..Address::default() };
    Bucket::open(&address).unwrap()
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let open = |path: &str| Session::open(Path::new(path)).unwrap();
    match words[..] {
        ["keep", folder, store] => keep(folder, &open(store)),
        ["push", store, url, endpoint] => {
            let session = open(store);
            let result = session.lookup(&action().key()).unwrap().unwrap();
            let begun = Instant::now();
            let pushed = push(&bucket(url, endpoint), session.content(), &[result]).unwrap();
            println!("{:.3} {}", begun.elapsed().as_secs_f64(), pushed.bytes);
        }
        ["pull", store, url, endpoint] => {
            let (session, bucket) = (open(store), bucket(url, endpoint));
            let begun = Instant::now();
            let pulled = pull(&bucket, &Epochs::of(&bucket).unwrap(), &session, &action().key()).unwrap().unwrap();
            println!("{:.3} {}", begun.elapsed().as_secs_f64(), pulled.bytes);
        }
        _ => println!("keep FOLDER STORE | push STORE URL ENDPOINT | pull STORE URL ENDPOINT"),
    }
}
