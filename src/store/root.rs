//! Owns the cache folder's layout. Invariant: a folder with a `format` file is whole; one without holds nothing that anybody relies on.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::base::clock;
use crate::base::digest::ActionKey;
use crate::io::file;
use crate::io::fs::{self, What};
use crate::io::lock::{Claim, Claimant, Lock, Mode};
use crate::store::error::{StoreError, StoreResult};

/// The newest format of the cache folder that this program knows.
pub const FORMAT: u32 = 2;

/// How long a build and a collection wait for each other.
const PATIENCE: Duration = Duration::from_secs(10);

const FOLDERS: [&str; 13] =
    ["blobs", "packs", "journal", "releases", "cache", "tmp", "partial", "quarantine", "locks", "out", "reports", "mirrors", "pinned"];
const FILES: [&str; 3] = ["format", "index", "cache.seal"];

/// The cache folder `.cbi-cache`, and this process's own work area in its `tmp/`.
#[derive(Debug, Clone)]
pub struct Root(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    work: Mutex<Option<Work>>,
    names: AtomicU64,
}

/// A folder in `tmp/` that lives as long as the lock beside it, which claims actions too.
#[derive(Debug)]
struct Work {
    folder: PathBuf,
    claimant: Option<Claimant>,
}

impl Root {
    /// Opens the cache folder, and makes it where there is none.
    ///
    /// # Errors
    /// When it is of a newer format, damaged, something else, or cannot be made.
    pub fn open(path: &Path) -> StoreResult<Self> {
        let root = Self::at(path);
        match fs::read_if_any(&root.format_file())? {
            Some(text) if !text.iter().all(|b| *b == 0) => root.check_format(&String::from_utf8_lossy(&text))?,
            _ => root.create().map_err(|e| root.explain(e))?,
        }
        Ok(root)
    }

    /// Looks at the format of the cache folder, and makes nothing.
    ///
    /// # Errors
    /// When it is missing, damaged, or newer than what we know.
    pub fn check(&self) -> StoreResult<()> {
        self.check_format(&String::from_utf8_lossy(&fs::read(&self.format_file())?))
    }

    /// Says that a build is at work, for as long as the lock is held. Any number may be.
    ///
    /// # Errors
    /// When somebody is throwing things away, and goes on for longer than we wait.
    pub fn building(&self) -> StoreResult<Lock> {
        self.lock("the cache (by a collection or repair)", Mode::Shared)
    }

    /// Keeps builds away, for as long as the lock is held.
    ///
    /// # Errors
    /// When a build is at work, and goes on for longer than we wait.
    pub fn alone(&self) -> StoreResult<Lock> {
        self.lock("the cache (by a build)", Mode::Exclusive)
    }

    /// Says that the cache folder is of the newest format: programs that know older ones only leave it alone from now on.
    ///
    /// # Errors
    /// When it cannot be written to.
    pub fn raise(&self) -> StoreResult<()> {
        let newest = format!("cbi-cache {FORMAT}\n");
        if fs::read_if_any(&self.format_file())?.is_some_and(|now| now != newest.as_bytes()) {
            file::replace(&self.format_file(), newest.as_bytes(), &self.scratch()?)?;
        }
        Ok(())
    }

    /// Keeps builds away, if none is at work now.
    ///
    /// # Errors
    /// When the cache folder cannot be written to.
    pub fn try_alone(&self) -> StoreResult<Option<Lock>> {
        Lock::try_take(&self.lock_file("builds"), Mode::Exclusive).map_err(|e| self.explain(e.into()))
    }

    fn lock(&self, what: &'static str, mode: Mode) -> StoreResult<Lock> {
        fs::create_folders(&self.path().join("locks")).map_err(|e| self.explain(e.into()))?;
        Lock::take(&self.lock_file("builds"), mode, PATIENCE).map_err(|e| self.explain(StoreError::lock(what, e)))
    }

