//! Owns what can go wrong with a mirror. Invariant: what is absent or damaged in a bucket is no error of a pull: it is a miss.

use std::path::PathBuf;

use crate::base::diagnostic::ExitCode;
use crate::base::digest::BlobId;
use crate::io::fs::FsError;
use crate::store::error::StoreError;

/// A failure of the mirror.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// The address is none that a bucket has.
    #[error("the mirror's address '{url}' cannot be used: {why}")]
    Address {
        /// The address.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The folder that is the mirror is not there.
    #[error("the mirror's folder '{}' is not there", path.display())]
    NoFolder {
        /// The folder.
        path: PathBuf,
    },
    /// A request failed, and so did those that repeated it.
    #[error("cannot {what} '{name}' in the mirror '{url}'")]
    Request {
        /// What was asked, as a verb.
        what: &'static str,
        /// The object, or the prefix.
        name: String,
        /// The mirror.
        url: String,
        /// What was answered.
        #[source]
        source: Box<object_store::Error>,
    },
    /// An object is longer than any that we write.
    #[error("'{name}' in the mirror '{url}' has {size} bytes, more than any object of a mirror")]
    TooLong {
        /// The object.
        name: String,
        /// The mirror.
        url: String,
        /// Its bytes.
        size: u64,
    },
    /// The mirror was pruned again and again while something was pushed.
    #[error("the mirror was pruned {times} times while this was pushed")]
    Fenced {
        /// How often it was begun.
        times: u32,
    },
    /// The bucket said that an object is there, and then that it is not.
    #[error("the mirror '{url}' said that '{name}' is there, and it is not")]
    Denied {
        /// The object.
        name: String,
        /// The mirror.
        url: String,
    },
    /// Somebody asked to stop.
    #[error("it was stopped")]
    Stopped,
    /// A blob changed, or went away, while it was pushed.
    #[error("blob {blob} went away while it was pushed")]
    Gone {
        /// The blob.
        blob: BlobId,
    },
    /// A blob cannot be read while it is pushed or carried.
    #[error("cannot read blob {blob}")]
    Unread {
        /// The blob.
        blob: BlobId,
        /// Why.
        source: std::io::Error,
    },
    /// The machine has no runtime for requests.
    #[error("requests cannot be made")]
    Runtime(#[source] std::io::Error),
    /// It shows less than it did before.
    #[error("the mirror '{mirror}' withholds what was there: {what}")]
    Withheld {
        /// What it is called.
        mirror: String,
        /// What was there, and is not.
        what: String,
    },
    /// An entry of a log is not believed.
    #[error("'{name}' in the mirror is not believed: {why}")]
    Unbelieved {
        /// The object.
        name: String,
        /// Why.
        why: String,
    },
    /// What was remembered of it cannot be read.
    #[error("what was seen of the mirror '{mirror}' cannot be read: '{}'", path.display())]
    Memory {
        /// What it is called.
        mirror: String,
        /// Where it is remembered.
        path: PathBuf,
    },
    /// Signatures are required and this machine has no key that is trusted.
    #[error("no key of this machine is trusted, so nobody would believe what it puts into the mirror")]
    Mute,
    /// A result cannot be written as a record.
    #[error("cannot record: {why}")]
    Record {
        /// What is wrong with it.
        why: String,
    },
    /// The local store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A local file failed.
    #[error(transparent)]
    Fs(#[from] FsError),
}

/// The result of dealing with a mirror.
pub type MirrorResult<T> = Result<T, MirrorError>;

impl MirrorError {
    /// How the program ends because of it.
    #[must_use]
    pub fn code(&self) -> ExitCode {
        match self {
            Self::Address { .. } => ExitCode::Invalid,
            Self::Mute => ExitCode::Usage,
            Self::Memory { .. } => ExitCode::Damaged,
            Self::Store(error) => error.code(),
            Self::Stopped => ExitCode::Interrupted,
            Self::Fs(_) | Self::Record { .. } | Self::Gone { .. } | Self::Unread { .. } => ExitCode::ActionFailed,
            _ => ExitCode::Remote,
        }
    }

    /// The way out, where one is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Address { .. } => {
                Some("[mirror] url takes file:///FOLDER, gs://BUCKET/PATH, s3://BUCKET/PATH or az://CONTAINER/PATH".into())
            }
            Self::Withheld { .. } | Self::Memory { .. } => Some("cbi mirror forget, if it was emptied or put back on purpose".to_owned()),
            Self::Mute => Some("cbi key generate, and have it trusted: cbi key trust KEY".to_owned()),
            Self::NoFolder { path } => Some(format!("mkdir -p '{}'", path.display())),
            Self::Store(error) => error.hint(),
            _ => None,
        }
    }
}
