//! Owns the steps of a GRU. Invariant: both ways through them give the same numbers but for rounding, and a test holds it.
//!
//! `n = tanh(a + r u)`, `h = (1 − z) n + z h'`: `a` is from the input and `u` from the last state, its bias included, and `r` and `z` are sigmoids.

use burn_tensor::Tensor;
use burn_tensor::activation;

use crate::engine::neural::product::product;
use crate::engine::neural::steps::{ByGates, Drive, Extent, StepsBack, add, masked, sigmoid, stacked, step, tanh};
use crate::engine::neural::weights::{numbers, tensor};

/// In this computer's memory: a loop over numbers beside the product of each step.
#[must_use]
pub fn on_host(drive: Drive, extent: Extent) -> (Tensor<3>, StepsBack) {
    let Extent { steps, rows, units } = extent;
    let (device, all) = (drive.given.device(), rows * units);
    let known = drive.known.map(numbers);
    let (weight, bias, mut gates) = (drive.weight, drive.bias, numbers(drive.given));
    let turned = weight.clone().transpose();
    let (mut given, mut states) = (Vec::with_capacity(steps), vec![0.0; steps * all]);
    for at in 0..steps {
        let (before, now) = states.split_at_mut(at * all);
        let last = if at == 0 { vec![0.0; all] } else { before[(at - 1) * all..].to_vec() };
        // From the state: what it adds to the gates.
        let from = numbers(tensor(last.clone(), [rows, units], &device).matmul(turned.clone()) + bias.clone());
        let gates = &mut gates[at * 3 * all..(at + 1) * 3 * all];
        for row in 0..rows {
            let (here, wide) = (row * units..(row + 1) * units, row * 3 * units..(row + 1) * 3 * units);
            let known = known.as_ref().map_or(1.0, |known| known[at * rows + row]);
            forward(&mut gates[wide.clone()], &from[wide], &last[here.clone()], &mut now[here], known);
        }
        given.push(from);
    }
    let made = tensor(states.clone(), [steps, rows, units], &device);
    let back = move |dy: Tensor<3>| {
        let (dy, zero) = (numbers(dy), vec![0.0; all]);
        let mut open = vec![0.0; all];
        for at in (0..steps).rev() {
            add(&mut open, &dy[at * all..(at + 1) * all]);
            let last = if at == 0 { &zero } else { &states[(at - 1) * all..at * all] };
            let (gates, from) = (&mut gates[at * 3 * all..(at + 1) * 3 * all], &mut given[at]);
            for row in 0..rows {
                let (here, wide) = (row * units..(row + 1) * units, row * 3 * units..(row + 1) * 3 * units);
                let known = known.as_ref().map_or(1.0, |known| known[at * rows + row]);
                backward(&mut gates[wide.clone()], &mut from[wide], &last[here.clone()], &mut open[here], known);
            }
            if at > 0 {
                let by = tensor(from.clone(), [rows, 3 * units], &device);
                add(&mut open, &numbers(by.matmul(weight.clone())));
            }
        }
        let shape = [steps * rows, 3 * units];
        ByGates { given: tensor(gates, shape, &device), state: tensor(given.concat(), shape, &device) }
    };
    (made, Box::new(back))
}

/// One row's step. What comes to the gates becomes what they let through.
fn forward(gates: &mut [f32], from: &[f32], last: &[f32], state: &mut [f32], known: f32) {
    let units = last.len();
    let (through, new) = gates.split_at_mut(2 * units);
    for (x, from) in through.iter_mut().zip(from) {
        *x = sigmoid(*x + from);
    }
    for at in 0..units {
        new[at] = tanh(new[at] + through[at] * from[2 * units + at]);
    }
    for at in 0..units {
        let z = through[units + at];
        state[at] = ((1.0 - z) * new[at] + z * last[at]) * known;
    }
}

/// One row's step back. What the gates let through becomes the gradient by what the input gave them, `from` that by what the state gave them, and
/// `open`, the gradient by the state, what of it goes straight to the state before.
fn backward(gates: &mut [f32], from: &mut [f32], last: &[f32], open: &mut [f32], known: f32) {
    let units = last.len();
    let (reset, rest) = gates.split_at_mut(units);
    let (update, new) = rest.split_at_mut(units);
    let (from_reset, rest) = from.split_at_mut(units);
    let (from_update, from_new) = rest.split_at_mut(units);
    for at in 0..units {
        let dh = open[at] * known;
        let (r, z, n, u) = (reset[at], update[at], new[at], from_new[at]);
        let dn = dh * (1.0 - z) * (1.0 - n * n);
        new[at] = dn;
        from_new[at] = dn * r;
        reset[at] = dn * u * r * (1.0 - r);
        from_reset[at] = reset[at];
        update[at] = dh * (last[at] - n) * z * (1.0 - z);
        from_update[at] = update[at];
        open[at] = dh * z;
    }
}

/// What one step leaves for the way back.
struct Kept {
    gates: [Tensor<2>; 3],
    before: Tensor<2>,
    from: Tensor<2>,
    known: Option<Tensor<2>>,
}

/// On any device, by operations on whole tensors.
#[must_use]
pub fn anywhere(drive: &Drive, extent: Extent) -> (Tensor<3>, StepsBack) {
    let Extent { steps, rows, units } = extent;
    let device = drive.given.device();
    let given = drive.given.clone().reshape([steps, rows, 3 * units]);
    let (weight, turned, bias) = (drive.weight.clone(), drive.weight.clone().transpose(), drive.bias.clone());
    let mut state = Tensor::<2>::zeros([rows, units], &device);
    let (mut states, mut kept) = (Vec::with_capacity(steps), Vec::with_capacity(steps));
    for at in 0..steps {
        let (input, before) = (step(&given, at), state);
        let from = product(before.clone(), turned.clone()) + bias.clone();
        let part = |x: &Tensor<2>, n: usize| x.clone().slice([0..rows, n * units..(n + 1) * units]);
        let [r, z] = [0, 1].map(|n| activation::sigmoid(part(&input, n) + part(&from, n)));
        let from = part(&from, 2);
        let n = (part(&input, 2) + r.clone() * from.clone()).tanh();
        let known = drive.known.as_ref().map(|known| step(known, at));
        state = masked(n.clone() + z.clone() * (before.clone() - n.clone()), known.as_ref());
        states.push(state.clone());
        kept.push(Kept { gates: [r, z, n], before, from, known });
    }
    let back = move |dy: Tensor<3>| {
        let mut open = Tensor::<2>::zeros([rows, units], &device);
        let (mut by_given, mut by_state) = (Vec::with_capacity(steps), Vec::with_capacity(steps));
        for (at, Kept { gates: [r, z, n], before, from, known }) in kept.into_iter().enumerate().rev() {
            let dh = masked(open + step(&dy, at), known.as_ref());
            let dn = dh.clone() * -(z.clone() - 1.0) * -(n.clone().square() - 1.0);
            let dr = dn.clone() * from * r.clone() * -(r.clone() - 1.0);
            let dz = dh.clone() * (before - n) * z.clone() * -(z.clone() - 1.0);
            let state = Tensor::cat(vec![dr.clone(), dz.clone(), dn.clone() * r], 1);
            open = dh * z + product(state.clone(), weight.clone());
            by_given.push(Tensor::cat(vec![dr, dz, dn], 1));
            by_state.push(state);
        }
        by_given.reverse();
        by_state.reverse();
        ByGates { given: stacked(by_given), state: stacked(by_state) }
    };
    (stacked(states).reshape([steps, rows, units]), Box::new(back))
}
