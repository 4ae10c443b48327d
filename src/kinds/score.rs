//! Kind `score`: published forecasts against the prices that came. Invariant: a forecast without an outcome is counted as open and is part of no figure, and
//! no figure stands without the naive forecast's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use arrow::array::RecordBatch;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::engine::evaluation::{Judged, TestRow};
use crate::engine::judging::bootstrap::Bootstrap;
use crate::engine::judging::segments::{self, ShortBlock};
use crate::engine::published::{self, Published, PublishedError};
use crate::engine::table_columns::{self, ColumnError};
use crate::engine::table_file::{self, TableFileError};
use crate::kinds::body::Body;
use crate::kinds::bootstrap_key::{BOOTSTRAP_KEY, bootstrap};
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::evaluate_report::ReportError;
use crate::kinds::kind::Kind;
use crate::kinds::price_series;
use crate::kinds::request::{Request, Response, RunError};
use crate::kinds::score_report::{self, Group, Scored};
use crate::model::recipe::{Declared, Stanza};
use crate::model::series::{Roll, Series};
use crate::syntax::shape::{Key, Want};

/// The artifact.
pub const ARTIFACT: &str = "score";
/// What the kind is called.
pub const NAME: &str = "score";
/// The slot of the published forecasts.
pub const FORECASTS_SLOT: &str = "forecasts";
/// The slot of the prices.
pub const PRICE_SLOT: &str = "price";

/// Kind `score`.
pub const KIND: Kind = Kind {
    name: NAME,
    version: 3,
    about: "Compares forecasts that were published with the prices that came, beside the forecast that the price stays where it is.",
    keys: &[
        Key::required(
            "forecasts",
            Want::Table(&[
                Key::required("table", Want::TableName, "The table of published forecasts."),
                Key::optional("date", Want::Text, "Its column of the days they were made on; `date` where it is not said."),
                Key::optional("target_date", Want::Text, "Its column of the days they come due; `target_date` where it is not said."),
                Key::optional("predicted", Want::Text, "Its column of forecast prices; `predicted` where it is not said."),
                Key::optional("model", Want::Text, "Its column of models, each judged by itself; all are one where it is not said."),
                Key::optional("horizon", Want::Text, "Its column of horizons, each judged by itself; all are one where it is not said."),
            ]),
            "The forecasts, as they were published.",
        ),
        Key::required(
            "price",
            Want::Table(&[
                Key::required("table", Want::TableName, "The table of prices: one row a date."),
                Key::required("column", Want::Text, "Its column of prices."),
                Key::optional("date", Want::Text, "Its column of dates; `date` where it is not said."),
                price_series::KEY,
            ]),
            "The prices that came.",
        ),
        BOOTSTRAP_KEY,
    ],
    declare,
};

/// The params of a `score` action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The columns of the forecasts.
    pub date: String,
    /// When they come due.
    pub target_date: String,
    /// The forecast prices.
    pub predicted: String,
    /// The models, where they are told apart.
    pub model: Option<String>,
    /// The horizons, where they are told apart.
    pub horizon: Option<String>,
    /// The prices' column.
    pub price: String,
    /// The prices' dates.
    pub price_date: String,
    /// What they are prices of.
    pub series: Series,
    /// How intervals are made.
    pub bootstrap: Bootstrap,
}

fn declare(stanza: &Stanza, _: &DeclareContext) -> Result<Declared, KindError> {
    let body = Body(stanza);
    let column = |key: &str, usual: &str| body.text_in("forecasts", key).unwrap_or(usual).to_owned();
    let other = |key: &str| body.text_in("forecasts", key).map(ToOwned::to_owned);
    let spec = Spec {
        date: column("date", "date"),
        target_date: column("target_date", "target_date"),
        predicted: column("predicted", "predicted"),
        model: other("model"),
        horizon: other("horizon"),
        price: body.text_in("price", "column").unwrap_or_default().to_owned(),
        price_date: body.text_in("price", "date").unwrap_or("date").to_owned(),
        series: paid(body)?,
        bootstrap: bootstrap(body),
    };
    Ok(Declared {
        params: json!(spec),
        inputs: BTreeMap::from([
            (FORECASTS_SLOT.to_owned(), body.target("forecasts.table", "table")?),
            (PRICE_SLOT.to_owned(), body.target("price.table", "table")?),
        ]),
        places: BTreeMap::from([
            (FORECASTS_SLOT.to_owned(), body.place("forecasts.table")),
            (PRICE_SLOT.to_owned(), body.place("price.table")),
        ]),
        outputs: BTreeSet::from([ARTIFACT.to_owned()]),
        engines: BTreeSet::from(["parquet".to_owned()]),
        ..Declared::default()
    })
}

