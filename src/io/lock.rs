//! Owns locks between processes. Invariant: a lock held is a lock on the file that has the name now, and dies with its process.

use std::fs::TryLockError;
use std::io::{ErrorKind, Write};
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
                return Err(LockError::Held { path: path.to_owned(), pid: user_of(path).or_else(|| holder(path)), waited: patience });
            }
            thread::sleep(PAUSE);
        }
    }

    /// Gives the lock up and removes its file.
    ///
    /// # Errors
    /// When the file cannot be removed; the lock is given up all the same.
    pub fn remove(self) -> FsResult<()> {
        fs::remove_file(self.file.path())
    }
}

/// Claims names by the thousand: each claim is a second name of one file that stays locked for as long as this lives, so that a claim
/// makes and removes no file of its own. Names whose claimant is gone are free again.
#[derive(Debug)]
pub struct Claimant {
    lock: Lock,
}

/// A name that is claimed; free again when dropped.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    /// The lock on a file of its own, where the file system knows no second names.
    _own: Option<Lock>,
}

impl Claimant {
    /// A claimant with its file at `path`, which must be on the file system of the names; `None` where the file is another's.
    ///
    /// # Errors
    /// When the file cannot be made or locked.
    pub fn try_new(path: &Path) -> FsResult<Option<Self>> {
        Ok(Lock::try_take(path, Mode::Exclusive)?.map(|lock| Self { lock }))
    }

    /// Removes its file, and frees what it still claims.
    ///
    /// # Errors
    /// When the file cannot be removed; the names are free all the same.
    pub fn remove(self) -> FsResult<()> {
        self.lock.remove()
    }

    /// Claims the name `path`; `None` while another claim on it stands.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn try_claim(&self, path: &Path) -> FsResult<Option<Claim>> {
        loop {
            match fs::hard_link(self.lock.file.path(), path) {
                Ok(()) => return Ok(Some(Claim { path: path.to_owned(), _own: None })),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) if fs::cannot_link(error.kind()) => {
                    let own = Lock::try_take(path, Mode::Exclusive)?;
                    return Ok(own.map(|own| Claim { path: path.to_owned(), _own: Some(own) }));
                }
                Err(error) => return Err(error),
            }
            // Locked, it is a living claimant's; else the name is one that a killed process left.
            let Some(file) = File::open_if_any(path)? else { continue };
            if !try_lock(&file, Mode::Exclusive)? {
                return Ok(None);
            }
            if fs::stat(path)?.map(|s| (s.device, s.inode)) == Some(file.stat().map(|s| (s.device, s.inode))?) {
                fs::remove_file(path)?;
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Tried twice; what then stays is free when this process ends.
        _ = fs::remove_file(&self.path).or_else(|_| fs::remove_file(&self.path));
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
            return Err(LockError::Held { path: file.path().to_owned(), pid: user_of(file.path()), waited: patience });
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

/// A process that has a lock on the file now, where the system tells.
fn user_of(path: &Path) -> Option<u32> {
    let inode = fs::stat(path).ok()??.inode.to_string();
    // `1: FLOCK  ADVISORY  WRITE 4711 08:01:131 0 EOF`: the process, then device and inode.
    let locks = fs::read_text(Path::new("/proc/locks")).ok()?;
    let mut held = locks.lines().filter_map(|line| {
        let mut words = line.split_whitespace().skip_while(|word| !matches!(*word, "READ" | "WRITE")).skip(1);
        let (pid, place) = (words.next()?, words.next()?);
        (place.rsplit(':').next()? == inode).then(|| pid.parse().ok())?
    });
    held.next()
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
        // Who took it last need not be who has it: of several sharers, the last may be gone.
        #[cfg(target_os = "linux")]
        {
            std::fs::write(&path, "1\n").unwrap();
            assert_eq!((holder(&path), user_of(&path)), (Some(1), Some(std::process::id())));
        }
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

    #[test]
    fn a_name_is_claimed_by_one_at_a_time_and_a_dead_claimants_names_are_free() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("name");
        let claimant = |file: &str| Claimant::try_new(&folder.path().join(file)).unwrap().unwrap();
        let (one, two) = (claimant("one"), claimant("two"));
        let claim = one.try_claim(&name).unwrap().unwrap();
        assert!(two.try_claim(&name).unwrap().is_none());
        assert!(one.try_claim(&name).unwrap().is_none());
        drop(claim);
        let claim = two.try_claim(&name).unwrap().unwrap();
        // As if its process had been killed: the lock is gone, the name stays.
        std::mem::forget(claim);
        drop(two);
        assert!(one.try_claim(&name).unwrap().is_some());
        assert!(!name.exists());
    }

    #[test]
    fn claimants_in_a_race_for_left_names_never_share_one() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("name");
        let inside = std::sync::atomic::AtomicU32::new(0);
        thread::scope(|scope| {
            for racer in 0..4 {
                let (folder, name, inside) = (folder.path(), &name, &inside);
                scope.spawn(move || {
                    for round in 0..50 {
                        let claimant = Claimant::try_new(&folder.join(format!("{racer}-{round}"))).unwrap().unwrap();
                        let claim = loop {
                            if let Some(claim) = claimant.try_claim(name).unwrap() {
                                break claim;
                            }
                        };
                        assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        if round % 2 == 0 {
                            std::mem::forget(claim);
                        }
                    }
                });
            }
        });
    }
}
