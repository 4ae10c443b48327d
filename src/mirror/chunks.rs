//! Owns what a workspace knows of the chunks in a mirror: those that it put there or took from there. Invariant: it is a hint and nothing more: who builds
//! on a pack that is known asks first whether it is there.
//!
//! A workspace that knows nothing sends what is there already once more, and knows it then. So nobody has to read what all packs of a mirror hold.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::digest::{Digest, PackId};
use crate::io::fs;
use crate::mirror::error::MirrorResult;
use crate::mirror::layout::Epoch;
use crate::store::log::{Item, Log};
use crate::store::pack::Segment;

/// Chunks of one mirror and where they are.
#[derive(Debug, Default)]
pub struct Chunks {
    /// A file for each epoch begins so; in memory only where there is none.
    file: Option<PathBuf>,
    known: Mutex<Option<Known>>,
}

/// Chunks in one epoch.
#[derive(Debug)]
struct Known {
    epoch: Epoch,
    places: HashMap<Digest, Segment>,
    /// Packs that this process put there, or found.
    sure: HashSet<PackId>,
}

impl Chunks {
    /// Those that the files with this name hold, an epoch each.
    #[must_use]
    pub fn of(file: PathBuf) -> Self {
        Self { file: Some(file), known: Mutex::default() }
    }

    /// Where a chunk is, if that is known.
    ///
    /// # Errors
    /// When what is known cannot be read.
    pub fn find(&self, epoch: Epoch, chunk: &Digest) -> MirrorResult<Option<Segment>> {
        Ok(self.of_epoch(epoch)?.as_ref().and_then(|known| known.places.get(chunk).copied()))
    }

    /// Remembers where chunks are.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub fn learn(&self, epoch: Epoch, chunks: &[(Digest, Segment)]) -> MirrorResult<()> {
        let mut known = self.of_epoch(epoch)?;
        let Some(known) = known.as_mut() else { return Ok(()) };
        let new: Vec<_> = chunks.iter().filter(|(chunk, _)| !known.places.contains_key(chunk)).copied().collect();
        if new.is_empty() {
            return Ok(());
        }
        if let Some(file) = self.file(epoch) {
            if fs::stat(&file)?.is_none() {
                self.remove(|other| other < epoch)?;
            }
            let bytes = serde_json::to_vec(&new).unwrap_or_default();
            Log::open(&file)?.append(&bytes)?;
        }
        known.places.extend(new);
        Ok(())
    }

    /// Remembers, for as long as this process lives, that a pack is there: nothing is deleted from an epoch that is written.
    ///
    /// # Errors
    /// When what is known cannot be read.
    pub fn is_there(&self, epoch: Epoch, pack: PackId) -> MirrorResult<()> {
        if let Some(known) = self.of_epoch(epoch)?.as_mut() {
            known.sure.insert(pack);
        }
        Ok(())
    }

    /// Whether this process put a pack there, or found it.
    #[must_use]
    pub fn is_sure(&self, epoch: Epoch, pack: &PackId) -> bool {
        self.lock().as_ref().is_some_and(|known| known.epoch == epoch && known.sure.contains(pack))
    }

    /// Forgets all that is known: something of it was not there.
    ///
    /// # Errors
    /// When it cannot be forgotten.
    pub fn forget(&self) -> MirrorResult<()> {
        let mut known = self.lock();
        self.remove(|_| true)?;
        *known = None;
        Ok(())
    }

    /// Removes the files of some epochs.
    fn remove(&self, goes: impl Fn(Epoch) -> bool) -> MirrorResult<()> {
        let Some((file, folder)) = self.file.as_ref().and_then(|file| Some((file, file.parent()?))) else { return Ok(()) };
        let stem = format!("{}.chunks-", file.file_name().unwrap_or_default().to_string_lossy());
        for entry in fs::list_if_any(folder)? {
            let epoch = entry.name.to_str().and_then(|name| name.strip_prefix(&stem)?.parse().ok()).map(Epoch);
            if epoch.is_some_and(&goes) {
                fs::remove_file(&folder.join(&entry.name))?;
            }
        }
        Ok(())
    }

    fn file(&self, epoch: Epoch) -> Option<PathBuf> {
        self.file.as_ref().map(|file| file.with_extension(format!("chunks-{:08}", epoch.0)))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of an epoch, read where another was asked for last.
    fn of_epoch(&self, epoch: Epoch) -> MirrorResult<MutexGuard<'_, Option<Known>>> {
        let mut known = self.lock();
        if known.as_ref().is_none_or(|known| known.epoch != epoch) {
            *known = Some(Known { epoch, places: self.read(epoch)?, sure: HashSet::new() });
        }
        Ok(known)
    }

    fn read(&self, epoch: Epoch) -> MirrorResult<HashMap<Digest, Segment>> {
        let mut places = HashMap::new();
        let Some(file) = self.file(epoch) else { return Ok(places) };
        for item in Log::open(&file)?.read_from(0) {
            if let Item::Record { payload, .. } = item?
                && let Ok(chunks) = serde_json::from_slice::<Vec<(Digest, Segment)>>(&payload)
            {
                places.extend(chunks);
            }
        }
        Ok(places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_known_to_the_next_process_and_of_its_epoch_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mirror");
        let (chunk, place) = (Digest::of(b"chunk"), Segment { pack: PackId(Digest::of(b"pack")), at: 1, length: 2, size: 3 });
        Chunks::of(file.clone()).learn(Epoch(1), &[(chunk, place)]).unwrap();
        let next = Chunks::of(file.clone());
        assert_eq!(next.find(Epoch(1), &chunk).unwrap(), Some(place));
        assert_eq!(next.find(Epoch(2), &chunk).unwrap(), None);
        next.forget().unwrap();
        assert_eq!(next.find(Epoch(1), &chunk).unwrap(), None);
        assert_eq!(Chunks::of(file).find(Epoch(1), &chunk).unwrap(), None);
    }
}
