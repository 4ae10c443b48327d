//! Owns blobs on disk. Invariant: `blobs/ab/<64 hex>` gets its name only after its bytes are hashed, read-only and on the disk.
//!
//! Every blob carries one fixed time of change. Whoever writes to a blob (through a hard link, say) gives it another, so a look at its
//! attributes, which is needed for its size anyway, tells that it must be hashed again before it is believed. What a disk does behind
//! the file system's back is found by `fsck`, and by whoever reads the bytes through [`ContentStore::read`] or [`ContentStore::open`].

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::digest::{BlobId, Digest};
use crate::io::file::File;
use crate::io::fs::{self, FsError, Stat, What};
use crate::store::content::{Batch, ContentStore, Waiting};
use crate::store::error::{StoreError, StoreResult};
use crate::store::hash::{hash, hash_blocks};
use crate::store::packs::Packs;
use crate::store::root::Root;

/// The time of change of every blob: 2000-01-01 UTC, in seconds.
pub const STAMP: u64 = 946_684_800;

/// The content store in the cache folder.
#[derive(Debug, Clone)]
pub struct LocalStore {
    root: Root,
    packs: Packs,
    /// The file system's number.
    device: Option<u64>,
    /// Folders of blobs that are known to be on the disk.
    shards: Arc<Mutex<BTreeSet<PathBuf>>>,
}

impl LocalStore {
    /// The store in `root`.
    #[must_use]
    pub fn new(root: Root) -> Self {
        // Unknown, every file is copied.
        let device = fs::stat(&root.blobs()).ok().flatten().map(|s| s.device);
        Self { packs: Packs::new(root.clone()), root, device, shards: Arc::default() }
    }

    /// The blobs that are kept in chunks.
    #[must_use]
    pub fn packs(&self) -> &Packs {
        &self.packs
    }

    /// Where a blob is, or would be, that is a file of its own.
    #[must_use]
    pub fn path_of(&self, id: &BlobId) -> PathBuf {
        let hex = id.to_string();
        let mut path = self.root.blobs();
        path.push(&hex[..2]);
        path.push(hex);
        path
    }

