//! Owns the files' door. Invariant: every call passes a failpoint, and every failure names its operation and its path.

use std::fs as std_fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::io::failpoint;

/// A file operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} '{}'", path.display())]
pub struct FsError {
    /// What was tried, as a verb.
    pub operation: &'static str,
    /// On what.
    pub path: PathBuf,
    /// What the system answered.
    #[source]
    pub source: io::Error,
}

impl FsError {
    /// The system's answer, sorted.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.source.kind()
    }

    /// Whether writing is forbidden here, rather than failed.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        matches!(self.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
    }
}

/// The result of a file operation.
pub type FsResult<T> = Result<T, FsError>;

/// Runs one operation behind its failpoint and names what failed.
pub(crate) fn at<T>(operation: &'static str, path: &Path, run: impl FnOnce() -> io::Result<T>) -> FsResult<T> {
    let done = failpoint::hit(operation, path).and_then(|()| run());
    done.map_err(|source| FsError { operation, path: path.to_owned(), source })
}

/// A named step of an order that a crash must not break; see [`failpoint::step`].
///
/// # Errors
/// Where an injected fault says so.
pub fn step(name: &'static str, path: &Path) -> FsResult<()> {
    failpoint::step(name).map_err(|source| FsError { operation: name, path: path.to_owned(), source })
}

/// A failure that says "there is none" becomes `None`.
pub(crate) fn absent<T>(result: FsResult<T>) -> FsResult<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the system knows of a file without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub what: What,
    /// Bytes.
    pub size: u64,
    /// Last change of the content, nanoseconds since 1970 UTC.
    pub mtime_ns: i128,
    /// Last change of anything about it.
    pub ctime_ns: i128,
    /// Its number in its file system.
    pub inode: u64,
    /// The file system's number.
    pub device: u64,
    /// Permission bits.
    pub mode: u32,
    /// Names it has.
    pub links: u64,
}

/// The kinds of directory entry that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Bytes.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A device, pipe or socket.
    Other,
}

impl Stat {
    /// Whether somebody may execute it.
    #[must_use]
    pub fn executable(&self) -> bool {
        self.mode & 0o111 != 0
    }
}

impl From<&std_fs::Metadata> for Stat {
    fn from(m: &std_fs::Metadata) -> Self {
        let ns = |s: i64, n: i64| i128::from(s) * 1_000_000_000 + i128::from(n);
        Self {
            what: what(m.file_type()),
            size: m.len(),
            mtime_ns: ns(m.mtime(), m.mtime_nsec()),
            ctime_ns: ns(m.ctime(), m.ctime_nsec()),
            inode: m.ino(),
            device: m.dev(),
            mode: m.mode() & 0o7777,
            links: m.nlink(),
        }
    }
}

fn what(kind: std_fs::FileType) -> What {
    match kind {
        k if k.is_symlink() => What::Link,
        k if k.is_dir() => What::Folder,
        k if k.is_file() => What::File,
        _ => What::Other,
    }
}

/// What is at `path`, links followed; `None` where nothing is.
///
/// # Errors
/// When the system refuses.
pub fn stat(path: &Path) -> FsResult<Option<Stat>> {
    absent(at("inspect", path, || std_fs::metadata(path))).map(|m| m.map(|m| Stat::from(&m)))
}

/// What is at `path` itself, be it a link; `None` where nothing is.
///
/// # Errors
/// When the system refuses.
pub fn link_stat(path: &Path) -> FsResult<Option<Stat>> {
    absent(at("inspect", path, || std_fs::symlink_metadata(path))).map(|m| m.map(|m| Stat::from(&m)))
}

/// All bytes of a file.
///
/// # Errors
/// When the system refuses.
pub fn read(path: &Path) -> FsResult<Vec<u8>> {
    at("read", path, || std_fs::read(path))
}

/// All bytes of a file, where there is one.
///
/// # Errors
/// When the system refuses for another reason than absence.
pub fn read_if_any(path: &Path) -> FsResult<Option<Vec<u8>>> {
    absent(read(path))
}

