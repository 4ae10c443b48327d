//! Owns telling days apart by named classes, and how well that went. Invariant: a class that no day learnt from belongs to has no probability; days of such
//! a class are counted apart, never left out and never given a number.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use crate::engine::frame_file::{FrameData, FrameFileError};
use crate::engine::gbdt::data::{Sample, TrainingData, single};
use crate::engine::gbdt::error::GbdtError;
use crate::engine::gbdt::lightgbm;
use crate::engine::numbers::{count, mean, share};

/// Why days cannot be told apart.
#[derive(Debug, thiserror::Error)]
pub enum ClassError {
    /// The rows cannot be used.
    #[error(transparent)]
    Frame(#[from] FrameFileError),
    /// The library refused.
    #[error(transparent)]
    Gbdt(#[from] GbdtError),
}

/// What tells the classes apart.
pub struct Classifier {
    /// The classes of the days it learnt from, by name.
    pub classes: Vec<String>,
    /// For each class its share of those days.
    pub shares: Vec<f64>,
    /// The class of the newest of those days.
    pub newest: String,
    model: Option<lightgbm::Model>,
    features: Vec<String>,
}

impl Classifier {
    /// Learns the classes of these rows, `names` in the rows' order, by `LightGBM`'s softmax (`objective = multiclass`). There must be a row.
    ///
    /// # Errors
    /// What the library says.
    pub fn learn(
        frame: &FrameData,
        rows: &[usize],
        names: &[&str],
        params: &BTreeMap<String, Value>,
        rounds: u32,
    ) -> Result<Self, ClassError> {
        let classes: Vec<String> = names.iter().copied().collect::<BTreeSet<_>>().into_iter().map(str::to_owned).collect();
        let place = |name: &str| classes.iter().position(|class| class == name).unwrap_or(0);
        let shares = classes.iter().map(|class| count(names.iter().filter(|name| *name == class).count()) / count(names.len())).collect();
        let newest =
            rows.iter().zip(names).max_by_key(|(row, _)| frame.dates[**row]).map_or_else(String::new, |(_, name)| (*name).to_owned());
        let features = frame.record.features.clone();
        let label = single(names.iter().map(|name| count(place(name))));
        let train = Sample { values: frame.matrix(&features, rows)?, label, weight: None };
        // Of one class alone there is nothing to learn: it is certain.
        let model = if classes.len() > 1 {
            let mut params = params.clone();
            params.insert("objective".to_owned(), json!("multiclass"));
            params.insert("num_class".to_owned(), json!(classes.len()));
            let (text, _) = lightgbm::train(&TrainingData { features: features.clone(), train, valid: None }, &params, rounds, None)?;
            Some(lightgbm::Model::read(&text)?)
        } else {
            None
        };
        Ok(Self { classes, shares, newest, model, features })
    }

    /// For each row the probability of each class.
    ///
    /// # Errors
    /// What the library says.
    pub fn probabilities(&self, frame: &FrameData, rows: &[usize]) -> Result<Vec<Vec<f64>>, ClassError> {
        let Some(model) = &self.model else { return Ok(vec![vec![1.0]; rows.len()]) };
        let all = model.probabilities(&frame.matrix(&self.features, rows)?, self.features.len())?;
        Ok(all.chunks(self.classes.len()).map(<[f64]>::to_vec).collect())
    }

    /// The class with the largest of these probabilities, or shares.
    #[must_use]
    pub fn likeliest(&self, of: &[f64]) -> &str {
        let best = of.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
        best.and_then(|(at, _)| self.classes.get(at)).map_or("", String::as_str)
    }

    /// The probability, or share, of a class; none where no day it learnt from belongs to it.
    #[must_use]
    pub fn of(&self, class: &str, of: &[f64]) -> Option<f64> {
        self.classes.iter().position(|other| other == class).and_then(|at| of.get(at)).copied()
    }
}

/// What was said of one day that was not learnt from, and what it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Day {
    /// The class it belongs to.
    pub class: String,
    /// The one that was thought likeliest.
    pub predicted: String,
    /// The probability that its own class was given; none where that was not among those learnt.
    pub probability: Option<f64>,
    /// The class of the newest day learnt from.
    pub newest: String,
    /// The class that most of those days belong to.
    pub majority: String,
    /// The share of those days that belong to its class.
    pub share: Option<f64>,
}

/// How well days were told apart.
///
/// Accuracy is the share of days whose class was named; log loss the mean of `−ln p` of the day's own class (`p` no less than 2⁻⁵², as scikit-learn has it).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassFigures {
    /// All days.
    pub n: usize,
    /// Those whose class was not among the ones learnt: nothing that learns from the past can name it.
    pub unseen: usize,
    /// Of the classifier.
    pub model: ClassErrors,
    /// Of the forecast that the newest class goes on. It gives no probabilities, so it has no log loss.
    pub newest: ClassErrors,
    /// Of the forecast of the most frequent class, with the classes' shares for probabilities.
    pub majority: ClassErrors,
    /// Class → what was named on its days → how often.
    pub confusion: BTreeMap<String, BTreeMap<String, usize>>,
}

