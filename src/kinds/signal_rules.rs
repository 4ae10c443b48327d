//! Owns the rules of a `signal`: conditions over a day's figures. Invariant: the first rule that holds decides; a rule that reads a figure the day does not
//! have decides nothing, and neither do those after it.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::name::nearest;
use crate::engine::judging::policy::Signal;
use crate::syntax::condition::{self, Condition};
use crate::syntax::error::Fault;
use crate::syntax::interpolate::Scope;

/// What every forecast has; other names are columns of the table of features.
pub const FIGURES: [&str; 8] = ["date", "price", "predicted", "change", "lower_80", "upper_80", "lower_95", "upper_95"];

/// What is said where no rule holds.
pub const NONE_HOLDS: &str = "none of the rules holds";

/// One rule, as the recipe has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What it says.
    pub signal: Signal,
    /// When.
    pub when: String,
    /// Why, for people.
    pub reason: String,
}

/// A rule that means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// It cannot be read.
    #[error("rule {rule}, '{part}': {fault}")]
    Unreadable {
        /// Which, from 1.
        rule: usize,
        /// The part it is about.
        part: String,
        /// What is wrong.
        fault: Box<Fault>,
    },
    /// It names a figure that is not there.
    #[error("rule {rule} reads '{name}', which is {}", if *of_table { "neither a figure of the forecast nor a column of the features" } else { "no figure of the forecast" })]
    Unknown {
        /// Which, from 1.
        rule: usize,
        /// The name.
        name: String,
        /// The one that may have been meant.
        nearest: Option<String>,
        /// Whether there is a table of features.
        of_table: bool,
    },
    /// It compares what cannot be compared.
    #[error("{date}: rule {rule}, '{part}': {fault}")]
    Undecidable {
        /// The day.
        date: String,
        /// Which, from 1.
        rule: usize,
        /// The part it is about.
        part: String,
        /// What is wrong.
        fault: Box<Fault>,
    },
}

/// Rules that have been read.
pub struct Rules {
    rules: Vec<(Rule, Condition)>,
    default: Signal,
}

/// What the rules say of a day.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// The signal; none where a figure is missing.
    pub signal: Option<Signal>,
    /// The rule that decided, from 1.
    pub rule: Option<usize>,
    /// Why.
    pub reason: String,
    /// The figures that the rules read, by name.
    pub figures: BTreeMap<String, Value>,
}

impl Rules {
    /// Reads them.
    ///
    /// # Errors
    /// The first that cannot be read.
    pub fn read(rules: &[Rule], default: Signal) -> Result<Self, RuleError> {
        let one = |(at, rule): (usize, &Rule)| {
            let condition = condition::parse(&rule.when);
            let condition = condition.map_err(|(range, fault)| RuleError::Unreadable {
                rule: at + 1,
                part: part(&rule.when, range),
                fault: Box::new(fault),
            })?;
            Ok((rule.clone(), condition))
        };
        Ok(Self { rules: rules.iter().enumerate().map(one).collect::<Result<_, _>>()?, default })
    }

    /// Refuses a name that is neither a figure nor among `columns`, where those are known.
    ///
    /// # Errors
    /// The first such name.
    pub fn know(&self, columns: Option<&[String]>) -> Result<(), RuleError> {
        let known = || FIGURES.into_iter().chain(columns.into_iter().flatten().map(String::as_str));
        for (at, (_, condition)) in self.rules.iter().enumerate() {
            if let Some(name) = condition.names().into_iter().find(|name| !known().any(|known| known == *name)) {
                let nearest = nearest(name, known()).map(ToOwned::to_owned);
                return Err(RuleError::Unknown { rule: at + 1, name: name.to_owned(), nearest, of_table: columns.is_some() });
            }
        }
        Ok(())
    }

