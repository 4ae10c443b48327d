//! Owns how a mirror is emptied of what nobody needs. Invariant: what is deleted lies in an epoch that was fenced before, and what must stay was carried
//! out of it since. The steps, and why in this order: `docs/mirror-protocol.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::base::digest::{ActionKey, BlobId, Digest};
use crate::mirror::bucket::{Bucket, Listed};
use crate::mirror::builds;
use crate::mirror::epochs::Epochs;
use crate::mirror::error::{MirrorError, MirrorResult};
use crate::mirror::layout::{Epoch, LONGEST_RECORD, PART, part_size, parts};
use crate::mirror::pins;
use crate::mirror::record::{Record, blobs, manifest_bytes, read_manifest};
use crate::mirror::records;
use crate::mirror::transfer::{each, unpack};
use crate::model::manifest::Manifest;

/// What must stay, and how long what need not is left lying.
pub struct Ask<'a> {
    /// Actions whose results stay, beside those that are pinned.
    pub live: &'a BTreeSet<ActionKey>,
    /// Builds that are announced and go all the same.
    pub let_go: &'a BTreeSet<ActionKey>,
    /// Results made since then stay too, milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// How long an epoch is left for those who still read it, after its fence.
    pub grace_ms: u64,
    /// The time now, milliseconds since 1970.
    pub now_ms: u64,
}

/// An epoch that nobody reads any more and that is not empty yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fenced {
    /// Its number.
    pub epoch: u32,
    /// Objects in it.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When it was fenced, by the bucket's clock, milliseconds since 1970.
    pub since_ms: u64,
    /// Whether it may be emptied now.
    pub due: bool,
}

/// What a prune would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Results that stay.
    pub stay: u64,
    /// Results that go.
    pub go: u64,
    /// Bytes of blobs that no result that stays needs.
    pub go_bytes: u64,
    /// Epochs to empty, the oldest first.
    pub fenced: Vec<Fenced>,
}

/// What a prune did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Epochs that were fenced.
    pub fenced: Vec<u32>,
    /// Results that were carried into the newest epoch.
    pub carried: u64,
    /// Results that were to stay and of which something was gone.
    pub broken: u64,
    /// Objects that were deleted.
    pub deleted: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Says what can go. Changes nothing.
///
/// # Errors
/// When the bucket does not answer.
pub fn plan(bucket: &Bucket, ask: &Ask) -> MirrorResult<Plan> {
    let epochs = Epochs::of(bucket)?;
    let mut plan = Plan { fenced: waiting(bucket, &epochs, ask)?, ..Plan::default() };
    let mut seen = BTreeSet::new();
    for epoch in epochs.readable() {
        let here = Contents::of(bucket, epoch, ask)?;
        plan.stay += here.staying.keys().filter(|key| seen.insert(**key)).count() as u64;
        plan.go += here.going;
        let needed = Mutex::new(BTreeSet::new());
        let staying: Vec<&Record> = here.staying.values().collect();
        each(&staying, |record| {
            for (blob, size) in blobs_of(bucket, epoch, record)?.unwrap_or_default() {
                let names = (0..parts(size)).map(|index| epoch.part(&blob, index));
                needed.lock().unwrap_or_else(PoisonError::into_inner).extend(names);
            }
            Ok::<_, MirrorError>(())
        })?;
        let needed = needed.into_inner().unwrap_or_else(PoisonError::into_inner);
        let unneeded = bucket.list(&epoch.blobs())?.into_iter().filter(|listed| !needed.contains(&listed.name));
        plan.go_bytes += unneeded.map(|listed| listed.size).sum::<u64>();
    }
    Ok(plan)
}

/// Empties the epochs whose time has come, and, where none waits and something can go, begins with the one that is written now: opens the next, fences
/// it, and carries over what stays.
///
/// # Errors
/// When the bucket does not answer, or nobody would believe what this machine carries. A prune that breaks off is finished by the next.
pub fn apply(bucket: &Bucket, ask: &Ask) -> MirrorResult<Pruned> {
    if bucket.trust().is_mute() {
        return Err(MirrorError::Mute);
    }
    let mut pruned = Pruned::default();
    let plan = plan(bucket, ask)?;
    let waits = plan.fenced.iter().any(|fenced| !fenced.due);
    empty(bucket, ask, &mut pruned)?;
    if plan.go + plan.go_bytes > 0 && !waits {
        rotate(bucket, &mut pruned)?;
        empty(bucket, ask, &mut pruned)?;
    }
    Ok(pruned)
}

