//! What one machine does, step by step. Invariant: a machine decides by what it has read, which may be old.

use crate::mirror_kit::model::{Bucket, Epoch, Key, Mistake, Object, parts};
use crate::mirror_kit::prune::Prune;

/// A machine: what it is at, and what it remembers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Machine {
    /// Puts a result into the mirror.
    Push(Push),
    /// Takes a result out of it.
    Pull(Pull),
    /// Deletes what nothing keeps.
    Prune(Prune),
    /// Died on the way.
    Dead,
}

impl Machine {
    /// All that can come of the machine's next step; nothing where it has none.
    pub fn step(&self, bucket: &Bucket, mistake: Option<Mistake>) -> Vec<(Self, Bucket)> {
        match self {
            Self::Push(push) => push.step(bucket, mistake).into_iter().map(|(push, bucket)| (Self::Push(push), bucket)).collect(),
            Self::Pull(pull) => pull.step(bucket, mistake).map(|pull| (Self::Pull(pull), *bucket)).into_iter().collect(),
            Self::Prune(prune) => prune.step(bucket, mistake).map(|(prune, bucket)| (Self::Prune(prune), bucket)).into_iter().collect(),
            Self::Dead => Vec::new(),
        }
    }
}

/// Where a push is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PushAt {
    /// It asks which epoch is the newest.
    Begin,
    /// It asks whether the artifact is there: then its blobs are, too.
    Ask,
    /// It puts the object with this number, of those in [`Push::order`].
    Put(usize),
    /// It pins the result.
    Pin,
    /// It looks whether the epoch was fenced.
    Look,
    /// It asks which number of the log is free.
    Number,
    /// It puts this entry of the log.
    Enter(u8),
    /// The entry is there: it looks whose it is.
    Whose(u8),
    /// It has told its user that it is done.
    Done,
}

/// A machine that pushes a result, and may pin and release it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Push {
    /// Who it is.
    pub me: u8,
    /// The result.
    pub key: Key,
    /// Whether the result must stay.
    pub pins: bool,
    /// Whether it becomes a release.
    pub releases: bool,
    /// Where it is.
    pub at: PushAt,
    /// The epoch that it pushes into.
    pub epoch: Epoch,
}

impl Push {
    /// One that begins.
    pub fn begin(me: u8, key: Key, pins: bool, releases: bool) -> Machine {
        Machine::Push(Self { me, key, pins, releases, at: PushAt::Begin, epoch: 0 })
    }

    /// What it puts: the record last.
    fn order(&self, mistake: Option<Mistake>) -> Vec<Object> {
        let mut order: Vec<Object> = parts(self.epoch, self.key).collect();
        if mistake == Some(Mistake::ManifestFirst) {
            order.rotate_right(1);
        }
        let at = if mistake == Some(Mistake::RecordFirst) { 0 } else { order.len() };
        order.insert(at, Object::Record(self.epoch, self.key));
        order
    }

    fn to(&self, at: PushAt) -> Self {
        Self { at, ..self.clone() }
    }

    fn step(&self, bucket: &Bucket, mistake: Option<Mistake>) -> Vec<(Self, Bucket)> {
        let mut after = *bucket;
        let next = match self.at {
            PushAt::Begin => Self { epoch: bucket.newest(), ..self.to(PushAt::Ask) },
            PushAt::Ask => {
                let there = bucket.has(Object::Manifest(self.epoch, self.key)) && mistake != Some(Mistake::RecordFirst);
                self.to(PushAt::Put(if there { self.order(mistake).len() - 1 } else { 0 }))
            }
            PushAt::Put(index) => {
                let order = self.order(mistake);
                after.put_if_absent(order[index]);
                let last = index + 1 == order.len();
                self.to(if last { self.when_put(mistake) } else { PushAt::Put(index + 1) })
            }
            PushAt::Pin => {
                after.put_if_absent(Object::Pin(self.key));
                let unlooked = matches!(mistake, Some(Mistake::NoSecondLook | Mistake::PinLast));
                self.to(if unlooked { self.when_safe() } else { PushAt::Look })
            }
            PushAt::Look if bucket.has(Object::Fenced(self.epoch)) => self.to(PushAt::Begin),
            PushAt::Look if mistake == Some(Mistake::PinLast) && self.pins => self.to(PushAt::Pin),
            PushAt::Look => self.to(self.when_safe()),
            PushAt::Number => self.to(PushAt::Enter(bucket.log().last().map_or(1, |(number, ..)| number + 1))),
            PushAt::Enter(number) => return self.enter(number, bucket, mistake),
            PushAt::Whose(number) if bucket.entry(number) == Some((self.me, self.key)) => self.to(PushAt::Done),
            PushAt::Whose(_) => self.to(PushAt::Number),
            PushAt::Done => return Vec::new(),
        };
        vec![(next, after)]
    }

