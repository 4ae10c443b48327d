//! Owns the measures of a forecast's error. Invariant: a measure that its rows do not define is `None`, never a number standing in for it,
//! and every summary carries the naive forecast's measures over the same rows.
//!
//! With actual `a`, predicted `p`, today's price `t` and `n` rows:
//!
//! | measure | formula | undefined when |
//! |---|---|---|
//! | MAE | `Σ abs(a − p) / n` | no rows |
//! | RMSE | `√(Σ (a − p)² / n)` | no rows |
//! | MAPE, in percent | `100 · Σ abs((a − p) / a) / n` | an actual is zero |
//! | R² | `1 − Σ (a − p)² / Σ (a − mean a)²` | all actuals are equal |
//! | direction | share of the rows with `a ≠ t` where `p − t` has the sign of `a − t` | no such rows, or `p = t` on all of them |
//! | ratios | MAE / MAE of naive, RMSE / RMSE of naive | naive makes no error |
//! | pinball loss at `q` | `Σ max(q (a − p), (q − 1)(a − p)) / n` | no rows |
//! | coverage | share of the rows with `a ≤ p` | no rows |
//!
//! Sources: R. J. Hyndman and G. Athanasopoulos, *Forecasting: Principles and Practice*, 3rd edition, 5.8 (MAE, RMSE, MAPE) and 5.9
//! (pinball loss, there twice as large: quantile score); R. J. Hyndman and A. B. Koehler, *International Journal of Forecasting* 22, 2006 (ratio to
//! naive: relative MAE); R. Koenker and G. Bassett, *Econometrica* 46, 1978 (the loss a quantile makes least); N. R. Draper and H. Smith, *Applied Regression Analysis*, 3rd edition, 1.3 (R² about the mean); M. H. Pesaran and A. Timmermann,
//! "A simple nonparametric test of predictive performance", 1992 (share of right signs). The naive forecast is that the price stays where it is.

use std::cmp::Ordering;

use serde::Serialize;

/// One forecast and what came of it, as price levels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// The price known when the forecast was made.
    pub price: f64,
    /// The price that came.
    pub actual: f64,
    /// The price that was forecast.
    pub predicted: f64,
}

/// The measures of one forecast over some rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Errors {
    /// Mean absolute percentage error, in percent.
    pub mape: Option<f64>,
    /// Mean absolute error.
    pub mae: Option<f64>,
    /// Root mean squared error.
    pub rmse: Option<f64>,
    /// Coefficient of determination.
    pub r2: Option<f64>,
    /// Directional accuracy, 0 to 1.
    pub direction: Option<f64>,
}

/// A forecast's measures beside the naive forecast's over the same rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// How many rows.
    pub n: u64,
    /// The forecast's measures.
    #[serde(flatten)]
    pub model: Errors,
    /// The naive forecast's.
    pub naive: Errors,
    /// The forecast's mean absolute error over naive's; above 1 it is worse than naive.
    pub mae_ratio: Option<f64>,
    /// The forecast's root mean squared error over naive's.
    pub rmse_ratio: Option<f64>,
}

/// The measures of a forecast that is meant to be a quantile, beside those of today's price taken for it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct QuantileErrors {
    /// The quantile's level: the share of the prices that is meant to come at or below it.
    pub level: f64,
    /// Mean pinball loss.
    pub pinball: Option<f64>,
    /// Today's price's.
    pub naive_pinball: Option<f64>,
    /// The share of the prices that came at or below it.
    pub coverage: Option<f64>,
    /// The share that came at or below today's price.
    pub naive_coverage: Option<f64>,
}

/// The measures of `rows` beside naive's. Sums run in the order of the rows, so the same rows in the same order give the same bits.
#[must_use]
pub fn summarise(rows: &[Outcome]) -> Summary {
    let model = errors(rows);
    let naive = errors(&staying(rows));
    let (mae_ratio, rmse_ratio) = (ratio(model.mae, naive.mae), ratio(model.rmse, naive.rmse));
    Summary { n: rows.len() as u64, model, naive, mae_ratio, rmse_ratio }
}

/// The measures of `rows` whose forecasts are quantiles of this level.
#[must_use]
pub fn quantile_errors(rows: &[Outcome], level: f64) -> QuantileErrors {
    let stays = staying(rows);
    let pinball = |row: &Outcome| (level * (row.actual - row.predicted)).max((level - 1.0) * (row.actual - row.predicted));
    let below = |row: &Outcome| if row.actual <= row.predicted { 1.0 } else { 0.0 };
    QuantileErrors {
        level,
        pinball: mean(rows, pinball),
        naive_pinball: mean(&stays, pinball),
        coverage: mean(rows, below),
        naive_coverage: mean(&stays, below),
    }
}

