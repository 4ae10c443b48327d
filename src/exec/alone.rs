//! Owns running one action for its own sake: to look at a table, to make an artifact again. Invariant: nothing is recorded.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::base::diagnostic::ExitCode;
use crate::exec::failure::Failure;
use crate::exec::meter::Meter;
use crate::exec::runner::{Job, Ran, Runner, Workplace};
use crate::exec::turns;
use crate::io::fs;
use crate::io::process::Children;
use crate::store::action_cache::Session;
use crate::store::content::ContentStore;
use crate::store::error::StoreError;

/// How often it is asked whether to stop.
const TICK: Duration = Duration::from_millis(50);

/// Runs the action in a sandbox of its own; what it made is there until the session ends.
///
/// # Errors
/// With what a person should know, when there is no result.
pub fn run(session: &Session, job: &Job, cancel: &AtomicBool) -> Result<Ran, Failure> {
    let _alone_on_it = turns::wait_for_adapter(session, &job.action, cancel, |_| {})?;
    let children = Children::new();
    let runner = Runner { root: session.root(), store: session.content(), children: &children, reach: None, meter: &Meter::default() };
    std::thread::scope(|scope| {
        let (send, receive) = channel();
        scope.spawn(move || _ = send.send(runner.run(job, &mut Workplace::default())));
        loop {
            match receive.recv_timeout(TICK) {
                Ok(done) => return done,
                Err(RecvTimeoutError::Disconnected) => return Err(failure("the action ended without an answer".into(), ExitCode::Bug)),
                Err(RecvTimeoutError::Timeout) if cancel.load(Ordering::Relaxed) => children.kill_all(),
                Err(RecvTimeoutError::Timeout) => children.kill_overdue(),
            }
        }
    })
}

/// The bytes of one file that an action made.
///
/// # Errors
/// When it made no such file, or it cannot be read.
pub fn file_of(session: &Session, ran: &Ran, artifact: &str, file: &str) -> Result<Vec<u8>, Failure> {
    let entry = ran.result.outputs.get(artifact).and_then(|m| m.files.get(file));
    let Some(entry) = entry else { return Err(failure(format!("it made no {artifact}/{file}"), ExitCode::Bug)) };
    let waiting = ran.batch.waiting().find(|(id, _)| **id == entry.blob);
    let bytes = match waiting {
        Some((_, waiting)) => fs::read(&waiting.path).map(Some).map_err(StoreError::from),
        None => session.content().read(&entry.blob),
    };
    let bytes = bytes.and_then(|found| found.ok_or(StoreError::Missing { blob: entry.blob }));
    bytes.map_err(|error| failure(error.to_string(), ExitCode::ActionFailed))
}

fn failure(error: String, code: ExitCode) -> Failure {
    Failure { error, hint: None, log_tail: Vec::new(), code }
}
