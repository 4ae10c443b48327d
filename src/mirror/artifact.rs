//! Owns single artifacts in a mirror, asked for by their hash. Invariant: what is handed out has that hash, so nobody need be trusted for it.

use std::collections::BTreeSet;

use crate::base::digest::{DigestPrefix, ManifestId};
use crate::mirror::bucket::Bucket;
use crate::mirror::epochs::Epochs;
use crate::mirror::error::MirrorResult;
use crate::mirror::pull::{fetch, missing};
use crate::mirror::records::{self, Found};
use crate::model::manifest::Manifest;
use crate::store::action_cache::Session;
use crate::store::content::ContentStore;

/// The artifacts in the mirror whose hash begins so.
///
/// # Errors
/// When the bucket does not answer.
pub fn named(bucket: &Bucket, prefix: &DigestPrefix) -> MirrorResult<BTreeSet<ManifestId>> {
    let mut found = BTreeSet::new();
    for epoch in Epochs::of(bucket)?.readable() {
        let below = format!("{}{}/", epoch.artifacts(), &prefix.as_str()[..2]);
        let ids = bucket.list(&below)?.into_iter().filter_map(|listed| listed.name.rsplit('/').next()?.parse().ok());
        found.extend(ids.filter(|digest| prefix.matches(digest)).map(ManifestId));
    }
    Ok(found)
}

/// Takes an artifact's bytes from the mirror into the store; `None` where the mirror has not all of it.
///
/// # Errors
/// When the bucket does not answer, or the store cannot be written to.
pub fn bring(bucket: &Bucket, session: &Session, id: &ManifestId) -> MirrorResult<Option<Manifest>> {
    for epoch in Epochs::of(bucket)?.readable() {
        let Found::Whole(stored) = records::artifact(bucket, epoch, id)? else { continue };
        let Some(missing) = missing(session, stored.blobs())? else { continue };
        if let Some(batch) = fetch(bucket, epoch, session, &missing)? {
            session.content().commit(&batch)?;
            return Ok(Some(stored.manifest));
        }
    }
    Ok(None)
}
