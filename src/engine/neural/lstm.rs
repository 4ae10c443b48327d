//! Owns the steps of an LSTM. Invariant: both ways through them give the same numbers but for rounding, and a test holds it.
//!
//! `c = f c' + i g`, `h = o tanh(c)`; `i`, `f` and `o` are sigmoids and `g` a hyperbolic tangent of what the input and the last state give.

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
    let (weight, mut gates) = (drive.weight, numbers(drive.given + drive.bias));
    let turned = weight.clone().transpose();
    let (mut cells, mut bent, mut states) = (vec![0.0; steps * all], vec![0.0; steps * all], vec![0.0; steps * all]);
    for at in 0..steps {
        let gates = &mut gates[at * 4 * all..(at + 1) * 4 * all];
        if at > 0 {
            let last = tensor(states[(at - 1) * all..at * all].to_vec(), [rows, units], &device);
            add(gates, &numbers(last.matmul(turned.clone())));
        }
        let (before, now) = cells.split_at_mut(at * all);
        let before = before.get(before.len().saturating_sub(all)..).filter(|before| before.len() == all);
        let (bent, state) = (&mut bent[at * all..(at + 1) * all], &mut states[at * all..(at + 1) * all]);
        for row in 0..rows {
            let here = row * units..(row + 1) * units;
            let gates = &mut gates[row * 4 * units..(row + 1) * 4 * units];
            let known = known.as_ref().map_or(1.0, |known| known[at * rows + row]);
            let last = before.map(|before| &before[here.clone()]);
            forward(gates, last, &mut now[here.clone()], &mut bent[here.clone()], &mut state[here], known);
        }
    }
    let made = tensor(states, [steps, rows, units], &device);
    let back = move |dy: Tensor<3>| {
        let (dy, mut open) = (numbers(dy), vec![0.0; all]);
        let mut from_next: Option<Vec<f32>> = None;
        for at in (0..steps).rev() {
            let mut dh = dy[at * all..(at + 1) * all].to_vec();
            if let Some(next) = &from_next {
                add(&mut dh, next);
            }
            let gates = &mut gates[at * 4 * all..(at + 1) * 4 * all];
            for row in 0..rows {
                let here = row * units..(row + 1) * units;
                let known = known.as_ref().map_or(1.0, |known| known[at * rows + row]);
                let last = (at > 0).then(|| &cells[(at - 1) * all + here.start..(at - 1) * all + here.end]);
                let bent = &bent[at * all + here.start..at * all + here.end];
                backward(&mut gates[row * 4 * units..(row + 1) * 4 * units], last, bent, &dh[here.clone()], &mut open[here], known);
            }
            if at > 0 {
                let by = tensor(gates.to_vec(), [rows, 4 * units], &device);
                from_next = Some(numbers(by.matmul(weight.clone())));
            }
        }
        let by = tensor(gates, [steps * rows, 4 * units], &device);
        ByGates { given: by.clone(), state: by }
    };
    (made, Box::new(back))
}

/// One row's step. What comes to the gates becomes what they let through.
fn forward(gates: &mut [f32], last: Option<&[f32]>, cell: &mut [f32], bent: &mut [f32], state: &mut [f32], known: f32) {
    let units = cell.len();
    let (through, rest) = gates.split_at_mut(2 * units);
    let (new, out) = rest.split_at_mut(units);
    for x in through.iter_mut().chain(out.iter_mut()) {
        *x = sigmoid(*x);
    }
    for x in new.iter_mut() {
        *x = tanh(*x);
    }
    let (enter, keep) = through.split_at(units);
    for at in 0..units {
        let kept = last.map_or(0.0, |last| keep[at] * last[at]);
        cell[at] = (kept + enter[at] * new[at]) * known;
    }
    for at in 0..units {
        bent[at] = tanh(cell[at]);
        state[at] = out[at] * bent[at] * known;
    }
}

/// One row's step back. What the gates let through becomes the gradient by what came to them; `open` is the gradient by the cell.
fn backward(gates: &mut [f32], last: Option<&[f32]>, bent: &[f32], dh: &[f32], open: &mut [f32], known: f32) {
    let units = bent.len();
    let (enter, rest) = gates.split_at_mut(units);
    let (keep, rest) = rest.split_at_mut(units);
    let (new, out) = rest.split_at_mut(units);
    for at in 0..units {
        let dh = dh[at] * known;
        let (i, f, g, o) = (enter[at], keep[at], new[at], out[at]);
        let dc = (open[at] + dh * o * (1.0 - bent[at] * bent[at])) * known;
        let before = last.map_or(0.0, |last| last[at]);
        enter[at] = dc * g * i * (1.0 - i);
        keep[at] = dc * before * f * (1.0 - f);
        new[at] = dc * i * (1.0 - g * g);
        out[at] = dh * bent[at] * o * (1.0 - o);
        open[at] = dc * f;
    }
}

/// What one step leaves for the way back.
struct Kept {
    gates: [Tensor<2>; 4],
    before: Tensor<2>,
    bent: Tensor<2>,
    known: Option<Tensor<2>>,
}

/// On any device, by operations on whole tensors.
#[must_use]
pub fn anywhere(drive: &Drive, extent: Extent) -> (Tensor<3>, StepsBack) {
    let Extent { steps, rows, units } = extent;
    let device = drive.given.device();
    let given = (drive.given.clone() + drive.bias.clone()).reshape([steps, rows, 4 * units]);
    let (weight, turned) = (drive.weight.clone(), drive.weight.clone().transpose());
    let (mut state, mut cell) = (Tensor::<2>::zeros([rows, units], &device), Tensor::<2>::zeros([rows, units], &device));
    let (mut states, mut kept) = (Vec::with_capacity(steps), Vec::with_capacity(steps));
    for at in 0..steps {
        let gates = step(&given, at) + product(state, turned.clone());
        let gate = |n: usize| gates.clone().slice([0..rows, n * units..(n + 1) * units]);
        let [i, f, o] = [0, 1, 3].map(|n| activation::sigmoid(gate(n)));
        let (g, known) = (gate(2).tanh(), drive.known.as_ref().map(|known| step(known, at)));
        let before = cell;
        cell = masked(f.clone() * before.clone() + i.clone() * g.clone(), known.as_ref());
        let bent = cell.clone().tanh();
        state = masked(o.clone() * bent.clone(), known.as_ref());
        states.push(state.clone());
        kept.push(Kept { gates: [i, f, g, o], before, bent, known });
    }
    let back = move |dy: Tensor<3>| {
        let (mut dh, mut dc) = (Tensor::<2>::zeros([rows, units], &device), Tensor::<2>::zeros([rows, units], &device));
        let mut by = Vec::with_capacity(steps);
        for (at, Kept { gates: [i, f, g, o], before, bent, known }) in kept.into_iter().enumerate().rev() {
            let down = masked(step(&dy, at) + dh, known.as_ref());
            let open = masked(dc + down.clone() * o.clone() * -(bent.clone().square() - 1.0), known.as_ref());
            let gates = Tensor::cat(
                vec![
                    open.clone() * g.clone() * i.clone() * -(i.clone() - 1.0),
                    open.clone() * before * f.clone() * -(f.clone() - 1.0),
                    open.clone() * i * -(g.square() - 1.0),
                    down * bent * o.clone() * -(o - 1.0),
                ],
                1,
            );
            (dh, dc) = (product(gates.clone(), weight.clone()), open * f);
            by.push(gates);
        }
        by.reverse();
        let by = stacked(by);
        ByGates { given: by.clone(), state: by }
    };
    (stacked(states).reshape([steps, rows, units]), Box::new(back))
}
