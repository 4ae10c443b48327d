//! A frame of real prices for tests of learners: the committed crude oil series, with features made here in plain Rust.
//! Invariant: the labels are returns to the price `HORIZON` rows later, and no row's outcome lies in the next part.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cbi::engine::frame_file::{RECORD_FILE, ROWS_FILE};
use cbi::engine::price_history::{self, PriceHistory};
use cbi::engine::table_columns::{Values, table};
use cbi::engine::table_file;
use cbi::kinds::context::{DeclareContext, KindError};
use cbi::kinds::request::{Request, Response, RunError};
use cbi::kinds::{dispatch, registry};
use cbi::model::recipe::{Common, Declared, Place, Spot, Stanza};
use cbi::model::series::Series;
use cbi::model::training::{DateRange, FrameRecord, Horizon, Label, LabelKind, PriceColumn, Split, TableColumn};
use chrono::{Datelike, NaiveDate};
use serde_json::Value;

/// Rows from a price to its outcome.
pub const HORIZON: usize = 21;
const TRAIN: (&str, &str) = ("1987-01-05", "2010-12-31");
const VALID: (&str, &str) = ("2011-01-01", "2013-12-31");

/// The published prices: 8,321 days.
pub fn prices() -> Vec<(NaiveDate, f64)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("warehouse/fred.dcoilwtico.csv");
    let text = fs::read_to_string(file).unwrap();
    let rows = text.lines().skip(1).filter_map(|line| line.trim().split_once(','));
    let priced = rows.filter(|(_, price)| *price != ".");
    priced.map(|(date, price)| (NaiveDate::parse_from_str(date, "%m/%d/%Y").unwrap(), price.parse().unwrap())).collect()
}

/// Features of the day with this index; `None` where the series is too short for them.
pub fn features(prices: &[(NaiveDate, f64)], at: usize) -> Vec<(String, Option<f64>)> {
    let price = |back: usize| at.checked_sub(back).map(|i| prices[i].1);
    let change = |from: usize, to: usize| Some((price(to)? / price(from)?).ln());
    let mut all = Vec::new();
    for days in [1, 2, 3, 5, 10, 21, 42, 63, 126, 252] {
        all.push((format!("ret_{days}"), change(days, 0)));
    }
    for days in [5, 10, 21, 63, 126, 252] {
        #[allow(clippy::cast_precision_loss)]
        let mean = |sum: f64| sum / days as f64;
        let level = (0..days).map(price).sum::<Option<f64>>().map(mean);
        all.push((format!("ma_{days}"), level.map(|mean| prices[at].1 / mean - 1.0)));
        let moves = (0..days).map(|back| change(back + 1, back)).collect::<Option<Vec<f64>>>();
        all.push((format!("vol_{days}"), moves.map(|moves| mean(moves.iter().map(|m| m * m).sum()).sqrt())));
    }
    let date = prices[at].0;
    all.push(("month".into(), Some(f64::from(date.month()))));
    all.push(("weekday".into(), Some(f64::from(date.weekday().num_days_from_monday()))));
    all
}

fn day(date: NaiveDate) -> i32 {
    i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).unwrap()
}

fn part(date: NaiveDate, outcome: NaiveDate) -> Option<&'static str> {
    let (date, outcome) = (date.to_string(), outcome.to_string());
    let within = |range: (&str, &str)| (range.0..=range.1).contains(&date.as_str());
    match () {
        () if within(TRAIN) && outcome.as_str() < VALID.0 => Some("train"),
        () if within(VALID) && outcome.as_str() <= VALID.1 => Some("valid"),
        () => None,
    }
}

/// Writes the frame's `fit` artifact into `folder`.
pub fn write_fit(folder: &Path, kind: LabelKind, weight: bool) {
    write_rows(folder, kind, weight, part);
}

/// Writes the frame's `test` artifact into `folder`: all that is left of the series after `fit`.
pub fn write_test(folder: &Path, kind: LabelKind) {
    write_rows(folder, kind, false, |date, _| (date.to_string().as_str() > VALID.1).then_some("test"));
}

