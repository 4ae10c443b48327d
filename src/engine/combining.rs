//! Owns how members' forecasts become one. Invariant: the same members' forecasts of the same day give the same price, and a day whose regime nobody
//! named gives none where weights hang on it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::engine::gbdt::error::GbdtError;
use crate::engine::gbdt::lightgbm::Model;
use crate::engine::regimes::{RegimeCalendar, RegimeError};

/// Forecasts that cannot be made one.
#[derive(Debug, thiserror::Error)]
pub enum CombineError {
    /// A day without a regime.
    #[error("weights hang on the regime of the day: {0}")]
    Regimes(#[from] RegimeError),
    /// The library refused.
    #[error(transparent)]
    Gbdt(#[from] GbdtError),
}

/// What makes one forecast of the members'.
pub enum Combination {
    /// A weight each.
    Shares(Vec<f64>),
    /// A weight each, by the regime of the day.
    ByRegime(ByRegime),
    /// Trees over the changes that the members forecast: the change they come to.
    Trees(Model),
}

/// Weights that hang on the regime of the day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByRegime {
    /// The fewest forecasts that a regime's own weights are earned on.
    pub least: usize,
    /// The weights earned on all forecasts.
    pub all: Vec<f64>,
    /// Every regime of the calendar.
    pub regimes: BTreeMap<String, OfRegime>,
    /// Which day belongs to which.
    pub calendar: RegimeCalendar,
}

/// The weights of one regime.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfRegime {
    /// How many forecasts were made in it.
    pub rows: usize,
    /// Its own weights; `None` where those forecasts are too few, and the weights of all stand in.
    pub weights: Option<Vec<f64>>,
}

impl ByRegime {
    /// The weights on a day.
    ///
    /// # Errors
    /// When the day has no regime.
    pub fn on(&self, day: i32) -> Result<&[f64], RegimeError> {
        let regime = self.calendar.of_days(&[day])?.pop().unwrap_or_default();
        Ok(self.regimes.get(&regime).and_then(|of| of.weights.as_deref()).unwrap_or(&self.all))
    }
}

impl Combination {
    /// One price a row: `days` and `prices` are the rows', `levels` holds for each member its forecasts.
    ///
    /// # Errors
    /// When a day has no regime, or the library refuses.
    pub fn combine(&self, days: &[i32], prices: &[f64], levels: &[Vec<f64>]) -> Result<Vec<f64>, CombineError> {
        let row =
            |weights: &[f64], at: usize| combined(prices[at], weights.iter().zip(levels).map(|(weight, member)| (*weight, member[at])));
        match self {
            Self::Shares(weights) => Ok((0..prices.len()).map(|at| row(weights, at)).collect()),
            Self::ByRegime(by) => (0..prices.len()).map(|at| Ok(row(by.on(days[at])?, at))).collect(),
            Self::Trees(model) => {
                let answers = model.predict(&changes(prices, levels), levels.len())?;
                Ok(answers.iter().zip(prices).map(|(change, price)| price + change * size(*price)).collect())
            }
        }
    }
}

/// The price forecast that weighted members give: today's, moved by each member's forecast change times its weight.
#[must_use]
pub fn combined(price: f64, levels: impl Iterator<Item = (f64, f64)>) -> f64 {
    levels.fold(price, |sum, (weight, level)| sum + weight * (level - price))
}

/// The change from a price to a level, as a share of it.
#[must_use]
pub fn change(price: f64, level: f64) -> f64 {
    (level - price) / size(price)
}

/// The changes that the members forecast, row after row.
#[must_use]
pub fn changes(prices: &[f64], levels: &[Vec<f64>]) -> Vec<f64> {
    (0..prices.len()).flat_map(|at| levels.iter().map(move |member| change(prices[at], member[at]))).collect()
}

fn size(price: f64) -> f64 {
    price.abs().max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::table_columns::{Values, table};

    #[test]
    fn a_day_is_weighed_by_its_regime_and_a_day_without_one_by_none() {
        let dates = Values::Dates(vec![Some(0), Some(1)]);
        let names = Values::Strings(vec![Some("calm".to_owned()), Some("storm".to_owned())]);
        let calendar =
            RegimeCalendar::read(&table([("date".to_owned(), dates), ("regime".to_owned(), names)]).unwrap(), "regime", "date").unwrap();
        let of = |rows, weights| OfRegime { rows, weights };
        let regimes = [("calm".to_owned(), of(200, Some(vec![1.0, 0.0]))), ("storm".to_owned(), of(3, None))].into();
        let by = Combination::ByRegime(ByRegime { least: 120, all: vec![0.5, 0.5], regimes, calendar });
        let levels = [vec![54.0; 2], vec![58.0; 2]];
        assert_eq!(by.combine(&[0, 1], &[50.0; 2], &levels).unwrap(), [54.0, 56.0]);
        let error = by.combine(&[2, 0], &[50.0; 2], &levels).unwrap_err();
        assert_eq!(error.to_string(), "weights hang on the regime of the day: 1 days have no regime: 1970-01-03");
    }
}
