//! Owns which rows each fold learns from and which it forecasts. Invariant: no row that a fold learns from, and no row that stops its training,
//! has an outcome on or after the day its test begins (of a purged fold: within its test), so the gap is never shorter than the horizon.

use chrono::NaiveDate;

use crate::engine::frame_file::{FrameData, Part, iso_date};
use crate::model::folds::{Folds, Purged, WalkForward, Window};

/// The fewest rows that a part of a fold may have: fewer say nothing.
pub const FEWEST: usize = 20;

/// One fold: rows of the history by index, ascending.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fold {
    /// Rows to learn from.
    pub train: Vec<usize>,
    /// Rows for early stopping; none where the folds have no such stretch.
    pub valid: Vec<usize>,
    /// Rows to forecast.
    pub test: Vec<usize>,
}

/// Folds that cannot be cut.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FoldError {
    /// Not one fold fits.
    #[error("no fold fits between {from} and {to}")]
    None {
        /// The first date.
        from: NaiveDate,
        /// The last date.
        to: NaiveDate,
    },
    /// A part of a fold is too small to say anything.
    #[error("the fold that forecasts from {test} has {rows} {part} rows, fewer than {FEWEST}")]
    Few {
        /// The first date of its test.
        test: String,
        /// `train`, `valid` or `test`.
        part: &'static str,
        /// Its rows.
        rows: usize,
        /// The days before the test that would hold enough, where that is known.
        days: Option<i64>,
    },
}

impl FoldError {
    /// What would do.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::None { .. } => "move `from` and `to` apart, or shorten `test`".into(),
            Self::Few { part: "valid", days: Some(days), .. } => {
                format!("a row counts only if its outcome comes before the test begins: valid = \"{days} days\" would hold {FEWEST}")
            }
            Self::Few { part: "train", .. } => "begin later, or learn from a longer window".into(),
            Self::Few { .. } => "forecast longer stretches".into(),
        }
    }
}

/// Cuts a history into folds.
///
/// # Errors
/// When no fold fits, or a part of one has fewer than [`FEWEST`] rows.
pub fn cut(folds: &Folds, history: &FrameData) -> Result<Vec<Fold>, FoldError> {
    let made = match folds {
        Folds::WalkForward(walk) => walk_forward(walk, history)?,
        Folds::Purged(purged) => stretches(purged, history),
    };
    let (from, to) = folds.range();
    if made.is_empty() {
        return Err(FoldError::None { from, to });
    }
    for fold in &made {
        let test = || fold.test.first().map_or_else(|| from.to_string(), |&row| iso_date(history.dates[row]));
        for (part, rows) in [("test", &fold.test), ("train", &fold.train)] {
            if rows.len() < FEWEST {
                return Err(FoldError::Few { test: test(), part, rows: rows.len(), days: None });
            }
        }
    }
    Ok(made)
}

fn walk_forward(walk: &WalkForward, history: &FrameData) -> Result<Vec<Fold>, FoldError> {
    let mut folds = Vec::new();
    let starts = (0..).map_while(|step| walk.step.times_after(step, walk.from));
    let ends = |start: NaiveDate| walk.test.after(start).filter(|end| *end <= after(walk.to));
    for (start, end) in starts.map_while(|start| Some((start, ends(start)?))) {
        let test = rows(history, |date, outcome| day(start) <= date && date < day(end) && outcome <= day(walk.to));
        let learnt_before = walk.valid.and_then(|valid| valid.before(start)).unwrap_or(start);
        let valid = rows(history, |date, outcome| day(learnt_before) <= date && outcome < day(start));
        if walk.valid.is_some() && valid.len() < FEWEST {
            return Err(too_few_valid(history, start, valid.len()));
        }
        let mut train = rows(history, |date, outcome| date < day(learnt_before) && outcome < day(learnt_before));
        if let (Window::Rolling(window), Some(&last)) = (walk.train, train.last()) {
            // The length is counted before the gap, so that a long horizon does not shorten it.
            let first = NaiveDate::from_epoch_days(history.dates[last]).and_then(|last| window.before(last)).map_or(i32::MIN, day);
            train.retain(|&row| history.dates[row] > first);
        }
        folds.push(Fold { train, valid, test });
    }
    // Of the last stretches the outcomes lie beyond the end.
    while folds.last().is_some_and(|fold| fold.test.len() < FEWEST) {
        folds.pop();
    }
    Ok(folds)
}

fn too_few_valid(history: &FrameData, start: NaiveDate, found: usize) -> FoldError {
    let known = rows(history, |_, outcome| outcome < day(start));
    let enough = known.len().checked_sub(FEWEST).map(|at| i64::from(day(start) - history.dates[known[at]]));
    FoldError::Few { test: start.to_string(), part: "valid", rows: found, days: enough }
}

fn stretches(purged: &Purged, history: &FrameData) -> Vec<Fold> {
    let within = rows(history, |date, outcome| day(purged.from) <= date && outcome <= day(purged.to));
    let count = purged.count as usize;
    let bounds: Vec<usize> = (0..=count).map(|fold| fold * within.len() / count).collect();
    let fold = |ends: &[usize]| {
        let test = within[ends[0]..ends[1]].to_vec();
        let first = test.first().map_or(i32::MAX, |&row| history.dates[row]);
        let last = test.iter().map(|&row| history.outcome_dates[row]).max().unwrap_or(i32::MIN);
        let apart = |row: &usize| history.outcome_dates[*row] < first || history.dates[*row] > last;
        Fold { train: within.iter().copied().filter(apart).collect(), valid: Vec::new(), test }
    };
    bounds.windows(2).map(fold).collect()
}

