//! Kind `regime_classifier`: which regime a day looks like, by what was known that day. Invariant: it is judged on days it has not learnt from, beside the
//! word of who says that the newest regime goes on, and days in a regime that had not begun count as what they are: wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::engine::classes::{self, ClassError, Classifier, Day};
use crate::engine::folds::{self, Fold, FoldError};
use crate::engine::frame_file::{self, FrameData, FrameFileError};
use crate::engine::regimes::{RegimeCalendar, RegimeError};
use crate::engine::table_columns::ColumnError;
use crate::engine::table_file::{self, TableFileError};
use crate::kinds::body::Body;
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::evaluate::{REGIMES_SLOT, RegimeColumns};
use crate::kinds::evaluate_report::ReportError;
use crate::kinds::frame::{FOLDS, SCORE};
use crate::kinds::kind::Kind;
use crate::kinds::learner::FRAME_SLOT;
use crate::kinds::lightgbm;
use crate::kinds::regime_report::{self, Likeness, Told};
use crate::kinds::request::{Request, Response, RunError};
use crate::kinds::training_stanza::{self, FRAME_KEY, frame_part};
use crate::model::folds::Folds;
use crate::model::recipe::{Declared, Stanza};
use crate::syntax::shape::{Key, Want};

/// What the kind is called.
pub const NAME: &str = "regime_classifier";
/// The artifact that it makes.
pub const ARTIFACT: &str = "regimes";
/// The slot of the newest rows.
const SCORE_SLOT: &str = "score";

/// Kind `regime_classifier`.
pub const KIND: Kind = Kind {
    name: NAME,
    version: 2,
    about: "Tells which known regime a day looks like, and how often that was right out of sample.",
    keys: &[
        FRAME_KEY,
        Key::required(
            "regimes",
            Want::Table(&[
                Key::required("table", Want::TableName, "The calendar of regimes: one row a day."),
                Key::required("column", Want::Text, "Its column of regimes."),
                Key::optional("date", Want::Text, "Its column of dates; `date` where it is not said."),
            ]),
            "The regimes to tell apart.",
        ),
        Key::optional("params", Want::Map(&Want::Any), "LightGBM's parameters; the objective is the kind's own."),
    ],
    declare,
};

/// The params of the action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The calendar's columns.
    pub regimes: RegimeColumns,
    /// `LightGBM`'s parameters.
    pub params: BTreeMap<String, Value>,
}

fn declare(stanza: &Stanza, context: &DeclareContext) -> Result<Declared, KindError> {
    let body = Body(stanza);
    let none = Map::new();
    let params = lightgbm::parameters(body.table("params").unwrap_or(&none)).map_err(|error| training_stanza::refused(body, &error))?;
    if let Some(name) = ["objective", "metric", "early_stopping_round"].into_iter().find(|name| params.contains_key(*name)) {
        return Err(body.key_error(
            &format!("params.{name}"),
            format!("'{name}' may not be set here: classes are told apart by 'multiclass', over all rounds"),
        ));
    }
    let column = body.text_in("regimes", "column").unwrap_or_default().to_owned();
    let regimes = RegimeColumns { regime: column, date: body.text_in("regimes", "date").unwrap_or("date").to_owned() };
    Ok(Declared {
        params: json!(Spec { regimes, params }),
        inputs: BTreeMap::from([
            (FRAME_SLOT.to_owned(), frame_part(body, context, FOLDS, "a classifier learns from")?),
            (SCORE_SLOT.to_owned(), body.target("frame", SCORE)?),
            (REGIMES_SLOT.to_owned(), body.target("regimes.table", "table")?),
        ]),
        places: BTreeMap::from([(REGIMES_SLOT.to_owned(), body.place("regimes.table"))]),
        outputs: BTreeSet::from([ARTIFACT.to_owned()]),
        engines: BTreeSet::from(["lightgbm".to_owned(), "parquet".to_owned()]),
        ..Declared::default()
    })
}

