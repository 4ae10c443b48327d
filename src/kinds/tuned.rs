//! Owns the way from a search's choice into a training. Invariant: a parameter is set by the search or by the stanza, never by both, and the rows that
//! the choice was made by go with it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::base::json;
use crate::engine::parameters::ParameterError;
use crate::io::fs::{self, FsError};
use crate::kinds::body::Body;
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::request::RunError;
use crate::model::recipe::{Source, Stanza};
use crate::model::tuning::Tuned;
use crate::syntax::shape::{Key, Want};

/// The key by which a learner's stanza takes parameters that a search chose.
pub const TUNED_KEY: Key =
    Key::optional("tuned", Want::Target, "The `tune` whose best parameters are used; `params` may hold what that search left out.");

/// The slot of a search's choice.
pub const SLOT: &str = "tuned";
/// The kind that searches.
pub const TUNE: &str = "tune";
/// The artifact with the best parameters.
pub const BEST: &str = "best";
/// The file in it.
pub const FILE: &str = "tuned.json";

/// Why a search's choice cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TunedError {
    /// The file cannot be read or written.
    #[error(transparent)]
    Io(#[from] FsError),
    /// The file holds no choice.
    #[error("{}: {source}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What the reader says.
        source: serde_json::Error,
    },
    /// The search was another learner's.
    #[error("these are parameters of {found}, not of {wanted}")]
    Learner {
        /// The learner that was searched for.
        found: String,
        /// The one that was to use them.
        wanted: String,
    },
    /// A parameter set twice.
    #[error("'{name}' is set by the search, so it may not be set here")]
    Clash {
        /// The parameter.
        name: String,
    },
    /// Search and stanza together are not what the learner takes.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
}

impl TunedError {
    /// As the action's failure: parameters that do not go together are the recipe's mistake.
    #[must_use]
    pub fn as_failure(&self) -> RunError {
        match self {
            Self::Io(_) | Self::Record { .. } => RunError::failed(self),
            _ => RunError::invalid(self),
        }
    }
}

/// Reads the choice in `folder`.
///
/// # Errors
/// When it cannot be read.
pub fn read(folder: &Path) -> Result<Tuned, TunedError> {
    let path = folder.join(FILE);
    serde_json::from_slice(&fs::read(&path)?).map_err(|source| TunedError::Record { path, source })
}

/// Writes a choice into `folder`.
///
/// # Errors
/// When the file cannot be written.
pub fn write(folder: &Path, tuned: &Tuned) -> Result<(), TunedError> {
    let path = folder.join(FILE);
    let text = json::pretty(tuned).map_err(|source| TunedError::Record { path: path.clone(), source })?;
    fs::create_folders(folder)?;
    Ok(fs::write(&path, text.as_bytes())?)
}

/// The parameters of a stanza and of a search together.
///
/// # Errors
/// When both set the same one.
pub fn together<'a>(
    given: &Map<String, Value>,
    found: impl IntoIterator<Item = (&'a String, &'a Value)>,
) -> Result<Map<String, Value>, TunedError> {
    let mut all = given.clone();
    for (name, value) in found {
        if all.insert(name.clone(), value.clone()).is_some() {
            return Err(TunedError::Clash { name: name.clone() });
        }
    }
    Ok(all)
}

/// Parameters as people read them: `alpha = 0.5, fit_intercept = true`.
#[must_use]
pub fn in_words<'a>(params: impl IntoIterator<Item = (&'a String, &'a Value)>) -> String {
    let words: Vec<String> = params.into_iter().map(|(name, value)| format!("{name} = {value}")).collect();
    words.join(", ")
}

/// The choice that a learner's stanza takes, and, where its search is at hand, the parameters that the search sets, each with one value it may choose.
///
/// # Errors
/// When it names no search, or another learner's.
pub fn source(body: Body, context: &DeclareContext, rounds_key: Option<&str>) -> Result<(Source, Option<Map<String, Value>>), KindError> {
    let source = body.target("tuned", BEST)?;
    let Source::Target { name, artifact } = &source else { return Ok((source, None)) };
    if let Some(kind) = (context.kind_of)(name.as_str()).filter(|kind| kind != TUNE) {
        return Err(body.error("tuned", format!("'{name}' is a {kind}, not a {TUNE}")));
    }
    if artifact != BEST && body.0.part.is_none() {
        let error = body.error("tuned", format!("a model takes a search's '{BEST}', not its '{artifact}'"));
        return Err(error.hint(format!("tuned = \"{name}\"")));
    }
    // A part is told its parameters by the search that brought it, which has checked them.
    let Some(search) = (context.tune_of)(name.as_str()).filter(|_| body.0.part.is_none()) else { return Ok((source, None)) };
    let (wanted, found) = (body.0.kind.as_str(), Body(search).text("learner").unwrap_or_default());
    if wanted != found {
        return Err(body.error("tuned", format!("'{name}' searches parameters of {found}, not of {wanted}")));
    }
    let set = set_by(search, rounds_key);
    Ok((source, Some(set)))
}

/// The parameters that a search sets, each with one value it may choose.
fn set_by(search: &Stanza, rounds_key: Option<&str>) -> Map<String, Value> {
    let body = Body(search);
    let mut set = body.table("params").cloned().unwrap_or_default();
    let first = |choice: &Value| choice.get(0).or_else(|| choice.get("low")).cloned().unwrap_or(Value::Null);
    set.extend(body.table("space").into_iter().flatten().map(|(name, choice)| (name.clone(), first(choice))));
    let rounds = body.table("halving").and_then(|halving| halving.get("rounds")?.as_array()?.last());
    set.extend(rounds_key.zip(rounds).map(|(name, rounds)| (name.to_owned(), rounds.clone())));
    set
}

/// What a stanza with these parameters trains by once the search in `folder` has chosen: all parameters as a recipe would give them, and the choice.
///
/// # Errors
/// When the choice cannot be read, is another learner's, or sets what the stanza sets.
pub fn apply(kind: &str, given: &BTreeMap<String, Value>, folder: &Path) -> Result<(Map<String, Value>, Tuned), TunedError> {
    let tuned = read(folder)?;
    if tuned.learner != kind {
        return Err(TunedError::Learner { found: tuned.learner, wanted: kind.to_owned() });
    }
    let given = given.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    Ok((together(&given, &tuned.params)?, tuned))
}
