//! Owns the check of a whole store. Invariant: checking changes nothing that anybody relies on, and repairing destroys nothing that is whole.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::base::digest::{ActionKey, BlobId, Digest};
use crate::io::file::File;
use crate::io::fs::{self, What};
use crate::io::lock::Lock;
use crate::model::build::Build;
use crate::model::release::{Entry, History};
use crate::model::result::ActionResult;
use crate::store::error::{StoreError, StoreResult};
use crate::store::hash::hash;
use crate::store::index::{Index, Results, check_seal};
use crate::store::local::LocalStore;
use crate::store::log::{self, Item, Log};
use crate::store::packs::Packed;
use crate::store::root::Root;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// The `format` file is missing or says nothing we understand.
    Format {
        /// The file.
        path: PathBuf,
    },
    /// A blob's bytes are not those that its name says.
    Blob {
        /// The blob.
        blob: BlobId,
        /// How many bytes are there.
        size: u64,
    },
    /// Something among the blobs is no blob.
    Stranger {
        /// What.
        path: PathBuf,
    },
    /// Bytes in a log are no record.
    Damaged {
        /// The log.
        path: PathBuf,
        /// Where they begin.
        offset: u64,
        /// How many there are.
        bytes: u64,
    },
    /// A log ends in bytes that are no whole record.
    Torn {
        /// The log.
        path: PathBuf,
        /// Where they begin.
        offset: u64,
        /// How many there are.
        bytes: u64,
    },
    /// A whole record does not say what a record of this log says.
    Record {
        /// The log.
        path: PathBuf,
        /// Where it begins.
        offset: u64,
        /// What is wrong.
        why: String,
    },
    /// A recorded result names a blob that is not there, or has another size. The next build that needs it makes it again.
    Hole {
        /// The result.
        key: ActionKey,
        /// The target it was made for.
        target: String,
        /// The blob.
        blob: BlobId,
    },
    /// A recorded build's list of targets is not there.
    Targets {
        /// When the build began, milliseconds since 1970 UTC.
        started_ms: u64,
        /// The list.
        blob: BlobId,
    },
    /// The index is not as it was closed, or disagrees with the log. It is made anew when next used.
    Index {
        /// What is wrong.
        why: String,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format { path } => write!(f, "'{}' is missing or damaged", path.display()),
            Self::Blob { blob, size } => write!(f, "blob {blob} is damaged ({size} bytes are there)"),
            Self::Stranger { path } => write!(f, "'{}' is not a blob", path.display()),
            Self::Damaged { path, offset, bytes } => write!(f, "'{}' is damaged: {bytes} bytes at {offset} are no record", path.display()),
            Self::Torn { path, offset, bytes } => {
                write!(f, "'{}' ends in {bytes} bytes at {offset} that are no whole record", path.display())
            }
            Self::Record { path, offset, why } => write!(f, "'{}': the record at {offset} cannot be used: {why}", path.display()),
            Self::Hole { key, target, blob } => write!(f, "blob {blob} of target '{target}' is missing (action {})", key.0.short()),
            Self::Targets { started_ms, blob } => {
                write!(f, "blob {blob}, the targets of the build of {}, is missing", crate::base::clock::rfc3339(*started_ms))
            }
            Self::Index { why } => write!(f, "the index of results cannot be trusted: {why}"),
        }
    }
}

/// What a check looked at and what it found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Blobs read.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Results read.
    pub results: u64,
    /// Builds read.
    pub builds: u64,
    /// What is not as it should be, sorted.
    pub findings: Vec<Finding>,
}

/// Takes how many blobs were read, and of how many.
pub type Seen<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// Reads every blob and every record.
///
/// # Errors
/// When the store cannot be read, or is of a newer format.
pub fn check(root: &Root) -> StoreResult<Report> {
    check_showing(root, &|_, _| {})
}

/// As [`check`]; `seen` is told, from several threads, how many blobs were read and of how many.
///
/// # Errors
/// As [`check`].
pub fn check_showing(root: &Root, seen: Seen) -> StoreResult<Report> {
    let mut report = Report::default();
    match root.check() {
        Err(newer @ StoreError::NewerFormat { .. }) => return Err(newer),
        Err(_) => report.findings.push(Finding::Format { path: root.format_file() }),
        Ok(()) => {}
    }
    let damaged = check_blobs(root, seen, &mut report)?;
    let store = LocalStore::new(root.clone());
    let packed = check_packs(root, &store, &mut report)?;
    let present = |blob: &BlobId, size: Option<u64>| -> StoreResult<bool> {
        let file = fs::link_stat(&store.path_of(blob))?.filter(|stat| stat.what == What::File && !damaged.contains(blob));
        let found = file.map(|stat| stat.size).or_else(|| packed.get(blob).copied());
        Ok(found.is_some_and(|found| size.is_none_or(|size| size == found)))
    };
    check_results(root, &present, &mut report)?;
    check_builds(root, &present, &mut report)?;
    check_releases(root, &mut report)?;
    check_index(root, &mut report)?;
    report.findings.sort();
    report.findings.dedup();
    Ok(report)
}

