//! Owns layers with a state. Invariant: a step that is not known leaves the state at zero, so a row begins at its first known step.
//!
//! What the inputs of all steps add to all gates is one product, made before the first step; what the state adds is one product a step. Back, each
//! parameter's gradient is again one product over all steps.

use burn_tensor::Tensor;

use crate::engine::neural::gru;
use crate::engine::neural::layer::{Back, Layer, Pass};
use crate::engine::neural::lstm;
use crate::engine::neural::product::product;
use crate::engine::neural::steps::{Drive, Extent};
use crate::engine::neural::weights::Gradients;

/// Which state a layer keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// Long short-term memory (Hochreiter and Schmidhuber 1997), gates in `PyTorch`'s order: in, forget, cell, out.
    Lstm,
    /// Gated recurrent unit (Cho and others 2014), gates in `PyTorch`'s order: reset, update, new.
    Gru,
}

impl Cell {
    /// Gates for each unit.
    #[must_use]
    pub fn gates(self) -> usize {
        match self {
            Self::Lstm => 4,
            Self::Gru => 3,
        }
    }
}

/// A layer that carries a state from step to step, and gives the state of each.
pub struct Recurrent {
    /// Its state.
    pub cell: Cell,
    /// Units.
    pub units: usize,
    /// `[gates * units, in]`.
    pub input_weight: usize,
    /// `[gates * units, units]`.
    pub state_weight: usize,
    /// `[gates * units]`.
    pub input_bias: usize,
    /// `[gates * units]`.
    pub state_bias: usize,
}

impl Layer for Recurrent {
    fn forward(&self, x: Tensor<3>, pass: &mut Pass) -> (Tensor<3>, Back) {
        let ([steps, rows, inner], units) = (x.dims(), self.units);
        let [wi, ws, bi, bs] = [self.input_weight, self.state_weight, self.input_bias, self.state_bias];
        let weight = pass.weights.get(wi);
        let flat = x.reshape([steps * rows, inner]);
        let drive = Drive {
            given: product(flat.clone(), weight.clone().transpose()) + pass.weights.get(bi),
            weight: pass.weights.get(ws),
            bias: pass.weights.get(bs),
            known: pass.known.clone(),
        };
        let extent = Extent { steps, rows, units };
        let (states, steps_back) = match (self.cell, pass.host) {
            (Cell::Lstm, true) => lstm::on_host(drive, extent),
            (Cell::Lstm, false) => lstm::anywhere(&drive, extent),
            (Cell::Gru, true) => gru::on_host(drive, extent),
            (Cell::Gru, false) => gru::anywhere(&drive, extent),
        };
        let (kept, device) = (states.clone(), pass.device.clone());
        let back = move |dy: Tensor<3>, gradients: &mut Gradients, input: bool| {
            let by = steps_back(dy);
            let first = Tensor::zeros([1, rows, units], &device);
            let before = match steps {
                1 => first,
                _ => Tensor::cat(vec![first, kept.slice(0..steps - 1)], 0),
            };
            gradients.add(wi, product(by.given.clone().transpose(), flat));
            gradients.add(ws, product(by.state.clone().transpose(), before.reshape([steps * rows, units])));
            gradients.add(bi, by.given.clone().sum_dim(0));
            gradients.add(bs, by.state.sum_dim(0));
            input.then(|| product(by.given, weight).reshape([steps, rows, inner]))
        };
        (states, Box::new(back))
    }
}
