//! Owns wishes that results stay. Invariant: who takes a wish of his back takes back nobody else's, and none that a release has.

use std::collections::BTreeSet;

use crate::base::digest::{ActionKey, Digest};
use crate::mirror::bucket::Bucket;
use crate::mirror::error::MirrorResult;
use crate::mirror::layout::{PINS, pin_of, pinned as key_of};
use crate::mirror::transfer::each;

/// The actions that somebody wishes to stay, releases' among them.
///
/// # Errors
/// When the bucket does not answer.
pub fn pinned(bucket: &Bucket) -> MirrorResult<BTreeSet<ActionKey>> {
    Ok(bucket.list(PINS)?.iter().filter_map(|listed| key_of(&listed.name)).collect())
}

/// Who wishes what: one person's pin of one thing.
#[must_use]
pub fn wish(who: &str, what: &Digest) -> String {
    Digest::derive("cbi 1 pin", format!("{who}\n{what}").as_bytes()).to_string().chars().take(16).collect()
}

/// Wishes that these results stay.
///
/// # Errors
/// When the bucket does not answer.
pub fn put(bucket: &Bucket, keys: &BTreeSet<ActionKey>, wish: &str) -> MirrorResult<()> {
    let keys: Vec<ActionKey> = keys.iter().copied().collect();
    each(&keys, |key| bucket.put_if_absent(&pin_of(key, wish), Vec::new()).map(|_| ()))
}

/// Takes a wish back, of whatever results it was.
///
/// # Errors
/// When the bucket does not answer.
pub fn take_back(bucket: &Bucket, wish: &str) -> MirrorResult<()> {
    let ending = format!(".{wish}");
    let own: Vec<String> = bucket.list(PINS)?.into_iter().map(|listed| listed.name).filter(|name| name.ends_with(&ending)).collect();
    each(&own, |name| bucket.delete(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::layout::pin;

    #[test]
    fn a_wish_that_is_taken_back_leaves_those_of_others_and_of_releases() {
        let bucket = Bucket::memory().unwrap();
        let keys: Vec<ActionKey> = (0..3_u8).map(|n| ActionKey(Digest::of(&[n]))).collect();
        let some = |wanted: &[usize]| wanted.iter().map(|n| keys[*n]).collect::<BTreeSet<_>>();
        let thing = Digest::of(b"a build");
        let (anna, bob) = (wish("anna@a", &thing), wish("bob@b", &thing));
        put(&bucket, &some(&[0, 1, 2]), &anna).unwrap();
        put(&bucket, &some(&[1]), &bob).unwrap();
        bucket.put_if_absent(&pin(&keys[2]), Vec::new()).unwrap();
        assert_eq!(pinned(&bucket).unwrap(), some(&[0, 1, 2]));
        take_back(&bucket, &anna).unwrap();
        assert_eq!(pinned(&bucket).unwrap(), some(&[1, 2]));
        assert_ne!(anna, wish("anna@a", &Digest::of(b"another")));
    }
}
