//! Owns where a search looks and in which order. Invariant: a draw depends on the seed, its number and the parameter's name alone, so more trials never
//! change the earlier ones, and neither does another machine or another release of a library.
//!
//! The uniform number of a draw is the first 53 bits of a BLAKE3 hash over the three. Real numbers are rounded to six digits: enough for any parameter,
//! and few enough that the last bit of a machine's logarithm does not count.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::base::canon::{HashSink, Sink as _};

/// The parameters that are searched, by name.
#[derive(Debug, Clone, PartialEq)]
pub struct Space(BTreeMap<String, Choice>);

/// What one parameter may be.
#[derive(Debug, Clone, PartialEq)]
enum Choice {
    /// One of these values, each as likely.
    Listed(Vec<Value>),
    /// A whole number, both ends included.
    Whole { low: i64, high: i64, log: bool },
    /// A number, both ends included.
    Real { low: f64, high: f64, log: bool },
}

/// Where nothing can be searched.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SpaceError {
    /// No parameter.
    #[error("there is no parameter to search")]
    Nothing,
    /// A list without values.
    #[error("'{name}' has no values to choose from")]
    Empty {
        /// The parameter.
        name: String,
    },
    /// A value listed twice.
    #[error("'{name}' lists {value} twice")]
    Twice {
        /// The parameter.
        name: String,
        /// The value.
        value: String,
    },
    /// A range whose ends are not in order.
    #[error("'{name}' is searched from {low} to {high}, where nothing lies")]
    Inverted {
        /// The parameter.
        name: String,
        /// Its lower end.
        low: String,
        /// Its upper end.
        high: String,
    },
    /// A logarithmic range that is not above zero.
    #[error("'{name}' is searched on a logarithmic scale, which begins above zero, not at {low}")]
    NotPositive {
        /// The parameter.
        name: String,
        /// Its lower end.
        low: String,
    },
}

impl SpaceError {
    /// The parameter that it is about.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Nothing => None,
            Self::Empty { name } | Self::Twice { name, .. } | Self::Inverted { name, .. } | Self::NotPositive { name, .. } => Some(name),
        }
    }
}

impl Space {
    /// Reads each parameter's choice: a list of values, or `{ low, high, scale }`. Ends that are both written as whole numbers give whole numbers.
    ///
    /// # Errors
    /// When there is no parameter, or one whose choice holds nothing.
    pub fn read(given: &Map<String, Value>) -> Result<Self, SpaceError> {
        let choices = given.iter().map(|(name, value)| Ok((name.clone(), Choice::read(name, value)?)));
        let choices: BTreeMap<_, _> = choices.collect::<Result<_, _>>()?;
        if choices.is_empty() { Err(SpaceError::Nothing) } else { Ok(Self(choices)) }
    }

    /// The searched parameters, sorted.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    /// Values that show whether a parameter may be searched so: all that are listed, or both ends. Each with its key in the recipe.
    #[must_use]
    pub fn samples(&self, name: &str) -> Vec<(String, Value)> {
        match self.0.get(name) {
            None => Vec::new(),
            Some(Choice::Listed(values)) => values.iter().enumerate().map(|(at, value)| (at.to_string(), value.clone())).collect(),
            Some(Choice::Whole { low, high, .. }) => vec![("low".into(), json!(low)), ("high".into(), json!(high))],
            Some(Choice::Real { low, high, .. }) => vec![("low".into(), json!(low)), ("high".into(), json!(high))],
        }
    }

    /// How many different points there are; `None` where there are more than anybody tries.
    #[must_use]
    pub fn size(&self) -> Option<usize> {
        self.0.values().try_fold(1_usize, |all, choice| all.checked_mul(choice.size()?))
    }

    /// The first so many different points; all of them where there are fewer.
    #[must_use]
    pub fn points(&self, seed: u64, count: usize) -> Vec<BTreeMap<String, Value>> {
        let wanted = self.size().map_or(count, |size| size.min(count));
        let mut seen = BTreeSet::new();
        let new = |point: &BTreeMap<String, Value>| seen.insert(json!(point).to_string());
        (0..).map(|draw| self.point(seed, draw)).filter(new).take(wanted).collect()
    }

