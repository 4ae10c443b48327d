//! Owns what a series of prices is a series of. Invariant: it is declared, never guessed: levels alone do not say whether a jump was the market's or
//! the change from one contract to the next.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a series of prices follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Series {
    /// The thing itself, for delivery now.
    Spot,
    /// An index: a figure that somebody works out.
    Index,
    /// A future: contract after contract.
    #[serde(untagged)]
    Future(Future),
}

/// A future, and how its contracts were strung together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Future {
    /// The exchange's symbol: `ZL`.
    pub symbol: String,
    /// The exchange: `CBOT`.
    pub exchange: String,
    /// Which contract the series follows: `front month`.
    pub contract: String,
    /// What was done where it goes from one contract to the next.
    pub roll: Roll,
}

/// What was done to a series of futures where it goes from one contract to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Roll {
    /// Nothing: every level was paid, and the change over a roll holds the gap between two contracts.
    Unadjusted,
    /// All earlier levels were moved by the gap: differences are those of a contract held, levels were never paid.
    BackAdjusted,
    /// All earlier levels were multiplied by the ratio of the two contracts: returns are those of a contract held, levels were never paid.
    RatioAdjusted,
}

impl Series {
    /// What was done where contracts change, of a future.
    #[must_use]
    pub fn roll(&self) -> Option<Roll> {
        match self {
            Self::Future(future) => Some(future.roll),
            Self::Spot | Self::Index => None,
        }
    }

    /// What a reader of errors should know of its levels.
    #[must_use]
    pub fn caution(&self) -> Option<&'static str> {
        match self.roll()? {
            Roll::Unadjusted => Some("a change over a roll holds the gap between two contracts, which nobody who held one had"),
            Roll::RatioAdjusted => Some(
                "levels before the newest roll were never paid, so errors in the price's unit are not money; shares of the price are right",
            ),
            Roll::BackAdjusted => Some("levels before the newest roll were never paid, and shares of them mean nothing"),
        }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spot => f.write_str("spot"),
            Self::Index => f.write_str("index"),
            Self::Future(Future { symbol, exchange, contract, roll }) => write!(f, "{symbol} ({exchange}) {contract}, {roll}"),
        }
    }
}

impl fmt::Display for Roll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unadjusted => "unadjusted",
            Self::BackAdjusted => "back-adjusted",
            Self::RatioAdjusted => "ratio-adjusted",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_reads_as_it_is_written_in_recipes_and_records() {
        let future = r#"{"symbol":"ZL","exchange":"CBOT","contract":"front month","roll":"unadjusted"}"#;
        for (text, words) in [(r#""spot""#, "spot"), (r#""index""#, "index"), (future, "ZL (CBOT) front month, unadjusted")] {
            let series: Series = serde_json::from_str(text).unwrap();
            assert_eq!((series.to_string().as_str(), serde_json::to_string(&series).unwrap().as_str()), (words, text));
        }
        for text in [r#""future""#, r#"{"symbol":"ZL","exchange":"CBOT","contract":"front month"}"#, r#"{"symbol":"ZL"}"#] {
            assert!(serde_json::from_str::<Series>(text).is_err(), "{text}");
        }
    }
}
