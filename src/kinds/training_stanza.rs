//! Owns what the stanzas of all learners share. Invariant: a learner reads the frame's `fit` artifact and nothing else of it, so newer rows never
//! retrain a model.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::engine::parameters::ParameterError;
use crate::kinds::body::Body;
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::learner::{ARTIFACT, FRAME_SLOT, Learner, Settings};
use crate::kinds::tuned::{self, TunedError};
use crate::model::recipe::{Declared, Source, Stanza};
use crate::syntax::shape::{Key, Want};

/// The key that names the frame.
pub const FRAME_KEY: Key = Key::required("frame", Want::Target, "The frame to learn from.");

/// What says on which scale a model of the series is fitted: a key of such stanzas, and one of their parameters in records and searches.
const SERIES: &str = "series";

/// The slot of the model whose learner is trained again.
pub const MODEL_SLOT: &str = "model:0";

/// The kinds that make models.
pub const MODEL_KINDS: [&str; 15] = [
    "naive",
    "seasonal_naive",
    "drift",
    "ar",
    "exponential_smoothing",
    "garch",
    "ridge",
    "elastic_net",
    "lightgbm",
    "xgboost",
    "neural",
    "bqml",
    "quantiles",
    "ensemble",
    "refit",
];

/// What a learner's stanza asks for.
///
/// # Errors
/// When the stanza names no frame.
pub fn declared(body: Body, context: &DeclareContext, settings: &Settings) -> Result<Declared, KindError> {
    let frame = frame(body, context)?;
    Ok(Declared {
        params: json!(settings),
        inputs: BTreeMap::from([(FRAME_SLOT.to_owned(), frame)]),
        outputs: BTreeSet::from([ARTIFACT.to_owned()]),
        ..Declared::default()
    })
}

/// What a stanza asks for whose learner is a library of the kind's name.
///
/// # Errors
/// When a parameter is refused, or the stanza names no frame.
pub fn boosted(stanza: &Stanza, context: &DeclareContext, learner: &dyn Learner) -> Result<Declared, KindError> {
    let declared = with_params(Body(stanza), context, learner)?;
    Ok(Declared { engines: BTreeSet::from([learner.kind().to_owned()]), ..declared })
}

/// What a stanza asks for that trains a model's learner again, on the artifact `part` of a frame; `use_` says what it does with that.
///
/// # Errors
/// When it names no such frame, or no model.
pub fn again(stanza: &Stanza, context: &DeclareContext, (part, use_): (&str, &str), output: &str) -> Result<Declared, KindError> {
    let body = Body(stanza);
    let model = body.target("model", ARTIFACT)?;
    if let Source::Target { name, .. } = &model
        && (context.kind_of)(name.as_str()).is_some_and(|kind| kind == "bqml")
    {
        let error = body.error("model", format!("'{name}' was trained in BigQuery, and is not trained again here"));
        return Err(error.hint("write a bqml stanza for the frame that it is to learn from"));
    }
    let frame = frame_part(body, context, part, use_)?;
    Ok(Declared {
        params: json!({}),
        trains_like: Some(MODEL_SLOT.to_owned()),
        engines: predictors(body, context, &model, "model")?.into_iter().collect(),
        places: BTreeMap::from([(MODEL_SLOT.to_owned(), body.place("model"))]),
        inputs: BTreeMap::from([(FRAME_SLOT.to_owned(), frame), (MODEL_SLOT.to_owned(), model)]),
        outputs: BTreeSet::from([output.to_owned()]),
        ..Declared::default()
    })
}

/// The `fit` artifact of the frame that the stanza names.
///
/// # Errors
/// When it names none.
pub fn frame(body: Body, context: &DeclareContext) -> Result<Source, KindError> {
    frame_part(body, context, "fit", "a model learns from")
}

/// One artifact of the frame that the stanza names; `use_` says what it is for, should the stanza name another one.
///
/// # Errors
/// When it names no frame, or another artifact of one.
pub fn frame_part(body: Body, context: &DeclareContext, part: &str, use_: &str) -> Result<Source, KindError> {
    let source = body.target("frame", part)?;
    if let Source::Target { name, artifact } = &source {
        if let Some(kind) = (context.kind_of)(name.as_str()).filter(|kind| kind != "frame") {
            return Err(body.error("frame", format!("'{name}' is a {kind}, not a frame")));
        }
        if artifact != part {
            let error = body.error("frame", format!("{use_} a frame's '{part}', not its '{artifact}'"));
            return Err(error.hint(format!("frame = \"{name}\"")));
        }
    }
    Ok(source)
}

/// The libraries that predict for the model named at `path`.
///
/// # Errors
/// When it is no model.
pub fn predictors(body: Body, context: &DeclareContext, model: &Source, path: &str) -> Result<Vec<String>, KindError> {
    let Source::Target { name, .. } = model else { return Ok(Vec::new()) };
    let names: &[&str] = match (context.kind_of)(name.as_str()).as_deref() {
        Some("lightgbm") => &["lightgbm"],
        Some("xgboost") => &["xgboost"],
        Some("neural") => &["burn"],
        Some("quantiles") => &["lightgbm", "xgboost"],
        Some("ensemble" | "refit") => &["burn", "lightgbm", "xgboost"],
        Some(kind) if !MODEL_KINDS.contains(&kind) => return Err(body.error(path, format!("'{name}' is a {kind}, not a model"))),
        _ => &[],
    };
    Ok(names.iter().map(|&name| name.to_owned()).collect())
}

