//! Owns what a network is to make small. Invariant: a row counts by its weight, and weights average 1 over the rows learnt from.

use burn_tensor::Tensor;

/// What each row's error costs; `e` is the forecast less what was wanted, both scaled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loss {
    /// `e²`.
    Squared,
    /// `e² / 2` up to `delta`, from there on `delta (|e| − delta / 2)` (Huber 1964).
    Huber {
        /// Where it stops to grow by squares.
        delta: f64,
    },
    /// `alpha` for each unit below what was wanted, `1 − alpha` for each above: least at that quantile.
    Quantile {
        /// The quantile's level.
        alpha: f64,
    },
}

impl Loss {
    /// The cost of each row, and its slope by the forecast.
    #[must_use]
    pub fn of(self, error: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        match self {
            Self::Squared => (error.clone().square(), error.mul_scalar(2.0)),
            Self::Huber { delta } => {
                let (size, slope) = (error.clone().abs(), error.clamp(-delta, delta));
                let bent = size.clone().clamp_max(delta);
                (bent.clone() * (size - bent.mul_scalar(0.5)), slope)
            }
            Self::Quantile { alpha } => {
                let tilt = 0.5 - alpha;
                let cost = error.clone().abs().mul_scalar(0.5) + error.clone().mul_scalar(tilt);
                (cost, error.sign().mul_scalar(0.5).add_scalar(tilt))
            }
        }
    }
}
