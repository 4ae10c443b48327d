//! Owns products of matrices where they may be an adapter's. Invariant: a product is that of its numbers: an adapter whose own products are wrong is
//! never asked for another.
//!
//! A driver that does not understand a program may run it all the same, say nothing and leave what lay in memory: `SwiftShader` does so with the
//! programs of products, whose pointers it does not know. So each adapter is tried before its first product.

use std::sync::{Mutex, PoisonError};

use burn_tensor::{Device, Tensor};

use crate::engine::neural::weights::{numbers, tensor};

/// Numbers that a product by sums may hold at once: 16 MiB.
const AT_ONCE: usize = 4 << 20;

/// The devices that were tried, and whether their own products are right.
static TRIED: Mutex<Vec<(Device, bool)>> = Mutex::new(Vec::new());

/// The product of two matrices, or of as many pairs as there are before the last two dimensions.
#[must_use]
pub fn product<const D: usize>(left: Tensor<D>, right: Tensor<D>) -> Tensor<D> {
    if is_right(&left.device()) { left.matmul(right) } else { summed(left, right, AT_ONCE) }
}

fn is_right(device: &Device) -> bool {
    let mut tried = TRIED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, right)) = tried.iter().find(|(one, _)| one == device) {
        return *right;
    }
    let right = counts_right(device);
    tried.push((device.clone(), right));
    right
}

/// Whether the device's own product of two matrices of small whole numbers, exact in any precision, is what it should be.
fn counts_right(device: &Device) -> bool {
    let whole = |from: u8, size: u8| (from..from + size).map(f32::from).collect::<Vec<f32>>();
    let (left, right) = (whole(1, 15), whole(2, 10));
    let wanted = (0..3).flat_map(|row| {
        let (left, right) = (&left, &right);
        (0..2).map(move |column| (0..5).map(|at| left[row * 5 + at] * right[at * 2 + column]).sum::<f32>())
    });
    let wanted: Vec<f32> = wanted.collect();
    numbers(tensor(left, [3, 5], device).matmul(tensor(right, [5, 2], device))) == wanted
}

/// The product without a program for products: every number of a row times that of a column, then their sums; as many rows at a time as make `most` such
/// numbers, or one.
fn summed<const D: usize>(left: Tensor<D>, right: Tensor<D>, most: usize) -> Tensor<D> {
    let (mut dims, inner, columns) = (left.dims(), left.dims()[D - 1], right.dims()[D - 1]);
    let (pairs, rows) = (dims[..D - 2].iter().product::<usize>(), dims[D - 2]);
    dims[D - 1] = columns;
    let (left, right) = (left.reshape([pairs, rows, inner, 1]), right.reshape([pairs, 1, inner, columns]));
    let at_a_time = (most / (pairs * inner * columns).max(1)).max(1);
    let some = |from: usize| left.clone().narrow(1, from, at_a_time.min(rows - from)) * right.clone();
    let sums = (0..rows).step_by(at_a_time).map(|from| some(from).sum_dim(2)).collect();
    Tensor::cat(sums, 1).reshape(dims)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::neural::device;

    fn some<const D: usize>(shape: [usize; D], seed: u64, device: &Device) -> Tensor<D> {
        let mut rng = fastrand::Rng::with_seed(seed);
        tensor((0..shape.iter().product()).map(|_| rng.f32() - 0.5).collect(), shape, device)
    }

    fn near(ours: &[f32], wanted: &[f32]) {
        assert_eq!(ours.len(), wanted.len());
        for (ours, wanted) in ours.iter().zip(wanted) {
            assert!((ours - wanted).abs() < 1e-5, "{ours}, not {wanted}");
        }
    }

    #[test]
    fn sums_of_products_are_the_product() {
        let device = device::processor().device;
        assert!(is_right(&device));
        for ([rows, inner, columns], most) in [([64, 40, 8], 5000), ([64, 8, 1], 100), ([1, 64, 8], 1), ([5, 1, 3], AT_ONCE)] {
            let (left, right) = (some([rows, inner], 1, &device), some([columns, inner], 2, &device).transpose());
            near(&numbers(summed(left.clone(), right.clone(), most)), &numbers(left.matmul(right)));
            let (left, right) = (some([3, inner, rows], 3, &device).transpose(), some([3, inner, columns], 4, &device));
            near(&numbers(summed(left.clone(), right.clone(), most)), &numbers(left.matmul(right)));
        }
    }
}
