//! Kind `bqml`: a model trained in BigQuery, as another learner. Invariant: it is an observation, never made again bit for bit: what stands in the
//! store is the model's record, its files where there is a bucket, and its answers to the rows of the frame, the newest included.
//!
//! A stanza brings one other along:
//!
//! | target | kind | reads | makes |
//! |---|---|---|---|
//! | `NAME/trained` | `bqml_train` | the frame's `fit` | the model in BigQuery, its record and its files |
//! | `NAME` | `bqml` | that, and the frame's `fit`, `test` and `score` | the same with its answers to their rows |
//!
//! So a new day asks the model about its rows, and trains nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::base::digest::ManifestId;
use crate::base::json as text;
use crate::base::units;
use crate::engine::answers::{Answers, AnswersError};
use crate::engine::bigquery::fault::BigQueryError;
use crate::engine::bigquery::ml::{Studio, Trained};
use crate::engine::bigquery::ml_text::{self, SPLIT_COLUMN, Training};
use crate::engine::frame_file::{self, FrameData, Part, ROWS_FILE, iso_date};
use crate::io::fs;
use crate::io::tree;
use crate::kinds::body::{self, Body};
use crate::kinds::bqml_options::{self, MODEL_TYPES, WEIGHTED};
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::export::{Reach, failure, wait};
use crate::kinds::frame::{FIT, SCORE, TEST};
use crate::kinds::kind::Kind;
use crate::kinds::learner::{self, ARTIFACT, LearnError};
use crate::kinds::pushed::own;
use crate::kinds::request::{Request, RequestError, Response, RunError};
use crate::kinds::trained;
use crate::kinds::training_stanza::{self, FRAME_KEY, frame_part};
use crate::model::recipe::{Declared, Part as OfWhole, Source, Stanza};
use crate::model::training::ModelRecord;
use crate::syntax::shape::{Key, Want};

/// What BigQuery says of the model, inside its artifacts.
pub const ABOUT_FILE: &str = "bigquery.json";
/// The folder of the model's own files, inside its artifacts.
pub const EXPORTED_FOLDER: &str = "exported";
/// The artifact of the part that trains, and the slot that it feeds.
const TRAINED: &str = "trained";

const KEYS: &[Key] = &[
    FRAME_KEY,
    Key::required("model_type", Want::OneOf(MODEL_TYPES), "What is trained."),
    Key::optional("params", Want::Map(&Want::Any), "BigQuery ML's options of that type, by their names in small letters."),
    Key::optional("max_bytes_billed", Want::Bytes, "The most that training it, or asking it, may be charged for; the server refuses more."),
];

/// Kind `bqml`.
pub const KIND: Kind = Kind {
    name: "bqml",
    version: 2,
    about: "Trains a model in BigQuery on a frame: boosted trees, a random forest, linear regression or a network.",
    keys: KEYS,
    declare,
};

/// Kind `bqml_train`, which no stanza is written for.
pub const TRAIN: Kind =
    Kind { name: "bqml_train", version: 1, about: "The training of a model in BigQuery.", keys: KEYS, declare: declare_training };

/// The params of both actions.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    /// What is trained; of a question nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model_type: Option<String>,
    /// Its options.
    #[serde(default)]
    params: BTreeMap<String, Value>,
}

fn declare(stanza: &Stanza, context: &DeclareContext) -> Result<Declared, KindError> {
    let body = Body(stanza);
    options(body)?;
    let spec = Spec { model_type: None, params: BTreeMap::new() };
    let name = part_name(stanza).parse().map_err(|error| body.error("", format!("{error}")))?;
    let mut inputs = BTreeMap::from([(TRAINED.to_owned(), Source::Target { name, artifact: TRAINED.to_owned() })]);
    for part in [FIT, TEST, SCORE] {
        inputs.insert(
            part.to_owned(),
            frame_part(body, context, part, "a model in BigQuery is trained on a frame, and asked about all of it, not")?,
        );
    }
    let places = [FIT, TEST, SCORE].map(|part| (part.to_owned(), body.place("frame"))).into();
    let (outputs, engines) = (BTreeSet::from([ARTIFACT.to_owned()]), BTreeSet::from(["parquet".to_owned()]));
    Ok(Declared { params: json!(spec), inputs, places, outputs, engines, max_bytes_billed: limit(body), ..Declared::default() })
}

