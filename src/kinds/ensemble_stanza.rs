//! Owns how an ensemble's stanza says what its members come to together. Invariant: a key that has no say beside the others is refused at its place,
//! never passed over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::kinds::body::Body;
use crate::kinds::context::KindError;
use crate::kinds::lightgbm;
use crate::kinds::training_stanza;
use crate::syntax::shape::{Key, Want};

/// The key of the calendar of regimes.
pub const REGIMES_KEY: Key = Key::optional(
    "regimes",
    Want::Table(&[
        Key::required("table", Want::TableName, "The calendar of regimes: one row a day."),
        Key::required("column", Want::Text, "Its column of regimes."),
        Key::optional("date", Want::Text, "Its column of dates; `date` where it is not said."),
        Key::optional(
            "least",
            Want::Int(20),
            "The fewest forecasts of a regime that its own weights are earned on; 120 where it is not said.",
        ),
    ]),
    "Earn the weights of `inverse_error` regime by regime.",
);

/// The fewest forecasts of a regime that its own weights are earned on, where the recipe does not say: half a year of trading days.
const LEAST: usize = 120;

/// How the members' weights are found; the params of the action, with how many members there are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weights {
    /// Each the same.
    Equal,
    /// By one over the mean absolute error, out of sample where there are backtests, else on the frame's valid rows.
    InverseError,
    /// The same, regime by regime, out of sample.
    ByRegime(Regimes),
    /// By ridge regression over out-of-sample forecasts, with this penalty.
    Stacked(f64),
    /// By `LightGBM`'s trees over out-of-sample forecasts, with these parameters.
    StackedTrees(BTreeMap<String, Value>),
    /// As given, scaled to add up to 1.
    Given(Vec<f64>),
}

/// How weights hang on regimes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Regimes {
    /// The calendar's column of regimes.
    pub regime: String,
    /// Its column of dates.
    pub date: String,
    /// The fewest forecasts of a regime that its own weights are earned on.
    pub least: usize,
}

impl Weights {
    /// Whether they can only be earned on out-of-sample forecasts.
    #[must_use]
    pub fn need_backtests(&self) -> bool {
        matches!(self, Self::ByRegime(_) | Self::Stacked(_) | Self::StackedTrees(_))
    }
}

/// What the stanza says, of so many models.
///
/// # Errors
/// When it says nothing that could be done, or says it twice.
pub fn weights(body: Body, models: usize) -> Result<Weights, KindError> {
    let found = match body.value("weights") {
        Some(Value::Array(items)) => given(body, &items.iter().filter_map(Value::as_f64).collect::<Vec<_>>(), models)?,
        Some(word) if word == "inverse_error" => regimes(body).map_or(Weights::InverseError, Weights::ByRegime),
        Some(word) if word == "stacked" && body.text("stacker") == Some("lightgbm") => Weights::StackedTrees(trees(body)?),
        Some(word) if word == "stacked" => Weights::Stacked(alpha(body)?),
        _ => Weights::Equal,
    };
    refuse_idle(body, &found)?;
    Ok(found)
}

/// Refuses keys that would be passed over.
fn refuse_idle(body: Body, weights: &Weights) -> Result<(), KindError> {
    let stacked = matches!(weights, Weights::Stacked(_) | Weights::StackedTrees(_));
    let idle = [
        (
            "alpha",
            !stacked,
            "'alpha' is the penalty of 'stacked' weights, and these are others",
            "weights = \"stacked\", or leave 'alpha' out",
        ),
        (
            "alpha",
            matches!(weights, Weights::StackedTrees(_)),
            "'alpha' is the penalty of ridge regression, and the stacker is lightgbm",
            "params = { lambda_l2 = 1.0 }",
        ),
        ("stacker", !stacked, "'stacker' makes 'stacked' weights, and these are others", "weights = \"stacked\""),
        ("params", !matches!(weights, Weights::StackedTrees(_)), "'params' are those of the stacker lightgbm", "stacker = \"lightgbm\""),
        (
            "regimes",
            !matches!(weights, Weights::ByRegime(_)),
            "only 'inverse_error' weights hang on regimes",
            "weights = \"inverse_error\"",
        ),
    ];
    match idle.into_iter().find(|(key, idle, ..)| *idle && body.value(key).is_some()) {
        Some((key, _, why, hint)) => Err(body.key_error(key, why).hint(hint)),
        None => Ok(()),
    }
}

fn given(body: Body, given: &[f64], models: usize) -> Result<Weights, KindError> {
    let refuse = |message: String| Err(body.error("weights", message));
    if given.len() != models {
        return refuse(format!("there are {} weights for {models} models", given.len()));
    }
    if let Some(bad) = given.iter().find(|w| !w.is_finite() || **w < 0.0) {
        return refuse(format!("a weight is 0 or more, not {bad}"));
    }
    if given.iter().sum::<f64>() <= 0.0 {
        return refuse("the weights add up to nothing".into());
    }
    Ok(Weights::Given(given.to_vec()))
}

fn alpha(body: Body) -> Result<f64, KindError> {
    let alpha = body.value("alpha").map_or(Some(1.0), Value::as_f64).filter(|alpha| alpha.is_finite() && *alpha >= 0.0);
    alpha.ok_or_else(|| body.error("alpha", "a penalty is 0 or more"))
}

fn trees(body: Body) -> Result<BTreeMap<String, Value>, KindError> {
    let none = Map::new();
    let params = lightgbm::parameters(body.table("params").unwrap_or(&none)).map_err(|error| training_stanza::refused(body, &error))?;
    if params.contains_key("early_stopping_round") {
        let error = body.error("params.early_stopping_round", "a stack learns from all forecasts there are, and has none left to stop by");
        return Err(error.hint("params = { num_iterations = 100 }"));
    }
    Ok(params)
}

fn regimes(body: Body) -> Option<Regimes> {
    let text = |key: &str| body.text_in("regimes", key).map(str::to_owned);
    let least = body.table("regimes").and_then(|table| usize::try_from(table.get("least")?.as_u64()?).ok());
    Some(Regimes { regime: text("column")?, date: text("date").unwrap_or_else(|| "date".to_owned()), least: least.unwrap_or(LEAST) })
}

/// The params of an ensemble, as its record tells them.
#[must_use]
pub fn told(weights: &Weights) -> BTreeMap<String, Value> {
    BTreeMap::from([("weights".to_owned(), json!(weights))])
}
