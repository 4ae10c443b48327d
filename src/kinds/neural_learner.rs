//! Owns the learner behind kind `neural`. Invariant: an interrupted training goes on after its last whole epoch, and comes to the bits it would have
//! come to.

use std::io::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::base::digest::Digest;
use crate::engine::frame_file::{FrameData, Part};
use crate::engine::native;
use crate::engine::neural::checkpoint::Checkpoints;
use crate::engine::neural::curves;
use crate::engine::neural::device::{self, Place};
use crate::engine::neural::error::NeuralError;
use crate::engine::neural::file;
use crate::engine::neural::loss::Loss;
use crate::engine::neural::model::Prepared;
use crate::engine::neural::network::Network;
use crate::engine::neural::optimizer::Stride;
use crate::engine::neural::schedule::{Epoch, Schedule};
use crate::engine::neural::shape::{Architecture, Shape};
use crate::engine::neural::training::{self, Asked, Data, State, Watch};
use crate::engine::numbers::count;
use crate::io::fs;
use crate::kinds::learner::{Fitted, LearnError, Settings};
use crate::kinds::native_json;
use crate::kinds::telling::Teller;
use crate::kinds::trained::{NETWORK_FILE, WEIGHTS_FILE};

/// Trains the network that the settings ask for on the train rows, and stops it by the valid rows.
///
/// # Errors
/// When it cannot learn from this frame.
pub fn fit(frame: &FrameData, settings: &Settings) -> Result<Fitted, LearnError> {
    if frame.rows_of(Part::Train).is_empty() {
        return Err(LearnError::NoRows("train"));
    }
    let (shape, asked) = (shape(settings, frame.record.features.len()), asked(settings));
    let place = device::open(settings.adapter.as_deref())?;
    let trained_with = format!("burn-tensor {} on {}", native::compiled_version("burn").unwrap_or("unknown"), place.name);
    let prepared = Prepared::of(frame, shape.clone(), settings.count("gap_days").unwrap_or(10), trained_with);
    let data = prepared.data(frame, asked.patience > 0)?;
    let network = Network::new(shape);
    let mut watch = Watcher::new(settings.scratch.as_deref(), &network, &data, &asked, &place);
    let trained = training::train(&network, &data, &asked, &place, &mut watch)?;
    let files = [
        (WEIGHTS_FILE, file::bytes(&trained.weights)?),
        (NETWORK_FILE, native_json::bytes(&prepared)?),
        (curves::TABLE, table(&trained.epochs)?),
        (curves::PICTURE, curves::picture(&trained.epochs, trained.kept).into_bytes()),
    ];
    let kept = trained.epochs.iter().find(|epoch| epoch.epoch == trained.kept);
    let mut metrics = kept.map(Epoch::losses).unwrap_or_default();
    metrics.insert("parameters".into(), count(trained.weights.count()));
    Ok(Fitted {
        files: files.map(|(name, bytes)| (name.to_owned(), bytes)).into(),
        params: settings.params.clone(),
        seed: Some(asked.seed),
        rounds: Some(trained.kept),
        features: frame.record.features.clone(),
        seen: if data.valid.is_some() { vec![Part::Train, Part::Valid] } else { vec![Part::Train] },
        warnings: masked(&data).into_iter().collect(),
        metrics,
        ..Fitted::default()
    })
}

/// What a network of these settings looks like.
#[must_use]
pub fn shape(settings: &Settings, features: usize) -> Shape {
    let size = |name: &str| settings.count(name).and_then(|n| usize::try_from(n).ok());
    Shape {
        architecture: settings.word("architecture").and_then(Architecture::of).unwrap_or(Architecture::Dense),
        features,
        window: size("window").unwrap_or(1),
        units: size("units").unwrap_or(1),
        layers: size("layers").unwrap_or(1),
        dropout: settings.number("dropout").unwrap_or(0.0),
        kernel_size: size("kernel_size"),
        filters: size("filters"),
        heads: size("heads"),
    }
}

