//! Owns which code runs a kind's action. Invariant: only the program that runs actions comes here, for behind it stand the engines.

use crate::kinds::request::{Request, RequestError, Response, RunError};
use crate::kinds::{backtest, ensemble, evaluate, forecast, frame, lightgbm, naive, probe, refit, sql, table, view, xgboost};

/// Runs the action that the request asks for; what it made is in its output folder.
///
/// # Errors
/// When the action fails.
pub fn run(request: &Request) -> Result<Response, RunError> {
    match request.kind.as_str() {
        "backtest" => backtest::run(request),
        "ensemble" => ensemble::run(request),
        "evaluate" => evaluate::run(request),
        "forecast" => forecast::run(request),
        "frame" => frame::run(request),
        "lightgbm" => lightgbm::run(request),
        "naive" => naive::run(request),
        "probe:engine" => probe::engine(request),
        "refit" => refit::run(request),
        "sql" => sql::run(request),
        "table" => table::run(request),
        "view:cat" => view::cat(request),
        "view:diff" => view::diff(request),
        "xgboost" => xgboost::run(request),
        other => Err(RunError::failed(&RequestError::Kind { kind: other.to_owned() })),
    }
}
