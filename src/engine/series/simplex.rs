//! Owns the search for the least value of a function of a few numbers (Nelder and Mead 1965). Invariant: no chance and no clock, so the same function
//! and start give the same answer to the bit.

use crate::engine::numbers::count;

/// Steps of one search, at most.
const MOST: usize = 2_000;
/// New searches from where the last one ended, at most.
const AGAIN: usize = 8;
/// A search ends when its corners differ by less than this share of the value.
const NEAR: f64 = 1e-11;

/// A corner of the simplex with the function's value there.
#[derive(Debug, Clone, PartialEq)]
pub struct Corner {
    /// Where.
    pub at: Vec<f64>,
    /// The value.
    pub value: f64,
}

/// The least value found from `start`, with first steps of these lengths; searched again from each end until that changes nothing. Where the
/// function is infinite, or no number, is out of bounds.
#[must_use]
pub fn least(function: &dyn Fn(&[f64]) -> f64, start: &[f64], steps: &[f64]) -> Corner {
    let mut best = corner(function, start.to_vec());
    for _ in 0..if steps.is_empty() { 0 } else { AGAIN } {
        let found = search(function, &best, steps);
        let gained = best.value - found.value;
        if found.value <= best.value {
            best = found;
        }
        if gained <= NEAR * best.value.abs() {
            break;
        }
    }
    best
}

fn corner(function: &dyn Fn(&[f64]) -> f64, at: Vec<f64>) -> Corner {
    let value = function(&at);
    Corner { value: if value.is_nan() { f64::INFINITY } else { value }, at }
}

fn search(function: &dyn Fn(&[f64]) -> f64, start: &Corner, steps: &[f64]) -> Corner {
    let mut corners = vec![start.clone()];
    for (index, step) in steps.iter().enumerate() {
        let moved = |by: f64| {
            let mut at = start.at.clone();
            at[index] += by;
            corner(function, at)
        };
        let one = moved(*step);
        corners.push(if one.value.is_finite() { one } else { moved(-step) });
    }
    for _ in 0..MOST {
        corners.sort_by(|a, b| a.value.total_cmp(&b.value));
        let (first, last) = (&corners[0], &corners[corners.len() - 1]);
        if last.value - first.value <= NEAR * first.value.abs() && is_small(&corners, steps) {
            break;
        }
        step(function, &mut corners);
    }
    corners.sort_by(|a, b| a.value.total_cmp(&b.value));
    corners.swap_remove(0)
}

/// Whether all corners lie within a ten-thousandth of the first steps.
fn is_small(corners: &[Corner], steps: &[f64]) -> bool {
    let near = |other: &Corner| other.at.iter().zip(&corners[0].at).zip(steps).all(|((a, b), step)| (a - b).abs() <= 1e-4 * step.abs());
    corners.iter().all(near)
}

/// Moves the worst corner through the middle of the others, or draws all towards the best. Corners are in the order of their values.
fn step(function: &dyn Fn(&[f64]) -> f64, corners: &mut [Corner]) {
    let worst = corners.len() - 1;
    let middle: Vec<f64> = (0..worst).map(|axis| mean(corners[..worst].iter().map(|corner| corner.at[axis]))).collect();
    let beyond = |by: f64| {
        let at = middle.iter().zip(&corners[worst].at).map(|(middle, worst)| middle + by * (middle - worst));
        corner(function, at.collect())
    };
    let mirrored = beyond(1.0);
    let moved = if mirrored.value < corners[0].value {
        let further = beyond(2.0);
        if further.value < mirrored.value { further } else { mirrored }
    } else if mirrored.value < corners[worst - 1].value {
        mirrored
    } else {
        let nearer = beyond(if mirrored.value < corners[worst].value { 0.5 } else { -0.5 });
        if nearer.value >= corners[worst].value.min(mirrored.value) {
            let best = corners[0].at.clone();
            for drawn in &mut corners[1..] {
                let at = drawn.at.iter().zip(&best).map(|(at, best)| f64::midpoint(*at, *best)).collect();
                *drawn = corner(function, at);
            }
            return;
        }
        nearer
    };
    corners[worst] = moved;
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let corners = count(values.len());
    values.sum::<f64>() / corners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bottom_of_a_bent_valley_is_found() {
        let valley = |at: &[f64]| (1.0 - at[0]).powi(2) + 100.0 * (at[1] - at[0] * at[0]).powi(2) + 3.0;
        let found = least(&valley, &[-1.2, 1.0], &[0.5, 0.5]);
        assert!((found.at[0] - 1.0).abs() < 1e-4 && (found.at[1] - 1.0).abs() < 1e-4, "{found:?}");
        assert_eq!(found, least(&valley, &[-1.2, 1.0], &[0.5, 0.5]));
    }

    #[test]
    fn a_bound_is_kept_and_reached() {
        let bounded = |at: &[f64]| if at[0] > 2.0 { f64::NAN } else { (at[0] - 5.0).powi(2) + at[1] * at[1] };
        let found = least(&bounded, &[0.0, 3.0], &[0.5, 0.5]);
        assert!((found.at[0] - 2.0).abs() < 1e-5 && found.at[1].abs() < 1e-3, "{found:?}");
    }
}
