//! Owns attention: which steps a step listens to, and the encoder layer around it (Vaswani and others 2017, normalising first). Invariant: a step that
//! is not known is never listened to.

use burn_tensor::activation::softmax;
use burn_tensor::{Device, Tensor};

use crate::engine::neural::layer::{Back, Layer, Pass, Sequence};
use crate::engine::neural::norm::Norm;
use crate::engine::neural::product::product;
use crate::engine::neural::simple::{Dropout, Newest};
use crate::engine::neural::weights::{Gradients, tensor};

/// Attention with several heads. Where only the newest step is read afterwards, only that one asks.
pub struct Attention {
    /// `[3 channels, channels]`: what asks, what answers to it, and what is said.
    pub weight: usize,
    /// `[3 channels]`.
    pub bias: usize,
    /// `[channels, channels]`.
    pub out_weight: usize,
    /// `[channels]`.
    pub out_bias: usize,
    /// Heads; the channels are shared out among them.
    pub heads: usize,
    /// Whether only the newest step asks.
    pub newest: bool,
}

impl Layer for Attention {
    fn forward(&self, x: Tensor<3>, pass: &mut Pass) -> (Tensor<3>, Back) {
        let ([steps, rows, width], heads) = (x.dims(), self.heads);
        let [id, bias, out_id, out_bias] = [self.weight, self.bias, self.out_weight, self.out_bias];
        let asking = if self.newest { 1 } else { steps };
        let (weight, biases, out) = (pass.weights.get(id), pass.weights.get(bias), pass.weights.get(out_id));
        let (to_ask, to_tell) = (weight.clone().slice(0..width), weight.slice(width..3 * width));
        let all = x.clone().reshape([steps * rows, width]);
        let few = x.slice(steps - asking..steps).reshape([asking * rows, width]);
        let asked = product(few.clone(), to_ask.clone().transpose()) + biases.clone().slice([0..1, 0..width]);
        let told = product(all.clone(), to_tell.clone().transpose()) + biases.slice([0..1, width..3 * width]);
        let by_head = move |x: Tensor<2>, steps: usize| x.reshape([steps, rows * heads, width / heads]).swap_dims(0, 1);
        let flat = move |x: Tensor<3>, steps: usize| x.swap_dims(0, 1).reshape([steps * rows, width]);
        let part = |n: usize| told.clone().slice([0..steps * rows, n * width..(n + 1) * width]);
        let (asks, answers, says) = (by_head(asked, asking), by_head(part(0), steps), by_head(part(1), steps));
        let scale = per_head(width / heads);
        let mut heard = product(asks.clone(), answers.clone().transpose()).mul_scalar(scale);
        if let Some(known) = &pass.known {
            heard = heard + deaf_to(known, heads);
        }
        let share = softmax(heard, 2);
        let said = flat(product(share.clone(), says.clone()), asking);
        let y = product(said.clone(), out.clone().transpose()) + pass.weights.get(out_bias);
        let device = pass.device.clone();
        let back = move |dy: Tensor<3>, gradients: &mut Gradients, input: bool| {
            let dy = dy.reshape([asking * rows, width]);
            gradients.add(out_id, product(dy.clone().transpose(), said));
            gradients.add(out_bias, dy.clone().sum_dim(0));
            let by_said = by_head(product(dy, out), asking);
            let by_share = product(by_said.clone(), says.transpose());
            let by_v = product(share.clone().transpose(), by_said);
            let by_heard = (by_share.clone() - (by_share * share.clone()).sum_dim(2)) * share.mul_scalar(scale);
            let by_q = flat(product(by_heard.clone(), answers), asking);
            let by_k = product(by_heard.transpose(), asks);
            let by_told = Tensor::cat(vec![flat(by_k, steps), flat(by_v, steps)], 1);
            let weights = vec![product(by_q.clone().transpose(), few), product(by_told.clone().transpose(), all)];
            gradients.add(id, Tensor::cat(weights, 0));
            gradients.add(bias, Tensor::cat(vec![by_q.clone().sum_dim(0), by_told.clone().sum_dim(0)], 1));
            input.then(|| {
                let by_asked = product(by_q, to_ask).reshape([asking, rows, width]);
                product(by_told, to_tell).reshape([steps, rows, width]) + late(by_asked, steps, &device)
            })
        };
        (y.reshape([asking, rows, width]), Box::new(back))
    }
}

/// What keeps the variance of a product of so many numbers at 1.
fn per_head(channels: usize) -> f64 {
    1.0 / crate::engine::numbers::count(channels).sqrt()
}

/// Far below zero where a step is not known, `[rows * heads, 1, steps]`.
fn deaf_to(known: &Tensor<3>, heads: usize) -> Tensor<3> {
    let [steps, rows, _] = known.dims();
    let each = known.clone().sub_scalar(1.0).mul_scalar(1e9).expand([steps, rows, heads]).reshape([steps, rows * heads]);
    each.transpose().reshape([rows * heads, 1, steps])
}

/// With zeros before, so that there are so many steps.
fn late(x: Tensor<3>, steps: usize, device: &Device) -> Tensor<3> {
    let [there, rows, width] = x.dims();
    if there == steps { x } else { Tensor::cat(vec![Tensor::zeros([steps - there, rows, width], device), x], 0) }
}

/// An encoder layer: attention, then a network over each step, each beside what came in.
pub struct Encoder {
    /// Before attention.
    pub norm: Norm,
    /// Attention.
    pub attention: Attention,
    /// After attention.
    pub dropout: Dropout,
    /// What follows, its normalisation first.
    pub rest: Sequence,
}

impl Layer for Encoder {
    fn forward(&self, x: Tensor<3>, pass: &mut Pass) -> (Tensor<3>, Back) {
        let (even, norm_back) = self.norm.forward(x.clone(), pass);
        let (heard, attention_back) = self.attention.forward(even, pass);
        let (heard, dropout_back) = self.dropout.forward(heard, pass);
        let (own, own_back) = match self.attention.newest {
            true => Newest.forward(x, pass),
            false => (x, Box::new(|dy: Tensor<3>, _: &mut Gradients, _: bool| Some(dy)) as Back),
        };
        let y = own + heard;
        let (more, rest_back) = self.rest.forward(y.clone(), pass);
        let back = move |dy: Tensor<3>, gradients: &mut Gradients, input: bool| {
            let dy = dy.clone() + rest_back(dy, gradients, true)?;
            let heard = dropout_back(dy.clone(), gradients, true)?;
            let heard = norm_back(attention_back(heard, gradients, true)?, gradients, input);
            Some(own_back(dy, gradients, input)? + heard?)
        };
        (y + more, Box::new(back))
    }
}

/// Adds sines and cosines of each step's number, of wavelengths from 2π to 10,000 times that.
pub struct Positions;

impl Layer for Positions {
    fn forward(&self, x: Tensor<3>, pass: &mut Pass) -> (Tensor<3>, Back) {
        let [steps, _, width] = x.dims();
        let table = tensor(waves(steps, width), [steps, 1, width], pass.device);
        (x + table, Box::new(|dy, _, input| input.then_some(dy)))
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "steps and channels by the hundred, in single precision")]
fn waves(steps: usize, width: usize) -> Vec<f32> {
    let wave = |step: usize, channel: usize| {
        let pace = (-(10_000_f64.ln()) * (channel / 2 * 2) as f64 / width as f64).exp();
        let angle = step as f64 * pace;
        (if channel.is_multiple_of(2) { angle.sin() } else { angle.cos() }) as f32
    };
    (0..steps).flat_map(|step| (0..width).map(move |channel| wave(step, channel))).collect()
}
