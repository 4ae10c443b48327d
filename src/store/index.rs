//! Owns the index (sled). Invariant: nothing is known only here; an index that is lost, damaged or merely suspicious is thrown away and
//! made again from the log.
//!
//! sled is single-process, so it is held for short batches, behind a lock of our own that names its holder. It is trusted only if its
//! files are exactly as they were when it was last closed (the seal): a crash or a damage in between makes it anew.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde::Deserialize;

use crate::base::clock;
use crate::base::digest::{ActionKey, Digest};
use crate::io::fs;
use crate::io::lock::{Lock, Mode};
use crate::model::result::Cost;
use crate::store::error::{StoreError, StoreResult};
use crate::store::log::{Item, Log};
use crate::store::memo::Memo;
use crate::store::root::Root;

/// Raised when the trees' contents change meaning: an older index is then made anew.
const VERSION: &[u8] = b"cbi index 2";
/// How long another process may hold the index before we give up.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of pages that sled keeps in memory.
const MEMORY: u64 = 24 << 20;

/// The open index: results by key, what targets cost, files already hashed.
pub struct Index {
    // In the order in which they must go: the lock last.
    results: sled::Tree,
    costs: sled::Tree,
    memos: sled::Tree,
    meta: sled::Tree,
    db: sled::Db,
    root: Root,
    lock: Lock,
}

/// All that the index says of results, in memory.
#[derive(Debug, Default, Clone)]
pub struct Results {
    /// Key → offset of its newest record in the log.
    pub offsets: HashMap<ActionKey, u64>,
    /// `kind`, `target` → what its newest run cost.
    pub costs: HashMap<(String, String), Cost>,
}

/// What the index needs of a record.
#[derive(Deserialize)]
struct Head {
    key: ActionKey,
    action: HeadAction,
    target: String,
    #[serde(default)]
    cost: Cost,
}

#[derive(Deserialize)]
struct HeadAction {
    kind: String,
}

/// Walks the log's records from `from`, hands each one's offset and head on, and returns where the last whole one ends.
fn heads(log: &Log, from: u64, mut each: impl FnMut(u64, Head)) -> StoreResult<u64> {
    let mut read_to = from;
    for item in log.read_from(from) {
        if let Item::Record { offset, end, payload } = item? {
            read_to = end;
            // A record that cannot be read is none; `fsck` names it.
            if let Ok(head) = serde_json::from_slice(&payload) {
                each(offset, head);
            }
        }
    }
    Ok(read_to)
}

impl Results {
    /// Takes in the log's records from `from`; returns where the last whole one ends.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn absorb(&mut self, log: &Log, from: u64) -> StoreResult<u64> {
        heads(log, from, |offset, head| {
            self.offsets.insert(head.key, offset);
            self.costs.insert((head.action.kind, head.target), head.cost);
        })
    }
}

impl Index {
    /// Opens the index, or makes it anew where there is none to be trusted.
    ///
    /// # Errors
    /// When another process holds it for too long, or it cannot be written.
    pub fn open(root: &Root) -> StoreResult<Self> {
        fs::create_folders(&root.path().join("locks")).map_err(|e| root.explain(e.into()))?;
        let lock = Lock::take(&root.lock_file("index"), Mode::Exclusive, PATIENCE);
        let lock = lock.map_err(|e| root.explain(StoreError::lock("the index of results", e)))?;
        if check_seal(root)?.is_some() {
            fs::remove_tree(&root.cache())?;
        }
        // From here to the next seal, a crash makes the index anew.
        fs::remove_file(&root.cache_seal())?;
        let opened = open_trees(&root.cache()).or_else(|_| {
            fs::remove_tree(&root.cache())?;
            open_trees(&root.cache())
        });
        let (db, [results, costs, memos, meta]) = opened?;
        Ok(Self { results, costs, memos, meta, db, root: root.clone(), lock })
    }

