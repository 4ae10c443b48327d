//! Kind `evaluate`: models judged on a frame's test rows. Invariant: no model is judged on a row it has seen, and no figure stands without the
//! naive forecast's beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use arrow::error::ArrowError;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::engine::evaluation::{self, ALL, Judged, Seen, Segment, TestRow};
use crate::engine::frame_file::{self, FrameData, FrameFileError};
use crate::engine::metrics::Errors;
use crate::engine::table_file::{self, TableFileError};
use crate::io::fs::{self, FsError};
use crate::kinds::body::Body;
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::ensemble::slot;
use crate::kinds::frame::TEST;
use crate::kinds::kind::Kind;
use crate::kinds::learner::{self, FRAME_SLOT};
use crate::kinds::request::{Request, Response, RunError};
use crate::kinds::trained::{self, TrainedError};
use crate::kinds::training_stanza::{frame_part, predictors};
use crate::model::recipe::{Declared, Source, Stanza};
use crate::syntax::shape::{Key, Want};

/// The artifact with the measures and the forecasts they come from.
pub const ARTIFACT: &str = "metrics";

/// What the naive forecast is called among the reported numbers.
const NAIVE: &str = "naive";

/// Kind `evaluate`.
pub const KIND: Kind = Kind {
    name: "evaluate",
    version: 1,
    about: "Measures models on a frame's test rows, which none of them has seen, beside the forecast that the price stays where it is.",
    keys: &[
        Key::required("frame", Want::Target, "The frame whose test rows are used."),
        Key::required("models", Want::List(&Want::Target, true), "The models to measure."),
    ],
    declare,
};

/// The params of an `evaluate` action: the models' names, for they stand in its tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The models, in the order of the slots `model:0`, `model:1`, ….
    pub models: Vec<String>,
}

