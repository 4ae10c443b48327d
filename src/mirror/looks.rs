//! Owns who looked at which test rows, as a mirror tells it. Invariant: a look is counted once, is never deleted, and what was seen of it once is never unseen.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::base::digest::{ActionKey, Digest};
use crate::io::fs;
use crate::mirror::bucket::Bucket;
use crate::mirror::error::{MirrorError, MirrorResult};
use crate::mirror::seen::{self, Seen};
use crate::mirror::transfer::{each, filter};
use crate::store::root::Root;

/// Where looks are.
const LOOKS: &str = "looks/";
/// What a look is signed for.
const LOOK: &str = "a look at test rows";
/// More than any signature takes.
const LONGEST: u64 = 4096;

/// What was looked at → the actions that did.
pub type Looks = BTreeMap<Digest, BTreeSet<ActionKey>>;

/// What a workspace knows of the looks in one mirror.
#[derive(Debug)]
pub struct Known {
    path: PathBuf,
    root: Root,
}

impl Known {
    /// What the workspace with this cache knows of the mirror of this name.
    #[must_use]
    pub fn of(root: &Root, mirror: &str) -> Self {
        let name = Digest::derive("cbi 1 mirror looks", mirror.as_bytes()).short();
        Self { path: root.mirrors().join(format!("{name}.looks")), root: root.clone() }
    }

    /// The same of a bucket, by what the workspace calls it.
    #[must_use]
    pub fn in_bucket(root: &Root, bucket: &Bucket) -> Self {
        Self::of(root, bucket.seen().map_or(bucket.url(), Seen::mirror))
    }

    /// The looks that were seen there so far; none where nothing was, or what is remembered is damaged: the mirror has them.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn read(&self) -> MirrorResult<Looks> {
        let bytes = fs::read_if_any(&self.path)?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
    }

    /// Puts looks of this machine into the mirror, and learns of those of others; what is known then.
    ///
    /// # Errors
    /// When the bucket does not answer, or the disk refuses.
    pub fn meet(&self, bucket: &Bucket, own: &Looks) -> MirrorResult<Looks> {
        let mut known = self.read()?;
        let before = count(&known);
        let there = listed(bucket)?;
        let missing: Vec<(Digest, ActionKey)> = pairs(own).filter(|look| !there.contains(look)).collect();
        if !bucket.trust().is_mute() {
            each(&missing, |(question, key)| {
                let name = name(question, key);
                let sealed = bucket.trust().seal_for(LOOK, &name, b"");
                bucket.put_if_absent(&name, sealed).map(|_| ())
            })?;
        }
        let news: Vec<(Digest, ActionKey)> = there.into_iter().filter(|(question, key)| !has(&known, question, key)).collect();
        let believed = filter(&news, |(question, key)| {
            let name = name(question, key);
            let object = bucket.get_fitting(&name, LONGEST)?;
            Ok::<_, MirrorError>(object.is_some_and(|object| bucket.trust().open_for(LOOK, &name, &object).is_ok()))
        })?;
        for (question, key) in believed.into_iter().copied().chain(pairs(own)) {
            known.entry(question).or_default().insert(key);
        }
        if count(&known) > before {
            self.keep(&known)?;
        }
        Ok(known)
    }

    fn keep(&self, known: &Looks) -> MirrorResult<()> {
        let _lock = seen::remembering(&self.root)?;
        let mut all = self.read()?;
        for (question, key) in pairs(known) {
            all.entry(question).or_default().insert(key);
        }
        seen::remember(&self.root, &self.path, &all)
    }
}

fn name(question: &Digest, key: &ActionKey) -> String {
    format!("{LOOKS}{question}/{key}")
}

fn listed(bucket: &Bucket) -> MirrorResult<BTreeSet<(Digest, ActionKey)>> {
    let parse = |name: &str| {
        let (question, key) = name.strip_prefix(LOOKS)?.split_once('/')?;
        Some((question.parse().ok()?, ActionKey(key.parse().ok()?)))
    };
    Ok(bucket.list(LOOKS)?.iter().filter_map(|listed| parse(&listed.name)).collect())
}

fn pairs(looks: &Looks) -> impl Iterator<Item = (Digest, ActionKey)> + '_ {
    looks.iter().flat_map(|(question, keys)| keys.iter().map(|key| (*question, *key)))
}

fn has(looks: &Looks, question: &Digest, key: &ActionKey) -> bool {
    looks.get(question).is_some_and(|keys| keys.contains(key))
}

fn count(looks: &Looks) -> usize {
    looks.values().map(BTreeSet::len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::sign::SecretKey;
    use crate::mirror::trust::{Policy, Trust};

    fn look(question: &str, key: &str) -> Looks {
        BTreeMap::from([(Digest::of(question.as_bytes()), BTreeSet::from([ActionKey(Digest::of(key.as_bytes()))]))])
    }

    fn root() -> (tempfile::TempDir, Root) {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(&folder.path().join("cache")).unwrap();
        (folder, root)
    }

    #[test]
    fn looks_of_several_machines_add_up_and_are_never_unseen() {
        let ((_a, one), (_b, other)) = (root(), root());
        let bucket = Bucket::memory().unwrap();
        let (first, second) = (Known::of(&one, "m"), Known::of(&other, "m"));
        assert_eq!(count(&first.meet(&bucket, &look("test", "x")).unwrap()), 1);
        assert_eq!(count(&first.meet(&bucket, &look("test", "x")).unwrap()), 1, "the same look again is no other");
        assert_eq!(count(&second.meet(&bucket, &look("test", "y")).unwrap()), 2);
        assert_eq!(count(&first.meet(&bucket, &Looks::new()).unwrap()), 2);
        // A mirror that shows none any more changes nothing that was seen.
        assert_eq!(count(&first.meet(&Bucket::memory().unwrap(), &Looks::new()).unwrap()), 2);
        assert_eq!(count(&Known::of(&one, "another").read().unwrap()), 0);
    }

    #[test]
    fn a_look_that_nobody_trusted_signed_does_not_count_where_keys_are_required() {
        let key = SecretKey::generate().unwrap();
        let policy = Policy { keys: [key.public()].into(), required: true, ..Policy::default() };
        let copy = || SecretKey::from_text(&key.to_text()).unwrap();
        let (_folder, root) = root();
        let bucket = |trust: Trust| Bucket::memory().unwrap().known(trust, Seen::of(&root, "m"));
        let ours = bucket(Trust::new("m", policy.clone(), vec![copy()]));
        let (question, stranger) = (Digest::of(b"test"), ActionKey(Digest::of(b"stranger")));
        ours.put_if_absent(&name(&question, &stranger), Vec::new()).unwrap();
        assert_eq!(count(&Known::of(&root, "m").meet(&ours, &look("test", "x")).unwrap()), 1);
        // What is signed for one look is none for another.
        let moved = ours.get(&name(&question, &ActionKey(Digest::of(b"x"))), LONGEST).unwrap().unwrap();
        ours.put_if_absent(&name(&question, &ActionKey(Digest::of(b"y"))), moved).unwrap();
        assert_eq!(count(&Known::of(&root, "m").meet(&ours, &Looks::new()).unwrap()), 1);
    }
}
