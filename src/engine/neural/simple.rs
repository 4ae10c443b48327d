//! Owns the layers that look at one step at a time, and those that choose among steps. Invariant: no step reaches an earlier one.

use burn_tensor::activation::relu;
use burn_tensor::{Device, Tensor};
use fastrand::Rng;

use crate::engine::neural::layer::{Back, Layer, Pass};
use crate::engine::neural::product::product;
use crate::engine::neural::weights::{Gradients, tensor};

/// `y = x W' + b`, for each step of each row.
pub struct Linear {
    /// `[out, in]`.
    pub weight: usize,
    /// `[out]`.
    pub bias: usize,
}

impl Layer for Linear {
    fn forward(&self, x: Tensor<3>, pass: &mut Pass) -> (Tensor<3>, Back) {
        let [steps, rows, inner] = x.dims();
        let (id, bias, weight) = (self.weight, self.bias, pass.weights.get(self.weight));
        let out = weight.dims()[0];
        let flat = x.reshape([steps * rows, inner]);
        let y = product(flat.clone(), weight.clone().transpose()) + pass.weights.get(bias);
        let back = move |dy: Tensor<3>, gradients: &mut Gradients, input: bool| {
            let dy = dy.reshape([steps * rows, out]);
            gradients.add(id, product(dy.clone().transpose(), flat));
            gradients.add(bias, dy.clone().sum_dim(0));
            input.then(|| product(dy, weight).reshape([steps, rows, inner]))
        };
        (y.reshape([steps, rows, out]), Box::new(back))
    }
}

/// What is below 0 becomes 0.
pub struct Relu;

impl Layer for Relu {
    fn forward(&self, x: Tensor<3>, _: &mut Pass) -> (Tensor<3>, Back) {
        let y = relu(x);
        let kept = y.clone();
        // The sign of what is not negative: 1, or 0 where nothing came through.
        (y, Box::new(move |dy, _, input| input.then(|| dy * kept.sign())))
    }
}

/// In training, takes out numbers by chance and makes up for it in the others.
pub struct Dropout {
    /// The share taken out, below 1.
    pub rate: f64,
}

impl Layer for Dropout {
    fn forward(&self, x: Tensor<3>, pass: &mut Pass) -> (Tensor<3>, Back) {
        let chance = if self.rate > 0.0 { pass.chance.as_deref_mut() } else { None };
        let Some(rng) = chance else { return (x, Box::new(|dy, _, input| input.then_some(dy))) };
        let kept = self.mask(rng, x.dims(), pass.device);
        (x * kept.clone(), Box::new(move |dy, _, input| input.then(|| dy * kept)))
    }
}

impl Dropout {
    /// 0 where a number is taken out, else what makes up for it. Each draw of the generator decides on four numbers.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of 65,536, in single precision")]
    fn mask(&self, rng: &mut Rng, shape: [usize; 3], device: &Device) -> Tensor<3> {
        let (below, kept) = ((self.rate * 65_536.0) as u64, (1.0 / (1.0 - self.rate)) as f32);
        let size = shape.iter().product::<usize>();
        let mut values = Vec::with_capacity(size + 3);
        while values.len() < size {
            let draw = rng.u64(..);
            values.extend([0, 16, 32, 48].map(|at| if (draw >> at) & 0xffff < below { 0.0 } else { kept }));
        }
        values.truncate(size);
        tensor(values, shape, device)
    }
}

/// The newest step alone.
pub struct Newest;

impl Layer for Newest {
    fn forward(&self, x: Tensor<3>, pass: &mut Pass) -> (Tensor<3>, Back) {
        let ([steps, rows, inner], device) = (x.dims(), pass.device.clone());
        let y = x.slice(steps - 1..steps);
        let back = move |dy: Tensor<3>, _: &mut Gradients, input: bool| {
            input.then(|| match steps {
                1 => dy,
                _ => Tensor::cat(vec![Tensor::zeros([steps - 1, rows, inner], &device), dy], 0),
            })
        };
        (y, Box::new(back))
    }
}

/// All steps of a row side by side, as one step.
pub struct Flatten;

impl Layer for Flatten {
    fn forward(&self, x: Tensor<3>, _: &mut Pass) -> (Tensor<3>, Back) {
        let [steps, rows, inner] = x.dims();
        let y = x.swap_dims(0, 1).reshape([1, rows, steps * inner]);
        (y, Box::new(move |dy, _, input| input.then(|| dy.reshape([rows, steps, inner]).swap_dims(0, 1))))
    }
}
