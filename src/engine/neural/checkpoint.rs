//! Owns what a training leaves behind after each epoch. Invariant: what is taken up again is whole and of the same training; anything else counts as
//! nothing, and training begins at the beginning.

use std::path::{Path, PathBuf};

use burn_tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::base::digest::Digest;
use crate::engine::neural::device::Place;
use crate::engine::neural::error::NeuralError;
use crate::engine::neural::file::{from_bytes, to_bytes};
use crate::engine::neural::network::Network;
use crate::engine::neural::optimizer::AdamW;
use crate::engine::neural::schedule::Epoch;
use crate::engine::neural::training::State;
use crate::engine::neural::weights::{Slot, Weights, numbers, tensor};
use crate::io::{file, fs};

/// What the file is called.
const FILE: &str = "checkpoint";

/// What goes before the numbers.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    /// Tells one training from another.
    meaning: String,
    epochs: Vec<Epoch>,
    steps: i32,
}

/// A folder for the checkpoints of one training.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    folder: PathBuf,
    meaning: String,
}

impl Checkpoints {
    /// In `folder`, of the training that `meaning` tells from any other.
    #[must_use]
    pub fn new(folder: &Path, meaning: String) -> Self {
        Self { folder: folder.to_owned(), meaning }
    }

    /// Leaves what the training needs to go on from here.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn leave(&self, state: &State) -> Result<(), NeuralError> {
        let header = Header { meaning: self.meaning.clone(), epochs: state.epochs.clone(), steps: state.optimizer.steps };
        let header = serde_json::to_vec(&header).map_err(|error| NeuralError::Weights { why: error.to_string() })?;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header);
        for values in [&state.weights.values, &state.optimizer.mean, &state.optimizer.square, &state.best] {
            for value in values {
                bytes.extend(to_bytes(&numbers(value.clone())));
            }
        }
        let mut whole = Digest::of(&bytes).to_string().into_bytes();
        whole.extend(bytes);
        fs::create_folders(&self.folder)?;
        let scratch = self.folder.join("checkpoint.new");
        fs::remove_file(&scratch)?;
        Ok(file::replace(&self.folder.join(FILE), &whole, &scratch)?)
    }

    /// What was left; none where there is nothing, or nothing that this training can go on from.
    #[must_use]
    pub fn take_up(&self, network: &Network, place: &Place) -> Option<State> {
        let whole = fs::read_if_any(&self.folder.join(FILE)).ok()??;
        let (digest, bytes) = whole.split_at_checked(Digest::of(&[]).to_string().len())?;
        if Digest::of(bytes).to_string().as_bytes() != digest {
            return None;
        }
        let (size, rest) = bytes.split_at_checked(8)?;
        let size = u64::from_le_bytes(size.try_into().ok()?);
        let (header, rest) = rest.split_at_checked(usize::try_from(size).ok()?)?;
        let header: Header = serde_json::from_slice(header).ok().filter(|header: &Header| header.meaning == self.meaning)?;
        let mut values = from_bytes(rest).into_iter();
        let mut next = || tensors(&network.slots, &mut values, &place.device);
        let weights = Weights { values: next()?, slots: network.slots.clone() };
        let optimizer = AdamW { mean: next()?, square: next()?, steps: header.steps };
        Some(State { epochs: header.epochs, weights, optimizer, best: next()? })
    }
}

fn tensors(slots: &[Slot], values: &mut impl Iterator<Item = f32>, device: &Device) -> Option<Vec<Tensor<2>>> {
    let one = |slot: &Slot| {
        let (grid, size) = (slot.grid(), slot.shape.iter().product());
        let some: Vec<f32> = values.by_ref().take(size).collect();
        (some.len() == size).then(|| tensor(some, grid, device))
    };
    slots.iter().map(one).collect()
}
