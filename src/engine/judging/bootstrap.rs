//! Owns block-bootstrap intervals of mean errors and of their ratios. Invariant: the same rows, length of block, number of resamples and seed give the
//! same bits on every platform.
//!
//! Rows are put on a circle; a resample strings together blocks of `block` neighbouring rows, each beginning at a row drawn evenly, until it has as
//! many rows as there are (the last block is cut). The interval runs from the 2.5th to the 97.5th percentile of the statistic over the resamples, between
//! neighbours in a straight line. Model and naive are resampled together, by the same rows.
//!
//! Sources: D. N. Politis and J. P. Romano, "A circular block-resampling procedure for stationary data", in *Exploring the Limits of Bootstrap*, 1992;
//! H. R. Künsch, *Annals of Statistics* 17, 1989 (blocks); B. Efron, *Annals of Statistics* 7, 1979 (percentiles); P. Hall, J. L. Horowitz and
//! B.-Y. Jing, *Biometrika* 82, 1995 (a block's length grows with the cube root of the rows). Random numbers: wyrand (Wang Yi), as the crate
//! `fastrand` has it.

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use crate::engine::numbers::{count, quantile};

/// The share of resamples outside the interval, on either side.
const TAIL: f64 = 0.025;

/// What a bootstrap is asked to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bootstrap {
    /// How many resamples.
    pub resamples: u32,
    /// Rows in a block, where the recipe says.
    pub block: Option<u32>,
    /// The random numbers' seed.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { resamples: 2000, block: None, seed: 42 }
    }
}

/// Both ends of a 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The block that is used where the recipe names none: as long as forecasts are open at once, and not below the cube root of the rows.
#[must_use]
pub fn default_block(rows: usize, open: usize) -> usize {
    let root = (1..=rows).find(|root| root.saturating_pow(3) >= rows).unwrap_or(1);
    open.max(root)
}

/// The resamples of some rows, as the first rows of their blocks.
pub struct Resamples {
    rows: usize,
    block: usize,
    /// Resample after resample.
    starts: Vec<usize>,
}

impl Resamples {
    /// Draws resamples of `rows` rows in blocks of `block`; `None` where the rows do not fill two blocks, for then nothing can vary.
    #[must_use]
    pub fn draw(rows: usize, block: usize, bootstrap: &Bootstrap) -> Option<Self> {
        if block == 0 || rows < 2 * block {
            return None;
        }
        let mut random = Rng::with_seed(bootstrap.seed);
        let draws = rows.div_ceil(block) * bootstrap.resamples as usize;
        // 64 bits whatever the platform's word.
        let starts = (0..draws).map(|_| usize::try_from(random.u64(..rows as u64)).unwrap_or(0)).collect();
        Some(Self { rows, block, starts })
    }

    /// The interval of the mean of `values`, one a row.
    #[must_use]
    pub fn mean(&self, values: &[f64]) -> Option<Interval> {
        let rows = count(self.rows);
        percentiles(self.sums(values).into_iter().map(|sum| sum / rows).collect())
    }

    /// The interval of the mean of `values` over the mean of `beside`; `None` where a resample's `beside` is zero throughout.
    #[must_use]
    pub fn ratio(&self, values: &[f64], beside: &[f64]) -> Option<Interval> {
        percentiles(self.sums(values).into_iter().zip(self.sums(beside)).map(|(over, under)| over / under).collect())
    }

    /// The sum over each resample.
    fn sums(&self, values: &[f64]) -> Vec<f64> {
        let mut before = vec![0.0];
        before.extend(values.iter().chain(values).scan(0.0, |sum, value| {
            *sum += value;
            Some(*sum)
        }));
        let blocks = self.rows.div_ceil(self.block);
        let last = self.rows - (blocks - 1) * self.block;
        let length = |at: usize| if at + 1 == blocks { last } else { self.block };
        let sum = |starts: &[usize]| starts.iter().enumerate().map(|(at, start)| before[start + length(at)] - before[*start]).sum();
        self.starts.chunks(blocks).map(sum).collect()
    }
}

