//! Owns what `forecast` leaves behind: its table, `intervals.json` and the numbers of its report. Invariant: every row says from which day, model, frame,
//! backtest and sources it is, and which row is the forecast of today.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use chrono::{Days, NaiveDate};
use serde_json::json;

use crate::base::json;
use crate::engine::conformal::{Calibration, LEVELS, Level};
use crate::engine::judging::bootstrap::Interval;
use crate::engine::numbers::count;
use crate::engine::quantiles::Quantiles;
use crate::engine::table_columns::{self, Values};
use crate::engine::table_file;
use crate::io::fs;
use crate::kinds::forecast_error::ForecastError;
use crate::kinds::forecast_rows::{CALENDAR_SLOT, Forecast, MODEL_SLOT, QUANTILES_SLOT, RESIDUALS_SLOT, SourceDates};
use crate::kinds::learner::FRAME_SLOT;
use crate::kinds::request::Response;
use crate::model::check::{Age, Severity, Verdict};
use crate::model::series::Series;
use crate::model::training::{Horizon, level_name};

/// What is told of the intervals, beside the table.
pub const INTERVALS_FILE: &str = "intervals.json";

/// What there is to tell.
pub struct Told<'a> {
    /// How far ahead.
    pub horizon: Horizon,
    /// What the prices are prices of.
    pub series: Series,
    /// The forecasts.
    pub forecasts: &'a [Forecast],
    /// Which of them is the newest of a complete day.
    pub newest: usize,
    /// What intervals are made from, where there are any.
    pub calibration: Option<Calibration>,
    /// Quantiles of the forecasts, where a set tells them.
    pub quantiles: Option<Quantiles>,
    /// The tables whose age is told.
    pub sources: Vec<SourceDates>,
    /// How old the newest complete day may be.
    pub max_age_days: Option<u32>,
    /// Slot → hash of what fed it.
    pub digests: &'a BTreeMap<String, String>,
}

/// Writes the artifact.
///
/// # Errors
/// When a file cannot be written.
pub fn write(told: &Told, out: &Path) -> Result<(), ForecastError> {
    fs::create_folders(out)?;
    table_file::write(&out.join(table_file::FILE_NAME), &table(told)?, &["date".to_owned()])?;
    if let Some(calibration) = &told.calibration {
        fs::write(&out.join(INTERVALS_FILE), json::pretty(calibration)?.as_bytes())?;
    }
    Ok(())
}

fn table(told: &Told) -> Result<RecordBatch, ArrowError> {
    let all = told.forecasts;
    let dates =
        |date: &dyn Fn(&Forecast) -> Option<NaiveDate>| Values::Dates(all.iter().map(|f| date(f).map(|d| d.to_epoch_days())).collect());
    let floats = |value: &dyn Fn(&Forecast) -> Option<f64>| Values::Floats(all.iter().map(value).collect());
    let bools = |value: &dyn Fn(usize) -> bool| Values::Bools((0..all.len()).map(|at| Some(value(at))).collect());
    let texts = |value: &dyn Fn(&Forecast) -> Option<String>| Values::Strings(all.iter().map(value).collect());
    let hash = |slot: &str| Values::Strings(vec![told.digests.get(slot).cloned(); all.len()]);
    let around = |at: usize, end: fn(Interval) -> f64| floats(&|f| interval(told, f, at).map(end));
    let mut columns = vec![
        ("date", dates(&|f| Some(f.date))),
        ("horizon", texts(&|_| Some(told.horizon.in_words()))),
        ("target_date", dates(&|f| Some(f.target_date))),
        ("series", texts(&|_| Some(told.series.to_string()))),
        ("newest", bools(&|at| at == told.newest)),
        ("complete", bools(&|at| all[at].missing.is_empty())),
        ("missing", texts(&|f| (!f.missing.is_empty()).then(|| f.missing.join(", ")))),
        ("price", floats(&|f| Some(f.price))),
        ("naive", floats(&|f| Some(f.price))),
        ("predicted", floats(&|f| Some(f.predicted))),
        ("change", floats(&change)),
        ("lower_80", around(0, |i| i.low)),
        ("upper_80", around(0, |i| i.high)),
        ("lower_95", around(1, |i| i.low)),
        ("upper_95", around(1, |i| i.high)),
        ("fresh_until", dates(&|f| f.date.checked_add_days(Days::new(told.max_age_days?.into())))),
        ("model_hash", hash(MODEL_SLOT)),
        ("frame_hash", hash(FRAME_SLOT)),
        ("calendar_hash", hash(CALENDAR_SLOT)),
        ("residuals_hash", hash(RESIDUALS_SLOT)),
        ("sources", texts(&|f| (!told.sources.is_empty()).then(|| sources(&told.sources, f.date)))),
    ];
    if told.quantiles.is_some() {
        columns.push(("quantiles_hash", hash(if told.digests.contains_key(QUANTILES_SLOT) { QUANTILES_SLOT } else { MODEL_SLOT })));
    }
    let columns = columns.into_iter().map(|(name, values)| (name.to_owned(), values));
    let of_level = |set: &Quantiles, at: usize| {
        let values = set.predicted[at].iter().map(|value| Some(*value)).collect();
        (level_name(set.levels[at]), Values::Floats(values))
    };
    let quantiles = told.quantiles.iter().flat_map(|set| (0..set.levels.len()).map(move |at| of_level(set, at)));
    table_columns::table(columns.chain(quantiles))
}