fn write_rows(folder: &Path, kind: LabelKind, weight: bool, part: impl Fn(NaiveDate, NaiveDate) -> Option<&'static str>) {
    let prices = prices();
    let chosen = (0..prices.len() - HORIZON).filter_map(|at| Some((at, part(prices[at].0, prices[at + HORIZON].0)?)));
    let rows: Vec<_> = chosen.collect();
    let label = |at: usize| match kind {
        LabelKind::Level => prices[at + HORIZON].1,
        LabelKind::LogReturn => (prices[at + HORIZON].1 / prices[at].1).ln(),
    };
    let floats = |value: &dyn Fn(usize) -> f64| Values::Floats(rows.iter().map(|(at, _)| Some(value(*at))).collect());
    let dates = |ahead: usize| Values::Dates(rows.iter().map(|(at, _)| Some(day(prices[at + ahead].0))).collect());
    let mut columns = vec![
        ("date".to_owned(), dates(0)),
        ("outcome_date".to_owned(), dates(HORIZON)),
        ("split".to_owned(), Values::Strings(rows.iter().map(|(_, part)| Some((*part).to_owned())).collect())),
        ("price".to_owned(), floats(&|at| prices[at].1)),
        ("label".to_owned(), floats(&label)),
    ];
    if weight {
        columns.push(("weight".to_owned(), floats(&|at| if prices[at].0.year() < 2000 { 0.5 } else { 2.0 })));
    }
    let by_row: Vec<_> = rows.iter().map(|(at, _)| features(&prices, *at)).collect();
    let names: Vec<String> = by_row[0].iter().map(|(name, _)| name.clone()).collect();
    for (index, name) in names.iter().enumerate() {
        columns.push((name.clone(), Values::Floats(by_row.iter().map(|row| row[index].1).collect())));
    }
    fs::create_dir_all(folder).unwrap();
    table_file::write(&folder.join(ROWS_FILE), &table(columns).unwrap(), &["date".to_owned()]).unwrap();
    fs::write(folder.join(RECORD_FILE), serde_json::to_string(&record(names, kind, weight)).unwrap()).unwrap();
    let known = &prices[rows[0].0..=rows[rows.len() - 1].0];
    price_history::write(folder, &PriceHistory::new(known)).unwrap();
}

fn record(features: Vec<String>, kind: LabelKind, weight: bool) -> FrameRecord {
    let range = |(from, to): (&str, &str)| Some(DateRange { from: from.to_owned(), to: Some(to.to_owned()) });
    FrameRecord {
        features,
        label: Label { kind, horizon: Horizon::Rows(21) },
        price: PriceColumn { table: "wti.daily".into(), column: "price".into(), series: Series::Spot },
        split: Split { train: range(TRAIN), valid: range(VALID), test: None },
        weight: weight.then(|| TableColumn { table: "wti.weights".into(), column: "weight".into() }),
        folds: None,
        joined: Vec::new(),
        past: None,
    }
}

/// What the stanza `[kind."model/x"]` with these keys declares.
pub fn declare(kind: &str, threads: u32, body: &Value) -> Result<Declared, Vec<KindError>> {
    let body: BTreeMap<String, Value> = serde_json::from_value(body.clone()).unwrap();
    let place = Place { file: Arc::from("recipes/x.toml"), span: 0..1 };
    let spots = body.keys().map(|key| (key.clone(), Spot::both(place.clone()))).collect();
    let stanza = Stanza {
        kind: kind.to_owned(),
        name: "model/x".parse().unwrap(),
        body,
        common: Common { threads, ..Common::default() },
        place: Place::default(),
        spots,
        part: None,
    };
    let context = DeclareContext {
        text: &|_| Err("no such file".into()),
        files: &|_| Vec::new(),
        env: &|_| None,
        kind_of: &|name| {
            let kind = name.split_once('/').map(|(kind, _)| kind).filter(|kind| ["frame", "quantiles", "tune"].contains(kind));
            Some(kind.unwrap_or("lightgbm").to_owned())
        },
        tune_of: &|_| None,
        as_of: None,
    };
    registry::declare(&stanza, &context).map(|(_, declared)| declared)
}

