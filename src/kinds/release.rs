//! Kind `release`: a model with what was measured of it, as a candidate for use. Invariant: what is made here depends on the model and its evaluation alone;
//! who may use it is the log of releases' to say, and nothing here moves anything.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use arrow::array::RecordBatch;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::engine::table_columns::{self, ColumnError};
use crate::engine::table_file::{self, TableFileError};
use crate::io::fs::{self, FsError};
use crate::io::tree;
use crate::kinds::body::Body;
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::evaluate;
use crate::kinds::evaluate_report::{self, ReportError};
use crate::kinds::kind::Kind;
use crate::kinds::learner;
use crate::kinds::release_gates::{Gate, GateError};
use crate::kinds::request::{Request, Response, RunError};
use crate::kinds::trained::{self, TrainedError, member_folder};
use crate::kinds::training_stanza::predictors;
use crate::model::recipe::{Declared, Source, Stanza};
use crate::model::release::{Gated, parse_version};
use crate::model::training::ModelRecord;
use crate::syntax::shape::{Key, Want};

/// What the kind is called.
pub const NAME: &str = "release";
/// The artifact: the model's native files, and what is said of it.
pub const ARTIFACT: &str = "release";
/// What is said of it, inside the artifact.
pub const METADATA_FILE: &str = "metadata.json";
/// The slot of the model.
pub const MODEL_SLOT: &str = "model";
/// The slot of what was measured.
pub const EVALUATION_SLOT: &str = "evaluation";

/// Forecasts of test rows that are told, the newest.
const TOLD: usize = 20;

/// Names that a mirror has for other things.
const TAKEN: [&str; 5] = ["epochs", "pins", "releases", "keys", "mirror"];

/// Kind `release`.
pub const KIND: Kind = Kind {
    name: NAME,
    version: 1,
    about: "Gathers a model, its evaluation and its gates into a candidate, which `cbi promote` may make a version that others use.",
    keys: &[
        Key::required("model", Want::Target, "The model or ensemble."),
        Key::required("evaluation", Want::Target, "The evaluation that measures it on test rows."),
        Key::optional(
            "gates",
            Want::List(&Want::Text, true),
            "What must hold for it to be promoted: a figure and its bound, or `better_than_current by N%`.",
        ),
    ],
    declare,
};

/// The params of a `release` action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The model's name, by which its evaluation knows it.
    pub model: String,
    /// The gates, as they are written.
    #[serde(default)]
    pub gates: Vec<String>,
}

fn declare(stanza: &Stanza, context: &DeclareContext) -> Result<Declared, KindError> {
    let body = Body(stanza);
    check_name(body)?;
    let model = body.target("model", learner::ARTIFACT)?;
    predictors(body, context, &model, "model")?;
    let evaluation = body.target("evaluation", evaluate::ARTIFACT)?;
    if let Source::Target { name, .. } = &evaluation
        && let Some(kind) = (context.kind_of)(name.as_str()).filter(|kind| kind != evaluate::NAME)
    {
        return Err(body.error("evaluation", format!("'{name}' is a {kind}, not an evaluation")));
    }
    let gates = body.texts("gates");
    for (index, text) in gates.iter().enumerate() {
        Gate::parse(text).map_err(|error| refused_gate(body, index, &error))?;
    }
    let Source::Target { name, .. } = &model else { return Err(body.error("model", "it names no target")) };
    let spec = Spec { model: name.to_string(), gates: gates.into_iter().map(str::to_owned).collect() };
    Ok(Declared {
        params: json!(spec),
        inputs: BTreeMap::from([(MODEL_SLOT.to_owned(), model), (EVALUATION_SLOT.to_owned(), evaluation)]),
        outputs: BTreeSet::from([ARTIFACT.to_owned()]),
        engines: BTreeSet::from(["parquet".to_owned()]),
        ..Declared::default()
    })
}

/// Refuses a name under which a mirror keeps something else.
fn check_name(body: Body) -> Result<(), KindError> {
    let name = body.0.name.as_str();
    let first = name.split('/').next().unwrap_or_default();
    let epoch = first.len() == 8 && first.bytes().all(|b| b.is_ascii_digit());
    if epoch || TAKEN.contains(&first) {
        return Err(body.error("", format!("a release may not be called '{name}': '{first}' is something else in a mirror")));
    }
    if let Some(version) = name.split('/').find(|segment| segment.starts_with('v') && parse_version(segment).is_some()) {
        return Err(body.error("", format!("a release may not be called '{name}': '{version}' could be taken for a version")));
    }
    Ok(())
}

fn refused_gate(body: Body, index: usize, error: &GateError) -> KindError {
    let refusal = body.error(&format!("gates.{index}"), error.to_string());
    match error.nearest {
        Some(near) => refusal.hint(format!("did you mean '{near}'?")),
        None => refusal,
    }
}