    /// The layout of a cache folder, without a look at it.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self(Arc::new(Inner { path: path.to_owned(), work: Mutex::new(None), names: AtomicU64::new(0) }))
    }

    /// The cache folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Where blobs are.
    #[must_use]
    pub fn blobs(&self) -> PathBuf {
        self.path().join("blobs")
    }

    /// The log of action results: the truth that the index is made from.
    #[must_use]
    pub fn actions_log(&self) -> PathBuf {
        self.path().join("journal/actions.log")
    }

    /// Where blobs are that are kept in chunks.
    #[must_use]
    pub fn packs(&self) -> PathBuf {
        self.path().join("packs")
    }

    /// The list of blobs that are kept in chunks.
    #[must_use]
    pub fn packed_log(&self) -> PathBuf {
        self.path().join("journal/packed.log")
    }

    /// The log of builds.
    #[must_use]
    pub fn builds_log(&self) -> PathBuf {
        self.path().join("journal/builds.log")
    }

    /// The list of what jobs in a remote warehouse were charged for.
    #[must_use]
    pub fn charges_log(&self) -> PathBuf {
        self.path().join("journal/charges.log")
    }

    /// The log of releases.
    #[must_use]
    pub fn releases_log(&self) -> PathBuf {
        self.path().join("releases/releases.log")
    }

    /// The index's folder (sled).
    #[must_use]
    pub fn cache(&self) -> PathBuf {
        self.path().join("cache")
    }

    /// Where reports of unattended runs are.
    #[must_use]
    pub fn reports(&self) -> PathBuf {
        self.path().join("reports")
    }

    /// Says how the index's files looked when it was last closed.
    #[must_use]
    pub fn cache_seal(&self) -> PathBuf {
        self.path().join("cache.seal")
    }

    /// What a second run of an unfinished action may go on from.
    #[must_use]
    pub fn partial(&self, key: &ActionKey) -> PathBuf {
        self.partials().join(key.to_string())
    }

    /// All of [`Self::partial`].
    #[must_use]
    pub fn partials(&self) -> PathBuf {
        self.path().join("partial")
    }

    /// Where damaged blobs go.
    #[must_use]
    pub fn quarantine(&self) -> PathBuf {
        self.path().join("quarantine")
    }

    /// The lock file for `name`.
    #[must_use]
    pub fn lock_file(&self, name: &str) -> PathBuf {
        self.path().join("locks").join(name)
    }

    /// The latest outputs of targets, for people.
    #[must_use]
    pub fn out(&self) -> PathBuf {
        self.path().join("out")
    }

    /// The compact index of the last build.
    #[must_use]
    pub fn last_build_index(&self) -> PathBuf {
        self.path().join("index")
    }

    /// What the last look at a remote warehouse found.
    #[must_use]
    pub fn pins(&self) -> PathBuf {
        self.path().join("pins")
    }

    /// What stays although no kept build needs it.
    #[must_use]
    pub fn pinned(&self) -> PathBuf {
        self.path().join("pinned")
    }

    /// What was seen of mirrors.
    #[must_use]
    pub fn mirrors(&self) -> PathBuf {
        self.path().join("mirrors")
    }

    /// Which views were deployed from here into a remote warehouse.
    #[must_use]
    pub fn deployed(&self) -> PathBuf {
        self.path().join("deployed")
    }

    /// What is known of the partitions of a remote warehouse's tables.
    #[must_use]
    pub fn partitions(&self) -> PathBuf {
        self.path().join("partitions")
    }

    /// Where the format's number is.
    #[must_use]
    pub fn format_file(&self) -> PathBuf {
        self.path().join("format")
    }

    /// A free name in this process's work area, on the same file system as the blobs. What is left there is removed when the process
    /// ends, or by the next process if it was killed.
    ///
    /// # Errors
    /// When the cache folder cannot be written to.
    pub fn scratch(&self) -> StoreResult<PathBuf> {
        let name = self.0.names.fetch_add(1, Ordering::Relaxed).to_string();
        self.at_work(|work| Ok(work.folder.join(name)))
    }

    /// Claims a name among all processes of this cache; `None` while another claim on it stands.
    ///
    /// # Errors
    /// When the cache folder cannot be written to.
    pub fn claim(&self, name: &str) -> StoreResult<Option<Claim>> {
        let path = self.lock_file(name);
        self.at_work(|work| work.claimant.as_ref().map_or(Ok(None), |claimant| Ok(claimant.try_claim(&path)?)))
    }

    fn at_work<T>(&self, then: impl FnOnce(&Work) -> StoreResult<T>) -> StoreResult<T> {
        let mut work = self.0.work.lock().unwrap_or_else(PoisonError::into_inner);
        let work = match &mut *work {
            Some(work) => work,
            none => none.insert(self.make_work().map_err(|e| self.explain(e))?),
        };
        then(work).map_err(|e| self.explain(e))
    }

    /// Says of a refusal to write that the cache is read-only.
    #[must_use]
    pub fn explain(&self, error: StoreError) -> StoreError {
        match error {
            StoreError::Fs(source) if source.is_forbidden() => StoreError::ReadOnly { path: self.path().to_owned(), source },
            other => other,
        }
    }

    fn check_format(&self, text: &str) -> StoreResult<()> {
        let bad = || StoreError::BadFormat { path: self.format_file(), found: text.trim().chars().take(40).collect() };
        let found = text.trim().strip_prefix("cbi-cache ").and_then(|n| n.parse().ok()).ok_or_else(bad)?;
        if found > FORMAT {
            return Err(StoreError::NewerFormat { path: self.path().to_owned(), found, known: FORMAT });
        }
        Ok(())
    }

    /// Makes what is missing of the layout. The `format` file comes last.
    ///
    /// # Errors
    /// When the folder holds something else or cannot be written to.
    pub fn create(&self) -> StoreResult<()> {
        self.refuse_strangers()?;
        for name in FOLDERS {
            fs::create_folders(&self.path().join(name))?;
        }
        let scratch = self.path().join("tmp").join(format!("format-{}-{}", std::process::id(), clock::now_ns()));
        file::replace(&self.format_file(), format!("cbi-cache {FORMAT}\n").as_bytes(), &scratch)?;
        if let Some(parent) = self.path().parent() {
            fs::sync(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
        }
        Ok(())
    }

    fn refuse_strangers(&self) -> StoreResult<()> {
        if fs::stat(self.path())?.is_some_and(|stat| stat.what != What::Folder) {
            return Err(StoreError::NotFolder { path: self.path().to_owned() });
        }
        for entry in fs::list_if_any(self.path())? {
            let name = entry.name.to_string_lossy();
            if !FOLDERS.contains(&&*name) && !FILES.contains(&&*name) {
                return Err(StoreError::Foreign { path: self.path().to_owned(), stranger: name.into_owned() });
            }
        }
        Ok(())
    }

    fn make_work(&self) -> StoreResult<Work> {
        let tmp = self.path().join("tmp");
        fs::create_folders(&tmp)?;
        remove_stale(&tmp)?;
        loop {
            let name = format!("{}-{}", std::process::id(), clock::now_ns());
            if let Some(claimant) = Claimant::try_new(&tmp.join(format!("{name}.lock")))? {
                let folder = tmp.join(name);
                fs::create_folder(&folder)?;
                return Ok(Work { folder, claimant: Some(claimant) });
            }
        }
    }
}

