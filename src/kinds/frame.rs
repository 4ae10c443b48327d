//! Kind `frame`: labels, splits and chosen features, the only door into training. Invariant: what a frame is asked to be is settled here, before any
//! row is read; a split that could leak is refused where it is written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use crate::engine::frame::build::build;
use crate::engine::frame::columns;
use crate::engine::frame::error::FrameError;
use crate::engine::frame::spec::FrameSpec;
use crate::engine::frame::write::write;
use crate::engine::table_file;
use crate::kinds::body::Body;
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::kind::Kind;
use crate::kinds::request::{Request, Response, RunError};
use crate::model::folds::{Folds, Span};
use crate::model::recipe::{Declared, Stanza};
use crate::model::training::{DateRange, Horizon, Label, LabelKind, PriceColumn, Split};
use crate::syntax::shape::{Key, Want};

/// The artifact that learners read: train and valid rows.
pub const FIT: &str = "fit";
/// The artifact that `evaluate` reads.
pub const TEST: &str = "test";
/// The artifact that `forecast` reads.
pub const SCORE: &str = "score";
/// The artifact that `backtest` reads.
pub const FOLDS: &str = "folds";
/// The artifact that `refit` reads.
pub const REFIT: &str = "refit";

/// The ranges of `split`, in the order of time.
const RANGES: [&str; 3] = ["train", "valid", "test"];

const DATES: Want = Want::List(&Want::Date, true);