fn rows(history: &FrameData, wanted: impl Fn(i32, i32) -> bool) -> Vec<usize> {
    let both = history.dates.iter().zip(&history.outcome_dates).enumerate();
    both.filter(|(_, (date, outcome))| wanted(**date, **outcome)).map(|(row, _)| row).collect()
}

fn after(date: NaiveDate) -> NaiveDate {
    date.succ_opt().unwrap_or(date)
}

fn day(date: NaiveDate) -> i32 {
    date.to_epoch_days()
}

/// The rows of a fold to learn from, as a frame of their own.
#[must_use]
pub fn lesson(history: &FrameData, fold: &Fold) -> FrameData {
    let parts = fold.train.iter().map(|row| (*row, Part::Train)).chain(fold.valid.iter().map(|row| (*row, Part::Valid)));
    history.subset(&parts.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::frame_past::Past;
    use crate::engine::price_history::PriceHistory;
    use crate::model::series::Series;
    use crate::model::training::{FrameRecord, Horizon, Label, LabelKind, PriceColumn, Split};

    /// A row a day from 2000-01-01, each with its outcome `horizon` days later.
    fn history(days: i32, horizon: i32) -> FrameData {
        let first = day("2000-01-01".parse().unwrap());
        let label = Label { kind: LabelKind::Level, horizon: Horizon::Days(u32::try_from(horizon).unwrap()) };
        let price = PriceColumn { table: "t.p".into(), column: "price".into(), series: Series::Spot };
        let split = Split { train: None, valid: None, test: None };
        let count = usize::try_from(days).unwrap();
        FrameData {
            record: FrameRecord { features: vec![], label, price, split, weight: None, folds: None, joined: Vec::new(), past: None },
            dates: (first..first + days).collect(),
            outcome_dates: (first + horizon..first + horizon + days).collect(),
            split: vec![Part::Train; count],
            price: vec![1.0; count],
            label: vec![1.0; count],
            weight: None,
            features: vec![],
            prices: PriceHistory::default(),
            past: Past::default(),
        }
    }

    fn walk(train: &str, valid: Option<&str>, test: &str, step: &str) -> Folds {
        Folds::WalkForward(WalkForward {
            from: "2002-01-01".parse().unwrap(),
            to: "2003-12-31".parse().unwrap(),
            train: Window::try_from(train.to_owned()).unwrap(),
            valid: valid.map(|v| v.parse().unwrap()),
            test: test.parse().unwrap(),
            step: step.parse().unwrap(),
        })
    }

    #[test]
    fn a_fold_learns_only_from_what_was_known_before_it_and_its_window_is_counted_before_the_gap() {
        let history = history(2000, 30);
        let folds = cut(&walk("12 months", Some("3 months"), "6 months", "6 months"), &history).unwrap();
        assert_eq!(folds.len(), 4);
        let ends = |rows: &[usize]| (iso_date(history.dates[rows[0]]), iso_date(history.dates[rows[rows.len() - 1]]));
        assert_eq!(ends(&folds[0].test), ("2002-01-01".into(), "2002-06-30".into()));
        assert_eq!(ends(&folds[0].valid), ("2001-10-01".into(), "2001-12-01".into()));
        assert_eq!(ends(&folds[0].train), ("2000-09-01".into(), "2001-08-31".into()));
        assert_eq!(ends(&folds[3].test).1, "2003-12-01", "later outcomes come after the end");
    }

    #[test]
    fn a_valid_stretch_shorter_than_the_horizon_is_refused_with_the_length_that_would_do() {
        let error = cut(&walk("expanding", Some("7 months"), "6 months", "6 months"), &history(2000, 200)).unwrap_err();
        assert_eq!(error.to_string(), "the fold that forecasts from 2002-01-01 has 14 valid rows, fewer than 20");
        assert!(error.hint().ends_with("valid = \"220 days\" would hold 20"), "{}", error.hint());
        let enough = cut(&walk("expanding", Some("220 days"), "6 months", "6 months"), &history(2000, 200)).unwrap();
        assert_eq!(enough[0].valid.len(), FEWEST);
    }

    proptest! {
        #[test]
        fn no_fold_learns_from_an_outcome_that_its_test_could_see(
            horizon in 1_i32..120, days in 1000_i32..2200, months in 1_u32..12, step in 1_u32..12, count in 2_u32..8, rolling in any::<bool>(),
        ) {
            let history = history(days, horizon);
            let train = if rolling { "18 months" } else { "expanding" };
            let purged = Folds::Purged(Purged { from: "2000-06-01".parse().unwrap(), to: "2003-12-31".parse().unwrap(), count });
            for plan in [walk(train, None, &format!("{months} months"), &format!("{step} months")), purged] {
                let Ok(folds) = cut(&plan, &history) else { continue };
                for fold in folds {
                    let first = history.dates[fold.test[0]];
                    let last = fold.test.iter().map(|&row| history.outcome_dates[row]).max().unwrap();
                    for &row in fold.train.iter().chain(&fold.valid) {
                        let (date, outcome) = (history.dates[row], history.outcome_dates[row]);
                        prop_assert!(outcome < first || (matches!(plan, Folds::Purged(_)) && date > last));
                    }
                }
            }
        }

        #[test]
        fn rows_that_arrive_after_the_end_move_no_fold(later in 0_i32..400) {
            let plan = walk("expanding", Some("6 months"), "3 months", "3 months");
            prop_assert_eq!(cut(&plan, &history(1461, 20)).unwrap(), cut(&plan, &history(1461 + later, 20)).unwrap());
        }
    }
}
