//! Owns what a `frame` stanza says. Invariant: a split that could leak, a pattern that is none and a horizon out of range are refused where they are
//! written, before any row is read.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::engine::frame::columns;
use crate::engine::frame::spec::{FrameSpec, JoinSpec};
use crate::kinds::body::Body;
use crate::kinds::context::KindError;
use crate::kinds::price_series;
use crate::model::folds::{Folds, Span};
use crate::model::series::{Roll, Series};
use crate::model::training::{DateRange, Horizon, Label, LabelKind, PriceColumn, Split, TableColumn};
use crate::syntax::shape::{Key, Want};

/// The ranges of `split`, in the order of time.
const RANGES: [&str; 3] = ["train", "valid", "test"];

/// The greatest age of a joined row, in days.
const MOST_DAYS: u32 = 36_525;

const DATES: Want = Want::List(&Want::Date, true);

/// The keys of a `frame`.
pub const KEYS: &[Key] = &[
    Key::required("features", Want::TableName, "The table of features: one row a date."),
    Key::required(
        "columns",
        Want::List(&Want::Text, true),
        "Its columns to use as features: names and patterns such as `ret_*`, numbers or truth values.",
    ),
    Key::optional("date", Want::Text, "The feature table's column of dates; `date` where it is not said."),
    Key::optional(
        "join",
        Want::List(
            &Want::Table(&[
                Key::required("table", Want::TableName, "The table: one row a date."),
                Key::required("columns", Want::List(&Want::Text, true), "Its columns to use as features: names and patterns."),
                Key::optional("date", Want::Text, "Its column of dates; `date` where it is not said."),
                Key::required("max_age_days", Want::Int(0), "How many days after its date a row says nothing any more."),
            ]),
            true,
        ),
        "More tables of features: a day gets the newest row that was known on it.",
    ),
    Key::required(
        "price",
        Want::Table(&[
            Key::required("table", Want::TableName, "The table that holds the price: one row a date."),
            Key::required("column", Want::Text, "Its column of prices. A day without one does not count as a row."),
            Key::optional("date", Want::Text, "Its column of dates; `date` where it is not said."),
            price_series::KEY,
        ]),
        "The price series that labels are made from.",
    ),
    Key::required(
        "horizon",
        Want::Choice(&[
            Key::optional("rows", Want::Int(1), "So many later rows with a price."),
            Key::optional("days", Want::Int(1), "The first row with a price at or after so many calendar days."),
        ]),
        "How far ahead the outcome lies.",
    ),
    Key::optional(
        "label",
        Want::OneOf(&["level", "log_return"]),
        "What models learn: the price at the outcome (`level`, where it is not said) or the log of it over today's (`log_return`).",
    ),
    Key::required(
        "split",
        Want::Table(&[
            Key::required("train", DATES, "First and last date of the rows to learn from."),
            Key::required("valid", DATES, "First and last date of the rows for early stopping and weighting."),
            Key::required("test", DATES, "First and last date of the rows for evaluation; without a last one, up to the newest."),
        ]),
        "Date ranges, both ends included. A row whose outcome comes when the next range has begun is left out.",
    ),
    Key::optional(
        "weight",
        Want::Table(&[
            Key::required("table", Want::TableName, "The table that says how much each day counts: one row a date."),
            Key::required("column", Want::Text, "Its column of weights, none below zero."),
            Key::optional("date", Want::Text, "Its column of dates; `date` where it is not said."),
        ]),
        "The authority on row weights. A day to learn from without a weight is refused.",
    ),
    Key::optional(
        "folds",
        Want::Choice(&[
            Key::optional(
                "walk_forward",
                Want::Table(&[
                    Key::required("from", Want::Date, "The first date forecast from."),
                    Key::required("to", Want::Date, "The last date on which an outcome may come."),
                    Key::required("train", Want::Text, "How far back a fold learns: `expanding`, or a stretch such as `12 months`."),
                    Key::optional("valid", Want::Text, "The stretch before the test that early stopping uses."),
                    Key::required("test", Want::Text, "The stretch that a fold forecasts."),
                    Key::optional("step", Want::Text, "How far the next fold lies ahead; as far as `test` where it is not said."),
                ]),
                "Learn from the past, forecast the next stretch, step on.",
            ),
            Key::optional(
                "purged",
                Want::Table(&[
                    Key::required("from", Want::Date, "The first date."),
                    Key::required("to", Want::Date, "The last date on which an outcome may come."),
                    Key::required("count", Want::Int(2), "How many folds."),
                ]),
                "Cut the rows into stretches and forecast each from all the others, less those whose outcomes reach into it.",
            ),
        ]),
        "How `backtest` cuts the history into folds. No row that a fold learns from has an outcome in its test.",
    ),
    Key::optional(
        "refit",
        Want::OneOf(&["monthly", "quarterly", "yearly"]),
        "How often `refit` trains again, on all outcomes known when the period began.",
    ),
    Key::optional("past", Want::Int(1), "So many rows of features before each row, for models that read windows."),
];

