//! Owns the recording of results while others are being made. Invariant: `done` is called once for every result submitted, and with `Ok`
//! only when the result survives a crash.
//!
//! A disk takes milliseconds to say that something is safe, whatever its size. So results are recorded by a thread of their own, which
//! takes all that have come in while the disk was busy with those before: the busier the build, the less each one costs.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use crate::model::result::ActionResult;
use crate::store::action_cache::Session;
use crate::store::content::Batch;
use crate::store::error::StoreResult;

/// At most so many results wait for the disk together.
const TOGETHER: usize = 256;

/// The thread that records results.
pub struct Recorder {
    /// Taken when the recorder goes.
    submitted: Option<Sender<Submitted>>,
    thread: Option<JoinHandle<()>>,
}

/// A result, and the blobs put for it.
pub struct Submitted {
    /// The result.
    pub result: ActionResult,
    /// Its blobs.
    pub batch: Batch,
}

impl Recorder {
    /// Starts the thread. It calls `done` with every result and how its recording went.
    #[must_use]
    pub fn start(session: Arc<Session>, done: impl Fn(Submitted, StoreResult<()>) + Send + 'static) -> Self {
        let (sender, receiver) = channel::<Submitted>();
        let thread = std::thread::spawn(move || {
            while let Ok(first) = receiver.recv() {
                let mut group = vec![first];
                group.extend(receiver.try_iter().take(TOGETHER - 1));
                record(&session, group, &done);
            }
        });
        Self { submitted: Some(sender), thread: Some(thread) }
    }

    /// Hands a result over.
    pub fn submit(&self, result: ActionResult, batch: Batch) {
        if let Some(sender) = &self.submitted {
            // Fails only if the thread panicked, and then the build ends anyway.
            let _ = sender.send(Submitted { result, batch });
        }
    }
}

fn record(session: &Session, group: Vec<Submitted>, done: &dyn Fn(Submitted, StoreResult<()>)) {
    let results: Vec<_> = group.iter().map(|s| (&s.result, &s.batch)).collect();
    if session.record_all(&results).is_ok() {
        for submitted in group {
            done(submitted, Ok(()));
        }
        return;
    }
    // One that cannot be recorded is no reason to lose the others.
    for submitted in group {
        let recorded = session.record(&submitted.result, &submitted.batch);
        done(submitted, recorded);
    }
}

impl Drop for Recorder {
    /// Waits until everything submitted is recorded.
    fn drop(&mut self) {
        self.submitted = None;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
