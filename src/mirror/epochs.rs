//! Owns which epochs a mirror has. Invariant: writers write into the newest that was opened, readers read none that is fenced.

use std::collections::BTreeSet;

use crate::mirror::bucket::Bucket;
use crate::mirror::error::MirrorResult;
use crate::mirror::layout::{EPOCHS, Epoch};

/// The epochs as they were when they were asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Epochs {
    opened: BTreeSet<Epoch>,
    fenced: BTreeSet<Epoch>,
}

impl Epochs {
    /// Asks for them.
    ///
    /// # Errors
    /// When the bucket does not answer, or shows less than it did before.
    pub fn of(bucket: &Bucket) -> MirrorResult<Self> {
        let mut epochs = Self::default();
        for listed in bucket.list(EPOCHS)? {
            let name = listed.name.strip_prefix(EPOCHS).unwrap_or_default();
            let (number, fenced) = name.strip_suffix(".fenced").map_or((name, false), |number| (number, true));
            let Some(epoch) = number.parse().ok().map(Epoch).filter(|_| number.len() == 8) else { continue };
            if fenced {
                epochs.fenced.insert(epoch)
            } else {
                epochs.opened.insert(epoch)
            };
        }
        if let Some(seen) = bucket.seen() {
            let fenced = epochs.fenced.iter().map(|epoch| epoch.0).collect();
            seen.epochs(epochs.opened.last().map_or(0, |epoch| epoch.0), &fenced)?;
        }
        Ok(epochs)
    }

    /// The epoch to write into; opens the first one in an empty bucket.
    ///
    /// # Errors
    /// When the bucket does not answer.
    pub fn to_write(bucket: &Bucket) -> MirrorResult<Epoch> {
        let listed = Self::of(bucket)?.opened.last().copied();
        if listed.is_none() && bucket.put_if_absent(&Epoch(1).opened(), Vec::new())? {
            return Ok(Epoch(1));
        }
        let mut newest = listed.unwrap_or(Epoch(1));
        // A list that lags does not show the newest; asked after by name they are found, for each is opened after the one before.
        while bucket.size_of(&newest.next().opened())?.is_some() {
            newest = newest.next();
        }
        Ok(newest)
    }

    /// The epochs that are fenced, the oldest first.
    pub fn fenced(&self) -> impl Iterator<Item = Epoch> + '_ {
        self.fenced.iter().copied()
    }

    /// The epochs to read, the newest first.
    pub fn readable(&self) -> impl Iterator<Item = Epoch> + '_ {
        self.opened.iter().rev().copied().filter(|epoch| !self.fenced.contains(epoch))
    }
}
