//! Owns how well quantile sets did. Invariant: a level's loss stands beside that of the naive quantile, and a share of covered prices beside the interval
//! that so few forecasts leave it.
//!
//! With actual `a` and the quantile `p` of level `q`, both measured as [`crate::engine::metrics`] does:
//!
//! | measure | formula |
//! |---|---|
//! | pinball loss of a level | `Σ max(q (a − p), (q − 1)(a − p)) / n` |
//! | of the set | its mean over the levels |
//! | calibration of a level | share of the rows with `a ≤ p`, meant to be `q` |
//! | coverage of two levels, `q` and `1 − q` | share of the rows with `a` from the lower quantile to the upper one, meant to be `1 − 2q` |
//! | width | mean distance of the two |
//! | crossed | share of the rows on which the models' own quantiles crossed, before they were put in order |
//!
//! Sources: R. Koenker and G. Bassett, *Econometrica* 46, 1978; T. Gneiting, F. Balabdaoui and A. E. Raftery, *Journal of the Royal Statistical Society
//! B* 69, 2007 (calibration first, then as narrow as can be).

use serde::Serialize;

use crate::engine::evaluation::TestRow;
use crate::engine::judging::bootstrap::{Interval, Resamples};
use crate::engine::numbers::{mean, share};
use crate::engine::quantiles::Quantiles;

/// One set's measures over one segment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SetSummary {
    /// Mean pinball loss over rows and levels.
    pub pinball: Option<f64>,
    /// The naive quantiles'.
    pub naive_pinball: Option<f64>,
    /// The set's over naive's.
    pub pinball_ratio: Option<f64>,
    /// The bootstrap's interval of that.
    pub ratio_interval: Option<Interval>,
    /// The share of the rows on which the models' own quantiles crossed.
    pub crossed: Option<f64>,
    /// Each level.
    pub levels: Vec<LevelSummary>,
    /// Each two levels that lie evenly around the middle, the widest first.
    pub intervals: Vec<IntervalSummary>,
}

/// The measures of one level.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LevelSummary {
    /// The level.
    pub level: f64,
    /// Mean pinball loss.
    pub pinball: Option<f64>,
    /// The naive quantile's.
    pub naive_pinball: Option<f64>,
    /// The level's over naive's.
    pub pinball_ratio: Option<f64>,
    /// The bootstrap's interval of that.
    pub ratio_interval: Option<Interval>,
    /// The share of the prices that came at or below it.
    pub coverage: Option<f64>,
    /// The bootstrap's interval of that.
    pub coverage_interval: Option<Interval>,
    /// The share that came at or below the naive quantile.
    pub naive_coverage: Option<f64>,
}

/// The measures of the interval between two levels.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IntervalSummary {
    /// The lower level.
    pub lower: f64,
    /// The upper level.
    pub upper: f64,
    /// The share of the prices that is meant to come within.
    pub nominal: f64,
    /// The share that did.
    pub coverage: Option<f64>,
    /// The bootstrap's interval of that.
    pub coverage_interval: Option<Interval>,
    /// The mean width.
    pub width: Option<f64>,
    /// The share that came within the naive quantiles.
    pub naive_coverage: Option<f64>,
    /// Their mean width.
    pub naive_width: Option<f64>,
}

/// Measures a set over the rows at these places, in the order of time.
#[must_use]
pub fn summarise(set: &Quantiles, rows: &[TestRow], at: &[usize], resamples: Option<&Resamples>) -> SetSummary {
    let part = Part { set, rows, at, resamples };
    let own: Vec<Vec<f64>> = (0..set.levels.len()).map(|level| part.losses(&set.predicted, level)).collect();
    let naive: Vec<Vec<f64>> = (0..set.levels.len()).map(|level| part.losses(&set.naive, level)).collect();
    let (all, beside) = (over_levels(&own), over_levels(&naive));
    let level = |(level, (own, naive)): (usize, (&Vec<f64>, &Vec<f64>))| part.level(level, own, naive);
    SetSummary {
        pinball: mean(&all),
        naive_pinball: mean(&beside),
        pinball_ratio: ratio(&all, &beside),
        ratio_interval: resamples.and_then(|drawn| drawn.ratio(&all, &beside)),
        crossed: mean(&at.iter().map(|&row| share(set.crossed[row])).collect::<Vec<_>>()),
        levels: own.iter().zip(&naive).enumerate().map(level).collect(),
        intervals: pairs(&set.levels).into_iter().map(|pair| part.interval(pair)).collect(),
    }
}

/// For each row its mean loss.
fn over_levels(losses: &[Vec<f64>]) -> Vec<f64> {
    let rows = losses.first().map_or(0, Vec::len);
    (0..rows).filter_map(|row| mean(&losses.iter().map(|of_level| of_level[row]).collect::<Vec<_>>())).collect()
}

fn ratio(own: &[f64], naive: &[f64]) -> Option<f64> {
    mean(own).zip(mean(naive)).and_then(|(own, naive)| (naive > 0.0).then(|| own / naive))
}

