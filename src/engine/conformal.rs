//! Owns intervals around forecasts by split conformal prediction. Invariant: an interval is made from forecasts the model had not seen, and its coverage is
//! counted on rows that did not make it, never assumed.
//!
//! | | |
//! |---|---|
//! | residual | `abs(ln(a / p))` where all prices are above zero, else `abs(a − p)`; `a` the price that came, `p` the one that was forecast |
//! | reach at level `q` | the `k`-th smallest of the `n` residuals, `k = ⌈(n + 1) q⌉`; none where `k > n` |
//! | interval | `p · exp(± reach)`, or `p ± reach` |
//! | coverage | share of the rows within the reach of all rows but those of its own block and those whose windows meet the block's |
//! | its interval | circular block bootstrap of that share |
//! | coverage looking back | share of the rows within the reach of the rows whose outcome was known when they were made |
//!
//! Where residuals are exchangeable, an interval made in this way holds the next price with probability at least `q`, whatever the model and the
//! distribution. Forecasts that overlap are not exchangeable, and markets change: that is why coverage is counted.
//!
//! Sources: V. Vovk, A. Gammerman and G. Shafer, *Algorithmic Learning in a Random World*, 2005; J. Lei, M. G'Sell, A. Rinaldo, R. J. Tibshirani and
//! L. Wasserman, *Journal of the American Statistical Association* 113, 2018 (split conformal, theorem 2.2); R. F. Barber, E. J. Candès, A. Ramdas and
//! R. J. Tibshirani, *Annals of Statistics* 51, 2023 (what is left of it without exchangeability).

use std::ops::Range;

use chrono::NaiveDate;
use serde::Serialize;

use crate::base::date;
use crate::engine::evaluation::TestRow;
use crate::engine::judging::bootstrap::{Bootstrap, Interval, Resamples, default_block};
use crate::engine::judging::segments::{effective, open_at_once};
use crate::engine::numbers::{mean, share};
use crate::engine::past_forecasts::Prediction;

/// The levels of the intervals, in percent.
pub const LEVELS: [u32; 2] = [80, 95];

/// How far a forecast is from what came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// By their ratio.
    LogRatio,
    /// By their difference: a price at or below zero has no ratio.
    Difference,
}

impl Scale {
    /// By the ratio, where every price and forecast allows it.
    #[must_use]
    pub fn of(predictions: &[Prediction], forecasts: &[f64]) -> Self {
        let levels = predictions.iter().flat_map(|p| [p.row.actual, p.predicted]);
        if levels.chain(forecasts.iter().copied()).all(|level| level > 0.0) { Self::LogRatio } else { Self::Difference }
    }

    /// The residual.
    #[must_use]
    pub fn distance(self, actual: f64, predicted: f64) -> f64 {
        match self {
            Self::LogRatio => (actual / predicted).ln().abs(),
            Self::Difference => (actual - predicted).abs(),
        }
    }

    /// All prices within this reach of a forecast.
    #[must_use]
    pub fn around(self, predicted: f64, reach: f64) -> Interval {
        match self {
            Self::LogRatio => Interval { low: predicted * (-reach).exp(), high: predicted * reach.exp() },
            Self::Difference => Interval { low: predicted - reach, high: predicted + reach },
        }
    }
}

/// The reach at `percent`, from residuals in ascending order; `None` where they are too few to bound so large a share.
#[must_use]
pub fn reach(sorted: &[f64], percent: u32) -> Option<f64> {
    let rank = ((sorted.len() + 1) * percent as usize).div_ceil(100);
    rank.checked_sub(1).and_then(|at| sorted.get(at)).copied()
}

/// What intervals are made from, and how well they held.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// How residuals are measured.
    pub scale: Scale,
    /// How many residuals.
    pub n: usize,
    /// The first forecast among them.
    #[serde(serialize_with = "date::serialize")]
    pub first_date: NaiveDate,
    /// The last.
    #[serde(serialize_with = "date::serialize")]
    pub last_date: NaiveDate,
    /// The most of them that were open at once.
    pub open_at_once: usize,
    /// How many of them do not overlap: `n` over that, at least 1.
    pub effective_n: f64,
    /// Rows in a block.
    pub block: usize,
    /// The bootstrap.
    pub bootstrap: Bootstrap,
    /// The levels.
    pub levels: Vec<Level>,
}