/// Opens a new epoch, and fences those before it that are not yet.
fn rotate(bucket: &Bucket, pruned: &mut Pruned) -> MirrorResult<()> {
    let newest = Epochs::to_write(bucket)?;
    bucket.put_if_absent(&newest.next().opened(), Vec::new())?;
    let open: BTreeSet<Epoch> = Epochs::of(bucket)?.readable().filter(|epoch| *epoch <= newest).collect();
    for epoch in open {
        bucket.put_if_absent(&epoch.fenced(), Vec::new())?;
        pruned.fenced.push(epoch.0);
    }
    Ok(())
}

/// Carries what stays out of every fenced epoch, and deletes the rest of those whose time has come: the oldest first, and none before an older one.
fn empty(bucket: &Bucket, ask: &Ask, pruned: &mut Pruned) -> MirrorResult<()> {
    let mut all_before = true;
    for fenced in waiting(bucket, &Epochs::of(bucket)?, ask)? {
        let from = Epoch(fenced.epoch);
        carry(bucket, from, Epochs::to_write(bucket)?, ask, pruned)?;
        all_before &= fenced.due;
        if all_before {
            delete(bucket, from, pruned)?;
        }
    }
    Ok(())
}

/// Fenced epochs that hold something, the oldest first.
fn waiting(bucket: &Bucket, epochs: &Epochs, ask: &Ask) -> MirrorResult<Vec<Fenced>> {
    let mut waiting = Vec::new();
    for epoch in epochs.fenced() {
        let objects = objects(bucket, epoch)?;
        if !objects.is_empty() {
            let since_ms = bucket.put_at_ms(&epoch.fenced())?.unwrap_or(ask.now_ms);
            let due = since_ms.saturating_add(ask.grace_ms) <= ask.now_ms;
            let bytes = objects.iter().map(|listed| listed.size).sum();
            waiting.push(Fenced { epoch: epoch.0, objects: objects.len() as u64, bytes, since_ms, due });
        }
    }
    Ok(waiting)
}

/// All objects of an epoch, in the order in which they are deleted: what names others before what it names.
fn objects(bucket: &Bucket, epoch: Epoch) -> MirrorResult<Vec<Listed>> {
    let mut objects = bucket.list(&epoch.records())?;
    objects.extend(bucket.list(&epoch.manifests())?);
    objects.extend(bucket.list(&epoch.blobs())?);
    Ok(objects)
}

fn delete(bucket: &Bucket, epoch: Epoch, pruned: &mut Pruned) -> MirrorResult<()> {
    for kind in [epoch.records(), epoch.manifests(), epoch.blobs()] {
        let objects = bucket.list(&kind)?;
        each(&objects, |object| bucket.delete(&object.name))?;
        pruned.deleted += objects.len() as u64;
        pruned.bytes += objects.iter().map(|object| object.size).sum::<u64>();
    }
    Ok(())
}

/// The records of one epoch, told apart.
struct Contents {
    /// What stays.
    staying: BTreeMap<ActionKey, Record>,
    /// How many do not.
    going: u64,
}

impl Contents {
    /// Lists the records first, and asks after that what is pinned: what was pinned before its record was listed is among it.
    fn of(bucket: &Bucket, epoch: Epoch, ask: &Ask) -> MirrorResult<Self> {
        let listed = bucket.list(&epoch.records())?;
        let keys: BTreeSet<ActionKey> = listed.iter().filter_map(|listed| records::key_of(epoch, &listed.name)).collect();
        let keys: Vec<ActionKey> = keys.into_iter().collect();
        let pinned = pinned(bucket, ask)?;
        let staying = Mutex::new(BTreeMap::new());
        each(&keys, |key| {
            // One that is not believed here is as good as none.
            let Some(record) = records::get(bucket, epoch, key)? else { return Ok::<_, MirrorError>(()) };
            if ask.live.contains(key) || pinned.contains(key) || ask.since_ms.is_some_and(|since| record.result.ended_ms >= since) {
                staying.lock().unwrap_or_else(PoisonError::into_inner).insert(*key, record);
            }
            Ok(())
        })?;
        let staying = staying.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Self { going: (keys.len() - staying.len()) as u64, staying })
    }
}

