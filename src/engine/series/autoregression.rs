//! Owns autoregression on changes of the price. Invariant: coefficients are those of least squares given the first values, as statsmodels' `AutoReg`
//! has them; a forecast further ahead is made step by step from the forecasts before it.

use serde::{Deserialize, Serialize};

use crate::engine::least_squares;
use crate::engine::numbers::count;
use crate::engine::price_history::PriceHistory;
use crate::engine::series::error::SeriesError;
use crate::engine::series::scale::Scale;

/// What goes on beside the lags, in statsmodels' words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trend {
    /// Nothing.
    N,
    /// A constant.
    C,
    /// A line through zero, by the number of the change since the first train row.
    T,
    /// A constant and a line.
    Ct,
}

/// A fitted autoregression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Autoregression {
    /// `log_price`: the changes are log returns; `price`: differences.
    pub scale: Scale,
    /// What goes on beside the lags.
    pub trend: Trend,
    /// The lags, ascending.
    pub lags: Vec<usize>,
    /// The factors of constant and line, as far as there are such.
    pub deterministic: Vec<f64>,
    /// The factor of each lag.
    pub coefficients: Vec<f64>,
}

impl Trend {
    /// The terms of the change with this number, counted from 1.
    fn terms(self, number: usize) -> Vec<f64> {
        match self {
            Self::N => Vec::new(),
            Self::C => vec![1.0],
            Self::T => vec![count(number)],
            Self::Ct => vec![1.0, count(number)],
        }
    }
}

impl Autoregression {
    /// Fits the changes of these prices; `lags` ascend.
    ///
    /// # Errors
    /// When a price has no logarithm though one is needed, there are fewer changes than terms, or terms make each other up.
    pub fn fit(history: &PriceHistory, scale: Scale, trend: Trend, lags: Vec<usize>) -> Result<Self, SeriesError> {
        scale.check(history)?;
        let changes = scale.changes(&history.prices);
        let held = lags.last().copied().unwrap_or(0);
        let terms = trend.terms(1).len();
        if changes.len() < held + terms + lags.len() + 1 {
            return Err(SeriesError::TooShort { needs: held + terms + lags.len() + 2, has: history.prices.len() });
        }
        let rows = held..changes.len();
        let mut columns: Vec<Vec<f64>> = (0..terms).map(|term| rows.clone().map(|row| trend.terms(row + 1)[term]).collect()).collect();
        columns.extend(lags.iter().map(|lag| changes[held - lag..changes.len() - lag].to_vec()));
        let solved = least_squares::solve(&columns, &changes[held..]);
        let mut deterministic = solved.map_err(|error| SeriesError::Dependent { term: error.column + 1 })?;
        let coefficients = deterministic.split_off(terms);
        Ok(Self { scale, trend, lags, deterministic, coefficients })
    }

    /// How many earlier prices a forecast needs.
    #[must_use]
    pub fn needs(&self) -> usize {
        self.lags.last().copied().unwrap_or(0)
    }

    /// The forecast from the last of these prices, the first of which is that of the first train row.
    #[must_use]
    pub fn forecast(&self, known: &[f64], steps: usize) -> f64 {
        let needs = self.needs();
        let mut changes = self.scale.changes(&known[known.len() - 1 - needs..]);
        let numbers = known.len()..known.len() + steps;
        for number in numbers {
            let lagged = self.lags.iter().map(|lag| changes[changes.len() - lag]);
            let next = dot(&self.deterministic, self.trend.terms(number)) + dot(&self.coefficients, lagged);
            changes.push(next);
        }
        let sum: f64 = changes[needs..].iter().sum();
        self.scale.price(self.scale.to(known[known.len() - 1]) + sum)
    }
}

fn dot(factors: &[f64], values: impl IntoIterator<Item = f64>) -> f64 {
    factors.iter().zip(values).map(|(factor, value)| factor * value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prices whose differences follow `1 + 0.5 · last − 0.25 · last but one` without error.
    fn exact(days: i32) -> PriceHistory {
        let mut changes = vec![3.0, -2.0];
        let mut price = 100.0;
        let mut days: Vec<(i32, f64)> = (2..days).map(|day| (day, f64::from(day))).collect();
        for day in &mut days {
            let n = changes.len();
            changes.push(1.0 + 0.5 * changes[n - 1] - 0.25 * changes[n - 2]);
            price += changes[n];
            day.1 = price;
        }
        days.into_iter().collect()
    }

    #[test]
    fn coefficients_are_found_and_forecasts_go_on_step_by_step() {
        let history = exact(14);
        let model = Autoregression::fit(&history, Scale::Price, Trend::C, vec![1, 2]).unwrap();
        for (found, expected) in model.deterministic.iter().chain(&model.coefficients).zip([1.0, 0.5, -0.25]) {
            assert!((found - expected).abs() < 1e-6, "{model:?}");
        }
        let longer = exact(18).prices;
        assert!((model.forecast(&history.prices, 4) - longer[longer.len() - 1]).abs() < 1e-4);
        assert_eq!(model.needs(), 2);
    }

    #[test]
    fn a_line_counts_on_from_the_first_train_row() {
        let history: PriceHistory = (0..12).map(|day| (day, f64::from(day * (day + 1)))).collect();
        let model = Autoregression::fit(&history, Scale::Price, Trend::T, Vec::new()).unwrap();
        assert!((model.deterministic[0] - 2.0).abs() < 1e-12);
        assert!((model.forecast(&history.prices, 2) - 13.0 * 14.0).abs() < 1e-9);
    }

    #[test]
    fn what_cannot_be_fitted_is_refused() {
        let history: PriceHistory = [(0, 5.0), (1, -1.0), (2, 4.0)].into_iter().collect();
        let fit = |scale, lags| Autoregression::fit(&history, scale, Trend::C, lags).unwrap_err();
        assert_eq!(fit(Scale::LogPrice, vec![1]).to_string(), "the price is -1 on 1970-01-02, and only a price above zero has a logarithm");
        assert_eq!(fit(Scale::Price, vec![1, 2]), SeriesError::TooShort { needs: 7, has: 3 });
        let steady: PriceHistory = (0..9).map(|day| (day, f64::from(day))).collect();
        assert_eq!(Autoregression::fit(&steady, Scale::Price, Trend::C, vec![1]), Err(SeriesError::Dependent { term: 2 }));
    }
}