    fn point(&self, seed: u64, draw: u64) -> BTreeMap<String, Value> {
        self.0.iter().map(|(name, choice)| (name.clone(), choice.at(uniform(seed, draw, name)))).collect()
    }
}

impl Choice {
    fn read(name: &str, value: &Value) -> Result<Self, SpaceError> {
        let name = || name.to_owned();
        if let Value::Array(values) = value {
            let twice = (1..values.len()).find(|&at| values[..at].contains(&values[at]));
            return match twice {
                _ if values.is_empty() => Err(SpaceError::Empty { name: name() }),
                Some(at) => Err(SpaceError::Twice { name: name(), value: values[at].to_string() }),
                None => Ok(Self::Listed(values.clone())),
            };
        }
        let (low, high) = (&value["low"], &value["high"]);
        let (Some(from), Some(to)) = (low.as_f64(), high.as_f64()) else { return Err(SpaceError::Empty { name: name() }) };
        let log = value["scale"] == "log";
        if from >= to {
            return Err(SpaceError::Inverted { name: name(), low: low.to_string(), high: high.to_string() });
        }
        if log && from <= 0.0 {
            return Err(SpaceError::NotPositive { name: name(), low: low.to_string() });
        }
        Ok(match (low.as_i64(), high.as_i64()) {
            (Some(low), Some(high)) => Self::Whole { low, high, log },
            _ => Self::Real { low: from, high: to, log },
        })
    }

    fn size(&self) -> Option<usize> {
        match self {
            Self::Listed(values) => Some(values.len()),
            Self::Whole { low, high, .. } => usize::try_from(high.checked_sub(*low)?).ok()?.checked_add(1),
            Self::Real { .. } => None,
        }
    }

    /// The value at a share of the way through the choice, from 0 up to but not including 1.
    fn at(&self, share: f64) -> Value {
        match self {
            Self::Listed(values) => values[nth(share, values.len())].clone(),
            Self::Whole { low, high, log } => json!(whole(*low, *high, *log, share)),
            Self::Real { low, high, log } => json!(rounded(between(*low, *high, *log, share)).clamp(*low, *high)),
        }
    }
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a short list")]
fn nth(share: f64, count: usize) -> usize {
    ((share * count as f64) as usize).min(count - 1)
}

/// Each whole number has the stretch of half a unit to either side of it.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "no parameter comes near 2^53, and what is rounded is put between the ends"
)]
fn whole(low: i64, high: i64, log: bool, share: f64) -> i64 {
    (between(low as f64 - 0.5, high as f64 + 0.5, log, share).round() as i64).clamp(low, high)
}

fn between(low: f64, high: f64, log: bool, share: f64) -> f64 {
    if log { (low.ln() + share * (high.ln() - low.ln())).exp() } else { low + share * (high - low) }
}

/// To six significant digits.
fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

