//! Owns how many bytes may travel in a second. Invariant: over any time, no more of what has a known size was let
//! through than the rate and one request.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::base::clock;

/// How often who waits looks again.
const LOOK: Duration = Duration::from_millis(20);

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
        // Who waits holds no place: what turns out smaller than was asked for lets others through at once.
        while let Err(wait) = self.take(bytes, self.begun.elapsed()) {
            tokio::time::sleep(wait.min(LOOK)).await;
        }
    }

    /// Puts right what was asked of [`Self::pass`] before the size was known.
    pub fn settle(&self, asked: u64, passed: u64) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        *free = (*free + self.time(passed)).saturating_sub(self.time(asked));
    }

    /// Takes the line for these bytes, where it is free; else how long it is taken as things stand.
    fn take(&self, bytes: u64, now: Duration) -> Result<(), Duration> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if *free > now {
            return Err(free.saturating_sub(now));
        }
        *free = now + self.time(bytes);
        Ok(())
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
        assert_eq!(limit.take(2000, Duration::ZERO), Ok(()));
        assert_eq!(limit.take(1000, second), Err(second));
        assert_eq!(limit.take(1000, 2 * second), Ok(()));
        assert_eq!(limit.take(2000, 60 * second), Ok(()));
        assert_eq!(limit.take(1, 60 * second), Err(2 * second), "time in which nothing passed is not saved up");
    }

    #[test]
    fn what_was_smaller_than_thought_gives_its_time_back_to_who_waits() {
        let limit = Limit::new(1000);
        limit.take(5000, Duration::ZERO).unwrap();
        assert_eq!(limit.take(0, Duration::ZERO), Err(Duration::from_secs(5)));
        limit.settle(5000, 1000);
        assert_eq!(limit.take(0, Duration::ZERO), Err(Duration::from_secs(1)));
        limit.settle(0, 500);
        assert_eq!(limit.take(0, Duration::ZERO), Err(Duration::from_millis(1500)));
    }
}
