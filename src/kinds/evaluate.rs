//! Kind `evaluate`: models judged on a frame's test rows. Invariant: no model is judged on a row it has seen, and no figure stands without the
//! naive forecast's beside it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::engine::backtest_file::{self, ARTIFACT as BACKTEST, BacktestFileError, Predictions};
use crate::engine::combining::CombineError;
use crate::engine::evaluation::{self, Judged, Seen, TestRow};
use crate::engine::frame_file::{self, FrameData, FrameFileError};
use crate::engine::judging::bootstrap::Bootstrap;
use crate::engine::judging::importance::{self, Importance};
use crate::engine::judging::segments::{self, ShortBlock};
use crate::engine::past_forecasts::{self, PastError, Prediction};
use crate::engine::regimes::{RegimeCalendar, RegimeError};
use crate::engine::stacking::{self, StackingError};
use crate::engine::table_columns::ColumnError;
use crate::engine::table_file::{self, TableFileError};
use crate::kinds::body::Body;
use crate::kinds::bootstrap_key::{BOOTSTRAP_KEY, bootstrap};
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::ensemble::slot;
use crate::kinds::evaluate_report::{self, NAIVE, ReportError, Told};
use crate::kinds::frame::TEST;
use crate::kinds::kind::Kind;
use crate::kinds::learner::{self, FRAME_SLOT};
use crate::kinds::request::{Request, Response, RunError};
use crate::kinds::trained::{self, TrainedError, TrainedModel};
use crate::kinds::training_stanza::{frame_part, predictors};
use crate::model::folds::Folds;
use crate::model::recipe::{Declared, Source, Stanza};
use crate::syntax::shape::{Key, Want};

/// The artifact with the measures and the forecasts they come from.
pub const ARTIFACT: &str = "metrics";
/// The slot of the calendar of regimes.
pub const REGIMES_SLOT: &str = "regimes";
/// What the kind is called.
pub const NAME: &str = "evaluate";
/// The kinds whose models are made of trees.
const TREES: [&str; 2] = ["lightgbm", "xgboost"];

/// Kind `evaluate`.
pub const KIND: Kind = Kind {
    name: NAME,
    version: 4,
    about: "Measures models on a frame's test rows, which none of them has seen, beside the forecast that the price stays where it is.",
    keys: &[
        Key::optional("frame", Want::Target, "The frame whose test rows are used."),
        Key::optional("models", Want::List(&Want::Target, true), "The models to measure on them."),
        Key::optional("backtests", Want::List(&Want::Target, true), "Instead of these: out-of-sample forecasts to measure."),
        Key::optional(
            "regimes",
            Want::Table(&[
                Key::required("table", Want::TableName, "The calendar of regimes: one row a day."),
                Key::required("column", Want::Text, "Its column of regimes."),
                Key::optional("date", Want::Text, "Its column of dates; `date` where it is not said."),
            ]),
            "Measure each regime by itself too. A test day without a regime is refused.",
        ),
        BOOTSTRAP_KEY,
        Key::optional(
            "explain",
            Want::Table(&[Key::optional("rows", Want::Int(1), "The last so many test rows; all where it is not said.")]),
            "Say what moves the models of trees: gains, and mean absolute SHAP values over test rows.",
        ),
    ],
    declare,
};

/// The params of an `evaluate` action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The models' names, for they stand in its tables, in the order of the slots `model:0`, `model:1`, ….
    pub models: Vec<String>,
    /// How intervals are made.
    pub bootstrap: Bootstrap,
    /// The columns of the calendar of regimes, where there is one.
    pub regimes: Option<RegimeColumns>,
    /// What is explained, where anything is.
    pub explain: Option<Explain>,
    /// Whether the models are backtests.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub backtests: bool,
    /// Whether rows that one of the models has seen are left out; else they are a refusal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unseen_by_all: bool,
}

/// The columns of the calendar of regimes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegimeColumns {
    /// Of regimes.
    pub regime: String,
    /// Of dates.
    pub date: String,
}

/// Which rows' forecasts are explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explain {
    /// The last so many test rows; `None` for all.
    pub rows: Option<usize>,
}

