//! Owns the check of a mirror. Invariant: it changes nothing, and what it does not complain of is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use crate::base::digest::{ActionKey, BlobId, ManifestId};
use crate::mirror::bucket::Bucket;
use crate::mirror::epochs::Epochs;
use crate::mirror::error::{MirrorError, MirrorResult};
use crate::mirror::layout::{Epoch, LONGEST_RECORD};
use crate::mirror::reading;
use crate::mirror::record::Artifacts;
use crate::mirror::records::{self, Found};
use crate::mirror::transfer::{each, filter_map};
use crate::mirror::trust::Refusal;
use crate::store::pack::Segment;

/// What is wrong with a mirror.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Finding {
    /// An object below `results/` is not the record that its name says.
    #[error("'{name}' is not a record of the action that its name says")]
    Record {
        /// The object.
        name: String,
    },
    /// Nobody here believes a record.
    #[error("'{name}' is {why}")]
    Refused {
        /// The object.
        name: String,
        /// Its action.
        key: ActionKey,
        /// Why not.
        why: Refusal,
    },
    /// A record names a manifest that is not there, or is another.
    #[error("the record of action {key} names the artifact {manifest}, whose manifest is not there or is another")]
    Manifest {
        /// The action.
        key: ActionKey,
        /// The manifest.
        manifest: ManifestId,
    },
    /// A record names a blob of which something is not there, or is another.
    #[error("the record of action {key} names blob {blob}, of which something is not there or is another")]
    Blob {
        /// The action.
        key: ActionKey,
        /// The blob.
        blob: BlobId,
    },
}

/// What was looked at and found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Records looked at.
    pub records: u64,
    /// Blobs that they name, each once.
    pub blobs: u64,
    /// Bytes of those blobs.
    pub bytes: u64,
    /// What is wrong, sorted.
    pub findings: Vec<Finding>,
}

/// Looks whether every record in an epoch that is read has all that it names. With `deep` every blob is fetched and hashed, else it is only looked
/// whether the packs in which it lies are there.
///
/// # Errors
/// When the bucket does not answer.
pub fn verify(bucket: &Bucket, deep: bool) -> MirrorResult<Report> {
    let mut report = Report::default();
    for epoch in Epochs::of(bucket)?.readable() {
        verify_epoch(bucket, epoch, deep, &mut report)?;
    }
    report.findings.sort();
    Ok(report)
}

/// What the records of one epoch name.
#[derive(Default)]
struct Named {
    /// Each blob with its size, where it lies, and one action that needs it.
    blobs: BTreeMap<BlobId, (u64, Option<Vec<Segment>>, ActionKey)>,
    /// Actions whose record is believed.
    believed: BTreeSet<ActionKey>,
    findings: Vec<Finding>,
}

fn verify_epoch(bucket: &Bucket, epoch: Epoch, deep: bool, report: &mut Report) -> MirrorResult<()> {
    let records = bucket.list(&epoch.records())?;
    // What a record names was there before it: asked for later, it is in the list.
    let there: BTreeMap<String, u64> = bucket.list(&epoch.packs())?.into_iter().map(|listed| (listed.name, listed.size)).collect();
    let named = Mutex::new(Named::default());
    each(&records, |record| look_at(bucket, epoch, &record.name, &named))?;
    let mut named = named.into_inner().unwrap_or_else(PoisonError::into_inner);
    let wanted: Vec<_> = std::mem::take(&mut named.blobs).into_iter().collect();
    let damaged = filter_map(&wanted, |(blob, (_, segments, key))| {
        let lies = |segment: &Segment| there.get(&epoch.pack(&segment.pack)).is_some_and(|size| segment.end() <= *size);
        let listed = segments.as_ref().filter(|segments| segments.iter().all(lies));
        let whole = match listed {
            Some(segments) if deep => reading::is_whole(bucket, epoch, *blob, segments.clone())?,
            listed => listed.is_some(),
        };
        Ok::<_, MirrorError>((!whole).then_some(Finding::Blob { key: *key, blob: *blob }))
    })?;
    report.records += records.len() as u64;
    report.blobs += wanted.len() as u64;
    report.bytes += wanted.iter().map(|(_, (size, ..))| size).sum::<u64>();
    // What is not believed hides nothing where the same action has a record that is.
    let believed = named.believed;
    report.findings.extend(named.findings.into_iter().filter(|finding| match finding {
        Finding::Refused { key, .. } => !believed.contains(key),
        _ => true,
    }));
    report.findings.extend(damaged);
    Ok(())
}

/// Reads one record and its manifests.
fn look_at(bucket: &Bucket, epoch: Epoch, name: &str, named: &Mutex<Named>) -> MirrorResult<()> {
    let named = || named.lock().unwrap_or_else(PoisonError::into_inner);
    let bytes = bucket.get(name, LONGEST_RECORD)?;
    let Some((key, bytes)) = records::key_of(epoch, name).zip(bytes) else {
        named().findings.push(Finding::Record { name: name.to_owned() });
        return Ok(());
    };
    let record = match records::open(bucket, epoch, &key, &bytes) {
        Ok(record) => record,
        Err(Refusal::Misleading) => {
            named().findings.push(Finding::Record { name: name.to_owned() });
            return Ok(());
        }
        Err(why) => {
            named().findings.push(Finding::Refused { name: name.to_owned(), key, why });
            return Ok(());
        }
    };
    named().believed.insert(key);
    let mut artifacts = Artifacts::new();
    for id in record.artifacts.values() {
        match records::artifact(bucket, epoch, id)? {
            Found::Whole(stored) => _ = artifacts.insert(*id, stored),
            Found::Absent | Found::Wrong => named().findings.push(Finding::Manifest { key, manifest: *id }),
        }
    }
    named().blobs.extend(record.blobs(&artifacts).into_iter().map(|(blob, (size, segments))| (blob, (size, segments, key))));
    Ok(())
}
