//! Kind `forecast`: a model's dated forecasts from the newest rows. Invariant: every forecast says when it was made, from what, when it comes due by a
//! declared calendar, and what the naive forecast says; an interval comes from forecasts that the model has not seen, or there is none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use crate::engine::backtest_file;
use crate::engine::calendar::Calendar;
use crate::engine::frame::columns;
use crate::engine::frame_file;
use crate::kinds::body::Body;
use crate::kinds::channel;
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::evaluate;
use crate::kinds::forecast_error::ForecastError;
use crate::kinds::forecast_rows::{
    self, CALENDAR_SLOT, Inputs, MODEL_SLOT, QUANTILES_SLOT, RESIDUALS_SLOT, SourceColumn, Spec, source_slot,
};
use crate::kinds::forecast_table::{self, Told};
use crate::kinds::frame::SCORE;
use crate::kinds::kind::Kind;
use crate::kinds::learner::{self, FRAME_SLOT};
use crate::kinds::request::{Request, Response, RunError};
use crate::kinds::trained;
use crate::kinds::training_stanza::{frame_part, predictors};
use crate::model::recipe::{Declared, Source, Stanza};
use crate::syntax::shape::{Key, Want};

/// The artifact with the forecasts.
pub const ARTIFACT: &str = "table";

const MAX_AGE: &str = "The most calendar days that its newest date may lie before the build's date.";

/// Kind `forecast`.
pub const KIND: Kind = Kind {
    name: "forecast",
    version: 4,
    about: "Forecasts from a frame's newest rows, whose outcome nobody knows yet, each with the day it comes due, its intervals and the naive forecast.",
    keys: &[
        Key::required("frame", Want::Target, "The frame whose newest rows are used."),
        Key::required("model", Want::Target, "The model that forecasts, or a version of a release: `release:NAME@current`."),
        Key::required(
            "calendar",
            Want::Table(&[
                Key::required("table", Want::TableName, "The table that lists the trading days, past and future."),
                Key::required("column", Want::Text, "Its column of dates."),
            ]),
            "The trading days of the market: they say when a forecast comes due.",
        ),
        Key::optional(
            "residuals",
            Want::Target,
            "The backtest whose errors say how far a forecast may be off; without it there are no intervals.",
        ),
        Key::optional("quantiles", Want::Target, "The quantile set, or a refit of one, whose quantiles stand beside the forecast."),
        Key::optional(
            "optional",
            Want::List(&Want::Text, true),
            "Features, by name or pattern, that a day may lack and still count as complete; all others it must have.",
        ),
        Key::optional(
            "max_age_days",
            Want::Int(0),
            "The most calendar days that the newest complete day may lie before the build's date; an older forecast is refused.",
        ),
        Key::optional(
            "sources",
            Want::List(
                &Want::Table(&[
                    Key::required("table", Want::TableName, "The table."),
                    Key::optional("column", Want::Text, "Its column of dates; `date` where it is not said."),
                    Key::optional("max_age_days", Want::Int(0), MAX_AGE),
                ]),
                true,
            ),
            "Tables whose age and hash are told in every row.",
        ),
    ],
    declare,
};

fn declare(stanza: &Stanza, context: &DeclareContext) -> Result<Declared, KindError> {
    let body = Body(stanza);
    let (model, mut engines) = model(body, context)?;
    engines.insert("parquet".to_owned());
    let column = body.text_in("calendar", "column").ok_or_else(|| body.error("calendar", "'calendar' needs the key 'column'"))?;
    let mut declared = Declared {
        inputs: BTreeMap::from([
            (FRAME_SLOT.to_owned(), frame_part(body, context, SCORE, "forecasts are made from")?),
            (MODEL_SLOT.to_owned(), model),
            (CALENDAR_SLOT.to_owned(), body.target("calendar.table", "table")?),
        ]),
        places: BTreeMap::from([(CALENDAR_SLOT.to_owned(), body.place("calendar.table"))]),
        outputs: BTreeSet::from([ARTIFACT.to_owned()]),
        engines,
        ..Declared::default()
    };
    let spec = Spec {
        calendar_column: column.to_owned(),
        optional: optional(body)?,
        max_age_days: body.int("max_age_days").and_then(|days| u32::try_from(days).ok()),
        sources: sources(body, &mut declared)?,
        residuals: residuals(body, context, &mut declared)?,
        quantiles: quantiles(body, context, &mut declared)?,
    };
    declared.params = json!(spec);
    Ok(declared)
}