/// The measures of one way to name classes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ClassErrors {
    /// Over all days; those of an unseen class count as wrong.
    pub accuracy: Option<f64>,
    /// Over the days whose class had been seen.
    pub accuracy_seen: Option<f64>,
    /// Over the same.
    pub log_loss_seen: Option<f64>,
}

/// The figures over these days.
#[must_use]
pub fn figures(days: &[Day]) -> ClassFigures {
    let seen: Vec<&Day> = days.iter().filter(|day| day.probability.is_some()).collect();
    let errors = |named: fn(&Day) -> &String, probability: fn(&Day) -> Option<f64>| {
        let right = |day: &Day| share(*named(day) == day.class);
        let losses: Option<Vec<f64>> = seen.iter().map(|day| probability(day).map(|p| -p.max(f64::EPSILON).ln())).collect();
        ClassErrors {
            accuracy: mean(&days.iter().map(right).collect::<Vec<_>>()),
            accuracy_seen: mean(&seen.iter().map(|day| right(day)).collect::<Vec<_>>()),
            log_loss_seen: losses.as_deref().and_then(mean),
        }
    };
    let mut confusion: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for day in days {
        *confusion.entry(day.class.clone()).or_default().entry(day.predicted.clone()).or_default() += 1;
    }
    ClassFigures {
        n: days.len(),
        unseen: days.len() - seen.len(),
        model: errors(|day| &day.predicted, |day| day.probability),
        newest: errors(|day| &day.newest, |_| None),
        majority: errors(|day| &day.majority, |day| day.share),
        confusion,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_a_class_nobody_had_seen_are_wrong_and_counted_apart() {
        let day = |class: &str, predicted: &str, probability: Option<f64>| Day {
            class: class.into(),
            predicted: predicted.into(),
            probability,
            newest: "b".into(),
            majority: "a".into(),
            share: probability.map(|_| 0.5),
        };
        let found = figures(&[day("a", "a", Some(0.5)), day("b", "a", Some(0.25)), day("c", "a", None), day("c", "b", None)]);
        assert_eq!((found.n, found.unseen), (4, 2));
        assert_eq!((found.model.accuracy, found.model.accuracy_seen), (Some(0.25), Some(0.5)));
        assert!((found.model.log_loss_seen.unwrap() - f64::midpoint(2.0_f64.ln(), 4.0_f64.ln())).abs() < 1e-12);
        assert_eq!((found.newest.accuracy, found.newest.log_loss_seen), (Some(0.25), None));
        assert!((found.majority.log_loss_seen.unwrap() - 2.0_f64.ln()).abs() < 1e-12);
        assert_eq!(found.confusion["c"], [("a".to_owned(), 1), ("b".to_owned(), 1)].into());
        assert_eq!(figures(&[]).model.accuracy, None);
    }
}