/// Hashes all blobs; returns those that are damaged.
fn check_blobs(root: &Root, seen: Seen, report: &mut Report) -> StoreResult<HashSet<BlobId>> {
    let mut blobs = Vec::new();
    for shard in fs::list_if_any(&root.blobs())? {
        let folder = root.blobs().join(&shard.name);
        if shard.what != What::Folder {
            report.findings.push(Finding::Stranger { path: folder });
            continue;
        }
        for entry in fs::list(&folder)? {
            let path = folder.join(&entry.name);
            let id =
                entry.name.to_str().and_then(|n| n.parse().ok()).map(BlobId).filter(|id| LocalStore::new(root.clone()).path_of(id) == path);
            match id {
                Some(id) if entry.what == What::File => blobs.push((id, path)),
                _ => report.findings.push(Finding::Stranger { path }),
            }
        }
    }
    let mut damaged = HashSet::new();
    for (id, found, size) in hash_all(&blobs, seen)? {
        (report.blobs, report.bytes) = (report.blobs + 1, report.bytes + size);
        if found != id {
            damaged.insert(id);
            report.findings.push(Finding::Blob { blob: id, size });
        }
    }
    Ok(damaged)
}

/// Reads all blobs that are kept in chunks; returns those that are whole, with their sizes.
fn check_packs(root: &Root, store: &LocalStore, report: &mut Report) -> StoreResult<HashMap<BlobId, u64>> {
    for entry in fs::list_if_any(&root.packs())? {
        let named = entry.name.to_str().is_some_and(|name| name.parse::<Digest>().is_ok());
        if !named || entry.what != What::File {
            report.findings.push(Finding::Stranger { path: root.packs().join(&entry.name) });
        }
    }
    check_log(&root.packed_log(), &mut report.findings, |payload, _| {
        Ok(serde_json::from_slice::<Packed>(payload).err().map(|why| why.to_string()))
    })?;
    let read = store.packs().check()?;
    report.blobs += read.len() as u64;
    report.bytes += read.iter().map(|(packed, _)| packed.size).sum::<u64>();
    let (whole, damaged): (Vec<_>, Vec<_>) = read.into_iter().partition(|(_, whole)| *whole);
    report.findings.extend(damaged.into_iter().map(|(packed, _)| Finding::Blob { blob: packed.blob, size: packed.size }));
    Ok(whole.into_iter().map(|(packed, _)| (packed.blob, packed.size)).collect())
}

/// Hashes files by as many threads as the machine has: name, digest and size of each.
fn hash_all(blobs: &[(BlobId, PathBuf)], seen: Seen) -> StoreResult<Vec<(BlobId, BlobId, u64)>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some((id, path)) = blobs.get(at) else { break };
            seen(at, blobs.len());
            // One removed meanwhile is a hole at most, and found as one.
            if let Some(file) = File::open_if_any(path)? {
                let (found, size) = hash(&file)?;
                done.push((*id, found, size));
            }
        }
        StoreResult::Ok(done)
    };
    thread::scope(|scope| {
        let helpers: Vec<_> = (1..thread::available_parallelism().map_or(1, usize::from)).map(|_| scope.spawn(work)).collect();
        let mut all = work()?;
        for helper in helpers {
            all.extend(helper.join().unwrap_or_else(|_| Err(StoreError::Index { why: "a thread panicked".to_owned() }))?);
        }
        Ok(all)
    })
}

/// Walks a log; hands whole records on and reports the rest. `each` says what is wrong with a record.
fn check_log(
    path: &Path,
    findings: &mut Vec<Finding>,
    mut each: impl FnMut(&[u8], &mut Vec<Finding>) -> StoreResult<Option<String>>,
) -> StoreResult<()> {
    let log = Log::open(path)?;
    for item in log.read_from(0) {
        let path = path.to_owned();
        match item? {
            Item::Record { offset, payload, .. } => {
                if let Some(why) = each(&payload, findings)? {
                    findings.push(Finding::Record { path, offset, why });
                }
            }
            Item::Damaged { offset, end } => findings.push(Finding::Damaged { path, offset, bytes: end - offset }),
            Item::Torn { offset, end } => findings.push(Finding::Torn { path, offset, bytes: end - offset }),
        }
    }
    Ok(())
}

type Present<'a> = &'a dyn Fn(&BlobId, Option<u64>) -> StoreResult<bool>;

fn check_results(root: &Root, present: Present, report: &mut Report) -> StoreResult<()> {
    let Report { results, findings, .. } = report;
    // The newest record of an action stands for it: a hole in an older one hurts nobody.
    let mut holes: HashMap<ActionKey, Vec<Finding>> = HashMap::new();
    check_log(&root.actions_log(), findings, |payload, _| {
        let result = match read_result(payload) {
            Ok(result) => result,
            Err(why) => return Ok(Some(why)),
        };
        *results += 1;
        let files = result.outputs.values().flat_map(|m| m.files.values()).map(|f| (f.blob, Some(f.size)));
        let mut found = Vec::new();
        for (blob, size) in files.chain(result.log.map(|log| (log, None))) {
            if !present(&blob, size)? {
                found.push(Finding::Hole { key: result.key, target: result.target.clone(), blob });
            }
        }
        holes.insert(result.key, found);
        Ok(None)
    })?;
    findings.extend(holes.into_values().flatten());
    Ok(())
}