/// One level's interval.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Level {
    /// The level, in percent.
    pub percent: u32,
    /// How far the interval reaches from the forecast, in the scale's unit.
    pub reach: Option<f64>,
    /// The share of the rows that was covered, each by an interval made without its neighbours.
    pub coverage: Option<f64>,
    /// The bootstrap's 95 % interval of that share.
    pub coverage_interval: Option<Interval>,
    /// Rows for which an interval could be made from what was known then.
    pub looking_back_n: usize,
    /// The share of those that was covered.
    pub looking_back: Option<f64>,
}

/// Measures the intervals that `predictions`, in the order of their dates, give to `forecasts`; `None` where there are no predictions.
#[must_use]
pub fn calibrate(predictions: &[Prediction], forecasts: &[f64], bootstrap: &Bootstrap) -> Option<Calibration> {
    let rows: Vec<TestRow> = predictions.iter().map(|p| p.row).collect();
    let (n, order) = (rows.len(), (0..rows.len()).collect::<Vec<_>>());
    let open = open_at_once(&rows, &order);
    let block = default_block(n, open);
    let scale = Scale::of(predictions, forecasts);
    let residuals = residuals(predictions, scale);
    let resamples = Resamples::draw(n, block, bootstrap);
    let sorted = sorted(residuals.clone());
    let left_out = reaches_without_own_block(&rows, &residuals, block);
    let back = looking_back(predictions, scale);
    let level = |(at, percent): (usize, &u32)| {
        let held: Option<Vec<f64>> =
            left_out.iter().zip(&residuals).map(|(reach, residual)| Some(share(*residual <= reach[at]?))).collect();
        let then: Vec<f64> = back.iter().zip(&residuals).filter_map(|(reach, residual)| Some(share(*residual <= reach[at]?))).collect();
        Level {
            percent: *percent,
            reach: reach(&sorted, *percent),
            coverage: held.as_deref().and_then(mean),
            coverage_interval: held.as_deref().and_then(|held| resamples.as_ref()?.mean(held)),
            looking_back_n: then.len(),
            looking_back: mean(&then),
        }
    };
    Some(Calibration {
        scale,
        n,
        first_date: rows.first()?.date,
        last_date: rows.last()?.date,
        open_at_once: open,
        effective_n: effective(n, open),
        block,
        bootstrap: *bootstrap,
        levels: LEVELS.iter().enumerate().map(level).collect(),
    })
}

/// For each row, the reaches that the rows whose outcome was known on its date give it.
#[must_use]
pub fn looking_back(predictions: &[Prediction], scale: Scale) -> Vec<[Option<f64>; LEVELS.len()]> {
    let residuals = residuals(predictions, scale);
    let mut by_outcome: Vec<usize> = (0..predictions.len()).collect();
    by_outcome.sort_by_key(|at| predictions[*at].row.outcome_date);
    let mut waiting = by_outcome.into_iter().peekable();
    let mut known: Vec<f64> = Vec::with_capacity(predictions.len());
    let mut reaches = Vec::with_capacity(predictions.len());
    for prediction in predictions {
        while let Some(at) = waiting.next_if(|at| predictions[*at].row.outcome_date <= prediction.row.date) {
            let place = known.partition_point(|residual| *residual <= residuals[at]);
            known.insert(place, residuals[at]);
        }
        reaches.push(LEVELS.map(|percent| reach(&known, percent)));
    }
    reaches
}

fn residuals(predictions: &[Prediction], scale: Scale) -> Vec<f64> {
    predictions.iter().map(|p| scale.distance(p.row.actual, p.predicted)).collect()
}

