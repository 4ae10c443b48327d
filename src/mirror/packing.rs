//! Owns how blobs get into a mirror's packs. Invariant: where a blob is said to lie, it lies: its packs were put there or found there before that is said.
//!
//! Some threads read blobs and cut them; chunks that the epoch is not known to have are gathered until they fill a pack; other threads compress packs and
//! put them.

use std::collections::{BTreeMap, HashMap};
use std::io::{ErrorKind, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::digest::{BlobId, Digest, PackId};
use crate::mirror::bucket::Bucket;
use crate::mirror::error::{MirrorError, MirrorResult};
use crate::mirror::layout::Epoch;
use crate::mirror::reading::failure;
use crate::mirror::transfer::{each, filter};
use crate::store::cutting::chunks;
use crate::store::pack::{FULL, Filling, Segment, joined};

/// Packs under way at once: each is held twice, as it is and as the request's body.
const PUTTERS: usize = 5;

/// How often it is begun again because packs that were known are not there.
const AGAIN: u32 = 3;

/// Where the blobs lie that could be read to their ends.
pub type Placed = BTreeMap<BlobId, Vec<Segment>>;

/// What opens a blob. Its reader fails at the end, as [`ErrorKind::InvalidData`], if the bytes were not the blob's; a [`MirrorError`] inside its error ends all.
pub type Open<'a> = &'a (dyn Fn(&BlobId) -> MirrorResult<Option<Box<dyn Read + Send + 'a>>> + Sync);

/// Puts the chunks of blobs, of these sizes, that the epoch lacks into it, and says where each blob lies. One that is not there, or is not what it should
/// be, is left out. Bytes that go up are added to `sent`.
///
/// # Errors
/// When the bucket does not answer, or blobs cannot be read.
pub fn put<'a>(
    bucket: &'a Bucket,
    epoch: Epoch,
    blobs: &BTreeMap<BlobId, u64>,
    open: Open<'a>,
    sent: &'a AtomicU64,
) -> MirrorResult<Placed> {
    for _ in 0..AGAIN {
        let work = Work { bucket, epoch, open, sent, state: Mutex::default(), failure: Mutex::default() };
        let placed = work.put(blobs)?;
        if are_there(bucket, epoch, &placed)? {
            return Ok(placed);
        }
        // The bucket was emptied, or put back: what was known of it is not so.
        bucket.chunks().forget()?;
    }
    Err(MirrorError::Fenced { times: AGAIN })
}

/// Whether all packs are in the bucket; those that this process put or found there are not asked after again.
fn are_there(bucket: &Bucket, epoch: Epoch, placed: &Placed) -> MirrorResult<bool> {
    let mut ends: BTreeMap<PackId, u64> = BTreeMap::new();
    for segment in placed.values().flatten() {
        let end = ends.entry(segment.pack).or_default();
        *end = segment.end().max(*end);
    }
    let unsure: Vec<(PackId, u64)> = ends.into_iter().filter(|(pack, _)| !bucket.chunks().is_sure(epoch, pack)).collect();
    let absent = filter(&unsure, |(pack, end)| {
        let there = bucket.size_of(&epoch.pack(pack))?.is_some_and(|size| size >= *end);
        if there {
            bucket.chunks().is_there(epoch, *pack)?;
        }
        Ok::<_, MirrorError>(!there)
    })?;
    Ok(absent.is_empty())
}

struct Work<'a> {
    bucket: &'a Bucket,
    epoch: Epoch,
    open: Open<'a>,
    sent: &'a AtomicU64,
    state: Mutex<State>,
    failure: Mutex<Option<MirrorError>>,
}

#[derive(Default)]
struct State {
    /// Chunks of these blobs: where they are; `None` while they wait.
    places: HashMap<Digest, Option<Segment>>,
    /// The chunks of each blob, in order.
    blobs: BTreeMap<BlobId, Vec<Digest>>,
    waiting: Waiting,
}

/// Chunks that will be a pack.
#[derive(Default)]
struct Waiting {
    chunks: Vec<(Digest, Vec<u8>)>,
    size: u64,
}

