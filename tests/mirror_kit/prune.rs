//! A machine that prunes. Invariant: what is deleted lies in an epoch that was fenced before, and what must stay was carried out of it since.

use std::collections::BTreeSet;

use crate::mirror_kit::machine::Machine;
use crate::mirror_kit::model::{Bucket, Epoch, Key, Mistake, Object, parts};

/// Where a prune is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PruneAt {
    /// It asks which epoch is the newest.
    Begin,
    /// It opens the epoch after this one.
    Open(Epoch),
    /// It fences this one.
    Fence(Epoch),
    /// It looks for a fenced epoch that is not empty.
    Next,
    /// It asks what must stay of this epoch, and which one is the newest now.
    Roots(Epoch),
    /// It carries: what is still to be copied, and whether all of the result at hand was there so far.
    Carry(Carry),
    /// It deletes what is left of this epoch.
    Delete(Epoch),
    /// It is done.
    Done,
}

/// What is carried from one epoch into another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Carry {
    from: Epoch,
    into: Epoch,
    /// Results not begun.
    keys: Vec<Key>,
    /// The result at hand, and its objects that are not copied.
    at_hand: Option<(Key, Vec<Object>)>,
}

/// A machine that prunes once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Prune {
    /// Where it is.
    pub at: PruneAt,
    /// What must stay, where it was asked before the fence: a mistake.
    early: Option<BTreeSet<Key>>,
}

impl Prune {
    /// One that begins.
    pub fn begin() -> Machine {
        Machine::Prune(Self { at: PruneAt::Begin, early: None })
    }

    /// What comes of its next step.
    pub fn step(&self, bucket: &Bucket, mistake: Option<Mistake>) -> Option<(Self, Bucket)> {
        let mut after = *bucket;
        let mut early = self.early.clone();
        let at = match &self.at {
            PruneAt::Begin => {
                early = (mistake == Some(Mistake::RootsBeforeFence)).then(|| bucket.roots());
                PruneAt::Open(bucket.newest())
            }
            PruneAt::Open(epoch) => {
                after.put_if_absent(Object::Opened(epoch + 1));
                if mistake == Some(Mistake::NoFence) { PruneAt::Roots(*epoch) } else { PruneAt::Fence(*epoch) }
            }
            PruneAt::Fence(epoch) => {
                after.put_if_absent(Object::Fenced(*epoch));
                PruneAt::Next
            }
            PruneAt::Next => match filled(bucket, mistake) {
                Some(epoch) if mistake == Some(Mistake::DeleteFirst) => PruneAt::Delete(epoch),
                Some(epoch) => PruneAt::Roots(epoch),
                None => PruneAt::Done,
            },
            PruneAt::Roots(from) => {
                let roots = early.clone().unwrap_or_else(|| bucket.roots());
                let keys = roots.into_iter().filter(|key| bucket.has(Object::Record(*from, *key))).collect();
                PruneAt::Carry(Carry { from: *from, into: bucket.newest(), keys, at_hand: None })
            }
            PruneAt::Carry(carry) => carry.step(&mut after, mistake),
            PruneAt::Delete(epoch) => match bucket.of_epoch(*epoch).first() {
                Some(object) => {
                    after.delete(*object);
                    PruneAt::Delete(*epoch)
                }
                None if mistake == Some(Mistake::NoFence) => PruneAt::Done,
                None => PruneAt::Next,
            },
            PruneAt::Done => return None,
        };
        Some((Self { at, early }, after))
    }
}

impl Carry {
    /// Copies one object; the record of a result comes last, and only where nothing of it was gone.
    fn step(&self, bucket: &mut Bucket, mistake: Option<Mistake>) -> PruneAt {
        let mut next = self.clone();
        match next.at_hand.take() {
            None => match next.keys.pop() {
                // What is there as an artifact is there whole. Blobs go before the artifact that names them: the last is copied first.
                Some(key) if bucket.has(Object::Manifest(self.into, key)) => next.at_hand = Some((key, Vec::new())),
                Some(key) => next.at_hand = Some((key, parts(self.from, key).collect::<Vec<_>>().into_iter().rev().collect())),
                None => return PruneAt::Delete(self.from),
            },
            Some((key, mut left)) => match left.pop() {
                None => _ = bucket.put_if_absent(Object::Record(self.into, key)),
                Some(object) => {
                    if bucket.has(object) {
                        bucket.put_if_absent(moved(object, self.into));
                        next.at_hand = Some((key, left));
                    } else if mistake == Some(Mistake::CarryHoles) {
                        next.at_hand = Some((key, left));
                    }
                }
            },
        }
        PruneAt::Carry(next)
    }
}

/// The fenced epoch to empty next: the oldest that holds something.
fn filled(bucket: &Bucket, mistake: Option<Mistake>) -> Option<Epoch> {
    let mut fenced = bucket.epochs(true);
    if mistake == Some(Mistake::NewestFirst) {
        fenced.reverse();
    }
    fenced.into_iter().find(|epoch| !bucket.of_epoch(*epoch).is_empty())
}

fn moved(object: Object, into: Epoch) -> Object {
    match object {
        Object::Blob(_, blob) => Object::Blob(into, blob),
        Object::Manifest(_, key) => Object::Manifest(into, key),
        other => other,
    }
}
