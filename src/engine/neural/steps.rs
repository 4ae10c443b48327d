//! Owns what the steps of all cells share. Invariant: nothing here knows which cell it serves.

use burn_tensor::Tensor;

/// Steps, rows and units.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// Steps.
    pub steps: usize,
    /// Rows.
    pub rows: usize,
    /// Units.
    pub units: usize,
}

/// What a cell is given: what the inputs add to the gates, `[steps * rows, gates * units]`, and what makes of a state what it adds.
pub struct Drive {
    /// From the inputs, the biases included that belong there.
    pub given: Tensor<2>,
    /// `[gates * units, units]`.
    pub weight: Tensor<2>,
    /// `[1, gates * units]`, added to what the state gives.
    pub bias: Tensor<2>,
    /// 1 where a step is known, `[steps, rows, 1]`.
    pub known: Option<Tensor<3>>,
}

/// The loss's gradient by what the inputs gave to the gates and by what the states gave, each `[steps * rows, gates * units]`.
pub struct ByGates {
    /// By what the inputs gave.
    pub given: Tensor<2>,
    /// By what the states gave.
    pub state: Tensor<2>,
}

/// Takes the loss's gradient by all states and goes back through all steps.
pub type StepsBack = Box<dyn FnOnce(Tensor<3>) -> ByGates>;

/// One step of a tensor of steps.
#[must_use]
pub fn step(x: &Tensor<3>, at: usize) -> Tensor<2> {
    let [_, rows, inner] = x.dims();
    x.clone().slice(at..at + 1).reshape([rows, inner])
}

/// Steps one above the other, `[steps * rows, channels]`.
#[must_use]
pub fn stacked(steps: Vec<Tensor<2>>) -> Tensor<2> {
    Tensor::cat(steps, 0)
}

/// `1 / (1 + e^−x)`.
#[must_use]
#[inline]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The hyperbolic tangent, within 2e-7.
#[must_use]
#[inline]
pub fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (1.0 + exp(2.0 * x))
}

/// `e^x` within 2 units in the last place, without a branch, so that compilers make it one loop over many numbers: `2^n` by its bits, and what is
/// left of the exponent, at most half of ln 2, by its Taylor series to the seventh power. Beyond ±87 it stays there.
#[inline]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number between -126 and 126")]
fn exp(x: f32) -> f32 {
    /// Added to a small number it leaves the nearest whole one in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 in two parts, the first exact in few bits (Cody and Waite 1980).
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let x = x.clamp(-87.0, 87.0);
    let n = (x * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let r = (x - n * LN_2[0]) - n * LN_2[1];
    let p = 1.0 / 5040.0;
    let p = p * r + 1.0 / 720.0;
    let p = p * r + 1.0 / 120.0;
    let p = p * r + 1.0 / 24.0;
    let p = p * r + 1.0 / 6.0;
    let p = p * r + 0.5;
    let p = p * r + 1.0;
    let p = p * r + 1.0;
    p * f32::from_bits(((n as i32 + 127) as u32) << 23)
}

/// Adds one list of numbers to another.
pub fn add(to: &mut [f32], more: &[f32]) {
    for (to, more) in to.iter_mut().zip(more) {
        *to += more;
    }
}

/// Zero where the step is not known.
#[must_use]
pub fn masked(x: Tensor<2>, known: Option<&Tensor<2>>) -> Tensor<2> {
    match known {
        Some(known) => x * known.clone(),
        None => x,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gates_functions_are_those_of_the_books() {
        for step in -2000_i16..=2000 {
            let x = f32::from(step) / 100.0;
            let wide = f64::from(x);
            assert!((f64::from(sigmoid(x)) - 1.0 / (1.0 + (-wide).exp())).abs() < 2e-7, "sigmoid({x})");
            assert!((f64::from(tanh(x)) - wide.tanh()).abs() < 2e-7, "tanh({x})");
        }
        assert!(sigmoid(-1e30) >= 0.0 && sigmoid(1e30) <= 1.0 && tanh(1e30) <= 1.0 && tanh(-1e30) >= -1.0);
    }
}
