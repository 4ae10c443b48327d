//! Owns layer normalisation. Invariant: the mean and the spread are those of one step of one row, so rows never tell of each other.

use burn_tensor::Tensor;

use crate::engine::neural::layer::{Back, Layer, Pass};
use crate::engine::neural::weights::Gradients;

/// Added to the variance, as in `PyTorch`.
const EPSILON: f64 = 1e-5;

/// `(x − mean) / spread * weight + bias` over the channels (Ba and others 2016).
pub struct Norm {
    /// `[channels]`.
    pub weight: usize,
    /// `[channels]`.
    pub bias: usize,
}

impl Layer for Norm {
    fn forward(&self, x: Tensor<3>, pass: &mut Pass) -> (Tensor<3>, Back) {
        let ([steps, rows, inner], id, bias) = (x.dims(), self.weight, self.bias);
        let flat = x.reshape([steps * rows, inner]);
        let centred = flat.clone() - flat.mean_dim(1);
        let narrow = centred.clone().square().mean_dim(1).add_scalar(EPSILON).sqrt().recip();
        let (even, weight) = (centred * narrow.clone(), pass.weights.get(id));
        let y = even.clone() * weight.clone() + pass.weights.get(bias);
        let back = move |dy: Tensor<3>, gradients: &mut Gradients, input: bool| {
            let dy = dy.reshape([steps * rows, inner]);
            gradients.add(id, (dy.clone() * even.clone()).sum_dim(0));
            gradients.add(bias, dy.clone().sum_dim(0));
            input.then(|| {
                let by = dy * weight;
                let along = (by.clone() * even.clone()).mean_dim(1);
                ((by.clone() - by.mean_dim(1) - even * along) * narrow).reshape([steps, rows, inner])
            })
        };
        (y.reshape([steps, rows, inner]), Box::new(back))
    }
}
