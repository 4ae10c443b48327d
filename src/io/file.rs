//! Owns open files. Invariant: what happens to an open file passes the same failpoints as what happens to a path.

use std::fs as std_fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::base::digest::Digest;
use crate::io::fs::{FsResult, Stat, absent, at, remove_file, rename, sync, write_with};

/// An open file that remembers its path, so that what fails can be named.
#[derive(Debug)]
pub struct File {
    inner: std_fs::File,
    path: PathBuf,
}

impl File {
    /// Opens for reading.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn open(path: &Path) -> FsResult<Self> {
        at("open", path, || std_fs::File::open(path)).map(|inner| Self { inner, path: path.to_owned() })
    }

    /// Opens for reading, where there is such a file.
    ///
    /// # Errors
    /// When the system refuses for another reason than absence.
    pub fn open_if_any(path: &Path) -> FsResult<Option<Self>> {
        absent(Self::open(path))
    }

    /// Makes a file that must not exist yet.
    ///
    /// # Errors
    /// When it exists or the system refuses.
    pub fn create_new(path: &Path) -> FsResult<Self> {
        at("create", path, || std_fs::File::create_new(path)).map(|inner| Self { inner, path: path.to_owned() })
    }

    /// Makes a file that must not exist yet, and that nobody but its owner can read at any moment.
    ///
    /// # Errors
    /// When it exists or the system refuses.
    pub fn create_private(path: &Path) -> FsResult<Self> {
        let mut options = std_fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        at("create", path, || options.open(path)).map(|inner| Self { inner, path: path.to_owned() })
    }

    /// Opens for reading and writing, makes it where there is none, keeps what is in it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn open_or_create(path: &Path) -> FsResult<Self> {
        let mut options = std_fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        at("open for writing", path, || options.open(path)).map(|inner| Self { inner, path: path.to_owned() })
    }

    /// Adds bytes at the end of a file, which is made where there is none, and waits for the disk. Of several processes that do so each finds its bytes
    /// together.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn append(path: &Path, bytes: &[u8]) -> FsResult<()> {
        let mut file = at("open for writing", path, || std_fs::OpenOptions::new().append(true).create(true).open(path))?;
        at("write", path, || file.write_all(bytes))?;
        at("sync", path, || file.sync_data())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The system's own handle, for a library that wants one.
    #[must_use]
    pub fn into_std(self) -> std_fs::File {
        self.inner
    }

    /// The digest of its bytes, from its position on.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn digest(&self) -> FsResult<Digest> {
        at("read", &self.path, || Digest::of_reader(&self.inner))
    }

    pub(crate) fn std(&self) -> &std_fs::File {
        &self.inner
    }

    /// What the system knows of it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn stat(&self) -> FsResult<Stat> {
        at("inspect", &self.path, || self.inner.metadata()).map(|m| Stat::from(&m))
    }

    /// Reads what is at `offset` into `buffer`, as much as there is; returns how much.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> FsResult<usize> {
        at("read", &self.path, || {
            let mut filled = 0;
            while filled < buffer.len() {
                match self.inner.read_at(&mut buffer[filled..], offset + filled as u64) {
                    Ok(0) => break,
                    Ok(n) => filled += n,
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(e) => return Err(e),
                }
            }
            Ok(filled)
        })
    }

    /// Writes all of `bytes` at the file's position.
    ///
    /// # Errors
    /// When the system refuses; part of it may have been written.
    pub fn write(&mut self, bytes: &[u8]) -> FsResult<()> {
        let Self { inner, path } = self;
        write_with(path, bytes, |bytes| inner.write_all(bytes))
    }

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// When the system refuses; part of it may have been written.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> FsResult<()> {
        write_with(&self.path, bytes, |bytes| self.inner.write_all_at(bytes, offset))
    }

    /// Returns when content and attributes are on the disk.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn sync(&self) -> FsResult<()> {
        at("sync", &self.path, || self.inner.sync_all())
    }

    /// Returns when the content is on the disk.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn sync_content(&self) -> FsResult<()> {
        at("sync", &self.path, || self.inner.sync_data())
    }

    /// Cuts or extends it to `size` bytes.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn set_size(&self, size: u64) -> FsResult<()> {
        at("cut", &self.path, || self.inner.set_len(size))
    }

    /// Sets the permission bits, whatever the umask.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn set_mode(&self, mode: u32) -> FsResult<()> {
        at("set the mode of", &self.path, || self.inner.set_permissions(PermissionsExt::from_mode(mode)))
    }

    /// Sets the time of the last change, in seconds since 1970 UTC.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn set_modified(&self, seconds: u64) -> FsResult<()> {
        at("set the time of", &self.path, || self.inner.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)))
    }
}

/// Puts `bytes` in place of what is at `path`: readers and crashes see the old or the new, whole. `scratch` is a free name in the same
/// file system.
///
/// # Errors
/// When the system refuses; the old content is still there.
pub fn replace(path: &Path, bytes: &[u8], scratch: &Path) -> FsResult<()> {
    let mut file = File::create_new(scratch)?;
    let done = file.write(bytes).and_then(|()| file.sync()).and_then(|()| rename(scratch, path));
    if done.is_err() {
        let _ = remove_file(scratch);
    }
    done?;
    path.parent().map_or(Ok(()), sync)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::fs;

    #[test]
    fn replacing_leaves_the_old_content_when_it_cannot_finish() {
        let folder = tempfile::tempdir().unwrap();
        let (path, scratch) = (folder.path().join("x"), folder.path().join("x.new"));
        replace(&path, b"old", &scratch).unwrap();
        fs::create_folder(&scratch).unwrap();
        assert!(replace(&path, b"new", &scratch).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }
}
