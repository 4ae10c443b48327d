//! Owns waiting for one's turn at what only one process of a cache may do at a time. Invariant: whoever waits can be stopped, and whoever has a turn at
//! an adapter waits for nothing more, so nobody waits for ever.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::base::digest::{ActionKey, Digest};
use crate::exec::failure::Failure;
use crate::exec::outcome::stopped;
use crate::io::lock::Claim;
use crate::model::action::Action;
use crate::store::action_cache::Session;

/// How often it is asked whether the turn has come.
const PAUSE: Duration = Duration::from_millis(20);

/// Waits until nobody else has it; `told` is called once where it must wait.
///
/// # Errors
/// When it is stopped, or the cache cannot be written to.
pub fn wait(session: &Session, key: &ActionKey, cancel: &AtomicBool, told: impl FnOnce()) -> Result<Claim, Failure> {
    let mut told = Some(told);
    loop {
        if let Some(claim) = session.claim(key).map_err(|e| Failure::of_store(&e))? {
            return Ok(claim);
        }
        if cancel.load(Ordering::Relaxed) {
            return Err(stopped());
        }
        if let Some(tell) = told.take() {
            tell();
        }
        std::thread::sleep(PAUSE);
    }
}

/// Waits for the adapter that the action computes on, where it does; `told` is called once with its name where it must wait.
///
/// # Errors
/// When it is stopped, or the cache cannot be written to.
pub fn wait_for_adapter(
    session: &Session,
    action: &Action,
    cancel: &AtomicBool,
    told: impl FnOnce(&str),
) -> Result<Option<Claim>, Failure> {
    let adapter = action.adapter();
    adapter.map(|name| wait(session, &ActionKey(Digest::of(name.as_bytes())), cancel, || told(name))).transpose()
}
