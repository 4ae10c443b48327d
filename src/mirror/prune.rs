//! Owns how a mirror is emptied of what nobody needs. Invariant: what is deleted lies in an epoch that was fenced before, and what must stay was carried
//! out of it since. The steps, and why in this order: `docs/mirror-protocol.md`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::base::digest::{ActionKey, BlobId};
use crate::mirror::bucket::{Bucket, Listed};
use crate::mirror::builds;
use crate::mirror::epochs::Epochs;
use crate::mirror::error::{MirrorError, MirrorResult};
use crate::mirror::layout::Epoch;
use crate::mirror::packing;
use crate::mirror::pins;
use crate::mirror::push;
use crate::mirror::reading;
use crate::mirror::record::{Record, sizes};
use crate::mirror::records;
use crate::mirror::transfer::{each, filter, filter_map};
use crate::model::manifest::Manifest;
use crate::store::pack::{Segment, covered};

/// Results that are carried together.
const TOGETHER: usize = 64;

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
        plan.go += here.going.len() as u64;
        let stays = segments(bucket, epoch, here.staying.values())?;
        let goes = segments(bucket, epoch, here.going.values())?;
        for listed in bucket.list(&epoch.packs())? {
            let runs = |of: &Segments| of.get(&listed.name).cloned().unwrap_or_default();
            let (stays, goes) = (runs(&stays), runs(&goes));
            plan.go_bytes += match stays.is_empty() {
                true => listed.size,
                false => covered(stays.iter().chain(&goes).copied().collect()) - covered(stays),
            };
        }
    }
    Ok(plan)
}

/// Pack, by its name → from where to where something of it is needed.
type Segments = HashMap<String, Vec<(u64, u64)>>;

/// What of an epoch's packs some records need.
fn segments<'a>(bucket: &Bucket, epoch: Epoch, records: impl Iterator<Item = &'a Record>) -> MirrorResult<Segments> {
    let (records, segments): (Vec<&Record>, _) = (records.collect(), Mutex::new(Segments::new()));
    each(&records, |record| {
        // Of one that lacks an artifact nothing can be had.
        let Some(artifacts) = records::artifacts(bucket, epoch, record)? else { return Ok::<_, MirrorError>(()) };
        let blobs = record.blobs(&artifacts);
        let mut segments = segments.lock().unwrap_or_else(PoisonError::into_inner);
        for segment in blobs.into_values().filter_map(|(_, segments)| segments).flatten() {
            segments.entry(epoch.pack(&segment.pack)).or_default().push((segment.at, segment.end()));
        }
        Ok(())
    })?;
    Ok(segments.into_inner().unwrap_or_else(PoisonError::into_inner))
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

/// All objects of an epoch, whatever wrote them.
fn objects(bucket: &Bucket, epoch: Epoch) -> MirrorResult<Vec<Listed>> {
    bucket.list(&epoch.all())
}

/// Deletes all of an epoch: what names others before what it names.
fn delete(bucket: &Bucket, epoch: Epoch, pruned: &mut Pruned) -> MirrorResult<()> {
    for kind in [epoch.records(), epoch.artifacts(), epoch.all()] {
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
    /// What does not.
    going: BTreeMap<ActionKey, Record>,
}

impl Contents {
    /// Lists the records first, and asks after that what is pinned: what was pinned before its record was listed is among it.
    fn of(bucket: &Bucket, epoch: Epoch, ask: &Ask) -> MirrorResult<Self> {
        let listed = bucket.list(&epoch.records())?;
        let keys: BTreeSet<ActionKey> = listed.iter().filter_map(|listed| records::key_of(epoch, &listed.name)).collect();
        let keys: Vec<ActionKey> = keys.into_iter().collect();
        let pinned = pinned(bucket, ask)?;
        // One that is not believed here is as good as none.
        let records = filter_map(&keys, |key| Ok::<_, MirrorError>(records::get(bucket, epoch, key)?.map(|record| (*key, record))))?;
        let young = |record: &Record| ask.since_ms.is_some_and(|since| record.result.ended_ms >= since);
        let stays = |(key, record): &(ActionKey, Record)| ask.live.contains(key) || pinned.contains(key) || young(record);
        let (staying, going) = records.into_iter().partition(stays);
        Ok(Self { staying, going })
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
    let records: Vec<Record> = contents.staying.into_values().collect();
    let absent = filter(&records, |record| Ok::<_, MirrorError>(records::get(bucket, into, &record.result.key)?.is_none()))?;
    for some in absent.chunks(TOGETHER) {
        let carried = carry_some(bucket, (from, into), some)?;
        pruned.carried += carried;
        pruned.broken += some.len() as u64 - carried;
    }
    Ok(())
}

/// Carries results: blobs, artifacts, then the records. Says how many; of the others something was gone or wrong.
fn carry_some(bucket: &Bucket, (from, into): (Epoch, Epoch), records: &[&Record]) -> MirrorResult<u64> {
    let whole = filter_map(records, |record| Ok::<_, MirrorError>(records::artifacts(bucket, from, record)?.map(|all| (*record, all))))?;
    let manifests = whole.iter().flat_map(|(_, artifacts)| artifacts.values()).map(|stored| &stored.manifest);
    let absent = push::absent_artifacts(bucket, into, manifests)?;
    let lies: BTreeMap<BlobId, (u64, Option<Vec<Segment>>)> =
        whole.iter().flat_map(|(record, artifacts)| record.blobs(artifacts)).collect();
    let logs = whole.iter().filter_map(|(record, _)| record.log());
    let blobs = absent.iter().flat_map(|(_, manifest)| sizes(manifest)).chain(logs).collect();
    let open = |blob: &BlobId| {
        let segments = lies.get(blob).and_then(|(_, segments)| segments.clone());
        Ok(segments.map(|segments| Box::new(reading::open(bucket, from, *blob, segments)) as Box<dyn Read + Send>))
    };
    let sent = AtomicU64::new(0);
    let placed = packing::put(bucket, into, &blobs, &open, &sent)?;
    let is_placed = |manifest: &Manifest| sizes(manifest).keys().all(|blob| placed.contains_key(blob));
    let absent: Vec<_> = absent.into_iter().filter(|(_, manifest)| is_placed(manifest)).collect();
    push::put_artifacts(bucket, into, &absent, &placed, &sent)?;
    let carried = AtomicU64::new(0);
    each(&whole, |(record, artifacts)| {
        let log = record.log().is_none_or(|(log, _)| placed.contains_key(&log));
        let mut there = log;
        for id in artifacts.keys() {
            there = there && bucket.size_of(&into.artifact(id))?.is_some();
        }
        if there {
            push::put_record(bucket, into, record, &placed, &sent)?;
            carried.fetch_add(1, Ordering::Relaxed);
        }
        Ok::<_, MirrorError>(())
    })?;
    Ok(carried.into_inner())
}