/// A refused parameter: at its value where that is wrong, else at its name.
#[must_use]
pub fn refused(body: Body, error: &ParameterError) -> KindError {
    let path = format!("params.{}", error.name());
    let refusal = match error {
        ParameterError::Value { .. } => body.error(&path, error.to_string()),
        _ => body.key_error(&path, error.to_string()),
    };
    match error.hint() {
        Some(hint) => refusal.hint(hint),
        None => refusal,
    }
}

/// What a stanza of a learner with parameters asks for. Those of a search are not known yet: their names are, and that they go with the stanza's own.
///
/// # Errors
/// When the stanza names no frame, no search, or a parameter is refused.
pub fn with_params(body: Body, context: &DeclareContext, learner: &dyn Learner) -> Result<Declared, KindError> {
    let given = given(body).map_err(|error| refused(body, &error))?;
    let whole = |given: &Map<String, Value>| learner.parameters(given).map_err(|error| refused(body, &error));
    if body.value("tuned").is_none() {
        return declared(body, context, &Settings { params: whole(&given)?, threads: body.0.common.threads, ..Settings::default() });
    }
    let (source, set) = tuned::source(body, context, learner.rounds_key())?;
    // Parameters that are wrong by themselves are for the search to tell.
    if let Some(set) = set.filter(|set| learner.parameters(set).is_ok()) {
        let clash = |error: TunedError| match &error {
            TunedError::Clash { name } => body.key_error(&format!("params.{name}"), error.to_string()),
            _ => body.error("tuned", error.to_string()),
        };
        whole(&tuned::together(&given, &set).map_err(clash)?)?;
    }
    let mut declared = declared(body, context, &Settings { params: given.into_iter().collect(), ..Settings::default() })?;
    declared.inputs.insert(tuned::SLOT.to_owned(), source);
    Ok(declared)
}

/// The parameters that a stanza gives: those in `params`, and the scale of kinds that have the key `series`.
fn given(body: Body) -> Result<Map<String, Value>, ParameterError> {
    let mut given = body.table("params").cloned().unwrap_or_default();
    for key in [SERIES, "architecture"] {
        if let Some(value) = body.value(key)
            && given.insert(key.to_owned(), value.clone()).is_some()
        {
            return Err(ParameterError::Twice { name: key.to_owned(), other: key.to_owned() });
        }
    }
    Ok(given)
}

/// Takes the scale that a model of the series is fitted on out of the parameters: the first of `scales` where it is not said.
///
/// # Errors
/// When it is none of them.
pub fn scale(given: &mut Map<String, Value>, scales: &[&str]) -> Result<String, ParameterError> {
    match given.remove(SERIES) {
        None => Ok(scales[0].to_owned()),
        Some(Value::String(scale)) if scales.contains(&scale.as_str()) => Ok(scale),
        Some(other) => {
            let want = format!("one of {}", scales.join(", "));
            Err(ParameterError::Value { name: SERIES.to_owned(), want, found: other.to_string() })
        }
    }
}

/// Refuses parameters that lack one which has no default.
///
/// # Errors
/// When it is missing.
pub fn needed(params: &BTreeMap<String, Value>, name: &str, want: &str) -> Result<(), ParameterError> {
    if params.contains_key(name) {
        return Ok(());
    }
    Err(ParameterError::Missing { name: name.to_owned(), want: want.to_owned() })
}

/// The number a parameter holds from here on: the recipe's, or the default.
///
/// # Errors
/// When the recipe's does not hold what is wanted of it.
pub fn number(
    params: &mut BTreeMap<String, Value>,
    name: &str,
    default: f64,
    want: &str,
    holds: impl Fn(f64) -> bool,
) -> Result<(), ParameterError> {
    let value = params.get(name).map_or(default, |value| value.as_f64().unwrap_or(f64::NAN));
    if !holds(value) {
        let found = params.get(name).map_or_else(|| default.to_string(), Value::to_string);
        return Err(ParameterError::Value { name: name.to_owned(), want: want.to_owned(), found });
    }
    params.insert(name.to_owned(), json!(value));
    Ok(())
}

/// Refuses a whole number below the least that makes sense.
///
/// # Errors
/// When it is given and below `least`.
pub fn at_least(params: &BTreeMap<String, Value>, name: &str, least: u64) -> Result<(), ParameterError> {
    match params.get(name) {
        Some(value) if value.as_u64().is_none_or(|n| n < least || n > i32::MAX.unsigned_abs().into()) => Err(ParameterError::Value {
            name: name.to_owned(),
            want: format!("a whole number, at least {least}"),
            found: value.to_string(),
        }),
        _ => Ok(()),
    }
}