/// Runs the action that such a stanza declares on the frame in `fit`; its `model` artifact and what it reported.
pub fn train(kind: &str, body: &Value, fit: &Path, models: &[PathBuf], out: &Path) -> (PathBuf, Response) {
    train_on(1, kind, body, fit, models, out)
}

/// The same with so many threads.
pub fn train_on(threads: u32, kind: &str, body: &Value, fit: &Path, models: &[PathBuf], out: &Path) -> (PathBuf, Response) {
    let declared = declare(kind, threads, body).unwrap_or_else(|errors| panic!("{errors:?}"));
    let response = run_on(threads, kind, &declared, fit, models, out).unwrap_or_else(|error| panic!("{error}"));
    (out.join("model"), response)
}

/// Runs a declared action on one thread.
pub fn run(kind: &str, declared: &Declared, fit: &Path, models: &[PathBuf], out: &Path) -> Result<Response, RunError> {
    run_on(1, kind, declared, fit, models, out)
}

fn run_on(threads: u32, kind: &str, declared: &Declared, fit: &Path, models: &[PathBuf], out: &Path) -> Result<Response, RunError> {
    let mut inputs = BTreeMap::from([("frame".to_owned(), fit.to_owned())]);
    inputs.extend(models.iter().enumerate().map(|(index, folder)| (format!("model:{index}"), folder.clone())));
    dispatch::run(&Request { threads, ..Request::of(kind, declared.params.clone(), inputs, out.to_owned()) })
}

/// A folder with the tables of crude oil, and what actions make of them.
pub struct Work(tempfile::TempDir);

impl Work {
    /// The price table, the feature table and the calendar.
    pub fn new() -> Self {
        let work = Self(tempfile::tempdir().unwrap());
        let prices = prices();
        let days = || Values::Dates(prices.iter().map(|(date, _)| Some(date.to_epoch_days())).collect());
        let closes = Values::Floats(prices.iter().map(|(_, price)| Some(*price)).collect());
        work.table("prices", vec![("date".to_owned(), days()), ("price".to_owned(), closes)]);
        let rows: Vec<_> = (0..prices.len()).map(|at| features(&prices, at)).collect();
        let mut columns = vec![("date".to_owned(), days())];
        for (index, (name, _)) in rows[0].iter().enumerate() {
            columns.push((name.clone(), Values::Floats(rows.iter().map(|row| row[index].1).collect())));
        }
        work.table("features", columns);
        let calendar = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("warehouse/calendar.us_trading_days.csv")).unwrap();
        let trading = calendar.lines().skip(1).map(|line| Some(line.parse::<NaiveDate>().unwrap().to_epoch_days()));
        work.table("calendar", vec![("date".to_owned(), Values::Dates(trading.collect()))]);
        work
    }

    /// A folder in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a table as an artifact.
    pub fn table(&self, name: &str, columns: Vec<(String, Values)>) {
        fs::create_dir_all(self.path(name)).unwrap();
        table_file::write(&self.path(name).join(table_file::FILE_NAME), &table(columns).unwrap(), &["date".to_owned()]).unwrap();
    }

    /// Runs one action on artifacts in folders of it.
    pub fn run(&self, kind: &str, stanza: &Value, inputs: &[(&str, &str)], out: &str) -> Result<Response, RunError> {
        let declared = declare(kind, 1, stanza).unwrap_or_else(|errors| panic!("{errors:?}"));
        let slots: Vec<_> = declared.inputs.keys().map(String::as_str).collect();
        let inputs: BTreeMap<String, PathBuf> = inputs.iter().map(|(slot, folder)| ((*slot).to_owned(), self.path(folder))).collect();
        assert_eq!(slots, inputs.keys().map(String::as_str).collect::<Vec<_>>());
        dispatch::run(&Request::of(kind, declared.params, inputs, self.path(out)))
    }
}
