//! Owns elastic net regression. Invariant: the objective, the order of the steps and the rule for stopping are those of scikit-learn's `ElasticNet`
//! with `selection="cyclic"`.
//!
//! Minimised is `1 / (2 n) * Σ w (y − X b)² + alpha * l1_ratio * Σ |b| + 0.5 * alpha * (1 − l1_ratio) * Σ b²`, the weights scaled to add up to the
//! number of rows `n`. The duality gap says how far from the least the objective can still be (Fercoq and others 2015, as documented there).

use crate::engine::linear::rows::{Centred, LinearError, Rows, Solution};
use crate::engine::numbers::count;

/// What is asked for, under scikit-learn's names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Asked {
    /// How strong the penalty is.
    pub alpha: f64,
    /// The share of it that goes by size; the rest goes by square.
    pub l1_ratio: f64,
    /// Whether there is an intercept.
    pub fit_intercept: bool,
    /// The most rounds over all features.
    pub max_iter: u32,
    /// The gap to stop at, as a share of the labels' sum of squares.
    pub tol: f64,
}

/// How the search ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ended {
    /// Rounds over all features.
    pub rounds: u32,
    /// The gap.
    pub gap: f64,
    /// The gap that was asked for.
    pub wanted: f64,
}

/// The penalties on the scale of the sum of squares.
#[derive(Clone, Copy)]
struct Penalty {
    l1: f64,
    l2: f64,
}

/// Solves over these rows.
///
/// # Errors
/// When the coefficients grow beyond all bounds.
pub fn solve(rows: &Rows, asked: &Asked) -> Result<(Solution, Ended), LinearError> {
    let n = count(rows.label.len());
    let centred = rows.centred(asked.fit_intercept, n / rows.total_weight());
    let penalty = Penalty { l1: asked.alpha * asked.l1_ratio * n, l2: asked.alpha * (1.0 - asked.l1_ratio) * n };
    let wanted = asked.tol * dot(&centred.label, &centred.label);
    let squares: Vec<f64> = centred.columns.iter().map(|column| dot(column, column)).collect();
    let (mut b, mut left) = (vec![0.0; centred.columns.len()], centred.label.clone());
    let mut ended = Ended { rounds: 0, gap: gap(&centred, &b, &left, penalty), wanted };
    while ended.gap > wanted && ended.rounds < asked.max_iter {
        let (largest, moved) = round(&centred, &squares, &mut b, &mut left, penalty);
        ended.rounds += 1;
        if largest == 0.0 || moved / largest <= asked.tol || ended.rounds == asked.max_iter {
            ended.gap = gap(&centred, &b, &left, penalty);
        }
    }
    Ok((centred.solution(b)?, ended))
}

/// One step for each coefficient; the largest of them then, and the longest step.
fn round(rows: &Centred, squares: &[f64], b: &mut [f64], left: &mut [f64], penalty: Penalty) -> (f64, f64) {
    let (mut largest, mut moved) = (0.0_f64, 0.0_f64);
    for (at, column) in rows.columns.iter().enumerate().filter(|(at, _)| squares[*at] > 0.0) {
        let old = b[at];
        let pull = dot(column, left) + old * squares[at];
        b[at] = pull.signum() * (pull.abs() - penalty.l1).max(0.0) / (squares[at] + penalty.l2);
        let step = b[at] - old;
        if step != 0.0 {
            left.iter_mut().zip(column).for_each(|(left, value)| *left -= step * value);
        }
        (largest, moved) = (largest.max(b[at].abs()), moved.max(step.abs()));
    }
    (largest, moved)
}

/// How far the objective can be above its least value; without a penalty by size the dual is another one, without any it is the gradient's square.
fn gap(rows: &Centred, b: &[f64], left: &[f64], penalty: Penalty) -> f64 {
    let (left_squared, with_label, b_squared) = (dot(left, left), dot(left, &rows.label), dot(b, b));
    let pulls: Vec<f64> = rows.columns.iter().map(|column| dot(column, left)).collect();
    if penalty.l1 == 0.0 {
        let pull = dot(&pulls, &pulls);
        let dual = left_squared + 0.5 * penalty.l2 * b_squared - with_label + pull / (2.0 * penalty.l2);
        return if penalty.l2 == 0.0 { pull } else { dual };
    }
    let steepest = pulls.iter().zip(b).map(|(pull, b)| (pull - penalty.l2 * b).abs()).fold(0.0, f64::max);
    let shrink = if steepest > penalty.l1 { penalty.l1 / steepest } else { 1.0 };
    let primal_and_dual = 0.5 * left_squared * (1.0 + shrink * shrink) - shrink * with_label;
    let sizes: f64 = b.iter().map(|b| b.abs()).sum();
    primal_and_dual + penalty.l1 * sizes + 0.5 * penalty.l2 * (1.0 + shrink * shrink) * b_squared
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Rows {
        let columns = vec![vec![-1.5, -0.5, 0.5, 1.5], vec![1.0, -1.0, -1.0, 1.0], vec![0.0; 4]];
        Rows { columns, label: vec![1.0, 3.0, 4.0, 8.0], weight: None }
    }

    fn asked(alpha: f64, l1_ratio: f64) -> Asked {
        Asked { alpha, l1_ratio, fit_intercept: true, max_iter: 1000, tol: 1e-12 }
    }

    #[test]
    fn columns_at_right_angles_shrink_each_by_itself() {
        // Pulls are 11 and 2, squares 5 and 4; of each pull 4 · 0.3 · 0.5 goes, and as much is added to the squares.
        let (solution, ended) = solve(&rows(), &asked(0.3, 0.5)).unwrap();
        for (found, expected) in solution.coefficients.iter().zip([10.4 / 5.6, 1.4 / 4.6, 0.0]) {
            assert!((found - expected).abs() < 1e-12, "{solution:?}");
        }
        assert!((solution.intercept - 4.0).abs() < 1e-12 && ended.gap <= ended.wanted);
    }

    #[test]
    fn a_strong_penalty_leaves_the_mean_and_an_end_too_early_shows_in_the_gap() {
        let (solution, ended) = solve(&rows(), &asked(100.0, 1.0)).unwrap();
        assert_eq!((solution.coefficients, ended.rounds), (vec![0.0; 3], 0));
        let leaning = Rows { columns: vec![vec![-1.0, 0.0, 0.0, 1.0], vec![-1.0, -0.1, 0.0, 1.0]], ..rows() };
        let (_, ended) = solve(&leaning, &Asked { max_iter: 1, ..asked(1e-4, 0.5) }).unwrap();
        assert!(ended.rounds == 1 && ended.gap > ended.wanted);
        let (_, ended) = solve(&leaning, &Asked { max_iter: 100_000, ..asked(1e-4, 0.0) }).unwrap();
        assert!(ended.gap <= ended.wanted, "without a penalty by size the gap is known too");
    }
}
