//! Owns least squares. Invariant: one thread, one order of sums and no choice by processor, so the same rows give the same bits.

use nalgebra::{DMatrix, DVector};

/// A column that is, but for rounding, a sum of multiples of the columns before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("column {column} is a combination of those before it")]
pub struct Dependent {
    /// Its index.
    pub column: usize,
}

/// What is left of a column beside those before it, as a share of its length, below which it is taken to be nothing.
const NOTHING: f64 = 1e-10;

/// The factors of the columns whose sum comes nearest to `y`, by QR decomposition (Householder). Columns are as long as `y`.
///
/// # Errors
/// When the factors are not determined: a column depends on those before it.
pub fn solve(columns: &[Vec<f64>], y: &[f64]) -> Result<Vec<f64>, Dependent> {
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    let lengths: Vec<f64> = columns.iter().map(|column| length(column)).collect();
    let qr = DMatrix::from_iterator(y.len(), columns.len(), columns.iter().flatten().copied()).qr();
    let mut turned = DVector::from_column_slice(y);
    qr.q_tr_mul(&mut turned);
    let upper = qr.unpack_r();
    if let Some(column) = (0..columns.len()).find(|&at| at >= y.len() || upper[(at, at)].abs() <= NOTHING * lengths[at]) {
        return Err(Dependent { column });
    }
    let mut factors = vec![0.0; columns.len()];
    for row in (0..columns.len()).rev() {
        let known: f64 = (row + 1..columns.len()).map(|at| upper[(row, at)] * factors[at]).sum();
        factors[row] = (turned[row] - known) / upper[(row, row)];
    }
    Ok(factors)
}

fn length(column: &[f64]) -> f64 {
    column.iter().map(|value| value * value).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_column_that_others_make_up_is_named() {
        let columns = [vec![1.0, 1.0, 1.0], vec![1.0, 2.0, 3.0], vec![3.0, 5.0, 7.0]];
        assert_eq!(solve(&columns, &[1.0, 2.0, 4.0]), Err(Dependent { column: 2 }));
        assert_eq!(solve(&[vec![1.0], vec![2.0]], &[1.0]), Err(Dependent { column: 1 }), "more unknowns than rows");
        assert_eq!(solve(&[vec![0.0, 0.0]], &[1.0, 2.0]), Err(Dependent { column: 0 }));
    }

    proptest! {
        #[test]
        fn what_is_left_stands_at_right_angles_to_every_column(rows in prop::collection::vec((-5.0..5.0_f64, -5.0..5.0_f64, -9.0..9.0_f64), 4..40)) {
            let (a, (b, y)): (Vec<f64>, (Vec<f64>, Vec<f64>)) = rows.into_iter().map(|(a, b, y)| (a, (b, y))).unzip();
            let columns = [vec![1.0; y.len()], a, b];
            let factors = solve(&columns, &y);
            prop_assume!(factors.is_ok());
            let factors = factors.unwrap();
            let left: Vec<f64> = (0..y.len()).map(|row| y[row] - (0..3).map(|at| factors[at] * columns[at][row]).sum::<f64>()).collect();
            for column in &columns {
                prop_assert!(column.iter().zip(&left).map(|(c, l)| c * l).sum::<f64>().abs() < 1e-6);
            }
        }
    }
}