/// The interval at one of the levels.
fn interval(told: &Told, forecast: &Forecast, level: usize) -> Option<Interval> {
    let calibration = told.calibration.as_ref()?;
    Some(calibration.scale.around(forecast.predicted, calibration.levels.get(level)?.reach?))
}

/// How old each source was on a day, as JSON: a list of `table`, `newest`, `age_days`, `hash`.
fn sources(sources: &[SourceDates], day: NaiveDate) -> String {
    let one = |source: &SourceDates| {
        let newest = source.newest_on(day);
        let age = newest.map(|newest| day.signed_duration_since(newest).num_days());
        json!({ "table": source.asked.table, "newest": newest.map(|date| date.to_string()), "age_days": age, "hash": source.hash })
    };
    json!(sources.iter().map(one).collect::<Vec<_>>()).to_string()
}

/// The expected change as a share of today's price; a price of zero or less has no such share.
fn change(forecast: &Forecast) -> Option<f64> {
    (forecast.price > 0.0).then(|| forecast.predicted / forecast.price - 1.0)
}

/// The newest complete day's forecast, as numbers and in sentences, and what each build asks of its age.
#[must_use]
pub fn response(told: &Told) -> Response {
    let Some(newest) = told.forecasts.get(told.newest) else { return Response::default() };
    let numbers = [("price", newest.price), ("naive", newest.price), ("predicted", newest.predicted)];
    let mut metrics: BTreeMap<String, f64> = numbers.map(|(name, value)| (name.to_owned(), value)).into();
    metrics.extend(change(newest).map(|change| ("change".to_owned(), change)));
    let Forecast { date, target_date, price, predicted, .. } = newest;
    let (price, predicted) = (shown(*price), shown(*predicted));
    let mut notes = vec![format!("{date}: {price} → {predicted} by {target_date} (naive {price})")];
    if let Some(calibration) = &told.calibration {
        metrics.extend(numbers_of(calibration));
        let intervals = LEVELS.iter().enumerate().map(|(at, percent)| match interval(told, newest, at) {
            Some(interval) => format!("{percent} % {} to {}", shown(interval.low), shown(interval.high)),
            None => format!("{percent} % unknown from so few"),
        });
        notes.push(intervals.collect::<Vec<_>>().join(", "));
        notes.push(coverage(calibration));
    }
    if let Some(set) = &told.quantiles {
        let of_level = |at: usize| (level_name(set.levels[at]), set.predicted[at][told.newest]);
        let all: Vec<(String, f64)> = (0..set.levels.len()).map(of_level).collect();
        notes.push(all.iter().map(|(name, value)| format!("{name} {}", shown(*value))).collect::<Vec<_>>().join(", "));
        metrics.extend(all);
    }
    if let Some(later) = told.forecasts.iter().filter(|f| f.date > newest.date).max_by_key(|f| f.date) {
        notes.push(format!("{} is not complete: it lacks {}", later.date, later.missing.join(", ")));
    }
    Response { metrics, notes, checks: verdicts(told, newest.date) }
}

fn numbers_of(calibration: &Calibration) -> Vec<(String, f64)> {
    let mut numbers = vec![("residuals/n".to_owned(), count(calibration.n)), ("residuals/effective_n".to_owned(), calibration.effective_n)];
    for level in &calibration.levels {
        let ends = level.coverage_interval;
        let known =
            [("", level.coverage), ("_low", ends.map(|i| i.low)), ("_high", ends.map(|i| i.high)), ("_looking_back", level.looking_back)];
        numbers.extend(known.into_iter().filter_map(|(end, value)| Some((format!("coverage_{}{end}", level.percent), value?))));
    }
    numbers
}

/// How well intervals of this kind held, in a sentence.
fn coverage(calibration: &Calibration) -> String {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let one = |level: &Level| {
        let held = level.coverage?;
        let between = level.coverage_interval.map(|i| format!(" ({} to {})", percent(i.low), percent(i.high)));
        let back = level.looking_back.map(|share| format!(", looking back {}", percent(share)));
        Some(format!("{} % held {}{}{}", level.percent, percent(held), between.unwrap_or_default(), back.unwrap_or_default()))
    };
    let held: Vec<String> = calibration.levels.iter().filter_map(one).collect();
    let from = format!("{} errors, about {:.0} that do not overlap", calibration.n, calibration.effective_n);
    if held.is_empty() { from } else { format!("{from}: {}", held.join("; ")) }
}

/// What each build judges anew: how old the newest complete day is, and each source that has a limit.
fn verdicts(told: &Told, newest: NaiveDate) -> Vec<Verdict> {
    let verdict = |check: String, what: String, newest: NaiveDate, max_days: u32| Verdict {
        check,
        severity: Severity::Error,
        passed: true,
        bad: 0,
        what,
        age: Some(Age { newest: newest.to_string(), max_days }),
    };
    let own =
        told.max_age_days.map(|most| verdict(format!("max_age_days {most}"), format!("the newest complete day is {newest}"), newest, most));
    let of_source = |source: &SourceDates| {
        let (most, last) = (source.asked.max_age_days?, source.dates.last()?);
        let table = &source.asked.table;
        Some(verdict(format!("max_age_days {most} of {table}"), format!("its newest date is {last}"), *last, most))
    };
    own.into_iter().chain(told.sources.iter().filter_map(of_source)).collect()
}

/// A price with as many decimals as its size asks for.
fn shown(price: f64) -> String {
    if price.abs() >= 10.0 { format!("{price:.2}") } else { format!("{price:.4}") }
}