    /// Takes in what the log holds beyond what is indexed, and returns up to where that is.
    ///
    /// # Errors
    /// When the log or the index fails.
    pub fn absorb(&self, log: &Log) -> StoreResult<u64> {
        let identity = log.identity()?.to_be_bytes();
        let same = guard(|| self.meta.get("identity"))?.is_some_and(|v| *v == identity);
        let indexed_to =
            guard(|| self.meta.get("indexed_to"))?.and_then(|v| number(&v)).filter(|to| same && log.size().is_ok_and(|s| *to <= s));
        let from = indexed_to.unwrap_or(0);
        if indexed_to.is_none() {
            guard(|| self.results.clear().and_then(|()| self.costs.clear()))?;
        }
        let (mut results, mut costs) = (sled::Batch::default(), sled::Batch::default());
        let read_to = heads(log, from, |offset, head| {
            results.insert(head.key.0.as_bytes(), &offset.to_be_bytes());
            costs.insert(cost_key(&head.action.kind, &head.target), encode_cost(head.cost));
        })?;
        if read_to != from || indexed_to.is_none() {
            guard(|| self.results.apply_batch(results))?;
            guard(|| self.costs.apply_batch(costs))?;
            guard(|| self.meta.insert("identity", &identity))?;
            guard(|| self.meta.insert("indexed_to", &read_to.to_be_bytes()))?;
        }
        Ok(read_to)
    }

    /// Where the log holds the key's newest record.
    ///
    /// # Errors
    /// When the index fails.
    pub fn offset(&self, key: &ActionKey) -> StoreResult<Option<u64>> {
        Ok(guard(|| self.results.get(key.0.as_bytes()))?.and_then(|v| number(&v)))
    }

    /// What the target's newest run cost.
    ///
    /// # Errors
    /// When the index fails.
    pub fn cost(&self, kind: &str, target: &str) -> StoreResult<Option<Cost>> {
        Ok(guard(|| self.costs.get(cost_key(kind, target)))?.and_then(|v| decode_cost(&v)))
    }

    /// What is remembered of a file.
    ///
    /// # Errors
    /// When the index fails.
    pub fn memo(&self, path: &Path) -> StoreResult<Option<Memo>> {
        Ok(guard(|| self.memos.get(path.as_os_str().as_bytes()))?.and_then(|v| Memo::decode(&v)))
    }

    /// Remembers files.
    ///
    /// # Errors
    /// When the index fails.
    pub fn remember<'a>(&self, memos: impl Iterator<Item = (&'a Path, &'a Memo)>) -> StoreResult<()> {
        let mut batch = sled::Batch::default();
        for (path, memo) in memos {
            batch.insert(path.as_os_str().as_bytes(), memo.encode().as_slice());
        }
        guard(|| self.memos.apply_batch(batch))
    }

    /// Forgets the files that are no longer there.
    ///
    /// # Errors
    /// When the index or the file system fails.
    pub fn forget_absent(&self) -> StoreResult<u64> {
        let mut forgotten = 0;
        for path in guard(|| self.memos.iter().keys().collect::<Result<Vec<_>, _>>())? {
            if fs::stat(Path::new(std::ffi::OsStr::from_bytes(&path)))?.is_none() {
                guard(|| self.memos.remove(&path))?;
                forgotten += 1;
            }
        }
        Ok(forgotten)
    }

    /// All that is indexed of results.
    ///
    /// # Errors
    /// When the index fails.
    pub fn load(&self) -> StoreResult<Results> {
        let mut loaded = Results::default();
        guard(|| {
            for entry in &self.results {
                let (key, offset) = entry?;
                if let (Ok(key), Some(offset)) = (<[u8; 32]>::try_from(&*key), number(&offset)) {
                    loaded.offsets.insert(ActionKey(Digest::from_bytes(key)), offset);
                }
            }
            for entry in &self.costs {
                let (key, cost) = entry?;
                if let (Some(key), Some(cost)) = (decode_cost_key(&key), decode_cost(&cost)) {
                    loaded.costs.insert(key, cost);
                }
            }
            Ok(())
        })?;
        Ok(loaded)
    }

    /// Puts everything on the disk, lets go of it and seals it.
    ///
    /// # Errors
    /// When the disk refuses; the index is made anew the next time.
    pub fn close(self) -> StoreResult<()> {
        let Self { results, costs, memos, meta, db, root, lock } = self;
        guard(|| db.flush())?;
        drop((results, costs, memos, meta));
        guard(|| {
            drop(db);
            Ok(())
        })?;
        fs::step("index.flushed", &root.cache())?;
        fs::write(&root.cache_seal(), seal_of(&root)?.as_bytes())?;
        fs::step("index.sealed", &root.cache())?;
        drop(lock);
        Ok(())
    }
}

