//! Owns the way of results out of a mirror. Invariant: a result is recorded only when every byte of it is here and was hashed; anything less is a miss.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::base::digest::{ActionKey, BlobId, Digest};
use crate::io::file::File;
use crate::io::fs;
use crate::mirror::bucket::Bucket;
use crate::mirror::epochs::Epochs;
use crate::mirror::error::{MirrorError, MirrorResult};
use crate::mirror::layout::{Epoch, LONGEST_RECORD, PART, part_size, parts};
use crate::mirror::record::{blobs, read_manifest};
use crate::mirror::records;
use crate::mirror::transfer::{each, unpack};
use crate::mirror::trust::Refusal;
use crate::model::result::ActionResult;
use crate::store::action_cache::Session;
use crate::store::content::{Batch, ContentStore};

/// The most bytes that a part has as it travels.
const LONGEST_PART: u64 = PART + 1;

/// A result that was taken from the mirror.
#[derive(Debug)]
pub struct Pulled {
    /// The result, recorded here.
    pub result: ActionResult,
    /// Bytes of blobs that were not here before.
    pub bytes: u64,
}

/// Takes the result of an action from the mirror into the store, if the mirror has all of it.
///
/// # Errors
/// When the bucket does not answer, or the store cannot be written to.
pub fn pull(bucket: &Bucket, epochs: &Epochs, session: &Session, key: &ActionKey) -> MirrorResult<Option<Pulled>> {
    for epoch in epochs.readable() {
        if let Some(pulled) = pull_from(bucket, epoch, session, key)? {
            return Ok(Some(pulled));
        }
    }
    Ok(None)
}

fn pull_from(bucket: &Bucket, epoch: Epoch, session: &Session, key: &ActionKey) -> MirrorResult<Option<Pulled>> {
    let Some(record) = records::get(bucket, epoch, key)? else { return Ok(None) };
    let mut manifests = BTreeMap::new();
    for id in record.artifacts.values() {
        let Some(bytes) = bucket.get_fitting(&epoch.manifest(id), LONGEST_RECORD)? else { return Ok(None) };
        let Some(manifest) = read_manifest(&bytes, id) else {
            bucket.trust().refuse(key, Refusal::Artifact);
            return Ok(None);
        };
        manifests.insert(*id, manifest);
    }
    let log_size = record.log_size;
    let Some(result) = record.into_result(&manifests) else { return Ok(None) };
    let missing = missing(session, blobs(&result, log_size))?;
    let Some(batch) = fetch(bucket, epoch, session, &missing)? else { return Ok(None) };
    session.record(&result, &batch)?;
    Ok(Some(Pulled { result, bytes: missing.iter().map(|(_, size)| size).sum() }))
}

/// Those of some blobs, each once with its size, that are not here.
///
/// # Errors
/// When the store cannot be read.
pub fn missing(session: &Session, blobs: impl IntoIterator<Item = (BlobId, u64)>) -> MirrorResult<Vec<(BlobId, u64)>> {
    let mut missing = BTreeSet::new();
    for (blob, size) in blobs {
        if session.content().size_of(&blob)? != Some(size) {
            missing.insert((blob, size));
        }
    }
    Ok(missing.into_iter().collect())
}

/// What ends a download.
enum Stop {
    /// Something is not there, or is not what it should be.
    Hole,
    Error(MirrorError),
}

impl<E: Into<MirrorError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

/// Downloads blobs; `None` where one is not whole in the bucket.
pub(super) fn fetch(bucket: &Bucket, epoch: Epoch, session: &Session, missing: &[(BlobId, u64)]) -> MirrorResult<Option<Batch>> {
    let (long, short): (Vec<_>, Vec<_>) = missing.iter().copied().partition(|(_, size)| *size > PART);
    let together = Mutex::new(Batch::new());
    let keep = |batch: &Batch| together.lock().unwrap_or_else(PoisonError::into_inner).merge(batch);
    let fetched = each(&short, |(blob, size)| {
        let bytes = part(bucket, epoch, (blob, *size), 0)?;
        if BlobId(Digest::of(&bytes)) != *blob {
            return Err(Stop::Hole);
        }
        let mut batch = Batch::new();
        session.content().put_bytes(&bytes, &mut batch)?;
        keep(&batch);
        Ok(())
    });
    // Those that have many parts take turns, each with all hands.
    let fetched = fetched.and_then(|()| {
        for (blob, size) in &long {
            let scratch = session.root().scratch()?;
            let done = fetch_long(bucket, epoch, (blob, *size), &scratch);
            let mut batch = Batch::new();
            let adopted = done.and_then(|()| Ok(session.content().adopt_file(&scratch, &mut batch)?));
            if !matches!(adopted, Ok((found, _)) if found == *blob) {
                fs::remove_file(&scratch)?;
                adopted?;
                // Other bytes, whole: they are of no use to anybody, and wait in the work area until it goes.
                return Err(Stop::Hole);
            }
            keep(&batch);
        }
        Ok(())
    });
    match fetched {
        Ok(()) => Ok(Some(together.into_inner().unwrap_or_else(PoisonError::into_inner))),
        Err(Stop::Hole) => Ok(None),
        Err(Stop::Error(error)) => Err(error),
    }
}

/// Downloads all parts of a blob into a file.
fn fetch_long(bucket: &Bucket, epoch: Epoch, (blob, size): (&BlobId, u64), path: &Path) -> Result<(), Stop> {
    let file = File::create_new(path)?;
    let indices: Vec<u64> = (0..parts(size)).collect();
    each(&indices, |index| Ok(file.write_at(&part(bucket, epoch, (blob, size), *index)?, index * PART)?))
}

fn part(bucket: &Bucket, epoch: Epoch, (blob, size): (&BlobId, u64), index: u64) -> Result<Vec<u8>, Stop> {
    let packed = bucket.get_fitting(&epoch.part(blob, index), LONGEST_PART)?;
    packed.and_then(|packed| unpack(packed, part_size(size, index))).ok_or(Stop::Hole)
}
