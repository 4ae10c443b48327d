//! What the tests of the store share: small actions with known outputs.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use cbi::base::digest::{BlobId, Digest};
use cbi::io::fs;
use cbi::model::action::Action;
use cbi::model::result::{ActionResult, Cost};
use cbi::store::action_cache::Session;
use cbi::store::content::{Batch, ContentStore};
use cbi::store::error::StoreResult;
use cbi::store::materialize::capture;

pub fn blob(bytes: &[u8]) -> BlobId {
    BlobId(Digest::of(bytes))
}

pub fn action(n: u64) -> Action {
    Action {
        kind: "command".into(),
        version: 1,
        engines: BTreeMap::new(),
        platform: "test".into(),
        threads: 1,
        params: serde_json::json!({ "n": n }),
        inputs: BTreeMap::new(),
        outputs: BTreeSet::from(["out".into()]),
    }
}

/// The files that action `n` makes: one of its own, one that all make.
pub fn files(n: u64) -> [(&'static str, Vec<u8>); 2] {
    [("own", format!("own {n}").into_bytes()), ("deep/common", b"common".to_vec())]
}

/// The bytes of action `n`'s log.
pub fn log(n: u64) -> Vec<u8> {
    format!("log of {n}").into_bytes()
}

/// Does what an executor does for action `n`, up to recording it.
pub fn perform(session: &Session, n: u64) -> StoreResult<(ActionResult, Batch)> {
    let folder = session.root().scratch()?;
    for (name, bytes) in files(n) {
        fs::create_folders(folder.join(name).parent().unwrap())?;
        fs::write(&folder.join(name), &bytes)?;
    }
    let mut batch = Batch::new();
    let manifest = capture(session.content(), &folder, &mut batch)?;
    let log = session.content().put_bytes(&log(n), &mut batch)?;
    let action = action(n);
    let result = ActionResult {
        key: action.key(),
        action,
        target: format!("t/{n}"),
        outputs: BTreeMap::from([("out".into(), manifest)]),
        metrics: BTreeMap::from([("mae".into(), 0.1)]),
        notes: Vec::new(),
        checks: Vec::new(),
        log: Some(log),
        cost: Cost { wall_ms: n, cpu_ms: n, peak_bytes: n, input_bytes: n },
        ended_ms: n,
    };
    Ok((result, batch))
}

/// Looks action `n` up, and performs and records it if it is a miss; says whether it was one.
pub fn build(session: &Session, n: u64) -> StoreResult<bool> {
    if session.lookup(&action(n).key())?.is_some() {
        return Ok(false);
    }
    let (result, batch) = perform(session, n)?;
    session.record(&result, &batch)?;
    Ok(true)
}

/// Holds action `n`'s result to what it must be, byte by byte.
pub fn assert_whole(session: &Session, n: u64) {
    let result = session.lookup(&action(n).key()).unwrap().unwrap_or_else(|| panic!("result {n} is a miss"));
    assert_eq!(result.outputs["out"].files.len(), 2);
    for (name, bytes) in files(n) {
        let entry = result.outputs["out"].files[name];
        assert_eq!(session.content().read(&entry.blob).unwrap().unwrap(), bytes, "{name} of {n}");
    }
    assert_eq!(session.content().read(&result.log.unwrap()).unwrap().unwrap(), log(n));
}
