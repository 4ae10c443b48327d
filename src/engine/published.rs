//! Owns what came of forecasts that were published. Invariant: a forecast is judged only by a price that came on its target date or the next day with one;
//! before that it is open, and nothing is said of it.
//!
//! The price known when it was made is the newest at or before its date, which is also the naive forecast. The price that came is the first at or after
//! its target date. Where the nearest price is more than ten days away, as in a gap of the series, there is none.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use crate::engine::evaluation::TestRow;

/// The most calendar days between a date and the price that stands for it: markets close for fewer.
pub const NEAREST_DAYS: i64 = 10;

/// A forecast as it was published.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    /// What it is counted under: the model, where it is named.
    pub model: String,
    /// How far ahead, in the publisher's words; empty where it does not say.
    pub horizon: String,
    /// When it was made.
    pub date: NaiveDate,
    /// When it comes due.
    pub target_date: NaiveDate,
    /// The price that was forecast.
    pub predicted: f64,
}

/// What came of a forecast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fate {
    /// It came due.
    Due(TestRow),
    /// Its target date lies beyond the prices.
    Open,
    /// The series has no price near one of its dates.
    NoPrice,
}

impl Fate {
    /// As it stands in tables.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Due(_) => "due",
            Self::Open => "open",
            Self::NoPrice => "no price",
        }
    }

    /// What came, where it came due.
    #[must_use]
    pub fn due(self) -> Option<TestRow> {
        if let Self::Due(row) = self { Some(row) } else { None }
    }
}

/// Forecasts that cannot be judged.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PublishedError {
    /// Two forecasts of one thing.
    #[error("{model} {horizon} of {date} for {target_date} was published as {first} and as {second}")]
    Twice {
        /// The model.
        model: String,
        /// Its horizon.
        horizon: String,
        /// When it was made.
        date: NaiveDate,
        /// When it comes due.
        target_date: NaiveDate,
        /// The one.
        first: f64,
        /// The other.
        second: f64,
    },
    /// A forecast that comes due before it is made.
    #[error("{model} {horizon} of {date} comes due on {target_date}, which is no later")]
    Backwards {
        /// The model.
        model: String,
        /// Its horizon.
        horizon: String,
        /// When it was made.
        date: NaiveDate,
        /// When it comes due.
        target_date: NaiveDate,
    },
}

/// The same forecasts by model, horizon and date, each once.
///
/// # Errors
/// When one was published twice with different prices, or comes due before it is made.
pub fn each_once(all: Vec<Published>) -> Result<Vec<Published>, PublishedError> {
    let mut kept: BTreeMap<(String, String, NaiveDate, NaiveDate), Published> = BTreeMap::new();
    for one in all {
        let Published { model, horizon, date, target_date, predicted } = one.clone();
        if target_date <= date {
            return Err(PublishedError::Backwards { model, horizon, date, target_date });
        }
        let before = kept.insert((model.clone(), horizon.clone(), date, target_date), one);
        if let Some(before) = before.filter(|before| before.predicted.to_bits() != predicted.to_bits()) {
            return Err(PublishedError::Twice { model, horizon, date, target_date, first: before.predicted, second: predicted });
        }
    }
    Ok(kept.into_values().collect())
}

/// What came of a forecast, by these prices.
#[must_use]
pub fn fate(published: &Published, prices: &BTreeMap<NaiveDate, f64>) -> Fate {
    let near = |from: NaiveDate, to: NaiveDate| to.signed_duration_since(from).num_days().abs() <= NEAREST_DAYS;
    let Some((outcome_date, actual)) = prices.range(published.target_date..).next() else { return Fate::Open };
    let known = prices.range(..=published.date).next_back().filter(|(day, _)| near(**day, published.date));
    match known {
        Some((_, price)) if near(published.target_date, *outcome_date) => {
            Fate::Due(TestRow { date: published.date, outcome_date: *outcome_date, price: *price, actual: *actual })
        }
        _ => Fate::NoPrice,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn published(date: &str, target_date: &str, predicted: f64) -> Published {
        Published { model: "m".into(), horizon: "1W".into(), date: day(date), target_date: day(target_date), predicted }
    }

    /// Crude oil around New Year 2019, and a gap after it.
    fn prices() -> BTreeMap<NaiveDate, f64> {
        [("2018-12-28", 45.15), ("2018-12-31", 45.15), ("2019-01-02", 46.31), ("2019-01-03", 46.92), ("2019-02-01", 55.0)]
            .map(|(date, price)| (day(date), price))
            .into()
    }

    #[test]
    fn a_forecast_is_judged_by_the_first_price_at_or_after_its_target_date() {
        let fate = |date, target| fate(&published(date, target, 47.0), &prices());
        let row = TestRow { date: day("2018-12-30"), outcome_date: day("2019-01-02"), price: 45.15, actual: 46.31 };
        assert_eq!(fate("2018-12-30", "2019-01-01"), Fate::Due(row));
        assert_eq!(fate("2018-12-31", "2019-01-04"), Fate::NoPrice, "the next price is four weeks away");
        assert_eq!(fate("2018-11-30", "2019-01-02"), Fate::NoPrice, "there was no price yet");
        assert_eq!(fate("2019-01-03", "2019-02-02"), Fate::Open);
    }

    #[test]
    fn a_repeated_forecast_counts_once_and_a_contradiction_is_refused() {
        let one = published("2019-01-02", "2019-01-09", 47.0);
        assert_eq!(each_once(vec![one.clone(), one.clone()]).unwrap(), std::slice::from_ref(&one));
        let error = each_once(vec![one.clone(), Published { predicted: 48.0, ..one.clone() }]).unwrap_err();
        assert_eq!(error.to_string(), "m 1W of 2019-01-02 for 2019-01-09 was published as 47 and as 48");
        let other = Published { model: "n".into(), predicted: 48.0, ..one.clone() };
        assert_eq!(each_once(vec![one, other]).unwrap().len(), 2);
        assert!(matches!(each_once(vec![published("2019-01-02", "2019-01-02", 47.0)]), Err(PublishedError::Backwards { .. })));
    }
}