/// Actions whose results are pinned, and those of builds that are announced.
fn pinned(bucket: &Bucket, ask: &Ask) -> MirrorResult<BTreeSet<ActionKey>> {
    let mut keys: BTreeSet<ActionKey> = builds::keys(bucket)?.difference(ask.let_go).copied().collect();
    keys.extend(pins::pinned(bucket)?);
    Ok(keys)
}

/// Carries what stays from one epoch into another.
fn carry(bucket: &Bucket, from: Epoch, into: Epoch, ask: &Ask, pruned: &mut Pruned) -> MirrorResult<()> {
    let contents = Contents::of(bucket, from, ask)?;
    let (carried, broken) = (AtomicU64::new(0), AtomicU64::new(0));
    let records: Vec<(ActionKey, Record)> = contents.staying.into_iter().collect();
    each(&records, |(key, record)| {
        if records::get(bucket, into, key)?.is_some() {
            return Ok(());
        }
        let count = if carry_one(bucket, (from, into), record)? { &carried } else { &broken };
        count.fetch_add(1, Ordering::Relaxed);
        Ok::<_, MirrorError>(())
    })?;
    pruned.carried += carried.into_inner();
    pruned.broken += broken.into_inner();
    Ok(())
}

/// Carries one result: blobs, manifests, then the record. `false` where something of it was gone or wrong.
fn carry_one(bucket: &Bucket, (from, into): (Epoch, Epoch), record: &Record) -> MirrorResult<bool> {
    let Some(manifests) = manifests_of(bucket, from, record)? else { return Ok(false) };
    let log_size = record.log_size;
    let Some(result) = record.clone().into_result(&manifests) else { return Ok(false) };
    for (blob, size) in blobs(&result, log_size) {
        for index in 0..parts(size) {
            if !carry_part(bucket, (from, into), (&blob, size), index)? {
                return Ok(false);
            }
        }
    }
    for (id, manifest) in &manifests {
        bucket.put_if_absent(&into.manifest(id), manifest_bytes(manifest)?)?;
    }
    records::put(bucket, into, record)?;
    Ok(true)
}

/// Carries a part of a blob. One that has all of its blob's bytes is hashed on the way.
fn carry_part(bucket: &Bucket, (from, into): (Epoch, Epoch), (blob, size): (&BlobId, u64), index: u64) -> MirrorResult<bool> {
    let name = into.part(blob, index);
    if bucket.size_of(&name)?.is_some() {
        return Ok(true);
    }
    let Some(packed) = bucket.get(&from.part(blob, index), PART + 1)? else { return Ok(false) };
    let whole = unpack(packed.clone(), part_size(size, index));
    let right = whole.is_some_and(|bytes| parts(size) > 1 || BlobId(Digest::of(&bytes)) == *blob);
    if right {
        bucket.put_if_absent(&name, packed)?;
    }
    Ok(right)
}

type Manifests = BTreeMap<crate::base::digest::ManifestId, Manifest>;

fn manifests_of(bucket: &Bucket, epoch: Epoch, record: &Record) -> MirrorResult<Option<Manifests>> {
    let mut manifests = BTreeMap::new();
    for id in record.artifacts.values() {
        let bytes = bucket.get(&epoch.manifest(id), LONGEST_RECORD)?;
        let Some(manifest) = bytes.and_then(|bytes| read_manifest(&bytes, id)) else { return Ok(None) };
        manifests.insert(*id, manifest);
    }
    Ok(Some(manifests))
}

fn blobs_of(bucket: &Bucket, epoch: Epoch, record: &Record) -> MirrorResult<Option<BTreeMap<BlobId, u64>>> {
    let manifests = manifests_of(bucket, epoch, record)?;
    let result = manifests.and_then(|manifests| record.clone().into_result(&manifests));
    Ok(result.map(|result| blobs(&result, record.log_size)))
}
