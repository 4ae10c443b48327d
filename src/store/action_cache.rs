//! Owns the action cache. Invariant: a result that is returned was recorded whole, and every blob it names is in the store.
//!
//! The log is the truth. A session asks the index (sled) while it plans, lets go of it with [`Session::release`], and from then on knows
//! all results in memory, so that no other process ever waits for the length of a build.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::digest::{ActionKey, BlobId};
use crate::io::fs;
use crate::io::lock::Claim;
use crate::model::result::{ActionResult, Cost};
use crate::store::content::{Batch, ContentStore};
use crate::store::error::{StoreError, StoreResult};
use crate::store::index::{Index, Results};
use crate::store::local::LocalStore;
use crate::store::log::{Item, Log};
use crate::store::memo::{self, Memo};
use crate::store::record;
use crate::store::root::Root;

/// One process's dealings with the store: blobs, results, and the memory of files hashed. Shared by its threads.
pub struct Session {
    root: Root,
    content: LocalStore,
    state: Mutex<State>,
}

struct State {
    root: Root,
    log: Log,
    view: View,
    /// Results are known up to here in the log, except while the view is closed.
    read_to: u64,
    /// The index has been let go of once: it is not held again.
    released: bool,
    /// Files looked at in this session.
    memos: HashMap<PathBuf, Memo>,
    /// Those of them that the index does not have.
    new_memos: Vec<PathBuf>,
    /// Whether the index lacks something that the log has.
    behind: bool,
}

/// Where results are looked up.
enum View {
    Closed,
    Index(Box<Index>),
    Memory(Results),
}

impl Session {
    /// Opens the cache folder, making it where there is none.
    ///
    /// # Errors
    /// When it is of a newer format, damaged, or cannot be made.
    pub fn open(path: &Path) -> StoreResult<Self> {
        let root = Root::open(path)?;
        let state = State {
            log: Log::open(&root.actions_log())?,
            root: root.clone(),
            view: View::Closed,
            read_to: 0,
            released: false,
            memos: HashMap::new(),
            new_memos: Vec::new(),
            behind: false,
        };
        Ok(Self { content: LocalStore::new(root.clone()), root, state: Mutex::new(state) })
    }

    /// The cache folder.
    #[must_use]
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The blobs.
    #[must_use]
    pub fn content(&self) -> &LocalStore {
        &self.content
    }

    /// The newest result recorded under `key`, by whatever process, if all its blobs are in the store with the right sizes.
    ///
    /// # Errors
    /// When the store cannot be asked; [`StoreError::Busy`] when another process holds the index.
    pub fn lookup(&self, key: &ActionKey) -> StoreResult<Option<ActionResult>> {
        let found = self.state().lookup(key)?;
        match found {
            Some(result) if self.hole(&result)?.is_none() => Ok(Some(result)),
            _ => Ok(None),
        }
    }