/// The model, and the libraries that predict for it.
fn model(body: Body, context: &DeclareContext) -> Result<(Source, BTreeSet<String>), KindError> {
    if let Some(release) = channel::source(body, "model", context)? {
        // Which model it is, the log of releases says, and that only when it is built.
        return Ok((release, ["burn", "lightgbm", "xgboost"].map(str::to_owned).into()));
    }
    let model = body.target("model", learner::ARTIFACT)?;
    let engines = predictors(body, context, &model, "model")?;
    Ok((model, engines.into_iter().collect()))
}

fn optional(body: Body) -> Result<Vec<String>, KindError> {
    let patterns = body.texts("optional");
    for (index, pattern) in patterns.iter().enumerate() {
        columns::compile(pattern).map_err(|error| body.error(&format!("optional.{index}"), error.to_string()))?;
    }
    Ok(patterns.into_iter().map(ToOwned::to_owned).collect())
}

fn residuals(body: Body, context: &DeclareContext, declared: &mut Declared) -> Result<bool, KindError> {
    if body.value("residuals").is_none() {
        return Ok(false);
    }
    declared.inputs.insert(RESIDUALS_SLOT.to_owned(), backtest(body, context, "residuals")?);
    Ok(true)
}

fn quantiles(body: Body, context: &DeclareContext, declared: &mut Declared) -> Result<bool, KindError> {
    if body.value("quantiles").is_none() {
        return Ok(false);
    }
    let set = body.target("quantiles", learner::ARTIFACT)?;
    if let Source::Target { name, .. } = &set
        && let Some(kind) = (context.kind_of)(name.as_str()).filter(|kind| !["quantiles", "refit"].contains(&kind.as_str()))
    {
        return Err(body.error("quantiles", format!("'{name}' is a {kind}, not a quantile set")));
    }
    declared.engines.extend(predictors(body, context, &set, "quantiles")?);
    declared.places.insert(QUANTILES_SLOT.to_owned(), body.place("quantiles"));
    declared.inputs.insert(QUANTILES_SLOT.to_owned(), set);
    Ok(true)
}

/// The `backtest` artifact of the target that a key names.
///
/// # Errors
/// When the key names none, or an evaluation: the test rows are for judging alone.
pub fn backtest(body: Body, context: &DeclareContext, key: &str) -> Result<Source, KindError> {
    let source = body.target(key, backtest_file::ARTIFACT)?;
    let Source::Target { name, .. } = &source else { return Ok(source) };
    if (context.kind_of)(name.as_str()).is_some_and(|kind| kind == evaluate::NAME) {
        let error = body.error(key, format!("'{name}' measures models on test rows, which are there to judge by and for nothing else"));
        return Err(error.hint("name a target that forecasts rows it has not learnt from: a backtest, or an ensemble with backtests"));
    }
    Ok(source)
}

fn sources(body: Body, declared: &mut Declared) -> Result<Vec<SourceColumn>, KindError> {
    let mut sources: Vec<SourceColumn> = Vec::new();
    for (index, item) in body.value("sources").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let path = format!("sources.{index}");
        let text = |key: &str| item.get(key).and_then(Value::as_str);
        let table = text("table").unwrap_or_default().to_owned();
        if sources.iter().any(|source| source.table == table) {
            return Err(body.error(&path, format!("'{table}' is listed twice")));
        }
        let name = table.parse().map_err(|error| body.error(&path, format!("{error}")))?;
        declared.inputs.insert(source_slot(index), Source::Target { name, artifact: "table".to_owned() });
        declared.places.insert(source_slot(index), body.place(&format!("{path}.table")));
        let max_age_days = item.get("max_age_days").and_then(Value::as_u64).and_then(|days| u32::try_from(days).ok());
        sources.push(SourceColumn { table, column: text("column").unwrap_or("date").to_owned(), max_age_days });
    }
    Ok(sources)
}