fn read_result(payload: &[u8]) -> Result<ActionResult, String> {
    let result: ActionResult = serde_json::from_slice(payload).map_err(|e| e.to_string())?;
    if result.key == result.action.key() { Ok(result) } else { Err("its key is not that of its action".to_owned()) }
}

fn check_builds(root: &Root, present: Present, report: &mut Report) -> StoreResult<()> {
    let Report { builds, findings, .. } = report;
    check_log(&root.builds_log(), findings, |payload, findings| {
        let build: Build = match serde_json::from_slice(payload) {
            Ok(build) => build,
            Err(why) => return Ok(Some(why.to_string())),
        };
        *builds += 1;
        if !present(&build.targets, None)? {
            findings.push(Finding::Targets { started_ms: build.started_ms, blob: build.targets });
        }
        Ok(None)
    })
}

fn check_releases(root: &Root, report: &mut Report) -> StoreResult<()> {
    let mut histories = Histories::default();
    check_log(&root.releases_log(), &mut report.findings, |payload, _| Ok(histories.take(payload).err()))
}

/// The histories of releases that a log tells, as far as one entry follows the other.
#[derive(Default)]
struct Histories(HashMap<String, History>);

impl Histories {
    fn take(&mut self, payload: &[u8]) -> Result<(), String> {
        let entry: Entry = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
        let history = self.0.entry(entry.release).or_insert_with_key(|name| History::new(name));
        history.push(payload).map_err(|error| error.to_string())
    }
}

fn check_index(root: &Root, report: &mut Report) -> StoreResult<()> {
    if fs::list_if_any(&root.cache())?.is_empty() {
        return Ok(());
    }
    if let Some(why) = check_seal(root)? {
        report.findings.push(Finding::Index { why: why.to_owned() });
        return Ok(());
    }
    let log = Log::open(&root.actions_log())?;
    let mut expected = Results::default();
    expected.absorb(&log, 0)?;
    let indexed = Index::open(root).and_then(|index| {
        index.absorb(&log)?;
        let loaded = index.load()?;
        index.close().map(|()| loaded)
    });
    match indexed {
        Ok(indexed) if indexed.offsets == expected.offsets => {}
        Ok(_) => report.findings.push(Finding::Index { why: "it disagrees with the log".to_owned() }),
        Err(busy @ StoreError::Busy { .. }) => return Err(busy),
        // Where it cannot be opened for writing it is not used either.
        Err(StoreError::ReadOnly { .. }) => {}
        Err(error) => report.findings.push(Finding::Index { why: error.to_string() }),
    }
    Ok(())
}

/// Takes what is damaged out of use: blobs go to quarantine, logs are written anew with their whole records, the index is dropped. What
/// is lost then is a miss, and made again by the next build that needs it. `alone` is the lock of [`Root::alone`].
///
/// # Errors
/// When the disk refuses.
pub fn repair(root: &Root, report: &Report, _alone: &Lock) -> StoreResult<()> {
    let store = LocalStore::new(root.clone());
    let mut logs = HashSet::new();
    for finding in &report.findings {
        match finding {
            Finding::Format { .. } => root.create()?,
            // Asked again: it may have been replaced by a good one since.
            Finding::Blob { blob, .. } => _ = store.verify(blob)?,
            Finding::Stranger { path } => set_aside(root, path)?,
            Finding::Damaged { path, .. } | Finding::Torn { path, .. } | Finding::Record { path, .. } => _ = logs.insert(path),
            Finding::Index { .. } => {
                fs::remove_tree(&root.cache())?;
                fs::remove_file(&root.cache_seal())?;
            }
            Finding::Hole { .. } | Finding::Targets { .. } => {}
        }
    }
    for path in logs {
        let mut histories = Histories::default();
        let readable = |payload: &[u8]| match path {
            path if *path == root.actions_log() => read_result(payload).is_ok(),
            // What follows a lost entry is no history; a mirror has it whole.
            path if *path == root.releases_log() => histories.take(payload).is_ok(),
            path if *path == root.packed_log() => serde_json::from_slice::<Packed>(payload).is_ok(),
            _ => serde_json::from_slice::<Build>(payload).is_ok(),
        };
        log::filter(path, readable, &root.scratch()?)?;
    }
    Ok(())
}

fn set_aside(root: &Root, path: &Path) -> StoreResult<()> {
    fs::create_folders(&root.quarantine())?;
    let name = format!("stranger-{}", crate::base::clock::now_ns());
    Ok(fs::rename(path, &root.quarantine().join(name))?)
}