fn declare(stanza: &Stanza, context: &DeclareContext) -> Result<Declared, KindError> {
    let body = Body(stanza);
    let mut declared = Declared {
        inputs: BTreeMap::from([(FRAME_SLOT.to_owned(), frame_part(body, context, TEST, "models are measured on")?)]),
        outputs: BTreeSet::from([ARTIFACT.to_owned()]),
        engines: BTreeSet::from(["parquet".to_owned()]),
        ..Declared::default()
    };
    let mut models = Vec::new();
    for (index, source) in body.targets("models", learner::ARTIFACT)?.into_iter().enumerate() {
        let path = format!("models.{index}");
        let Source::Target { name, .. } = &source else { continue };
        if models.iter().any(|model| model == name.as_str()) {
            return Err(body.error(&path, "this model is listed twice"));
        }
        if name.as_str() == NAIVE {
            return Err(body.error(&path, "a model called 'naive' could not be told from the yardstick; give it another name"));
        }
        models.push(name.to_string());
        declared.engines.extend(predictors(body, context, &source, &path)?);
        declared.places.insert(slot(index), body.place(&path));
        declared.inputs.insert(slot(index), source);
    }
    declared.params = json!(Spec { models });
    Ok(declared)
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
    /// The rows are none of a frame's `test`.
    #[error("these are no test rows: they have no dates of outcomes")]
    NotTestRows,
    /// A table cannot be made.
    #[error(transparent)]
    Columns(#[from] ArrowError),
    /// A table cannot be written.
    #[error(transparent)]
    Table(#[from] TableFileError),
    /// A file cannot be written.
    #[error(transparent)]
    Io(#[from] FsError),
    /// The measures cannot be written as JSON.
    #[error("metrics.json: {0}")]
    Json(#[from] serde_json::Error),
}

impl EvaluateError {
    /// As the action's failure: a model judged on what it has seen is a data check's refusal, one of another horizon the recipe's mistake.
    #[must_use]
    pub fn as_failure(&self) -> RunError {
        match self {
            Self::Seen { .. } => RunError::refused(self).hint("measure it on the frame it was trained with, or train it on this one"),
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
    judge(&spec, request.input(FRAME_SLOT)?, &models, &request.output(ARTIFACT)?).map_err(|error| error.as_failure())
}

/// Measures the models in `folders` on the test rows in `test` and writes the `metrics` artifact into `out`.
///
/// # Errors
/// When a model has seen test rows or forecasts something else, or a file cannot be read or written.
pub fn judge(spec: &Spec, test: &Path, folders: &[PathBuf], out: &Path) -> Result<Response, EvaluateError> {
    let frame = frame_file::read(test)?;
    let rows = test_rows(&frame)?;
    let all: Vec<usize> = (0..rows.len()).collect();
    let mut models = Vec::with_capacity(folders.len());
    for (name, folder) in spec.models.iter().zip(folders) {
        let failed = |source| EvaluateError::Model { model: name.clone(), source };
        let model = trained::read(folder).map_err(failed)?;
        evaluation::unseen(&model.record.trained_on, &rows)
            .map_err(|seen| EvaluateError::Seen { model: name.clone(), seen: Box::new(seen) })?;
        models.push(Judged { model: name.clone(), predicted: model.predict(&frame, &all).map_err(failed)? });
    }
    let segments = evaluation::evaluate(&rows, &models);
    write(&segments, &frame, &rows, &models, out)?;
    Ok(report(&segments))
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

fn write(segments: &[Segment], frame: &FrameData, rows: &[TestRow], models: &[Judged], out: &Path) -> Result<(), EvaluateError> {
    fs::create_folders(out)?;
    let key = |names: [&str; 2]| names.map(ToOwned::to_owned);
    table_file::write(&out.join("metrics.parquet"), &evaluation::metrics_table(segments)?, &key(["model", "segment"]))?;
    table_file::write(&out.join("predictions.parquet"), &evaluation::predictions_table(rows, models)?, &key(["date", "model"]))?;
    let about = json!({ "label": frame.record.label, "price": frame.record.price, "test": frame.record.split.test });
    let mut text = serde_json::to_string_pretty(&json!({ "frame": about, "segments": segments }))?;
    text.push('\n');
    Ok(fs::write(&out.join("metrics.json"), text.as_bytes())?)
}

/// The measures over all rows as flat numbers, and the best model in a sentence.
fn report(segments: &[Segment]) -> Response {
    let mut report = Response::default();
    let Some(all) = segments.iter().find(|segment| segment.segment == ALL) else { return report };
    #[expect(clippy::cast_precision_loss, reason = "fewer rows than a double counts exactly")]
    report.metrics.insert("n".into(), all.n as f64);
    for (index, model) in all.models.iter().enumerate() {
        if index == 0 {
            numbers(&mut report, NAIVE, &model.summary.naive);
        }
        numbers(&mut report, &model.model, &model.summary.model);
        if let Some(skill) = model.summary.skill {
            report.metrics.insert(format!("{}/skill", model.model), skill);
        }
    }
    let measured = all.models.iter().filter_map(|m| Some((m, m.summary.model.mae?, m.summary.naive.mae?)));
    if let Some((best, mae, naive)) = measured.min_by(|a, b| a.1.total_cmp(&b.1)) {
        let span = format!("{} forecasts, {} to {}", all.n, all.first_date, all.last_date);
        report.notes.push(format!("smallest mean error: {} with {mae:.4}, naive {naive:.4} ({span})", best.model));
    }
    report
}

fn numbers(report: &mut Response, model: &str, errors: &Errors) {
    let named = [("mape", errors.mape), ("mae", errors.mae), ("rmse", errors.rmse), ("r2", errors.r2), ("direction", errors.direction)];
    for (measure, value) in named {
        if let Some(value) = value {
            report.metrics.insert(format!("{model}/{measure}"), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::table_columns::{Values, floats, strings, table};
    use crate::kinds::learner::{Settings, learn, write_record};
    use crate::kinds::naive::Naive;
    use crate::model::training::{FrameRecord, Horizon, Label, LabelKind, ModelRecord, PriceColumn, Split, TrainedOn};

    fn record(horizon: Horizon) -> FrameRecord {
        FrameRecord {
            features: vec!["x".into()],
            label: Label { kind: LabelKind::LogReturn, horizon },
            price: PriceColumn { table: "t.t".into(), column: "price".into() },
            split: Split { train: None, valid: None, test: None },
            weight: None,
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
            let folders: Vec<_> = models.iter().map(|name| self.path(name)).collect();
            let spec = Spec { models: models.iter().map(|name| format!("model/{name}")).collect() };
            judge(&spec, &self.path("test"), &folders, &self.path("out"))
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
        assert!(close("model/naive/mae", 25.0) && close("model/naive/skill", 0.0));
        assert_eq!(report.notes, ["smallest mean error: model/naive with 25.0000, naive 25.0000 (4 forecasts, 2018-12-30 to 2019-01-02)"]);
        let read = |name: &str| table_file::read(&folder.path("out").join(name)).unwrap();
        let metrics = read("metrics.parquet");
        let segments: Vec<_> = strings(&metrics, "segment").unwrap().into_iter().flatten().collect();
        assert_eq!(segments, ["2018", "2018-Q4", "2019", "2019-Q1", "all"]);
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
    }

    #[test]
    fn a_model_of_another_horizon_is_refused() {
        let folder = Folder::new();
        folder.edit("other", |record| record.frame.label.horizon = Horizon::Days(11));
        assert!(matches!(folder.judge(&["other"]), Err(EvaluateError::Model { source: TrainedError::OtherQuestion { .. }, .. })));
    }
}