/// Removes the work areas whose process is gone.
fn remove_stale(tmp: &Path) -> StoreResult<()> {
    let entries = fs::list(tmp)?;
    for entry in entries.iter().filter(|e| e.what == What::Folder) {
        let folder = tmp.join(&entry.name);
        let mut lock = folder.clone().into_os_string();
        lock.push(".lock");
        // A folder is made after its lock and removed before it, so one without is nobody's.
        if let Some(lock) = Lock::try_take(Path::new(&lock), Mode::Exclusive)? {
            match fs::remove_tree(&folder) {
                // What the process had started is still dying, and writing: the next one removes it.
                Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {}
                removed => removed.and_then(|()| lock.remove())?,
            }
        }
    }
    for entry in entries.iter().filter(|e| e.what != What::Folder) {
        let path = tmp.join(&entry.name);
        if path.extension().is_some_and(|e| e == "lock") {
            if let Some(lock) = Lock::try_take(&path, Mode::Exclusive)? {
                lock.remove()?;
            }
        } else {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

impl Drop for Work {
    fn drop(&mut self) {
        // Best effort: the next process removes what is left.
        let _ = fs::remove_tree(&self.folder);
        let _ = self.claimant.take().map(Claimant::remove);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::write;
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn what_outlives_a_killed_process_for_a_moment_does_not_stop_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        for round in 0..40 {
            let root = Root::open(&folder.path().join("cache")).unwrap();
            let left = root.path().join("tmp").join(format!("1-{round}"));
            fs::create_folder(&left).unwrap();
            let over = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let mut name = 0;
                    while !over.load(Ordering::Relaxed) {
                        _ = write(left.join(name.to_string()), "x");
                        name += 1;
                    }
                });
                let scratch = root.scratch();
                over.store(true, Ordering::Relaxed);
                fs::create_folder(&scratch.unwrap()).unwrap();
            });
        }
        let root = Root::open(&folder.path().join("cache")).unwrap();
        root.scratch().unwrap();
        assert_eq!(fs::list(&root.path().join("tmp")).unwrap().len(), 2, "its own folder and lock, and nothing of the dead");
    }
}
