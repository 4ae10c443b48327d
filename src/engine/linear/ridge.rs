//! Owns ridge regression. Invariant: it minimises the weighted sum of squared errors plus `alpha` times the sum of squared coefficients, the
//! objective of scikit-learn's `Ridge`, and solves it in one step.

use crate::engine::least_squares;
use crate::engine::linear::rows::{LinearError, Rows, Solution};

/// Solves over these rows; `names` are the features', for what is refused.
///
/// # Errors
/// When `alpha` is 0 and the features do not determine the coefficients.
pub fn solve(rows: &Rows, alpha: f64, fit_intercept: bool, names: &[String]) -> Result<Solution, LinearError> {
    let mut centred = rows.centred(fit_intercept, 1.0);
    let (features, mut label) = (centred.columns.len(), centred.label.clone());
    if alpha > 0.0 {
        // The penalty as rows of its own: better conditioned than the normal equations.
        for (at, column) in centred.columns.iter_mut().enumerate() {
            column.extend((0..features).map(|row| if row == at { alpha.sqrt() } else { 0.0 }));
        }
        label.extend(std::iter::repeat_n(0.0, features));
    }
    let solved = least_squares::solve(&centred.columns, &label);
    centred.solution(solved.map_err(|error| LinearError::Dependent { feature: names[error.column].clone() })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(weight: Option<Vec<f64>>) -> Rows {
        Rows { columns: vec![vec![-1.0, 0.0, 1.0], vec![-2.0, 0.0, 2.0]], label: vec![1.0, 2.0, 6.0], weight }
    }

    fn names() -> [String; 2] {
        ["a", "twice_a"].map(str::to_owned)
    }

    #[test]
    fn a_penalty_shrinks_coefficients_and_not_the_intercept() {
        let one = Rows { columns: vec![vec![-1.0, 0.0, 1.0]], ..rows(None) };
        let solution = solve(&one, 2.0, true, &names()).unwrap();
        assert!((solution.coefficients[0] - 5.0 / 4.0).abs() < 1e-12 && (solution.intercept - 3.0).abs() < 1e-12);
        let through_zero = solve(&one, 0.0, false, &names()).unwrap();
        assert!((through_zero.coefficients[0] - 2.5).abs() < 1e-12 && through_zero.intercept == 0.0);
    }

    #[test]
    fn a_weight_of_two_counts_as_two_rows() {
        let weighted = Rows { columns: vec![vec![-1.0, 0.0, 1.0]], ..rows(Some(vec![1.0, 1.0, 2.0])) };
        let twice = Rows { columns: vec![vec![-1.0, 0.0, 1.0, 1.0]], label: vec![1.0, 2.0, 6.0, 6.0], weight: None };
        let (one, other) = (solve(&weighted, 0.5, true, &names()).unwrap(), solve(&twice, 0.5, true, &names()).unwrap());
        assert!((one.coefficients[0] - other.coefficients[0]).abs() < 1e-12 && (one.intercept - other.intercept).abs() < 1e-12);
    }

    #[test]
    fn features_that_make_each_other_up_need_a_penalty() {
        let error = solve(&rows(None), 0.0, true, &names()).unwrap_err();
        assert_eq!(error, LinearError::Dependent { feature: "twice_a".into() });
        assert!(solve(&rows(None), 1e-6, true, &names()).is_ok());
    }
}
