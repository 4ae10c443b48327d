//! Owns the ledger of one published table. Invariant: it only grows; what is to be delivered stands in it before anything is done about it, and what it
//! says was delivered was.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::digest::{ActionKey, BlobId, ManifestId};
use crate::model::delivery;
use crate::store::error::StoreError;
use crate::store::log::{Item, Log};

/// One delivery, done or under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its number: 1, 2, 3 … for each table.
    pub sequence: u64,
    /// The target that delivers.
    pub target: String,
    /// Its action.
    pub key: ActionKey,
    /// The artifact that is delivered.
    pub artifact: ManifestId,
    /// The table's file before; none where there was none.
    pub before: Option<BlobId>,
    /// The table's file after.
    pub file: BlobId,
    /// Its bytes.
    pub size: u64,
    /// The rows in it.
    pub rows: u64,
    /// The sequence that it puts back, where it does that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub puts_back: Option<u64>,
    /// When it began, milliseconds since 1970 UTC.
    pub at_ms: u64,
}

/// A record of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Record {
    /// It will be tried.
    Intended(Delivery),
    /// It was done.
    Delivered(u64),
    /// It will not be: what it began from was not there any more, or what it would have put there.
    GivenUp(u64),
}

/// The ledger of one table.
#[derive(Debug)]
pub struct Ledger {
    log: Log,
    done: Vec<Delivery>,
    pending: Option<Delivery>,
    next: u64,
}

/// A ledger that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It holds what no ledger holds.
    #[error("the ledger '{path}' is damaged at byte {offset}: what was delivered is not known")]
    Damaged {
        /// The file.
        path: String,
        /// Where.
        offset: u64,
    },
}

impl Ledger {
    /// Reads the ledger at `path`; an empty one where there is none. A record torn by a crash at the end is none, and is cut by the next one.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged.
    pub fn read(path: &Path) -> Result<Self, LedgerError> {
        let log = Log::open(path)?;
        let (mut done, mut pending, mut next) = (Vec::new(), None, 1);
        for item in log.read_from(0) {
            let damaged = |offset| LedgerError::Damaged { path: path.display().to_string(), offset };
            let (offset, payload) = match item? {
                Item::Record { offset, payload, .. } => (offset, payload),
                Item::Damaged { offset, .. } => return Err(damaged(offset)),
                Item::Torn { .. } => break,
            };
            match serde_json::from_slice(&payload).map_err(|_| damaged(offset))? {
                Record::Intended(delivery) => {
                    next = delivery.sequence + 1;
                    pending = Some(delivery);
                }
                Record::Delivered(sequence) => done.extend(pending.take().filter(|p: &Delivery| p.sequence == sequence)),
                Record::GivenUp(_) => pending = None,
            }
        }
        Ok(Self { log, done, pending, next })
    }

    /// All that was delivered, in order.
    #[must_use]
    pub fn done(&self) -> &[Delivery] {
        &self.done
    }

    /// What was begun and not settled: somebody is at it, or died.
    #[must_use]
    pub fn pending(&self) -> Option<&Delivery> {
        self.pending.as_ref()
    }

    /// The number of the next delivery.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// What the table is made of: the deliveries that no later one took back.
    #[must_use]
    pub fn standing(&self) -> Vec<&Delivery> {
        let last = self.done.last().map_or(0, |delivery| delivery.sequence);
        delivery::standing(&self.done, last, |delivery| (delivery.sequence, delivery.puts_back))
    }

    /// Says that it will be tried. It survives a crash when this returns.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn intend(&mut self, delivery: Delivery) -> Result<(), LedgerError> {
        self.append(&Record::Intended(delivery.clone()))?;
        self.next = delivery.sequence + 1;
        self.pending = Some(delivery);
        Ok(())
    }

    /// Says that what was intended was done, or will not be.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn settle(&mut self, delivered: bool) -> Result<(), LedgerError> {
        let Some(sequence) = self.pending.as_ref().map(|p| p.sequence) else { return Ok(()) };
        self.append(&if delivered { Record::Delivered(sequence) } else { Record::GivenUp(sequence) })?;
        self.done.extend(self.pending.take().filter(|_| delivered));
        Ok(())
    }

    fn append(&mut self, record: &Record) -> Result<(), LedgerError> {
        let payload = serde_json::to_vec(record).map_err(|e| StoreError::Record { why: e.to_string() })?;
        self.log.append(&payload)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::Digest;

    fn delivery(sequence: u64, target: &str, puts_back: Option<u64>) -> Delivery {
        let digest = Digest::of(&sequence.to_le_bytes());
        let (key, artifact, file) = (ActionKey(digest), ManifestId(digest), BlobId(digest));
        Delivery { sequence, target: target.into(), key, artifact, before: None, file, size: 1, rows: 1, puts_back, at_ms: 0 }
    }

    fn sequences(ledger: &Ledger) -> Vec<u64> {
        ledger.standing().iter().map(|delivery| delivery.sequence).collect()
    }

    #[test]
    fn what_was_put_back_takes_away_what_came_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        let mut ledger = Ledger::read(&path).unwrap();
        for (sequence, target, puts_back) in [(1, "a", None), (2, "b", None), (3, "a", None), (4, "a", Some(2)), (5, "b", None)] {
            assert_eq!(ledger.next(), sequence);
            ledger.intend(delivery(sequence, target, puts_back)).unwrap();
            ledger.settle(true).unwrap();
        }
        assert_eq!(sequences(&ledger), [1, 2, 5]);
        ledger.intend(delivery(6, "a", None)).unwrap();
        let mut again = Ledger::read(&path).unwrap();
        assert_eq!((sequences(&again), again.pending().unwrap().sequence), (vec![1, 2, 5], 6));
        again.settle(false).unwrap();
        let again = Ledger::read(&path).unwrap();
        assert!(again.pending().is_none() && again.next() == 7 && again.done().len() == 5);
    }

    #[test]
    fn a_torn_end_is_cut_and_damage_before_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        let mut ledger = Ledger::read(&path).unwrap();
        ledger.intend(delivery(1, "a", None)).unwrap();
        ledger.settle(true).unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole[..], b"torn"].concat()).unwrap();
        assert_eq!(sequences(&Ledger::read(&path).unwrap()), [1]);
        let mut damaged = whole;
        damaged[40] ^= 1;
        std::fs::write(&path, damaged).unwrap();
        assert!(matches!(Ledger::read(&path), Err(LedgerError::Damaged { offset: 0, .. })));
    }
}
