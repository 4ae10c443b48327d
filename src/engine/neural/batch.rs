//! Owns how rows become the tensors of a batch. Invariant: a step that is not known is zero, whatever the timeline holds there.

use burn_tensor::{Device, Tensor};

use crate::engine::neural::network::Input;
use crate::engine::neural::weights::tensor;
use crate::engine::neural::windows::{Timeline, Window};

/// Rows to learn from or to judge by.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Examples {
    /// What each is forecast from.
    pub windows: Vec<Window>,
    /// Its label, scaled.
    pub wanted: Vec<f32>,
    /// What it counts for; 1 on average.
    pub weight: Vec<f32>,
}

/// What a network reads for these windows of `steps` rows.
#[must_use]
pub fn input(timeline: &Timeline, windows: &[Window], steps: usize, device: &Device) -> Input {
    let (rows, wide) = (windows.len(), timeline.features);
    let mut values = vec![0.0; steps * rows * wide];
    for (row, window) in windows.iter().enumerate() {
        for back in 0..window.known.min(steps) {
            let (from, to) = ((window.end - back) * wide, ((steps - 1 - back) * rows + row) * wide);
            values[to..to + wide].copy_from_slice(&timeline.values[from..from + wide]);
        }
    }
    Input { steps: tensor(values, [steps, rows, wide], device), known: known(windows, steps, device) }
}

fn known(windows: &[Window], steps: usize, device: &Device) -> Option<Tensor<3>> {
    if windows.iter().all(|window| window.known >= steps) {
        return None;
    }
    let one = |at: usize, window: &Window| if steps - at <= window.known { 1.0 } else { 0.0 };
    let values = (0..steps).flat_map(|at| windows.iter().map(move |window| one(at, window)));
    Some(tensor(values.collect(), [steps, windows.len(), 1], device))
}

/// One number for each row, `[1, rows]`.
#[must_use]
pub fn row(values: Vec<f32>, device: &Device) -> Tensor<2> {
    let rows = values.len();
    tensor(values, [1, rows], device)
}
