//! Owns the weights that members of an ensemble earn by their out-of-sample forecasts. Invariant: the ensemble's own out-of-sample forecasts are
//! weighted by what was known before each fold; no row helps to weigh its own forecast.

use crate::engine::backtest_file::Predictions;
use crate::engine::folds::FEWEST;
use crate::engine::linear::ridge;
use crate::engine::linear::rows::{LinearError, Rows};
use crate::engine::numbers::count;

/// How weights are earned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Earned {
    /// By one over the mean absolute error; they add up to 1.
    InverseError,
    /// By the ridge regression (scikit-learn's `Ridge(alpha, fit_intercept=False)`) of the relative change that came on the relative changes
    /// that the members forecast. What the weights lack of 1 is the naive forecast's share: the price stays where it is.
    Stacked {
        /// The penalty.
        alpha: f64,
    },
}

/// Members that cannot be weighed.
#[derive(Debug, thiserror::Error)]
pub enum StackingError {
    /// Members that forecast other days.
    #[error("its out-of-sample forecasts are of other days than those of the first member")]
    Days {
        /// The member, counted from 0.
        member: usize,
    },
    /// A member without error, or without any sense.
    #[error("its mean out-of-sample error is {error}, which gives no weight")]
    Error {
        /// The member, counted from 0.
        member: usize,
        /// The error.
        error: f64,
    },
    /// There are too few forecasts.
    #[error("{rows} out-of-sample forecasts are too few to weigh members by: at least {FEWEST} are needed")]
    Few {
        /// How many there are.
        rows: usize,
    },
    /// The regression has no solution.
    #[error(transparent)]
    Linear(#[from] LinearError),
}

/// Refuses members whose forecasts are not of the same days and folds.
///
/// # Errors
/// The first member that differs from the first of all.
pub fn same_days(members: &[Predictions]) -> Result<(), StackingError> {
    let key = |p: &Predictions| (p.dates.clone(), p.outcome_dates.clone(), p.folds.clone());
    match members.iter().position(|member| key(member) != key(&members[0])) {
        Some(member) => Err(StackingError::Days { member }),
        None => Ok(()),
    }
}

/// One weight a member, earned on the given rows.
///
/// # Errors
/// When there are too few rows, or a member cannot be weighed.
pub fn weights(members: &[Predictions], rows: &[usize], earned: Earned) -> Result<Vec<f64>, StackingError> {
    if rows.len() < FEWEST {
        return Err(StackingError::Few { rows: rows.len() });
    }
    match earned {
        Earned::InverseError => inverse_errors(members, rows),
        Earned::Stacked { alpha } => stacked(members, rows, alpha),
    }
}

fn inverse_errors(members: &[Predictions], rows: &[usize]) -> Result<Vec<f64>, StackingError> {
    let weigh = |(index, member): (usize, &Predictions)| {
        let error = rows.iter().map(|&row| (member.predicted[row] - member.actual[row]).abs()).sum::<f64>() / count(rows.len());
        if error.is_finite() && error > 0.0 { Ok(1.0 / error) } else { Err(StackingError::Error { member: index, error }) }
    };
    let raw = members.iter().enumerate().map(weigh).collect::<Result<Vec<_>, _>>()?;
    let sum: f64 = raw.iter().sum();
    Ok(raw.iter().map(|weight| weight / sum).collect())
}

fn stacked(members: &[Predictions], rows: &[usize], alpha: f64) -> Result<Vec<f64>, StackingError> {
    let change = |member: &Predictions, levels: &[f64]| -> Vec<f64> {
        rows.iter().map(|&row| (levels[row] - member.price[row]) / member.price[row].abs().max(f64::MIN_POSITIVE)).collect()
    };
    let columns = members.iter().map(|member| change(member, &member.predicted)).collect();
    let rows = Rows { columns, label: change(&members[0], &members[0].actual), weight: None };
    let names: Vec<String> = (1..=members.len()).map(|number| format!("member {number}")).collect();
    Ok(ridge::solve(&rows, alpha, false, &names)?.coefficients)
}

/// The price forecast that weighted members give: today's, moved by each member's forecast change times its weight.
#[must_use]
pub fn combined(price: f64, levels: impl Iterator<Item = (f64, f64)>) -> f64 {
    levels.fold(price, |sum, (weight, level)| sum + weight * (level - price))
}

/// The ensemble's own out-of-sample forecasts: in each fold by the weights earned on the forecasts that had come due before it began, and by equal
/// weights while those are too few.
///
/// # Errors
/// When the members cannot be weighed.
pub fn out_of_sample(members: &[Predictions], earned: Earned) -> Result<Predictions, StackingError> {
    same_days(members)?;
    let first = &members[0];
    let equal = vec![1.0 / count(members.len()); members.len()];
    let mut own = Predictions { predicted: Vec::with_capacity(first.dates.len()), quantiles: None, ..first.clone() };
    let mut begin = 0;
    for fold in first.folds.chunk_by(|a, b| a == b) {
        let known: Vec<usize> = (0..begin).filter(|&row| first.outcome_dates[row] < first.dates[begin]).collect();
        let weights = if known.len() < FEWEST { equal.clone() } else { weights(members, &known, earned)? };
        for row in begin..begin + fold.len() {
            let levels = weights.iter().zip(members).map(|(weight, member)| (*weight, member.predicted[row]));
            own.predicted.push(combined(first.price[row], levels));
        }
        begin += fold.len();
    }
    Ok(own)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Forecasts a day each, due `horizon` days later, in folds of 30 days; each errs by `error` of what it should have said.
    fn member(days: i32, horizon: i32, actual: impl Fn(i32) -> f64, predicted: impl Fn(i32) -> f64) -> Predictions {
        let of = |f: &dyn Fn(i32) -> f64| (0..days).map(f).collect();
        Predictions {
            dates: (0..days).collect(),
            outcome_dates: (horizon..horizon + days).collect(),
            folds: (0..days).map(|day| (day / 30).to_string()).collect(),
            price: of(&|_| 50.0),
            actual: of(&actual),
            predicted: of(&predicted),
            quantiles: None,
        }
    }

    fn wave(day: i32) -> f64 {
        50.0 + 5.0 * (f64::from(day) / 7.0).sin()
    }

    #[test]
    fn the_better_member_weighs_more_and_a_stack_finds_the_truth() {
        let good = member(200, 5, wave, |day| wave(day) + 0.5);
        let bad = member(200, 5, wave, |day| wave(day) + 2.0);
        let rows: Vec<usize> = (0..200).collect();
        let by_error = weights(&[good.clone(), bad.clone()], &rows, Earned::InverseError).unwrap();
        assert!((by_error[0] - 0.8).abs() < 1e-9 && (by_error[1] - 0.2).abs() < 1e-9, "{by_error:?}");
        let half = member(200, 5, wave, |day| 50.0 + (wave(day) - 50.0) / 2.0);
        let doubled = weights(&[half], &rows, Earned::Stacked { alpha: 0.0 }).unwrap();
        assert!((doubled[0] - 2.0).abs() < 1e-9, "half of every change is worth two: {doubled:?}");
    }

    #[test]
    fn members_of_other_days_or_with_too_few_forecasts_are_refused() {
        let (long, short) = (member(100, 5, wave, wave), member(99, 5, wave, wave));
        assert!(matches!(out_of_sample(&[long.clone(), short], Earned::InverseError), Err(StackingError::Days { member: 1 })));
        let few = weights(&[long], &[0, 1, 2], Earned::InverseError).unwrap_err();
        assert!(few.to_string().starts_with("3 out-of-sample forecasts are too few"));
    }

    proptest! {
        #[test]
        fn no_later_outcome_moves_a_fold_of_the_ensemble(cut in 60_i32..170, shift in 1.0_f64..20.0, horizon in 1_i32..25) {
            let moved = |day: i32| wave(day) + if day >= cut { shift } else { 0.0 };
            let of = |actual: &dyn Fn(i32) -> f64| {
                let members = [member(200, horizon, actual, |day| wave(day) + 0.5), member(200, horizon, actual, |day| 60.0 - wave(day) / 5.0)];
                out_of_sample(&members, Earned::Stacked { alpha: 0.1 }).unwrap().predicted
            };
            // The fold that holds the first moved outcome, and those before it, cannot have seen it.
            let unmoved = usize::try_from((cut / 30 + 1) * 30).unwrap().min(200);
            prop_assert_eq!(&of(&wave)[..unmoved], &of(&moved)[..unmoved]);
        }
    }
}
