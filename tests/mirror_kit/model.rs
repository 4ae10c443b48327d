//! The bucket as the protocol sees it, and what must hold of it. Invariant: an object is put, read, listed and deleted whole.

use std::collections::BTreeSet;

/// An epoch's number.
pub type Epoch = u8;

/// A result that can be in the mirror, by what its action is: 0 and 1 share a blob.
pub type Key = u8;

/// The blobs of each result.
pub const BLOBS: [&[u8]; 2] = [&[0, 1], &[1, 2]];

/// The name of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Object {
    /// An epoch was opened.
    Opened(Epoch),
    /// An epoch was fenced.
    Fenced(Epoch),
    /// Bytes, in an epoch.
    Blob(Epoch, u8),
    /// The manifest of a result.
    Manifest(Epoch, Key),
    /// The record of a result.
    Record(Epoch, Key),
    /// A wish that a result stays.
    Pin(Key),
}

/// All objects that can be; a bucket is small, for there are many of them.
const ALL: &[Object] = {
    use Object::{Blob, Fenced, Manifest, Opened, Pin, Record};
    &[
        Opened(1),
        Opened(2),
        Opened(3),
        Fenced(1),
        Fenced(2),
        Fenced(3),
        Pin(0),
        Pin(1),
        Blob(1, 0),
        Blob(1, 1),
        Blob(1, 2),
        Manifest(1, 0),
        Manifest(1, 1),
        Record(1, 0),
        Record(1, 1),
        Blob(2, 0),
        Blob(2, 1),
        Blob(2, 2),
        Manifest(2, 0),
        Manifest(2, 1),
        Record(2, 0),
        Record(2, 1),
        Blob(3, 0),
        Blob(3, 1),
        Blob(3, 2),
        Manifest(3, 0),
        Manifest(3, 1),
        Record(3, 0),
        Record(3, 1),
    ]
};

/// Entries that the log can have.
const ENTRIES: usize = 6;

/// What a bucket holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Bucket {
    /// Which of [`ALL`] are there, a bit each.
    objects: u32,
    /// Who wrote each entry of the log, and about which result.
    log: [Option<(u8, Key)>; ENTRIES],
}

impl Default for Bucket {
    fn default() -> Self {
        let mut bucket = Self { objects: 0, log: [None; ENTRIES] };
        bucket.put_if_absent(Object::Opened(1));
        bucket
    }
}

impl Bucket {
    /// Puts an object where there is none; says whether it did.
    pub fn put_if_absent(&mut self, object: Object) -> bool {
        let absent = !self.has(object);
        self.objects |= bit(object);
        absent
    }

    /// Whether an object is there.
    pub fn has(&self, object: Object) -> bool {
        self.objects & bit(object) != 0
    }

    /// Removes an object, where it is there.
    pub fn delete(&mut self, object: Object) {
        self.objects &= !bit(object);
    }

    /// All names.
    pub fn list(&self) -> impl Iterator<Item = Object> + '_ {
        ALL.iter().copied().filter(|object| self.has(*object))
    }

    /// The newest epoch that was opened.
    pub fn newest(&self) -> Epoch {
        (1..=3).rev().find(|epoch| self.has(Object::Opened(*epoch))).unwrap_or_default()
    }

    /// Epochs that are fenced, or are not, oldest first.
    pub fn epochs(&self, fenced: bool) -> Vec<Epoch> {
        (1..=self.newest()).filter(|epoch| self.has(Object::Fenced(*epoch)) == fenced).collect()
    }

    /// What of an epoch can be deleted.
    pub fn of_epoch(&self, wanted: Epoch) -> Vec<Object> {
        let of = |object: &Object| matches!(object, Object::Blob(e, _) | Object::Manifest(e, _) | Object::Record(e, _) if *e == wanted);
        self.list().filter(of).collect()
    }

    /// Results that must stay: those pinned.
    pub fn roots(&self) -> BTreeSet<Key> {
        [0, 1].into_iter().filter(|key| self.has(Object::Pin(*key))).collect()
    }

    /// Writes an entry of the log, from 1, where it is not written; says whether it did.
    pub fn enter(&mut self, number: u8, by: u8, key: Key) -> bool {
        let free = self.entry(number).is_none();
        if free {
            self.overwrite(number, by, key);
        }
        free
    }

    /// Writes an entry of the log whatever is there: no step of the protocol does.
    pub fn overwrite(&mut self, number: u8, by: u8, key: Key) {
        self.log[usize::from(number) - 1] = Some((by, key));
    }

    /// Who wrote an entry of the log, and about which result.
    pub fn entry(&self, number: u8) -> Option<(u8, Key)> {
        self.log[usize::from(number) - 1]
    }

    /// The log: number, who wrote it, about which result.
    pub fn log(&self) -> impl Iterator<Item = (u8, u8, Key)> + '_ {
        (1..).zip(self.log).filter_map(|(number, entry)| entry.map(|(by, key)| (number, by, key)))
    }

    /// Whether a result is in an epoch with all that its record names.
    pub fn is_whole(&self, epoch: Epoch, key: Key) -> bool {
        self.has(Object::Record(epoch, key)) && parts(epoch, key).all(|part| self.has(part))
    }
}

/// The place of an object in [`ALL`].
fn bit(object: Object) -> u32 {
    1 << match object {
        Object::Opened(epoch) => epoch - 1,
        Object::Fenced(epoch) => epoch + 2,
        Object::Pin(key) => 6 + key,
        Object::Blob(epoch, blob) => 7 * epoch + 1 + blob,
        Object::Manifest(epoch, key) => 7 * epoch + 4 + key,
        Object::Record(epoch, key) => 7 * epoch + 6 + key,
    }
}

/// What the record of a result stands on.
pub fn parts(epoch: Epoch, key: Key) -> impl Iterator<Item = Object> {
    let blobs = BLOBS[usize::from(key)].iter().map(move |blob| Object::Blob(epoch, *blob));
    blobs.chain([Object::Manifest(epoch, key)])
}

/// Ways to get the protocol wrong, each of which the explorer must notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mistake {
    /// The record goes up before what it names.
    RecordFirst,
    /// An artifact goes up before its blobs, and who finds it there believes that they are.
    ManifestFirst,
    /// A reader believes a record without having fetched what it names.
    TrustingReader,
    /// Who has pushed does not look whether the epoch was fenced meanwhile.
    NoSecondLook,
    /// A result is pinned only after that look.
    PinLast,
    /// An epoch's content is deleted without a fence before it.
    NoFence,
    /// What must stay is found out before the fence.
    RootsBeforeFence,
    /// An epoch is deleted before what must stay was carried out of it.
    DeleteFirst,
    /// Of several fenced epochs the newest is emptied first.
    NewestFirst,
    /// What is carried is recorded although some of it was gone.
    CarryHoles,
    /// The log's next entry is put without a condition.
    Overwrite,
    /// A number that is taken is taken for another's, without a look at whose it is.
    ForgetsItsOwn,
}
