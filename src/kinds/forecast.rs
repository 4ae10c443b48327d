//! Kind `forecast`: a model's dated forecasts from the newest rows. Invariant: every forecast says when it was made, when it comes due by a declared
//! calendar, and what the naive forecast says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::engine::calendar::{Calendar, CalendarError};
use crate::engine::frame_file::{self, FrameData, FrameFileError};
use crate::engine::table_columns::{self, ColumnError, Values};
use crate::engine::table_file::{self, TableFileError};
use crate::io::fs::{self, FsError};
use crate::kinds::body::Body;
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::frame::SCORE;
use crate::kinds::kind::Kind;
use crate::kinds::learner::{self, FRAME_SLOT};
use crate::kinds::request::{Request, Response, RunError};
use crate::kinds::trained::{self, TrainedError};
use crate::kinds::training_stanza::{frame_part, predictors};
use crate::model::recipe::{Declared, Stanza};
use crate::model::training::Horizon;
use crate::syntax::shape::{Key, Want};

/// The artifact with the forecasts.
pub const ARTIFACT: &str = "table";
/// The slot of the model.
pub const MODEL_SLOT: &str = "model";
/// The slot of the table of trading days.
pub const CALENDAR_SLOT: &str = "calendar";

/// Kind `forecast`.
pub const KIND: Kind = Kind {
    name: "forecast",
    version: 1,
    about: "Forecasts from a frame's newest rows, whose outcome nobody knows yet, each with the day it comes due and the naive forecast beside it.",
    keys: &[
        Key::required("frame", Want::Target, "The frame whose newest rows are used."),
        Key::required("model", Want::Target, "The model that forecasts."),
        Key::required(
            "calendar",
            Want::Table(&[
                Key::required("table", Want::TableName, "The table that lists the trading days, past and future."),
                Key::required("column", Want::Text, "Its column of dates."),
            ]),
            "The trading days of the market: they say when a forecast comes due.",
        ),
    ],
    declare,
};

/// The params of a `forecast` action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The calendar's column of dates.
    pub calendar_column: String,
}

fn declare(stanza: &Stanza, context: &DeclareContext) -> Result<Declared, KindError> {
    let body = Body(stanza);
    let model = body.target("model", learner::ARTIFACT)?;
    let mut engines: BTreeSet<String> = predictors(body, context, &model, "model")?.into_iter().collect();
    engines.insert("parquet".to_owned());
    let column = body.text_in("calendar", "column").ok_or_else(|| body.error("calendar", "'calendar' needs the key 'column'"))?;
    Ok(Declared {
        params: json!(Spec { calendar_column: column.to_owned() }),
        inputs: BTreeMap::from([
            (FRAME_SLOT.to_owned(), frame_part(body, context, SCORE, "forecasts are made from")?),
            (MODEL_SLOT.to_owned(), model),
            (CALENDAR_SLOT.to_owned(), body.target("calendar.table", "table")?),
        ]),
        places: BTreeMap::from([(CALENDAR_SLOT.to_owned(), body.place("calendar.table"))]),
        outputs: BTreeSet::from([ARTIFACT.to_owned()]),
        engines,
        ..Declared::default()
    })
}

/// What a forecast is made from.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The frame's `score` artifact.
    pub score: PathBuf,
    /// The model.
    pub model: PathBuf,
    /// The table of trading days.
    pub calendar: PathBuf,
}