    /// The first blob of a result that is not in the store as recorded.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub fn hole(&self, result: &ActionResult) -> StoreResult<Option<BlobId>> {
        for file in result.outputs.values().flat_map(|m| m.files.values()) {
            if self.content.size_of(&file.blob)? != Some(file.size) {
                return Ok(Some(file.blob));
            }
        }
        match result.log {
            Some(log) if self.content.size_of(&log)?.is_none() => Ok(Some(log)),
            _ => Ok(None),
        }
    }

    /// Records a result whose blobs were put with `batch`. It survives a crash when this returns; if it fails, nothing is recorded.
    ///
    /// # Errors
    /// When the disk refuses, or the result is not one that can be read back.
    pub fn record(&self, result: &ActionResult, batch: &Batch) -> StoreResult<()> {
        self.record_all(&[(result, batch)])
    }

    /// Records several results, waiting for the disk once for all of them. If it fails, some may have been recorded.
    ///
    /// # Errors
    /// When the disk refuses, or a result is not one that can be read back.
    pub fn record_all(&self, results: &[(&ActionResult, &Batch)]) -> StoreResult<()> {
        let payloads: Result<Vec<_>, _> = results.iter().map(|(result, _)| result.to_record()).collect();
        let payloads = payloads.map_err(|why| StoreError::Record { why })?;
        let mut together = Batch::new();
        for (_, batch) in results {
            together.merge(batch);
        }
        self.content.commit(&together)?;
        let mut state = self.state();
        let mut offset = state.log.append_all(&payloads).map_err(|e| self.root.explain(e))?;
        for ((result, _), payload) in results.iter().zip(&payloads) {
            state.recorded(result, offset, payload.len())?;
            offset += record::length_of(payload.len());
        }
        Ok(())
    }

    /// Takes in what other processes have recorded meanwhile. `lookup` does so by itself.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn refresh(&self) -> StoreResult<()> {
        self.state().catch_up()
    }

    /// Claims an action for this process, so that two builds that need it run it once; `None` while another holds it. Who gets the claim
    /// looks the result up again, for the holder before may have recorded it, and drops it when done.
    ///
    /// # Errors
    /// When the cache cannot be written to.
    pub fn claim(&self, key: &ActionKey) -> StoreResult<Option<Claim>> {
        self.root.claim(&key.to_string())
    }

    /// What the newest run of a target cost.
    ///
    /// # Errors
    /// When the index cannot be had.
    pub fn cost_of(&self, kind: &str, target: &str) -> StoreResult<Option<Cost>> {
        let mut state = self.state();
        state.ready()?;
        state.ask(|i| i.cost(kind, target), |r| r.costs.get(&(kind.to_owned(), target.to_owned())).copied())
    }

    /// The digest of a file, read only if it may have changed since it was last read.
    ///
    /// # Errors
    /// When the file cannot be read, or changes while it is.
    pub fn hash_file(&self, path: &Path) -> StoreResult<BlobId> {
        if let Some(known) = self.remembered(path)? {
            return Ok(known);
        }
        let hashed = memo::hash_file(path)?;
        if let Some(memo) = hashed.memo {
            let mut state = self.state();
            state.memos.insert(path.to_owned(), memo);
            state.new_memos.push(path.to_owned());
        }
        Ok(hashed.blob)
    }

    /// The digest of a file that has not changed since it was last read, without reading it; `None` where it must be read.
    ///
    /// # Errors
    /// When the file cannot be inspected, or the index cannot be had.
    pub fn remembered(&self, path: &Path) -> StoreResult<Option<BlobId>> {
        let Some(stat) = fs::stat(path)? else { return Ok(None) };
        let mut state = self.state();
        if let Some(memo) = state.memos.get(path) {
            return Ok(memo.digest_if(&stat));
        }
        if !state.released {
            state.ready()?;
        }
        let Some(memo) = state.ask(|i| i.memo(path), |_| None)? else { return Ok(None) };
        state.memos.insert(path.to_owned(), memo);
        Ok(memo.digest_if(&stat))
    }

    /// Lets go of the index, after writing down in it what it lacks. Never fails a build: an index that cannot be written is made anew.
    ///
    /// # Errors
    /// When another process holds the index for too long.
    pub fn release(&self) -> StoreResult<()> {
        self.state().release()
    }

    /// Every result recorded, oldest first; stops where `each` says `false`.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn each_result(&self, mut each: impl FnMut(ActionResult) -> bool) -> StoreResult<()> {
        let log = Log::open(&self.root.actions_log())?;
        for item in log.read_from(0) {
            if let Item::Record { payload, .. } = item?
                && let Ok(result) = serde_json::from_slice(&payload)
                && !each(result)
            {
                break;
            }
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // What the index lacks it takes from the log the next time.
        let _ = self.state().release();
    }
}

impl State {
    fn lookup(&mut self, key: &ActionKey) -> StoreResult<Option<ActionResult>> {
        self.ready()?;
        self.catch_up()?;
        let Some(offset) = self.ask(|i| i.offset(key), |r| r.offsets.get(key).copied())? else { return Ok(None) };
        if let Some(result) = self.result_at(offset, key)? {
            return Ok(Some(result));
        }
        // The index points at something else: it is wrong, or the record is damaged. The log knows.
        self.distrust_index()?;
        let offset = self.ask(|i| i.offset(key), |r| r.offsets.get(key).copied())?;
        offset.map_or(Ok(None), |offset| self.result_at(offset, key))
    }

    fn result_at(&self, offset: u64, key: &ActionKey) -> StoreResult<Option<ActionResult>> {
        let payload = self.log.read_at(offset)?;
        let result: Option<ActionResult> = payload.and_then(|p| serde_json::from_slice(&p).ok());
        Ok(result.filter(|r| r.key == *key))
    }

