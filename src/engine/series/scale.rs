//! Owns the scales that a series is modelled on. Invariant: the way to a scale and back leads to the same price.

use serde::{Deserialize, Serialize};

use crate::engine::frame_file::iso_date;
use crate::engine::price_history::PriceHistory;
use crate::engine::series::error::SeriesError;

/// On what scale levels are modelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// The price.
    Price,
    /// Its natural logarithm.
    LogPrice,
}

impl Scale {
    /// A price on this scale.
    #[must_use]
    pub fn to(self, price: f64) -> f64 {
        match self {
            Self::Price => price,
            Self::LogPrice => price.ln(),
        }
    }

    /// The price that stands there.
    #[must_use]
    pub fn price(self, level: f64) -> f64 {
        match self {
            Self::Price => level,
            Self::LogPrice => level.exp(),
        }
    }

    /// Refuses prices that are not on this scale.
    ///
    /// # Errors
    /// When the logarithm is asked for and a price is at or below zero.
    pub fn check(self, history: &PriceHistory) -> Result<(), SeriesError> {
        let mut days = history.dates.iter().zip(&history.prices);
        match days.find(|(_, price)| self == Self::LogPrice && **price <= 0.0) {
            Some((date, price)) => Err(SeriesError::NotPositive { date: iso_date(*date), price: *price }),
            None => Ok(()),
        }
    }

    /// The step from each price to the next, on this scale: the difference, or the log return.
    #[must_use]
    pub fn changes(self, prices: &[f64]) -> Vec<f64> {
        prices.windows(2).map(|pair| self.to(pair[1]) - self.to(pair[0])).collect()
    }
}
