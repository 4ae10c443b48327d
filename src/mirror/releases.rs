//! Owns the log of releases in a bucket, and what people find there. Invariant: the log is the truth, and of several machines that put its next entry one
//! does; an entry that is not believed ends the reading of it. What people find is made from the log, and made again where a machine died before it had.

use crate::mirror::bucket::Bucket;
use crate::mirror::error::{MirrorError, MirrorResult};
use crate::mirror::layout::LONGEST_RECORD;
use crate::mirror::sign::PublicKey;
use crate::model::release::version_name;

/// Where the log is.
const LOG: &str = "releases/";

/// What an entry is signed for.
const ENTRY: &str = "entry of a log of releases";

/// What is said of a release, or of one version of it, among what people find.
const METADATA: &str = "metadata.json";

fn entry(release: &str, sequence: u64) -> String {
    format!("{LOG}{release}/{sequence:08}")
}

/// The release and the number of an entry's object.
fn parse_entry(name: &str) -> Option<(&str, u64)> {
    let (release, number) = name.strip_prefix(LOG)?.rsplit_once('/')?;
    let plain = number.len() == 8 && number.bytes().all(|b| b.is_ascii_digit());
    Some((release, number.parse().ok().filter(|_| plain)?))
}

/// The releases that the log tells of, each with how many entries it has.
///
/// # Errors
/// When the bucket does not answer.
pub fn names(bucket: &Bucket) -> MirrorResult<Vec<(String, u64)>> {
    let mut found: Vec<(String, u64)> = Vec::new();
    for listed in bucket.list(LOG)? {
        let Some((release, number)) = parse_entry(&listed.name) else { continue };
        match found.iter_mut().find(|(known, _)| known == release) {
            Some((_, last)) => *last = number.max(*last),
            None => found.push((release.to_owned(), number)),
        }
    }
    found.sort();
    Ok(found)
}

/// How many entries the log of a release has.
///
/// # Errors
/// When the bucket does not answer.
pub fn length(bucket: &Bucket, release: &str) -> MirrorResult<u64> {
    let listed = bucket.list(&format!("{LOG}{release}/"))?;
    let own = listed.iter().filter_map(|listed| parse_entry(&listed.name)).filter(|(of, _)| *of == release);
    let last = own.map(|(_, number)| number).max().unwrap_or(0);
    bucket.seen().map_or(Ok(()), |seen| seen.log(release, last))?;
    Ok(last)
}

/// The bytes of an entry; `None` where there is none of this number.
///
/// # Errors
/// When the bucket does not answer, or the entry is not believed.
pub fn read(bucket: &Bucket, release: &str, sequence: u64) -> MirrorResult<Option<Vec<u8>>> {
    let name = entry(release, sequence);
    let Some(object) = bucket.get(&name, LONGEST_RECORD)? else { return Ok(None) };
    let why = match bucket.trust().open_for(ENTRY, "", &object) {
        Ok(opened) => return Ok(Some(opened.to_vec())),
        Err(why) => why,
    };
    // Somebody who is trusted may vouch for it beside: one that was put there before there were keys, or with a key that is revoked since.
    for signer in bucket.trust().signers() {
        let Some(object) = bucket.get_fitting(&beside(&name, &signer), LONGEST_RECORD)? else { continue };
        if let Ok(opened) = bucket.trust().open_for(ENTRY, "", &object) {
            return Ok(Some(opened.to_vec()));
        }
    }
    Err(MirrorError::Unbelieved { name, why: why.to_string() })
}

fn beside(name: &str, signer: &PublicKey) -> String {
    format!("{name}.{}", signer.short())
}

/// Vouches for an entry that this machine knows and that is not believed as it lies there; says whether that was needed.
///
/// # Errors
/// When the bucket does not answer.
pub fn vouch(bucket: &Bucket, release: &str, sequence: u64, bytes: &[u8]) -> MirrorResult<bool> {
    let Some(own) = bucket.trust().own() else { return Ok(false) };
    match read(bucket, release, sequence) {
        Err(MirrorError::Unbelieved { name, .. }) => bucket.put_if_absent(&beside(&name, &own), bucket.trust().seal_for(ENTRY, "", bytes)),
        read => read.map(|_| false),
    }
}

/// Puts the entry with this number where there is none; says whether it is there now. One whose answer was lost is found again by its bytes, which no
/// other machine's entry has.
///
/// # Errors
/// When the bucket does not answer, or nobody would believe this machine.
pub fn append(bucket: &Bucket, release: &str, sequence: u64, bytes: &[u8]) -> MirrorResult<bool> {
    if bucket.trust().is_mute() {
        return Err(MirrorError::Mute);
    }
    if bucket.put_if_absent(&entry(release, sequence), bucket.trust().seal_for(ENTRY, "", bytes))? {
        return Ok(true);
    }
    Ok(read(bucket, release, sequence)?.as_deref() == Some(bytes))
}

/// Whether people find all of a version.
///
/// # Errors
/// When the bucket does not answer.
pub fn is_shown(bucket: &Bucket, release: &str, version: u32) -> MirrorResult<bool> {
    Ok(bucket.size_of(&format!("{release}/{}/{METADATA}", version_name(version)))?.is_some())
}

/// What is said of a version, where people find it.
///
/// # Errors
/// When the bucket does not answer.
pub fn shown(bucket: &Bucket, release: &str, version: u32) -> MirrorResult<Option<Vec<u8>>> {
    bucket.get(&format!("{release}/{}/{METADATA}", version_name(version)), LONGEST_RECORD)
}

