//! Owns which code runs a kind's action. Invariant: only the program that runs actions comes here, for behind it stand the engines.

use crate::kinds::request::{Request, RequestError, Response, RunError};
use crate::kinds::{
    ar, backtest, bqml, channel, drift, elastic_net, ensemble, evaluate, exponential_smoothing, export, forecast, frame, garch, lightgbm,
    naive, near, neural, probe, publish, publish_bigquery, quantiles, refit, regime_classifier, release, ridge, scan, score,
    seasonal_naive, signal, sql, sweep, table, try_bigquery, try_here, tune_rank, view, views, xgboost,
};

/// Runs the action that the request asks for; what it made is in its output folder.
///
/// # Errors
/// When the action fails.
pub fn run(request: &Request) -> Result<Response, RunError> {
    match request.kind.as_str() {
        "ar" => ar::run(request),
        "backtest" => backtest::run(request),
        "bqml" => bqml::run(request),
        "bqml_train" => bqml::train(request),
        "channel" => channel::run(request),
        "drift" => drift::run(request),
        "elastic_net" => elastic_net::run(request),
        "ensemble" => ensemble::run(request),
        "evaluate" => evaluate::run(request),
        "exponential_smoothing" => exponential_smoothing::run(request),
        "export" => export::run(request),
        "forecast" => forecast::run(request),
        "frame" => frame::run(request),
        "garch" => garch::run(request),
        "lightgbm" => lightgbm::run(request),
        "naive" => naive::run(request),
        "neural" => neural::run(request),
        "probe:bigquery" => export::probe(request),
        "probe:queries" => scan::run(request),
        "probe:sweep" => sweep::run(request),
        "probe:sql" if request.reach.is_some() => try_bigquery::run(request),
        "probe:sql" => try_here::run(request),
        "probe:engine" => probe::engine(request),
        "probe:views" => views::run(request),
        "publish" if request.reach.is_some() => publish_bigquery::deliver(request),
        "publish" => publish::run(request),
        "publish:bigquery:deliveries" => publish_bigquery::tell(request),
        "publish:bigquery:put_back" => publish_bigquery::put_back(request),
        "quantiles" => quantiles::run(request),
        "refit" => refit::run(request),
        "regime_classifier" => regime_classifier::run(request),
        "release" => release::run(request),
        "ridge" => ridge::run(request),
        "seasonal_naive" => seasonal_naive::run(request),
        "score" => score::run(request),
        "signal" => signal::run(request),
        "sql" => sql::run(request),
        "table" => table::run(request),
        "tune" => tune_rank::run(request),
        "view:cat" => view::cat(request),
        "view:diff" => view::diff(request),
        "view:near" => near::near(request),
        "xgboost" => xgboost::run(request),
        other => Err(RunError::failed(&RequestError::Kind { kind: other.to_owned() })),
    }
}
