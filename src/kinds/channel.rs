//! Kind `channel`: the version of a release that somebody uses, by channel or by number. Invariant: it makes nothing: a build takes for it the recorded
//! result of the version that the log of releases names, and its action only says why there is none. No stanza is written for it.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::json;

use crate::base::diagnostic::ExitCode;
use crate::kinds::body::Body;
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::kind::Kind;
use crate::kinds::release;
use crate::kinds::request::{Request, Response, RunError};
use crate::model::recipe::{Declared, Source, Stanza};
use crate::model::release::{is_channel_name, parse_version};
use crate::syntax::shape::{Key, Want};

/// How a release is named where a model is.
pub const PREFIX: &str = "release:";

/// The param that says why there is no version, where that is known.
pub const WHY: &str = "why";

/// Kind `channel`.
pub const KIND: Kind = Kind {
    name: "channel",
    version: 1,
    about: "The version of a release that a channel is at. Made by itself for each that is used.",
    keys: &[Key::required("of", Want::Text, "The release."), Key::required("at", Want::Text, "The channel, or the version.")],
    declare,
};

#[expect(clippy::unnecessary_wraps, reason = "the form that every kind has")]
fn declare(stanza: &Stanza, _: &DeclareContext) -> Result<Declared, KindError> {
    let body = Body(stanza);
    Ok(Declared {
        params: json!({ "of": body.text("of"), "at": body.text("at") }),
        outputs: BTreeSet::from([release::ARTIFACT.to_owned()]),
        ..Declared::default()
    })
}

/// The model that the text at `path` names as `release:NAME@CHANNEL` or `release:NAME@v002`; `None` where it names none so.
///
/// # Errors
/// When it begins so and does not go on so.
pub fn source(body: Body, path: &str, context: &DeclareContext) -> Result<Option<Source>, KindError> {
    let Some(rest) = body.text(path).and_then(|text| text.strip_prefix(PREFIX)) else { return Ok(None) };
    let form = |why: String| body.error(path, why).hint("model = \"release:NAME@current\"");
    let (name, at) = rest.rsplit_once('@').ok_or_else(|| form("it does not say which version: NAME@current, NAME@v002".into()))?;
    if parse_version(at).is_none() && !is_channel_name(at) {
        return Err(form(format!("'{at}' is neither a channel nor a version")));
    }
    if let Some(kind) = (context.kind_of)(name).filter(|kind| kind != release::NAME) {
        return Err(body.error(path, format!("'{name}' is a {kind}, not a release")));
    }
    let name = format!("channel/{name}/{at}").parse().map_err(|error| form(format!("{error}")))?;
    Ok(Some(Source::Target { name, artifact: release::ARTIFACT.to_owned() }))
}

#[derive(Deserialize)]
struct Spec {
    of: String,
    at: String,
    #[serde(default)]
    why: Option<String>,
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NoVersion(String);

/// Says why there is no version.
///
/// # Errors
/// Always.
pub fn run(request: &Request) -> Result<Response, RunError> {
    let Spec { of, at, why } = request.params()?;
    let error = NoVersion(why.unwrap_or_else(|| format!("the release '{of}' has no version on '{at}'")));
    let mut failure =
        RunError::failed(&error).hint(format!("cbi models {of} lists what there is; cbi promote {of} makes the last candidate current"));
    failure.code = ExitCode::Invalid;
    Err(failure)
}
