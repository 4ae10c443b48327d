//! Tries an engine for `cbi doctor`: no recipe kind, for nothing is built. Invariant: it answers only what the loaded engine itself did or said.
//!
//! `probe:engine`: params `engine` (`duckdb`, `lightgbm`, `xgboost`; `adapters`, which lists the graphics adapters, of a build with the feature `gpu`). The answer says what is known of it; an engine that does not load fails.

use arrow::array::{Array, AsArray};
use serde::Deserialize;

use crate::engine::duck::Duck;
use crate::engine::gbdt::{lightgbm, xgboost};
use crate::kinds::request::{Request, RequestError, Response, RunError};

/// The file, in the question's output folder, that takes what the engine says of itself.
pub const SAID: &str = "engine.json";

#[derive(Debug, Deserialize)]
struct Spec {
    engine: String,
}

/// Loads the engine.
///
/// # Errors
/// When it does not load.
pub fn engine(request: &Request) -> Result<Response, RunError> {
    let spec: Spec = request.params()?;
    let said: Option<String> = match spec.engine.as_str() {
        "duckdb" => duckdb()?,
        "lightgbm" => lightgbm::library().map(|_| None).map_err(|error| RunError::failed(&error))?,
        "xgboost" => xgboost::library().map(|_| None).map_err(|error| RunError::failed(&error))?,
        #[cfg(feature = "gpu")]
        "adapters" => return request.tell(SAID, &crate::engine::neural::device::adapters()),
        other => return Err(RunError::failed(&RequestError::Kind { kind: other.to_owned() })),
    };
    request.tell(SAID, &said)
}

/// What it calls its own version, after one query.
fn duckdb() -> Result<Option<String>, RunError> {
    let rows = Duck::open().and_then(|duck| duck.rows("SELECT version() AS version")).map_err(|error| RunError::failed(&error))?;
    let version = rows.column(0).as_string_opt::<i32>().filter(|column| !column.is_empty());
    Ok(version.map(|column| column.value(0).to_owned()))
}
