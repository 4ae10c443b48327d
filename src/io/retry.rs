//! Owns when a request to a server is tried again. Invariant: the same answer, attempt and draw give the same wait; only `again` sleeps.

use std::time::Duration;

/// Attempts in all, the first one included.
pub const ATTEMPTS: u32 = 6;

/// The longest wait between two attempts, and the longest `Retry-After` that is waited for.
pub const LONGEST: Duration = Duration::from_mins(1);

const FIRST: Duration = Duration::from_millis(500);

/// Reasons of a 403 from Google that mean "not now" rather than "never".
const BUSY: [&str; 3] = ["rateLimitExceeded", "userRateLimitExceeded", "backendError"];

/// Whether an answer with this status and reason may be another one soon.
#[must_use]
pub fn may_pass(status: u16, reason: &str) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504) || (status == 403 && BUSY.contains(&reason))
}

/// How long to wait after failed attempt number `attempt` (the first is 1); `None` when it was the last, or the server asks for more patience
/// than there is. `draw`, in [0, 1), spreads clients that failed together: the wait is drawn from the upper half of a time that doubles
/// with each attempt. What the server asks for is the least.
#[must_use]
pub fn wait(attempt: u32, asked: Option<Duration>, draw: f64) -> Option<Duration> {
    if attempt >= ATTEMPTS || asked.is_some_and(|asked| asked > LONGEST) {
        return None;
    }
    let whole = FIRST.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(LONGEST);
    let own = whole.mul_f64(0.5 + draw.clamp(0.0, 1.0) / 2.0);
    Some(asked.unwrap_or_default().max(own))
}

/// Waits before the next attempt and counts it; `false`, at once, where there is none.
pub async fn again(attempt: &mut u32, asked: Option<Duration>) -> bool {
    let Some(wait) = wait(*attempt, asked, fastrand::f64()) else { return false };
    tokio::time::sleep(wait).await;
    *attempt += 1;
    true
}

/// What `Retry-After` asks for: seconds. Its other form, a date, is read as nothing, for clocks differ.
#[must_use]
pub fn asked(header: &str) -> Option<Duration> {
    header.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_busy_server_is_asked_again_and_one_that_refuses_is_not() {
        assert!(may_pass(503, "") && may_pass(429, "") && may_pass(403, "rateLimitExceeded"));
        for (status, reason) in [(400, "invalidQuery"), (401, ""), (403, "accessDenied"), (403, "quotaExceeded"), (404, ""), (409, "")] {
            assert!(!may_pass(status, reason), "{status} {reason}");
        }
    }

    #[test]
    fn the_servers_own_wish_is_the_least_and_a_day_is_too_much() {
        assert_eq!(wait(1, asked("7"), 0.0), Some(Duration::from_secs(7)));
        assert_eq!(wait(1, asked("86400"), 0.0), None);
        assert_eq!(asked("Wed, 21 Oct 2026 07:28:00 GMT"), None);
    }

    proptest! {
        #[test]
        fn waits_grow_are_bounded_and_end(draw in 0.0..1.0f64) {
            let waits: Vec<_> = (1..=ATTEMPTS).map(|attempt| wait(attempt, None, draw)).collect();
            prop_assert_eq!(waits.last(), Some(&None));
            for pair in waits.windows(2).take(ATTEMPTS as usize - 2) {
                prop_assert!(pair[0] < pair[1] && pair[1] <= Some(LONGEST));
            }
        }
    }
}
