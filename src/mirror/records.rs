//! Owns the records of actions, and their artifacts, in a bucket. Invariant: a record that is handed out was believed, and one that is put can be.
//!
//! The record of an action has one name, and nothing is written over. Where what lies there is not believed, a machine puts its own beside it, under the name
//! of its key as well; readers look there only after they refused the first.

use crate::base::digest::{ActionKey, ManifestId};
use crate::mirror::bucket::Bucket;
use crate::mirror::epochs::Epochs;
use crate::mirror::error::MirrorResult;
use crate::mirror::layout::{Epoch, LONGEST_RECORD};
use crate::mirror::record::{Artifacts, Record, Stored};
use crate::mirror::trust::Refusal;

/// The record of an action in an epoch; `None` where there is none that is believed.
///
/// # Errors
/// When the bucket does not answer.
pub fn get(bucket: &Bucket, epoch: Epoch, key: &ActionKey) -> MirrorResult<Option<Record>> {
    let Some(bytes) = bucket.get_fitting(&epoch.record(key), LONGEST_RECORD)? else { return Ok(None) };
    let why = match open(bucket, epoch, key, &bytes) {
        Ok(record) => return Ok(Some(record)),
        Err(why) => why,
    };
    for signer in bucket.trust().signers() {
        let bytes = bucket.get_fitting(&epoch.record_by(key, &signer.short()), LONGEST_RECORD)?;
        if let Some(Ok(record)) = bytes.map(|bytes| open(bucket, epoch, key, &bytes)) {
            return Ok(Some(record));
        }
    }
    bucket.trust().refuse(key, why);
    Ok(None)
}

/// Whether an action has a record that is believed, in any of these epochs.
///
/// # Errors
/// When the bucket does not answer.
pub fn is_there(bucket: &Bucket, epochs: &Epochs, key: &ActionKey) -> MirrorResult<bool> {
    for epoch in epochs.readable() {
        if get(bucket, epoch, key)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What is found where an artifact should be.
pub enum Found {
    /// Nothing.
    Absent,
    /// Something else, or a list of files that no folder can have.
    Wrong,
    /// The artifact.
    Whole(Stored),
}

/// An artifact in an epoch.
///
/// # Errors
/// When the bucket does not answer.
pub fn artifact(bucket: &Bucket, epoch: Epoch, id: &ManifestId) -> MirrorResult<Found> {
    let Some(bytes) = bucket.get_fitting(&epoch.artifact(id), LONGEST_RECORD)? else { return Ok(Found::Absent) };
    Ok(Stored::read(&bytes, id).map_or(Found::Wrong, Found::Whole))
}

/// The artifacts of a record; `None` where one is not there.
///
/// # Errors
/// When the bucket does not answer.
pub fn artifacts(bucket: &Bucket, epoch: Epoch, record: &Record) -> MirrorResult<Option<Artifacts>> {
    let mut artifacts = Artifacts::new();
    for id in record.artifacts.values() {
        let Found::Whole(stored) = artifact(bucket, epoch, id)? else { return Ok(None) };
        artifacts.insert(*id, stored);
    }
    Ok(Some(artifacts))
}

/// Puts a record where there is none that is believed; returns the bytes that went up.
///
/// # Errors
/// When the bucket does not answer.
pub fn put(bucket: &Bucket, epoch: Epoch, record: &Record) -> MirrorResult<u64> {
    let key = &record.result.key;
    let bytes = bucket.trust().seal(epoch, key, record.to_bytes()?);
    let length = bytes.len() as u64;
    let Some(own) = bucket.trust().own() else {
        return Ok(if bucket.put_if_absent(&epoch.record(key), bytes)? { length } else { 0 });
    };
    if bucket.put_if_absent(&epoch.record(key), bytes.clone())? {
        return Ok(length);
    }
    let there = bucket.get_fitting(&epoch.record(key), LONGEST_RECORD)?;
    if there.is_some_and(|there| open(bucket, epoch, key, &there).is_ok()) {
        return Ok(0);
    }
    Ok(if bucket.put_if_absent(&epoch.record_by(key, &own.short()), bytes)? { length } else { 0 })
}

/// The record in an object that was found as that of `key`.
///
/// # Errors
/// Why it is not believed.
pub fn open(bucket: &Bucket, epoch: Epoch, key: &ActionKey, bytes: &[u8]) -> Result<Record, Refusal> {
    let record = bucket.trust().open(epoch, key, bytes)?;
    Record::read(record, key).ok_or(Refusal::Misleading)
}

/// The action whose record lies under a name, if it is a name of one.
#[must_use]
pub fn key_of(epoch: Epoch, name: &str) -> Option<ActionKey> {
    let last = name.rsplit('/').next()?;
    let (hex, signer) = last.split_once('.').map_or((last, None), |(hex, signer)| (hex, Some(signer)));
    let key = hex.parse().ok().map(ActionKey)?;
    let expected = signer.map_or_else(|| epoch.record(&key), |signer| epoch.record_by(&key, signer));
    (expected == name).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::Digest;

    #[test]
    fn the_name_of_a_record_says_its_action_and_nothing_else_does() {
        let key = ActionKey(Digest::of(b"x"));
        assert_eq!(key_of(Epoch(1), &Epoch(1).record(&key)), Some(key));
        assert_eq!(key_of(Epoch(1), &Epoch(1).record_by(&key, "0123456789abcdef")), Some(key));
        assert_eq!(key_of(Epoch(2), &Epoch(1).record(&key)), None, "another epoch's");
        assert_eq!(key_of(Epoch(1), &format!("00000001/results/zz/{key}")), None, "in another folder");
        assert_eq!(key_of(Epoch(1), "00000001/results/ab/readme"), None);
    }
}
