//! `PyTorch`'s values that networks and layers are held to. Invariant: they are those of `neural.json`, which `neural_torch.py` makes.
#![allow(dead_code, missing_docs, clippy::unwrap_used, reason = "each test binary uses a part")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use cbi::engine::neural::device::{self, Place};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
pub struct Fixture {
    pub samples: BTreeMap<String, Sample>,
    pub layers: BTreeMap<String, LayerSample>,
}

/// A network.
#[derive(Deserialize)]
pub struct Sample {
    pub features: usize,
    pub shape: Value,
    pub weights: BTreeMap<String, Parameter>,
    pub input: Vec<f32>,
    pub wanted: Vec<f32>,
    pub weight: Vec<f32>,
    pub output: Vec<f32>,
    pub gradients: BTreeMap<String, Vec<f32>>,
    pub input_gradient: Vec<f32>,
    pub trained: BTreeMap<String, Steps>,
}

/// A layer, over `[batch, steps, channels]`.
#[derive(Deserialize)]
pub struct LayerSample {
    pub input: Vec<f32>,
    /// Whether each step of each row is not known.
    pub unknown: Vec<bool>,
    pub weights: BTreeMap<String, Parameter>,
    pub output: Vec<f32>,
    /// The gradient by the output.
    pub sent: Vec<f32>,
    pub gradients: BTreeMap<String, Vec<f32>>,
    pub input_gradient: Vec<f32>,
}

#[derive(Deserialize)]
pub struct Parameter {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// What three steps of training came to.
#[derive(Deserialize)]
pub struct Steps {
    pub losses: Vec<f32>,
    pub output: Vec<f32>,
}

pub static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vendor/neural.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
});

/// `PyTorch`'s `[batch, window, features]` as ours, the steps first; or back.
pub fn turn(values: &[f32], first: usize, second: usize, wide: usize) -> Vec<f32> {
    let row = |a: usize, b: usize| &values[(a * second + b) * wide..(a * second + b + 1) * wide];
    (0..second).flat_map(|b| (0..first).flat_map(move |a| row(a, b).iter().copied())).collect()
}

pub fn cpu() -> Place {
    device::processor()
}

pub fn close(what: &str, found: &[f32], wanted: &[f32]) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (at, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        assert!((found - wanted).abs() <= 1e-5 * wanted.abs().max(1.0), "{what}[{at}]: {found}, not {wanted}");
    }
}