/// Why no regimes are told apart.
#[derive(Debug, thiserror::Error)]
pub enum RegimeClassifierError {
    /// The rows cannot be read.
    #[error(transparent)]
    Frame(#[from] FrameFileError),
    /// The frame is not cut into folds that walk forward.
    #[error("regimes follow each other, so they are told apart by folds that walk forward, and the frame has none")]
    NotCut,
    /// Its history cannot be cut.
    #[error(transparent)]
    Folds(#[from] FoldError),
    /// The calendar cannot be read.
    #[error(transparent)]
    Table(#[from] TableFileError),
    /// It cannot be used, or lacks a day.
    #[error("the calendar of regimes: {0}")]
    Regimes(#[from] RegimeError),
    /// They cannot be told apart.
    #[error(transparent)]
    Classes(#[from] ClassError),
    /// The artifact cannot be written.
    #[error(transparent)]
    Report(#[from] ReportError),
}

impl RegimeClassifierError {
    fn as_failure(&self) -> RunError {
        match self {
            Self::NotCut => RunError::invalid(self).hint("folds = { walk_forward = { … } } in the frame"),
            Self::Folds(error) => RunError::refused(self).hint(error.hint()),
            Self::Regimes(RegimeError::Column(ColumnError::Missing { nearest: Some(near), .. })) => {
                RunError::invalid(self).hint(format!("did you mean '{near}'?"))
            }
            Self::Regimes(RegimeError::Column(_)) => RunError::invalid(self),
            Self::Regimes(_) => RunError::refused(self).hint("extend the calendar of regimes: every day belongs to one"),
            _ => RunError::failed(self),
        }
    }
}

/// Runs the action.
///
/// # Errors
/// When the history cannot be cut, a day has no regime, or a file cannot be read or written.
pub fn run(request: &Request) -> Result<Response, RunError> {
    let spec: Spec = request.params()?;
    let folder = |slot: &str| request.input(slot).map(Path::to_owned);
    let inputs =
        Inputs { history: folder(FRAME_SLOT)?, score: folder(SCORE_SLOT)?, regimes: folder(REGIMES_SLOT)?, threads: request.threads };
    classify(&spec, &inputs, &request.output(ARTIFACT)?).map_err(|error| error.as_failure())
}

struct Inputs {
    history: PathBuf,
    score: PathBuf,
    regimes: PathBuf,
    threads: u32,
}

/// What is learnt with.
struct How {
    params: BTreeMap<String, Value>,
    rounds: u32,
}

fn classify(spec: &Spec, inputs: &Inputs, out: &Path) -> Result<Response, RegimeClassifierError> {
    let history = frame_file::read(&inputs.history)?;
    let plan = history.record.folds.clone().filter(|plan| matches!(plan, Folds::WalkForward(_)));
    let folds = folds::cut(&plan.ok_or(RegimeClassifierError::NotCut)?, &history)?;
    let table = table_file::read(&inputs.regimes.join(table_file::FILE_NAME))?;
    let calendar = RegimeCalendar::read(&table, &spec.regimes.regime, &spec.regimes.date)?;
    let names = calendar.of_days(&history.dates)?;
    let mut params = spec.params.clone();
    params.insert("num_threads".to_owned(), json!(inputs.threads));
    let rounds = params.get("num_iterations").and_then(Value::as_u64).and_then(|rounds| u32::try_from(rounds).ok()).unwrap_or(100);
    let how = How { params, rounds };
    let mut days = Vec::new();
    let mut dates = Vec::new();
    for fold in &folds {
        dates.extend(fold.test.iter().map(|&row| history.dates[row]));
        days.extend(judged(&history, fold, &names, &how)?);
    }
    let likeness = likeness(&history, &names, &calendar, &frame_file::read(&inputs.score)?, &how)?;
    let figures = classes::figures(&days);
    let told = Told { dates: &dates, days: &days, figures: &figures, likeness: likeness.as_ref() };
    regime_report::write(&told, out)?;
    Ok(regime_report::response(&told))
}

/// What a fold, learning from all rows before its test, says of that.
fn judged(history: &FrameData, fold: &Fold, names: &[String], how: &How) -> Result<Vec<Day>, ClassError> {
    let learnt: Vec<usize> = fold.train.iter().chain(&fold.valid).copied().collect();
    let classifier = learn(history, &learnt, names, how)?;
    let all = classifier.probabilities(history, &fold.test)?;
    let majority = classifier.likeliest(&classifier.shares).to_owned();
    let day = |(&row, of): (&usize, &Vec<f64>)| Day {
        class: names[row].clone(),
        predicted: classifier.likeliest(of).to_owned(),
        probability: classifier.of(&names[row], of),
        newest: classifier.newest.clone(),
        majority: majority.clone(),
        share: classifier.of(&names[row], &classifier.shares),
    };
    Ok(fold.test.iter().zip(&all).map(day).collect())
}

fn learn(history: &FrameData, rows: &[usize], names: &[String], how: &How) -> Result<Classifier, ClassError> {
    let own: Vec<&str> = rows.iter().map(|&row| names[row].as_str()).collect();
    Classifier::learn(history, rows, &own, &how.params, how.rounds)
}

/// Which of the regimes before its own the newest day looks like; nothing where there is no newest day, or no earlier regime.
fn likeness(
    history: &FrameData,
    names: &[String],
    calendar: &RegimeCalendar,
    score: &FrameData,
    how: &How,
) -> Result<Option<Likeness>, RegimeClassifierError> {
    let Some(newest) = (0..score.len()).max_by_key(|&row| score.dates[row]) else { return Ok(None) };
    let own = calendar.of_days(&[score.dates[newest]])?.pop().unwrap_or_default();
    let rows: Vec<usize> = (0..history.len()).filter(|&row| names[row] != own).collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let classifier = learn(history, &rows, names, how)?;
    let of = classifier.probabilities(score, &[newest])?.pop().unwrap_or_default();
    let mut regimes: Vec<(String, f64)> = classifier.classes.into_iter().zip(of).collect();
    regimes.sort_by(|a, b| b.1.total_cmp(&a.1));
    Ok(Some(Likeness { date: score.dates[newest], own, regimes }))
}
