//! Owns the clock. Invariant: nothing else asks the machine for the time, so nothing that enters a key can.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};

/// Nanoseconds since 1970-01-01 UTC, as files' times are kept.
#[must_use]
pub fn now_ns() -> i128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| i128::try_from(d.as_nanos()).unwrap_or(i128::MAX))
}

/// Whole milliseconds since 1970-01-01 UTC, for records.
#[must_use]
pub fn now_ms() -> u64 {
    u64::try_from(now_ns() / 1_000_000).unwrap_or(0)
}

/// A point to measure from.
#[must_use]
pub fn start() -> Instant {
    Instant::now()
}

/// A record's milliseconds as `2026-11-22T23:59:01Z`.
#[must_use]
pub fn rfc3339(ms: u64) -> String {
    let moment = i64::try_from(ms).ok().and_then(DateTime::<Utc>::from_timestamp_millis);
    moment.map_or_else(|| "?".to_owned(), |t| t.to_rfc3339_opts(SecondsFormat::Secs, true))
}

/// Today's date in UTC.
#[must_use]
pub fn today() -> NaiveDate {
    Utc::now().date_naive()
}