fn declare(stanza: &Stanza, context: &DeclareContext) -> Result<Declared, KindError> {
    let body = Body(stanza);
    let backtests = body.value("backtests").is_some();
    let mut declared =
        Declared { outputs: BTreeSet::from([ARTIFACT.to_owned()]), engines: BTreeSet::from(["parquet".to_owned()]), ..Declared::default() };
    if backtests {
        if let Some(key) = ["frame", "models", "explain"].into_iter().find(|key| body.value(key).is_some()) {
            return Err(body.error(key, format!("'{key}' has no meaning beside 'backtests'")));
        }
    } else {
        if let Some(key) = ["frame", "models"].into_iter().find(|key| body.value(key).is_none()) {
            return Err(body.error("", format!("evaluate needs the key '{key}'")).hint("frame and models, or backtests"));
        }
        declared.inputs.insert(FRAME_SLOT.to_owned(), frame_part(body, context, TEST, "models are measured on")?);
    }
    let spec = Spec {
        models: models(body, context, &mut declared)?,
        backtests,
        unseen_by_all: false,
        bootstrap: bootstrap(body),
        regimes: regime_columns(body, &mut declared)?,
        explain: explain(body, context)?,
    };
    declared.params = json!(spec);
    Ok(declared)
}

fn models(body: Body, context: &DeclareContext, declared: &mut Declared) -> Result<Vec<String>, KindError> {
    let mut models = Vec::new();
    let (key, artifact) = if body.value("backtests").is_some() { ("backtests", BACKTEST) } else { ("models", learner::ARTIFACT) };
    for (index, source) in body.targets(key, artifact)?.into_iter().enumerate() {
        let path = format!("{key}.{index}");
        let Source::Target { name, .. } = &source else { continue };
        if models.iter().any(|model| model == name.as_str()) {
            return Err(body.error(&path, "this model is listed twice"));
        }
        if name.as_str() == NAIVE {
            return Err(body.error(&path, "a model called 'naive' could not be told from the yardstick; give it another name"));
        }
        models.push(name.to_string());
        if key == "models" {
            declared.engines.extend(predictors(body, context, &source, &path)?);
        }
        declared.places.insert(slot(index), body.place(&path));
        declared.inputs.insert(slot(index), source);
    }
    Ok(models)
}

fn regime_columns(body: Body, declared: &mut Declared) -> Result<Option<RegimeColumns>, KindError> {
    let Some(regime) = body.text_in("regimes", "column") else { return Ok(None) };
    declared.inputs.insert(REGIMES_SLOT.to_owned(), body.target("regimes.table", "table")?);
    declared.places.insert(REGIMES_SLOT.to_owned(), body.place("regimes.table"));
    Ok(Some(RegimeColumns { regime: regime.to_owned(), date: body.text_in("regimes", "date").unwrap_or("date").to_owned() }))
}