/// All text of a file.
///
/// # Errors
/// When the system refuses or the bytes are not UTF-8.
pub fn read_text(path: &Path) -> FsResult<String> {
    at("read", path, || std_fs::read_to_string(path))
}

/// Makes or overwrites a file. Not for what must survive a crash: see [`crate::io::file::replace`].
///
/// # Errors
/// When the system refuses; part of it may have been written.
pub fn write(path: &Path, bytes: &[u8]) -> FsResult<()> {
    let mut file = at("create", path, || std_fs::File::create(path))?;
    write_with(path, bytes, |bytes| file.write_all(bytes))
}

/// Writes behind a failpoint that, as a disk does, may let some of it arrive.
pub(crate) fn write_with(path: &Path, bytes: &[u8], mut write: impl FnMut(&[u8]) -> io::Result<()>) -> FsResult<()> {
    let written = match failpoint::fault("write", path) {
        None => write(bytes),
        fault => write(&bytes[..bytes.len() / 2]).and_then(|()| failpoint::strike(fault)),
    };
    written.map_err(|source| FsError { operation: "write", path: path.to_owned(), source })
}

/// Makes a folder and those above it; fine where it exists.
///
/// # Errors
/// When the system refuses.
pub fn create_folders(path: &Path) -> FsResult<()> {
    at("create folder", path, || std_fs::create_dir_all(path))
}

/// Makes one folder.
///
/// # Errors
/// When it exists or the system refuses.
pub fn create_folder(path: &Path) -> FsResult<()> {
    at("create folder", path, || std_fs::create_dir(path))
}

/// Gives what is at `from` the name `to`, in place of what had it.
///
/// # Errors
/// When the system refuses.
pub fn rename(from: &Path, to: &Path) -> FsResult<()> {
    at("rename to", to, || std_fs::rename(from, to))
}

/// Gives the file at `from` a second name.
///
/// # Errors
/// When the system refuses.
pub fn hard_link(from: &Path, to: &Path) -> FsResult<()> {
    at("link", to, || std_fs::hard_link(from, to))
}

/// Whether [`hard_link`] failed because there can be no such link: another file system, too many names, or none at all.
#[must_use]
pub fn cannot_link(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::CrossesDevices | ErrorKind::TooManyLinks | ErrorKind::PermissionDenied | ErrorKind::Unsupported)
}

/// Copies a file, by sharing its blocks where the file system can.
///
/// # Errors
/// When the system refuses.
pub fn copy(from: &Path, to: &Path) -> FsResult<u64> {
    at("copy to", to, || std_fs::copy(from, to))
}

/// Makes a symbolic link at `path` that points to `target`.
///
/// # Errors
/// When the system refuses.
pub fn symlink(target: &Path, path: &Path) -> FsResult<()> {
    at("link", path, || std::os::unix::fs::symlink(target, path))
}

/// Where a symbolic link points to.
///
/// # Errors
/// When it is no link or the system refuses.
pub fn read_link(path: &Path) -> FsResult<PathBuf> {
    at("read the link", path, || std_fs::read_link(path))
}

/// Sets permission bits, whatever the umask.
///
/// # Errors
/// When the system refuses.
pub fn set_mode(path: &Path, mode: u32) -> FsResult<()> {
    at("set the mode of", path, || std_fs::set_permissions(path, PermissionsExt::from_mode(mode)))
}

/// Sets the time of a file's last change, in seconds since 1970 UTC. The file must be writable.
///
/// # Errors
/// When the system refuses.
pub fn set_modified(path: &Path, seconds: u64) -> FsResult<()> {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    at("set the time of", path, || std_fs::OpenOptions::new().write(true).open(path)?.set_modified(time))
}

/// Removes a file; fine where there is none.
///
/// # Errors
/// When the system refuses.
pub fn remove_file(path: &Path) -> FsResult<()> {
    absent(at("remove", path, || std_fs::remove_file(path))).map(|_| ())
}

