//! Owns when the rows of a table are known. Invariant: it is declared, never guessed: nothing in a table says when it was published.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// From when on a row of a table may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lag {
    /// On any day: calendars, and tables whose rows are about no day.
    Always,
    /// So many calendar days after the row's date.
    Days(u32),
}

/// A column of dates that are text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextDates {
    /// The column.
    pub column: String,
    /// How they are written, in the elements of `PARSE_DATE`: `%m/%d/%Y`.
    pub format: String,
}

/// When the rows of a table are known, and which of its columns says what day a row is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Available {
    /// How long after its date a row is known.
    pub after: Lag,
    /// The columns that the rows are sorted by; the first of them that holds dates or moments is the row's date.
    pub key: Vec<String>,
    /// The row's date, where it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dates: Option<TextDates>,
    /// Whether a query made the table: then a row is known on its date as far as that query was found to know no more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub made: bool,
}

/// A text that says no lag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' does not say how long after its date a row is known")]
pub struct LagError {
    /// The text.
    pub text: String,
}

impl FromStr for Lag {
    type Err = LagError;

    fn from_str(text: &str) -> Result<Self, LagError> {
        let bad = || LagError { text: text.to_owned() };
        if text == "always" {
            return Ok(Self::Always);
        }
        let (count, unit) = text.split_once(' ').ok_or_else(bad)?;
        let count: u32 = count.parse().map_err(|_| bad())?;
        let days = match unit {
            "day" | "days" => Some(count),
            "week" | "weeks" => count.checked_mul(7),
            _ => None,
        };
        // Beyond a century it is a slip, and dates would run out of the calendar.
        days.filter(|days| *days <= 36_525).map(Self::Days).ok_or_else(bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_is_a_number_of_days_or_weeks_or_always() {
        for (text, lag) in [("0 days", Lag::Days(0)), ("1 day", Lag::Days(1)), ("6 weeks", Lag::Days(42)), ("always", Lag::Always)] {
            assert_eq!(text.parse(), Ok(lag));
        }
        for text in ["", "3", "days", "-3 days", "1.5 days", "2 months", "0days", "Always", "4000000000 days", "900000000 weeks"] {
            assert_eq!(text.parse::<Lag>().unwrap_err().text, text);
        }
    }
}