/// What the stanza asks a frame to be.
///
/// # Errors
/// When it could not be one.
pub fn spec(body: Body) -> Result<FrameSpec, KindError> {
    let price = price(body)?;
    let kind = label_kind(body, &price.series)?;
    Ok(FrameSpec {
        date: body.text("date").unwrap_or("date").to_owned(),
        columns: patterns(body, "columns", &body.texts("columns"))?,
        join: joins(body)?,
        lags: BTreeMap::new(),
        price,
        price_date: body.text_in("price", "date").unwrap_or("date").to_owned(),
        label: Label { kind, horizon: horizon(body)? },
        split: split(body)?,
        weight: weight(body)?,
        weight_date: body.text_in("weight", "date").unwrap_or("date").to_owned(),
        folds: folds(body)?,
        refit: body.value("refit").and_then(|word| serde_json::from_value(word.clone()).ok()),
        past: body.value("past").and_then(Value::as_u64).and_then(|rows| u32::try_from(rows).ok()),
    })
}

fn inside<'a>(body: Body<'a>, key: &str, inner: &str) -> Result<&'a str, KindError> {
    body.text_in(key, inner).ok_or_else(|| body.error(key, format!("'{key}' needs the key '{inner}'")))
}

fn price(body: Body) -> Result<PriceColumn, KindError> {
    let text = |key| inside(body, "price", key).map(ToOwned::to_owned);
    Ok(PriceColumn { table: text("table")?, column: text("column")?, series: price_series::read(body)? })
}

fn weight(body: Body) -> Result<Option<TableColumn>, KindError> {
    if body.value("weight").is_none() {
        return Ok(None);
    }
    Ok(Some(TableColumn { table: inside(body, "weight", "table")?.to_owned(), column: inside(body, "weight", "column")?.to_owned() }))
}