/// Why the index on disk is not to be trusted; `None` where it is.
///
/// # Errors
/// When its files cannot be inspected.
pub fn check_seal(root: &Root) -> StoreResult<Option<&'static str>> {
    let files = seal_of(root)?;
    Ok(match fs::read_if_any(&root.cache_seal())? {
        _ if files.is_empty() => None,
        None => Some("it was not closed"),
        Some(seal) if seal == files.as_bytes() => None,
        Some(_) => Some("its files are not as they were when it was closed"),
    })
}

/// Names, sizes and times of the index's files.
fn seal_of(root: &Root) -> StoreResult<String> {
    let mut seal = String::new();
    let mut folders = vec![root.cache()];
    while let Some(folder) = folders.pop() {
        for entry in fs::list_if_any(&folder)? {
            let path = folder.join(entry.name);
            if entry.what == fs::What::Folder {
                folders.push(path);
            } else if let Some(stat) = fs::link_stat(&path)? {
                let name = path.strip_prefix(root.path()).unwrap_or(&path).display();
                let _ = writeln!(seal, "{name} {} {}", stat.size, stat.mtime_ns);
            }
        }
    }
    Ok(seal)
}

fn open_trees(path: &Path) -> StoreResult<(sled::Db, [sled::Tree; 4])> {
    let start = clock::start();
    let db = loop {
        let config = sled::Config::new().path(path).cache_capacity(MEMORY).flush_every_ms(None);
        match guard(|| config.open()) {
            // A thread of sled's that is still letting go of it, here or in the process before us.
            Err(StoreError::Index { why }) if why.contains("could not acquire lock") && start.elapsed() < PATIENCE => {
                thread::sleep(Duration::from_millis(2));
            }
            opened => break opened?,
        }
    };
    let trees = guard(|| Ok([db.open_tree("results")?, db.open_tree("costs")?, db.open_tree("memos")?, db.open_tree("meta")?]))?;
    let version = guard(|| trees[3].get("version"))?;
    if version.as_deref() != Some(VERSION) {
        for tree in &trees {
            guard(|| tree.clear())?;
        }
        guard(|| trees[3].insert("version", VERSION))?;
    }
    Ok((db, trees))
}

/// Runs a call into sled, which may panic on what it finds on a damaged disk.
fn guard<T>(call: impl FnOnce() -> sled::Result<T>) -> StoreResult<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(StoreError::Index { why: error.to_string() }),
        Err(_) => Err(StoreError::Index { why: "sled panicked".to_owned() }),
    }
}

fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

fn cost_key(kind: &str, target: &str) -> Vec<u8> {
    [kind.as_bytes(), b"\0", target.as_bytes()].concat()
}

fn decode_cost_key(bytes: &[u8]) -> Option<(String, String)> {
    let (kind, target) = std::str::from_utf8(bytes).ok()?.split_once('\0')?;
    Some((kind.to_owned(), target.to_owned()))
}

fn encode_cost(cost: Cost) -> Vec<u8> {
    [cost.wall_ms, cost.cpu_ms, cost.peak_bytes, cost.input_bytes].iter().flat_map(|n| n.to_be_bytes()).collect()
}

fn decode_cost(bytes: &[u8]) -> Option<Cost> {
    let mut numbers = bytes.chunks_exact(8).filter_map(number);
    Some(Cost { wall_ms: numbers.next()?, cpu_ms: numbers.next()?, peak_bytes: numbers.next()?, input_bytes: numbers.next()? })
}
