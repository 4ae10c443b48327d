//! Owns exponential smoothing as it runs over prices: Holt's linear trend, damped or not, and an additive season. Invariant: what is forecast from a
//! price follows from the prices up to it.
//!
//! The recursions are those of statsmodels' `ExponentialSmoothing` (Hyndman and Athanasopoulos, *Forecasting: principles and practice*, ch. 8).

use serde::{Deserialize, Serialize};

use crate::engine::series::scale::Scale;

/// Fitted exponential smoothing. What the model does not have is missing or empty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Smoothing {
    /// On what scale the series is smoothed.
    pub scale: Scale,
    /// The weight of a new value in the level.
    pub smoothing_level: f64,
    /// The weight of a new change in the trend.
    pub smoothing_trend: Option<f64>,
    /// What is left of the trend after each step.
    pub damping_trend: Option<f64>,
    /// The weight of a new value in the season.
    pub smoothing_seasonal: Option<f64>,
    /// The level before the first train price.
    pub initial_level: f64,
    /// The trend then.
    pub initial_trend: Option<f64>,
    /// The season's parts, the first price's first.
    pub initial_seasons: Vec<f64>,
    /// The sum of squared one-step errors over the train prices, on the scale of the smoothing.
    pub sse: f64,
}

/// The weights of a step; 0 (and a damping of 1) where the model has no such part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gains {
    /// For the level.
    pub level: f64,
    /// For the trend.
    pub trend: f64,
    /// For the season.
    pub seasonal: f64,
    /// What is left of the trend after a step.
    pub damping: f64,
}

/// Where the smoothing stands before a value.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// The level.
    pub level: f64,
    /// The trend.
    pub trend: f64,
    /// The season's parts, that of the next value first; one part of 0 where there is no season.
    pub seasons: std::collections::VecDeque<f64>,
}

impl State {
    /// The forecast of the next value.
    #[must_use]
    pub fn next(&self, gains: &Gains) -> f64 {
        self.level + gains.damping * self.trend + self.seasons[0]
    }

    /// Takes in a value.
    pub fn take(&mut self, value: f64, gains: &Gains) {
        let season = self.seasons.pop_front().unwrap_or(0.0);
        let before = self.level + gains.damping * self.trend;
        let level = gains.level * (value - season) + (1.0 - gains.level) * before;
        self.trend = gains.trend * (level - self.level) + (1.0 - gains.trend) * gains.damping * self.trend;
        self.level = level;
        self.seasons.push_back(gains.seasonal * (value - before) + (1.0 - gains.seasonal) * season);
    }

    /// The forecast so many values ahead.
    fn ahead(&self, gains: &Gains, steps: usize) -> f64 {
        let damped: f64 = std::iter::successors(Some(gains.damping), |left| Some(left * gains.damping)).take(steps).sum();
        self.level + damped * self.trend + self.seasons[(steps - 1) % self.seasons.len()]
    }
}

impl Smoothing {
    /// The weights of its steps.
    #[must_use]
    pub fn gains(&self) -> Gains {
        Gains {
            level: self.smoothing_level,
            trend: self.smoothing_trend.unwrap_or(0.0),
            seasonal: self.smoothing_seasonal.unwrap_or(0.0),
            damping: self.damping_trend.unwrap_or(1.0),
        }
    }

    /// Where it stands before the first train price.
    #[must_use]
    pub fn start(&self) -> State {
        let seasons = if self.initial_seasons.is_empty() { [0.0].into() } else { self.initial_seasons.iter().copied().collect() };
        State { level: self.initial_level, trend: self.initial_trend.unwrap_or(0.0), seasons }
    }

    /// The forecast from each of these prices, the first of which is that of the first train row.
    #[must_use]
    pub fn forecasts(&self, prices: &[f64], steps: usize) -> Vec<f64> {
        let (gains, mut state) = (self.gains(), self.start());
        let forecast = |price: &f64| {
            state.take(self.scale.to(*price), &gains);
            self.scale.price(state.ahead(&gains, steps))
        };
        prices.iter().map(forecast).collect()
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact by construction")]
mod tests {
    use super::*;

    fn model() -> Smoothing {
        Smoothing {
            scale: Scale::Price,
            smoothing_level: 0.5,
            smoothing_trend: Some(0.5),
            damping_trend: Some(0.8),
            smoothing_seasonal: None,
            initial_level: 10.0,
            initial_trend: Some(5.0),
            initial_seasons: Vec::new(),
            sse: 0.0,
        }
    }

    #[test]
    fn a_damped_trend_fades_with_each_step() {
        // Before: 10 + 0.8 · 5 = 14. A price of 18 lifts the level to 16, and the trend to 0.5 · 6 + 0.5 · 4 = 5.
        let forecasts = |steps| model().forecasts(&[18.0], steps)[0];
        assert!((forecasts(1) - 20.0).abs() < 1e-12);
        assert!((forecasts(2) - (16.0 + 5.0 * (0.8 + 0.64))).abs() < 1e-12);
    }

    #[test]
    fn a_season_comes_round() {
        let seasonal = Smoothing {
            smoothing_trend: None,
            damping_trend: None,
            initial_trend: None,
            smoothing_seasonal: Some(0.0),
            initial_seasons: vec![1.0, -2.0, 1.0],
            ..model()
        };
        let forecasts = |steps| seasonal.forecasts(&[11.0, 8.0], steps)[1];
        assert_eq!([1, 2, 3, 4].map(forecasts), [11.0, 11.0, 8.0, 11.0]);
    }
}
