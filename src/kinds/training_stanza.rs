//! Owns what the stanzas of all learners share. Invariant: a learner reads the frame's `fit` artifact and nothing else of it, so newer rows never
//! retrain a model.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::engine::parameters::ParameterError;
use crate::kinds::body::Body;
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::learner::{ARTIFACT, FRAME_SLOT, Settings};
use crate::model::recipe::{Declared, Source, Stanza};
use crate::syntax::shape::{Key, Want};

/// The key that names the frame.
pub const FRAME_KEY: Key = Key::required("frame", Want::Target, "The frame to learn from.");

/// The slot of the model whose learner is trained again.
pub const MODEL_SLOT: &str = "model:0";

/// The kinds that make models.
pub const MODEL_KINDS: [&str; 13] = [
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

/// What a stanza asks for whose learner is a library of that name, with `params` as `complete` makes them whole.
///
/// # Errors
/// When a parameter is refused, or the stanza names no frame.
pub fn boosted(
    stanza: &Stanza,
    context: &DeclareContext,
    library: &str,
    complete: impl FnOnce(&Map<String, Value>) -> Result<BTreeMap<String, Value>, ParameterError>,
) -> Result<Declared, KindError> {
    let declared = with_params(Body(stanza), context, complete)?;
    Ok(Declared { engines: BTreeSet::from([library.to_owned()]), ..declared })
}

/// What a stanza asks for that trains a model's learner again, on the artifact `part` of a frame; `use_` says what it does with that.
///
/// # Errors
/// When it names no such frame, or no model.
pub fn again(stanza: &Stanza, context: &DeclareContext, (part, use_): (&str, &str), output: &str) -> Result<Declared, KindError> {
    let body = Body(stanza);
    let model = body.target("model", ARTIFACT)?;
    let frame = frame_part(body, context, part, use_)?;
    Ok(Declared {
        params: json!({}),
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
        Some("ensemble" | "refit" | "quantiles") => &["lightgbm", "xgboost"],
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

/// A learner's stanza with the parameters that it takes from the recipe's `params`.
///
/// # Errors
/// When the stanza names no frame or a parameter is refused.
pub fn with_params(
    body: Body,
    context: &DeclareContext,
    take: impl FnOnce(&Map<String, Value>) -> Result<BTreeMap<String, Value>, ParameterError>,
) -> Result<Declared, KindError> {
    let none = Map::new();
    let params = take(body.table("params").unwrap_or(&none)).map_err(|error| refused(body, &error))?;
    declared(body, context, &Settings { params, threads: body.0.common.threads })
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
