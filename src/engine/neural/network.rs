//! Owns the six networks. Invariant: a shape alone determines the parameters, their order and the layers; nothing of the data does.

use burn_tensor::{Device, Tensor};
use fastrand::Rng;

use crate::engine::neural::attention::{Attention, Encoder, Positions};
use crate::engine::neural::conv::{Beside, Conv};
use crate::engine::neural::layer::{Back, Layer, Pass, Sequence};
use crate::engine::neural::norm::Norm;
use crate::engine::neural::recurrent::{Cell, Recurrent};
use crate::engine::neural::shape::{Architecture, Shape};
use crate::engine::neural::simple::{Dropout, Flatten, Linear, Newest, Relu};
use crate::engine::neural::weights::{Begin, Slot, Weights};
use crate::engine::numbers::count;

/// A network without its numbers.
pub struct Network {
    /// What it looks like.
    pub shape: Shape,
    /// Its parameters.
    pub slots: Vec<Slot>,
    layers: Sequence,
}

/// A batch on its device.
#[derive(Debug, Clone)]
pub struct Input {
    /// `[window, rows, features]`, scaled; 0 where a step is not known.
    pub steps: Tensor<3>,
    /// 1 where a step is known, `[window, rows, 1]`; `None` where all are.
    pub known: Option<Tensor<3>>,
}

impl Network {
    /// The network of this shape.
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        let mut plan = Plan { shape: &shape, slots: Vec::new() };
        let layers = match shape.architecture {
            Architecture::Dense => plan.dense(),
            Architecture::Lstm => plan.recurrent(Cell::Lstm),
            Architecture::Gru => plan.recurrent(Cell::Gru),
            Architecture::Tcn => plan.tcn(),
            Architecture::CnnLstm => plan.cnn_lstm(),
            Architecture::Attention => plan.attention(),
        };
        let slots = plan.slots;
        Self { slots, layers: Sequence(layers), shape }
    }

    /// One number for each row, `[1, rows, 1]`, and the way back. Dropout comes from `chance`; without it nothing is kept for the way back.
    #[must_use]
    pub fn forward(&self, weights: &Weights, input: Input, chance: Option<&mut Rng>, device: &Device, host: bool) -> (Tensor<3>, Back) {
        let mut pass = Pass { weights, known: input.known, chance, device, host };
        self.layers.forward(input.steps, &mut pass)
    }
}

type Layers = Vec<Box<dyn Layer>>;

/// A network being laid out: parameters are counted as layers ask for them.
struct Plan<'a> {
    shape: &'a Shape,
    slots: Vec<Slot>,
}

