//! Owns target names. Invariant: a `TargetName` can be used as a relative path and never climbs out of its folder.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name of one target: `dataset.table`, or segments separated by `/`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TargetName(String);

/// Why a text is not a target name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a target name: {why}")]
pub struct NameError {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl TargetName {
    /// The name as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name has the form of a table, `dataset.table`.
    #[must_use]
    pub fn is_table(&self) -> bool {
        is_table_name(&self.0)
    }
}

/// Whether `text` is `dataset.table`: two words of letters, digits and `_` with one dot between.
#[must_use]
pub fn is_table_name(text: &str) -> bool {
    let word = |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    text.split_once('.').is_some_and(|(dataset, table)| word(dataset) && word(table))
}

impl FromStr for TargetName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |why| Err(NameError { text: text.to_owned(), why });
        if text.is_empty() {
            return refuse("it is empty");
        }
        if text.len() > 200 {
            return refuse("it is longer than 200 characters");
        }
        for segment in text.split('/') {
            if segment.is_empty() {
                return refuse("it has an empty segment (a '/' at an end, or two in a row)");
            }
            if segment == "." || segment == ".." {
                return refuse("'.' and '..' would leave the target's folder");
            }
            if !segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
                return refuse("only letters, digits, '.', '_', '-' and '/' may be used");
            }
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for TargetName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TargetName> for String {
    fn from(name: TargetName) -> Self {
        name.0
    }
}

impl fmt::Display for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The candidate most like `wanted`, where one is close enough to be what was meant.
pub fn nearest<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = candidates.into_iter().map(|c| (strsim::normalized_damerau_levenshtein(wanted, c), c));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= 0.5).then_some(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_climbs_out_is_refused() {
        for bad in ["../x", "a/../b", "/x", "x/", "a//b", ".", "", "a b", "a\\b", "ä"] {
            assert!(bad.parse::<TargetName>().is_err(), "{bad}");
        }
        for good in ["wti.daily", "model/wti/lightgbm/1m", "o/f0"] {
            assert!(good.parse::<TargetName>().is_ok(), "{good}");
        }
    }

    #[test]
    fn the_nearest_name_is_offered_only_when_near() {
        assert_eq!(nearest("wti.dialy", ["wti.daily", "wti.features"]), Some("wti.daily"));
        assert_eq!(nearest("zzz", ["wti.daily"]), None);
    }
}