    /// Moves a damaged blob out of the way, to where a person can look at it.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub fn quarantine(&self, id: &BlobId) -> StoreResult<()> {
        let folder = self.root.quarantine();
        fs::create_folders(&folder)?;
        match fs::rename(&self.path_of(id), &folder.join(id.to_string())) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(self.root.explain(error.into())),
            _ => Ok(()),
        }
    }

    /// Reads a blob and quarantines it if it is damaged; says whether it is there, whole.
    ///
    /// # Errors
    /// When it cannot be read or moved.
    pub fn verify(&self, id: &BlobId) -> StoreResult<bool> {
        let file = self.recheck(id)?.is_some();
        Ok(self.packs.each(id, |_| Ok(()))? || file)
    }

    /// Makes a file of a blob that is kept in chunks. Only what was read to its end gets its name.
    fn unpack(&self, id: &BlobId) -> StoreResult<Option<PathBuf>> {
        let Some(size) = self.packs.size_of(id)? else { return Ok(None) };
        let scratch = self.root.scratch()?;
        let mut file = File::create_new(&scratch)?;
        let whole = self.packs.each(id, |part| Ok(file.write(part)?)).and_then(|whole| Ok(seal(&file).map(|()| whole)?));
        if !matches!(whole, Ok(true)) {
            fs::remove_file(&scratch)?;
            return whole.map(|_| None);
        }
        let mut batch = Batch::new();
        batch.wait(*id, scratch, size);
        self.commit(&batch)?;
        Ok(Some(self.path_of(id)))
    }

    /// Hashes a blob whose attributes are not a blob's: an innocent one gets them back, any other is quarantined.
    fn recheck(&self, id: &BlobId) -> StoreResult<Option<u64>> {
        let path = self.path_of(id);
        let Some(file) = File::open_if_any(&path)? else { return Ok(None) };
        if file.stat()?.what != What::File {
            return self.quarantine(id).map(|()| None);
        }
        let (found, size) = hash(&file)?;
        if found == *id {
            // In a read-only cache it stays as it is, and is hashed each time.
            let _ = file.set_mode(0o444).and_then(|()| file.set_modified(STAMP));
            return Ok(Some(size));
        }
        self.quarantine(id)?;
        Ok(None)
    }

    /// Makes the folders of blobs that nobody has needed yet. One that is there may be another's work, not on the disk yet: so who first uses a
    /// folder waits for the disk, whoever made it.
    fn make_missing(&self, shards: &[PathBuf]) -> StoreResult<()> {
        let known = || self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        let is_folder = |shard: &Path| fs::link_stat(shard).map(|stat| stat.is_some_and(|stat| stat.what == What::Folder));
        for shard in shards {
            if is_folder(shard)? {
                continue;
            }
            match fs::remove_file(shard) {
                // Another thread or process has made it meanwhile.
                Err(_) if is_folder(shard)? => {}
                removed => removed?,
            }
            fs::create_folders(shard)?;
            known().remove(shard);
        }
        if shards.iter().any(|shard| !known().contains(shard)) {
            fs::sync(&self.root.blobs())?;
            known().extend(shards.iter().cloned());
        }
        Ok(())
    }

    /// Gives a finished file its name.
    fn settle(&self, id: &BlobId, waiting: &Waiting) -> StoreResult<()> {
        let path = self.path_of(id);
        match fs::rename(&waiting.path, &path) {
            // It was given its name by a commit that failed later.
            Err(error) if error.kind() == ErrorKind::NotFound && self.size_of(id)? == Some(waiting.size) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::IsADirectory => {
                self.quarantine(id)?;
                fs::rename(&waiting.path, &path)?;
            }
            done => done?,
        }
        fs::step("blob.renamed", &path)?;
        Ok(())
    }

    /// Writes a file that waits for its name. Not on the disk yet when this returns.
    fn write_scratch(&self, write: impl FnOnce(&mut File) -> Result<(), FsError>) -> StoreResult<PathBuf> {
        let scratch = self.root.scratch()?;
        let mut file = File::create_new(&scratch)?;
        let done = write(&mut file).and_then(|()| seal(&file));
        if let Err(error) = done {
            let _ = fs::remove_file(&scratch);
            return Err(error.into());
        }
        Ok(scratch)
    }

    /// Whether these bytes need not be put again.
    fn is_there(&self, id: &BlobId, size: u64, batch: &Batch) -> StoreResult<bool> {
        Ok(batch.holds(id) || self.size_of(id)? == Some(size))
    }
}

impl ContentStore for LocalStore {
    fn size_of(&self, id: &BlobId) -> StoreResult<Option<u64>> {
        match fs::link_stat(&self.path_of(id))? {
            None => self.packs.size_of(id),
            Some(stat) if is_stamped(&stat) => Ok(Some(stat.size)),
            Some(_) => match self.recheck(id)? {
                None => self.packs.size_of(id),
                size => Ok(size),
            },
        }
    }

    fn put_bytes(&self, bytes: &[u8], batch: &mut Batch) -> StoreResult<BlobId> {
        let id = BlobId(Digest::of(bytes));
        batch.touch(&id);
        if !self.is_there(&id, bytes.len() as u64, batch)? {
            let scratch = self.write_scratch(|file| file.write(bytes))?;
            batch.wait(id, scratch, bytes.len() as u64);
        }
        Ok(id)
    }

    fn put_file(&self, path: &Path, batch: &mut Batch) -> StoreResult<(BlobId, u64)> {
        let from = File::open(path)?;
        let mut put = None;
        let scratch = self.write_scratch(|file| {
            put = Some(hash_blocks(&from, |block| file.write(block))?);
            Ok(())
        })?;
        let Some((id, size)) = put else { return Err(StoreError::Changing { path: path.to_owned() }) };
        batch.touch(&id);
        if self.is_there(&id, size, batch)? {
            fs::remove_file(&scratch)?;
        } else {
            batch.wait(id, scratch, size);
        }
        Ok((id, size))
    }

