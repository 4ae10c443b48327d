//! Owns convolutions along time. Invariant: an output sees its own step and earlier ones; before the first step there are zeros.

use burn_tensor::{Device, Tensor};

use crate::engine::neural::layer::{Back, Layer, Pass, Sequence};
use crate::engine::neural::product::product;
use crate::engine::neural::simple::Relu;
use crate::engine::neural::weights::Gradients;

/// `y[t] = b + Σ_k W_k x[t − (taps − 1 − k) dilation]`, as one product for all taps and a sum of what it gave, moved.
pub struct Conv {
    /// `[out, in, taps]`.
    pub weight: usize,
    /// `[out]`.
    pub bias: usize,
    /// How many steps it sees.
    pub taps: usize,
    /// How far these lie apart.
    pub dilation: usize,
}

impl Layer for Conv {
    fn forward(&self, x: Tensor<3>, pass: &mut Pass) -> (Tensor<3>, Back) {
        let [steps, rows, inner] = x.dims();
        let (id, bias, weight, device) = (self.weight, self.bias, pass.weights.get(self.weight), pass.device.clone());
        let (taps, all) = (self.taps, weight.dims()[0]);
        let out = all / taps;
        let late: Vec<usize> = (0..taps).map(|tap| (taps - 1 - tap) * self.dilation).collect();
        let flat = x.reshape([steps * rows, inner]);
        let made = product(flat.clone(), weight.clone().transpose()).reshape([steps, rows, all]);
        let mut y: Tensor<3> = pass.weights.get(bias).reshape([1, 1, out]).expand([steps, rows, out]);
        for (tap, &by) in late.iter().enumerate().filter(|(_, by)| **by < steps) {
            let part = made.clone().slice([0..steps - by, 0..rows, tap * out..(tap + 1) * out]);
            y = y + later(part, by, &device);
        }
        let known = pass.known.clone();
        if let Some(known) = &known {
            y = y * known.clone();
        }
        let back = move |dy: Tensor<3>, gradients: &mut Gradients, input: bool| {
            let dy = match known {
                Some(known) => dy * known,
                None => dy,
            };
            let parts = late.iter().map(|&by| match by < steps {
                true => earlier(dy.clone().slice(by..steps), by, &device),
                false => dy.zeros_like(),
            });
            let made = Tensor::cat(parts.collect(), 2).reshape([steps * rows, all]);
            gradients.add(id, product(made.clone().transpose(), flat));
            gradients.add(bias, dy.reshape([steps * rows, out]).sum_dim(0));
            input.then(|| product(made, weight).reshape([steps, rows, inner]))
        };
        (y, Box::new(back))
    }
}

/// The same, so many steps later.
fn later(x: Tensor<3>, by: usize, device: &Device) -> Tensor<3> {
    let [_, rows, inner] = x.dims();
    if by == 0 { x } else { Tensor::cat(vec![Tensor::zeros([by, rows, inner], device), x], 0) }
}

/// The same, so many steps earlier.
fn earlier(x: Tensor<3>, by: usize, device: &Device) -> Tensor<3> {
    let [_, rows, inner] = x.dims();
    if by == 0 { x } else { Tensor::cat(vec![x, Tensor::zeros([by, rows, inner], device)], 0) }
}

/// Layers beside a shortcut: `relu(layers(x) + shortcut(x))`.
pub struct Beside {
    /// The long way.
    pub layers: Sequence,
    /// The short one; `None` takes the input as it is.
    pub shortcut: Option<Conv>,
}

impl Layer for Beside {
    fn forward(&self, x: Tensor<3>, pass: &mut Pass) -> (Tensor<3>, Back) {
        let (long, long_back) = self.layers.forward(x.clone(), pass);
        let (short, short_back) = match &self.shortcut {
            Some(conv) => conv.forward(x, pass),
            None => (x, Box::new(|dy: Tensor<3>, _: &mut Gradients, input: bool| input.then_some(dy)) as Back),
        };
        let (y, relu_back) = Relu.forward(long + short, pass);
        let back = move |dy: Tensor<3>, gradients: &mut Gradients, input: bool| {
            let dy = relu_back(dy, gradients, true)?;
            let long = long_back(dy.clone(), gradients, input);
            let short = short_back(dy, gradients, input);
            Some(long? + short?)
        };
        (y, Box::new(back))
    }
}
