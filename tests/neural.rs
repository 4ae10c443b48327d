//! Whole networks, held to `PyTorch`'s values (`tests/vendor/neural.json`, made by `neural_torch.py` beside it), and what training promises.
#![cfg(feature = "neural")]
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "vendor/neural_values.rs"]
mod neural_values;

use cbi::engine::neural::batch::{self, Examples};
use cbi::engine::neural::checkpoint::Checkpoints;
use cbi::engine::neural::device::Place;
use cbi::engine::neural::error::NeuralError;
use cbi::engine::neural::file;
use cbi::engine::neural::loss::Loss;
use cbi::engine::neural::network::{Input, Network};
use cbi::engine::neural::optimizer::{AdamW, Stride};
use cbi::engine::neural::schedule::Schedule;
use cbi::engine::neural::shape::{Architecture, Shape};
use cbi::engine::neural::training::{Asked, Data, Nobody, State, Trained, Watch, forecast, train};
use cbi::engine::neural::weights::{Gradients, Weights, numbers, tensor};
use cbi::engine::neural::windows::{Timeline, Window};
use fastrand::Rng;
use neural_values::{FIXTURE, Sample, close, cpu, turn};
use serde_json::Value;

impl Sample {
    fn network(&self, architecture: &str) -> Network {
        let mut shape = self.shape.clone();
        for (name, value) in [("architecture", Value::from(architecture)), ("features", self.features.into()), ("dropout", 0.0.into())] {
            shape[name] = value;
        }
        Network::new(serde_json::from_value(shape).unwrap())
    }

    fn weights(&self, network: &Network) -> Weights {
        let values = network.slots.iter().map(|slot| {
            let parameter = &self.weights[&slot.name];
            assert_eq!(slot.shape, parameter.shape, "{}", slot.name);
            slot.from_file(&parameter.values)
        });
        assert_eq!(network.slots.len(), self.weights.len());
        Weights::of(network.slots.clone(), values.collect(), &cpu().device)
    }

    fn rows(&self) -> usize {
        self.wanted.len()
    }

    fn input(&self, window: usize) -> Input {
        let (rows, wide) = (self.rows(), self.features);
        let turned = turn(&self.input, rows, window, wide);
        Input { steps: tensor(turned, [window, rows, wide], &cpu().device), known: None }
    }
}

/// The forecast and the way back to the gradients of a loss.
fn run(network: &Network, weights: &Weights, input: Input, host: bool) -> (Vec<f32>, cbi::engine::neural::layer::Back) {
    let place = cpu();
    let (y, back) = network.forward(weights, input, Some(&mut Rng::with_seed(1)), &place.device, host);
    (numbers(y), back)
}

#[test]
fn every_architecture_gives_what_pytorch_gives_forwards_and_back() {
    assert_eq!(FIXTURE.samples.len(), Architecture::ALL.len());
    for (architecture, sample) in &FIXTURE.samples {
        let network = sample.network(architecture);
        let weights = sample.weights(&network);
        for host in [true, false] {
            let (output, back) = run(&network, &weights, sample.input(network.shape.window), host);
            close(&format!("{architecture}: output"), &output, &sample.output);
            let errors = output.iter().zip(&sample.wanted).zip(&sample.weight);
            let rows = sample.rows();
            #[expect(clippy::cast_precision_loss, reason = "a handful of rows")]
            let slope = errors.map(|((y, wanted), weight)| 2.0 * (y - wanted) * weight / rows as f32).collect();
            let mut gradients = Gradients::none(network.slots.len());
            let input = back(tensor(slope, [1, rows, 1], &cpu().device), &mut gradients, true).unwrap();
            for (slot, gradient) in network.slots.iter().zip(gradients.0) {
                let found = slot.to_file(&numbers(gradient.unwrap()));
                close(&format!("{architecture}: {}", slot.name), &found, &sample.gradients[&slot.name]);
            }
            let found = turn(&numbers(input), network.shape.window, rows, sample.features);
            close(&format!("{architecture}: input"), &found, &sample.input_gradient);
        }
    }
}

#[test]
fn three_steps_of_training_are_those_that_pytorch_takes() {
    let place = cpu();
    for (architecture, sample) in &FIXTURE.samples {
        for (name, steps) in &sample.trained {
            let loss = match name.as_str() {
                "squared" => Loss::Squared,
                "huber" => Loss::Huber { delta: 0.5 },
                _ => Loss::Quantile { alpha: 0.9 },
            };
            let network = sample.network(architecture);
            let mut weights = sample.weights(&network);
            let mut optimizer = AdamW::new(&weights);
            let stride = Stride { learning_rate: 0.01, weight_decay: 0.1, clip_norm: 0.5 };
            let rows = sample.rows();
            let row = |values: &[f32]| batch::row(values.to_vec(), &place.device);
            for (step, wanted) in steps.losses.iter().enumerate() {
                let (output, back) = run(&network, &weights, sample.input(network.shape.window), true);
                let (cost, slope) = loss.of(row(&output) - row(&sample.wanted));
                #[expect(clippy::cast_precision_loss, reason = "a handful of rows")]
                let mean = numbers(cost * row(&sample.weight)).iter().sum::<f32>() / rows as f32;
                close(&format!("{architecture}, {name}, step {step}"), &[mean], &[*wanted]);
                let mut gradients = Gradients::none(network.slots.len());
                #[expect(clippy::cast_precision_loss, reason = "a handful of rows")]
                let slope = (slope * row(&sample.weight)).div_scalar(rows as f32).reshape([1, rows, 1]);
                back(slope, &mut gradients, false);
                optimizer.step(&mut weights, gradients, &stride);
            }
            let (output, _) = run(&network, &weights, sample.input(network.shape.window), true);
            close(&format!("{architecture}, {name}, trained"), &output, &steps.output);
        }
    }
}

