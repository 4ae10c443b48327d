//! Owns what members of an ensemble earn by their out-of-sample forecasts: weights, or trees over them. Invariant: the ensemble's own out-of-sample
//! forecasts are combined by what was known before each fold; no row helps to weigh its own forecast.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::engine::backtest_file::Predictions;
use crate::engine::combining::{ByRegime, Combination, CombineError, OfRegime, change, changes};
use crate::engine::folds::FEWEST;
use crate::engine::gbdt::data::{Sample, TrainingData, single};
use crate::engine::gbdt::error::GbdtError;
use crate::engine::gbdt::lightgbm;
use crate::engine::linear::ridge;
use crate::engine::linear::rows::{LinearError, Rows};
use crate::engine::numbers::count;
use crate::engine::regimes::{RegimeCalendar, RegimeError};

/// How weights are earned.
#[derive(Debug, Clone, PartialEq)]
pub enum Earned {
    /// By one over the mean absolute error; they add up to 1.
    InverseError,
    /// The same, of each regime by itself that has forecasts enough.
    ByRegime {
        /// The fewest forecasts that are enough.
        least: usize,
        /// Which day belongs to which regime.
        calendar: RegimeCalendar,
    },
    /// By the ridge regression (scikit-learn's `Ridge(alpha, fit_intercept=False)`) of the relative change that came on the relative changes
    /// that the members forecast. What the weights lack of 1 is the naive forecast's share: the price stays where it is.
    Stacked {
        /// The penalty.
        alpha: f64,
    },
    /// By `LightGBM`'s trees of the same on the same.
    Trees {
        /// The library's parameters, threads included.
        params: BTreeMap<String, Value>,
        /// How many rounds.
        rounds: u32,
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
    /// The trees cannot be grown.
    #[error(transparent)]
    Gbdt(#[from] GbdtError),
    /// A day has no regime.
    #[error("out-of-sample forecasts: {0}")]
    Regimes(#[from] RegimeError),
    /// Forecasts cannot be combined.
    #[error(transparent)]
    Combine(#[from] CombineError),
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

/// What was learnt, and the text of the trees where there are any.
pub struct Learnt {
    /// What makes one forecast of the members'.
    pub combination: Combination,
    /// The trees as the vendor writes them.
    pub text: Option<String>,
}

impl From<Combination> for Learnt {
    fn from(combination: Combination) -> Self {
        Self { combination, text: None }
    }
}

/// What members come to together, learnt on the given rows.
///
/// # Errors
/// When there are too few rows, or a member cannot be weighed.
pub fn learn(members: &[Predictions], rows: &[usize], earned: &Earned) -> Result<Learnt, StackingError> {
    if rows.len() < FEWEST {
        return Err(StackingError::Few { rows: rows.len() });
    }
    match earned {
        Earned::InverseError => Ok(Combination::Shares(inverse_errors(members, rows)?).into()),
        Earned::Stacked { alpha } => Ok(Combination::Shares(stacked(members, rows, *alpha)?).into()),
        Earned::ByRegime { least, calendar } => Ok(Combination::ByRegime(by_regime(members, rows, *least, calendar)?).into()),
        Earned::Trees { params, rounds } => trees(members, rows, params, *rounds),
    }
}

fn by_regime(members: &[Predictions], rows: &[usize], least: usize, calendar: &RegimeCalendar) -> Result<ByRegime, StackingError> {
    let days: Vec<i32> = rows.iter().map(|&row| members[0].dates[row]).collect();
    let names = calendar.of_days(&days)?;
    let one = |regime: &str| {
        let own: Vec<usize> = rows.iter().zip(&names).filter(|(_, name)| *name == regime).map(|(row, _)| *row).collect();
        let weights = if own.len() >= least.max(FEWEST) { Some(inverse_errors(members, &own)?) } else { None };
        Ok((regime.to_owned(), OfRegime { rows: own.len(), weights }))
    };
    let regimes = calendar.names().into_iter().map(one).collect::<Result<_, StackingError>>()?;
    Ok(ByRegime { least, all: inverse_errors(members, rows)?, regimes, calendar: calendar.clone() })
}

fn trees(members: &[Predictions], rows: &[usize], params: &BTreeMap<String, Value>, rounds: u32) -> Result<Learnt, StackingError> {
    let pick = |values: &[f64]| rows.iter().map(|&row| values[row]).collect::<Vec<f64>>();
    let prices = pick(&members[0].price);
    let levels: Vec<Vec<f64>> = members.iter().map(|member| pick(&member.predicted)).collect();
    let came = prices.iter().zip(pick(&members[0].actual)).map(|(price, actual)| change(*price, actual));
    let train = Sample { values: changes(&prices, &levels), label: single(came), weight: None };
    let features = (1..=members.len()).map(|number| format!("member_{number}")).collect();
    let (text, _) = lightgbm::train(&TrainingData { features, train, valid: None }, params, rounds, None)?;
    Ok(Learnt { combination: Combination::Trees(lightgbm::Model::read(&text)?), text: Some(text) })
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
    let changes =
        |member: &Predictions, levels: &[f64]| -> Vec<f64> { rows.iter().map(|&row| change(member.price[row], levels[row])).collect() };
    let columns = members.iter().map(|member| changes(member, &member.predicted)).collect();
    let rows = Rows { columns, label: changes(&members[0], &members[0].actual), weight: None };
    let names: Vec<String> = (1..=members.len()).map(|number| format!("member {number}")).collect();
    Ok(ridge::solve(&rows, alpha, false, &names)?.coefficients)
}

/// The ensemble's own out-of-sample forecasts: in each fold by what was learnt of the forecasts that had come due before it began, and by equal
/// weights while those are too few.
///
/// # Errors
/// When the members cannot be weighed.
pub fn out_of_sample(members: &[Predictions], earned: &Earned) -> Result<Predictions, StackingError> {
    same_days(members)?;
    let first = &members[0];
    let mut own = Predictions { predicted: Vec::with_capacity(first.dates.len()), quantiles: None, ..first.clone() };
    let mut begin = 0;
    for fold in first.folds.chunk_by(|a, b| a == b) {
        let end = begin + fold.len();
        let known: Vec<usize> = (0..begin).filter(|&row| first.outcome_dates[row] < first.dates[begin]).collect();
        let equal = || Combination::Shares(vec![1.0 / count(members.len()); members.len()]);
        let combination = if known.len() < FEWEST { equal() } else { learn(members, &known, earned)?.combination };
        let levels: Vec<Vec<f64>> = members.iter().map(|member| member.predicted[begin..end].to_vec()).collect();
        own.predicted.extend(combination.combine(&first.dates[begin..end], &first.price[begin..end], &levels)?);
        begin = end;
    }
    Ok(own)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::table_columns::{Values, table};

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

    fn weights(members: &[Predictions], rows: &[usize], earned: &Earned) -> Vec<f64> {
        match learn(members, rows, earned).unwrap().combination {
            Combination::Shares(weights) => weights,
            _ => panic!("no weights"),
        }
    }

    /// Calm for 100 days, then a storm, which breaks off after 250 days.
    fn calendar() -> RegimeCalendar {
        let dates = Values::Dates((0..250).map(Some).collect());
        let names = Values::Strings((0..250).map(|day| Some(if day < 100 { "calm" } else { "storm" }.to_owned())).collect());
        RegimeCalendar::read(&table([("date".to_owned(), dates), ("regime".to_owned(), names)]).unwrap(), "regime", "date").unwrap()
    }

    fn wave(day: i32) -> f64 {
        50.0 + 5.0 * (f64::from(day) / 7.0).sin()
    }

    #[test]
    fn the_better_member_weighs_more_and_a_stack_finds_the_truth() {
        let good = member(200, 5, wave, |day| wave(day) + 0.5);
        let bad = member(200, 5, wave, |day| wave(day) + 2.0);
        let rows: Vec<usize> = (0..200).collect();
        let by_error = weights(&[good.clone(), bad.clone()], &rows, &Earned::InverseError);
        assert!((by_error[0] - 0.8).abs() < 1e-9 && (by_error[1] - 0.2).abs() < 1e-9, "{by_error:?}");
        let half = member(200, 5, wave, |day| 50.0 + (wave(day) - 50.0) / 2.0);
        let doubled = weights(&[half], &rows, &Earned::Stacked { alpha: 0.0 });
        assert!((doubled[0] - 2.0).abs() < 1e-9, "half of every change is worth two: {doubled:?}");
    }

    #[test]
    fn members_of_other_days_or_with_too_few_forecasts_are_refused() {
        let (long, short) = (member(100, 5, wave, wave), member(99, 5, wave, wave));
        assert!(matches!(out_of_sample(&[long.clone(), short], &Earned::InverseError), Err(StackingError::Days { member: 1 })));
        let few = learn(&[long], &[0, 1, 2], &Earned::InverseError).err().unwrap();
        assert!(few.to_string().starts_with("3 out-of-sample forecasts are too few"));
    }

    #[test]
    fn a_regime_weighs_by_its_own_errors_once_it_has_forecasts_enough() {
        // Each is the better one in one regime.
        let miss = |calm: f64, storm: f64| move |day: i32| wave(day) + if day < 100 { calm } else { storm };
        let members = [member(150, 5, wave, miss(0.5, 2.0)), member(150, 5, wave, miss(2.0, 0.5))];
        let rows: Vec<usize> = (0..150).collect();
        let learnt = |least| match learn(&members, &rows, &Earned::ByRegime { least, calendar: calendar() }).unwrap().combination {
            Combination::ByRegime(by) => by,
            _ => panic!("no weights by regime"),
        };
        let near = |found: &[f64], expected: [f64; 2]| found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-9);
        let enough = learnt(50);
        assert!(near(enough.on(10).unwrap(), [0.8, 0.2]) && near(enough.on(120).unwrap(), [0.2, 0.8]));
        let few = learnt(51);
        assert_eq!(few.regimes["storm"], OfRegime { rows: 50, weights: None });
        assert_eq!(few.on(120).unwrap(), few.all, "the weights of all rows stand in");
        assert!(few.on(250).is_err());
        let late = [member(300, 5, wave, wave), member(300, 5, wave, |day| wave(day) + 1.0)];
        let error = learn(&late, &(0..300).collect::<Vec<_>>(), &Earned::ByRegime { least: 50, calendar: calendar() }).err().unwrap();
        assert!(error.to_string().starts_with("out-of-sample forecasts: 50 days have no regime: 1970-09-08"), "{error}");
    }

    #[test]
    fn trees_learn_what_no_weight_can_say() {
        // A member that is right about rises and knows nothing of falls.
        let actual = |day: i32| 50.0 + if wave(day) > 50.0 { 4.0 } else { -4.0 };
        let half_blind = member(400, 5, actual, |day| if wave(day) > 50.0 { 51.0 } else { 50.0 });
        let params = [("num_threads", 1), ("verbosity", -1), ("min_data_in_leaf", 5)]
            .map(|(name, value)| (name.to_owned(), Value::from(value)))
            .into();
        let own = out_of_sample(std::slice::from_ref(&half_blind), &Earned::Trees { params, rounds: 100 }).unwrap();
        let missed = own.predicted[120..].iter().zip(&own.actual[120..]).map(|(p, a)| (p - a).abs()).fold(0.0, f64::max);
        assert!(missed < 0.1, "{missed}");
    }

    proptest! {
        #[test]
        fn no_later_outcome_moves_a_fold_of_the_ensemble(cut in 60_i32..170, how in 0..3_usize, shift in 1.0_f64..20.0, horizon in 1_i32..25) {
            let moved = |day: i32| wave(day) + if day >= cut { shift } else { 0.0 };
            let of = |actual: &dyn Fn(i32) -> f64| {
                let members = [member(200, horizon, actual, |day| wave(day) + 0.5), member(200, horizon, actual, |day| 60.0 - wave(day) / 5.0)];
                let earned = [
                    Earned::Stacked { alpha: 0.1 },
                    Earned::ByRegime { least: 30, calendar: calendar() },
                    Earned::InverseError,
                ];
                out_of_sample(&members, &earned[how]).unwrap().predicted
            };
            // The fold that holds the first moved outcome, and those before it, cannot have seen it.
            let unmoved = usize::try_from((cut / 30 + 1) * 30).unwrap().min(200);
            prop_assert_eq!(&of(&wave)[..unmoved], &of(&moved)[..unmoved]);
        }
    }
}
