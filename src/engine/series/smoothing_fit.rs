//! Owns the fit of exponential smoothing. Invariant: the sum of squared one-step errors is least, within the bounds that statsmodels keeps to
//! (`smoothing_trend` at most `smoothing_level`, `smoothing_seasonal` at most what that leaves of 1, `damping_trend` from 0.8 to 0.995).
//!
//! One-step errors are a linear function of the initial level, trend and season, so for given weights the best of these follow from a linear system;
//! only the weights, four at most, are searched for.

use nalgebra::{Cholesky, DMatrix, DVector};

use crate::engine::price_history::PriceHistory;
use crate::engine::series::error::SeriesError;
use crate::engine::series::scale::Scale;
use crate::engine::series::simplex;
use crate::engine::series::smoothing::{Gains, Smoothing, State};

/// How near the level's weight may come to 0 and 1: the root of the smallest step of a double, as in statsmodels.
const EDGE: f64 = 1.490_116_119_384_765_6e-8;
/// From where to where the damping goes.
const DAMPING: (f64, f64) = (0.8, 0.995);
/// Where the search looks before it begins, on the way of each weight from its least to its greatest: level, trend, season, damping. Trends and
/// seasons of prices move slowly, where they move at all, so it is small weights that are looked at closely.
const LOOKS: [&[f64]; 4] = [&[0.1, 0.5, 0.95], &[0.002, 0.02, 0.2, 0.7], &[0.002, 0.02, 0.2, 0.7], &[0.1, 0.5, 0.9]];
/// From how many of the best of these it begins: the sum of squares can have several valleys.
const BEGINNINGS: usize = 3;
/// What is added to the linear system, as a share of its largest entry, so that parts which nothing determines stay near zero.
const STEADY: f64 = 1e-10;

/// What is asked for; a weight that is given is kept.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Asked {
    /// Whether there is a trend.
    pub trend: bool,
    /// Whether the trend fades.
    pub damped: bool,
    /// Rows in a season, where there is one.
    pub seasonal_periods: Option<usize>,
    /// The level's weight.
    pub smoothing_level: Option<f64>,
    /// The trend's weight.
    pub smoothing_trend: Option<f64>,
    /// The season's weight.
    pub smoothing_seasonal: Option<f64>,
    /// The damping.
    pub damping_trend: Option<f64>,
}

/// Fits the prices on this scale.
///
/// # Errors
/// When a price is not on the scale, or there are too few.
pub fn fit(history: &PriceHistory, scale: Scale, asked: &Asked) -> Result<Smoothing, SeriesError> {
    scale.check(history)?;
    let needs = 10 + 2 * asked.seasonal_periods.unwrap_or(0);
    if history.prices.len() < needs {
        return Err(SeriesError::TooShort { needs, has: history.prices.len() });
    }
    let values: Vec<f64> = history.prices.iter().map(|price| scale.to(*price)).collect();
    let errors = |ways: &[f64]| asked.gains(ways).map_or(f64::INFINITY, |gains| asked.settle(&values, &gains).1);
    let mut begin: Vec<(f64, Vec<f64>)> = asked.looks().into_iter().map(|at| (errors(&at), at)).collect();
    begin.sort_by(|a, b| a.0.total_cmp(&b.0));
    let found = begin.iter().take(BEGINNINGS).map(|(_, at)| simplex::least(&errors, at, &first_steps(at)));
    let found = found.min_by(|a, b| a.value.total_cmp(&b.value)).filter(|found| found.value.is_finite());
    let gains = found.and_then(|found| asked.gains(&found.at)).ok_or(SeriesError::NoFit { what: "the sum of squared errors" })?;
    Ok(asked.model(scale, &gains, &asked.settle(&values, &gains)))
}

/// Steps that stay well inside the ends of the ways.
fn first_steps(at: &[f64]) -> Vec<f64> {
    at.iter().map(|way| 0.3 * way * (1.0 - way) + 0.001).collect()
}

impl Asked {
    /// Every combination of places to look at, for the weights that are searched for.
    fn looks(&self) -> Vec<Vec<f64>> {
        let free = [
            self.smoothing_level.is_none(),
            self.trend && self.smoothing_trend.is_none(),
            self.seasonal_periods.is_some() && self.smoothing_seasonal.is_none(),
            self.damped && self.damping_trend.is_none(),
        ];
        let places = LOOKS.iter().zip(free).filter(|(_, free)| *free);
        places.fold(vec![Vec::new()], |all: Vec<Vec<f64>>, (ways, _)| {
            all.iter().flat_map(|at| ways.iter().map(|way| [at.as_slice(), &[*way]].concat())).collect()
        })
    }

    /// The weights that lie so far on their ways from the least to the greatest; none outside.
    fn gains(&self, ways: &[f64]) -> Option<Gains> {
        if ways.iter().any(|way| !(0.0..=1.0).contains(way)) {
            return None;
        }
        let mut ways = ways.iter();
        let mut between = |least: f64, most: f64| ways.next().map(|way| least + way * (most - least));
        let (least, most) = (self.smoothing_trend.unwrap_or(0.0), 1.0 - self.smoothing_seasonal.unwrap_or(0.0));
        let level = self.smoothing_level.or_else(|| between(least.max(EDGE), most.min(1.0 - EDGE)))?;
        let trend = if self.trend { self.smoothing_trend.or_else(|| between(0.0, level))? } else { 0.0 };
        let seasonal = if self.seasonal_periods.is_some() { self.smoothing_seasonal.or_else(|| between(0.0, 1.0 - level))? } else { 0.0 };
        let damping = if self.damped { self.damping_trend.or_else(|| between(DAMPING.0, DAMPING.1))? } else { 1.0 };
        Some(Gains { level, trend, seasonal, damping })
    }