impl Work<'_> {
    fn put(&self, blobs: &BTreeMap<BlobId, u64>) -> MirrorResult<Placed> {
        let (send, receive) = sync_channel(1);
        let receive = Mutex::new(receive);
        let packs = usize::try_from(blobs.values().sum::<u64>() / FULL).unwrap_or(PUTTERS);
        let cut = std::thread::scope(|scope| {
            for _ in 0..packs.clamp(1, PUTTERS) {
                scope.spawn(|| self.put_packs(&receive));
            }
            let blobs: Vec<(BlobId, u64)> = blobs.iter().map(|(blob, size)| (*blob, *size)).collect();
            let cut = each(&blobs, |(blob, size)| self.cut(blob, *size, &send));
            let rest = std::mem::take(&mut self.state().waiting);
            if cut.is_ok() && !rest.chunks.is_empty() {
                _ = send.send(rest);
            }
            drop(send);
            cut
        });
        if let Some(failure) = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(failure);
        }
        cut?;
        let state = std::mem::take(&mut *self.state());
        let placed = |(blob, chunks): (BlobId, Vec<Digest>)| {
            let places: Option<Vec<Segment>> = chunks.iter().map(|chunk| state.places.get(chunk).copied().flatten()).collect();
            Some((blob, joined(places?)))
        };
        Ok(state.blobs.into_iter().filter_map(placed).collect())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a blob, and hands on the packs that its chunks fill.
    fn cut(&self, blob: &BlobId, size: u64, full: &SyncSender<Waiting>) -> MirrorResult<()> {
        let Some(reader) = (self.open)(blob)? else { return Ok(()) };
        let (mut all, mut read) = (Vec::new(), 0);
        for chunk in chunks(reader, size) {
            let chunk = match chunk {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == ErrorKind::InvalidData => return Ok(()),
                Err(error) => return Err(failure(blob, error)),
            };
            read += chunk.len() as u64;
            let digest = Digest::of(&chunk);
            all.push(digest);
            let Some(pack) = self.gather(digest, chunk)? else { continue };
            // Nobody takes it where all who did have failed.
            if full.send(pack).is_err() || self.failure.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
                return Ok(());
            }
        }
        if read == size {
            self.state().blobs.insert(*blob, all);
        }
        Ok(())
    }

    /// Puts a chunk to those that wait, unless it is in the bucket or waits; what it fills.
    fn gather(&self, digest: Digest, chunk: Vec<u8>) -> MirrorResult<Option<Waiting>> {
        let known = self.bucket.chunks().find(self.epoch, &digest)?;
        let mut state = self.state();
        if state.places.contains_key(&digest) {
            return Ok(None);
        }
        state.places.insert(digest, known);
        if known.is_some() {
            return Ok(None);
        }
        state.waiting.size += chunk.len() as u64;
        state.waiting.chunks.push((digest, chunk));
        Ok((state.waiting.size >= FULL).then(|| std::mem::take(&mut state.waiting)))
    }

    /// Puts packs as they come. After a failure they are thrown away, so that nobody waits for ever.
    fn put_packs(&self, full: &Mutex<Receiver<Waiting>>) {
        loop {
            let next = full.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(waiting) = next else { return };
            let failed = || self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            if failed().is_none()
                && let Err(error) = self.put_pack(waiting)
            {
                failed().get_or_insert(error);
            }
        }
    }

    fn put_pack(&self, waiting: Waiting) -> MirrorResult<()> {
        let mut left = waiting.chunks.into_iter().peekable();
        while left.peek().is_some() {
            let mut filling = Filling::default();
            while !filling.is_full()
                && let Some((digest, chunk)) = left.next()
            {
                filling.add(digest, &chunk);
            }
            let pack = filling.finish();
            let length = pack.bytes.len() as u64;
            if self.bucket.put_if_absent(&self.epoch.pack(&pack.id), pack.bytes)? {
                self.sent.fetch_add(length, Ordering::Relaxed);
            }
            self.bucket.chunks().is_there(self.epoch, pack.id)?;
            self.bucket.chunks().learn(self.epoch, &pack.chunks)?;
            self.state().places.extend(pack.chunks.into_iter().map(|(chunk, place)| (chunk, Some(place))));
        }
        Ok(())
    }
}
