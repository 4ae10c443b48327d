//! Owns what is done to features before a linear model sees them. Invariant: all of it follows from the train rows alone, so it stands in the
//! model and is only applied to other rows.

use crate::engine::numbers::count;

/// How one feature is prepared: a missing value becomes `impute`, then `center` is taken off and the rest divided by `scale`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preparation {
    /// The median of the known values.
    pub impute: f64,
    /// The mean, once missing values are filled.
    pub center: f64,
    /// The standard deviation (that of the rows themselves, not an estimate for others), or 1 where the feature stands still.
    pub scale: f64,
}

impl Preparation {
    /// The preparation that these train rows of a feature ask for, as scikit-learn's `SimpleImputer(strategy="median")` and `StandardScaler()`
    /// would have it. A feature without a value is 0 throughout; frames have none.
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        let impute = median(values.iter().copied().filter(|value| !value.is_nan()).collect());
        let filled: Vec<f64> = values.iter().map(|&value| if value.is_nan() { impute } else { value }).collect();
        let count = count(filled.len());
        let center = filled.iter().sum::<f64>() / count;
        let variance = filled.iter().map(|value| (value - center).powi(2)).sum::<f64>() / count;
        // Below this, what varies is the rounding of the mean.
        let rounding = count * f64::EPSILON * variance + (count * center * f64::EPSILON).powi(2);
        Self { impute, center, scale: if variance <= rounding { 1.0 } else { variance.sqrt() } }
    }

    /// A value as the model sees it.
    #[must_use]
    pub fn apply(&self, value: f64) -> f64 {
        ((if value.is_nan() { self.impute } else { value }) - self.center) / self.scale
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact by construction")]
mod tests {
    use super::*;

    #[test]
    fn a_missing_value_is_the_median_and_a_still_feature_is_nothing() {
        let prepared = Preparation::of(&[1.0, f64::NAN, 2.0, 9.0, f64::NAN]);
        assert_eq!((prepared.impute, prepared.center), (2.0, 3.2));
        assert!((prepared.scale - 2.925_747_767_665_559_f64).abs() < 1e-12);
        assert_eq!(prepared.apply(f64::NAN), prepared.apply(2.0));
        let still = Preparation::of(&[0.1; 7]);
        assert!(still.apply(0.1).abs() < 1e-15 && (still.scale - 1.0).abs() < 1e-15);
        assert_eq!(Preparation::of(&[4.0, 1.0, 3.0, 2.0]).impute, 2.5);
    }
}