    /// The best state to begin with, and the sum of squared errors from there.
    fn settle(&self, values: &[f64], gains: &Gains) -> (State, f64) {
        let errors = run(values.iter().copied(), self.state(|_| 0.0), gains);
        let parts = 1 + usize::from(self.trend) + self.seasonal_periods.map_or(0, |periods| periods - 1);
        let nothing = || std::iter::repeat_n(0.0, values.len());
        // With values of zero, an error is minus what a part adds to the forecast.
        let effects: Vec<Vec<f64>> =
            (0..parts).map(|part| run(nothing(), self.state(|at| if at == part { -1.0 } else { 0.0 }), gains)).collect();
        let found = best_parts(&effects, &errors);
        let best = self.state(|at| found[at]);
        let left = run(values.iter().copied(), best.clone(), gains);
        (best, left.iter().map(|error| error * error).sum())
    }

    /// A state by its parts: level, trend where there is one, and the season but for its last part, which is 0: it cannot be told from the level.
    fn state(&self, part: impl Fn(usize) -> f64) -> State {
        let first = 1 + usize::from(self.trend);
        let periods = self.seasonal_periods.unwrap_or(1);
        let seasons = (0..periods).map(|at| if at + 1 < periods { part(first + at) } else { 0.0 }).collect();
        State { level: part(0), trend: if self.trend { part(1) } else { 0.0 }, seasons }
    }

    fn model(&self, scale: Scale, gains: &Gains, (start, sse): &(State, f64)) -> Smoothing {
        let seasonal = self.seasonal_periods.is_some();
        Smoothing {
            scale,
            smoothing_level: gains.level,
            smoothing_trend: self.trend.then_some(gains.trend),
            damping_trend: self.damped.then_some(gains.damping),
            smoothing_seasonal: seasonal.then_some(gains.seasonal),
            initial_level: start.level,
            initial_trend: self.trend.then_some(start.trend),
            initial_seasons: if seasonal { start.seasons.iter().copied().collect() } else { Vec::new() },
            sse: *sse,
        }
    }
}

/// The one-step errors over these values.
fn run(values: impl Iterator<Item = f64>, mut state: State, gains: &Gains) -> Vec<f64> {
    let error = |value: f64| {
        let error = value - state.next(gains);
        state.take(value, gains);
        error
    };
    values.map(error).collect()
}

/// How much of each effect leaves the least errors.
fn best_parts(effects: &[Vec<f64>], errors: &[f64]) -> Vec<f64> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let size = effects.len();
    let mut system = DMatrix::from_fn(size, size, |row, column| dot(&effects[row], &effects[column]));
    let steady = STEADY * system.diagonal().max();
    (0..size).for_each(|at| system[(at, at)] += steady);
    let wanted = DVector::from_iterator(size, effects.iter().map(|effect| dot(effect, errors)));
    Cholesky::new(system).map_or_else(|| vec![0.0; size], |factor| factor.solve(&wanted).iter().copied().collect())
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact by construction")]
mod tests {
    use super::*;

    /// A line of 3 a day from 20, with a season of three days on it.
    fn line(season: [f64; 3]) -> PriceHistory {
        (0..60_usize)
            .map(|day| (i32::try_from(day).unwrap(), 20.0 + 3.0 * f64::from(u32::try_from(day).unwrap()) + season[day % 3]))
            .collect()
    }

    #[test]
    fn a_line_with_a_season_is_followed_without_error() {
        let asked = Asked { trend: true, seasonal_periods: Some(3), ..Asked::default() };
        let model = fit(&line([4.0, -1.0, 0.0]), Scale::Price, &asked).unwrap();
        assert!(model.sse < 1e-6, "{model:?}");
        for (found, expected) in model.initial_seasons.iter().zip([4.0, -1.0, 0.0]) {
            assert!((found - expected).abs() < 1e-3, "{model:?}");
        }
        let history = line([4.0, -1.0, 0.0]);
        let ahead = model.forecasts(&history.prices[..50], 5)[49];
        assert!((ahead - history.prices[54]).abs() < 1e-3);
    }

    #[test]
    fn a_weight_that_is_given_is_kept_and_bounds_hold() {
        let bent: PriceHistory = (0..40).map(|day| (day, 30.0 + f64::from((day * day) % 17))).collect();
        let asked = Asked { trend: true, damped: true, smoothing_level: Some(0.3), ..Asked::default() };
        let model = fit(&bent, Scale::LogPrice, &asked).unwrap();
        assert_eq!(model.smoothing_level, 0.3);
        assert!((0.0..=0.3).contains(&model.smoothing_trend.unwrap()) && (0.8..=0.995).contains(&model.damping_trend.unwrap()));
        let free = fit(&bent, Scale::LogPrice, &Asked { smoothing_level: None, ..asked }).unwrap();
        assert!(free.sse <= model.sse);
        let few: PriceHistory = (0..9).map(|day| (day, 1.0)).collect();
        assert_eq!(fit(&few, Scale::Price, &asked), Err(SeriesError::TooShort { needs: 10, has: 9 }));
    }
}