fn declare_training(stanza: &Stanza, context: &DeclareContext) -> Result<Declared, KindError> {
    let body = Body(stanza);
    let spec = Spec { model_type: body.text("model_type").map(str::to_owned), params: options(body)? };
    let inputs = BTreeMap::from([(FIT.to_owned(), training_stanza::frame(body, context)?)]);
    let places = BTreeMap::from([(FIT.to_owned(), body.place("frame"))]);
    let outputs = BTreeSet::from([TRAINED.to_owned()]);
    Ok(Declared { params: json!(spec), inputs, places, outputs, max_bytes_billed: limit(body), ..Declared::default() })
}

fn options(body: Body) -> Result<BTreeMap<String, Value>, KindError> {
    let given = body.table("params").cloned().unwrap_or_else(Map::new);
    bqml_options::checked(body.text("model_type").unwrap_or_default(), &given).map_err(|error| training_stanza::refused(body, &error))
}

fn limit(body: Body) -> Option<u64> {
    body.text("max_bytes_billed").and_then(units::parse_bytes)
}

fn part_name(stanza: &Stanza) -> String {
    format!("{}/{TRAINED}", stanza.name)
}

/// The stanza that one of this kind brings along; none of one that is refused, which says why itself.
#[must_use]
pub fn part(stanza: &Stanza) -> Option<Stanza> {
    if stanza.kind != KIND.name || !body::check(stanza, KEYS).is_empty() || options(Body(stanza)).is_err() {
        return None;
    }
    let mut part = Stanza { kind: TRAIN.name.to_owned(), name: part_name(stanza).parse().ok()?, ..stanza.clone() };
    part.common.description = None;
    part.part = Some(OfWhole { of: stanza.name.clone(), number: 1 });
    Some(part)
}

