//! Owns GARCH(1,1) on log returns. Invariant: the likelihood is that of Python's `arch` (normal errors, its backcast, its bounds on parameters), so
//! the same returns have the same parameters.
//!
//! `r(t) = mu + e(t)`, `σ²(t) = omega + alpha · e²(t−1) + beta · σ²(t−1)`, in percent. `arch` also keeps variances within very wide bounds while it
//! searches; with parameters anywhere near the best they are never touched, and are left out here.

use serde::{Deserialize, Serialize};

use crate::engine::numbers::count;
use crate::engine::price_history::PriceHistory;
use crate::engine::series::error::SeriesError;
use crate::engine::series::scale::Scale;
use crate::engine::series::simplex;

/// Returns are modelled in percent, as `arch` advises: parameters of like size are found more surely.
const PERCENT: f64 = 100.0;
/// The fewest returns to learn from.
const FEWEST: usize = 100;

/// What the returns vary about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mean {
    /// A constant, `mu`.
    Constant,
    /// Zero.
    Zero,
}

/// A fitted model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Garch {
    /// What the returns vary about.
    pub mean: Mean,
    /// The mean return, in percent a row.
    pub mu: f64,
    /// The constant of the variance.
    pub omega: f64,
    /// The weight of the last squared error.
    #[serde(rename = "alpha[1]")]
    pub alpha: f64,
    /// The weight of the last variance.
    #[serde(rename = "beta[1]")]
    pub beta: f64,
    /// The variance and squared error that stand for those before the first return.
    pub backcast: f64,
    /// The logarithm of the likelihood of the train returns.
    pub log_likelihood: f64,
}

impl Garch {
    /// Fits the log returns of these prices by maximum likelihood.
    ///
    /// # Errors
    /// When a price has no logarithm, there are too few, or no parameters are likely.
    pub fn fit(history: &PriceHistory, mean: Mean) -> Result<Self, SeriesError> {
        Scale::LogPrice.check(history)?;
        let returns = percent(&history.prices);
        if returns.len() < FEWEST {
            return Err(SeriesError::TooShort { needs: FEWEST + 1, has: history.prices.len() });
        }
        let start = Self::start(&returns, mean);
        let variance = start.omega / (1.0 - start.alpha - start.beta);
        let model = |at: &[f64]| Self { omega: at[0].exp(), alpha: at[1], beta: at[2], mu: at.get(3).copied().unwrap_or(0.0), ..start };
        let minus = |at: &[f64]| {
            let model = model(at);
            if model.is_within(variance) { -model.likelihood(&returns) } else { f64::INFINITY }
        };
        let (mut at, mut steps) = (vec![start.omega.ln(), start.alpha, start.beta], vec![0.5, 0.02, 0.02]);
        if mean == Mean::Constant {
            at.push(start.mu);
            steps.push(0.1 * variance.sqrt());
        }
        let found = simplex::least(&minus, &at, &steps);
        if found.value.is_finite() {
            Ok(Self { log_likelihood: -found.value, ..model(&found.at) })
        } else {
            Err(SeriesError::NoFit { what: "the likelihood" })
        }
    }

    /// The likeliest of a few parameters to begin with, and the backcast: as `arch` chooses them.
    fn start(returns: &[f64], mean: Mean) -> Self {
        let mu = if mean == Mean::Constant { returns.iter().sum::<f64>() / count(returns.len()) } else { 0.0 };
        let squares: Vec<f64> = returns.iter().map(|r| (r - mu).powi(2)).collect();
        let target = squares.iter().sum::<f64>() / count(squares.len());
        let first = &squares[..squares.len().min(75)];
        let weights: Vec<f64> = std::iter::successors(Some(1.0), |weight| Some(weight * 0.94)).take(first.len()).collect();
        let backcast = first.iter().zip(&weights).map(|(square, weight)| square * weight).sum::<f64>() / weights.iter().sum::<f64>();
        let candidates = [0.01, 0.05, 0.1, 0.2].into_iter().flat_map(|alpha| [0.5, 0.7, 0.9, 0.98].map(|both| (alpha, both)));
        let models = candidates.map(|(alpha, both)| {
            let model = Self { mean, mu, omega: (1.0 - both) * target, alpha, beta: both - alpha, backcast, log_likelihood: 0.0 };
            Self { log_likelihood: model.likelihood(returns), ..model }
        });
        let none = Self { mean, mu, omega: target, alpha: 0.0, beta: 0.0, backcast, log_likelihood: f64::NEG_INFINITY };
        models.fold(none, |best, model| if model.log_likelihood > best.log_likelihood { model } else { best })
    }