    /// The columns of the table of features that the rules read.
    #[must_use]
    pub fn columns(&self) -> Vec<&str> {
        let mut names: Vec<&str> =
            self.rules.iter().flat_map(|(_, condition)| condition.names()).filter(|name| !FIGURES.contains(name)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// What they say of a day with these figures; one that is missing is `null` or not there.
    ///
    /// # Errors
    /// When a rule compares what cannot be compared.
    pub fn say(&self, date: &str, figures: &BTreeMap<String, Value>) -> Result<Said, RuleError> {
        let value = |name: &str| figures.get(name).cloned().unwrap_or(Value::Null);
        let names = self.rules.iter().flat_map(|(_, condition)| condition.names());
        let read: BTreeMap<String, Value> = names.map(|name| (name.to_owned(), value(name))).collect();
        let said = |signal, rule, reason: String| Ok(Said { signal, rule, reason, figures: read.clone() });
        for (at, (rule, condition)) in self.rules.iter().enumerate() {
            if let Some(missing) = condition.names().into_iter().find(|name| value(name).is_null()) {
                return said(None, None, format!("rule {} reads {missing}, which has no value", at + 1));
            }
            let holds = condition.holds(Scope(&[figures])).map_err(|(range, fault)| RuleError::Undecidable {
                date: date.to_owned(),
                rule: at + 1,
                part: part(&rule.when, range),
                fault: Box::new(fault),
            })?;
            if holds {
                return said(Some(rule.signal), Some(at + 1), rule.reason.clone());
            }
        }
        said(Some(self.default), None, NONE_HOLDS.to_owned())
    }
}

fn part(text: &str, range: Range<usize>) -> String {
    text.get(range).unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(signal: Signal, when: &str) -> Rule {
        Rule { signal, when: when.into(), reason: format!("because {when}") }
    }

    fn rules(all: &[(Signal, &str)]) -> Result<Rules, RuleError> {
        Rules::read(&all.iter().map(|(signal, when)| rule(*signal, when)).collect::<Vec<_>>(), Signal::Monitor)
    }

    fn figures(change: Value, vix: Value) -> BTreeMap<String, Value> {
        BTreeMap::from([("change".to_owned(), change), ("vix".to_owned(), vix), ("price".to_owned(), json!(49.7))])
    }

    #[test]
    fn the_first_rule_that_holds_decides_and_says_why_and_from_what() {
        let rules =
            rules(&[(Signal::Wait, "change < -0.01"), (Signal::Buy, "change > 0.02 and vix < 30"), (Signal::Wait, "vix >= 30")]).unwrap();
        let say = |change: f64, vix: f64| rules.say("2025-11-06", &figures(json!(change), json!(vix))).unwrap();
        assert_eq!((say(-0.02, 40.0).signal, say(-0.02, 40.0).rule), (Some(Signal::Wait), Some(1)));
        let buy = say(0.03, 18.0);
        assert_eq!((buy.signal, buy.rule, buy.reason.as_str()), (Some(Signal::Buy), Some(2), "because change > 0.02 and vix < 30"));
        assert_eq!(json!(buy.figures), json!({"change": 0.03, "vix": 18.0}));
        assert_eq!((say(0.03, 31.0).rule, say(0.0, 18.0).signal, say(0.0, 18.0).rule), (Some(3), Some(Signal::Monitor), None));
        assert_eq!(rules.columns(), ["vix"]);
    }

    #[test]
    fn a_missing_figure_leaves_the_day_undecided_instead_of_passing_to_the_next_rule() {
        let rules = rules(&[(Signal::Buy, "vix < 30 or change > 0.02"), (Signal::Wait, "change > -1")]).unwrap();
        let said = rules.say("2025-11-06", &figures(json!(0.03), Value::Null)).unwrap();
        assert_eq!((said.signal, said.reason.as_str()), (None, "rule 1 reads vix, which has no value"));
    }

    #[test]
    fn rules_that_mean_nothing_are_refused() {
        let unreadable = rules(&[(Signal::Buy, "change > ")]).err().unwrap();
        assert!(matches!(unreadable, RuleError::Unreadable { rule: 1, .. }));
        let unknown = rules(&[(Signal::Buy, "changes > 0.02")]).unwrap().know(None).unwrap_err();
        assert_eq!(unknown.to_string(), "rule 1 reads 'changes', which is no figure of the forecast");
        assert!(matches!(unknown, RuleError::Unknown { nearest: Some(near), .. } if near == "change"));
        assert!(rules(&[(Signal::Buy, "vix > 2")]).unwrap().know(Some(&["vix".to_owned()])).is_ok());
        let error = rules(&[(Signal::Buy, "change > 'much'")]).unwrap().say("2025-11-06", &figures(json!(0.1), json!(1))).unwrap_err();
        assert!(error.to_string().starts_with("2025-11-06: rule 1, 'change > 'much'': "), "{error}");
    }
}
