//! Owns what a layer is. Invariant: what a layer needs to go back it keeps itself, in the closure that goes back; nothing is looked up later.
//!
//! Tensors between layers are `[steps, rows, channels]`, the oldest step first, so that one step of all rows lies in one piece.

use burn_tensor::{Device, Tensor};
use fastrand::Rng;

use crate::engine::neural::weights::{Gradients, Weights};

/// What goes with the rows on their way through a network.
pub struct Pass<'a> {
    /// The parameters.
    pub weights: &'a Weights,
    /// 1 where a step is known and 0 where it is not, `[steps, rows, 1]`; `None` where all are known.
    pub known: Option<Tensor<3>>,
    /// Where dropout comes from; `None` when forecasting.
    pub chance: Option<&'a mut Rng>,
    /// Where the tensors are.
    pub device: &'a Device,
    /// Whether they are in this computer's memory, so that a loop over numbers is the fastest.
    pub host: bool,
}

/// Goes back: takes the loss's gradient by the layer's output, adds to those of the parameters and gives that by the input, where it is asked for.
pub type Back = Box<dyn FnOnce(Tensor<3>, &mut Gradients, bool) -> Option<Tensor<3>>>;

/// A part of a network.
pub trait Layer {
    /// The layer's output, and the way back.
    fn forward(&self, x: Tensor<3>, pass: &mut Pass) -> (Tensor<3>, Back);
}

/// Layers, one after the other.
pub struct Sequence(pub Vec<Box<dyn Layer>>);

impl Layer for Sequence {
    fn forward(&self, x: Tensor<3>, pass: &mut Pass) -> (Tensor<3>, Back) {
        let (mut x, mut backs) = (x, Vec::with_capacity(self.0.len()));
        for layer in &self.0 {
            let (y, back) = layer.forward(x, pass);
            x = y;
            // When forecasting, nothing is kept.
            if pass.chance.is_some() {
                backs.push(back);
            }
        }
        let back = move |dy: Tensor<3>, gradients: &mut Gradients, input: bool| {
            let mut dy = Some(dy);
            while let Some(back) = backs.pop() {
                dy = back(dy?, gradients, input || !backs.is_empty());
            }
            dy
        };
        (x, Box::new(back))
    }
}
