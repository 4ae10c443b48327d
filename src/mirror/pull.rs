//! Owns the way of results out of a mirror. Invariant: a result is recorded only when every byte of it is here and was hashed; anything less is a miss.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::base::digest::{ActionKey, BlobId, Digest};
use crate::io::file::File;
use crate::mirror::bucket::Bucket;
use crate::mirror::epochs::Epochs;
use crate::mirror::error::{MirrorError, MirrorResult};
use crate::mirror::layout::Epoch;
use crate::mirror::ranges::{Run, Wanted, runs};
use crate::mirror::reading;
use crate::mirror::record::Artifacts;
use crate::mirror::records::{self, Found};
use crate::mirror::transfer::each;
use crate::mirror::trust::Refusal;
use crate::model::result::ActionResult;
use crate::store::action_cache::Session;
use crate::store::content::{Batch, ContentStore};
use crate::store::pack::{Segment, unpack};

/// A blob that is longer is gathered in a file.
const SHORT: u64 = 4 << 20;

/// After so many bytes the disk is asked for, so that it is at work while more come and not only when all are here.
const SYNCED_EVERY: u64 = 64 << 20;

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
    let mut artifacts = Artifacts::new();
    for id in record.artifacts.values() {
        match records::artifact(bucket, epoch, id)? {
            Found::Whole(stored) => _ = artifacts.insert(*id, stored),
            Found::Absent => return Ok(None),
            Found::Wrong => {
                bucket.trust().refuse(key, Refusal::Artifact);
                return Ok(None);
            }
        }
    }
    let Some(missing) = missing(session, record.blobs(&artifacts))? else { return Ok(None) };
    let Some(result) = record.into_result(&artifacts) else { return Ok(None) };
    let Some(batch) = fetch(bucket, epoch, session, &missing)? else { return Ok(None) };
    session.record(&result, &batch)?;
    Ok(Some(Pulled { result, bytes: missing.iter().map(|wanted| wanted.size).sum() }))
}

/// Those of some blobs that are not here; `None` where it is not said where one of them lies.
///
/// # Errors
/// When the store cannot be read.
pub fn missing(
    session: &Session,
    blobs: impl IntoIterator<Item = (BlobId, (u64, Option<Vec<Segment>>))>,
) -> MirrorResult<Option<Vec<Wanted>>> {
    let mut missing = Vec::new();
    for (blob, (size, segments)) in blobs {
        if session.content().size_of(&blob)? != Some(size) {
            let Some(segments) = segments else { return Ok(None) };
            missing.push(Wanted { blob, size, segments });
        }
    }
    Ok(Some(missing))
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
pub(super) fn fetch(bucket: &Bucket, epoch: Epoch, session: &Session, wanted: &[Wanted]) -> MirrorResult<Option<Batch>> {
    let fetching =
        Fetching { bucket, epoch, session, wanted, batch: Mutex::default(), learnt: Mutex::default(), written: AtomicU64::new(0) };
    match fetching.all() {
        Ok(()) => Ok(Some(fetching.batch.into_inner().unwrap_or_else(PoisonError::into_inner))),
        Err(Stop::Hole) => Ok(None),
        Err(Stop::Error(error)) => Err(error),
    }
}

struct Fetching<'a> {
    bucket: &'a Bucket,
    epoch: Epoch,
    session: &'a Session,
    wanted: &'a [Wanted],
    batch: Mutex<Batch>,
    /// Chunks that went by.
    learnt: Mutex<Vec<(Digest, Segment)>>,
    /// Bytes that were written into files.
    written: AtomicU64,
}

/// Where the bytes of a blob are gathered.
enum Place {
    /// In memory, for all of it comes in one run.
    Memory,
    /// In this file.
    File(PathBuf),
}

