//! Owns a build's dealings with its mirror. Invariant: nothing that a mirror does or fails to do ends a build; after the first failure it is left alone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::diagnostic::in_one_line;
use crate::base::digest::ActionKey;
use crate::mirror::bucket::Bucket;
use crate::mirror::epochs::Epochs;
use crate::mirror::error::{MirrorError, MirrorResult};
use crate::mirror::pull;
use crate::mirror::push::{self, Pushed};
use crate::model::result::ActionResult;
use crate::store::action_cache::Session;

/// A mirror during one build. Threads may share it.
#[derive(Debug)]
pub struct Mirror {
    bucket: Bucket,
    state: Mutex<State>,
    pulled: AtomicU64,
    pulled_bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// As they were at the first look.
    epochs: Option<Epochs>,
    /// Why it is left alone.
    failure: Option<String>,
    /// Why nothing is put there.
    mute: Option<String>,
}

impl Mirror {
    /// The mirror in this bucket.
    #[must_use]
    pub fn new(bucket: Bucket) -> Self {
        Self { bucket, state: Mutex::default(), pulled: AtomicU64::new(0), pulled_bytes: AtomicU64::new(0) }
    }

    /// The bucket.
    #[must_use]
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// Takes the result of an action into the store; `None` where the mirror has not all of it, or has failed.
    #[must_use]
    pub fn fetch(&self, session: &Session, key: &ActionKey) -> Option<ActionResult> {
        let pulled = self.unless_failed(|| pull::pull(&self.bucket, &self.epochs()?, session, key))??;
        self.pulled.fetch_add(1, Ordering::Relaxed);
        self.pulled_bytes.fetch_add(pulled.bytes, Ordering::Relaxed);
        Some(pulled.result)
    }

    /// Puts results into the mirror; `None` where that fails, or something failed before.
    #[must_use]
    pub fn store(&self, session: &Session, results: &[ActionResult]) -> Option<Pushed> {
        if self.bucket.trust().is_mute() {
            self.state().mute.get_or_insert_with(|| in_one_line(&MirrorError::Mute));
            return None;
        }
        self.unless_failed(|| push::push(&self.bucket, session.content(), results))
    }

    /// Whether nothing went wrong with it so far, and it takes what this machine has.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.failure().is_none() && !self.stopped() && !self.bucket.trust().is_mute()
    }

    /// Asks it for something else; `None` where that fails, or something failed before.
    #[must_use]
    pub fn ask<T>(&self, ask: impl FnOnce(&Bucket) -> MirrorResult<T>) -> Option<T> {
        self.unless_failed(|| ask(&self.bucket))
    }

    /// Results that were taken from it, and bytes of blobs that came with them.
    #[must_use]
    pub fn pulled(&self) -> (u64, u64) {
        (self.pulled.load(Ordering::Relaxed), self.pulled_bytes.load(Ordering::Relaxed))
    }

    /// From now on it is left alone, and what is under way is given up; what is in it stays whole.
    pub fn stop(&self) {
        self.bucket.stop();
    }

    /// Whether it was left alone because somebody asked to stop.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.bucket.stopped()
    }

    /// Why it is left alone, or takes nothing, where that is so.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        let state = self.state();
        state.failure.clone().or_else(|| state.mute.clone())
    }

    fn unless_failed<T>(&self, ask: impl FnOnce() -> MirrorResult<T>) -> Option<T> {
        if self.state().failure.is_some() {
            return None;
        }
        match ask() {
            Ok(answer) => Some(answer),
            Err(error) => {
                self.state().failure.get_or_insert_with(|| in_one_line(&error));
                None
            }
        }
    }

    /// Asked for once: a result put into an epoch that is opened later is missed, and no more.
    fn epochs(&self) -> MirrorResult<Epochs> {
        let mut state = self.state();
        if let Some(epochs) = &state.epochs {
            return Ok(epochs.clone());
        }
        let epochs = Epochs::of(&self.bucket)?;
        state.epochs = Some(epochs.clone());
        Ok(epochs)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
