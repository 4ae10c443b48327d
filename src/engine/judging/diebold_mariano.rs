//! Owns the test whether two forecasts err differently. Invariant: no statistic is given where its variance is not positive or the rows are fewer
//! than two horizons.
//!
//! With `d` the model's loss less naive's, row by row in the order of time, `n` rows and `h` forecasts open at once:
//!
//! | | |
//! |---|---|
//! | autocovariance | `γ(k) = Σ (d(t) − mean d)(d(t−k) − mean d) / n` |
//! | variance of the mean | `V = (γ(0) + 2 Σ w(k) γ(k)) / n` over `k` = 1 … `h − 1` |
//! | weights | `w(k) = 1`, rectangular; where that gives no positive variance, Bartlett's `1 − k/h` |
//! | statistic | `mean d / √V · √((n + 1 − 2h + h(h − 1)/n) / n)` |
//! | p | both tails of Student's t with `n − 1` degrees of freedom |
//!
//! Below zero the model errs less. Forecasts `h` rows ahead share `h − 1` rows of future with their neighbours, so their losses are correlated that
//! far and the rectangular weights are the right ones; Bartlett's, which are never negative, make the variance too small.
//!
//! Sources: F. X. Diebold and R. S. Mariano, "Comparing predictive accuracy", *Journal of Business & Economic Statistics* 13, 1995 (statistic,
//! rectangular weights); D. Harvey, S. Leybourne and P. Newbold, "Testing the equality of prediction mean squared errors", *International Journal
//! of Forecasting* 13, 1997 (the correction for small samples, Student's t); W. K. Newey and K. D. West, *Econometrica* 55, 1987 (Bartlett's weights).

use serde::Serialize;

use crate::engine::judging::student;
use crate::engine::numbers::count;

/// How the autocovariances were weighted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kernel {
    /// All alike.
    Rectangular,
    /// Falling in a straight line.
    Bartlett,
}

impl Kernel {
    /// As it stands in tables.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Rectangular => "rectangular",
            Self::Bartlett => "bartlett",
        }
    }
}

/// What the test says.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Verdict {
    /// The corrected statistic; below zero the model errs less than naive.
    pub statistic: f64,
    /// How likely a statistic so far from zero is where both err alike.
    pub p: f64,
    /// How the variance was estimated.
    pub kernel: Kernel,
}

/// Tests losses against naive's over the same rows, in the order of time, with `open` forecasts open at once. `None` where there are fewer rows than two
/// horizons, or the losses do not differ.
#[must_use]
pub fn test(model: &[f64], naive: &[f64], open: usize) -> Option<Verdict> {
    let (n, h) = (model.len(), open.max(1));
    if n < 2 * h || n < 2 {
        return None;
    }
    let differences: Vec<f64> = model.iter().zip(naive).map(|(m, n)| m - n).collect();
    let mean = differences.iter().sum::<f64>() / count(n);
    let centred: Vec<f64> = differences.iter().map(|d| d - mean).collect();
    let covariances: Vec<f64> = (0..h).map(|k| centred[k..].iter().zip(&centred).map(|(a, b)| a * b).sum::<f64>() / count(n)).collect();
    let (kernel, variance) = [Kernel::Rectangular, Kernel::Bartlett]
        .map(|kernel| (kernel, variance(&covariances, kernel) / count(n)))
        .into_iter()
        .find(|(_, variance)| *variance > 0.0)?;
    let correction = (count(n) + 1.0 - 2.0 * count(h) + count(h) * (count(h) - 1.0) / count(n)) / count(n);
    let statistic = mean / variance.sqrt() * correction.sqrt();
    Some(Verdict { statistic, p: student::two_sided(statistic, count(n) - 1.0), kernel })
}

fn variance(covariances: &[f64], kernel: Kernel) -> f64 {
    let weight = |k: usize| match kernel {
        Kernel::Rectangular => 1.0,
        Kernel::Bartlett => 1.0 - count(k) / count(covariances.len()),
    };
    let lagged: f64 = covariances.iter().enumerate().skip(1).map(|(k, covariance)| weight(k) * covariance).sum();
    covariances[0] + 2.0 * lagged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statistic_is_that_of_sums_done_by_hand() {
        // d = 1, 2, 3, 6: mean 3, squares about it 14, γ(0) = 3.5; h = 1: V = 0.875, correction (4 + 1 − 2) / 4.
        let verdict = test(&[2.0, 3.0, 4.0, 7.0], &[1.0; 4], 1).unwrap();
        assert!((verdict.statistic - 3.0 / 0.875_f64.sqrt() * 0.75_f64.sqrt()).abs() < 1e-12);
        assert_eq!(verdict.kernel, Kernel::Rectangular);
        // h = 2: γ(1) = (2·1 + 1·0 + 0·3) / 4 = 0.5, V = 4.5 / 4, correction (4 + 1 − 4 + 0.5) / 4.
        let two = test(&[2.0, 3.0, 4.0, 7.0], &[1.0; 4], 2).unwrap();
        assert!((two.statistic - 3.0 / 1.125_f64.sqrt() * 0.375_f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn a_variance_that_is_not_positive_is_estimated_again_and_says_so() {
        // Losses that alternate: γ(0) = 1, γ(1) = −5/6, so 1 − 10/6 < 0, and with Bartlett's weight 1 − 5/6.
        let verdict = test(&[2.0, 0.0, 2.0, 0.0, 2.0, 0.0], &[0.0; 6], 2).unwrap();
        assert_eq!(verdict.kernel, Kernel::Bartlett);
        assert!((verdict.statistic - 1.0 / (1.0_f64 / 36.0).sqrt() * ((7.0 - 4.0 + 2.0 / 6.0) / 6.0_f64).sqrt()).abs() < 1e-9);
    }

    #[test]
    fn there_is_no_verdict_without_a_difference_or_with_too_few_rows() {
        assert_eq!(test(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0], 1), None);
        assert_eq!(test(&[1.0, 2.0, 4.0], &[1.0, 1.0, 1.0], 2), None);
        assert_eq!(test(&[], &[], 1), None);
    }

    #[test]
    fn exchanging_model_and_naive_turns_the_sign_and_keeps_p() {
        let (a, b) = ([1.0, 2.5, 0.5, 4.0, 2.0, 2.2], [2.0, 2.0, 2.0, 1.0, 0.0, 1.0]);
        let (one, other) = (test(&a, &b, 2).unwrap(), test(&b, &a, 2).unwrap());
        assert!((one.statistic + other.statistic).abs() < 1e-12 && (one.p - other.p).abs() < 1e-12);
    }
}