    fn adopt_file(&self, path: &Path, batch: &mut Batch) -> StoreResult<(BlobId, u64)> {
        let file = open_our_own(path)?;
        let before = file.stat()?;
        let (id, size) = hash(&file)?;
        batch.touch(&id);
        if self.is_there(&id, size, batch)? {
            fs::remove_file(path)?;
            return Ok((id, size));
        }
        // A file with another name, or that somebody still writes to, is not ours alone; one elsewhere cannot be renamed.
        let after = file.stat()?;
        let ours = before.links == 1 && same_content(&before, &after) && after.size == size;
        if ours && Some(before.device) == self.device {
            seal(&file)?;
            let scratch = self.root.scratch()?;
            fs::rename(path, &scratch)?;
            batch.wait(id, scratch, size);
            return Ok((id, size));
        }
        let put = self.put_file(path, batch)?;
        fs::remove_file(path)?;
        Ok(put)
    }

    fn open(&self, id: &BlobId) -> StoreResult<Option<Box<dyn Read + Send>>> {
        let Some(file) = File::open_if_any(&self.path_of(id))? else {
            return Ok(self.packs.open(id)?.map(|unpacking| Box::new(unpacking) as _));
        };
        Ok(Some(Box::new(Checked { file, hasher: blake3::Hasher::new(), id: *id })))
    }

    fn read(&self, id: &BlobId) -> StoreResult<Option<Vec<u8>>> {
        match fs::read_if_any(&self.path_of(id))? {
            Some(bytes) if BlobId(Digest::of(&bytes)) == *id => Ok(Some(bytes)),
            damaged => {
                if damaged.is_some() {
                    self.quarantine(id)?;
                }
                self.packs.read(id)
            }
        }
    }

    fn local_path(&self, id: &BlobId) -> StoreResult<Option<PathBuf>> {
        let path = self.path_of(id);
        match fs::link_stat(&path)? {
            Some(_) => Ok(Some(path)),
            None => self.unpack(id),
        }
    }

    fn commit(&self, batch: &Batch) -> StoreResult<()> {
        let mut files = Vec::new();
        for (_, waiting) in batch.waiting() {
            // One that is not there any more got its name in a commit that failed later.
            if fs::link_stat(&waiting.path)?.is_some() {
                files.push(waiting.path.clone());
            }
        }
        fs::step("blobs.written", self.root.path())?;
        fs::sync_all(&files)?;
        fs::step("blobs.synced", self.root.path())?;
        let shards: Vec<PathBuf> = batch.shards().map(|s| self.root.blobs().join(hex::encode([s]))).collect();
        self.make_missing(&shards)?;
        for (id, waiting) in batch.waiting() {
            self.settle(id, waiting)?;
        }
        fs::sync_all(&shards)?;
        fs::step("shards.synced", self.root.path())?;
        Ok(batch.surplus().iter().try_for_each(|path| fs::remove_file(path))?)
    }
}

/// Opens a file that is ours, even one that its maker made unreadable.
fn open_our_own(path: &Path) -> Result<File, FsError> {
    match File::open(path) {
        Err(error) if error.is_forbidden() => fs::set_mode(path, 0o400).and_then(|()| File::open(path)),
        opened => opened,
    }
}

/// Makes a finished file read-only and gives it the blobs' time.
fn seal(file: &File) -> Result<(), FsError> {
    file.set_mode(0o444)?;
    file.set_modified(STAMP)
}

/// Whether the attributes are those that a blob was given when it was put.
#[must_use]
pub fn is_stamped(stat: &Stat) -> bool {
    stat.what == What::File && stat.mtime_ns == i128::from(STAMP) * 1_000_000_000
}

fn same_content(a: &Stat, b: &Stat) -> bool {
    (a.size, a.mtime_ns, a.inode, a.links) == (b.size, b.mtime_ns, b.inode, b.links)
}

/// Hashes what it reads and fails at the end if it was something else.
struct Checked {
    file: File,
    hasher: blake3::Hasher,
    id: BlobId,
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.std().read(buffer)?;
        self.hasher.update(&buffer[..n]);
        if n == 0 && !buffer.is_empty() && BlobId(Digest::from(self.hasher.finalize())) != self.id {
            return Err(io::Error::new(ErrorKind::InvalidData, format!("blob {} is damaged", self.id)));
        }
        Ok(n)
    }
}