    fn when_put(&self, mistake: Option<Mistake>) -> PushAt {
        match mistake {
            Some(Mistake::PinLast) => PushAt::Look,
            _ if self.pins => PushAt::Pin,
            Some(Mistake::NoSecondLook) => self.when_safe(),
            _ => PushAt::Look,
        }
    }

    fn when_safe(&self) -> PushAt {
        if self.releases { PushAt::Number } else { PushAt::Done }
    }

    /// The reply to an entry may be lost after it was made: then it is sent again, and finds the number taken.
    fn enter(&self, number: u8, bucket: &Bucket, mistake: Option<Mistake>) -> Vec<(Self, Bucket)> {
        let mut after = *bucket;
        let put = match mistake {
            Some(Mistake::Overwrite) => {
                after.overwrite(number, self.me, self.key);
                true
            }
            _ => after.enter(number, self.me, self.key),
        };
        let taken = if mistake == Some(Mistake::ForgetsItsOwn) { PushAt::Number } else { PushAt::Whose(number) };
        let lost = (self.to(PushAt::Enter(number)), after);
        if put { vec![(self.to(PushAt::Done), after), lost] } else { vec![(self.to(taken), after)] }
    }
}

/// A machine that looks a result up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pull {
    /// The result.
    pub key: Key,
    /// Epochs still to look into, the newest last; `None` before it asked.
    pub epochs: Option<Vec<Epoch>>,
    /// What it still has to fetch, once it has the record.
    pub wants: Option<Vec<Object>>,
    /// Whether it believes the record; `None` while it does not know.
    pub believes: Option<bool>,
    /// What of the result it has.
    pub fetched: usize,
}

impl Pull {
    /// One that begins.
    pub fn begin(key: Key) -> Machine {
        Machine::Pull(Self { key, epochs: None, wants: None, believes: None, fetched: 0 })
    }

    /// Whether it believes a result that it does not have.
    pub fn deceived(&self) -> bool {
        self.believes == Some(true) && self.fetched < parts(0, self.key).count()
    }

    fn step(&self, bucket: &Bucket, mistake: Option<Mistake>) -> Option<Self> {
        if self.believes.is_some() {
            return None;
        }
        let mut next = self.clone();
        let Some(epochs) = &mut next.epochs else {
            next.epochs = Some(bucket.epochs(false));
            return Some(next);
        };
        match &mut next.wants {
            None => match epochs.pop() {
                None => next.believes = Some(false),
                Some(epoch) if !bucket.has(Object::Record(epoch, self.key)) => {}
                Some(_) if mistake == Some(Mistake::TrustingReader) => next.believes = Some(true),
                Some(epoch) => next.wants = Some(parts(epoch, self.key).collect()),
            },
            Some(wants) => match wants.pop() {
                None => next.believes = Some(true),
                Some(part) if bucket.has(part) => next.fetched += 1,
                // A hole: this epoch has not got it.
                Some(_) => (next.wants, next.fetched) = (None, 0),
            },
        }
        Some(next)
    }
}
