//! Owns what the kinds that model the price series do alike: the stretch of the train rows in, `series.json` out. Invariant: no price after the last
//! train row's outcome is learnt from, and no feature is read.

use std::collections::BTreeMap;

use crate::engine::frame_file::{FrameData, Part};
use crate::engine::numbers::count;
use crate::engine::price_history::PriceHistory;
use crate::engine::series::error::SeriesError;
use crate::engine::series::model::{Form, SeriesModel};
use crate::engine::series::stretch::{self, Stretch};
use crate::kinds::learner::{Fitted, LearnError, Settings};
use crate::kinds::native_json;
use crate::kinds::trained::SERIES_FILE;

/// Fits the prices of the train rows and makes the model's file.
///
/// # Errors
/// When there are no train rows, or their prices cannot be learnt from.
pub fn fit(
    frame: &FrameData,
    settings: &Settings,
    form: impl FnOnce(&PriceHistory) -> Result<Form, SeriesError>,
) -> Result<Fitted, LearnError> {
    let Some(Stretch { history, steps }) = stretch::of(frame)? else { return Err(LearnError::NoRows("train")) };
    let model = SeriesModel { first: history.dates[0], steps, form: form(&history)? };
    let mut metrics = measures(&model.form);
    if let Some(volatility) = model.volatility(frame, &frame.rows_of(Part::Valid))?.filter(|all| !all.is_empty()) {
        metrics.insert("valid_volatility".to_owned(), volatility.iter().sum::<f64>() / count(volatility.len()));
    }
    Ok(Fitted {
        files: BTreeMap::from([(SERIES_FILE.to_owned(), native_json::bytes(&model)?)]),
        params: settings.params.clone(),
        seen: vec![Part::Train],
        metrics,
        ..Fitted::default()
    })
}

/// How well the model fits what it learnt from, where it has a measure of that.
fn measures(form: &Form) -> BTreeMap<String, f64> {
    let measure = match form {
        Form::ExponentialSmoothing(model) => Some(("sse", model.sse)),
        Form::Garch(model) => Some(("log_likelihood", model.log_likelihood)),
        Form::SeasonalNaive(_) | Form::Drift(_) | Form::Ar(_) => None,
    };
    measure.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