/// Runs the action.
///
/// # Errors
/// When the model cannot forecast these rows, no day is complete, the calendar ends too early, or a file cannot be read or written.
pub fn run(request: &Request) -> Result<Response, RunError> {
    let spec: Spec = request.params()?;
    let folder = |slot: &str| request.input(slot).map(Path::to_owned);
    let inputs = Inputs {
        score: folder(FRAME_SLOT)?,
        model: folder(MODEL_SLOT)?,
        calendar: folder(CALENDAR_SLOT)?,
        residuals: spec.residuals.then(|| folder(RESIDUALS_SLOT)).transpose()?,
        quantiles: spec.quantiles.then(|| folder(QUANTILES_SLOT)).transpose()?,
        sources: (0..spec.sources.len()).map(|index| folder(&source_slot(index))).collect::<Result<_, _>>()?,
        digests: request.digests.clone(),
    };
    forecast(&spec, &inputs, &request.output(ARTIFACT)?).map_err(|error| error.as_failure())
}

/// Forecasts from every row of `score` and writes the `table` artifact into `out`.
///
/// # Errors
/// When the model forecasts something else, no day is complete, the calendar ends too early, or a file cannot be read or written.
pub fn forecast(spec: &Spec, inputs: &Inputs, out: &Path) -> Result<Response, ForecastError> {
    let frame = frame_file::read(&inputs.score)?;
    let model = trained::read(&inputs.model)?;
    let set = inputs.quantiles.as_deref().map(trained::read).transpose()?;
    let mut features = model.record.features.clone();
    features.extend(set.iter().flat_map(|set| set.record.features.clone()).filter(|name| !model.record.features.contains(name)));
    let missing = forecast_rows::missing(&frame, &features, &spec.optional)?;
    let calendar = Calendar::new(forecast_rows::dates_of(&inputs.calendar, &spec.calendar_column)?)?;
    let all: Vec<usize> = (0..frame.len()).collect();
    let predicted = model.predict(&frame, &all)?;
    let quantiles = set.as_ref().unwrap_or(&model).quantiles(&frame, &all)?;
    if set.is_some() && quantiles.is_none() {
        return Err(ForecastError::NoQuantiles);
    }
    let forecasts = forecast_rows::dated(&frame, &predicted, missing, &calendar)?;
    let told = Told {
        horizon: frame.record.label.horizon,
        series: frame.record.price.series.clone(),
        newest: forecast_rows::newest_complete(&forecasts)?,
        calibration: forecast_rows::calibration(inputs.residuals.as_deref(), &frame.record, &forecasts)?,
        quantiles,
        sources: forecast_rows::sources(spec, inputs)?,
        max_age_days: spec.max_age_days,
        digests: &inputs.digests,
        forecasts: &forecasts,
    };
    forecast_table::write(&told, out)?;
    Ok(forecast_table::response(&told))
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, RecordBatch};
    use chrono::NaiveDate;

    use super::*;
    use crate::engine::backtest_file::Predictions;
    use crate::engine::past_forecasts::PastError;
    use crate::engine::table_columns::{self, Values, column, dates, floats, strings};
    use crate::engine::table_file;
    use crate::io::fs;
    use crate::kinds::learner::{Settings, write_record};
    use crate::model::backtest::BacktestRecord;
    use crate::model::series::Series;
    use crate::model::training::{FrameRecord, Horizon, Label, LabelKind, ModelRecord, PriceColumn, Split};

    fn day(text: &str) -> i32 {
        text.parse::<NaiveDate>().unwrap().to_epoch_days()
    }

    fn record(horizon: Horizon, features: &[&str]) -> FrameRecord {
        FrameRecord {
            features: features.iter().map(|&name| name.to_owned()).collect(),
            label: Label { kind: LabelKind::Level, horizon },
            price: PriceColumn { table: "t.t".into(), column: "price".into(), series: Series::Spot },
            split: Split { train: None, valid: None, test: None },
            weight: None,
            folds: None,
            joined: Vec::new(),
            past: None,
        }
    }

    fn write_table(folder: &Path, file: &str, columns: Vec<(&str, Values)>, key: &str) {
        fs::create_folders(folder).unwrap();
        let rows = table_columns::table(columns.into_iter().map(|(name, values)| (name.to_owned(), values))).unwrap();
        table_file::write(&folder.join(file), &rows, &[key.to_owned()]).unwrap();
    }

    fn some_days(days: &[&str]) -> Values {
        Values::Dates(days.iter().map(|d| Some(day(d))).collect())
    }

    /// Crude oil's last two days of the demo, a naive model that is said to read two features, and a calendar of the days after.
    struct Given {
        folder: tempfile::TempDir,
        spec: Spec,
        inputs: Inputs,
    }

    impl Given {
        fn new(horizon: Horizon, calendar: &[&str], prices: [f64; 2]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = |name: &str| folder.path().join(name);
            let features = ["cot", "vix"];
            let score = vec![
                ("date", some_days(&["2019-01-02", "2019-01-03"])),
                ("price", Values::Floats(prices.map(Some).to_vec())),
                ("cot", Values::Floats(vec![None, None])),
                ("vix", Values::Floats(vec![Some(23.2), None])),
            ];
            write_table(&path("score"), table_file::FILE_NAME, score, "date");
            fs::write(&path("score").join(frame_file::RECORD_FILE), &serde_json::to_vec(&record(horizon, &features)).unwrap()).unwrap();
            write_table(&path("calendar"), table_file::FILE_NAME, vec![("day", some_days(calendar))], "day");
            write_table(&path("vix"), table_file::FILE_NAME, vec![("date", some_days(&["2018-12-31", "2019-01-02"]))], "date");
            let naive = ModelRecord {
                kind: "naive".into(),
                frame: record(horizon, &[]),
                features: Vec::new(),
                params: Settings::default().params,
                seed: None,
                rounds: None,
                levels: Vec::new(),
                trained_on: Vec::new(),
                engine: None,
                members: Vec::new(),
            };
            fs::create_folders(&path("model")).unwrap();
            write_record(&path("model"), &naive).unwrap();
            let inputs = Inputs {
                score: path("score"),
                model: path("model"),
                calendar: path("calendar"),
                residuals: None,
                quantiles: None,
                sources: Vec::new(),
                digests: [MODEL_SLOT, FRAME_SLOT].map(|slot| (slot.to_owned(), format!("hash of {slot}"))).into(),
            };
            let spec = Spec {
                calendar_column: "day".into(),
                optional: Vec::new(),
                max_age_days: None,
                sources: Vec::new(),
                residuals: false,
                quantiles: false,
            };
            Self { folder, spec, inputs }
        }

        /// Asks for both features.
        fn reading_features(self) -> Self {
            let path = self.inputs.model.join(trained::RECORD_FILE);
            let mut record: ModelRecord = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            record.features = vec!["vix".into(), "cot".into()];
            write_record(&self.inputs.model, &record).unwrap();
            self
        }

        /// A backtest of 99 forecasts of 50 that come due on the next day but one; the `i`-th is `i` percent too low.
        fn with_residuals(mut self, horizon: Horizon) -> Self {
            let due = 2;
            let count = 1..100_i32;
            let dates = |after: i32| count.clone().map(|i| day("2018-01-01") + i + after).collect();
            let forecasts = Predictions {
                dates: dates(0),
                outcome_dates: dates(due),
                folds: vec!["2018-01-02".to_owned(); 99],
                price: vec![50.0; 99],
                actual: count.clone().map(|i| 50.0 * (1.0 + f64::from(i) / 100.0)).collect(),
                predicted: vec![50.0; 99],
                quantiles: None,
            };
            let folder = self.folder.path().join("backtest");
            let about = BacktestRecord {
                kind: "naive".into(),
                frame: record(horizon, &[]),
                params: Settings::default().params,
                levels: Vec::new(),
                folds: Vec::new(),
            };
            backtest_file::write(&folder, &forecasts, &about).unwrap();
            self.inputs.residuals = Some(folder);
            self
        }

        fn made(&self) -> Result<(Response, RecordBatch), ForecastError> {
            let out = self.folder.path().join("out");
            let report = forecast(&self.spec, &self.inputs, &out)?;
            Ok((report, table_file::read(&out.join(table_file::FILE_NAME)).unwrap()))
        }
    }

    const DAYS: [&str; 5] = ["2019-01-02", "2019-01-03", "2019-01-04", "2019-01-07", "2019-01-08"];

    fn bools(table: &RecordBatch, name: &str) -> Vec<bool> {
        column(table, name).unwrap().as_boolean().iter().map(Option::unwrap).collect()
    }

    #[test]
    fn a_forecast_says_when_it_was_made_when_it_comes_due_and_what_naive_says() {
        let (report, table) = Given::new(Horizon::Rows(3), &DAYS, [46.31, -2.0]).made().unwrap();
        assert_eq!(dates(&table, "target_date").unwrap(), [Some(day("2019-01-07")), Some(day("2019-01-08"))]);
        assert_eq!(strings(&table, "horizon").unwrap(), [Some("3 rows"), Some("3 rows")]);
        assert_eq!(floats(&table, "naive").unwrap(), floats(&table, "price").unwrap());
        assert_eq!(floats(&table, "change").unwrap(), [Some(0.0), None], "below zero there is no share");
        assert_eq!(floats(&table, "lower_80").unwrap(), [None, None], "without errors there are no intervals");
        assert_eq!(report.notes, ["2019-01-03: -2.0000 → -2.0000 by 2019-01-08 (naive -2.0000)"]);
        assert_eq!(report.metrics.keys().map(String::as_str).collect::<Vec<_>>(), ["naive", "predicted", "price"]);
        assert_eq!(strings(&table, "model_hash").unwrap(), [Some("hash of model"); 2]);
        assert_eq!(strings(&table, "frame_hash").unwrap(), [Some("hash of frame"); 2]);
        assert_eq!(report.checks, [], "no age is asked for");
    }

    #[test]
    fn a_horizon_in_days_comes_due_on_the_first_trading_day_at_or_after() {
        let (_, table) = Given::new(Horizon::Days(2), &DAYS, [46.31, -2.0]).made().unwrap();
        assert_eq!(dates(&table, "target_date").unwrap(), [Some(day("2019-01-04")), Some(day("2019-01-07"))]);
    }

    #[test]
    fn a_calendar_that_ends_too_early_is_refused_with_its_last_day() {
        let error = Given::new(Horizon::Rows(4), &DAYS, [46.31, -2.0]).made().unwrap_err();
        assert_eq!(error.to_string(), "the calendar ends on 2019-01-08, before trading day 4 after 2019-01-03");
    }

    #[test]
    fn intervals_reach_as_far_as_the_backtests_errors_did() {
        let (report, table) = Given::new(Horizon::Days(2), &DAYS, [46.31, 40.0]).with_residuals(Horizon::Days(2)).made().unwrap();
        // 99 errors: those of rank 80 and 95 are ratios of 1.80 and 1.95.
        let close = |name: &str, expected: f64| (floats(&table, name).unwrap()[1].unwrap() - expected).abs() < 1e-9;
        assert!(close("lower_80", 40.0 / 1.8) && close("upper_80", 72.0) && close("lower_95", 40.0 / 1.95) && close("upper_95", 78.0));
        assert_eq!(report.notes[1], "80 % 22.22 to 72.00, 95 % 20.51 to 78.00");
        assert!(report.notes[2].starts_with("99 errors, about 50 that do not overlap: 80 % held "), "{}", report.notes[2]);
        let number = |name: &str| report.metrics[name];
        assert!((number("residuals/n") - 99.0).abs() < 1e-9 && (number("residuals/effective_n") - 49.5).abs() < 1e-9);
        assert!(number("coverage_80_low") <= number("coverage_80") && number("coverage_80") <= number("coverage_80_high"));
        assert!(number("coverage_80_looking_back") < 0.1, "errors that grow leave every interval of the past behind");
    }

    #[test]
    fn a_price_below_zero_has_its_interval_by_differences() {
        let (_, table) = Given::new(Horizon::Days(2), &DAYS, [46.31, -2.0]).with_residuals(Horizon::Days(2)).made().unwrap();
        assert!((floats(&table, "upper_80").unwrap()[1].unwrap() - 38.0).abs() < 1e-9);
    }

    #[test]
    fn errors_of_another_horizon_make_no_interval() {
        let error = Given::new(Horizon::Days(2), &DAYS, [46.31, 40.0]).with_residuals(Horizon::Days(30)).made().unwrap_err();
        assert!(matches!(error, ForecastError::Residuals(PastError::Question(_))));
        let told =
            "the backtest is of t.t.price, 30 days ahead, the forecasts are of t.t.price, 2 days ahead: its errors say nothing of theirs";
        assert_eq!(error.to_string(), told);
    }

    #[test]
    fn the_newest_day_is_the_newest_that_has_what_the_model_reads() {
        let mut given = Given::new(Horizon::Rows(3), &DAYS, [46.31, 46.92]).reading_features();
        let error = given.made().unwrap_err();
        assert_eq!(error.to_string(), "none of the 2 newest days is complete: 2019-01-03 lacks vix, cot");
        given.spec.optional = vec!["c*".into()];
        let (report, table) = given.made().unwrap();
        assert_eq!((bools(&table, "newest"), bools(&table, "complete")), (vec![true, false], vec![true, false]));
        assert_eq!(strings(&table, "missing").unwrap(), [None, Some("vix")]);
        assert_eq!(report.notes, ["2019-01-02: 46.31 → 46.31 by 2019-01-07 (naive 46.31)", "2019-01-03 is not complete: it lacks vix"]);
        given.spec.optional = vec!["cott".into()];
        assert!(matches!(given.made(), Err(ForecastError::Optional { .. })));
    }

    #[test]
    fn every_row_says_how_old_its_sources_were_and_each_build_judges_their_age() {
        let mut given = Given::new(Horizon::Rows(3), &DAYS, [46.31, 46.92]);
        given.spec.max_age_days = Some(5);
        given.spec.sources = vec![SourceColumn { table: "cboe.vix".into(), column: "date".into(), max_age_days: Some(9) }];
        given.inputs.sources = vec![given.folder.path().join("vix")];
        given.inputs.digests.insert("source:0".into(), "abc".into());
        let (report, table) = given.made().unwrap();
        let told: Value = serde_json::from_str(strings(&table, "sources").unwrap()[1].unwrap()).unwrap();
        assert_eq!(told, json!([{"table": "cboe.vix", "newest": "2019-01-02", "age_days": 1, "hash": "abc"}]));
        assert_eq!(dates(&table, "fresh_until").unwrap()[1], Some(day("2019-01-08")));
        let ages: Vec<_> = report.checks.iter().map(|c| (c.check.as_str(), c.age.as_ref().unwrap().newest.as_str())).collect();
        assert_eq!(ages, [("max_age_days 5", "2019-01-03"), ("max_age_days 9 of cboe.vix", "2019-01-02")]);
        given.spec.sources[0].column = "dat".into();
        let failure = given.made().unwrap_err().as_failure();
        assert_eq!((failure.message.as_str(), failure.hint.as_deref()), ("'cboe.vix': no column 'dat'", Some("did you mean 'date'?")));
    }
}
