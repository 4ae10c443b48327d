//! Owns the file of a model of the series, and its forecasts. Invariant: a forecast for a row reads the prices up to that row's date and none after.

use chrono::NaiveDate;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::engine::frame_file::{FrameData, iso_date};
use crate::engine::price_history::PriceHistory;
use crate::engine::series::autoregression::Autoregression;
use crate::engine::series::error::SeriesError;
use crate::engine::series::garch::Garch;
use crate::engine::series::scale::Scale;
use crate::engine::series::seasonal::{Drift, SeasonalNaive};
use crate::engine::series::smoothing::Smoothing;

/// A fitted model of the series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeriesModel {
    /// The first day that it learnt from, days since 1970-01-01: where its recursions begin. Written as a date.
    #[serde(serialize_with = "write_day", deserialize_with = "read_day")]
    pub first: i32,
    /// How many prices ahead it forecasts.
    pub steps: usize,
    /// What it is.
    pub form: Form,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn write_day<S: Serializer>(day: &i32, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&iso_date(*day))
}

fn read_day<'de, D: Deserializer<'de>>(from: D) -> Result<i32, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map(|date: NaiveDate| date.to_epoch_days()).map_err(D::Error::custom)
}

/// The models of the series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// The price of a season ago.
    SeasonalNaive(SeasonalNaive),
    /// The last price and the mean change.
    Drift(Drift),
    /// Changes by the changes before them.
    Ar(Autoregression),
    /// Level, trend and season, smoothed.
    ExponentialSmoothing(Smoothing),
    /// Returns whose variance follows the last one.
    Garch(Garch),
}

/// The known part of a history, and where in it the rows stand.
struct Known {
    history: PriceHistory,
    rows: Vec<usize>,
}

impl SeriesModel {
    /// The price forecast for each of the given rows.
    ///
    /// # Errors
    /// When the frame's price history does not hold what a row's forecast needs.
    pub fn predict(&self, frame: &FrameData, rows: &[usize]) -> Result<Vec<f64>, SeriesError> {
        let known = self.known(frame, rows)?;
        let prices = &known.history.prices;
        Ok(match &self.form {
            Form::ExponentialSmoothing(model) => {
                let all = model.forecasts(prices, self.steps);
                known.rows.iter().map(|&row| all[row]).collect()
            }
            form => known.rows.iter().map(|&row| form.forecast(&prices[..=row], self.steps)).collect(),
        })
    }

    /// The forecast standard deviation of the log return from each of the given rows to its outcome; none where the model has no such forecast.
    ///
    /// # Errors
    /// When the frame's price history does not hold what a row's forecast needs.
    pub fn volatility(&self, frame: &FrameData, rows: &[usize]) -> Result<Option<Vec<f64>>, SeriesError> {
        let Form::Garch(model) = &self.form else { return Ok(None) };
        let known = self.known(frame, rows)?;
        let all = model.volatility(&known.history.prices, self.steps);
        Ok(Some(known.rows.iter().map(|&row| all[row]).collect()))
    }

    fn known(&self, frame: &FrameData, rows: &[usize]) -> Result<Known, SeriesError> {
        let all = &frame.prices;
        let Some(begins) = all.dates.first().copied() else { return Err(SeriesError::NoPrices) };
        if begins > self.first {
            return Err(SeriesError::BeginsLate { begins: iso_date(begins), model: iso_date(self.first) });
        }
        let last = rows.iter().map(|&row| frame.dates[row]).max().unwrap_or(self.first);
        let history = all.between(self.first, last);
        self.form.scale().check(&history)?;
        let needs = self.form.needs(self.steps);
        let place = |&row: &usize| {
            let date = || iso_date(frame.dates[row]);
            let at = history.position(frame.dates[row]).ok_or_else(|| SeriesError::NoDay { date: date() })?;
            if at < needs { Err(SeriesError::TooEarly { date: date(), needs, has: at }) } else { Ok(at) }
        };
        let rows = rows.iter().map(place).collect::<Result<_, _>>()?;
        Ok(Known { history, rows })
    }
}

impl Form {
    /// The forecast from the last of these prices.
    fn forecast(&self, known: &[f64], steps: usize) -> f64 {
        match self {
            Self::SeasonalNaive(model) => model.forecast(known, steps),
            Self::Drift(model) => model.forecast(known, steps),
            Self::Ar(model) => model.forecast(known, steps),
            Self::ExponentialSmoothing(model) => model.forecasts(known, steps)[known.len() - 1],
            Self::Garch(model) => model.forecast(known, steps),
        }
    }

    /// The scale that prices must be on.
    fn scale(&self) -> Scale {
        match self {
            Self::SeasonalNaive(_) | Self::Drift(_) => Scale::Price,
            Self::Ar(model) => model.scale,
            Self::ExponentialSmoothing(model) => model.scale,
            Self::Garch(_) => Scale::LogPrice,
        }
    }

    /// How many earlier prices a forecast needs.
    fn needs(&self, steps: usize) -> usize {
        match self {
            Self::SeasonalNaive(model) => model.needs(steps),
            Self::Ar(model) => model.needs(),
            Self::Drift(_) | Self::ExponentialSmoothing(_) | Self::Garch(_) => 0,
        }
    }
}