/// Why a model in BigQuery was not trained, or not asked.
#[derive(Debug, thiserror::Error)]
enum BqmlError {
    /// BigQuery does not do it.
    #[error(transparent)]
    BigQuery(#[from] BigQueryError),
    /// The frame or the model cannot be used, or a file cannot be written.
    #[error(transparent)]
    Learn(#[from] LearnError),
    /// The answers cannot be kept.
    #[error(transparent)]
    Answers(#[from] AnswersError),
    /// Rows have weights, which this type of model takes no heed of.
    #[error("the frame's rows have weights, and a {model_type} would learn as if they had none")]
    Weights {
        /// The type.
        model_type: String,
    },
    /// A feature has a name that is needed.
    #[error("a feature is called '{SPLIT_COLUMN}', which is the name of the column that says what each row is for")]
    Name,
    /// Not every row was answered.
    #[error("BigQuery answered {answered} of {rows} rows; the first that it did not answer is {date}")]
    Unanswered {
        /// The date of the first without an answer.
        date: String,
        /// Rows asked about.
        rows: usize,
        /// Answers.
        answered: usize,
    },
    /// What BigQuery said of the model is not in its artifact.
    #[error("{ABOUT_FILE}: {0}")]
    About(#[source] serde_json::Error),
    /// Nobody may be asked.
    #[error("this needs BigQuery, and --offline asks nobody")]
    Offline,
    /// It has no input, or may cost nothing.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl BqmlError {
    fn as_failure(&self) -> RunError {
        match self {
            Self::BigQuery(error) => failure(error),
            Self::Learn(error) => error.as_failure(),
            Self::Weights { .. } => RunError::invalid(self).hint(format!("model_type = \"{}\", or a frame without weights", WEIGHTED[0])),
            Self::Name => RunError::invalid(self).hint("name the column otherwise in the SQL that makes it"),
            Self::Offline => RunError::invalid(self).hint("build without --offline"),
            Self::Unanswered { .. } => RunError::remote(self),
            Self::Answers(_) | Self::About(_) => RunError::failed(self),
            Self::Run(error) => RunError { code: error.code, message: error.message.clone(), hint: error.hint.clone() },
        }
    }
}

/// What is kept of a model, beside its record.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct About {
    /// The statement that trained it.
    statement: String,
    #[serde(flatten)]
    trained: Trained,
    /// Where its files were exported to.
    exported_to: Option<String>,
}

/// Trains.
///
/// # Errors
/// When the frame cannot be used, or BigQuery does not train.
pub fn train(request: &Request) -> Result<Response, RunError> {
    let (spec, reach): (Spec, Reach) = (request.params()?, request.reach()?);
    let (fit, out) = (rows_of(request, FIT)?, request.output(TRAINED)?);
    wait(training(&spec, &reach, &fit, &out))?.map_err(|error| error.as_failure())
}

async fn training(spec: &Spec, reach: &Reach, (fit, rows): &Rows, out: &Path) -> Result<Response, BqmlError> {
    let mut studio = studio(reach).await?;
    let frame = frame_file::read(fit).map_err(LearnError::from)?;
    let model_type = spec.model_type.as_deref().unwrap_or_default();
    let seen = checked(&frame, model_type, &spec.params)?;
    let table = studio.table(rows, &fit.join(ROWS_FILE)).await?;
    let features = &frame.record.features;
    let training = Training { model_type, options: &spec.params, features, weighted: frame.record.weight.is_some(), table: &table };
    let trained = studio.model(&training).await?;
    let mut response = Response::default();
    let exported_to = export(&mut studio, reach, &trained, out, &mut response).await?;
    let record = ModelRecord {
        kind: KIND.name.to_owned(),
        features: features.clone(),
        params: std::iter::once(("model_type".to_owned(), json!(model_type))).chain(spec.params.clone()).collect(),
        seed: None,
        rounds: None,
        levels: Vec::new(),
        trained_on: seen.iter().filter_map(|part| frame.trained_on(*part)).collect(),
        engine: None,
        members: Vec::new(),
        frame: frame.record.clone(),
    };
    learner::write_record(out, &record)?;
    let about = About { statement: ml_text::create(&trained.model, &training), trained, exported_to };
    let text = text::pretty(&about).map_err(BqmlError::About)?;
    fs::write(&out.join(ABOUT_FILE), text.as_bytes()).map_err(LearnError::from)?;
    response.metrics.extend(reach.work.charged(studio.billed));
    response.metrics.insert("iterations".to_owned(), f64::from(about.trained.iterations));
    let losses = [("training_loss", about.trained.training_loss), ("eval_loss", about.trained.eval_loss)];
    response.metrics.extend(losses.into_iter().filter_map(|(name, loss)| Some((name.to_owned(), loss?))));
    response.notes.push(format!("trained in BigQuery as {}; training it again would not give the same bits", about.trained.model));
    Ok(response)
}

/// The parts of the frame that the model sees, where it can be trained on them.
fn checked(frame: &FrameData, model_type: &str, options: &BTreeMap<String, Value>) -> Result<Vec<Part>, BqmlError> {
    let parts = if ml_text::uses_valid(options) { vec![Part::Train, Part::Valid] } else { vec![Part::Train] };
    if let Some(part) = parts.iter().find(|part| frame.rows_of(**part).is_empty()) {
        return Err(LearnError::NoRows(part.word()).into());
    }
    if frame.record.weight.is_some() && !WEIGHTED.contains(&model_type) {
        return Err(BqmlError::Weights { model_type: model_type.to_owned() });
    }
    if frame.record.features.iter().any(|name| name.eq_ignore_ascii_case(SPLIT_COLUMN)) {
        return Err(BqmlError::Name);
    }
    Ok(parts)
}

/// The model's files, where there is a bucket; where they went. A bucket that may be written to and not read is told, and does not hold the model up.
async fn export(
    studio: &mut Studio,
    reach: &Reach,
    trained: &Trained,
    out: &Path,
    response: &mut Response,
) -> Result<Option<String>, BqmlError> {
    let Some(place) = reach.work.bucket.as_deref().map(|place| place.strip_prefix("gs://").unwrap_or(place).trim_end_matches('/')) else {
        return Ok(None);
    };
    let (bucket, below) = place.split_once('/').map_or((place, String::new()), |(bucket, below)| (bucket, format!("{below}/")));
    let folder = format!("{below}{}/", trained.model.rsplit('.').next().unwrap_or_default());
    let files = match studio.export(&trained.model, (&reach.work.storage_json_endpoint, bucket), &folder).await {
        Ok(files) => files,
        Err(BigQueryError::Refused { what, status: 403, message, .. }) if what.contains("gs://") => {
            response
                .notes
                .push(format!("exported to gs://{bucket}/{folder}, and not brought here: the bucket may not be read ({message})"));
            return Ok(Some(format!("gs://{bucket}/{folder}")));
        }
        Err(error) => return Err(error.into()),
    };
    for (name, bytes) in &files {
        let file = out.join(EXPORTED_FOLDER).join(name);
        fs::create_folders(file.parent().unwrap_or(out)).and_then(|()| fs::write(&file, bytes)).map_err(LearnError::from)?;
    }
    response.metrics.insert("exported_files".to_owned(), float(files.len() as u64));
    Ok(Some(format!("gs://{bucket}/{folder}")))
}

/// Asks a trained model about all rows of its frame.
///
/// # Errors
/// When BigQuery does not answer for every row.
pub fn run(request: &Request) -> Result<Response, RunError> {
    let reach: Reach = request.reach()?;
    let (trained, out) = (request.input(TRAINED)?, request.output(ARTIFACT)?);
    let parts = [rows_of(request, FIT)?, rows_of(request, TEST)?, rows_of(request, SCORE)?];
    wait(asking(&reach, trained, &parts, &out))?.map_err(|error| error.as_failure())
}

async fn asking(reach: &Reach, trained: &Path, parts: &[Rows; 3], out: &Path) -> Result<Response, BqmlError> {
    let mut studio = studio(reach).await?;
    let record = trained::read_record(trained).map_err(LearnError::from)?;
    let about = fs::read(&trained.join(ABOUT_FILE)).map_err(LearnError::from)?;
    let about: About = serde_json::from_slice(&about).map_err(BqmlError::About)?;
    let (mut answers, mut rows) = (Answers::default(), 0);
    for (folder, rows_id) in parts {
        let frame = frame_file::read(folder).map_err(LearnError::from)?;
        if frame.is_empty() {
            continue;
        }
        let table = studio.table(rows_id, &folder.join(ROWS_FILE)).await?;
        let told = studio.ask(&about.trained.model, &record.features, &table).await?;
        for (row, date) in frame.dates.iter().enumerate() {
            let unanswered = || BqmlError::Unanswered { date: iso_date(*date), rows: frame.len(), answered: told.len() };
            let answer = told.get(date).ok_or_else(unanswered)?;
            answers.add(*date, &frame.matrix(&record.features, &[row]).map_err(LearnError::from)?, *answer);
        }
        rows += frame.len();
    }
    tree::copy(trained, out).map_err(LearnError::from)?;
    answers.write(out)?;
    let fit = frame_file::read(&parts[0].0).map_err(LearnError::from)?;
    let mut response = learner::report(&trained::read(out).map_err(LearnError::from)?, &fit)?;
    response.metrics.extend(reach.work.charged(studio.billed));
    response.metrics.insert("rows_asked".to_owned(), float(rows as u64));
    Ok(response)
}

/// A part of a frame: its folder, and the digest of what is in it.
type Rows = (PathBuf, ManifestId);

fn rows_of(request: &Request, slot: &str) -> Result<Rows, RunError> {
    let folder = request.input(slot)?;
    let digest = request.digests.get(slot).and_then(|digest| digest.parse().ok()).map(ManifestId);
    Ok((
        folder.to_owned(),
        digest.ok_or_else(|| RunError::failed(&RequestError::Slot { kind: request.kind.clone(), slot: slot.to_owned() }))?,
    ))
}

async fn studio(reach: &Reach) -> Result<Studio, BqmlError> {
    if reach.offline {
        return Err(BqmlError::Offline);
    }
    let (limit, own) = (reach.limit()?, own(reach));
    let (rest, _) = reach.open().await?;
    let location = own.location(&rest, reach.work.location.as_deref()).await?;
    Ok(Studio { rest, own, billing: reach.account.billing_project.clone(), location, limit, billed: 0 })
}

#[expect(clippy::cast_precision_loss, reason = "a count, for people")]
fn float(count: u64) -> f64 {
    count as f64
}
