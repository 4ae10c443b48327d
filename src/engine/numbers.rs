//! Owns the way from a count to a number. Invariant: the number is the count, exactly.

/// How many, as a number to divide by.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "fewer rows than a double counts exactly")]
pub fn count(rows: usize) -> f64 {
    rows as f64
}