/// Removes a folder and all in it, read-only folders too; links are not followed; fine where there is none.
///
/// # Errors
/// When the system refuses.
pub fn remove_tree(path: &Path) -> FsResult<()> {
    match absent(at("remove", path, || std_fs::remove_dir_all(path))) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            make_writable(path)?;
            absent(at("remove", path, || std_fs::remove_dir_all(path))).map(|_| ())
        }
        done => done.map(|_| ()),
    }
}

/// Removes whatever is at `path`.
///
/// # Errors
/// When the system refuses.
pub fn remove_any(path: &Path) -> FsResult<()> {
    match link_stat(path)? {
        Some(stat) if stat.what == What::Folder => remove_tree(path),
        _ => remove_file(path),
    }
}

fn make_writable(folder: &Path) -> FsResult<()> {
    set_mode(folder, 0o700)?;
    for entry in list(folder)? {
        if entry.what == What::Folder {
            make_writable(&folder.join(&entry.name))?;
        }
    }
    Ok(())
}

/// One name in a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its name.
    pub name: std::ffi::OsString,
    /// What it is, links not followed.
    pub what: What,
}

/// What a folder holds, sorted by name.
///
/// # Errors
/// When the system refuses.
pub fn list(folder: &Path) -> FsResult<Vec<Entry>> {
    at("list", folder, || {
        let mut entries = Vec::new();
        for entry in std_fs::read_dir(folder)? {
            let entry = entry?;
            entries.push(Entry { name: entry.file_name(), what: what(entry.file_type()?) });
        }
        entries.sort();
        Ok(entries)
    })
}

/// What a folder holds; nothing where it does not exist.
///
/// # Errors
/// When the system refuses for another reason than absence.
pub fn list_if_any(folder: &Path) -> FsResult<Vec<Entry>> {
    absent(list(folder)).map(Option::unwrap_or_default)
}

/// Returns when the file, or the folder's entries, are on the disk.
///
/// # Errors
/// When the system refuses.
pub fn sync(path: &Path) -> FsResult<()> {
    at("sync", path, || std_fs::File::open(path)?.sync_all())
}

/// Returns when all these files and folders of one file system are on the disk: one wait for many, where the system can.
///
/// # Errors
/// When the system refuses.
pub fn sync_all(paths: &[PathBuf]) -> FsResult<()> {
    let Some((last, others)) = paths.split_last() else { return Ok(()) };
    if paths.len() >= MANY && sync_file_system(last).is_ok() {
        return Ok(());
    }
    for path in others {
        sync_before_last(path)?;
    }
    sync(last)
}

/// From this many files on, writing back everything the file system holds is cheaper than waiting for each.
const MANY: usize = 4;

#[cfg(target_os = "linux")]
fn sync_file_system(path: &Path) -> FsResult<()> {
    at("sync", path, || Ok(rustix::fs::syncfs(std_fs::File::open(path)?)?))
}

#[cfg(not(target_os = "linux"))]
fn sync_file_system(path: &Path) -> FsResult<()> {
    Err(FsError { operation: "sync", path: path.to_owned(), source: ErrorKind::Unsupported.into() })
}

/// On macOS only a full sync empties the disk's own cache, and it empties it for all: plain ones may go before it.
#[cfg(target_os = "macos")]
fn sync_before_last(path: &Path) -> FsResult<()> {
    at("sync", path, || Ok(rustix::fs::fsync(std_fs::File::open(path)?)?))
}

#[cfg(not(target_os = "macos"))]
fn sync_before_last(path: &Path) -> FsResult<()> {
    sync(path)
}

/// The absolute path with no links in it.
///
/// # Errors
/// When nothing is there or the system refuses.
pub fn real_path(path: &Path) -> FsResult<PathBuf> {
    at("resolve", path, || std_fs::canonicalize(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_is_none_and_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        assert_eq!(stat(&path).unwrap(), None);
        assert_eq!(read_if_any(&path.join("below")).unwrap(), None);
        remove_file(&path).unwrap();
        remove_tree(&path).unwrap();
    }

    #[test]
    fn a_failure_names_the_operation_and_the_path() {
        let error = list(Path::new("/nowhere/x")).unwrap_err();
        assert_eq!(error.to_string(), "cannot list '/nowhere/x'");
    }
}