/// Rows by chance, one a day.
fn timeline(rows: i32, features: usize, seed: u64) -> Timeline {
    let mut rng = Rng::with_seed(seed);
    let values = (0..usize::try_from(rows).unwrap() * features).map(|_| rng.f32() * 2.0 - 1.0).collect();
    Timeline { dates: (0..rows).collect(), features, values }
}

#[test]
fn a_step_that_is_not_known_counts_for_nothing() {
    let (place, line) = (cpu(), timeline(40, 3, 5));
    for (architecture, sample) in &FIXTURE.samples {
        let network = sample.network(architecture);
        let (weights, window) = (sample.weights(&network), network.shape.window);
        let cut = [Window { end: 20, known: window - 1 }, Window { end: 30, known: window }];
        let found = forecast(&network, &weights, &line, &cut, &place);
        let mut other = line.clone();
        let lost = 20 + 1 - window;
        other.values[lost * 3..(lost + 1) * 3].copy_from_slice(&[9.0, -9.0, 9.0]);
        assert_eq!(forecast(&network, &weights, &other, &cut, &place), found, "{architecture}");
        if ["lstm", "gru", "tcn", "cnn_lstm"].contains(&architecture.as_str()) {
            // It begins at its first known step, as if the window were so short.
            let short = Network::new(Shape { window: window - 1, ..network.shape.clone() });
            let alone = forecast(&short, &weights, &line, &[Window { end: 20, known: window - 1 }], &place);
            close(architecture, &found[..1], &alone);
        }
    }
}

#[test]
fn gradients_through_masked_steps_are_those_of_finite_differences() {
    let (place, line) = (cpu(), timeline(40, 3, 6));
    for (architecture, sample) in &FIXTURE.samples {
        let network = sample.network(architecture);
        let (weights, window) = (sample.weights(&network), network.shape.window);
        let rows = [Window { end: 20, known: 1 }, Window { end: 25, known: window - 1 }, Window { end: 35, known: window }];
        for host in [true, false] {
            let input = batch::input(&line, &rows, window, &place.device);
            let (_, back) = run(&network, &weights, input, host);
            let mut gradients = Gradients::none(network.slots.len());
            back(tensor(vec![1.0; 3], [1, 3, 1], &place.device), &mut gradients, false);
            for (id, slot) in network.slots.iter().enumerate() {
                let gradient = numbers(gradients.0[id].clone().unwrap());
                let at = gradient.len() / 2;
                let sum = |by: f32| -> f32 {
                    let mut values: Vec<Vec<f32>> = weights.values.iter().map(|value| numbers(value.clone())).collect();
                    values[id][at] += by;
                    let moved = Weights::of(network.slots.clone(), values, &place.device);
                    forecast(&network, &moved, &line, &rows, &place).iter().sum()
                };
                let slope = (sum(4e-3) - sum(-4e-3)) / 8e-3;
                assert!(
                    (slope - gradient[at]).abs() < 3e-3 * slope.abs().max(1.0),
                    "{architecture}: {}: {slope} {}",
                    slot.name,
                    gradient[at]
                );
            }
        }
    }
}

fn small(architecture: Architecture, window: usize) -> Network {
    let (kernel_size, filters, heads) = (Some(3), Some(8), Some(2));
    Network::new(Shape { architecture, features: 3, window, units: 32, layers: 1, dropout: 0.0, kernel_size, filters, heads })
}

fn asked(epochs: u32) -> Asked {
    Asked {
        batch_size: 16,
        epochs,
        rounds: None,
        stride: Stride { learning_rate: 0.01, weight_decay: 0.0, clip_norm: 1.0 },
        schedule: Schedule::Cosine,
        patience: 1000,
        min_delta: 0.0,
        loss: Loss::Squared,
        seed: 3,
    }
}

