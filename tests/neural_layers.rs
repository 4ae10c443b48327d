//! Layers, each alone, held to `PyTorch`'s values. Invariant: no layer is held to what ours gave.
#![cfg(feature = "neural")]
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "vendor/neural_values.rs"]
mod neural_values;

use burn_tensor::Tensor;
use cbi::engine::neural::attention::{Attention, Encoder};
use cbi::engine::neural::conv::{Beside, Conv};
use cbi::engine::neural::layer::{Layer, Pass, Sequence};
use cbi::engine::neural::norm::Norm;
use cbi::engine::neural::recurrent::{Cell, Recurrent};
use cbi::engine::neural::simple::{Dropout, Linear, Relu};
use cbi::engine::neural::weights::{Begin, Gradients, Slot, Weights, numbers, tensor};
use fastrand::Rng;
use neural_values::{FIXTURE, LayerSample, close, cpu, turn};

const ROWS: usize = 3;
const STEPS: usize = 5;

/// The layer that `neural_torch.py` calls so, its parameters found by `id`.
fn layer(name: &str, id: &dyn Fn(&str) -> usize) -> Box<dyn Layer> {
    let linear = |name: &str| Linear { weight: id(&format!("{name}weight")), bias: id(&format!("{name}bias")) };
    let norm = |name: &str| Norm { weight: id(&format!("{name}weight")), bias: id(&format!("{name}bias")) };
    let conv = |name: &str, taps| Conv { weight: id(&format!("{name}weight")), bias: id(&format!("{name}bias")), taps, dilation: 2 };
    let attention = |name: &str| Attention {
        weight: id(&format!("{name}in_proj_weight")),
        bias: id(&format!("{name}in_proj_bias")),
        out_weight: id(&format!("{name}out_proj.weight")),
        out_bias: id(&format!("{name}out_proj.bias")),
        heads: 2,
        newest: false,
    };
    let recurrent = |cell| Recurrent {
        cell,
        units: 4,
        input_weight: id("weight_ih_l0"),
        state_weight: id("weight_hh_l0"),
        input_bias: id("bias_ih_l0"),
        state_bias: id("bias_hh_l0"),
    };
    match name {
        "linear" => Box::new(linear("")),
        "norm" => Box::new(norm("")),
        "conv" => Box::new(conv("", 3)),
        "block" => Box::new(Beside {
            layers: Sequence(vec![Box::new(conv("conv1.", 3)), Box::new(Relu), Box::new(conv("conv2.", 3)), Box::new(Relu)]),
            shortcut: Some(conv("shortcut.", 1)),
        }),
        "lstm" => Box::new(recurrent(Cell::Lstm)),
        "gru" => Box::new(recurrent(Cell::Gru)),
        "attention" => Box::new(attention("")),
        "encoder" => Box::new(Encoder {
            norm: norm("norm1."),
            attention: attention("self_attn."),
            dropout: Dropout { rate: 0.0 },
            rest: Sequence(vec![Box::new(norm("norm2.")), Box::new(linear("linear1.")), Box::new(Relu), Box::new(linear("linear2."))]),
        }),
        _ => panic!("{name} has no layer here"),
    }
}

impl LayerSample {
    fn slots(&self) -> Vec<Slot> {
        let slot = |(name, parameter): (&String, &neural_values::Parameter)| Slot {
            name: name.clone(),
            shape: parameter.shape.clone(),
            begin: Begin::As(0.0),
        };
        self.weights.iter().map(slot).collect()
    }

    /// Values of steps that are not known say nothing.
    fn of_known(&self, values: &[f32]) -> Vec<f32> {
        let wide = values.len() / self.unknown.len();
        let of_step = |(unknown, values): (&bool, &[f32])| if *unknown { vec![0.0; wide] } else { values.to_vec() };
        self.unknown.iter().zip(values.chunks(wide)).flat_map(of_step).collect()
    }
}

/// Ours of what `PyTorch` has as `[batch, steps, channels]`.
fn steps(values: &[f32]) -> Tensor<3> {
    let wide = values.len() / (ROWS * STEPS);
    tensor(turn(values, ROWS, STEPS, wide), [STEPS, ROWS, wide], &cpu().device)
}

#[test]
fn every_layer_gives_what_pytorch_gives_forwards_and_back() {
    assert_eq!(FIXTURE.layers.len(), 8);
    for (name, sample) in &FIXTURE.layers {
        let slots = sample.slots();
        let layer = layer(name, &|wanted| slots.iter().position(|slot| slot.name == wanted).unwrap());
        let values = slots.iter().map(|slot| slot.from_file(&sample.weights[&slot.name].values)).collect();
        let weights = Weights::of(slots.clone(), values, &cpu().device);
        let known: Vec<f32> = sample.unknown.iter().map(|unknown| if *unknown { 0.0 } else { 1.0 }).collect();
        for host in [true, false] {
            let (mut chance, place) = (Rng::with_seed(1), cpu());
            let known = known.contains(&0.0).then(|| steps(&known));
            let mut pass = Pass { weights: &weights, known, chance: Some(&mut chance), device: &place.device, host };
            let (y, back) = layer.forward(steps(&sample.input), &mut pass);
            let flat = |y| {
                let values = numbers(y);
                turn(&values, STEPS, ROWS, values.len() / (ROWS * STEPS))
            };
            close(&format!("{name}: output"), &sample.of_known(&flat(y)), &sample.of_known(&sample.output));
            let mut gradients = Gradients::none(slots.len());
            let input = back(steps(&sample.sent), &mut gradients, true).unwrap();
            for (slot, gradient) in slots.iter().zip(gradients.0) {
                close(&format!("{name}: {}", slot.name), &slot.to_file(&numbers(gradient.unwrap())), &sample.gradients[&slot.name]);
            }
            close(&format!("{name}: input"), &flat(input), &sample.input_gradient);
        }
    }
}