    /// Makes sure that results can be looked up.
    fn ready(&mut self) -> StoreResult<()> {
        if !matches!(self.view, View::Closed) {
            return Ok(());
        }
        self.log.reopen()?;
        match self.open_index() {
            Ok(index) if self.released => {
                let loaded = index.load();
                self.close_index(index);
                match loaded {
                    Ok(results) => self.view = View::Memory(results),
                    Err(_) => self.distrust_index()?,
                }
            }
            Ok(index) => self.view = View::Index(Box::new(index)),
            Err(error @ StoreError::Busy { .. }) => return Err(error),
            // Without an index, as in a cache that cannot be written, the log alone answers, only slower.
            Err(_) => self.read_log()?,
        }
        Ok(())
    }

    fn open_index(&mut self) -> StoreResult<Index> {
        let index = Index::open(&self.root)?;
        self.read_to = index.absorb(&self.log)?;
        self.log.known_whole(self.read_to);
        self.behind = false;
        Ok(index)
    }

    fn close_index(&mut self, index: Index) {
        let new: Vec<PathBuf> = std::mem::take(&mut self.new_memos);
        let memos = new.iter().filter_map(|p| Some((p.as_path(), self.memos.get(p)?)));
        // Not sealed, it is made anew the next time.
        let _ = index.remember(memos).and_then(|()| index.close());
    }

    /// Asks whichever view there is. An index that fails is given up for the log.
    fn ask<T>(
        &mut self,
        index: impl Fn(&Index) -> StoreResult<Option<T>>,
        memory: impl Fn(&Results) -> Option<T>,
    ) -> StoreResult<Option<T>> {
        if let View::Index(open) = &self.view {
            match index(open) {
                Ok(answer) => return Ok(answer),
                Err(_) => self.distrust_index()?,
            }
        }
        match &self.view {
            View::Memory(results) => Ok(memory(results)),
            _ => Ok(None),
        }
    }

    /// Takes in what the log has got since we last looked.
    fn catch_up(&mut self) -> StoreResult<()> {
        let replaced = self.log.reopen()?;
        if replaced || self.log.size()? < self.read_to {
            return self.read_log();
        }
        if self.log.size()? == self.read_to {
            return Ok(());
        }
        let read_to = match &mut self.view {
            View::Closed => return Ok(()),
            View::Index(index) => index.absorb(&self.log),
            View::Memory(results) => {
                self.behind = true;
                results.absorb(&self.log, self.read_to)
            }
        };
        match read_to {
            Ok(read_to) => {
                self.read_to = read_to;
                self.log.known_whole(read_to);
                Ok(())
            }
            Err(StoreError::Index { .. }) => self.distrust_index(),
            Err(error) => Err(error),
        }
    }

    /// Knows all results from the log alone.
    fn read_log(&mut self) -> StoreResult<()> {
        let mut results = Results::default();
        self.read_to = results.absorb(&self.log, 0)?;
        self.log.known_whole(self.read_to);
        self.view = View::Memory(results);
        self.behind = true;
        Ok(())
    }

    /// Leaves the index unsealed, so that it is made anew the next time, and goes on with the log.
    fn distrust_index(&mut self) -> StoreResult<()> {
        self.view = View::Closed;
        let _ = fs::remove_file(&self.root.cache_seal());
        self.read_log()
    }

    fn recorded(&mut self, result: &ActionResult, offset: u64, length: usize) -> StoreResult<()> {
        // Somebody else's records may stand between what we know and ours.
        if let View::Memory(results) = &mut self.view
            && self.read_to == offset
        {
            results.offsets.insert(result.key, offset);
            results.costs.insert((result.action.kind.clone(), result.target.clone()), result.cost);
            self.read_to = offset + record::length_of(length);
            self.behind = true;
            return Ok(());
        }
        self.behind = true;
        self.catch_up()
    }

    fn release(&mut self) -> StoreResult<()> {
        self.released = true;
        let view = std::mem::replace(&mut self.view, View::Closed);
        match view {
            View::Index(index) => self.close_index(*index),
            view if self.behind || !self.new_memos.is_empty() => {
                // The index may take in more than the view has seen: the view goes on from where it was.
                let read_to = self.read_to;
                let index = self.open_index();
                (self.view, self.read_to) = (view, read_to);
                match index {
                    Ok(index) => self.close_index(index),
                    Err(error @ StoreError::Busy { .. }) => return Err(error),
                    Err(_) => {}
                }
            }
            view => self.view = view,
        }
        Ok(())
    }
}
