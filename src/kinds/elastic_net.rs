//! Kind `elastic_net`: linear regression that leaves out what adds little. Invariant: `params` holds scikit-learn's names with the values used, the
//! defaults included.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::engine::frame_file::FrameData;
use crate::engine::linear::elastic_net::{self, Asked, Ended};
use crate::engine::linear::vocabulary::ELASTIC_NET;
use crate::engine::parameters::ParameterError;
use crate::kinds::body::Body;
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::kind::Kind;
use crate::kinds::learner::{self, Fitted, LearnError, Learner, Settings};
use crate::kinds::linear_learner;
use crate::kinds::request::{Request, Response, RunError};
use crate::kinds::training_stanza::{self, FRAME_KEY};
use crate::kinds::tuned::TUNED_KEY;
use crate::model::recipe::{Declared, Stanza};
use crate::syntax::shape::{Key, Want};

/// Kind `elastic_net`.
pub const KIND: Kind = Kind {
    name: "elastic_net",
    version: 1,
    about: "Fits an elastic net on the features of a frame.",
    keys: &[
        FRAME_KEY,
        TUNED_KEY,
        Key::optional(
            "params",
            Want::Map(&Want::Any),
            "scikit-learn's parameters of `ElasticNet`: alpha (default 1.0), l1_ratio (0.5), fit_intercept (true), max_iter (1000), tol (1e-4).",
        ),
    ],
    declare,
};

fn declare(stanza: &Stanza, context: &DeclareContext) -> Result<Declared, KindError> {
    training_stanza::with_params(Body(stanza), context, &ElasticNet)
}

fn parameters(given: &Map<String, Value>) -> Result<BTreeMap<String, Value>, ParameterError> {
    let mut params = ELASTIC_NET.check(given)?;
    training_stanza::number(&mut params, "alpha", 1.0, "0 or more", |alpha| alpha >= 0.0)?;
    training_stanza::number(&mut params, "l1_ratio", 0.5, "from 0 to 1", |ratio| (0.0..=1.0).contains(&ratio))?;
    training_stanza::number(&mut params, "tol", 1e-4, "0 or more", |tol| tol >= 0.0)?;
    training_stanza::at_least(&params, "max_iter", 1)?;
    for (name, value) in [("fit_intercept", json!(true)), ("max_iter", json!(1000))] {
        params.entry(name.to_owned()).or_insert(value);
    }
    Ok(params)
}

/// Runs the action.
///
/// # Errors
/// When nothing was learnt.
pub fn run(request: &Request) -> Result<Response, RunError> {
    learner::run(&ElasticNet, request)
}

/// The learner.
pub struct ElasticNet;

impl Learner for ElasticNet {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn parameters(&self, given: &Map<String, Value>) -> Result<BTreeMap<String, Value>, ParameterError> {
        parameters(given)
    }

    fn fit(&self, frame: &FrameData, settings: &Settings) -> Result<Fitted, LearnError> {
        let number = |name: &str| settings.number(name).unwrap_or(0.0);
        let asked = Asked {
            alpha: number("alpha"),
            l1_ratio: number("l1_ratio"),
            fit_intercept: settings.is_set("fit_intercept"),
            max_iter: settings.count("max_iter").unwrap_or(1000),
            tol: number("tol"),
        };
        let mut ended = None;
        let mut fitted = linear_learner::fit(frame, settings, |rows, _| {
            let (solution, how) = elastic_net::solve(rows, &asked)?;
            ended = Some(how);
            Ok(solution)
        })?;
        if let Some(how) = ended {
            fitted.metrics.insert("rounds".to_owned(), how.rounds.into());
            if how.gap > how.wanted {
                let Ended { rounds, gap, wanted } = how;
                fitted.warnings.push(format!("not settled after {rounds} rounds: the gap is {gap:.3e}, asked for was {wanted:.3e}"));
            }
        }
        Ok(fitted)
    }
}