/// The same rows, forecast to stay where they are.
fn staying(rows: &[Outcome]) -> Vec<Outcome> {
    rows.iter().map(|r| Outcome { predicted: r.price, ..*r }).collect()
}

fn ratio(model: Option<f64>, naive: Option<f64>) -> Option<f64> {
    model.zip(naive).and_then(|(model, naive)| (naive > 0.0).then(|| model / naive))
}

/// The measures of one forecast.
#[must_use]
pub fn errors(rows: &[Outcome]) -> Errors {
    Errors {
        mape: mape(rows),
        mae: mean(rows, |r| (r.actual - r.predicted).abs()),
        rmse: rmse(rows),
        r2: r2(rows),
        direction: direction(rows),
    }
}

fn mape(rows: &[Outcome]) -> Option<f64> {
    if rows.iter().any(|r| r.actual == 0.0) {
        return None;
    }
    mean(rows, |r| 100.0 * ((r.actual - r.predicted) / r.actual).abs())
}

fn rmse(rows: &[Outcome]) -> Option<f64> {
    mean(rows, squared_error).map(f64::sqrt)
}

fn r2(rows: &[Outcome]) -> Option<f64> {
    let centre = mean(rows, |r| r.actual)?;
    // Asked of the values themselves: the rounded mean of equal values may differ from them.
    if rows.iter().all(|r| r.actual.partial_cmp(&rows[0].actual) == Some(Ordering::Equal)) {
        return None;
    }
    let spread: f64 = rows.iter().map(|r| (r.actual - centre).powi(2)).sum();
    Some(1.0 - rows.iter().map(squared_error).sum::<f64>() / spread)
}

fn direction(rows: &[Outcome]) -> Option<f64> {
    let side = |value: f64, row: &Outcome| value.partial_cmp(&row.price);
    let moved: Vec<_> = rows.iter().filter(|r| side(r.actual, r) != Some(Ordering::Equal)).copied().collect();
    if moved.iter().all(|r| side(r.predicted, r) == Some(Ordering::Equal)) {
        return None;
    }
    mean(&moved, |r| if side(r.predicted, r) == side(r.actual, r) { 1.0 } else { 0.0 })
}

fn squared_error(row: &Outcome) -> f64 {
    (row.actual - row.predicted).powi(2)
}