    /// Whether the parameters are those of a variance that stays above zero and returns to a mean; `variance` is that of the returns.
    fn is_within(&self, variance: f64) -> bool {
        let shares = self.alpha >= 0.0 && self.beta >= 0.0 && self.alpha + self.beta < 1.0;
        shares && (1e-8 * variance..=10.0 * variance).contains(&self.omega)
    }

    /// The logarithm of the likelihood of these returns.
    fn likelihood(&self, returns: &[f64]) -> f64 {
        let mut state = (self.backcast, self.backcast);
        let mut sum = 0.0;
        for r in returns {
            let variance = self.next(state);
            let square = (r - self.mu).powi(2);
            sum += variance.ln() + square / variance;
            state = (square, variance);
        }
        -0.5 * (sum + count(returns.len()) * std::f64::consts::TAU.ln())
    }

    /// The variance that follows a squared error and a variance.
    fn next(&self, (square, variance): (f64, f64)) -> f64 {
        self.omega + self.alpha * square + self.beta * variance
    }

    /// The forecast price: the last one, moved on by the mean return.
    #[must_use]
    pub fn forecast(&self, known: &[f64], steps: usize) -> f64 {
        known[known.len() - 1] * (count(steps) * self.mu / PERCENT).exp()
    }

    /// The forecast standard deviation of the log return over so many steps from each of these prices, the first of which is that of the first
    /// train row. Each is made from the prices up to its own.
    #[must_use]
    pub fn volatility(&self, prices: &[f64], steps: usize) -> Vec<f64> {
        let mut state = (self.backcast, self.backcast);
        let mut all = vec![self.ahead(state, steps)];
        for r in percent(prices) {
            state = ((r - self.mu).powi(2), self.next(state));
            all.push(self.ahead(state, steps));
        }
        all.truncate(prices.len());
        all
    }

    /// The root of the sum of the variances of the next steps, as a share and no longer in percent.
    fn ahead(&self, state: (f64, f64), steps: usize) -> f64 {
        let first = self.next(state);
        let later = |variance: &f64| Some(self.next((*variance, *variance)));
        std::iter::successors(Some(first), later).take(steps).sum::<f64>().sqrt() / PERCENT
    }
}

/// Log returns in percent.
fn percent(prices: &[f64]) -> Vec<f64> {
    Scale::LogPrice.changes(prices).into_iter().map(|change| PERCENT * change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> Garch {
        Garch { mean: Mean::Constant, mu: 0.5, omega: 0.1, alpha: 0.1, beta: 0.8, backcast: 2.0, log_likelihood: 0.0 }
    }

    #[test]
    fn variances_follow_the_last_error_and_return_to_their_mean() {
        let prices = [100.0, 100.0 * 0.035_f64.exp()];
        let volatility = model().volatility(&prices, 1);
        // Before any return: 0.1 + 0.9 · 2; after one that misses the mean by 3: 0.1 + 0.1 · 9 + 0.8 · 1.9.
        for (found, expected) in volatility.iter().zip([1.9_f64, 2.52]) {
            assert!((found - expected.sqrt() / 100.0).abs() < 1e-12, "{volatility:?}");
        }
        let far = model().volatility(&prices, 10_000);
        assert!((far[1].powi(2) - 1.0).abs() < 0.01, "10,000 steps of about omega / (1 − alpha − beta) = 1 each, in percent");
        assert!((model().forecast(&prices, 2) - prices[1] * 0.01_f64.exp()).abs() < 1e-9);
    }

    #[test]
    fn a_short_series_is_refused() {
        let short: PriceHistory = (0..50).map(|day| (day, 50.0 + f64::from(day % 7))).collect();
        assert_eq!(Garch::fit(&short, Mean::Zero), Err(SeriesError::TooShort { needs: 101, has: 50 }));
    }
}
