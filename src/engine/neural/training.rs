//! Owns training. Invariant: the same rows, shape, settings and seed give the same bits, whether it ran through or was taken up again after any epoch:
//! what chance decides in an epoch follows from the seed and the epoch's number alone.

use burn_tensor::Tensor;
use fastrand::Rng;

use crate::engine::neural::batch::{self, Examples};
use crate::engine::neural::device::Place;
use crate::engine::neural::error::NeuralError;
use crate::engine::neural::loss::Loss;
use crate::engine::neural::network::Network;
use crate::engine::neural::optimizer::{AdamW, Stride};
use crate::engine::neural::schedule::{Epoch, Schedule, best, is_over};
use crate::engine::neural::weights::{Gradients, Weights, numbers};
use crate::engine::neural::windows::{Timeline, Window};
use crate::engine::numbers::count;

/// The most rows that are forecast at once where nothing is learnt, and the most steps of their windows.
const AT_ONCE: (usize, usize) = (256, 8192);

/// Rows with windows of so many steps that are forecast at once.
#[must_use]
pub fn at_once(window: usize) -> usize {
    (AT_ONCE.1 / window.max(1)).clamp(1, AT_ONCE.0)
}

/// How to train.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// Rows between two steps.
    pub batch_size: usize,
    /// The most epochs; what a schedule reckons with.
    pub epochs: u32,
    /// Trains so many epochs and chooses none.
    pub rounds: Option<u32>,
    /// How long and how steady the steps are.
    pub stride: Stride,
    /// How the learning rate goes.
    pub schedule: Schedule,
    /// Epochs without a better one, after which to stop.
    pub patience: u32,
    /// What counts as better.
    pub min_delta: f64,
    /// What to make small.
    pub loss: Loss,
    /// Where chance begins.
    pub seed: u64,
}

/// What to learn from.
#[derive(Debug, Clone, Default)]
pub struct Data {
    /// All rows that windows reach.
    pub timeline: Timeline,
    /// Rows to learn from.
    pub train: Examples,
    /// Rows to stop by.
    pub valid: Option<Examples>,
}

/// Between two epochs.
#[derive(Debug, Clone)]
pub struct State {
    /// The epochs so far.
    pub epochs: Vec<Epoch>,
    /// The parameters.
    pub weights: Weights,
    /// Where the optimizer stands.
    pub optimizer: AdamW,
    /// The parameters after the best epoch.
    pub best: Vec<Tensor<2>>,
}

/// Stands by while a network trains.
pub trait Watch {
    /// Where an earlier run of the same training was broken off; none where there is no such thing.
    fn resume(&mut self, network: &Network, place: &Place) -> Option<State>;

    /// Looks at the end of an epoch.
    ///
    /// # Errors
    /// When training should not go on.
    fn epoch(&mut self, state: &State, asked: &Asked) -> Result<(), NeuralError>;
}

/// Stands by and does nothing.
pub struct Nobody;

impl Watch for Nobody {
    fn resume(&mut self, _: &Network, _: &Place) -> Option<State> {
        None
    }

    fn epoch(&mut self, _: &State, _: &Asked) -> Result<(), NeuralError> {
        Ok(())
    }
}

/// What training came to.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The parameters kept.
    pub weights: Weights,
    /// The epoch they are of, from 1.
    pub kept: u32,
    /// All epochs.
    pub epochs: Vec<Epoch>,
}

/// Trains the network.
///
/// # Errors
/// When the loss is no number any more, or the watch ends it.
pub fn train(network: &Network, data: &Data, asked: &Asked, place: &Place, watch: &mut dyn Watch) -> Result<Trained, NeuralError> {
    let mut state = watch.resume(network, place).unwrap_or_else(|| begin(network, asked, place));
    let most = asked.rounds.unwrap_or(asked.epochs);
    let watched = data.valid.is_some();
    while !(done(&state) >= most || watched && is_over(&state.epochs, asked.patience, asked.min_delta)) {
        let learning_rate = asked.schedule.rate(asked.stride.learning_rate, &state.epochs, asked.epochs);
        let epoch = done(&state) + 1;
        let train_loss = one_epoch(network, data, asked, place, &mut state, (epoch, learning_rate));
        let valid = data.valid.as_ref();
        let valid_loss = valid.map(|valid| loss_of(network, &state.weights, &data.timeline, valid, asked.loss, place));
        if !(train_loss.is_finite() && valid_loss.is_none_or(f64::is_finite)) {
            return Err(NeuralError::Diverged { epoch });
        }
        state.epochs.push(Epoch { epoch, learning_rate, train_loss, valid_loss });
        // Without rows to judge by, the last epoch is the one that is kept.
        if !watched || best(&state.epochs, asked.min_delta).is_some_and(|best| best.epoch == epoch) {
            state.best.clone_from(&state.weights.values);
        }
        watch.epoch(&state, asked)?;
    }
    let kept = if watched { best(&state.epochs, asked.min_delta).map_or(0, |best| best.epoch) } else { done(&state) };
    let weights = Weights { values: state.best, slots: state.weights.slots };
    Ok(Trained { weights, kept, epochs: state.epochs })
}