fn mean(rows: &[Outcome], value: impl Fn(&Outcome) -> f64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "far fewer rows than 2^52")]
    let n = rows.len() as f64;
    (!rows.is_empty()).then(|| rows.iter().map(value).sum::<f64>() / n)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(all: &[(f64, f64, f64)]) -> Vec<Outcome> {
        all.iter().map(|(price, actual, predicted)| Outcome { price: *price, actual: *actual, predicted: *predicted }).collect()
    }

    fn close(found: Option<f64>, expected: f64) -> bool {
        found.is_some_and(|f| (f - expected).abs() <= 1e-12 * expected.abs().max(1.0))
    }

    #[test]
    fn the_measures_agree_with_sums_done_by_hand() {
        // Errors 1, -2, 3 on actuals 10, 20, 30: mean 20, squares 14, spread 200; signs right on the first two.
        let summary = summarise(&rows(&[(8.0, 10.0, 9.0), (25.0, 20.0, 22.0), (29.0, 30.0, 27.0)]));
        assert_eq!(summary.n, 3);
        assert!(close(summary.model.mae, 2.0));
        assert!(close(summary.model.rmse, (14.0_f64 / 3.0).sqrt()));
        assert!(close(summary.model.mape, 10.0));
        assert!(close(summary.model.r2, 1.0 - 14.0 / 200.0));
        assert!(close(summary.model.direction, 2.0 / 3.0));
        // Naive errs by 2, 5 and 1.
        assert!(close(summary.naive.mae, 8.0 / 3.0));
        assert_eq!(summary.naive.direction, None);
        assert!(close(summary.mae_ratio, 0.75));
        assert!(close(summary.rmse_ratio, (14.0_f64 / 30.0).sqrt()));
    }

    #[test]
    fn what_the_rows_do_not_define_is_not_given_a_number() {
        let none = summarise(&[]);
        assert_eq!((none.n, none.model.mae, none.model.mape, none.model.r2, none.mae_ratio), (0, None, None, None, None));
        let zero = errors(&rows(&[(1.0, 0.0, 1.0), (1.0, 2.0, 1.0)]));
        assert_eq!(zero.mape, None);
        assert!(zero.mae.is_some());
        let flat = summarise(&rows(&[(0.1, 0.1, 0.2), (0.1, 0.1, 0.3), (0.1, 0.1, 0.3)]));
        assert_eq!((flat.model.r2, flat.model.direction, flat.mae_ratio), (None, None, None));
    }

    #[test]
    fn the_naive_model_errs_as_much_as_itself() {
        let summary = summarise(&rows(&[(8.0, 10.0, 8.0), (25.0, 20.0, 25.0)]));
        assert_eq!(summary.model, summary.naive);
        assert_eq!((summary.mae_ratio, summary.rmse_ratio), (Some(1.0), Some(1.0)));
    }

    #[test]
    fn a_quantile_pays_its_level_for_what_lies_above_and_the_rest_for_what_lies_below() {
        // Misses +2 (above), −1 (below), 0: 0.9 · 2 and 0.1 · 1.
        let found = quantile_errors(&rows(&[(9.0, 12.0, 10.0), (9.0, 9.0, 10.0), (9.0, 10.0, 10.0)]), 0.9);
        assert!(close(found.pinball, (1.8 + 0.1) / 3.0) && close(found.coverage, 2.0 / 3.0));
        assert!(close(found.naive_pinball, 0.9 * (3.0 + 0.0 + 1.0) / 3.0) && close(found.naive_coverage, 1.0 / 3.0));
        assert_eq!(quantile_errors(&[], 0.9).pinball, None);
    }

    prop_compose! {
        fn outcomes()(all in prop::collection::vec((1.0..200.0_f64, 1.0..200.0_f64, 1.0..200.0_f64), 2..40)) -> Vec<Outcome> { rows(&all) }
    }

    proptest! {
        #[test]
        fn rmse_is_never_below_mae_nor_above_its_root_n_fold(rows in outcomes()) {
            let e = errors(&rows);
            let (mae, rmse) = (e.mae.unwrap(), e.rmse.unwrap());
            prop_assert!(rmse >= mae * (1.0 - 1e-12));
            #[expect(clippy::cast_precision_loss)]
            let n = rows.len() as f64;
            prop_assert!(rmse <= mae * n.sqrt() * (1.0 + 1e-12));
        }

        #[test]
        fn a_perfect_forecast_errs_by_nothing(rows in outcomes()) {
            let perfect: Vec<_> = rows.iter().map(|r| Outcome { predicted: r.actual, ..*r }).collect();
            let s = summarise(&perfect);
            prop_assert_eq!((s.model.mae, s.model.rmse, s.model.mape), (Some(0.0), Some(0.0), Some(0.0)));
            for perfect in [s.model.r2, s.model.direction] {
                prop_assert!(perfect.is_none() || perfect == Some(1.0));
            }
            prop_assert!(s.mae_ratio.is_none() || s.mae_ratio == Some(0.0));
        }

        #[test]
        fn changing_the_unit_of_money_changes_only_what_is_measured_in_money(rows in outcomes()) {
            let cents: Vec<_> = rows.iter().map(|r| Outcome { price: r.price * 4.0, actual: r.actual * 4.0, predicted: r.predicted * 4.0 }).collect();
            let (a, b) = (summarise(&rows), summarise(&cents));
            prop_assert!(close(b.model.mae, a.model.mae.unwrap() * 4.0) && close(b.model.rmse, a.model.rmse.unwrap() * 4.0));
            prop_assert!(close(b.model.mape, a.model.mape.unwrap()));
            prop_assert_eq!(b.model.direction, a.model.direction);
            prop_assert!((b.mae_ratio.unwrap() - a.mae_ratio.unwrap()).abs() < 1e-9);
        }

        #[test]
        fn halves_weigh_into_the_whole_by_their_rows(rows in outcomes(), cut in 0.1..0.9_f64) {
            #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let cut = ((rows.len() as f64 * cut) as usize).clamp(1, rows.len() - 1);
            #[expect(clippy::cast_precision_loss)]
            let weighed = [&rows[..cut], &rows[cut..]].map(|half| errors(half).mae.unwrap() * half.len() as f64);
            #[expect(clippy::cast_precision_loss)]
            let whole = errors(&rows).mae.unwrap() * rows.len() as f64;
            prop_assert!((weighed[0] + weighed[1] - whole).abs() < 1e-9);
        }
    }
}
