//! Owns locks between processes. Invariant: a lock held is a lock on the file that has the name now, and dies with its process.

use std::fs::TryLockError;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::base::clock;
use crate::io::file::File;
use crate::io::fs::{self, FsError, FsResult};

/// How often a lock that is taken is tried again.
const PAUSE: Duration = Duration::from_millis(5);

/// A lock on a file of its own; given up when dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// Who may hold it at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Any number of shared holders.
    Shared,
    /// One holder.
    Exclusive,
}

/// A lock that could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Its file could not be used.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// Somebody held it for all the time we were ready to wait.
    #[error("'{}' is held{} for more than {}s", path.display(), pid.map(|p| format!(" by process {p}")).unwrap_or_default(), waited.as_secs())]
    Held {
        /// The lock's file.
        path: PathBuf,
        /// Its holder, where it is known.
        pid: Option<u32>,
        /// How long we waited.
        waited: Duration,
    },
}

impl Lock {
    /// Takes the lock if nobody stands in the way; `None` where somebody does.
    ///
    /// # Errors
    /// When the lock's file cannot be made or locked.
    pub fn try_take(path: &Path, mode: Mode) -> FsResult<Option<Self>> {
        loop {
            let file = File::open_or_create(path)?;
            if !try_lock(&file, mode)? {
                return Ok(None);
            }
            // The holder before us may have removed the file: then we hold a lock that nobody else will ever look at.
            let same = fs::stat(path)?.map(|s| (s.device, s.inode)) == Some(file.stat().map(|s| (s.device, s.inode))?);
            if same {
                write_pid(&file);
                return Ok(Some(Self { file }));
            }
        }
    }

    /// Takes the lock, trying for as long as `patience`.
    ///
    /// # Errors
    /// When it is still held then, or its file cannot be used.
    pub fn take(path: &Path, mode: Mode, patience: Duration) -> Result<Self, LockError> {
        let start = clock::start();
        loop {
            if let Some(lock) = Self::try_take(path, mode)? {
                return Ok(lock);
            }
            if start.elapsed() >= patience {
                return Err(LockError::Held { path: path.to_owned(), pid: holder(path), waited: patience });
            }
            thread::sleep(PAUSE);
        }
    }

    /// Gives the lock up and removes its file; for locks that come and go by the thousand.
    ///
    /// # Errors
    /// When the file cannot be removed; the lock is given up all the same.
    pub fn remove(self) -> FsResult<()> {
        fs::remove_file(self.file.path())
    }
}

/// The process that took the lock last, as it wrote itself down.
#[must_use]
pub fn holder(path: &Path) -> Option<u32> {
    fs::read_text(path).ok()?.trim().parse().ok()
}

/// Locks an open file, trying for as long as `patience`; unlocked when the file is closed or [`unlock`]ed.
///
/// # Errors
/// When it is still held then, or cannot be locked.
pub fn lock_file(file: &File, mode: Mode, patience: Duration) -> Result<(), LockError> {
    let start = clock::start();
    while !try_lock(file, mode)? {
        if start.elapsed() >= patience {
            return Err(LockError::Held { path: file.path().to_owned(), pid: None, waited: patience });
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// Unlocks what [`lock_file`] locked.
pub fn unlock(file: &File) {
    // Cannot fail for a file that is open; and closing it unlocks in any case.
    let _ = file.std().unlock();
}

fn try_lock(file: &File, mode: Mode) -> FsResult<bool> {
    let tried = match mode {
        Mode::Shared => file.std().try_lock_shared(),
        Mode::Exclusive => file.std().try_lock(),
    };
    match tried {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(source)) => Err(FsError { operation: "lock", path: file.path().to_owned(), source }),
    }
}

/// A courtesy to whoever waits: failing to write it is no reason not to hold the lock.
fn write_pid(file: &File) {
    let mut out = file.std();
    let _ = out.set_len(0).and_then(|()| writeln!(out, "{}", std::process::id()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_exclusive_holder_or_many_shared_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let exclusive = Lock::try_take(&path, Mode::Exclusive).unwrap().unwrap();
        assert!(Lock::try_take(&path, Mode::Shared).unwrap().is_none());
        let refused = Lock::take(&path, Mode::Exclusive, Duration::from_millis(20)).unwrap_err();
        assert!(matches!(refused, LockError::Held { pid: Some(pid), .. } if pid == std::process::id()));
        drop(exclusive);
        let _one = Lock::try_take(&path, Mode::Shared).unwrap().unwrap();
        let _two = Lock::try_take(&path, Mode::Shared).unwrap().unwrap();
        assert!(Lock::try_take(&path, Mode::Exclusive).unwrap().is_none());
    }

    #[test]
    fn a_removed_lock_file_never_lets_two_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let inside = std::sync::atomic::AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let lock = Lock::take(&path, Mode::Exclusive, Duration::from_secs(30)).unwrap();
                        assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        lock.remove().unwrap();
                    }
                });
            }
        });
    }
}