/// Both percentiles, between neighbours in a straight line; `None` where a value is none.
fn percentiles(mut values: Vec<f64>) -> Option<Interval> {
    if values.is_empty() || values.iter().any(|value| !value.is_finite()) {
        return None;
    }
    values.sort_by(f64::total_cmp);
    Some(Interval { low: quantile(&values, TAIL), high: quantile(&values, 1.0 - TAIL) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(rows: usize, block: usize) -> Resamples {
        Resamples::draw(rows, block, &Bootstrap::default()).unwrap()
    }

    /// The mean of each resample, row by row.
    fn slowly(resamples: &Resamples, values: &[f64]) -> Vec<f64> {
        let blocks = resamples.rows.div_ceil(resamples.block);
        let rows = |starts: &[usize]| -> Vec<usize> {
            starts.iter().flat_map(|s| (*s..s + resamples.block).map(|row| row % resamples.rows)).take(resamples.rows).collect()
        };
        resamples.starts.chunks(blocks).map(|starts| rows(starts).iter().map(|row| values[*row]).sum()).collect()
    }

    #[test]
    fn a_resample_has_as_many_rows_as_there_are_in_whole_blocks_round_a_circle() {
        let values: Vec<f64> = (0..50_u32).map(|v| f64::from(v * v % 17)).collect();
        for block in [1, 7, 25] {
            let resamples = draw(values.len(), block);
            for (quick, slow) in resamples.sums(&values).into_iter().zip(slowly(&resamples, &values)) {
                assert!((quick - slow).abs() < 1e-9, "{block}");
            }
        }
    }

    #[test]
    fn the_same_seed_draws_the_same_rows_on_every_platform() {
        assert_eq!(draw(1000, 21).starts[..6], [790, 493, 804, 39, 542, 455]);
        let other = Bootstrap { seed: 43, ..Bootstrap::default() };
        assert_ne!(Resamples::draw(1000, 21, &other).unwrap().starts[..6], draw(1000, 21).starts[..6]);
    }

    #[test]
    fn a_mean_that_cannot_vary_has_an_interval_of_no_width() {
        let resamples = draw(40, 4);
        assert_eq!(resamples.mean(&[2.0; 40]), Some(Interval { low: 2.0, high: 2.0 }));
        let values: Vec<f64> = (1..41_u32).map(f64::from).collect();
        assert_eq!(resamples.ratio(&values, &values), Some(Interval { low: 1.0, high: 1.0 }));
        assert_eq!(resamples.ratio(&values, &[0.0; 40]), None);
        let mean = resamples.mean(&values).unwrap();
        assert!(mean.low < 20.5 && mean.high > 20.5 && mean.low > 1.0 && mean.high < 40.0);
    }

    #[test]
    fn longer_blocks_of_errors_that_hang_together_widen_the_interval() {
        let values: Vec<f64> = (0..400_u32).map(|v| f64::from(v / 40 % 2)).collect();
        let width = |block| draw(400, block).mean(&values).map(|i| i.high - i.low).unwrap();
        assert!(width(40) > 2.0 * width(1));
    }

    #[test]
    fn rows_that_do_not_fill_two_blocks_have_no_interval() {
        assert!(Resamples::draw(41, 21, &Bootstrap::default()).is_none());
        assert!(Resamples::draw(42, 21, &Bootstrap::default()).is_some());
    }

    #[test]
    fn a_block_is_as_long_as_the_horizon_and_the_cube_root_of_the_rows() {
        assert_eq!((default_block(1236, 5), default_block(1236, 21), default_block(0, 1), default_block(1000, 1)), (11, 21, 1, 10));
    }

    #[test]
    fn percentiles_lie_between_neighbours_in_a_straight_line() {
        assert!((quantile(&[0.0, 1.0, 2.0, 3.0], 0.5) - 1.5).abs() < 1e-12);
        assert!((quantile(&[0.0, 10.0], 0.975) - 9.75).abs() < 1e-12);
    }
}