/// Levels that lie evenly around the middle, by their places.
fn pairs(levels: &[f64]) -> Vec<(usize, usize)> {
    let other = |lower: usize| levels.iter().position(|upper| (levels[lower] + upper - 1.0).abs() < 1e-9);
    (0..levels.len()).filter_map(|lower| Some((lower, other(lower).filter(|upper| *upper > lower)?))).collect()
}

struct Part<'a> {
    set: &'a Quantiles,
    rows: &'a [TestRow],
    at: &'a [usize],
    resamples: Option<&'a Resamples>,
}

impl Part<'_> {
    fn losses(&self, of: &[Vec<f64>], level: usize) -> Vec<f64> {
        let q = self.set.levels[level];
        let loss = |row: &usize| {
            let miss = self.rows[*row].actual - of[level][*row];
            (q * miss).max((q - 1.0) * miss)
        };
        self.at.iter().map(loss).collect()
    }

    /// For each row 1 where it holds.
    fn shares(&self, holds: impl Fn(usize, f64) -> bool) -> Vec<f64> {
        self.at.iter().map(|&row| share(holds(row, self.rows[row].actual))).collect()
    }

    fn level(&self, level: usize, own: &[f64], naive: &[f64]) -> LevelSummary {
        let below = |of: &[Vec<f64>]| self.shares(|row, actual| actual <= of[level][row]);
        let covered = below(&self.set.predicted);
        LevelSummary {
            level: self.set.levels[level],
            pinball: mean(own),
            naive_pinball: mean(naive),
            pinball_ratio: ratio(own, naive),
            ratio_interval: self.resamples.and_then(|drawn| drawn.ratio(own, naive)),
            coverage: mean(&covered),
            coverage_interval: self.resamples.and_then(|drawn| drawn.mean(&covered)),
            naive_coverage: mean(&below(&self.set.naive)),
        }
    }

    fn interval(&self, (lower, upper): (usize, usize)) -> IntervalSummary {
        let within = |of: &[Vec<f64>]| self.shares(|row, actual| (of[lower][row]..=of[upper][row]).contains(&actual));
        let width = |of: &[Vec<f64>]| mean(&self.at.iter().map(|&row| of[upper][row] - of[lower][row]).collect::<Vec<_>>());
        let covered = within(&self.set.predicted);
        let levels = &self.set.levels;
        IntervalSummary {
            lower: levels[lower],
            upper: levels[upper],
            nominal: levels[upper] - levels[lower],
            coverage: mean(&covered),
            coverage_interval: self.resamples.and_then(|drawn| drawn.mean(&covered)),
            width: width(&self.set.predicted),
            naive_coverage: mean(&within(&self.set.naive)),
            naive_width: width(&self.set.naive),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_measured_level_by_level_and_between_levels_beside_naive() {
        let row = |actual| TestRow { date: chrono::NaiveDate::default(), outcome_date: chrono::NaiveDate::default(), price: 50.0, actual };
        let rows = [row(45.0), row(50.0), row(70.0), row(51.0)];
        let all = |low: f64, middle: f64, high: f64| vec![vec![low; 4], vec![middle; 4], vec![high; 4]];
        let set = Quantiles {
            levels: vec![0.1, 0.5, 0.9],
            predicted: all(46.0, 50.0, 60.0),
            naive: all(40.0, 50.0, 55.0),
            crossed: vec![false, true, false, false],
        };
        let found = summarise(&set, &rows, &[0, 1, 2, 3], None);
        let close = |found: Option<f64>, expected: f64| found.is_some_and(|found| (found - expected).abs() < 1e-12);
        assert!(close(found.crossed, 0.25));
        // 0.1: one below by 1 (pays 0.9), three above by 4, 24, 5 (pay a tenth).
        assert!(close(found.levels[0].pinball, (0.9 + 0.4 + 2.4 + 0.5) / 4.0) && close(found.levels[0].coverage, 0.25));
        assert!(close(found.levels[0].naive_pinball, (0.5 + 1.0 + 3.0 + 1.1) / 4.0) && close(found.levels[0].naive_coverage, 0.0));
        let [interval] = found.intervals.as_slice() else { panic!("{found:?}") };
        assert!((interval.nominal - 0.8).abs() < 1e-12 && close(interval.coverage, 0.5) && close(interval.width, 14.0));
        assert!(close(interval.naive_coverage, 0.75) && close(interval.naive_width, 15.0));
        let mean_of = |of: fn(&LevelSummary) -> Option<f64>| found.levels.iter().filter_map(of).sum::<f64>() / 3.0;
        assert!(close(found.pinball, mean_of(|l| l.pinball)) && close(found.naive_pinball, mean_of(|l| l.naive_pinball)));
        assert_eq!(found.ratio_interval, None);
    }

    #[test]
    fn only_levels_that_lie_evenly_around_the_middle_make_an_interval() {
        assert_eq!(pairs(&[0.05, 0.1, 0.5, 0.9]), [(1, 3)]);
        assert_eq!(pairs(&[0.025, 0.25, 0.5, 0.75, 0.975]), [(0, 4), (1, 3)]);
    }
}
