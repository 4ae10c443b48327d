//! Owns the steps that parameters take. Invariant: the same gradients make the same steps as `PyTorch`'s `clip_grad_norm_` and `AdamW` (its defaults for
//! `betas` and `eps`).

use burn_tensor::Tensor;

use crate::engine::neural::weights::{Gradients, Weights};

/// How much of the last mean of gradients stays.
const BETA_1: f64 = 0.9;
/// How much of the last mean of their squares stays.
const BETA_2: f64 = 0.999;
/// Keeps a step finite where gradients are nothing.
const EPSILON: f64 = 1e-8;

/// `AdamW` (Loshchilov and Hutter 2019): means of gradients and of their squares, and weights that decay by themselves.
#[derive(Debug, Clone)]
pub struct AdamW {
    /// The mean of each parameter's gradients.
    pub mean: Vec<Tensor<2>>,
    /// The mean of their squares.
    pub square: Vec<Tensor<2>>,
    /// Steps taken.
    pub steps: i32,
}

/// How long and how steady the steps are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stride {
    /// The length of a step.
    pub learning_rate: f64,
    /// The share of a parameter, times the learning rate, that every step takes off.
    pub weight_decay: f64,
    /// The most that all gradients together may be, by the root of their squares; 0 lets them be.
    pub clip_norm: f64,
}

impl AdamW {
    /// Before the first step.
    #[must_use]
    pub fn new(weights: &Weights) -> Self {
        let zeros: Vec<Tensor<2>> = weights.values.iter().map(Tensor::zeros_like).collect();
        Self { mean: zeros.clone(), square: zeros, steps: 0 }
    }

    /// Takes one step.
    pub fn step(&mut self, weights: &mut Weights, gradients: Gradients, stride: &Stride) {
        self.steps += 1;
        let shrink = (stride.clip_norm > 0.0).then(|| shrink(&gradients, stride.clip_norm)).flatten();
        let (one, two) = (1.0 - BETA_1.powi(self.steps), (1.0 - BETA_2.powi(self.steps)).sqrt());
        for (id, gradient) in gradients.0.into_iter().enumerate() {
            let Some(mut gradient) = gradient else { continue };
            if let Some(shrink) = &shrink {
                gradient = gradient * shrink.clone();
            }
            let change = |values: &mut Vec<Tensor<2>>, by: &mut dyn FnMut(Tensor<2>) -> Tensor<2>| {
                // Taken out while it changes: a tensor held once is changed in place.
                let value = std::mem::replace(&mut values[id], Tensor::zeros([1, 1], &gradient.device()));
                values[id] = by(value);
            };
            change(&mut self.mean, &mut |mean| mean.mul_scalar(BETA_1) + gradient.clone().mul_scalar(1.0 - BETA_1));
            change(&mut self.square, &mut |square| square.mul_scalar(BETA_2) + gradient.clone().square().mul_scalar(1.0 - BETA_2));
            let narrow = self.square[id].clone().sqrt().div_scalar(two).add_scalar(EPSILON);
            let moved = self.mean[id].clone() / narrow;
            change(&mut weights.values, &mut |value| {
                value.mul_scalar(1.0 - stride.learning_rate * stride.weight_decay) - moved.clone().mul_scalar(stride.learning_rate / one)
            });
        }
    }
}

/// What all gradients are multiplied by, `[1, 1]`, so that together they are no more than `most`.
fn shrink(gradients: &Gradients, most: f64) -> Option<Tensor<2>> {
    let squares = gradients.0.iter().flatten().map(|gradient| gradient.clone().square().sum());
    let norm = squares.reduce(|all, one| all + one)?.sqrt();
    Some(norm.add_scalar(1e-6).recip().mul_scalar(most).clamp_max(1.0).reshape([1, 1]))
}