/// How these settings ask to train.
#[must_use]
pub fn asked(settings: &Settings) -> Asked {
    let number = |name: &str, default: f64| settings.number(name).unwrap_or(default);
    let rounds = settings.count("rounds");
    Asked {
        batch_size: settings.count("batch_size").and_then(|n| usize::try_from(n).ok()).unwrap_or(32),
        epochs: settings.count("epochs").unwrap_or(50),
        rounds,
        stride: Stride {
            learning_rate: number("learning_rate", 1e-3),
            weight_decay: number("weight_decay", 0.01),
            clip_norm: number("clip_norm", 1.0),
        },
        schedule: match settings.word("schedule") {
            Some("constant") => Schedule::Constant,
            Some("plateau") => Schedule::Plateau,
            _ => Schedule::Cosine,
        },
        patience: if rounds.is_some() { 0 } else { settings.count("patience").unwrap_or(0) },
        min_delta: number("min_delta", 0.0),
        loss: match settings.word("loss") {
            Some("squared") => Loss::Squared,
            Some("quantile") => Loss::Quantile { alpha: number("alpha", 0.5) },
            _ => Loss::Huber { delta: number("delta", 1.0) },
        },
        seed: settings.params.get("seed").and_then(Value::as_u64).unwrap_or(42),
    }
}

/// What to say of windows that are not whole.
fn masked(data: &Data) -> Option<String> {
    let most = data.train.windows.iter().map(|window| window.known).max()?;
    let short = data.train.windows.iter().filter(|window| window.known < most).count();
    (short > 0).then(|| format!("{short} train rows have windows cut short by the beginning or a gap; what is missing there is masked"))
}

fn table(epochs: &[Epoch]) -> Result<Vec<u8>, NeuralError> {
    let folder = tempfile::tempdir().map_err(|error| NeuralError::Curves { why: error.to_string() })?;
    let path = folder.path().join(curves::TABLE);
    curves::write_table(&path, epochs)?;
    Ok(fs::read(&path)?)
}

/// Leaves a checkpoint after each epoch and says how far training is, where there is a place for it.
struct Watcher {
    checkpoints: Option<Checkpoints>,
    teller: Teller,
}

impl Watcher {
    fn new(scratch: Option<&Path>, network: &Network, data: &Data, asked: &Asked, place: &Place) -> Self {
        let meaning = |folder: &Path| {
            let rows = (&data.timeline.dates, &data.train.windows, &data.valid);
            let text = format!("{:?} {asked:?} {} {rows:?}", network.shape, place.name);
            let values: Vec<u8> =
                [&data.timeline.values, &data.train.wanted, &data.train.weight].into_iter().flat_map(|v| file::to_bytes(v)).collect();
            let meaning = format!("{}{}", Digest::of(text.as_bytes()), Digest::of(&values));
            Checkpoints::new(folder, meaning)
        };
        Self { checkpoints: scratch.map(meaning), teller: Teller::new(scratch, "epoch") }
    }
}

impl Watch for Watcher {
    fn resume(&mut self, network: &Network, place: &Place) -> Option<State> {
        let state = self.checkpoints.as_ref()?.take_up(network, place)?;
        let before = state.epochs.last().map_or(0, |epoch| epoch.epoch);
        self.teller.goes_on_from(before.into());
        say(&format!("taken up again after epoch {before}"));
        Some(state)
    }

    fn epoch(&mut self, state: &State, asked: &Asked) -> Result<(), NeuralError> {
        let Some(epoch) = state.epochs.last() else { return Ok(()) };
        let most = asked.rounds.unwrap_or(asked.epochs);
        let valid = epoch.valid_loss.map(|loss| format!(", valid loss {loss:.6}")).unwrap_or_default();
        say(&format!("epoch {} of {most}: train loss {:.6}{valid}", epoch.epoch, epoch.train_loss));
        let Some(checkpoints) = &self.checkpoints else { return Ok(()) };
        checkpoints.leave(state)?;
        self.teller.tell(epoch.epoch.into(), most.into(), epoch.losses());
        Ok(())
    }
}

/// Writes a line to the action's log.
fn say(line: &str) {
    // A log that nobody takes is no reason to stop.
    _ = writeln!(std::io::stderr(), "{line}");
}
