//! Owns the way from counts and truths to numbers. Invariant: the number is the count, exactly.

/// How many, as a number to divide by.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "fewer rows than a double counts exactly")]
pub fn count(rows: usize) -> f64 {
    rows as f64
}

/// 1 where it holds, else 0: the mean of these is the share of what holds.
#[must_use]
pub fn share(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}

/// Their mean; none of nothing.
#[must_use]
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / count(values.len()))
}