/// For each row, the reaches that all rows give it but those of its block of neighbours and those whose windows meet the block's.
fn reaches_without_own_block(rows: &[TestRow], residuals: &[f64], block: usize) -> Vec<[Option<f64>; LEVELS.len()]> {
    let mut reaches = Vec::with_capacity(rows.len());
    for first in (0..rows.len()).step_by(block.max(1)) {
        let own = first..(first + block).min(rows.len());
        let apart = apart(rows, &own);
        let others = sorted(apart.map(|at| residuals[at]).collect());
        reaches.extend(own.map(|_| LEVELS.map(|percent| reach(&others, percent))));
    }
    reaches
}

/// The rows whose days, from forecast to outcome, are none of the block's.
fn apart<'a>(rows: &'a [TestRow], own: &Range<usize>) -> impl Iterator<Item = usize> + 'a {
    let from = rows[own.start].date;
    let to = rows[own.clone()].iter().map(|row| row.outcome_date).max().unwrap_or(from);
    (0..rows.len()).filter(move |at| rows[*at].outcome_date < from || rows[*at].date > to)
}

fn sorted(mut residuals: Vec<f64>) -> Vec<f64> {
    residuals.sort_by(f64::total_cmp);
    residuals
}

#[cfg(test)]
mod tests {
    use chrono::Days;
    use proptest::prelude::*;

    use super::*;
    use crate::engine::numbers::count;

    /// Daily forecasts of 50, each due `due` days later, that miss by these amounts.
    fn misses(all: &[f64], due: u64) -> Vec<Prediction> {
        let day = |at: usize| NaiveDate::default() + Days::new(at as u64);
        let one = |(at, miss): (usize, &f64)| {
            let row = TestRow { date: day(at), outcome_date: day(at) + Days::new(due), price: 50.0, actual: 50.0 + miss };
            Prediction { row, predicted: 50.0 }
        };
        all.iter().enumerate().map(one).collect()
    }

    #[test]
    fn the_reach_is_the_residual_of_rank_n_plus_one_times_the_level_rounded_up() {
        let ninety_nine: Vec<f64> = (1..100_u32).map(f64::from).collect();
        assert_eq!((reach(&ninety_nine, 80), reach(&ninety_nine, 95)), (Some(80.0), Some(95.0)));
        assert_eq!((reach(&ninety_nine[..19], 95), reach(&ninety_nine[..18], 95)), (Some(19.0), None));
        assert_eq!((reach(&ninety_nine[..4], 80), reach(&[], 80)), (Some(4.0), None));
    }

    #[test]
    fn ratios_are_taken_only_where_every_price_has_one() {
        let above = misses(&[1.0, -1.0], 1);
        assert_eq!((Scale::of(&above, &[40.0]), Scale::of(&above, &[-1.0])), (Scale::LogRatio, Scale::Difference));
        assert_eq!(Scale::of(&misses(&[-87.0], 1), &[40.0]), Scale::Difference);
        let around = Scale::LogRatio.around(40.0, 1.25_f64.ln());
        assert!((around.low - 32.0).abs() < 1e-12 && (around.high - 50.0).abs() < 1e-12);
        assert_eq!(Scale::Difference.around(-1.0, 3.0), Interval { low: -4.0, high: 2.0 });
    }

    #[test]
    fn a_row_never_helps_to_make_the_interval_it_is_counted_by() {
        // Calm for a year, then a month of storms: no calm day covers them, and looking back none is covered before storms have come due.
        let all: Vec<f64> =
            (0..400_u32).map(|at| if at < 370 { 1.0 + f64::from(at % 7) / 10.0 } else { 20.0 + f64::from(at) / 100.0 }).collect();
        let found = calibrate(&misses(&all, 30), &[50.0], &Bootstrap::default()).unwrap();
        assert_eq!((found.n, found.open_at_once, found.block), (400, 30, 30));
        assert!((found.effective_n - 400.0 / 30.0).abs() < 1e-12);
        let wide = &found.levels[1];
        assert!((wide.coverage.unwrap() - 370.0 / 400.0).abs() < 1e-12, "{wide:?}");
        assert_eq!(wide.looking_back_n, 400 - 30 - 18, "nineteen outcomes must be known");
        assert!((wide.looking_back.unwrap() - 322.0 / 352.0).abs() < 1e-12, "{wide:?}");
        let interval = wide.coverage_interval.unwrap();
        assert!(interval.low < 0.925 && interval.high >= 0.925 && interval.high <= 1.0, "{interval:?}");
    }

