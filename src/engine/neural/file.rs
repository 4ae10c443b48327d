//! Owns the file of a network's weights. Invariant: the same weights make the same bytes, names and shapes are `PyTorch`'s, and a file of another
//! network is refused.

use burn_tensor::Device;
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

use crate::engine::neural::error::NeuralError;
use crate::engine::neural::weights::{Slot, Weights, numbers};

/// The weights as a safetensors file, without metadata, whose order would be left to chance.
///
/// # Errors
/// When the weights do not fit their shapes.
pub fn bytes(weights: &Weights) -> Result<Vec<u8>, NeuralError> {
    let values = weights.slots.iter().zip(&weights.values);
    let named: Vec<(String, Vec<usize>, Vec<u8>)> =
        values.map(|(slot, value)| (slot.name.clone(), slot.shape.clone(), to_bytes(&slot.to_file(&numbers(value.clone()))))).collect();
    pack(&named)
}

/// Named lists of numbers as a safetensors file.
///
/// # Errors
/// When the bytes do not fit the shapes.
pub fn pack(named: &[(String, Vec<usize>, Vec<u8>)]) -> Result<Vec<u8>, NeuralError> {
    let views = named.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        view.map(|view| (name.as_str(), view))
    });
    let views = views.collect::<Result<Vec<_>, safetensors::SafeTensorError>>();
    views.and_then(|views| serialize(views, None)).map_err(|error| NeuralError::Weights { why: error.to_string() })
}

/// The weights in a safetensors file, for a network with these parameters.
///
/// # Errors
/// When the file is none, or of another network.
pub fn read(bytes: &[u8], slots: &[Slot], device: &Device) -> Result<Weights, NeuralError> {
    let refused = |why: String| NeuralError::Weights { why };
    let file = SafeTensors::deserialize(bytes).map_err(|error| refused(error.to_string()))?;
    if file.len() != slots.len() {
        return Err(refused(format!("it has {} tensors, not {}", file.len(), slots.len())));
    }
    let values = slots.iter().map(|slot| {
        let view = file.tensor(&slot.name).map_err(|error| refused(error.to_string()))?;
        if view.shape() != slot.shape || view.dtype() != Dtype::F32 {
            return Err(refused(format!("'{}' is {:?} of {:?}, not {:?} of F32", slot.name, view.shape(), view.dtype(), slot.shape)));
        }
        Ok(slot.from_file(&from_bytes(view.data())))
    });
    Ok(Weights::of(slots.to_vec(), values.collect::<Result<_, _>>()?, device))
}

/// Numbers, the lowest byte first.
#[must_use]
pub fn to_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The numbers in these bytes.
#[must_use]
pub fn from_bytes(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect()
}
