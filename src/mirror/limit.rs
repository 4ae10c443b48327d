//! Owns how many bytes may travel in a second. Invariant: over any time, no more of what has a known size was let
//! through than the rate and one request.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::base::clock;

/// A rate that several threads keep together.
#[derive(Debug)]
pub struct Limit {
    /// Bytes a second.
    rate: u64,
    begun: Instant,
    /// When all that was let through so far has passed, since the beginning.
    free: Mutex<Duration>,
}

impl Limit {
    /// So many bytes a second, at least one.
    #[must_use]
    pub fn new(rate: u64) -> Self {
        Self { rate: rate.max(1), begun: clock::start(), free: Mutex::default() }
    }

    /// Waits until what went before has passed; these bytes hold up what comes after.
    pub async fn pass(&self, bytes: u64) {
        let wait = self.take(bytes, self.begun.elapsed());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// Says what passed of which the size was not known before: it holds up what comes after as well.
    pub fn passed(&self, bytes: u64) {
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) += self.time(bytes);
    }

    /// Takes the line for these bytes; how long to wait for it.
    fn take(&self, bytes: u64, now: Duration) -> Duration {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = (*free).max(now);
        *free = begin + self.time(bytes);
        begin.saturating_sub(now)
    }

    fn time(&self, bytes: u64) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.rate);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_wait_for_those_before_them_and_an_idle_line_is_free_at_once() {
        let limit = Limit::new(1000);
        let second = Duration::from_secs(1);
        assert_eq!(limit.take(2000, Duration::ZERO), Duration::ZERO);
        assert_eq!(limit.take(1000, second), second);
        assert_eq!(limit.take(1, second), 2 * second);
        assert_eq!(limit.take(1, 60 * second), Duration::ZERO, "time in which nothing passed is not saved up");
    }

    #[test]
    fn what_passed_before_its_size_was_known_holds_up_what_comes_after() {
        let limit = Limit::new(1000);
        limit.take(1000, Duration::ZERO);
        limit.passed(500);
        assert_eq!(limit.take(0, Duration::ZERO), Duration::from_millis(1500));
    }
}
