//! Owns what a release's gates say. Invariant: a gate is judged on figures alone; one that lacks its figure does not hold.

use std::collections::BTreeMap;

use crate::base::name::nearest;
use crate::model::release::Gated;

/// The figures that a gate may be about, as an evaluation reports them of a model; `skill` is 1 less `mae_ratio`.
pub const MEASURES: [&str; 13] = [
    "mape",
    "mae",
    "rmse",
    "r2",
    "direction",
    "skill",
    "mae_ratio",
    "mae_ratio_low",
    "mae_ratio_high",
    "rmse_ratio",
    "dm_p",
    "sharpe",
    "n",
];

/// What a figure must be beside its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// At most.
    Le,
    /// Less.
    Lt,
    /// At least.
    Ge,
    /// More.
    Gt,
}

/// One gate.
#[derive(Debug, Clone, PartialEq)]
pub enum Gate {
    /// A figure and its bound.
    Measure {
        /// The figure.
        measure: String,
        /// How they must stand.
        op: Op,
        /// The bound.
        bound: f64,
    },
    /// A mean absolute error smaller by so many percent than that of the version in use, on rows that neither model saw.
    BetterThanCurrent {
        /// Percent.
        percent: f64,
    },
}

/// A text that is no gate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no gate: {why}")]
pub struct GateError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
    /// A measure that may have been meant.
    pub nearest: Option<&'static str>,
}

impl Gate {
    /// Reads `mape <= 3` or `better_than_current by 10%`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, GateError> {
        let refuse = |why: &str| GateError { text: text.to_owned(), why: why.to_owned(), nearest: None };
        let words: Vec<&str> = text.split_whitespace().collect();
        match words.as_slice() {
            ["better_than_current", "by", share] => {
                let percent = share.strip_suffix('%').and_then(|number| number.parse::<f64>().ok()).filter(|p| (0.0..100.0).contains(p));
                Ok(Self::BetterThanCurrent { percent: percent.ok_or_else(|| refuse("the share is a number from 0 to 100 and a '%'"))? })
            }
            [measure, op, bound] => {
                let op = match *op {
                    "<=" => Op::Le,
                    "<" => Op::Lt,
                    ">=" => Op::Ge,
                    ">" => Op::Gt,
                    _ => return Err(refuse("between figure and bound stands <=, <, >= or >")),
                };
                if !MEASURES.contains(measure) {
                    let near = nearest(measure, MEASURES.iter().copied());
                    return Err(GateError { nearest: near, ..refuse(&format!("there is no figure '{measure}'")) });
                }
                let bound = bound.parse::<f64>().ok().filter(|bound| bound.is_finite());
                Ok(Self::Measure { measure: (*measure).to_owned(), op, bound: bound.ok_or_else(|| refuse("the bound is no number"))? })
            }
            _ => Err(refuse("it is none of 'mape <= 3' and 'better_than_current by 10%'")),
        }
    }

    /// What a gate about a figure says of these; `None` of another gate.
    #[must_use]
    pub fn judge(&self, text: &str, figures: &BTreeMap<String, f64>) -> Option<Gated> {
        let Self::Measure { measure, op, bound } = self else { return None };
        let gate = text.to_owned();
        Some(match figures.get(measure) {
            None => Gated { gate, holds: false, what: format!("the evaluation has no figure '{measure}'") },
            Some(figure) => {
                let holds = match op {
                    Op::Le => figure <= bound,
                    Op::Lt => figure < bound,
                    Op::Ge => figure >= bound,
                    Op::Gt => figure > bound,
                };
                Gated { gate, holds, what: format!("{measure} is {}", short(*figure)) }
            }
        })
    }
}

/// A figure for people.
#[must_use]
pub fn short(figure: f64) -> String {
    format!("{figure:.4}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(gate: &str, figure: f64) -> bool {
        let figures = BTreeMap::from([("mape".to_owned(), figure)]);
        Gate::parse(gate).unwrap().judge(gate, &figures).unwrap().holds
    }

    #[test]
    fn a_figure_stands_against_its_bound() {
        assert!(holds("mape <= 3", 3.0) && !holds("mape < 3", 3.0) && holds("mape >= 3", 3.0) && !holds("mape > 3", 3.0));
        let missing = Gate::parse("skill > 0").unwrap().judge("skill > 0", &BTreeMap::new()).unwrap();
        assert!(!missing.holds, "{missing:?}");
    }

    #[test]
    fn what_is_no_gate_is_refused_with_what_was_meant() {
        assert_eq!(Gate::parse("better_than_current by 10%"), Ok(Gate::BetterThanCurrent { percent: 10.0 }));
        assert_eq!(Gate::parse("map <= 3").unwrap_err().nearest, Some("mape"));
        for text in ["", "mape", "mape = 3", "mape <= three", "mape <= inf", "better_than_current by 10", "better_than_current by -1%"] {
            assert!(Gate::parse(text).is_err(), "{text}");
        }
    }
}
