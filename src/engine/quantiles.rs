//! Owns forecasts of several quantiles of one price. Invariant: of a row, a higher level never stands below a lower one, and it is told whether the
//! models themselves had crossed.
//!
//! Quantiles that are learnt one by one may cross. Sorted, level by level within a row, they no longer do, and are nearer the true ones than before
//! wherever they had crossed: V. Chernozhukov, I. Fernández-Val and A. Galichon, *Econometrica* 78, 2010 (rearrangement). The naive quantiles
//! are those of the price's changes over the rows that were learnt from (unweighted, [`quantile`]), around today's price.

use serde::{Deserialize, Serialize};

use crate::engine::numbers::quantile;

/// Quantiles of the price, forecast for some rows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Quantiles {
    /// The levels, ascending.
    pub levels: Vec<f64>,
    /// For each level one price a row.
    pub predicted: Vec<Vec<f64>>,
    /// For each level the naive one.
    pub naive: Vec<Vec<f64>>,
    /// For each row whether the models' own crossed.
    pub crossed: Vec<bool>,
}

impl Quantiles {
    /// Those that models gave one by one, rearranged, and the naive ones beside them; `naive` holds one list a row.
    #[must_use]
    pub fn rearranged(levels: &[f64], own: Vec<Vec<f64>>, naive: &[Vec<f64>]) -> Self {
        let rows = naive.len();
        let crossed = (0..rows).map(|row| own.windows(2).any(|pair| pair[0][row] > pair[1][row])).collect();
        let mut predicted = own;
        for row in 0..rows {
            let mut sorted: Vec<f64> = predicted.iter().map(|of_level| of_level[row]).collect();
            sorted.sort_by(f64::total_cmp);
            predicted.iter_mut().zip(sorted).for_each(|(of_level, value)| of_level[row] = value);
        }
        let naive = (0..levels.len()).map(|level| naive.iter().map(|row| row[level]).collect()).collect();
        Self { levels: levels.to_vec(), predicted, naive, crossed }
    }

    /// The middle one.
    #[must_use]
    pub fn median(&self) -> &[f64] {
        let at = self.levels.iter().position(|level| is_median(*level)).unwrap_or(self.levels.len() / 2);
        self.predicted.get(at).map_or(&[], Vec::as_slice)
    }

    /// Adds the rows of another of the same levels.
    pub fn extend(&mut self, other: Self) {
        if self.levels.is_empty() {
            *self = other;
            return;
        }
        let both =
            |mine: &mut Vec<Vec<f64>>, theirs: Vec<Vec<f64>>| mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| mine.extend(theirs));
        both(&mut self.predicted, other.predicted);
        both(&mut self.naive, other.naive);
        self.crossed.extend(other.crossed);
    }
}

/// Whether half of the prices are meant to come below it.
#[must_use]
pub fn is_median(level: f64) -> bool {
    (level - 0.5).abs() < 1e-9
}

/// The quantiles of past changes, for the naive quantiles of a price.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PastChanges {
    /// Whether changes are logarithms of ratios; else differences, for a price at or below zero has no ratio.
    pub by_ratio: bool,
    /// One change a level.
    pub changes: Vec<f64>,
}

impl PastChanges {
    /// Of prices and what came of them; there must be one.
    #[must_use]
    pub fn of(prices: &[f64], outcomes: &[f64], levels: &[f64]) -> Self {
        let by_ratio = prices.iter().chain(outcomes).all(|price| *price > 0.0);
        let change = |(price, outcome): (&f64, &f64)| if by_ratio { (outcome / price).ln() } else { outcome - price };
        let mut all: Vec<f64> = prices.iter().zip(outcomes).map(change).collect();
        all.sort_by(f64::total_cmp);
        Self { by_ratio, changes: levels.iter().map(|level| quantile(&all, *level)).collect() }
    }

    /// The naive quantiles around a price.
    #[must_use]
    pub fn around(&self, price: f64) -> Vec<f64> {
        let mut all: Vec<f64> = self.changes.iter().map(|by| if self.by_ratio { price * by.exp() } else { price + by }).collect();
        // Of a price below zero the order of the ratios turns round.
        all.sort_by(f64::total_cmp);
        all
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantiles_that_cross_are_put_in_order_and_told() {
        let found =
            Quantiles::rearranged(&[0.1, 0.5, 0.9], vec![vec![1.0, 5.0], vec![2.0, 4.0], vec![3.0, 6.0]], &vec![vec![0.0, 1.0, 2.0]; 2]);
        assert_eq!(found.predicted, [[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]);
        assert_eq!((found.crossed.as_slice(), found.median()), ([false, true].as_slice(), [2.0, 5.0].as_slice()));
        assert_eq!(found.naive, [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]);
    }

    #[test]
    fn naive_quantiles_are_those_of_past_changes_around_todays_price() {
        let doubled = PastChanges::of(&[1.0, 2.0, 4.0], &[1.0, 4.0, 16.0], &[0.0, 0.5, 1.0]);
        let around = doubled.around(10.0);
        assert!(around.iter().zip([10.0, 20.0, 40.0]).all(|(found, expected)| (found - expected).abs() < 1e-9), "{around:?}");
        let by_difference = PastChanges::of(&[-1.0, 2.0], &[1.0, 3.0], &[0.5]);
        assert!(!by_difference.by_ratio && (by_difference.around(10.0)[0] - 11.5).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn rearranged_quantiles_never_cross_and_lose_no_pinball_on_the_whole(
            rows in prop::collection::vec((1.0..99.0_f64, 1.0..99.0_f64, 1.0..99.0_f64, 1.0..99.0_f64), 1..30),
        ) {
            let levels = [0.1, 0.5, 0.9];
            let own = vec![rows.iter().map(|r| r.0).collect(), rows.iter().map(|r| r.1).collect(), rows.iter().map(|r| r.2).collect::<Vec<_>>()];
            let found = Quantiles::rearranged(&levels, own.clone(), &vec![vec![0.0; 3]; rows.len()]);
            let pinball = |all: &[Vec<f64>]| -> f64 {
                let of = |level: f64, actual: f64, p: f64| (level * (actual - p)).max((level - 1.0) * (actual - p));
                (0..3).flat_map(|k| rows.iter().enumerate().map(move |(row, r)| (k, row, r.3))).map(|(k, row, actual)| of(levels[k], actual, all[k][row])).sum()
            };
            for row in 0..rows.len() {
                prop_assert!(found.predicted.windows(2).all(|pair| pair[0][row] <= pair[1][row]));
            }
            prop_assert!(pinball(&found.predicted) <= pinball(&own) + 1e-9);
        }
    }
}