    #[test]
    fn rows_too_few_for_a_level_have_no_interval_rather_than_a_narrow_one() {
        let found = calibrate(&misses(&[1.0, 2.0, 3.0, 4.0, 5.0], 1), &[50.0], &Bootstrap::default()).unwrap();
        assert!(found.levels[0].reach.is_some());
        assert_eq!((found.levels[1].reach, found.levels[1].coverage), (None, None));
        assert!(calibrate(&[], &[50.0], &Bootstrap::default()).is_none());
    }

    #[test]
    fn what_is_known_later_changes_no_interval_of_an_earlier_day() {
        let mut random = fastrand::Rng::with_seed(11);
        let mut all: Vec<f64> = (0..200).map(|_| random.f64() * 10.0).collect();
        let before = looking_back(&misses(&all, 5), Scale::LogRatio);
        all[150..].iter_mut().for_each(|miss| *miss *= 3.0);
        assert_eq!(looking_back(&misses(&all, 5), Scale::LogRatio)[..155], before[..155]);
    }

    #[test]
    fn on_exchangeable_residuals_an_interval_covers_what_it_says_whatever_their_distribution() {
        let mut random = fastrand::Rng::with_seed(7);
        // Even; with a tail so heavy that it has no variance; in two lumps.
        let draws: [fn(f64) -> f64; 3] = [|u| u, |u| (1.0 - u).powf(-1.0 / 1.5), |u| if u < 0.7 { u } else { 100.0 + u }];
        for draw in draws {
            for (n, percent) in [(30, 80), (39, 95), (200, 80), (200, 95)] {
                let trials = 2500;
                let mut held = 0;
                for _ in 0..trials {
                    let past = sorted((0..n).map(|_| draw(random.f64())).collect());
                    held += usize::from(draw(random.f64()) <= reach(&past, percent).unwrap());
                }
                let (held, level, n) = (count(held) / count(trials), f64::from(percent) / 100.0, count(n));
                // Three standard deviations of a share over so many trials.
                let noise = 3.0 * (level * (1.0 - level) / count(trials)).sqrt();
                assert!(held >= level - noise && held <= level + 1.0 / (n + 1.0) + noise, "{held} at {level} from {n}");
            }
        }
    }

    proptest! {
        /// Of exchangeable numbers each is equally likely to be the one to come, so the share of them that the others' reach holds *is* the
        /// coverage.
        #[test]
        fn of_any_numbers_at_least_the_levels_share_lies_within_the_reach_of_the_others(all in prop::collection::vec(0.0..9.0_f64, 20..60), round in any::<bool>()) {
            // Rounded, there are ties.
            let all: Vec<f64> = all.into_iter().map(|v| if round { v.round() } else { v }).collect();
            for percent in LEVELS {
                let held = (0..all.len()).filter(|out| {
                    let others = sorted(all.iter().enumerate().filter(|(at, _)| at != out).map(|(_, v)| *v).collect());
                    reach(&others, percent).is_some_and(|reach| all[*out] <= reach)
                });
                prop_assert!(held.count() * 100 >= all.len() * percent as usize);
            }
        }

        #[test]
        fn the_wider_level_holds_the_narrower(all in prop::collection::vec(0.0..40.0_f64, 25..80)) {
            let found = calibrate(&misses(&all, 3), &[50.0], &Bootstrap { resamples: 50, ..Bootstrap::default() }).unwrap();
            let [narrow, wide] = [0, 1].map(|at| found.scale.around(50.0, found.levels[at].reach.unwrap()));
            prop_assert!(wide.low <= narrow.low && narrow.low <= 50.0 && 50.0 <= narrow.high && narrow.high <= wide.high);
        }
    }
}