/// Why nothing was forecast.
#[derive(Debug, thiserror::Error)]
pub enum ForecastError {
    /// The newest rows cannot be read.
    #[error(transparent)]
    Frame(#[from] FrameFileError),
    /// The model cannot be read or cannot forecast these rows.
    #[error("the model: {0}")]
    Model(#[from] TrainedError),
    /// The calendar does not say when a forecast comes due.
    #[error("{0}")]
    Calendar(#[from] CalendarError),
    /// The calendar's column cannot be used.
    #[error("the calendar: {0}")]
    Column(#[from] ColumnError),
    /// A row without a date of this calendar's.
    #[error("day {0} after 1970-01-01 is no date")]
    Date(i32),
    /// The table cannot be made.
    #[error(transparent)]
    Columns(#[from] ArrowError),
    /// A table cannot be read or written.
    #[error(transparent)]
    Table(#[from] TableFileError),
    /// A file cannot be written.
    #[error(transparent)]
    Io(#[from] FsError),
}

/// One forecast.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Forecast {
    date: NaiveDate,
    target_date: NaiveDate,
    price: f64,
    predicted: f64,
}

impl ForecastError {
    /// As the action's failure: a calendar that ends is a data check's refusal, a model of another horizon the recipe's mistake.
    #[must_use]
    pub fn as_failure(&self) -> RunError {
        match self {
            Self::Calendar(_) => RunError::refused(self).hint("extend the table of trading days"),
            Self::Column(ColumnError::Missing { nearest: Some(name), .. }) => {
                RunError::invalid(self).hint(format!("did you mean '{name}'?"))
            }
            Self::Column(_) | Self::Model(TrainedError::OtherQuestion { .. } | TrainedError::Frame(FrameFileError::Feature { .. })) => {
                RunError::invalid(self)
            }
            _ => RunError::failed(self),
        }
    }
}

/// Runs the action.
///
/// # Errors
/// When the model cannot forecast these rows, the calendar ends too early, or a file cannot be read or written.
pub fn run(request: &Request) -> Result<Response, RunError> {
    let folder = |slot| request.input(slot).map(Path::to_owned);
    let inputs = Inputs { score: folder(FRAME_SLOT)?, model: folder(MODEL_SLOT)?, calendar: folder(CALENDAR_SLOT)? };
    forecast(&request.params()?, &inputs, &request.output(ARTIFACT)?).map_err(|error| error.as_failure())
}

/// Forecasts from every row of `score` and writes the `table` artifact into `out`.
///
/// # Errors
/// When the model forecasts something else, the calendar ends too early, or a file cannot be read or written.
pub fn forecast(spec: &Spec, inputs: &Inputs, out: &Path) -> Result<Response, ForecastError> {
    let frame = frame_file::read(&inputs.score)?;
    let days = table_file::read(&inputs.calendar.join(table_file::FILE_NAME))?;
    let days = table_columns::dates(&days, &spec.calendar_column)?;
    let calendar = Calendar::new(days.into_iter().flatten().filter_map(NaiveDate::from_epoch_days))?;
    let all: Vec<usize> = (0..frame.len()).collect();
    let predicted = trained::read(&inputs.model)?.predict(&frame, &all)?;
    let forecasts = dated(&frame, &predicted, &calendar)?;
    fs::create_folders(out)?;
    let table = table(&forecasts, frame.record.label.horizon)?;
    table_file::write(&out.join(table_file::FILE_NAME), &table, &["date".to_owned()])?;
    Ok(report(&forecasts))
}

fn dated(frame: &FrameData, predicted: &[f64], calendar: &Calendar) -> Result<Vec<Forecast>, ForecastError> {
    let rows = frame.dates.iter().zip(&frame.price).zip(predicted);
    let one = |((day, price), predicted): ((&i32, &f64), &f64)| {
        let date = NaiveDate::from_epoch_days(*day).ok_or(ForecastError::Date(*day))?;
        let target_date = calendar.target(date, frame.record.label.horizon)?;
        Ok(Forecast { date, target_date, price: *price, predicted: *predicted })
    };
    rows.map(one).collect()
}

fn table(forecasts: &[Forecast], horizon: Horizon) -> Result<RecordBatch, ArrowError> {
    let dates = |date: fn(&Forecast) -> NaiveDate| Values::Dates(forecasts.iter().map(|f| Some(date(f).to_epoch_days())).collect());
    let floats = |value: fn(&Forecast) -> Option<f64>| Values::Floats(forecasts.iter().map(value).collect());
    let columns = [
        ("date", dates(|f| f.date)),
        ("horizon", Values::Strings(vec![Some(in_words(horizon)); forecasts.len()])),
        ("target_date", dates(|f| f.target_date)),
        ("price", floats(|f| Some(f.price))),
        ("naive", floats(|f| Some(f.price))),
        ("predicted", floats(|f| Some(f.predicted))),
        ("change", floats(change)),
    ];
    table_columns::table(columns.map(|(name, values)| (name.to_owned(), values)))
}

/// The expected change as a share of today's price; a price of zero or less has no such share.
fn change(forecast: &Forecast) -> Option<f64> {
    (forecast.price > 0.0).then(|| forecast.predicted / forecast.price - 1.0)
}

fn in_words(horizon: Horizon) -> String {
    match horizon {
        Horizon::Rows(n) => format!("{n} rows"),
        Horizon::Days(n) => format!("{n} days"),
    }
}

/// The newest forecast, as numbers and in a sentence.
fn report(forecasts: &[Forecast]) -> Response {
    let Some(newest) = forecasts.iter().max_by_key(|f| f.date) else { return Response::default() };
    let numbers = [("price", newest.price), ("naive", newest.price), ("predicted", newest.predicted)];
    let mut metrics: BTreeMap<String, f64> = numbers.map(|(name, value)| (name.to_owned(), value)).into();
    metrics.extend(change(newest).map(|change| ("change".to_owned(), change)));
    let Forecast { date, target_date, price, predicted } = newest;
    let (price, predicted) = (shown(*price), shown(*predicted));
    Response { metrics, notes: vec![format!("{date}: {price} → {predicted} by {target_date} (naive {price})")], ..Response::default() }
}

/// A price with as many decimals as its size asks for.
fn shown(price: f64) -> String {
    if price.abs() >= 10.0 { format!("{price:.2}") } else { format!("{price:.4}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::table_columns::{dates, floats, strings};
    use crate::kinds::learner::{Settings, write_record};
    use crate::model::training::{FrameRecord, Label, LabelKind, ModelRecord, PriceColumn, Split};

    fn day(text: &str) -> i32 {
        text.parse::<NaiveDate>().unwrap().to_epoch_days()
    }

    fn record(horizon: Horizon) -> FrameRecord {
        FrameRecord {
            features: Vec::new(),
            label: Label { kind: LabelKind::Level, horizon },
            price: PriceColumn { table: "t.t".into(), column: "price".into() },
            split: Split { train: None, valid: None, test: None },
            weight: None,
            folds: None,
        }
    }

    fn write_table(folder: &Path, columns: Vec<(&str, Values)>, key: &str) {
        fs::create_folders(folder).unwrap();
        let rows = table_columns::table(columns.into_iter().map(|(name, values)| (name.to_owned(), values))).unwrap();
        table_file::write(&folder.join(table_file::FILE_NAME), &rows, &[key.to_owned()]).unwrap();
    }

    /// Crude oil's last two days of the demo, a naive model, and a calendar of the days after.
    fn forecast_with(horizon: Horizon, calendar: &[&str]) -> Result<(Response, RecordBatch), ForecastError> {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let newest = ["2019-01-02", "2019-01-03"];
        let columns =
            vec![("date", Values::Dates(newest.map(|d| Some(day(d))).to_vec())), ("price", Values::Floats(vec![Some(46.31), Some(-2.0)]))];
        write_table(&path("score"), columns, "date");
        fs::write(&path("score").join(frame_file::RECORD_FILE), &serde_json::to_vec(&record(horizon)).unwrap()).unwrap();
        write_table(&path("calendar"), vec![("day", Values::Dates(calendar.iter().map(|d| Some(day(d))).collect()))], "day");
        let settings = Settings::default();
        let naive = ModelRecord {
            kind: "naive".into(),
            frame: record(horizon),
            features: Vec::new(),
            params: settings.params,
            seed: None,
            rounds: None,
            trained_on: Vec::new(),
            engine: None,
            members: Vec::new(),
        };
        fs::create_folders(&path("model")).unwrap();
        write_record(&path("model"), &naive).unwrap();
        let inputs = Inputs { score: path("score"), model: path("model"), calendar: path("calendar") };
        let report = forecast(&Spec { calendar_column: "day".into() }, &inputs, &path("out"))?;
        Ok((report, table_file::read(&path("out").join(table_file::FILE_NAME)).unwrap()))
    }

    const DAYS: [&str; 5] = ["2019-01-02", "2019-01-03", "2019-01-04", "2019-01-07", "2019-01-08"];

    #[test]
    fn a_forecast_says_when_it_was_made_when_it_comes_due_and_what_naive_says() {
        let (report, table) = forecast_with(Horizon::Rows(3), &DAYS).unwrap();
        assert_eq!(dates(&table, "target_date").unwrap(), [Some(day("2019-01-07")), Some(day("2019-01-08"))]);
        assert_eq!(strings(&table, "horizon").unwrap(), [Some("3 rows"), Some("3 rows")]);
        assert_eq!(floats(&table, "naive").unwrap(), floats(&table, "price").unwrap());
        assert_eq!(floats(&table, "change").unwrap(), [Some(0.0), None], "below zero there is no share");
        assert_eq!(report.notes, ["2019-01-03: -2.0000 → -2.0000 by 2019-01-08 (naive -2.0000)"]);
        assert_eq!(report.metrics.keys().map(String::as_str).collect::<Vec<_>>(), ["naive", "predicted", "price"]);
    }

    #[test]
    fn a_horizon_in_days_comes_due_on_the_first_trading_day_at_or_after() {
        let (_, table) = forecast_with(Horizon::Days(2), &DAYS).unwrap();
        assert_eq!(dates(&table, "target_date").unwrap(), [Some(day("2019-01-04")), Some(day("2019-01-07"))]);
    }

    #[test]
    fn a_calendar_that_ends_too_early_is_refused_with_its_last_day() {
        let error = forecast_with(Horizon::Rows(4), &DAYS).unwrap_err();
        assert_eq!(error.to_string(), "the calendar ends on 2019-01-08, before trading day 4 after 2019-01-03");
    }
}
