//! Owns what a frame says of the tables that it joined by what was known. Invariant: it is of the rows of one artifact alone, so rows that arrive later
//! change nothing in it.

use serde::{Deserialize, Serialize};

/// A table whose rows were joined as of what was known each day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Joined {
    /// The table.
    pub table: String,
    /// The features that come from it.
    pub features: Vec<String>,
    /// How many days after its date a row is known.
    pub available_after_days: u32,
    /// How many days after its date a row says nothing any more.
    pub max_age_days: u32,
    /// How old the rows were; none where it is not of whole artifacts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ages: Option<Ages>,
}

/// How old joined rows were on the days that they were joined to, in days since their own dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ages {
    /// Days with a row.
    pub joined: u64,
    /// Days without: none was known yet, or the newest was too old.
    pub without: u64,
    /// The age that half of the days with a row are no older than; none where there is no such day.
    pub median_days: Option<i64>,
    /// The greatest age.
    pub max_days: Option<i64>,
}

impl Ages {
    /// The ages on some days, `None` on a day without a row.
    #[must_use]
    pub fn of(days: impl IntoIterator<Item = Option<i64>>) -> Self {
        let (mut known, mut without) = (Vec::new(), 0);
        for age in days {
            match age {
                Some(age) => known.push(age),
                None => without += 1,
            }
        }
        known.sort_unstable();
        let median_days = known.get(known.len().saturating_sub(1) / 2).copied();
        Self { joined: known.len() as u64, without, median_days, max_days: known.last().copied() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_days_are_no_older_than_the_median() {
        let ages = Ages::of([Some(9), None, Some(3), Some(4), Some(5)]);
        assert_eq!(ages, Ages { joined: 4, without: 1, median_days: Some(4), max_days: Some(9) });
        assert_eq!(Ages::of([None]), Ages { joined: 0, without: 1, median_days: None, max_days: None });
    }
}
