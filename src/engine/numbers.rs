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

/// The quantile at `share` of values in ascending order, between neighbours in a straight line (type 7 of R. J. Hyndman and Y. Fan, *The American
/// Statistician* 50, 1996: numpy's default). There must be one value at least.
#[must_use]
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * count(sorted.len() - 1);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not below zero and at most the last index")]
    let (index, part) = (at.floor() as usize, at.fract());
    let next = sorted[(index + 1).min(sorted.len() - 1)];
    sorted[index] + part * (next - sorted[index])
}

/// Their mean; none of nothing.
#[must_use]
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / count(values.len()))
}