/// The further tables of features.
fn joins(body: Body) -> Result<Vec<JoinSpec>, KindError> {
    let all = body.value("join").and_then(Value::as_array).into_iter().flatten().enumerate();
    let one = |(index, join): (usize, &Value)| {
        let text = |key: &str| join[key].as_str().map(ToOwned::to_owned);
        let columns: Vec<&str> = join["columns"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let age = join["max_age_days"].as_u64().and_then(|days| u32::try_from(days).ok()).filter(|days| *days <= MOST_DAYS);
        Ok(JoinSpec {
            table: text("table").unwrap_or_default(),
            columns: patterns(body, &format!("join.{index}.columns"), &columns)?,
            date: text("date").unwrap_or_else(|| "date".to_owned()),
            max_age_days: age.ok_or_else(|| {
                body.error(&format!("join.{index}.max_age_days"), format!("a row may be up to {MOST_DAYS} days old, a century"))
            })?,
        })
    };
    all.map(one).collect()
}

fn patterns(body: Body, key: &str, given: &[&str]) -> Result<Vec<String>, KindError> {
    let mut all: Vec<String> = Vec::new();
    for (index, pattern) in given.iter().copied().enumerate() {
        let at = format!("{key}.{index}");
        if pattern.is_empty() {
            return Err(body.error(&at, "a column's name is empty"));
        }
        if all.iter().any(|p| p == pattern) {
            return Err(body.error(&at, format!("'{pattern}' is listed twice")));
        }
        columns::compile(pattern).map_err(|error| body.error(&at, error.to_string()))?;
        all.push(pattern.to_owned());
    }
    Ok(all)
}

fn label_kind(body: Body, series: &Series) -> Result<LabelKind, KindError> {
    if body.text("label") == Some("log_return") {
        return Ok(LabelKind::LogReturn);
    }
    if series.roll() == Some(Roll::RatioAdjusted) {
        let message =
            "each roll of a ratio-adjusted series rescales all earlier levels: a model of levels would learn prices that nobody paid";
        return Err(price_series::at_roll(body, message).hint("learn the return: label = \"log_return\""));
    }
    Ok(LabelKind::Level)
}

fn horizon(body: Body) -> Result<Horizon, KindError> {
    let given = body.table("horizon").into_iter().flatten().next();
    let Some((unit, count)) = given else { return Err(body.error("horizon", "'horizon' is { rows = … } or { days = … }")) };
    let count = count.as_u64().and_then(|n| u32::try_from(n).ok());
    let count = count.ok_or_else(|| body.error(&format!("horizon.{unit}"), "the horizon is out of range"))?;
    Ok(if unit == "days" { Horizon::Days(count) } else { Horizon::Rows(count) })
}

/// How the history is cut, where it is.
fn folds(body: Body) -> Result<Option<Folds>, KindError> {
    let Some((method, keys)) = body.table("folds").into_iter().flatten().next() else { return Ok(None) };
    let at = |key: &str| format!("folds.{method}.{key}");
    let mut keys = keys.as_object().cloned().unwrap_or_default();
    for (key, value) in keys.iter().filter(|(key, _)| ["train", "valid", "test", "step"].contains(&key.as_str())) {
        let text = value.as_str().unwrap_or_default();
        if !(key == "train" && text == "expanding") {
            text.parse::<Span>().map_err(|error| body.error(&at(key), error))?;
        }
    }
    if let (None, Some(test)) = (keys.get("step"), keys.get("test").cloned()) {
        keys.insert("step".into(), test);
    }
    if keys.get("from").and_then(Value::as_str) >= keys.get("to").and_then(Value::as_str) {
        return Err(body.error(&at("to"), "the folds end before they begin"));
    }
    let last = keys.get("to").and_then(Value::as_str).unwrap_or_default();
    if let Some(test) = body.table("split").and_then(|split| split.get("test")?.get(0)?.as_str()).filter(|test| last >= *test) {
        let message = format!("the folds end on {last}, but 'test' begins on {test}: what is tested last is kept from everything before");
        return Err(body.error(&at("to"), message));
    }
    let folds = serde_json::from_value(json!({ method: keys }));
    folds.map(Some).map_err(|error| body.error("folds", error.to_string()))
}

/// The three ranges: each runs forwards, and each ends before the next begins.
fn split(body: Body) -> Result<Split, KindError> {
    let [train, valid, test] = RANGES.map(|name| range(body, name));
    let (train, valid, test) = (train?, valid?, test?);
    for ((earlier, before), (later, after)) in [(("train", &train), ("valid", &valid)), (("valid", &valid), ("test", &test))] {
        let at = format!("split.{later}.0");
        let end = before.to.as_deref().unwrap_or_default();
        // Dates of this form are in the order of their texts.
        if after.from.as_str() <= end {
            let message = format!("'{later}' begins on {}, but '{earlier}' ends on {end}", after.from);
            return Err(body.error(&at, message).hint("the ranges follow each other: train, then valid, then test"));
        }
    }
    Ok(Split { train: Some(train), valid: Some(valid), test: Some(test) })
}

fn range(body: Body, name: &str) -> Result<DateRange, KindError> {
    let at = format!("split.{name}");
    let dates: Vec<String> = body.table("split").and_then(|split| split.get(name)).map(texts).unwrap_or_default();
    match (dates.as_slice(), name) {
        ([from, to], _) if to < from => Err(body.error(&at, format!("'{name}' ends on {to}, before it begins on {from}"))),
        ([_, _], _) | ([_], "test") => DateRange::try_from(dates).map_err(|error| body.error(&at, error)),
        ([_], _) => Err(body.error(&at, format!("'{name}' needs a last date; only 'test' may stay open"))),
        _ => Err(body.error(&at, format!("'{name}' is a list of two dates, the first and the last"))),
    }
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(ToOwned::to_owned).collect()
}
