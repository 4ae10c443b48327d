//! Owns what a learner is given. Invariant: labels and weights have one value a row, and rows hold the features in the order of their names.

use serde_json::Value;

/// Rows to learn from or to judge by.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Features, row after row; NaN is missing.
    pub values: Vec<f64>,
    /// One label a row.
    pub label: Vec<f32>,
    /// One weight a row.
    pub weight: Option<Vec<f32>>,
}

/// All that a training reads.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingData {
    /// The features' names.
    pub features: Vec<String>,
    /// Rows to learn from.
    pub train: Sample,
    /// Rows for early stopping, where it is asked for.
    pub valid: Option<Sample>,
}

impl TrainingData {
    /// The features' names, borrowed.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.features.iter().map(String::as_str).collect()
    }
}

/// Numbers as the libraries hold labels and weights.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "both libraries hold labels and weights in single precision")]
pub fn single(values: impl IntoIterator<Item = f64>) -> Vec<f32> {
    values.into_iter().map(|value| value as f32).collect()
}

/// A parameter's value as the vendors write it; lists are joined by `join`.
#[must_use]
pub fn parameter_text(value: &Value, join: &dyn Fn(&[Value]) -> String) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => join(items),
        other => other.to_string(),
    }
}
