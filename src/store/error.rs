//! Owns what can go wrong in the store. Invariant: a missing or damaged blob is not here as a failure of reading: it is a miss.

use std::io;
use std::path::PathBuf;

use crate::base::diagnostic::ExitCode;
use crate::base::digest::BlobId;
use crate::io::fs::FsError;
use crate::io::lock::LockError;
use crate::model::manifest::ManifestError;

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file operation failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The cache folder was made by a newer program.
    #[error("the cache '{}' has format {found}; this program knows formats up to {known}", path.display())]
    NewerFormat {
        /// The cache folder.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// The cache folder's `format` file says nothing we understand.
    #[error("'{}' is damaged: it holds '{found}'", path.display())]
    BadFormat {
        /// The `format` file.
        path: PathBuf,
        /// What is in it.
        found: String,
    },
    /// The folder holds something else; nothing was touched.
    #[error("'{}' is not a cache folder: it holds '{stranger}'", path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// A name in it that no cache has.
        stranger: String,
    },
    /// Something else has the cache folder's name.
    #[error("'{}' is not a folder, so no cache can be there", path.display())]
    NotFolder {
        /// What it is about.
        path: PathBuf,
    },
    /// The cache folder cannot be written to.
    #[error("the cache '{}' cannot be written to", path.display())]
    ReadOnly {
        /// The cache folder.
        path: PathBuf,
        /// What was tried.
        #[source]
        source: FsError,
    },
    /// Another process held what we need for all the time we were ready to wait.
    #[error("{what} is in use{}; waited {seconds}s", pid.map(|p| format!(" by process {p}")).unwrap_or_default())]
    Busy {
        /// What we need.
        what: &'static str,
        /// Its user, where known.
        pid: Option<u32>,
        /// How long we waited.
        seconds: u64,
    },
    /// The index could not be used, nor made anew.
    #[error("the index of results cannot be used: {why}")]
    Index {
        /// What it said.
        why: String,
    },
    /// A blob that is needed now is not there (any more).
    #[error("blob {blob} is missing from the store")]
    Missing {
        /// The blob.
        blob: BlobId,
    },
    /// A tree holds a symbolic link.
    #[error("'{}' is a symbolic link; an artifact holds files only", path.display())]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// A tree holds a device, pipe or socket.
    #[error("'{}' is neither a file nor a folder", path.display())]
    Special {
        /// What it is about.
        path: PathBuf,
    },
    /// A file's name is not text.
    #[error("'{}' has a name that is not UTF-8", path.display())]
    Name {
        /// The file.
        path: PathBuf,
    },
    /// A tree cannot be an artifact.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A file changed each time it was read.
    #[error("'{}' keeps changing while it is read", path.display())]
    Changing {
        /// The file.
        path: PathBuf,
    },
    /// A record cannot be written as one.
    #[error("cannot record: {why}")]
    Record {
        /// What is wrong with it.
        why: String,
    },
}

/// The result of a store operation.
pub type StoreResult<T> = Result<T, StoreError>;

impl StoreError {
    /// A lock that could not be had on `what`.
    #[must_use]
    pub fn lock(what: &'static str, error: LockError) -> Self {
        match error {
            LockError::Fs(error) => Self::Fs(error),
            LockError::Held { pid, waited, .. } => Self::Busy { what, pid, seconds: waited.as_secs() },
        }
    }

    /// How the program ends because of it.
    #[must_use]
    pub fn code(&self) -> ExitCode {
        match self {
            Self::NewerFormat { .. } | Self::BadFormat { .. } | Self::Index { .. } | Self::Missing { .. } => ExitCode::Damaged,
            Self::Foreign { .. } | Self::NotFolder { .. } => ExitCode::Usage,
            Self::Busy { .. } => ExitCode::Busy,
            _ => ExitCode::ActionFailed,
        }
    }

    /// The way out, where one is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NewerFormat { .. } => "use the newer cbi, or another folder with its own cache".to_owned(),
            Self::BadFormat { .. } | Self::Index { .. } | Self::Missing { .. } => "cbi fsck --repair".to_owned(),
            Self::Foreign { .. } => "move what is in it elsewhere".to_owned(),
            Self::NotFolder { path } => format!("move it elsewhere: mv '{0}' '{0}.old'", path.display()),
            Self::ReadOnly { .. } => "make the folder writable: chmod -R u+w .cbi-cache".to_owned(),
            Self::Busy { pid: Some(pid), .. } => format!("wait for it; if it was stopped (Ctrl-Z), this lets it go on: kill -CONT {pid}"),
            Self::Busy { .. } => "wait for the other cbi, or stop it".to_owned(),
            _ => return None,
        })
    }

    /// The system's answer, where there is one.
    #[must_use]
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Fs(error) | Self::ReadOnly { source: error, .. } => Some(error.kind()),
            _ => None,
        }
    }
}