/// Rows whose label is what their newest day and the one before say, or chance alone.
fn lesson(rows: usize, window: usize, told: bool, seed: u64) -> Data {
    let line = timeline(i32::try_from(rows * 2 + window).unwrap(), 3, seed);
    let mut rng = Rng::with_seed(seed + 1);
    let mut part = |from: usize| -> Examples {
        let windows: Vec<Window> = (from..from + rows).map(|end| Window { end, known: window }).collect();
        let truth = |end: usize| line.values[end * 3] + line.values[(end - 1) * 3 + 1] * line.values[end * 3 + 2];
        let wanted = windows.iter().map(|w| if told { truth(w.end) } else { rng.f32() * 2.0 - 1.0 }).collect();
        Examples { windows, wanted, weight: vec![1.0; rows] }
    };
    let (train, valid) = (part(window), part(window + rows));
    Data { timeline: line, train, valid: Some(valid) }
}

#[test]
fn a_network_can_learn_64_rows_by_heart() {
    for architecture in Architecture::ALL {
        let network = small(architecture, 4);
        let data = Data { valid: None, ..lesson(64, 4, false, 7) };
        let trained = train(&network, &data, &asked(200), &cpu(), &mut Nobody).unwrap();
        let (first, last) = (trained.epochs[0].train_loss, trained.epochs.last().unwrap().train_loss);
        assert!(last < 0.1 * first, "{architecture:?}: from {first} to {last}");
    }
}

#[test]
fn a_network_learns_what_is_there_and_nothing_of_labels_given_by_chance() {
    for architecture in [Architecture::Lstm, Architecture::Tcn] {
        let network = small(architecture, 3);
        let score = |told: bool| {
            let data = lesson(300, 3, told, 11);
            let trained = train(&network, &data, &asked(30), &cpu(), &mut Nobody).unwrap();
            let wanted = data.valid.as_ref().unwrap().wanted.iter().map(|w| f64::from(*w) * f64::from(*w)).sum::<f64>() / 300.0;
            trained.epochs[usize::try_from(trained.kept).unwrap() - 1].valid_loss.unwrap() / wanted
        };
        let (told, shuffled) = (score(true), score(false));
        assert!(told < 0.5, "{architecture:?} leaves {told} of what the naive forecast of nothing leaves");
        assert!(shuffled > 0.95, "{architecture:?} leaves {shuffled}, though there was nothing to learn");
    }
}

fn bytes(trained: &Trained) -> Vec<u8> {
    file::bytes(&trained.weights).unwrap()
}

/// Leaves checkpoints and breaks off after some epoch.
struct Breaking {
    checkpoints: Checkpoints,
    after: usize,
}

impl Watch for Breaking {
    fn resume(&mut self, network: &Network, place: &Place) -> Option<State> {
        self.checkpoints.take_up(network, place)
    }

    fn epoch(&mut self, state: &State, _: &Asked) -> Result<(), NeuralError> {
        self.checkpoints.leave(state)?;
        if state.epochs.len() == self.after { Err(NeuralError::Diverged { epoch: 0 }) } else { Ok(()) }
    }
}

#[test]
fn the_same_seed_makes_the_same_bytes_also_where_training_was_broken_off() {
    let folder = tempfile::tempdir().unwrap();
    for architecture in Architecture::ALL {
        let network = Network::new(Shape { dropout: 0.3, ..small(architecture, 4).shape });
        let data = lesson(50, 4, true, 13);
        let once = train(&network, &data, &asked(6), &cpu(), &mut Nobody).unwrap();
        let again = train(&network, &data, &asked(6), &cpu(), &mut Nobody).unwrap();
        assert_eq!(bytes(&once), bytes(&again), "{architecture:?}");
        let other = train(&network, &data, &Asked { seed: 4, ..asked(6) }, &cpu(), &mut Nobody).unwrap();
        assert_ne!(bytes(&once), bytes(&other), "{architecture:?}: another seed");
        let watch = |after| Breaking { checkpoints: Checkpoints::new(folder.path(), format!("{architecture:?}")), after };
        assert!(train(&network, &data, &asked(6), &cpu(), &mut watch(2)).is_err());
        assert!(train(&network, &data, &asked(6), &cpu(), &mut watch(4)).is_err());
        let resumed = train(&network, &data, &asked(6), &cpu(), &mut watch(99)).unwrap();
        assert_eq!(bytes(&once), bytes(&resumed), "{architecture:?}: taken up twice");
        assert_eq!(once.epochs, resumed.epochs);
        let file = folder.path().join("checkpoint");
        let mut damaged = std::fs::read(&file).unwrap();
        let last = damaged.len() - 1;
        damaged[last] ^= 1;
        std::fs::write(&file, damaged).unwrap();
        assert!(watch(99).resume(&network, &cpu()).is_none(), "a damaged checkpoint is none");
    }
}

#[test]
fn weights_read_back_as_they_were_and_those_of_another_network_are_refused() {
    let (place, network) = (cpu(), small(Architecture::Tcn, 4));
    let weights = Weights::begin(network.slots.clone(), 1, &place.device);
    let written = file::bytes(&weights).unwrap();
    let read = file::read(&written, &network.slots, &place.device).unwrap();
    assert_eq!(file::bytes(&read).unwrap(), written);
    let other = small(Architecture::Gru, 4);
    assert!(matches!(file::read(&written, &other.slots, &place.device), Err(NeuralError::Weights { .. })));
}