impl Fetching<'_> {
    fn all(&self) -> Result<(), Stop> {
        let runs = runs(self.wanted);
        let places = self.places(&runs)?;
        each(&runs, |run| self.fetch(run, &places))?;
        self.bucket.chunks().learn(self.epoch, &self.learnt.lock().unwrap_or_else(PoisonError::into_inner))?;
        let filed: Vec<(&Wanted, &PathBuf)> = self
            .wanted
            .iter()
            .zip(&places)
            .filter_map(|(wanted, place)| match place {
                Place::File(path) => Some((wanted, path)),
                Place::Memory => None,
            })
            .collect();
        each(&filed, |(wanted, path)| {
            let mut batch = Batch::new();
            let (found, _) = self.session.content().adopt_file(path, &mut batch)?;
            self.keep(&batch);
            // Other bytes, whole: they are of no use to anybody, and wait in the work area until it goes.
            if found == wanted.blob { Ok(()) } else { Err(Stop::Hole) }
        })
    }

    fn keep(&self, batch: &Batch) {
        self.batch.lock().unwrap_or_else(PoisonError::into_inner).merge(batch);
    }

    /// Where each blob is gathered. One of no bytes is in no run, and done.
    fn places(&self, runs: &[Run]) -> Result<Vec<Place>, Stop> {
        let mut last = vec![None; self.wanted.len()];
        let mut many = vec![false; self.wanted.len()];
        for (at, run) in runs.iter().enumerate() {
            for piece in &run.pieces {
                many[piece.of] |= last[piece.of].replace(at).is_some_and(|before| before != at);
            }
        }
        let place = |(wanted, many): (&Wanted, bool)| {
            if wanted.size == 0 {
                return self.finish(wanted, &[]).map(|()| Place::Memory);
            }
            let short = wanted.size <= SHORT && !many;
            Ok(if short { Place::Memory } else { Place::File(self.session.root().scratch()?) })
        };
        self.wanted.iter().zip(many).map(place).collect()
    }

    fn fetch(&self, run: &Run, places: &[Place]) -> Result<(), Stop> {
        let bytes = reading::range(self.bucket, self.epoch, &run.whole)?.ok_or(Stop::Hole)?;
        let (mut learnt, mut gathered) = (Vec::new(), BTreeMap::new());
        for piece in &run.pieces {
            let offset = |at: u64| usize::try_from(at - run.whole.at).unwrap_or(usize::MAX);
            let packed = &bytes[offset(piece.segment.at)..offset(piece.segment.end())];
            let mut at = piece.from;
            let whole = unpack(&piece.segment, packed, |place, chunk| {
                learnt.push((Digest::of(chunk), place));
                match &places[piece.of] {
                    Place::Memory => {
                        let blob = gathered
                            .entry(piece.of)
                            .or_insert_with(|| vec![0; usize::try_from(self.wanted[piece.of].size).unwrap_or_default()]);
                        let from = usize::try_from(at).unwrap_or(usize::MAX);
                        blob[from..from + chunk.len()].copy_from_slice(chunk);
                    }
                    Place::File(path) => File::open_or_create(path)?.write_at(chunk, at)?,
                }
                at += chunk.len() as u64;
                Ok::<_, Stop>(())
            })?;
            if !whole {
                return Err(Stop::Hole);
            }
            if let Place::File(path) = &places[piece.of] {
                let before = self.written.fetch_add(piece.segment.size, Ordering::Relaxed);
                if before / SYNCED_EVERY < (before + piece.segment.size) / SYNCED_EVERY {
                    File::open(path)?.sync_content()?;
                }
            }
        }
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner).append(&mut learnt);
        gathered.into_iter().try_for_each(|(of, blob)| self.finish(&self.wanted[of], &blob))
    }

    /// Keeps a blob that is in memory.
    fn finish(&self, wanted: &Wanted, bytes: &[u8]) -> Result<(), Stop> {
        if BlobId(Digest::of(bytes)) != wanted.blob {
            return Err(Stop::Hole);
        }
        let mut batch = Batch::new();
        self.session.content().put_bytes(bytes, &mut batch)?;
        self.keep(&batch);
        Ok(())
    }
}
