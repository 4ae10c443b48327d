//! Owns throwing away. Invariant: what is kept stays whole: a record is forgotten before any blob it names is deleted, and nothing is
//! deleted while a build runs.

use std::collections::HashSet;
use std::path::Path;

use crate::base::digest::{ActionKey, BlobId, ManifestId};
use crate::io::fs::{self, What};
use crate::io::lock::Lock;
use crate::model::build::Build;
use crate::model::result::ActionResult;
use crate::store::content::ContentStore;
use crate::store::error::StoreResult;
use crate::store::index::Index;
use crate::store::local::LocalStore;
use crate::store::log::{self, Item, Log};
use crate::store::repacking;
use crate::store::root::Root;

/// What must stay.
#[derive(Debug, Clone, Default)]
pub struct Keep {
    /// Results, with all they made and their logs.
    pub actions: HashSet<ActionKey>,
    /// Artifacts, by their manifests.
    pub manifests: HashSet<ManifestId>,
    /// Single blobs: the lists of targets of the builds that stay, for instance.
    pub blobs: HashSet<BlobId>,
}

/// What would be thrown away. Nothing is until it is [`apply`]ed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GcPlan {
    /// Blobs to delete, and their sizes.
    pub delete: Vec<(BlobId, u64)>,
    /// Their bytes together.
    pub bytes: u64,
    /// Blobs that stay.
    pub kept: u64,
    /// Results to forget.
    pub results: u64,
    /// Builds to forget.
    pub builds: u64,
    /// What becomes of packs.
    pub packs: repacking::Plan,
    staying: HashSet<BlobId>,
}

/// Says what can go when only `keep` must stay.
///
/// # Errors
/// When the store cannot be read.
pub fn plan(root: &Root, keep: &Keep) -> StoreResult<GcPlan> {
    let mut plan = GcPlan { staying: keep.blobs.clone(), ..GcPlan::default() };
    each_payload(&root.actions_log(), |payload| {
        if let Ok(result) = serde_json::from_slice::<ActionResult>(payload) {
            plan.keep_of(&result, keep);
        }
    })?;
    for shard in fs::list_if_any(&root.blobs())?.iter().filter(|e| e.what == What::Folder) {
        let folder = root.blobs().join(&shard.name);
        for entry in fs::list(&folder)? {
            let Some(id) = entry.name.to_str().and_then(|n| n.parse().ok()).map(BlobId) else { continue };
            if plan.staying.contains(&id) {
                plan.kept += 1;
            } else if let Some(stat) = fs::link_stat(&folder.join(&entry.name))? {
                plan.bytes += stat.size;
                plan.delete.push((id, stat.size));
            }
        }
    }
    let store = LocalStore::new(root.clone());
    plan.packs = repacking::plan(store.packs(), &plan.staying)?;
    plan.bytes += plan.packs.bytes;
    let mut packed: Vec<(BlobId, u64)> = store.packs().all()?.into_values().map(|packed| (packed.blob, packed.size)).collect();
    packed.sort_unstable();
    // Those that are files as well were counted.
    for (id, size) in packed {
        if fs::link_stat(&store.path_of(&id))?.is_none() {
            if plan.staying.contains(&id) { plan.kept += 1 } else { plan.delete.push((id, size)) }
        }
    }
    let (mut results, mut builds) = (0, 0);
    each_payload(&root.actions_log(), |payload| results += u64::from(!plan.keeps_result(payload)))?;
    each_payload(&root.builds_log(), |payload| builds += u64::from(!plan.keeps_build(payload)))?;
    (plan.results, plan.builds) = (results, builds);
    Ok(plan)
}

impl GcPlan {
    fn keep_of(&mut self, result: &ActionResult, keep: &Keep) {
        let all = keep.actions.contains(&result.key);
        for manifest in result.outputs.values() {
            if all || keep.manifests.contains(&manifest.id()) {
                self.staying.extend(manifest.files.values().map(|f| f.blob));
            }
        }
        if all {
            self.staying.extend(result.log);
        }
    }

