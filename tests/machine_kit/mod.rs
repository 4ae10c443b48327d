//! A machine that pushes and pulls, for tests of the mirror. Invariant: its store is a folder of its own, which ends with it.
#![allow(dead_code, clippy::unwrap_used, reason = "each test binary uses a part")]

use std::collections::BTreeMap;

use cbi::base::digest::{BlobId, PackId};
use cbi::mirror::bucket::Bucket;
use cbi::mirror::epochs::Epochs;
use cbi::mirror::layout::Epoch;
use cbi::mirror::pull::pull;
use cbi::mirror::push::push;
use cbi::mirror::records::{Found, artifact};
use cbi::model::result::{ActionResult, Cost};
use cbi::store::action_cache::Session;
use cbi::store::content::{Batch, ContentStore};
use cbi::store::materialize::capture;

use crate::store_kit;

/// Bytes that fill a pack.
pub const PART: u64 = cbi::store::pack::FULL;

/// A machine: a store of its own.
pub struct Machine {
    /// Its store.
    pub session: Session,
    _folder: tempfile::TempDir,
}

impl Machine {
    /// One that has nothing.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { session: Session::open(&folder.path().join("cache")).unwrap(), _folder: folder }
    }

    /// Performs and records action `n`, which makes these files.
    pub fn makes(&self, n: u64, files: &[(&str, Vec<u8>)]) -> ActionResult {
        let folder = self.session.root().scratch().unwrap();
        for (name, bytes) in files {
            cbi::io::fs::create_folders(folder.join(name).parent().unwrap()).unwrap();
            cbi::io::fs::write(&folder.join(name), bytes).unwrap();
        }
        let mut batch = Batch::new();
        let manifest = capture(self.session.content(), &folder, &mut batch).unwrap();
        let log = self.session.content().put_bytes(&store_kit::log(n), &mut batch).unwrap();
        let action = store_kit::action(n);
        let result = ActionResult {
            key: action.key(),
            action,
            target: format!("t/{n}"),
            outputs: BTreeMap::from([("out".into(), manifest)]),
            metrics: BTreeMap::from([("mae".into(), 0.1)]),
            notes: vec!["a note".into()],
            checks: Vec::new(),
            log: Some(log),
            cost: Cost { wall_ms: n, cpu_ms: n, peak_bytes: n, input_bytes: n },
            ended_ms: n,
        };
        self.session.record(&result, &batch).unwrap();
        result
    }

    /// Puts results into the mirror; the bytes that went up.
    pub fn pushes(&self, bucket: &Bucket, results: &[ActionResult]) -> u64 {
        let pushed = push(bucket, self.session.content(), results).unwrap();
        assert_eq!((pushed.results, pushed.broken), (results.len() as u64, 0));
        pushed.bytes
    }

    /// What the mirror has of an action, and whether it was recorded.
    pub fn pulls(&self, bucket: &Bucket, result: &ActionResult) -> Option<ActionResult> {
        let pulled = pull(bucket, &Epochs::of(bucket).unwrap(), &self.session, &result.key).unwrap();
        assert_eq!(self.session.lookup(&result.key).unwrap().is_some(), pulled.is_some(), "recorded if and only if it was pulled");
        pulled.map(|pulled| pulled.result)
    }

    /// A blob that is here.
    pub fn reads(&self, blob: &BlobId) -> Vec<u8> {
        self.session.content().read(blob).unwrap().unwrap()
    }
}

/// Bytes that do not shrink.
pub fn noise(length: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(length);
    (0..length).map(|_| random.u8(..)).collect()
}

/// Files of every kind: none, small, of many parts, of exactly one; bytes that shrink and bytes that do not.
pub fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("empty", Vec::new()),
        ("small", b"small".to_vec()),
        ("deep/down/text", b"the same again, ".repeat(100_000)),
        ("part", noise(PART)),
        ("parts", noise(2 * PART + 77)),
    ]
}

/// The packs in which the files of a result lie, in an epoch: by file, in their order.
pub fn packs_of(bucket: &Bucket, epoch: Epoch, result: &ActionResult) -> BTreeMap<String, Vec<PackId>> {
    let manifest = &result.outputs["out"];
    let Found::Whole(stored) = artifact(bucket, epoch, &manifest.id()).unwrap() else { panic!("it is not there") };
    let packs = |(name, file): (&String, &cbi::model::manifest::FileEntry)| {
        let segments = stored.contents.segments(&file.blob, file.size).unwrap();
        (name.clone(), segments.iter().map(|segment| segment.pack).collect())
    };
    manifest.files.iter().map(packs).collect()
}
