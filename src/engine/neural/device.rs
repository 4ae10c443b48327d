//! Owns where tensors are computed. Invariant: nothing is computed elsewhere than asked without a word about it.

use burn_tensor::Device;

use crate::engine::neural::error::NeuralError;

/// Where tensors are computed.
#[derive(Debug, Clone)]
pub struct Place {
    /// Where they are.
    pub device: Device,
    /// Whether that is this computer's memory.
    pub host: bool,
    /// What it is called: `cpu`, or the adapter's name.
    pub name: String,
    /// What a person should know of the choice.
    pub note: Option<String>,
}

/// The processor.
#[must_use]
pub fn processor() -> Place {
    Place { device: Device::flex(), host: true, name: "cpu".to_owned(), note: None }
}

/// The place that a recipe asks for: `cpu`, `gpu`, or `auto`, which is an adapter where there is one.
///
/// # Errors
/// When an adapter is asked for and there is none.
pub fn open(wanted: &str) -> Result<Place, NeuralError> {
    match wanted {
        "gpu" => adapter().map_err(|why| NeuralError::NoAdapter { why }),
        "auto" => Ok(adapter().unwrap_or_else(|why| Place { note: Some(format!("trained on the processor: {why}")), ..processor() })),
        _ => Ok(processor()),
    }
}

/// The first adapter that is no processor's imitation of one; a software driver only where nothing else is.
#[cfg(feature = "gpu")]
fn adapter() -> Result<Place, String> {
    let names = adapters();
    let name = names.first().cloned().ok_or("no driver of Vulkan or Metal names one")?;
    Ok(Place { device: on_adapter(), host: false, name, note: None })
}

#[cfg(feature = "gpu")]
fn on_adapter() -> Device {
    #[cfg(target_os = "macos")]
    return Device::metal(burn_tensor::DeviceKind::DefaultDevice);
    #[cfg(not(target_os = "macos"))]
    return Device::vulkan(burn_tensor::DeviceKind::DefaultDevice);
}

#[cfg(not(feature = "gpu"))]
fn adapter() -> Result<Place, String> {
    Err("this program was built without the feature `gpu`".to_owned())
}

/// The adapters that there are, by name.
#[must_use]
pub fn adapters() -> Vec<String> {
    #[cfg(feature = "gpu")]
    return Device::enumerate_physical().into_iter().map(|gpu| gpu.name).collect();
    #[cfg(not(feature = "gpu"))]
    return Vec::new();
}
