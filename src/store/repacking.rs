//! Owns how packs are rid of what no blob needs. Invariant: a pack goes only after all that is still needed of it lies in another, and the list says so.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::base::digest::{BlobId, Digest, PackId};
use crate::io::fs;
use crate::io::lock::Lock;
use crate::store::error::StoreResult;
use crate::store::log;
use crate::store::pack::{FULL, Segment, covered, joined, unpack};
use crate::store::packs::{Gathering, Packed, Packs};
use crate::store::root::Root;

/// Packs shorter than that are put together where there are many.
const SHORT: u64 = FULL / 4;
const MANY: usize = 16;

/// What would become of the packs. Nothing does until it is [`apply`]ed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Packs that go; what is needed of them lies elsewhere afterwards.
    pub goes: BTreeSet<PackId>,
    /// Bytes that are won.
    pub bytes: u64,
}

/// Says which packs go when only these blobs stay.
///
/// # Errors
/// When the store cannot be read.
pub fn plan(packs: &Packs, staying: &HashSet<BlobId>) -> StoreResult<Plan> {
    let mut needed: HashMap<PackId, Vec<(u64, u64)>> = HashMap::new();
    for packed in packs.all()?.into_values().filter(|packed| staying.contains(&packed.blob)) {
        for segment in packed.segments.into_iter().flatten() {
            needed.entry(segment.pack).or_default().push((segment.at, segment.end()));
        }
    }
    let all = packs.packs()?;
    let many = all.iter().filter(|(_, size)| *size < SHORT).count() > MANY;
    let mut plan = Plan::default();
    for (pack, size) in all {
        let live = covered(needed.remove(&pack).unwrap_or_default());
        // A pack's head is small beside its chunks: a quarter that nobody needs is more than that.
        if live < size - size / 4 || many && size < SHORT {
            plan.goes.insert(pack);
            plan.bytes += size.saturating_sub(live);
        }
    }
    Ok(plan)
}

/// Does what the plan says, and takes all other blobs than these off the list. `alone` is the lock of [`Root::alone`].
///
/// # Errors
/// When the disk refuses; what is left is whole, and the next collection goes on.
pub fn apply(root: &Root, packs: &Packs, plan: &Plan, staying: &HashSet<BlobId>, _alone: &Lock) -> StoreResult<()> {
    let mut moving = Moving { packs, gathering: Gathering::new(packs, HashMap::new()), read: BTreeMap::new() };
    let all = packs.all()?;
    let concerned = |packed: &&Packed| packed.segments.iter().flatten().any(|segment| plan.goes.contains(&segment.pack));
    let mut cut: Vec<(&Packed, Vec<Piece>)> = Vec::new();
    for packed in all.values().filter(|packed| staying.contains(&packed.blob)).filter(concerned) {
        let pieces = moving.blob(packed, plan)?;
        cut.extend(pieces.map(|pieces| (packed, pieces)));
    }
    moving.gathering.finish()?;
    let anew = |(packed, pieces): (&Packed, Vec<Piece>)| {
        let segments = pieces.into_iter().map(|piece| match piece {
            Piece::Stays(segment) => Some(segment),
            Piece::Moves(chunk) => moving.gathering.places.get(&chunk).copied(),
        });
        Some(Packed { segments: Some(joined(segments.collect::<Option<Vec<_>>>()?)), ..packed.clone() })
    };
    packs.list(&cut.into_iter().filter_map(anew).collect::<Vec<_>>())?;
    fs::step("repacked.listed", root.path())?;
    let now = packs.all()?;
    let stays = |payload: &[u8]| {
        serde_json::from_slice::<Packed>(payload)
            .is_ok_and(|packed| staying.contains(&packed.blob) && now.get(&packed.blob) == Some(&packed))
    };
    if fs::stat(&root.packed_log())?.is_some() {
        log::filter(&root.packed_log(), stays, &root.scratch()?)?;
    }
    fs::step("repacked.filtered", root.path())?;
    // One that could not be read whole names its old packs still: they stay for a person to look at.
    let needed: HashSet<PackId> =
        packs.all()?.into_values().filter_map(|packed| packed.segments).flatten().map(|segment| segment.pack).collect();
    for pack in plan.goes.iter().filter(|pack| !needed.contains(pack)) {
        fs::remove_file(&packs.path_of(pack))?;
    }
    Ok(())
}

/// A part of a blob.
enum Piece {
    /// It lies in a pack that stays.
    Stays(Segment),
    /// A chunk of a pack that goes.
    Moves(Digest),
}

struct Moving<'a> {
    packs: &'a Packs,
    gathering: Gathering<'a>,
    /// Chunks of segments that were read before.
    read: BTreeMap<(PackId, u64, u64), Vec<Digest>>,
}

impl Moving<'_> {
    /// Copies what a blob needs of packs that go; `None` where something of it is damaged.
    fn blob(&mut self, packed: &Packed, plan: &Plan) -> StoreResult<Option<Vec<Piece>>> {
        let mut pieces = Vec::new();
        for segment in packed.segments.iter().flatten() {
            if !plan.goes.contains(&segment.pack) {
                pieces.push(Piece::Stays(*segment));
                continue;
            }
            let Some(chunks) = self.segment(segment)? else { return Ok(None) };
            pieces.extend(chunks.into_iter().map(Piece::Moves));
        }
        Ok(Some(pieces))
    }

    fn segment(&mut self, segment: &Segment) -> StoreResult<Option<Vec<Digest>>> {
        let place = (segment.pack, segment.at, segment.length);
        if let Some(chunks) = self.read.get(&place) {
            return Ok(Some(chunks.clone()));
        }
        let read = self.packs.segment(segment).map_err(|source| fs::FsError {
            operation: "read",
            path: self.packs.path_of(&segment.pack),
            source,
        })?;
        let Some(bytes) = read else { return Ok(None) };
        let (mut chunks, mut new) = (Vec::new(), Vec::new());
        let whole = unpack(segment, &bytes, |_, chunk| {
            let digest = Digest::of(chunk);
            chunks.push(digest);
            new.push((digest, chunk.to_vec()));
            Ok::<_, ()>(())
        });
        if whole != Ok(true) {
            return Ok(None);
        }
        for (digest, chunk) in new {
            self.gathering.add(digest, &chunk)?;
        }
        self.read.insert(place, chunks.clone());
        Ok(Some(chunks))
    }
}