/// Kind `frame`.
pub const KIND: Kind = Kind {
    name: "frame",
    version: 2,
    about: "Makes the rows that models learn from, are tested on and forecast from: labels from the price series, splits by date, chosen features.",
    keys: &[
        Key::required("features", Want::TableName, "The table of features: one row a date."),
        Key::required(
            "columns",
            Want::List(&Want::Text, true),
            "Its columns to use as features: names and patterns such as `ret_*`, numbers or truth values.",
        ),
        Key::optional("date", Want::Text, "The feature table's column of dates; `date` where it is not said."),
        Key::required(
            "price",
            Want::Table(&[
                Key::required("table", Want::TableName, "The table that holds the price: one row a date."),
                Key::required("column", Want::Text, "Its column of prices. A day without one does not count as a row."),
                Key::optional("date", Want::Text, "Its column of dates; `date` where it is not said."),
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
        Key::optional("weight", Want::Text, "The feature table's column of row weights."),
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
    ],
    declare,
};

fn declare(stanza: &Stanza, _: &DeclareContext) -> Result<Declared, KindError> {
    let body = Body(stanza);
    let spec = FrameSpec {
        date: body.text("date").unwrap_or("date").to_owned(),
        columns: patterns(body)?,
        price: PriceColumn { table: inside(body, "price", "table")?.to_owned(), column: inside(body, "price", "column")?.to_owned() },
        price_date: body.text_in("price", "date").unwrap_or("date").to_owned(),
        label: Label { kind: label_kind(body), horizon: horizon(body)? },
        split: split(body)?,
        weight: body.text("weight").map(ToOwned::to_owned),
        folds: folds(body)?,
        refit: body.value("refit").and_then(|word| serde_json::from_value(word.clone()).ok()),
    };
    let mut outputs = BTreeSet::from([FIT, TEST, SCORE].map(ToOwned::to_owned));
    outputs.extend(spec.folds.as_ref().map(|_| FOLDS.to_owned()));
    outputs.extend(spec.refit.map(|_| REFIT.to_owned()));
    Ok(Declared {
        params: json!(spec),
        inputs: BTreeMap::from([
            ("features".to_owned(), body.target("features", "table")?),
            ("price".to_owned(), body.target("price.table", "table")?),
        ]),
        places: BTreeMap::from([("price".to_owned(), body.place("price.table"))]),
        learns: BTreeMap::from([("features".to_owned(), spec.date)]),
        outputs,
        engines: BTreeSet::from(["parquet".to_owned()]),
        ..Declared::default()
    })
}

fn inside<'a>(body: Body<'a>, key: &str, inner: &str) -> Result<&'a str, KindError> {
    body.text_in(key, inner).ok_or_else(|| body.error(key, format!("'{key}' needs the key '{inner}'")))
}

fn patterns(body: Body) -> Result<Vec<String>, KindError> {
    let mut all: Vec<String> = Vec::new();
    for (index, pattern) in body.texts("columns").into_iter().enumerate() {
        let at = format!("columns.{index}");
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

fn label_kind(body: Body) -> LabelKind {
    if body.text("label") == Some("log_return") { LabelKind::LogReturn } else { LabelKind::Level }
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

/// Runs the action.
///
/// # Errors
/// When the tables cannot be read, or no frame can be made of them.
pub fn run(request: &Request) -> Result<Response, RunError> {
    let (features, prices) = (request.input("features")?, request.input("price")?);
    make(&request.params()?, features, prices, &request.out).map_err(|error| failure(&error))
}

/// A column that is not there is the recipe's mistake; rows that can't be learnt from are a data check's refusal.
fn failure(error: &FrameError) -> RunError {
    use FrameError as E;
    let failure = match error {
        E::UnknownColumn { .. } | E::NoMatch { .. } | E::BadPattern { .. } | E::BadDate { .. } => RunError::invalid(error),
        E::Table(_) | E::Arrow(_) | E::Files(_) | E::Json(_) => RunError::failed(error),
        _ => RunError::refused(error),
    };
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Makes the artifacts `fit`, `test` and `score` in `out` from the folders of the feature table and the price table.
///
/// # Errors
/// When the tables cannot be read, or no frame can be made of them.
pub fn make(spec: &FrameSpec, features: &Path, prices: &Path, out: &Path) -> Result<Response, FrameError> {
    let rows = |folder: &Path| table_file::read(&folder.join(table_file::FILE_NAME));
    let frame = build(spec, &rows(features)?, &rows(prices)?)?;
    write(&frame, spec, out)?;
    let parts = [("train", &frame.train), ("valid", &frame.valid), ("test", &frame.test), ("score", &frame.score)];
    #[expect(clippy::cast_precision_loss, reason = "fewer rows than a double counts exactly")]
    let counts = parts.map(|(part, rows)| (format!("{part}_rows"), rows.len() as f64));
    Ok(Response { metrics: counts.into(), notes: frame.notes, ..Response::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::body;
    use crate::model::recipe::{Common, Place, Source, Spot};

    fn good() -> Value {
        json!({
            "features": "wti.features", "columns": ["ret_*", "month"], "price": {"table": "wti.daily", "column": "price"},
            "horizon": {"rows": 21},
            "split": {"train": ["1987-01-05", "2010-12-31"], "valid": ["2011-01-01", "2013-12-31"], "test": ["2014-01-01"]},
        })
    }

    fn declared(stanza: Value) -> Result<Declared, String> {
        let Value::Object(map) = stanza else { panic!("a table") };
        let file: std::sync::Arc<str> = "recipes/x.toml".into();
        let places = ["split", "split.valid", "split.test.0", "columns.1", "horizon.rows"];
        let place = |span| Place { file: file.clone(), span };
        let stanza = Stanza {
            kind: "frame".into(),
            name: "frame/wti/1m".parse().unwrap(),
            body: map.into_iter().collect(),
            common: Common::default(),
            place: place(0..1),
            spots: places.iter().enumerate().map(|(at, path)| ((*path).to_owned(), Spot::both(place(at + 10..at + 11)))).collect(),
        };
        let named = |error: &KindError| {
            let path = places.get(error.place.span.start.wrapping_sub(10)).unwrap_or(&"stanza");
            format!("{path}: {error}")
        };
        if let Some(error) = body::check(&stanza, KIND.keys).first() {
            return Err(named(error));
        }
        let context =
            DeclareContext { text: &|_| Err("none".into()), files: &|_| Vec::new(), env: &|_| None, kind_of: &|_| None, as_of: None };
        declare(&stanza, &context).map_err(|error| named(&error))
    }

    fn refusal(change: impl Fn(&mut Value)) -> String {
        let mut stanza = good();
        change(&mut stanza);
        declared(stanza).unwrap_err()
    }

    #[test]
    fn a_frame_declares_its_tables_and_three_artifacts() {
        let declared = declared(good()).unwrap();
        let table = |name: &str| Source::Target { name: name.parse().unwrap(), artifact: "table".into() };
        assert_eq!(declared.inputs["features"], table("wti.features"));
        assert_eq!(declared.inputs["price"], table("wti.daily"));
        assert_eq!(declared.outputs.iter().map(String::as_str).collect::<Vec<_>>(), ["fit", "score", "test"]);
        let spec: FrameSpec = serde_json::from_value(declared.params).unwrap();
        assert_eq!(spec.label, Label { kind: LabelKind::Level, horizon: Horizon::Rows(21) });
        assert_eq!((spec.date.as_str(), spec.price_date.as_str(), spec.weight), ("date", "date", None));
        assert_eq!(spec.split.test, Some(DateRange { from: "2014-01-01".into(), to: None }));
    }

    #[test]
    fn a_split_that_could_leak_is_refused_where_it_is_written() {
        assert_eq!(
            refusal(|s| s["split"]["valid"][0] = json!("2010-12-31")),
            "split.valid: 'valid' begins on 2010-12-31, but 'train' ends on 2010-12-31"
        );
        assert_eq!(
            refusal(|s| s["split"]["test"][0] = json!("2012-01-01")),
            "split.test.0: 'test' begins on 2012-01-01, but 'valid' ends on 2013-12-31"
        );
        assert_eq!(
            refusal(|s| s["split"]["valid"] = json!(["2013-12-31", "2011-01-01"])),
            "split.valid: 'valid' ends on 2011-01-01, before it begins on 2013-12-31"
        );
        assert_eq!(
            refusal(|s| s["split"]["valid"] = json!(["2011-01-01"])),
            "split.valid: 'valid' needs a last date; only 'test' may stay open"
        );
        assert!(refusal(|s| s["split"]["valid"][1] = json!("2013-02-30")).starts_with("split.valid: 'split.valid.1' must be a date"));
        assert!(refusal(|s| _ = s["split"].as_object_mut().unwrap().remove("test")).contains("'split.test'"));
    }

    #[test]
    fn folds_that_reach_into_the_test_or_cannot_be_are_refused() {
        let walk = |to: &str, test: &str| json!({"walk_forward": {"from": "2000-01-01", "to": to, "train": "expanding", "test": test}});
        let with = |folds: Value| {
            let mut stanza = good();
            stanza["folds"] = folds;
            declared(stanza)
        };
        assert!(with(walk("2013-12-31", "12 months")).unwrap().outputs.contains("folds"));
        assert!(
            with(walk("2014-01-01", "12 months")).unwrap_err().contains("the folds end on 2014-01-01, but 'test' begins on 2014-01-01")
        );
        assert!(with(walk("1999-12-31", "12 months")).unwrap_err().contains("the folds end before they begin"));
        assert!(with(walk("2013-12-31", "a while")).unwrap_err().contains("'a while' is no stretch of time such as '12 months'"));
    }

    #[test]
    fn patterns_and_horizons_are_checked_before_any_row_is_read() {
        assert!(refusal(|s| s["columns"][1] = json!("ret_[")).starts_with("columns.1: 'ret_[' is not a pattern"));
        assert_eq!(refusal(|s| s["columns"][1] = json!("ret_*")), "columns.1: 'ret_*' is listed twice");
        assert!(refusal(|s| s["columns"] = json!([])).contains("'columns'"));
        assert!(refusal(|s| s["horizon"] = json!({"rows": 1, "days": 2})).contains("'horizon'"));
        assert!(refusal(|s| s["horizon"] = json!({"rows": 0})).starts_with("horizon.rows:"));
        assert_eq!(refusal(|s| s["horizon"] = json!({"rows": 5_000_000_000_u64})), "horizon.rows: the horizon is out of range");
    }
}