fn begin(network: &Network, asked: &Asked, place: &Place) -> State {
    let weights = Weights::begin(network.slots.clone(), asked.seed, &place.device);
    State { epochs: Vec::new(), optimizer: AdamW::new(&weights), best: weights.values.clone(), weights }
}

fn done(state: &State) -> u32 {
    state.epochs.last().map_or(0, |epoch| epoch.epoch)
}

/// One look at all rows, in an order of chance; the mean loss.
fn one_epoch(network: &Network, data: &Data, asked: &Asked, place: &Place, state: &mut State, (epoch, rate): (u32, f64)) -> f64 {
    let mut rng = Rng::with_seed(Rng::with_seed(asked.seed).u64(..) ^ u64::from(epoch));
    let mut order: Vec<usize> = (0..data.train.windows.len()).collect();
    rng.shuffle(&mut order);
    let stride = Stride { learning_rate: rate, ..asked.stride };
    let mut costs: Option<Tensor<1>> = None;
    for rows in order.chunks(asked.batch_size) {
        let (cost, gradients) = learn(network, &state.weights, data, rows, asked.loss, place, &mut rng);
        state.optimizer.step(&mut state.weights, gradients, &stride);
        costs = Some(match costs {
            Some(before) => before + cost,
            None => cost,
        });
    }
    let sum = costs.map(numbers).and_then(|sum| sum.first().copied()).unwrap_or(f32::NAN);
    f64::from(sum) / count(order.len())
}

/// The cost of some rows and the gradients of its mean.
fn learn(
    network: &Network,
    weights: &Weights,
    data: &Data,
    rows: &[usize],
    loss: Loss,
    place: &Place,
    rng: &mut Rng,
) -> (Tensor<1>, Gradients) {
    let windows: Vec<Window> = rows.iter().map(|&row| data.train.windows[row]).collect();
    let pick = |values: &[f32]| batch::row(rows.iter().map(|&row| values[row]).collect(), &place.device);
    let input = batch::input(&data.timeline, &windows, network.shape.window, &place.device);
    let (forecast, back) = network.forward(weights, input, Some(rng), &place.device, place.host);
    let (cost, slope) = loss.of(forecast.reshape([1, rows.len()]) - pick(&data.train.wanted));
    let weight = pick(&data.train.weight);
    let slope = (slope * weight.clone()).div_scalar(count(rows.len())).reshape([1, rows.len(), 1]);
    let mut gradients = Gradients::none(weights.slots.len());
    back(slope, &mut gradients, false);
    ((cost * weight).sum(), gradients)
}

/// The mean loss of these rows, each counting the same.
fn loss_of(network: &Network, weights: &Weights, timeline: &Timeline, rows: &Examples, loss: Loss, place: &Place) -> f64 {
    let forecast = forecast(network, weights, timeline, &rows.windows, place);
    let errors = forecast.iter().zip(&rows.wanted).map(|(forecast, wanted)| forecast - wanted).collect();
    let (cost, _) = loss.of(batch::row(errors, &place.device));
    numbers(cost).iter().map(|&cost| f64::from(cost)).sum::<f64>() / count(rows.wanted.len())
}

/// The scaled forecast from each of these windows.
#[must_use]
pub fn forecast(network: &Network, weights: &Weights, timeline: &Timeline, windows: &[Window], place: &Place) -> Vec<f32> {
    let some = |windows: &[Window]| {
        let input = batch::input(timeline, windows, network.shape.window, &place.device);
        numbers(network.forward(weights, input, None, &place.device, place.host).0)
    };
    windows.chunks(at_once(network.shape.window)).flat_map(some).collect()
}
