//! Owns the rows that a linear model is solved over. Invariant: with an intercept, columns and labels have a weighted mean of 0, so the intercept
//! stands apart from the penalty.

use crate::engine::numbers::count;

/// Prepared train rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// Features, column by column.
    pub columns: Vec<Vec<f64>>,
    /// One label a row.
    pub label: Vec<f64>,
    /// One weight a row.
    pub weight: Option<Vec<f64>>,
}

/// What a linear model comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    /// One factor a feature.
    pub coefficients: Vec<f64>,
    /// What is added.
    pub intercept: f64,
}

/// Why there is no solution.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinearError {
    /// Features that make each other up, without a penalty to choose between them.
    #[error("without a penalty the coefficients are not determined: feature '{feature}' is a combination of those before it")]
    Dependent {
        /// The feature's name.
        feature: String,
    },
    /// Numbers beyond what a double holds.
    #[error("the coefficients are not finite numbers")]
    NotFinite,
}

/// Rows with their means taken off and their weights worked in.
#[derive(Debug, Clone, PartialEq)]
pub struct Centred {
    /// Features, column by column.
    pub columns: Vec<Vec<f64>>,
    /// One label a row.
    pub label: Vec<f64>,
    column_means: Vec<f64>,
    label_mean: f64,
}

impl Rows {
    /// Takes the means off (where there is to be an intercept), then multiplies each row by the root of its weight times `factor`.
    #[must_use]
    pub fn centred(&self, fit_intercept: bool, factor: f64) -> Centred {
        let mean = |values: &[f64]| if fit_intercept { self.mean(values) } else { 0.0 };
        let (column_means, label_mean): (Vec<f64>, f64) = (self.columns.iter().map(|c| mean(c)).collect(), mean(&self.label));
        let roots: Option<Vec<f64>> = self.weight.as_ref().map(|all| all.iter().map(|weight| (weight * factor).sqrt()).collect());
        let root = |row: usize| roots.as_ref().map_or(1.0, |roots| roots[row]);
        let worked = |values: &[f64], mean: f64| values.iter().enumerate().map(|(row, value)| (value - mean) * root(row)).collect();
        Centred {
            columns: self.columns.iter().zip(&column_means).map(|(column, mean)| worked(column, *mean)).collect(),
            label: worked(&self.label, label_mean),
            column_means,
            label_mean,
        }
    }

    /// What all weights add up to.
    #[must_use]
    pub fn total_weight(&self) -> f64 {
        self.weight.as_ref().map_or_else(|| count(self.label.len()), |all| all.iter().sum())
    }

    fn mean(&self, values: &[f64]) -> f64 {
        let sum: f64 = match &self.weight {
            Some(weight) => values.iter().zip(weight).map(|(value, weight)| value * weight).sum(),
            None => values.iter().sum(),
        };
        sum / self.total_weight()
    }
}

impl Centred {
    /// The solution with these coefficients, for rows as they were before their means were taken off.
    ///
    /// # Errors
    /// When they are not finite.
    pub fn solution(&self, coefficients: Vec<f64>) -> Result<Solution, LinearError> {
        let shift: f64 = self.column_means.iter().zip(&coefficients).map(|(mean, coefficient)| mean * coefficient).sum();
        let intercept = self.label_mean - shift;
        let finite = intercept.is_finite() && coefficients.iter().all(|c| c.is_finite());
        if finite { Ok(Solution { coefficients, intercept }) } else { Err(LinearError::NotFinite) }
    }
}
