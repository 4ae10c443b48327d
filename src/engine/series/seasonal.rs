//! Owns the two forecasts that need no fitting: the season's last price, and the price moved on by the mean change. Invariant: neither looks at more
//! than the prices up to its row and what the train rows showed.

use serde::{Deserialize, Serialize};

use crate::engine::numbers::count;
use crate::engine::series::error::SeriesError;

/// The price that stood one season before the target, or as many whole seasons before it as it takes to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeasonalNaive {
    /// Rows in a season.
    pub seasonal_periods: usize,
}

impl SeasonalNaive {
    /// How many earlier prices a forecast needs.
    #[must_use]
    pub fn needs(&self, steps: usize) -> usize {
        self.seasonal_periods * steps.div_ceil(self.seasonal_periods) - steps
    }

    /// The forecast from the last of these prices.
    #[must_use]
    pub fn forecast(&self, known: &[f64], steps: usize) -> f64 {
        known[known.len() - 1 - self.needs(steps)]
    }
}

/// The last price and, for each step, the mean change of the train prices.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drift {
    /// The mean change from one train price to the next.
    pub mean_change: f64,
}

impl Drift {
    /// The drift of these prices: the straight line from the first to the last.
    ///
    /// # Errors
    /// When there are not two.
    pub fn fit(prices: &[f64]) -> Result<Self, SeriesError> {
        match prices {
            [first, .., last] => Ok(Self { mean_change: (last - first) / count(prices.len() - 1) }),
            _ => Err(SeriesError::TooShort { needs: 2, has: prices.len() }),
        }
    }

    /// The forecast from the last of these prices.
    #[must_use]
    pub fn forecast(&self, known: &[f64], steps: usize) -> f64 {
        known[known.len() - 1] + count(steps) * self.mean_change
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact by construction")]
mod tests {
    use super::*;

    #[test]
    fn a_season_ago_is_counted_from_the_target() {
        let known = [10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0];
        let season = SeasonalNaive { seasonal_periods: 5 };
        assert_eq!(season.forecast(&known, 1), 12.0, "the next price stood five rows before it");
        assert_eq!(season.forecast(&known, 5), 16.0, "today is one season before it");
        assert_eq!(season.forecast(&known, 7), 13.0, "two seasons before it, for one before is not known");
        assert_eq!((season.needs(1), season.needs(5), season.needs(7)), (4, 0, 3));
    }

    #[test]
    fn drift_goes_on_as_the_train_prices_went() {
        let drift = Drift::fit(&[10.0, 40.0, 13.0]).unwrap();
        assert_eq!((drift.mean_change, drift.forecast(&[1.0, 20.0], 4)), (1.5, 26.0));
        assert_eq!(Drift::fit(&[1.0]), Err(SeriesError::TooShort { needs: 2, has: 1 }));
    }
}
