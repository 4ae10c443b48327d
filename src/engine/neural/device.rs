//! Owns where tensors are computed. Invariant: nothing is computed elsewhere than asked: an adapter that is not there is a failure.

use burn_tensor::Device;
#[cfg(feature = "gpu")]
use burn_tensor::DeviceType;

use crate::engine::neural::error::NeuralError;
use crate::model::adapter::Adapter;

/// Where tensors are computed.
#[derive(Debug, Clone)]
pub struct Place {
    /// Where they are.
    pub device: Device,
    /// Whether that is this computer's memory.
    pub host: bool,
    /// What it is called: `cpu`, or the adapter's name.
    pub name: String,
}

/// The processor.
#[must_use]
pub fn processor() -> Place {
    Place { device: Device::flex(), host: true, name: "cpu".to_owned() }
}

/// The adapter of this name, or the processor where none is named.
///
/// # Errors
/// When there is no such adapter.
pub fn open(adapter: Option<&str>) -> Result<Place, NeuralError> {
    let Some(wanted) = adapter else { return Ok(processor()) };
    let found = reachable().find(|(adapter, _)| adapter.name == wanted);
    let place = found.map(|(adapter, device)| Place { device, host: false, name: adapter.name });
    place.ok_or_else(|| NeuralError::NoAdapter { wanted: wanted.to_owned() })
}

/// The adapters that there are: cards before what the processor imitates.
#[must_use]
pub fn adapters() -> Vec<Adapter> {
    reachable().map(|(adapter, _)| adapter).collect()
}

/// Every adapter, looked at one by one.
#[cfg(feature = "gpu")]
fn reachable() -> impl Iterator<Item = (Adapter, Device)> {
    // On a Mac wgpu speaks Metal. Elsewhere SPIR-V is what compute programs are compiled to best.
    let (interface, word) = if cfg!(target_os = "macos") { (DeviceType::Wgpu, "Metal") } else { (DeviceType::Vulkan, "Vulkan") };
    let named = move |device: Device| {
        let identity = device.identity()?;
        Some((Adapter { name: format!("{} through {word}", identity.name), software: identity.physical.is_none() }, device))
    };
    Device::enumerate(interface).into_iter().filter_map(named)
}

#[cfg(not(feature = "gpu"))]
fn reachable() -> impl Iterator<Item = (Adapter, Device)> {
    std::iter::empty()
}
