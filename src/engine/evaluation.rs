//! Owns what there is to judge: rows with their outcomes and what models forecast of them, wherever they come from. Invariant: a model is judged only
//! on rows whose window, from the forecast to its outcome, meets no window of rows it has learnt from.

use chrono::NaiveDate;

use crate::engine::quantiles::Quantiles;
use crate::model::training::TrainedOn;

/// One forecast to be judged: made on `date`, come due on `outcome_date`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TestRow {
    /// When it was made.
    pub date: NaiveDate,
    /// When its outcome was known.
    pub outcome_date: NaiveDate,
    /// The price known on `date`, which is also the naive forecast.
    pub price: f64,
    /// The price that came.
    pub actual: f64,
}

/// A model's forecasts of the test rows, as price levels in the order of the rows.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The model, as the recipe names it.
    pub model: String,
    /// One level a row.
    pub predicted: Vec<f64>,
    /// The level of the quantile that they are meant to be, where they are one.
    pub quantile: Option<f64>,
    /// All quantiles of a set; `predicted` is its middle one.
    pub set: Option<Quantiles>,
}

/// Rows that a model has seen and is asked to be judged on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it learnt from {split} rows of {first} to {last} with outcomes up to {outcome_last}, which meet {rows} test rows, {from} to {to}")]
pub struct Seen {
    /// The split it learnt from.
    pub split: String,
    /// That split's first date.
    pub first: String,
    /// That split's last date.
    pub last: String,
    /// When the last of that split's outcomes was known.
    pub outcome_last: String,
    /// How many test rows meet that window.
    pub rows: usize,
    /// The first of them.
    pub from: NaiveDate,
    /// The last of them.
    pub to: NaiveDate,
}

/// Whether a test row shares a day with the rows of a window.
fn meets(window: &TrainedOn, row: &TestRow) -> bool {
    row.date.to_string() <= window.outcome_last && row.outcome_date.to_string() >= window.first
}

/// The rows, by their numbers, that share no day with any of these windows.
#[must_use]
pub fn unseen_rows(windows: &[TrainedOn], rows: &[TestRow]) -> Vec<usize> {
    (0..rows.len()).filter(|row| !windows.iter().any(|window| meets(window, &rows[*row]))).collect()
}

/// Refuses test rows that a model has seen. A test row spans the days from its forecast to its outcome, rows learnt from those from the first
/// row to the last outcome; they may not share a day.
///
/// # Errors
/// The first window that shares a day with test rows.
pub fn unseen(trained_on: &[TrainedOn], rows: &[TestRow]) -> Result<(), Seen> {
    for window in trained_on {
        let met: Vec<_> = rows.iter().filter(|row| meets(window, row)).map(|row| row.date).collect();
        if let (Some(from), Some(to)) = (met.iter().min(), met.iter().max()) {
            return Err(Seen {
                split: window.split.clone(),
                first: window.first.clone(),
                last: window.last.clone(),
                outcome_last: window.outcome_last.clone(),
                rows: met.len(),
                from: *from,
                to: *to,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn row(date: &str, outcome_date: &str, price: f64, actual: f64) -> TestRow {
        TestRow { date: day(date), outcome_date: day(outcome_date), price, actual }
    }

    fn window(first: &str, last: &str, outcome_last: &str) -> TrainedOn {
        TrainedOn { split: "train".into(), first: first.into(), last: last.into(), rows: 9, outcome_last: outcome_last.into() }
    }

    #[test]
    fn a_model_is_not_judged_on_rows_it_has_seen() {
        let rows = [row("2018-01-02", "2018-01-31", 60.0, 64.0), row("2018-01-03", "2018-02-01", 61.0, 65.0)];
        assert_eq!(unseen(&[window("2010-01-04", "2017-11-30", "2017-12-29")], &rows), Ok(()));
        let seen = unseen(&[window("2010-01-04", "2017-12-29", "2018-01-02")], &rows).unwrap_err();
        assert_eq!((seen.rows, seen.from, seen.to), (1, day("2018-01-02"), day("2018-01-02")));
        assert_eq!(
            seen.to_string(),
            "it learnt from train rows of 2010-01-04 to 2017-12-29 with outcomes up to 2018-01-02, which meet 1 test rows, 2018-01-02 to 2018-01-02"
        );
        // Rows learnt from after the test meet it through the test's outcomes.
        assert_eq!(unseen(&[window("2018-02-01", "2018-06-01", "2018-07-02")], &rows).unwrap_err().rows, 1);
        assert_eq!(unseen(&[window("2018-02-02", "2018-06-01", "2018-07-02")], &rows), Ok(()));
        assert_eq!(unseen_rows(&[window("2018-02-01", "2018-06-01", "2018-07-02")], &rows), [0], "the other may be judged");
    }
}