impl Plan<'_> {
    fn slot(&mut self, name: String, shape: &[usize], begin: Begin) -> usize {
        self.slots.push(Slot { name, shape: shape.to_vec(), begin });
        self.slots.len() - 1
    }

    /// A weight and its bias as `PyTorch` begins them: within one over the root of what goes into one output.
    fn weighed(&mut self, name: &str, shape: &[usize]) -> [usize; 2] {
        let begin = Begin::Within(1.0 / count(shape[1..].iter().product()).sqrt());
        [self.slot(format!("{name}.weight"), shape, begin), self.slot(format!("{name}.bias"), &shape[..1], begin)]
    }

    fn linear(&mut self, name: &str, inner: usize, out: usize) -> Linear {
        let [weight, bias] = self.weighed(name, &[out, inner]);
        Linear { weight, bias }
    }

    fn conv(&mut self, name: &str, inner: usize, out: usize, (taps, dilation): (usize, usize)) -> Conv {
        let [weight, bias] = self.weighed(name, &[out, inner, taps]);
        Conv { weight, bias, taps, dilation }
    }

    fn norm(&mut self, name: &str, channels: usize) -> Norm {
        let weight = self.slot(format!("{name}.weight"), &[channels], Begin::As(1.0));
        Norm { weight, bias: self.slot(format!("{name}.bias"), &[channels], Begin::As(0.0)) }
    }

    fn dropout(&self) -> Dropout {
        Dropout { rate: self.shape.dropout }
    }

    fn head(&mut self) -> Box<dyn Layer> {
        Box::new(self.linear("head", self.shape.units, 1))
    }

    fn dense(&mut self) -> Layers {
        let (mut layers, mut inner): (Layers, _) = (vec![Box::new(Flatten)], self.shape.features * self.shape.window);
        for at in 0..self.shape.layers {
            layers.push(Box::new(self.linear(&format!("layers.{at}"), inner, self.shape.units)));
            layers.push(Box::new(Relu));
            layers.push(Box::new(self.dropout()));
            inner = self.shape.units;
        }
        layers.push(self.head());
        layers
    }

    /// Layers with a state, dropout between them, and what reads the last state.
    fn states(&mut self, cell: Cell, name: &str, features: usize) -> Layers {
        let (mut layers, mut inner, units): (Layers, _, _) = (Vec::new(), features, self.shape.units);
        let begin = Begin::Within(1.0 / count(units).sqrt());
        for at in 0..self.shape.layers {
            if at > 0 {
                layers.push(Box::new(self.dropout()));
            }
            let gates = cell.gates() * units;
            layers.push(Box::new(Recurrent {
                cell,
                units,
                input_weight: self.slot(format!("{name}.weight_ih_l{at}"), &[gates, inner], begin),
                state_weight: self.slot(format!("{name}.weight_hh_l{at}"), &[gates, units], begin),
                input_bias: self.slot(format!("{name}.bias_ih_l{at}"), &[gates], begin),
                state_bias: self.slot(format!("{name}.bias_hh_l{at}"), &[gates], begin),
            }));
            inner = units;
        }
        layers.extend([Box::new(Newest) as Box<dyn Layer>, Box::new(self.dropout()), self.head()]);
        layers
    }

    fn recurrent(&mut self, cell: Cell) -> Layers {
        let name = if cell == Cell::Lstm { "lstm" } else { "gru" };
        self.states(cell, name, self.shape.features)
    }

    fn cnn_lstm(&mut self) -> Layers {
        let filters = self.shape.filters.unwrap_or(self.shape.units);
        let conv = self.conv("conv", self.shape.features, filters, (self.taps(), 1));
        let mut layers: Layers = vec![Box::new(conv), Box::new(Relu)];
        layers.extend(self.states(Cell::Lstm, "lstm", filters));
        layers
    }

    fn taps(&self) -> usize {
        self.shape.kernel_size.unwrap_or(1)
    }

    fn tcn(&mut self) -> Layers {
        let (mut layers, mut inner, units): (Layers, _, _) = (Vec::new(), self.shape.features, self.shape.units);
        for at in 0..self.shape.layers {
            let (name, way) = (format!("blocks.{at}"), (self.taps(), 1 << at));
            let first = self.conv(&format!("{name}.conv1"), inner, units, way);
            let second = self.conv(&format!("{name}.conv2"), units, units, way);
            let shortcut = (inner != units).then(|| self.conv(&format!("{name}.shortcut"), inner, units, (1, 1)));
            let long: Layers =
                vec![Box::new(first), Box::new(Relu), Box::new(self.dropout()), Box::new(second), Box::new(Relu), Box::new(self.dropout())];
            layers.push(Box::new(Beside { layers: Sequence(long), shortcut }));
            inner = units;
        }
        layers.extend([Box::new(Newest) as Box<dyn Layer>, self.head()]);
        layers
    }

    fn attention(&mut self) -> Layers {
        let width = self.shape.units;
        let input = self.linear("input", self.shape.features, width);
        let mut layers: Layers = vec![Box::new(input), Box::new(Positions), Box::new(self.dropout())];
        for at in 0..self.shape.layers {
            layers.push(Box::new(self.encoder(&format!("encoder.layers.{at}"), at + 1 == self.shape.layers)));
        }
        layers.extend([Box::new(self.norm("encoder.norm", width)) as Box<dyn Layer>, self.head()]);
        layers
    }

    fn encoder(&mut self, name: &str, newest: bool) -> Encoder {
        let width = self.shape.units;
        // PyTorch begins the three projections as one, within the root of six over what goes in and comes out.
        let spread = Begin::Within((6.0 / count(4 * width)).sqrt());
        let weight = self.slot(format!("{name}.self_attn.in_proj_weight"), &[3 * width, width], spread);
        let bias = self.slot(format!("{name}.self_attn.in_proj_bias"), &[3 * width], Begin::As(0.0));
        let within = Begin::Within(1.0 / count(width).sqrt());
        let out_weight = self.slot(format!("{name}.self_attn.out_proj.weight"), &[width, width], within);
        let out_bias = self.slot(format!("{name}.self_attn.out_proj.bias"), &[width], Begin::As(0.0));
        let heads = self.shape.heads.unwrap_or(1);
        let (wide, narrow) =
            (self.linear(&format!("{name}.linear1"), width, 2 * width), self.linear(&format!("{name}.linear2"), 2 * width, width));
        let (norm, second) = (self.norm(&format!("{name}.norm1"), width), self.norm(&format!("{name}.norm2"), width));
        let rest: Layers =
            vec![Box::new(second), Box::new(wide), Box::new(Relu), Box::new(self.dropout()), Box::new(narrow), Box::new(self.dropout())];
        Encoder {
            norm,
            attention: Attention { weight, bias, out_weight, out_bias, heads, newest },
            dropout: self.dropout(),
            rest: Sequence(rest),
        }
    }
}
