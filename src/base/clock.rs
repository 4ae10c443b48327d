//! Owns the clock. Invariant: nothing else asks the machine for the time, so nothing that enters a key can.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Local, NaiveDate, NaiveTime, SecondsFormat, TimeZone, Utc};

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

/// Today's date where the machine stands, for the names of files that people look for.
#[must_use]
pub fn local_day() -> NaiveDate {
    Local::now().date_naive()
}

/// When it is this time of today's day where the machine stands, milliseconds since 1970-01-01 UTC; an hour later where clocks leave it out.
#[must_use]
pub fn local_ms(time: NaiveTime) -> u64 {
    let moment = local_day().and_time(time);
    let found = Local.from_local_datetime(&moment).earliest();
    let found = found.or_else(|| Local.from_local_datetime(&(moment + chrono::TimeDelta::hours(1))).earliest());
    found.map_or_else(now_ms, |at| u64::try_from(at.timestamp_millis()).unwrap_or(0))
}