/// The uniform number, from 0 up to but not including 1, of one draw of one parameter.
fn uniform(seed: u64, draw: u64, parameter: &str) -> f64 {
    let mut sink = HashSink::new("cbi 1 tune");
    sink.field("seed", &seed.to_string());
    sink.field("draw", &draw.to_string());
    sink.field("parameter", parameter);
    let digest = sink.finish();
    let bits = digest.as_bytes()[..8].iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte)) >> 11;
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    let share = bits as f64 * (f64::EPSILON / 2.0);
    share
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn space(given: &Value) -> Result<Space, SpaceError> {
        Space::read(given.as_object().unwrap())
    }

    fn trees() -> Space {
        let wide = json!({
            "num_leaves": [7, 15, 31], "learning_rate": {"low": 0.01, "high": 0.2, "scale": "log"},
            "min_data_in_leaf": {"low": 5, "high": 500, "scale": "log"}, "lambda_l2": {"low": 0.0, "high": 10.0},
        });
        space(&wide).unwrap()
    }

    #[test]
    fn a_seed_means_the_same_trials_for_ever() {
        // Written down once; a change here would rename every trial of every search.
        insta::assert_snapshot!(json!(trees().points(42, 3)).to_string(), @r#"[{"lambda_l2":5.83902,"learning_rate":0.020688,"min_data_in_leaf":217,"num_leaves":7},{"lambda_l2":6.55032,"learning_rate":0.0162575,"min_data_in_leaf":104,"num_leaves":31},{"lambda_l2":1.84002,"learning_rate":0.180424,"min_data_in_leaf":7,"num_leaves":15}]"#);
        assert_ne!(trees().points(42, 3), trees().points(43, 3));
    }

    #[test]
    fn a_space_with_few_points_is_tried_whole_and_none_twice() {
        let small = space(&json!({"a": [1, 2, 3], "b": {"low": 1, "high": 4, "scale": "log"}})).unwrap();
        assert_eq!(small.size(), Some(12));
        let all = small.points(1, 50);
        let different: BTreeSet<String> = all.iter().map(|point| json!(point).to_string()).collect();
        assert_eq!((all.len(), different.len()), (12, 12));
        assert_eq!(all[..5], small.points(1, 5)[..]);
    }

    #[test]
    fn a_new_parameter_leaves_the_draws_of_the_others_as_they_were() {
        let narrow = space(&json!({"learning_rate": {"low": 0.01, "high": 0.2, "scale": "log"}})).unwrap();
        let rates = |space: &Space| space.points(7, 10).iter().map(|point| point["learning_rate"].clone()).collect::<Vec<_>>();
        assert_eq!(rates(&narrow), rates(&trees()));
    }

    #[test]
    fn a_logarithmic_scale_gives_each_decade_as_many_draws() {
        let wide = space(&json!({"alpha": {"low": 0.001, "high": 1000.0, "scale": "log"}})).unwrap();
        let drawn = wide.points(3, 600);
        let below = |limit: f64| drawn.iter().filter(|point| point["alpha"].as_f64().unwrap() < limit).count();
        for (limit, expected) in [(0.01, 100), (1.0, 300), (100.0, 500)] {
            assert!(below(limit).abs_diff(expected) < 40, "{} below {limit}", below(limit));
        }
    }

    #[test]
    fn where_nothing_lies_nothing_is_searched() {
        for (given, expected) in [
            (json!({}), "there is no parameter to search"),
            (json!({"a": []}), "'a' has no values to choose from"),
            (json!({"a": [1, 2, 1]}), "'a' lists 1 twice"),
            (json!({"a": {"low": 5, "high": 5}}), "'a' is searched from 5 to 5, where nothing lies"),
            (json!({"a": {"low": 0.5, "high": 0.1}}), "'a' is searched from 0.5 to 0.1, where nothing lies"),
            (
                json!({"a": {"low": 0, "high": 9, "scale": "log"}}),
                "'a' is searched on a logarithmic scale, which begins above zero, not at 0",
            ),
        ] {
            assert_eq!(space(&given).unwrap_err().to_string(), expected);
        }
    }

    proptest! {
        #[test]
        fn growing_a_search_keeps_every_earlier_trial(seed in any::<u64>(), few in 0..30usize, more in 0..30usize) {
            prop_assert_eq!(&trees().points(seed, few + more)[..few], &trees().points(seed, few)[..]);
        }

        #[test]
        fn every_draw_lies_within_its_ends_and_whole_numbers_stay_whole(
            seed in any::<u64>(), low in 1..1000i64, width in 1..1000i64, log in any::<bool>(),
        ) {
            let scale = if log { "log" } else { "linear" };
            let high = low + width;
            let ends = json!({"low": low, "high": high, "scale": scale});
            #[expect(clippy::cast_precision_loss)]
            let reals = json!({"low": low as f64 / 7.0, "high": high as f64 / 7.0, "scale": scale});
            for point in space(&json!({"n": ends, "x": reals})).unwrap().points(seed, 20) {
                prop_assert!((low..=high).contains(&point["n"].as_i64().unwrap()), "{:?}", point);
                #[expect(clippy::cast_precision_loss)]
                let within = (low as f64 / 7.0..=high as f64 / 7.0).contains(&point["x"].as_f64().unwrap());
                prop_assert!(within, "{:?}", point);
            }
        }
    }
}
