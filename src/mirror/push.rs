//! Owns the way of results into a mirror. Invariant: a record goes up after all that it names, and counts only when its epoch was found unfenced after
//! that.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::digest::{ActionKey, BlobId, ManifestId};
use crate::mirror::bucket::Bucket;
use crate::mirror::contents::Contents;
use crate::mirror::epochs::Epochs;
use crate::mirror::error::{MirrorError, MirrorResult};
use crate::mirror::layout::{self, Epoch};
use crate::mirror::packing::{self, Placed};
use crate::mirror::record::{Record, Stored, sizes};
use crate::mirror::records;
use crate::mirror::transfer::{each, filter};
use crate::model::manifest::Manifest;
use crate::model::result::ActionResult;
use crate::store::content::ContentStore;
use crate::store::local::LocalStore;

/// How often a push is begun again because the mirror was pruned meanwhile.
const AGAIN: u32 = 5;

/// What a push did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pushed {
    /// Results that are in the mirror now, whoever put them there.
    pub results: u64,
    /// Results that were not pushed, for a blob of theirs is not in the store.
    pub broken: u64,
    /// Bytes of objects that went up.
    pub bytes: u64,
}

/// Puts results into the mirror, all that is missing of them. When it returns they count as pushed.
///
/// # Errors
/// When the bucket does not answer, the store cannot be read, or nobody would believe this machine. Some of it may be in the mirror then; a repeat goes on from there.
pub fn push(bucket: &Bucket, store: &LocalStore, results: &[ActionResult]) -> MirrorResult<Pushed> {
    if bucket.trust().is_mute() {
        return Err(MirrorError::Mute);
    }
    let mut whole = Vec::new();
    for result in results {
        whole.extend(Whole::of(store, result)?);
    }
    let bytes = AtomicU64::new(0);
    let broken = (results.len() - whole.len()) as u64;
    for _ in 0..AGAIN {
        let epoch = Epochs::to_write(bucket)?;
        put_all(bucket, store, &whole, epoch, &bytes)?;
        // One object is asked after, not a list: no list that lags can hide the fence.
        if bucket.size_of(&epoch.fenced())?.is_none() {
            return Ok(Pushed { results: whole.len() as u64, broken, bytes: bytes.into_inner() });
        }
    }
    Err(MirrorError::Fenced { times: AGAIN })
}

/// Pins the results of these actions: those that are pushed after it are taken away by no prune, whoever runs it.
///
/// # Errors
/// When the bucket does not answer.
pub fn pin(bucket: &Bucket, keys: &[ActionKey]) -> MirrorResult<()> {
    each(keys, |key| bucket.put_if_absent(&layout::pin(key), Vec::new()).map(|_| ()))
}

/// A result with all that it names, in the store.
struct Whole<'a> {
    result: &'a ActionResult,
    record: Record,
}

impl<'a> Whole<'a> {
    /// `None` where a blob of it is not there.
    fn of(store: &LocalStore, result: &'a ActionResult) -> MirrorResult<Option<Self>> {
        let log_size = result.log.map(|log| store.size_of(&log)).transpose()?.flatten();
        for (blob, size) in result.outputs.values().flat_map(sizes) {
            if store.size_of(&blob)? != Some(size) {
                return Ok(None);
            }
        }
        let whole = log_size.is_some() == result.log.is_some();
        Ok(whole.then(|| Self { result, record: Record::of(result, log_size) }))
    }
}

/// Blobs, then artifacts, then records: the next kind only when all of the one before is there.
fn put_all(bucket: &Bucket, store: &LocalStore, whole: &[Whole], epoch: Epoch, sent: &AtomicU64) -> MirrorResult<()> {
    let absent = filter(whole, |one| Ok::<_, MirrorError>(records::get(bucket, epoch, &one.record.result.key)?.is_none()))?;
    let manifests = absent.iter().flat_map(|one| one.result.outputs.values());
    let artifacts = absent_artifacts(bucket, epoch, manifests)?;
    let logs = absent.iter().filter_map(|one| one.record.log());
    let blobs: BTreeMap<BlobId, u64> = artifacts.iter().flat_map(|(_, manifest)| sizes(manifest)).chain(logs).collect();
    let open = |blob: &BlobId| Ok(store.open(blob)?);
    let placed = packing::put(bucket, epoch, &blobs, &open, sent)?;
    if let Some(blob) = blobs.keys().find(|blob| !placed.contains_key(blob)) {
        return Err(MirrorError::Gone { blob: *blob });
    }
    put_artifacts(bucket, epoch, &artifacts, &placed, sent)?;
    each(&absent, |one| put_record(bucket, epoch, &one.record, &placed, sent))
}

/// Those of some artifacts, each once, that are not in an epoch.
///
/// # Errors
/// When the bucket does not answer.
pub fn absent_artifacts<'a>(
    bucket: &Bucket,
    epoch: Epoch,
    manifests: impl Iterator<Item = &'a Manifest>,
) -> MirrorResult<Vec<(ManifestId, &'a Manifest)>> {
    let manifests: BTreeMap<ManifestId, &Manifest> = manifests.map(|manifest| (manifest.id(), manifest)).collect();
    let manifests: Vec<_> = manifests.into_iter().collect();
    let absent = filter(&manifests, |(id, _)| Ok::<_, MirrorError>(bucket.size_of(&epoch.artifact(id))?.is_none()))?;
    Ok(absent.into_iter().copied().collect())
}

/// Puts artifacts whose blobs lie there. Bytes that go up are added to `sent`.
///
/// # Errors
/// When the bucket does not answer.
pub fn put_artifacts(
    bucket: &Bucket,
    epoch: Epoch,
    artifacts: &[(ManifestId, &Manifest)],
    placed: &Placed,
    sent: &AtomicU64,
) -> MirrorResult<()> {
    each(artifacts, |(id, manifest)| {
        let blobs = sizes(manifest).into_keys().filter_map(|blob| Some((blob, placed.get(&blob)?.clone()))).collect();
        let bytes = Stored { manifest: (*manifest).clone(), contents: Contents::of(&blobs) }.to_bytes()?;
        let length = bytes.len() as u64;
        if bucket.put_if_absent(&epoch.artifact(id), bytes)? {
            sent.fetch_add(length, Ordering::Relaxed);
        }
        Ok(())
    })
}

/// Puts the record of a result whose log lies there. Bytes that go up are added to `sent`.
///
/// # Errors
/// When the bucket does not answer.
pub fn put_record(bucket: &Bucket, epoch: Epoch, record: &Record, placed: &Placed, sent: &AtomicU64) -> MirrorResult<()> {
    let log = record.log().and_then(|(log, _)| Some((log, placed.get(&log)?.clone()))).into_iter().collect();
    let record = Record { log_at: Contents::of(&log), ..record.clone() };
    sent.fetch_add(records::put(bucket, epoch, &record)?, Ordering::Relaxed);
    Ok(())
}
