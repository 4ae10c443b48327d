//! Owns how dates are written down: `2019-01-03`, for `#[serde(with = "date")]`. Invariant: a date reads back as it was written.

use chrono::NaiveDate;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

/// Writes a date.
///
/// # Errors
/// Those of what it is written to.
pub fn serialize<S: Serializer>(date: &NaiveDate, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(date)
}

/// Reads a date.
///
/// # Errors
/// When the text is none.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<NaiveDate, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map_err(|_| D::Error::custom(format!("'{text}' is no date")))
}
