//! Owns a network's parameters. Invariant: a parameter has the name and the shape that `PyTorch`'s module of the same architecture gives it; inside it
//! is a grid of two dimensions, for every product here is one of matrices.

use burn_tensor::{Device, Tensor, TensorData};
use fastrand::Rng;

/// One parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Slot {
    /// Its name in the file.
    pub name: String,
    /// Its shape in the file: `[n]`, `[out, in]`, or `[out, in, taps]` of a convolution.
    pub shape: Vec<usize>,
    /// How it begins.
    pub begin: Begin,
}

/// How a parameter begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Begin {
    /// Evenly spread from minus this to this.
    Within(f64),
    /// All the same.
    As(f32),
}

impl Slot {
    /// Rows and columns inside: a convolution has one row for each tap and output, tap by tap.
    #[must_use]
    pub fn grid(&self) -> [usize; 2] {
        match self.shape[..] {
            [rows, columns] => [rows, columns],
            [out, inner, taps] => [taps * out, inner],
            _ => [1, self.shape.iter().product()],
        }
    }

    /// Values in the order of the file, from those in the order of the grid.
    #[must_use]
    pub fn to_file(&self, grid: &[f32]) -> Vec<f32> {
        self.reordered(grid, |file, inside| (inside, file))
    }

    /// Values in the order of the grid, from those in the order of the file.
    #[must_use]
    pub fn from_file(&self, file: &[f32]) -> Vec<f32> {
        self.reordered(file, |file, inside| (file, inside))
    }

    fn reordered(&self, values: &[f32], from_to: impl Fn(usize, usize) -> (usize, usize)) -> Vec<f32> {
        let [out, inner, taps] = self.shape[..] else { return values.to_vec() };
        let mut moved = vec![0.0; values.len()];
        for o in 0..out {
            for i in 0..inner {
                for k in 0..taps {
                    let (from, to) = from_to((o * inner + i) * taps + k, (k * out + o) * inner + i);
                    moved[to] = values[from];
                }
            }
        }
        moved
    }

    fn beginning(&self, rng: &mut Rng) -> Vec<f32> {
        let size = self.shape.iter().product();
        let values: Vec<f32> = match self.begin {
            Begin::As(value) => vec![value; size],
            #[expect(clippy::cast_possible_truncation, reason = "a weight is held in single precision")]
            Begin::Within(bound) => (0..size).map(|_| ((rng.f64() * 2.0 - 1.0) * bound) as f32).collect(),
        };
        self.from_file(&values)
    }
}

/// The values of all parameters, on one device.
#[derive(Debug, Clone)]
pub struct Weights {
    /// What each is.
    pub slots: Vec<Slot>,
    /// The values of each, in the same order.
    pub values: Vec<Tensor<2>>,
}

impl Weights {
    /// As they are before training.
    #[must_use]
    pub fn begin(slots: Vec<Slot>, seed: u64, device: &Device) -> Self {
        let mut rng = Rng::with_seed(seed);
        let values = slots.iter().map(|slot| tensor(slot.beginning(&mut rng), slot.grid(), device)).collect();
        Self { slots, values }
    }

    /// With these values, each in the order of its grid.
    #[must_use]
    pub fn of(slots: Vec<Slot>, values: Vec<Vec<f32>>, device: &Device) -> Self {
        let values = slots.iter().zip(values).map(|(slot, values)| tensor(values, slot.grid(), device)).collect();
        Self { slots, values }
    }

    /// One parameter.
    #[must_use]
    pub fn get(&self, id: usize) -> Tensor<2> {
        self.values[id].clone()
    }

    /// How many numbers there are in all.
    #[must_use]
    pub fn count(&self) -> usize {
        self.slots.iter().map(|slot| slot.shape.iter().product::<usize>()).sum()
    }
}

/// The gradient of each parameter, as far as it is known.
#[derive(Debug, Clone)]
pub struct Gradients(pub Vec<Option<Tensor<2>>>);

impl Gradients {
    /// None yet.
    #[must_use]
    pub fn none(parameters: usize) -> Self {
        Self(vec![None; parameters])
    }

    /// Adds to one parameter's.
    pub fn add(&mut self, id: usize, gradient: Tensor<2>) {
        let sum = match self.0[id].take() {
            Some(before) => before + gradient,
            None => gradient,
        };
        self.0[id] = Some(sum);
    }
}

/// These numbers on a device.
#[must_use]
pub fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// A tensor's numbers, row by row.
#[must_use]
pub fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    // Tensors here are of single precision from beginning to end.
    tensor.into_data().try_into_vec().unwrap_or_default()
}