/// What the prices are prices of: such as were paid, for published forecasts were of those.
fn paid(body: Body) -> Result<Series, KindError> {
    let series = price_series::read(body)?;
    if series.roll() != Some(Roll::RatioAdjusted) {
        return Ok(series);
    }
    let error = price_series::at_roll(
        body,
        "a ratio-adjusted series does not hold the prices that came, but those times the ratios of later rolls",
    );
    Err(error.hint("compare published forecasts with the unadjusted series"))
}

/// Why nothing was compared.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// The forecasts' columns cannot be used.
    #[error("the forecasts: {0}")]
    Forecasts(ColumnError),
    /// The prices' columns cannot be used.
    #[error("the prices: {0}")]
    Prices(ColumnError),
    /// A forecast lacks a date, its level, or what it is counted under.
    #[error("the forecasts: row {row} lacks a date, a level, a model or a horizon")]
    Hole {
        /// The row, counted from 1.
        row: usize,
    },
    /// A day has two prices.
    #[error("the prices: {date} has two, {first} and {second}")]
    TwoPrices {
        /// The day.
        date: NaiveDate,
        /// The one.
        first: f64,
        /// The other.
        second: f64,
    },
    /// There is no price at all.
    #[error("the prices: not one row has a date and a price")]
    NoPrices,
    /// There is no forecast at all.
    #[error("no forecast was ever published: the table has no rows")]
    NoForecasts,
    /// The forecasts contradict each other.
    #[error("the forecasts: {0}")]
    Published(#[from] PublishedError),
    /// The bootstrap's blocks are too short.
    #[error(transparent)]
    Block(#[from] ShortBlock),
    /// A table cannot be read.
    #[error(transparent)]
    Table(#[from] TableFileError),
    /// The artifact cannot be written.
    #[error(transparent)]
    Report(#[from] ReportError),
}

impl ScoreError {
    /// As the action's failure: rows that contradict each other are a data check's refusal, a column that is not there the recipe's mistake.
    #[must_use]
    pub fn as_failure(&self) -> RunError {
        match self {
            Self::Forecasts(ColumnError::Missing { nearest: Some(name), .. })
            | Self::Prices(ColumnError::Missing { nearest: Some(name), .. }) => {
                RunError::invalid(self).hint(format!("did you mean '{name}'?"))
            }
            Self::Forecasts(_) | Self::Prices(_) => RunError::invalid(self),
            Self::Block(short) => RunError::invalid(self).hint(short.hint()),
            Self::TwoPrices { .. } => RunError::refused(self).hint("name a table with one price a day"),
            Self::Published(PublishedError::Twice { .. }) => {
                RunError::refused(self).hint("a forecast is published once; name a table that holds the one that readers saw")
            }
            Self::Hole { .. } | Self::NoPrices | Self::NoForecasts | Self::Published(_) => RunError::refused(self),
            Self::Table(_) | Self::Report(_) => RunError::failed(self),
        }
    }
}

/// Runs the action.
///
/// # Errors
/// When the tables cannot be read or contradict themselves, or a file cannot be written.
pub fn run(request: &Request) -> Result<Response, RunError> {
    let (forecasts, prices) = (request.input(FORECASTS_SLOT)?, request.input(PRICE_SLOT)?);
    score(&request.params()?, forecasts, prices, &request.output(ARTIFACT)?).map_err(|error| error.as_failure())
}

/// Compares the forecasts with the prices and writes the `score` artifact into `out`.
///
/// # Errors
/// When the tables cannot be read or contradict themselves, or a file cannot be written.
pub fn score(spec: &Spec, forecasts: &Path, prices: &Path, out: &Path) -> Result<Response, ScoreError> {
    let rows = |folder: &Path| table_file::read(&folder.join(table_file::FILE_NAME));
    let all = read_forecasts(spec, &rows(forecasts)?)?;
    let repeated = all.len();
    let all = published::each_once(all)?;
    let prices = read_prices(spec, &rows(prices)?)?;
    let (Some((prices_until, _)), false) = (prices.last_key_value(), all.is_empty()) else { return Err(ScoreError::NoForecasts) };
    let scored = Scored {
        repeated: repeated - all.len(),
        fates: all.iter().map(|one| published::fate(one, &prices)).collect(),
        prices_until: *prices_until,
        series: spec.series.clone(),
        bootstrap: spec.bootstrap,
        groups: Vec::new(),
        all,
    };
    let scored = Scored { groups: groups(&scored, spec)?, ..scored };
    score_report::write(&scored, out)?;
    Ok(score_report::response(&scored))
}

fn read_forecasts(spec: &Spec, rows: &RecordBatch) -> Result<Vec<Published>, ScoreError> {
    let dates = |name: &str| table_columns::dates(rows, name).map_err(ScoreError::Forecasts);
    let (made, due) = (dates(&spec.date)?, dates(&spec.target_date)?);
    let predicted = table_columns::floats(rows, &spec.predicted).map_err(ScoreError::Forecasts)?;
    let names = |column: &Option<String>| match column {
        Some(name) => table_columns::strings(rows, name).map_err(ScoreError::Forecasts),
        None => Ok(vec![Some(""); rows.num_rows()]),
    };
    let (models, horizons) = (names(&spec.model)?, names(&spec.horizon)?);
    let day = |value: Option<i32>| value.and_then(NaiveDate::from_epoch_days);
    let one = |at: usize| {
        Some(Published {
            model: models[at]?.to_owned(),
            horizon: horizons[at]?.to_owned(),
            date: day(made[at])?,
            target_date: day(due[at])?,
            predicted: predicted[at].filter(|level| level.is_finite())?,
        })
    };
    (0..rows.num_rows()).map(|at| one(at).ok_or(ScoreError::Hole { row: at + 1 })).collect()
}

fn read_prices(spec: &Spec, rows: &RecordBatch) -> Result<BTreeMap<NaiveDate, f64>, ScoreError> {
    let dates = table_columns::dates(rows, &spec.price_date).map_err(ScoreError::Prices)?;
    let levels = table_columns::floats(rows, &spec.price).map_err(ScoreError::Prices)?;
    let mut prices = BTreeMap::new();
    for (date, level) in dates.into_iter().zip(levels) {
        let (Some(date), Some(level)) = (date.and_then(NaiveDate::from_epoch_days), level) else { continue };
        if let Some(first) = prices.insert(date, level).filter(|first: &f64| first.to_bits() != level.to_bits()) {
            return Err(ScoreError::TwoPrices { date, first, second: level });
        }
    }
    if prices.is_empty() { Err(ScoreError::NoPrices) } else { Ok(prices) }
}

/// Each model and horizon by itself.
fn groups(scored: &Scored, spec: &Spec) -> Result<Vec<Group>, ScoreError> {
    let mut groups = Vec::new();
    let rows: Vec<_> = scored.all.iter().zip(&scored.fates).collect();
    for own in rows.chunk_by(|a, b| (&a.0.model, &a.0.horizon) == (&b.0.model, &b.0.horizon)) {
        let due: Vec<(TestRow, f64)> = own.iter().filter_map(|(one, fate)| Some((fate.due()?, one.predicted))).collect();
        let (rows, predicted): (Vec<TestRow>, Vec<f64>) = due.into_iter().unzip();
        let judged = Judged { model: own[0].0.model.clone(), predicted, quantile: None, set: None };
        let judgement = if rows.is_empty() { None } else { Some(segments::judge(&rows, &[judged], None, &spec.bootstrap)?) };
        let count = |word: &str| own.iter().filter(|(_, fate)| fate.word() == word).count();
        groups.push(Group {
            model: own[0].0.model.clone(),
            horizon: own[0].0.horizon.clone(),
            published: own.len(),
            open: count("open"),
            without_price: count("no price"),
            next_due: own.iter().filter(|(_, fate)| fate.word() == "open").map(|(one, _)| one.target_date).min(),
            judgement,
        });
    }
    Ok(groups)
}