    /// Whether every blob of the result stays.
    fn keeps_result(&self, payload: &[u8]) -> bool {
        serde_json::from_slice::<ActionResult>(payload).is_ok_and(|result| {
            let mut blobs = result.outputs.values().flat_map(|m| m.files.values()).map(|f| f.blob).chain(result.log);
            blobs.all(|blob| self.staying.contains(&blob))
        })
    }

    fn keeps_build(&self, payload: &[u8]) -> bool {
        serde_json::from_slice::<Build>(payload).is_ok_and(|build| self.staying.contains(&build.targets))
    }
}

/// Forgets the results that lack a blob, save those in `needed`, and the builds whose list of targets is gone, save the newest; says how many that
/// are. `alone` is the lock of [`Root::alone`].
///
/// # Errors
/// When the store cannot be read, or the disk refuses.
pub fn forget(root: &Root, needed: &HashSet<ActionKey>, _alone: &Lock) -> StoreResult<u64> {
    let store = LocalStore::new(root.clone());
    // What cannot be asked after is not forgotten.
    let gone = |blob: &BlobId, size: Option<u64>| store.size_of(blob).is_ok_and(|found| found.is_none() || size.is_some() && found != size);
    let lacks = |payload: &[u8]| {
        serde_json::from_slice::<ActionResult>(payload).is_ok_and(|result| {
            let mut files = result.outputs.values().flat_map(|m| m.files.values());
            !needed.contains(&result.key) && (files.any(|f| gone(&f.blob, Some(f.size))) || result.log.is_some_and(|log| gone(&log, None)))
        })
    };
    let mut newest = Vec::new();
    each_payload(&root.builds_log(), |payload| newest = payload.to_vec())?;
    let listless =
        |payload: &[u8]| payload != newest && serde_json::from_slice::<Build>(payload).is_ok_and(|build| gone(&build.targets, None));
    Ok(drop_from(root, &root.actions_log(), lacks)? + drop_from(root, &root.builds_log(), listless)?)
}

/// Takes records out of a log, where there are such; says how many.
fn drop_from(root: &Root, log: &Path, goes: impl Fn(&[u8]) -> bool) -> StoreResult<u64> {
    let mut count = 0;
    each_payload(log, |payload| count += u64::from(goes(payload)))?;
    if count > 0 {
        log::filter(log, |payload| !goes(payload), &root.scratch()?)?;
    }
    Ok(count)
}

fn each_payload(path: &Path, mut each: impl FnMut(&[u8])) -> StoreResult<()> {
    for item in Log::open(path)?.read_from(0) {
        if let Item::Record { payload, .. } = item? {
            each(&payload);
        }
    }
    Ok(())
}

/// Throws away what the plan says, damaged blobs in quarantine, and the memory of files that are gone. The plan was made while `alone`, the
/// lock of [`Root::alone`], was held.
///
/// # Errors
/// When the disk refuses; what is left is whole, and the next collection goes on.
pub fn apply(root: &Root, plan: &GcPlan, alone: &Lock) -> StoreResult<()> {
    if plan.results > 0 {
        log::filter(&root.actions_log(), |p| plan.keeps_result(p), &root.scratch()?)?;
    }
    if plan.builds > 0 {
        log::filter(&root.builds_log(), |p| plan.keeps_build(p), &root.scratch()?)?;
    }
    fs::step("gc.forgotten", root.path())?;
    // No build is at work: nobody goes on from there before it is made anew.
    fs::remove_tree(&root.partials())?;
    let store = LocalStore::new(root.clone());
    for (id, _) in &plan.delete {
        fs::remove_file(&store.path_of(id))?;
    }
    repacking::apply(root, store.packs(), &plan.packs, &plan.staying, alone)?;
    for entry in fs::list_if_any(&root.quarantine())? {
        fs::remove_any(&root.quarantine().join(entry.name))?;
    }
    let index = Index::open(root)?;
    index.absorb(&Log::open(&root.actions_log())?)?;
    index.forget_absent()?;
    index.close()
}
