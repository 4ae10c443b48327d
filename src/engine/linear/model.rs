//! Owns the file of a linear model. Invariant: it holds all that a forecast needs, preparation included, and reads back to the same bits.

use serde::{Deserialize, Serialize};

use crate::engine::linear::preparation::Preparation;
use crate::engine::linear::rows::Solution;

/// A linear model: the intercept plus, for each feature, its coefficient times the prepared value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearModel {
    /// What is added.
    pub intercept: f64,
    /// The features, in the order of the frame.
    pub features: Vec<Term>,
}

/// One feature of a linear model. A missing value becomes `impute`; the term is `coefficient * (value − center) / scale`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Term {
    /// The feature's name.
    pub name: String,
    /// The median of its train rows.
    pub impute: f64,
    /// The mean of its train rows.
    pub center: f64,
    /// The standard deviation of its train rows.
    pub scale: f64,
    /// Its factor, on the prepared scale: how far the forecast moves with one standard deviation.
    pub coefficient: f64,
}

impl LinearModel {
    /// The model of these features.
    #[must_use]
    pub fn new(names: &[String], prepared: &[Preparation], solution: &Solution) -> Self {
        let terms = names.iter().zip(prepared).zip(&solution.coefficients).map(|((name, by), &coefficient)| Term {
            name: name.clone(),
            impute: by.impute,
            center: by.center,
            scale: by.scale,
            coefficient,
        });
        Self { intercept: solution.intercept, features: terms.collect() }
    }

    /// The answer for each row of a matrix that holds the features row after row.
    #[must_use]
    pub fn predict(&self, matrix: &[f64]) -> Vec<f64> {
        if self.features.is_empty() {
            return Vec::new();
        }
        matrix.chunks_exact(self.features.len()).map(|row| self.answer(row)).collect()
    }

    fn answer(&self, row: &[f64]) -> f64 {
        let term = |(term, value): (&Term, &f64)| {
            let by = Preparation { impute: term.impute, center: term.center, scale: term.scale };
            term.coefficient * by.apply(*value)
        };
        self.intercept + self.features.iter().zip(row).map(term).sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_reads_back_and_fills_what_is_missing_as_it_learnt_to() {
        let by = Preparation { impute: 2.0, center: 1.0, scale: 0.1 };
        let model = LinearModel::new(&["a".into()], &[by], &Solution { coefficients: vec![1.0 / 3.0], intercept: 0.5 });
        let text = serde_json::to_string(&model).unwrap();
        assert_eq!(serde_json::from_str::<LinearModel>(&text).unwrap(), model);
        let answers = model.predict(&[2.0, f64::NAN]);
        assert!(answers.iter().all(|answer| (answer - (0.5 + 10.0 / 3.0)).abs() < 1e-12), "{answers:?}");
    }
}