/// Shows a file of a version. `metadata.json` comes last: where it is, the others are.
///
/// # Errors
/// When the bucket does not answer, or the file is too long for one object.
pub fn show(bucket: &Bucket, release: &str, version: u32, path: &str, bytes: Vec<u8>) -> MirrorResult<()> {
    let name = format!("{release}/{}/{path}", version_name(version));
    if bytes.len() as u64 > LONGEST_RECORD {
        return Err(MirrorError::TooLong { name, url: bucket.url().to_owned(), size: bytes.len() as u64 });
    }
    bucket.put_if_absent(&name, bytes).map(|_| ())
}

/// Shows what is said of a version, when all its files are shown.
///
/// # Errors
/// When the bucket does not answer.
pub fn show_last(bucket: &Bucket, release: &str, version: u32, said: Vec<u8>) -> MirrorResult<()> {
    show(bucket, release, version, METADATA, said)
}

/// Shows which versions of a release there are and which is used, in place of what was said before: that is taken away first, for objects are never
/// written over. Says whether it is shown now, and not what another machine says meanwhile.
///
/// # Errors
/// When the bucket does not answer.
pub fn show_list(bucket: &Bucket, release: &str, said: Vec<u8>) -> MirrorResult<bool> {
    let name = format!("{release}/{METADATA}");
    bucket.delete(&name)?;
    bucket.put_if_absent(&name, said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::seen::Seen;
    use crate::mirror::sign::SecretKey;
    use crate::mirror::trust::{Policy, Trust};
    use crate::store::root::Root;

    #[test]
    fn an_entry_that_nobody_trusted_signed_or_that_is_of_another_mirror_is_not_believed() {
        let (ours, other) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
        let policy = Policy { keys: [ours.public()].into(), required: true, ..Policy::default() };
        let foreign = Policy { keys: [other.public()].into(), required: true, ..Policy::default() };
        let copy = |key: &SecretKey| SecretKey::from_text(&key.to_text()).unwrap();
        let trusted = |name: &str, policy: &Policy, key: &SecretKey| Trust::new(name, policy.clone(), vec![copy(key)]);
        let folder = tempfile::tempdir().unwrap();
        let known = |trust: Trust| Bucket::memory().unwrap().known(trust, Seen::of(&Root::at(folder.path()), "a"));
        for (theirs, believed) in [
            (trusted("a", &policy, &ours), true),
            (trusted("b", &policy, &ours), false),
            (trusted("a", &foreign, &other), false),
            (Trust::default(), false),
        ] {
            let sealed = theirs.seal_for(ENTRY, "", b"entry");
            let bucket = known(trusted("a", &policy, &ours));
            bucket.put_if_absent("releases/m/00000001", sealed).unwrap();
            assert_eq!(read(&bucket, "m", 1).is_ok(), believed);
        }
    }

    #[test]
    fn an_entry_of_before_there_were_keys_is_believed_when_who_is_trusted_vouches_for_it() {
        let key = SecretKey::generate().unwrap();
        let policy = Policy { keys: [key.public()].into(), required: true, ..Policy::default() };
        let folder = tempfile::tempdir().unwrap();
        let seen = || Seen::of(&Root::at(folder.path()), "a");
        let bucket = Bucket::memory().unwrap().known(Trust::default(), seen());
        assert!(append(&bucket, "m", 1, b"entry").unwrap());
        let bucket = bucket.known(Trust::new("a", policy, vec![key]), seen());
        assert!(matches!(read(&bucket, "m", 1), Err(MirrorError::Unbelieved { .. })));
        assert!(vouch(&bucket, "m", 1, b"entry").unwrap());
        assert_eq!(read(&bucket, "m", 1).unwrap().as_deref(), Some(&b"entry"[..]));
        assert!(!vouch(&bucket, "m", 1, b"entry").unwrap(), "once is enough");
        assert_eq!(bucket.list("releases/m/").unwrap().len(), 2);
    }

    #[test]
    fn the_logs_of_releases_whose_names_begin_alike_are_told_apart() {
        let bucket = Bucket::memory().unwrap();
        for (release, numbers) in [("wti", 1..=2), ("wti/1m", 1..=3), ("wti2", 1..=1)] {
            for n in numbers {
                assert!(append(&bucket, release, n, format!("{release} {n}").as_bytes()).unwrap());
            }
        }
        assert_eq!(["wti", "wti/1m", "wti2", "w"].map(|name| length(&bucket, name).unwrap()), [2, 3, 1, 0]);
        assert_eq!(names(&bucket).unwrap(), [("wti".into(), 2), ("wti/1m".into(), 3), ("wti2".into(), 1)]);
    }

    #[test]
    fn an_entry_is_put_once_and_known_again_by_who_put_it() {
        let bucket = Bucket::memory().unwrap();
        assert!(append(&bucket, "m", 1, b"mine").unwrap());
        assert!(append(&bucket, "m", 1, b"mine").unwrap(), "the answer to the first was lost");
        assert!(!append(&bucket, "m", 1, b"another's").unwrap());
        assert_eq!(read(&bucket, "m", 1).unwrap().as_deref(), Some(&b"mine"[..]));
    }

    #[test]
    fn the_list_is_replaced_and_versions_are_not() {
        let bucket = Bucket::memory().unwrap();
        for said in ["one", "two"] {
            assert!(show_list(&bucket, "m", said.into()).unwrap());
            show_last(&bucket, "m", 1, said.into()).unwrap();
        }
        assert_eq!(bucket.get("m/metadata.json", 99).unwrap().as_deref(), Some(&b"two"[..]));
        assert_eq!(shown(&bucket, "m", 1).unwrap().as_deref(), Some(&b"one"[..]));
        assert!(is_shown(&bucket, "m", 1).unwrap() && !is_shown(&bucket, "m", 2).unwrap());
    }
}
