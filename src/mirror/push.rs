//! Owns the way of results into a mirror. Invariant: a record goes up after all that it names, and counts only when its epoch was found unfenced after
//! that.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::digest::{ActionKey, BlobId, ManifestId};
use crate::io::file::File;
use crate::mirror::bucket::Bucket;
use crate::mirror::epochs::Epochs;
use crate::mirror::error::{MirrorError, MirrorResult};
use crate::mirror::layout::{self, Epoch, PART, part_size, parts};
use crate::mirror::record::{Record, blobs, manifest_bytes};
use crate::mirror::records;
use crate::mirror::transfer::{each, pack};
use crate::model::manifest::Manifest;
use crate::model::result::ActionResult;
use crate::store::content::ContentStore;
use crate::store::local::LocalStore;

/// Parts longer than this are asked after before they are sent.
const WORTH_ASKING: u64 = 64 << 10;

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
    blobs: BTreeMap<BlobId, u64>,
    record: Record,
}

impl<'a> Whole<'a> {
    /// `None` where a blob of it is not there.
    fn of(store: &LocalStore, result: &'a ActionResult) -> MirrorResult<Option<Self>> {
        let log_size = result.log.map(|log| store.size_of(&log)).transpose()?.flatten();
        let blobs = blobs(result, log_size);
        for (blob, size) in &blobs {
            if store.size_of(blob)? != Some(*size) {
                return Ok(None);
            }
        }
        let record = Record::of(result, log_size);
        Ok((log_size.is_some() == result.log.is_some()).then_some(Self { result, blobs, record }))
    }
}

/// Blobs, then manifests, then records: the next kind only when all of the one before is there.
fn put_all(bucket: &Bucket, store: &LocalStore, whole: &[Whole], epoch: Epoch, sent: &AtomicU64) -> MirrorResult<()> {
    let blobs: BTreeMap<BlobId, u64> = whole.iter().flat_map(|one| one.blobs.iter().map(|(blob, size)| (*blob, *size))).collect();
    let long: Vec<BlobId> = blobs.iter().filter(|(_, size)| **size > PART).map(|(blob, _)| *blob).collect();
    // What is put in parts is hashed as a whole before, so that no wrong byte is put where none can be replaced.
    each(&long, |blob| if store.verify(blob)? { Ok(()) } else { Err(MirrorError::Gone { blob: *blob }) })?;
    let all_parts: Vec<(BlobId, u64, u64)> =
        blobs.iter().flat_map(|(blob, size)| (0..parts(*size)).map(move |index| (*blob, *size, index))).collect();
    each(&all_parts, |(blob, size, index)| {
        let name = epoch.part(blob, *index);
        if part_size(*size, *index) > WORTH_ASKING && bucket.size_of(&name)?.is_some() {
            return Ok(());
        }
        put(bucket, &name, pack(read_part(store, blob, *size, *index)?), sent)
    })?;
    let manifests: BTreeMap<ManifestId, &Manifest> =
        whole.iter().flat_map(|one| one.result.outputs.values().map(|manifest| (manifest.id(), manifest))).collect();
    let manifests: Vec<_> = manifests.into_iter().collect();
    each(&manifests, |(id, manifest)| put(bucket, &epoch.manifest(id), manifest_bytes(manifest)?, sent))?;
    each(whole, |one| {
        sent.fetch_add(records::put(bucket, epoch, &one.record)?, Ordering::Relaxed);
        Ok(())
    })
}

fn put(bucket: &Bucket, name: &str, bytes: Vec<u8>, sent: &AtomicU64) -> MirrorResult<()> {
    let length = bytes.len() as u64;
    if bucket.put_if_absent(name, bytes)? {
        sent.fetch_add(length, Ordering::Relaxed);
    }
    Ok(())
}

fn read_part(store: &LocalStore, blob: &BlobId, size: u64, index: u64) -> MirrorResult<Vec<u8>> {
    let gone = || MirrorError::Gone { blob: *blob };
    if size <= PART {
        return store.read(blob)?.ok_or_else(gone);
    }
    let file = File::open_if_any(&store.path_of(blob))?.ok_or_else(gone)?;
    let mut bytes = vec![0; usize::try_from(part_size(size, index)).map_err(|_| gone())?];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], index * PART + filled as u64)? {
            0 => return Err(gone()),
            read => filled += read,
        }
    }
    Ok(bytes)
}