fn explain(body: Body, context: &DeclareContext) -> Result<Option<Explain>, KindError> {
    let Some(table) = body.table("explain") else { return Ok(None) };
    let mut kinds = body.texts("models").into_iter().map(|model| (context.kind_of)(model));
    let is_of_trees = |kind: Option<String>| kind.is_none_or(|kind| TREES.contains(&kind.as_str()));
    if !kinds.any(is_of_trees) {
        let error = body.error("explain", "none of these models is made of trees, so there is nothing to explain");
        return Err(error.hint("list a lightgbm or xgboost model, an ensemble's members for one"));
    }
    Ok(Some(Explain { rows: table.get("rows").and_then(|rows| usize::try_from(rows.as_u64()?).ok()) }))
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// The test rows cannot be read.
    #[error(transparent)]
    Frame(#[from] FrameFileError),
    /// A model cannot be read or cannot forecast these rows.
    #[error("model '{model}': {source}")]
    Model {
        /// The model.
        model: String,
        /// Why not.
        source: TrainedError,
    },
    /// A model has seen test rows.
    #[error("model '{model}' has seen rows it is asked to be measured on: {seen}")]
    Seen {
        /// The model.
        model: String,
        /// Which rows.
        seen: Box<Seen>,
    },
    /// The models have seen all test rows together.
    #[error("there is no test row that none of the models has seen")]
    AllSeen,
    /// Out-of-sample forecasts cannot be read.
    #[error(transparent)]
    Backtest(#[from] BacktestFileError),
    /// Out-of-sample forecasts cannot be used.
    #[error(transparent)]
    Past(#[from] PastError),
    /// Out-of-sample forecasts of different days.
    #[error("'{model}' forecasts other days than '{first}', so they cannot be told apart by their errors")]
    OtherDays {
        /// The backtest.
        model: String,
        /// The one listed first.
        first: String,
    },
    /// The rows are none of a frame's `test`.
    #[error("these are no test rows: they have no dates of outcomes")]
    NotTestRows,
    /// A test day has no regime, or two.
    #[error("the calendar of regimes: {0}")]
    Regimes(#[from] RegimeError),
    /// The bootstrap's blocks are too short.
    #[error(transparent)]
    Block(#[from] ShortBlock),
    /// The calendar of regimes cannot be read.
    #[error(transparent)]
    Table(#[from] TableFileError),
    /// The artifact cannot be written.
    #[error(transparent)]
    Report(#[from] ReportError),
}

impl EvaluateError {
    /// As the action's failure: a model judged on what it has seen is a data check's refusal, one of another horizon the recipe's mistake.
    #[must_use]
    pub fn as_failure(&self) -> RunError {
        match self {
            Self::AllSeen => RunError::refused(self),
            Self::Seen { .. } => RunError::refused(self).hint("measure it on the frame it was trained with, or train it on this one"),
            Self::Regimes(RegimeError::Column(ColumnError::Missing { nearest: Some(name), .. })) => {
                RunError::invalid(self).hint(format!("did you mean '{name}'?"))
            }
            Self::Regimes(RegimeError::Column(_)) => RunError::invalid(self),
            Self::Regimes(_) => RunError::refused(self).hint("extend the calendar of regimes: every day belongs to one"),
            Self::Model { source: TrainedError::Combine(CombineError::Regimes(_)), .. } => {
                RunError::refused(self).hint("extend the calendar of regimes: every day belongs to one")
            }
            Self::OtherDays { .. } => RunError::refused(self).hint("measure backtests of one frame together"),
            Self::Block(short) => RunError::invalid(self).hint(short.hint()),
            Self::Model { source: TrainedError::NotAsked { .. }, .. } => {
                RunError::invalid(self).hint("name the frame that the model was trained on")
            }
            Self::Model { source: TrainedError::OtherQuestion { .. } | TrainedError::Frame(FrameFileError::Feature { .. }), .. } => {
                RunError::invalid(self)
            }
            _ => RunError::failed(self),
        }
    }
}

/// Runs the action.
///
/// # Errors
/// When a model may not or cannot be measured, or a file cannot be read or written.
pub fn run(request: &Request) -> Result<Response, RunError> {
    let spec: Spec = request.params()?;
    let models = (0..spec.models.len()).map(|index| request.input(&slot(index)).map(Path::to_owned)).collect::<Result<Vec<_>, _>>()?;
    let regimes = spec.regimes.is_some().then(|| request.input(REGIMES_SLOT)).transpose()?.map(Path::to_owned);
    if spec.backtests {
        return judge_backtests(&spec, &models, regimes.as_deref(), &request.output(ARTIFACT)?).map_err(|error| error.as_failure());
    }
    let inputs = Inputs { test: request.input(FRAME_SLOT)?.to_owned(), models, regimes };
    judge(&spec, &inputs, &request.output(ARTIFACT)?).map_err(|error| error.as_failure())
}

/// The folders of what is read.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The frame's `test` artifact.
    pub test: PathBuf,
    /// The models, in the order of the spec.
    pub models: Vec<PathBuf>,
    /// The calendar of regimes, where the spec has one.
    pub regimes: Option<PathBuf>,
}

/// Measures the models on the test rows and writes the `metrics` artifact into `out`.
///
/// # Errors
/// When a model has seen test rows or forecasts something else, a day has no regime, or a file cannot be read or written.
pub fn judge(spec: &Spec, inputs: &Inputs, out: &Path) -> Result<Response, EvaluateError> {
    let frame = frame_file::read(&inputs.test)?;
    let read =
        |(name, folder): (&String, &PathBuf)| trained::read(folder).map_err(|source| EvaluateError::Model { model: name.clone(), source });
    let trained = spec.models.iter().zip(&inputs.models).map(read).collect::<Result<Vec<_>, _>>()?;
    let (all, rows) = judged_rows(spec, &trained, test_rows(&frame)?)?;
    let regimes = regimes_of(spec, inputs.regimes.as_deref(), &rows)?;
    let (mut models, mut importance) = (Vec::with_capacity(trained.len()), Vec::new());
    for (name, model) in spec.models.iter().zip(&trained) {
        let failed = |source| EvaluateError::Model { model: name.clone(), source };
        let predicted = model.predict(&frame, &all).map_err(failed)?;
        let set = model.quantiles(&frame, &all).map_err(failed)?;
        models.push(Judged { model: name.clone(), predicted, quantile: model.quantile(), set });
        if let Some(explain) = &spec.explain {
            importance.extend(explained(name, model, &frame, &all[newest(*explain, rows.len())..]).map_err(failed)?);
        }
    }
    let judgement = segments::judge(&rows, &models, regimes.as_deref(), &spec.bootstrap)?;
    let explained = spec.explain.map(|explain| (importance, rows[newest(explain, rows.len())].date));
    let told = Told { frame: &frame.record, rows: &rows, models: &models, judgement: &judgement, explained: explained.as_ref() };
    evaluate_report::write(&told, out)?;
    Ok(evaluate_report::response(&judgement))
}

/// The rows that the models are judged on, with their numbers in the frame.
fn judged_rows(spec: &Spec, models: &[TrainedModel], rows: Vec<TestRow>) -> Result<(Vec<usize>, Vec<TestRow>), EvaluateError> {
    if spec.unseen_by_all {
        let windows: Vec<_> = models.iter().flat_map(|model| model.record.trained_on.clone()).collect();
        let all = evaluation::unseen_rows(&windows, &rows);
        let kept: Vec<TestRow> = all.iter().map(|row| rows[*row]).collect();
        return if kept.is_empty() { Err(EvaluateError::AllSeen) } else { Ok((all, kept)) };
    }
    for (name, model) in spec.models.iter().zip(models) {
        let seen = evaluation::unseen(&model.record.trained_on, &rows);
        seen.map_err(|seen| EvaluateError::Seen { model: name.clone(), seen: Box::new(seen) })?;
    }
    Ok(((0..rows.len()).collect(), rows))
}

/// Measures out-of-sample forecasts and writes the `metrics` artifact into `out`.
///
/// # Errors
/// When they are of different days, a day has no regime, or a file cannot be read or written.
pub fn judge_backtests(spec: &Spec, folders: &[PathBuf], regimes: Option<&Path>, out: &Path) -> Result<Response, EvaluateError> {
    let backtests = folders.iter().map(|folder| backtest_file::read(folder)).collect::<Result<Vec<_>, _>>()?;
    if let Err(StackingError::Days { member }) = stacking::same_days(&backtests) {
        return Err(EvaluateError::OtherDays { model: spec.models[member].clone(), first: spec.models[0].clone() });
    }
    let record = backtest_file::read_record(&folders[0])?;
    let past = backtests.iter().map(past_forecasts::from_columns).collect::<Result<Vec<_>, _>>()?;
    let rows: Vec<TestRow> = past[0].iter().map(|one| one.row).collect();
    let regimes = regimes_of(spec, regimes, &rows)?;
    let judged = |(name, (one, sets)): (&String, (&Vec<Prediction>, Predictions))| Judged {
        model: name.clone(),
        predicted: one.iter().map(|p| p.predicted).collect(),
        quantile: None,
        set: sets.quantiles,
    };
    let models: Vec<Judged> = spec.models.iter().zip(past.iter().zip(backtests)).map(judged).collect();
    let judgement = segments::judge(&rows, &models, regimes.as_deref(), &spec.bootstrap)?;
    let told = Told { frame: &record.frame, rows: &rows, models: &models, judgement: &judgement, explained: None };
    evaluate_report::write(&told, out)?;
    let mut response = evaluate_report::response(&judgement);
    if matches!(record.frame.folds, Some(Folds::Purged(_))) {
        response
            .notes
            .push("purged folds learn from what came later too: these errors are no picture of how a model would have done".into());
    }
    Ok(response)
}

fn regimes_of(spec: &Spec, folder: Option<&Path>, rows: &[TestRow]) -> Result<Option<Vec<String>>, EvaluateError> {
    let (Some(columns), Some(folder)) = (&spec.regimes, folder) else { return Ok(None) };
    let calendar = table_file::read(&folder.join(table_file::FILE_NAME))?;
    let days: Vec<i32> = rows.iter().map(|row| row.date.to_epoch_days()).collect();
    Ok(Some(RegimeCalendar::read(&calendar, &columns.regime, &columns.date)?.of_days(&days)?))
}

/// The first of the rows that are explained.
fn newest(explain: Explain, rows: usize) -> usize {
    explain.rows.map_or(0, |last| rows.saturating_sub(last))
}

fn explained(name: &str, model: &TrainedModel, frame: &FrameData, rows: &[usize]) -> Result<Vec<Importance>, TrainedError> {
    let explanation = model.explain(frame, rows)?;
    Ok(explanation.map_or_else(Vec::new, |explanation| importance::summarise(name, &model.record.features, &explanation)))
}

fn test_rows(frame: &FrameData) -> Result<Vec<TestRow>, EvaluateError> {
    let dates = frame.dates.iter().zip(&frame.outcome_dates);
    let prices = frame.price.iter().zip(frame.outcome_levels());
    let date = |days: &i32| chrono::NaiveDate::from_epoch_days(*days);
    let row = |((made, due), (price, actual)): ((&i32, &i32), (&f64, f64))| {
        Some(TestRow { date: date(made)?, outcome_date: date(due)?, price: *price, actual })
    };
    let rows: Option<Vec<_>> = dates.zip(prices).map(row).collect();
    rows.filter(|rows| !rows.is_empty() && rows.len() == frame.len()).ok_or(EvaluateError::NotTestRows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::table_columns::{Values, floats, strings, table};
    use crate::io::fs;
    use crate::kinds::learner::{Settings, learn, write_record};
    use crate::kinds::naive::Naive;
    use crate::model::recipe::{Common, Place};
    use crate::model::series::Series;
    use crate::model::training::{FrameRecord, Horizon, Label, LabelKind, ModelRecord, PriceColumn, Split, TrainedOn};

    fn record(horizon: Horizon) -> FrameRecord {
        FrameRecord {
            features: vec!["x".into()],
            label: Label { kind: LabelKind::LogReturn, horizon },
            price: PriceColumn { table: "t.t".into(), column: "price".into(), series: Series::Spot },
            split: Split { train: None, valid: None, test: None },
            weight: None,
            folds: None,
            joined: Vec::new(),
            past: None,
        }
    }

    /// Four test rows around New Year 2019: prices 10, 20, 30, 40, each double at its outcome ten days later.
    fn artifact(folder: &Path, horizon: Horizon) {
        let first = "2018-12-30".parse::<chrono::NaiveDate>().unwrap().to_epoch_days();
        let dates = |from: i32| Values::Dates((from..from + 4).map(Some).collect());
        let rows = table([
            ("date".to_owned(), dates(first)),
            ("outcome_date".into(), dates(first + 10)),
            ("split".into(), Values::Strings(vec![Some("test".into()); 4])),
            ("price".into(), Values::Floats([10.0, 20.0, 30.0, 40.0].map(Some).to_vec())),
            ("label".into(), Values::Floats(vec![Some(2.0_f64.ln()); 4])),
            ("x".into(), Values::Floats(vec![Some(1.0); 4])),
        ]);
        fs::create_folders(folder).unwrap();
        table_file::write(&folder.join(frame_file::ROWS_FILE), &rows.unwrap(), &["date".to_owned()]).unwrap();
        fs::write(&folder.join(frame_file::RECORD_FILE), &serde_json::to_vec(&record(horizon)).unwrap()).unwrap();
    }

    struct Folder(tempfile::TempDir);

    impl Folder {
        /// A frame's test rows in `test` and a naive model of them in `naive`.
        fn new() -> Self {
            let folder = Self(tempfile::tempdir().unwrap());
            artifact(&folder.path("test"), Horizon::Days(10));
            learn(&Naive, &folder.path("test"), &Settings::default(), &folder.path("naive")).unwrap();
            folder
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn judge(&self, models: &[&str]) -> Result<Response, EvaluateError> {
            self.judge_on(models, false)
        }

        fn judge_on(&self, models: &[&str], unseen_by_all: bool) -> Result<Response, EvaluateError> {
            let folders: Vec<_> = models.iter().map(|name| self.path(name)).collect();
            let models = models.iter().map(|name| format!("model/{name}")).collect();
            let spec = Spec { models, bootstrap: Bootstrap::default(), regimes: None, explain: None, backtests: false, unseen_by_all };
            let inputs = Inputs { test: self.path("test"), models: folders, regimes: None };
            judge(&spec, &inputs, &self.path("out"))
        }

        fn edit(&self, model: &str, change: impl Fn(&mut ModelRecord)) {
            let path = self.path("naive").join(trained::RECORD_FILE);
            let mut record = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            change(&mut record);
            fs::create_folders(&self.path(model)).unwrap();
            write_record(&self.path(model), &record).unwrap();
        }
    }

    #[test]
    fn every_measure_stands_beside_the_naive_one() {
        let folder = Folder::new();
        let report = folder.judge(&["naive"]).unwrap();
        let close = |name: &str, expected: f64| (report.metrics[name] - expected).abs() < 1e-9;
        assert!(close("n", 4.0) && close("naive/mae", 25.0) && close("naive/mape", 50.0));
        assert!(close("model/naive/mae", 25.0) && close("model/naive/mae_ratio", 1.0) && close("effective_n", 1.0));
        assert_eq!(
            report.notes,
            [
                "smallest mean error: model/naive with 25.0000, naive 25.0000, too few for an interval (4 forecasts, 2018-12-30 to 2019-01-02)"
            ]
        );
        let read = |name: &str| table_file::read(&folder.path("out").join(name)).unwrap();
        let metrics = read("metrics.parquet");
        let segments: Vec<_> = strings(&metrics, "segment").unwrap().into_iter().flatten().collect();
        assert_eq!(segments, ["all", "2018-Q4", "2019-Q1", "2018", "2019"]);
        assert_eq!(floats(&metrics, "mae").unwrap(), floats(&metrics, "naive_mae").unwrap());
        let predictions = read("predictions.parquet");
        assert_eq!(floats(&predictions, "predicted").unwrap(), floats(&predictions, "naive").unwrap());
        assert!((floats(&predictions, "actual").unwrap()[3].unwrap() - 80.0).abs() < 1e-9);
        let json: serde_json::Value = serde_json::from_slice(&fs::read(&folder.path("out/metrics.json")).unwrap()).unwrap();
        assert_eq!((&json["segments"][0]["segment"], &json["segments"][0]["n"]), (&json!("all"), &json!(4)));
    }

    #[test]
    fn a_model_that_has_seen_test_rows_is_refused_with_the_rows() {
        let folder = Folder::new();
        folder.edit("seer", |record| {
            let day = |text: &str| text.to_owned();
            let window = TrainedOn {
                split: "valid".into(),
                first: day("2018-01-02"),
                last: day("2018-12-20"),
                rows: 9,
                outcome_last: day("2018-12-31"),
            };
            record.trained_on.push(window);
        });
        let error = folder.judge(&["naive", "seer"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "model 'model/seer' has seen rows it is asked to be measured on: it learnt from valid rows of 2018-01-02 to 2018-12-20 with outcomes up to \
             2018-12-31, which meet 2 test rows, 2018-12-30 to 2018-12-31"
        );
        assert!(!folder.path("out").exists(), "nothing is written");

        // Where it is asked for, both are measured on the two rows that are left.
        let report = folder.judge_on(&["naive", "seer"], true).unwrap();
        assert!((report.metrics["n"] - 2.0).abs() < 1e-9, "{report:?}");
        folder.edit("knows", |record| {
            let (split, first, last, outcome_last) = ("train".into(), "2018-01-02".into(), "2019-01-02".into(), "2019-12-31".into());
            record.trained_on.push(TrainedOn { split, first, last, rows: 9, outcome_last });
        });
        assert!(matches!(folder.judge_on(&["naive", "knows"], true), Err(EvaluateError::AllSeen)));
    }

    #[test]
    fn a_model_of_another_horizon_is_refused() {
        let folder = Folder::new();
        folder.edit("other", |record| record.frame.label.horizon = Horizon::Days(11));
        assert!(matches!(folder.judge(&["other"]), Err(EvaluateError::Model { source: TrainedError::OtherQuestion { .. }, .. })));
    }

    #[test]
    fn there_is_nothing_to_explain_of_models_without_trees() {
        let declared = |kind: &'static str| {
            let body = json!({"frame": "frame/x", "models": ["model/x"], "explain": {}});
            let stanza = Stanza {
                kind: NAME.into(),
                name: "evaluate/x".parse().unwrap(),
                body: serde_json::from_value(body).unwrap(),
                common: Common::default(),
                place: Place::default(),
                spots: std::collections::BTreeMap::new(),
                part: None,
            };
            let context = DeclareContext {
                text: &|_| Err(String::new()),
                files: &|_| Vec::new(),
                env: &|_| None,
                kind_of: &|name| Some(if name == "frame/x" { "frame" } else { kind }.to_owned()),
                tune_of: &|_| None,
                as_of: None,
            };
            declare(&stanza, &context).map(|declared| declared.params["explain"].clone())
        };
        assert_eq!(declared("xgboost").unwrap(), json!({"rows": null}));
        assert_eq!(declared("naive").unwrap_err().message, "none of these models is made of trees, so there is nothing to explain");
    }
}