/// Why there is no candidate.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// The model's record cannot be read.
    #[error(transparent)]
    Model(#[from] TrainedError),
    /// The evaluation's figures are none.
    #[error("the evaluation's metrics.json: {0}")]
    Figures(#[from] serde_json::Error),
    /// The evaluation measures other models.
    #[error("the evaluation does not measure '{model}', but {}", others.join(", "))]
    OtherModels {
        /// The model.
        model: String,
        /// What it measures.
        others: Vec<String>,
    },
    /// The evaluation's forecasts cannot be read.
    #[error(transparent)]
    Column(#[from] ColumnError),
    /// A table cannot be read.
    #[error(transparent)]
    Table(#[from] TableFileError),
    /// A file cannot be read or copied.
    #[error(transparent)]
    Io(#[from] FsError),
    /// What is said of it cannot be written.
    #[error(transparent)]
    Report(#[from] ReportError),
}

impl ReleaseError {
    /// As the action's failure: an evaluation of other models is the recipe's mistake.
    #[must_use]
    pub fn as_failure(&self) -> RunError {
        match self {
            Self::OtherModels { .. } => RunError::invalid(self).hint("list the model among those that the evaluation measures"),
            _ => RunError::failed(self),
        }
    }
}

/// Runs the action.
///
/// # Errors
/// When the evaluation does not measure the model, or a file cannot be read or written.
pub fn run(request: &Request) -> Result<Response, RunError> {
    let spec: Spec = request.params()?;
    let (model, evaluation) = (request.input(MODEL_SLOT)?, request.input(EVALUATION_SLOT)?);
    gather(&spec, (model, evaluation), &request.digests, &request.output(ARTIFACT)?).map_err(|error| error.as_failure())
}

/// Puts the model's files and what is said of it into `out`.
///
/// # Errors
/// When the evaluation does not measure the model, or a file cannot be read or written.
pub fn gather(
    spec: &Spec,
    (model, evaluation): (&Path, &Path),
    digests: &BTreeMap<String, String>,
    out: &Path,
) -> Result<Response, ReleaseError> {
    let record = trained::read_record(model)?;
    let judged: Value = serde_json::from_slice(&fs::read(&evaluation.join("metrics.json"))?)?;
    let all = &judged["segments"][0];
    let metrics = all["models"].as_array().into_iter().flatten().find(|one| one["model"] == spec.model.as_str());
    let metrics = metrics.ok_or_else(|| {
        let names = all["models"].as_array().into_iter().flatten().filter_map(|one| Some(one["model"].as_str()?.to_owned()));
        ReleaseError::OtherModels { model: spec.model.clone(), others: names.collect() }
    })?;
    let figures = figures(metrics);
    let gates = gates(spec, &figures);
    tree::copy(model, out)?;
    let test = json!({ "first": all["first_date"], "last": all["last_date"], "rows": all["n"], "effective_rows": all["effective_n"] });
    let told = json!({
        "model": spec.model,
        "kind": record.kind,
        "forecasts": { "price": record.frame.price, "label": record.frame.label },
        "features": record.features,
        "hyperparameters": hyperparameters(model, &record)?,
        "levels": record.levels,
        "members": record.members,
        "engine": record.engine,
        "data": { "learnt_from": record.trained_on, "from": first(&record), "to": last(&record), "test": test },
        "metrics": metrics,
        "figures": figures,
        "gates": spec.gates,
        "newest_test_forecasts": newest(&spec.model, evaluation)?,
        "lineage": digests,
    });
    evaluate_report::write_json(out, METADATA_FILE, &told)?;
    let notes = gates.iter().map(|gated| format!("gate '{}' {}: {}", gated.gate, held(gated), gated.what));
    Ok(Response { notes: notes.collect(), metrics: figures, ..Response::default() })
}

fn held(gated: &Gated) -> &'static str {
    if gated.holds { "holds" } else { "does not hold" }
}

/// The parameters of a model as run, with those of its members.
fn hyperparameters(folder: &Path, record: &ModelRecord) -> Result<Value, ReleaseError> {
    let mut all = json!(record.params);
    for (name, value) in [("seed", json!(record.seed)), ("rounds", json!(record.rounds_kept()))] {
        if value.is_u64() || value.as_array().is_some_and(|rounds| !rounds.is_empty()) {
            all[name] = value;
        }
    }
    for (index, member) in record.members.iter().enumerate() {
        let folder = member_folder(folder, index);
        all[format!("member {} ({})", index + 1, member.kind)] = hyperparameters(&folder, &trained::read_record(&folder)?)?;
    }
    Ok(all)
}

/// What gates about figures say.
#[must_use]
pub fn gates(spec: &Spec, figures: &BTreeMap<String, f64>) -> Vec<Gated> {
    spec.gates.iter().filter_map(|text| Gate::parse(text).ok()?.judge(text, figures)).collect()
}

/// The figures that gates may be about.
fn figures(metrics: &Value) -> BTreeMap<String, f64> {
    let at = |pointer: &str| metrics.pointer(pointer).and_then(Value::as_f64);
    let plain = ["n", "mape", "mae", "rmse", "r2", "direction", "mae_ratio", "rmse_ratio", "sharpe"];
    let named = plain.map(|name| (name, at(&format!("/{name}"))));
    let others = [
        ("skill", at("/mae_ratio").map(|ratio| 1.0 - ratio)),
        ("mae_ratio_low", at("/ratio_interval/low")),
        ("mae_ratio_high", at("/ratio_interval/high")),
        ("dm_p", at("/dm_absolute/p")),
        ("naive_mape", at("/naive/mape")),
        ("naive_mae", at("/naive/mae")),
    ];
    named.into_iter().chain(others).filter_map(|(name, figure)| Some((name.to_owned(), figure?))).collect()
}

fn first(record: &ModelRecord) -> Option<&str> {
    record.trained_on.iter().map(|seen| seen.first.as_str()).min()
}

fn last(record: &ModelRecord) -> Option<&str> {
    record.trained_on.iter().map(|seen| seen.outcome_last.as_str()).max()
}

/// The model's forecasts of the newest test rows.
fn newest(model: &str, evaluation: &Path) -> Result<Vec<Value>, ReleaseError> {
    let table = table_file::read(&evaluation.join("predictions.parquet"))?;
    let models = table_columns::strings(&table, "model")?;
    let mut rows: Vec<usize> = (0..models.len()).filter(|row| models[*row] == Some(model)).collect();
    let dates = table_columns::dates(&table, "date")?;
    rows.sort_by_key(|row| dates[*row]);
    let told = &rows[rows.len().saturating_sub(TOLD)..];
    told.iter().map(|row| forecast(&table, *row)).collect()
}

fn forecast(table: &RecordBatch, row: usize) -> Result<Value, ReleaseError> {
    let date = |name: &str| Ok::<_, ColumnError>(table_columns::dates(table, name)?[row].and_then(NaiveDate::from_epoch_days));
    let float = |name: &str| Ok::<_, ColumnError>(table_columns::floats(table, name)?[row]);
    let day = |date: Option<NaiveDate>| date.map(|date| date.to_string());
    Ok(json!({
        "date": day(date("date")?), "outcome_date": day(date("outcome_date")?),
        "price": float("price")?, "actual": float("actual")?, "predicted": float("predicted")?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::recipe::{Common, Place};

    fn declared(name: &str, body: Value) -> Result<Declared, KindError> {
        let stanza = Stanza {
            kind: NAME.into(),
            name: name.parse().unwrap(),
            body: serde_json::from_value(body).unwrap(),
            common: Common::default(),
            place: Place::default(),
            spots: BTreeMap::new(),
            part: None,
        };
        let context = DeclareContext {
            text: &|_| Err(String::new()),
            files: &|_| Vec::new(),
            env: &|_| None,
            kind_of: &|name| Some(if name == "e" { "evaluate" } else { "ridge" }.to_owned()),
            tune_of: &|_| None,
            as_of: None,
        };
        declare(&stanza, &context)
    }

    #[test]
    fn a_name_that_is_something_else_in_a_mirror_or_like_a_version_is_refused() {
        let body = || json!({"model": "m", "evaluation": "e"});
        for name in ["epochs/x", "pins/x", "releases", "00000001/x", "oil/v001", "v2"] {
            assert!(declared(name, body()).is_err(), "{name}");
        }
        for name in ["release/oil", "oil", "vix", "0000001/x"] {
            assert!(declared(name, body()).is_ok(), "{name}");
        }
    }

    #[test]
    fn what_is_no_evaluation_or_no_gate_is_refused_before_anything_runs() {
        let message = |body: Value| declared("oil", body).unwrap_err().message;
        assert_eq!(message(json!({"model": "m", "evaluation": "m"})), "'m' is a ridge, not an evaluation");
        let error = declared("oil", json!({"model": "m", "evaluation": "e", "gates": ["map <= 3"]})).unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("did you mean 'mape'?"));
    }

    #[test]
    fn an_evaluation_of_other_models_makes_no_candidate() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["model", "evaluation"] {
            fs::create_folders(&path(name)).unwrap();
        }
        let record = json!({
            "kind": "naive", "features": [], "params": {}, "seed": null, "rounds": null, "trained_on": [], "engine": null,
            "frame": {
                "features": [], "label": {"kind": "level", "horizon": {"rows": 1}}, "weight": null, "split": {},
                "price": {"table": "t.t", "column": "price", "series": "spot"},
            },
        });
        fs::write(&path("model").join(trained::RECORD_FILE), record.to_string().as_bytes()).unwrap();
        let judged = json!({"segments": [{"models": [{"model": "other"}]}]});
        fs::write(&path("evaluation").join("metrics.json"), judged.to_string().as_bytes()).unwrap();
        let spec = Spec { model: "m".into(), gates: Vec::new() };
        let error = gather(&spec, (&path("model"), &path("evaluation")), &BTreeMap::new(), &path("out")).unwrap_err();
        assert_eq!(error.to_string(), "the evaluation does not measure 'm', but other");
        assert!(!path("out").exists(), "nothing is written");
    }
}
