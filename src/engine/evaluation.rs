//! Owns the judging of models on test rows. Invariant: a model is judged only on rows whose window, from the forecast to its outcome, meets no
//! window of rows it has learnt from, and every figure stands beside the naive forecast's over the same rows.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use chrono::{Datelike, NaiveDate};
use serde::{Serialize, Serializer};

use crate::engine::metrics::{Outcome, Summary, summarise};
use crate::engine::table_columns::{Values, table};
use crate::model::training::TrainedOn;

/// The segment that holds every row.
pub const ALL: &str = "all";

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
}

/// How the models did over one stretch of the test rows.
#[derive(Debug, Clone, Serialize)]
pub struct Segment {
    /// `all`, a year such as `2018` or a quarter such as `2018-Q1`: the day the forecast was made counts.
    pub segment: String,
    /// The first forecast.
    #[serde(serialize_with = "as_text")]
    pub first_date: NaiveDate,
    /// The last forecast.
    #[serde(serialize_with = "as_text")]
    pub last_date: NaiveDate,
    /// How many forecasts.
    pub n: u64,
    /// Each model's measures, in the order of the recipe.
    pub models: Vec<ModelSummary>,
}

/// One model's measures over one segment.
#[derive(Debug, Clone, Serialize)]
pub struct ModelSummary {
    /// The model.
    pub model: String,
    /// Its measures beside naive's.
    #[serde(flatten)]
    pub summary: Summary,
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

/// Refuses test rows that a model has seen. A test row spans the days from its forecast to its outcome, rows learnt from those from the first
/// row to the last outcome; they may not share a day.
///
/// # Errors
/// The first window that shares a day with test rows.
pub fn unseen(trained_on: &[TrainedOn], rows: &[TestRow]) -> Result<(), Seen> {
    for window in trained_on {
        let meets = |row: &&TestRow| row.date.to_string() <= window.outcome_last && row.outcome_date.to_string() >= window.first;
        let met: Vec<_> = rows.iter().filter(meets).map(|row| row.date).collect();
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn as_text<S: Serializer>(date: &NaiveDate, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(date)
}

/// The models' measures over all rows, each year and each quarter, in that order.
#[must_use]
pub fn evaluate(rows: &[TestRow], models: &[Judged]) -> Vec<Segment> {
    let everything = std::iter::once((ALL.to_owned(), (0..rows.len()).collect()));
    let years = group(rows, |date| date.year().to_string());
    let quarters = group(rows, |date| format!("{}-Q{}", date.year(), date.month0() / 3 + 1));
    everything.chain(years).chain(quarters).filter_map(|(name, at)| segment(name, &at, rows, models)).collect()
}

fn group(rows: &[TestRow], name: impl Fn(NaiveDate) -> String) -> BTreeMap<String, Vec<usize>> {
    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, row) in rows.iter().enumerate() {
        groups.entry(name(row.date)).or_default().push(index);
    }
    groups
}

fn segment(name: String, at: &[usize], rows: &[TestRow], models: &[Judged]) -> Option<Segment> {
    let dates = || at.iter().map(|i| rows[*i].date);
    let judge = |judged: &Judged| {
        let outcome = |i: &usize| Outcome { price: rows[*i].price, actual: rows[*i].actual, predicted: judged.predicted[*i] };
        ModelSummary { model: judged.model.clone(), summary: summarise(&at.iter().map(outcome).collect::<Vec<_>>()) }
    };
    Some(Segment {
        segment: name,
        first_date: dates().min()?,
        last_date: dates().max()?,
        n: at.len() as u64,
        models: models.iter().map(judge).collect(),
    })
}

/// The measures as a table: one row a model and segment.
///
/// # Errors
/// Never, unless Arrow refuses the columns.
pub fn metrics_table(segments: &[Segment]) -> Result<RecordBatch, ArrowError> {
    let rows: Vec<(&Segment, &ModelSummary)> = segments.iter().flat_map(|s| s.models.iter().map(move |m| (s, m))).collect();
    let floats = |value: fn(&Summary) -> Option<f64>| Values::Floats(rows.iter().map(|(_, m)| value(&m.summary)).collect());
    let dates = |value: fn(&Segment) -> NaiveDate| Values::Dates(rows.iter().map(|(s, _)| Some(value(s).to_epoch_days())).collect());
    let columns = [
        ("model", Values::Strings(rows.iter().map(|(_, m)| Some(m.model.clone())).collect())),
        ("segment", Values::Strings(rows.iter().map(|(s, _)| Some(s.segment.clone())).collect())),
        ("first_date", dates(|s| s.first_date)),
        ("last_date", dates(|s| s.last_date)),
        ("n", Values::Ints(rows.iter().map(|(s, _)| Some(s.n.cast_signed())).collect())),
        ("mape", floats(|s| s.model.mape)),
        ("mae", floats(|s| s.model.mae)),
        ("rmse", floats(|s| s.model.rmse)),
        ("r2", floats(|s| s.model.r2)),
        ("direction", floats(|s| s.model.direction)),
        ("naive_mape", floats(|s| s.naive.mape)),
        ("naive_mae", floats(|s| s.naive.mae)),
        ("naive_rmse", floats(|s| s.naive.rmse)),
        ("naive_r2", floats(|s| s.naive.r2)),
        ("skill", floats(|s| s.skill)),
    ];
    table(columns.map(|(name, values)| (name.to_owned(), values)))
}

/// The forecasts as a table: one row a model and test row.
///
/// # Errors
/// Never, unless Arrow refuses the columns.
pub fn predictions_table(rows: &[TestRow], models: &[Judged]) -> Result<RecordBatch, ArrowError> {
    let all: Vec<(&Judged, &TestRow, f64)> =
        models.iter().flat_map(|m| rows.iter().zip(&m.predicted).map(move |(r, p)| (m, r, *p))).collect();
    let floats = |value: fn(&TestRow) -> f64| Values::Floats(all.iter().map(|(_, row, _)| Some(value(row))).collect());
    let dates = |value: fn(&TestRow) -> NaiveDate| Values::Dates(all.iter().map(|(_, row, _)| Some(value(row).to_epoch_days())).collect());
    let columns = [
        ("date", dates(|r| r.date)),
        ("outcome_date", dates(|r| r.outcome_date)),
        ("price", floats(|r| r.price)),
        ("actual", floats(|r| r.actual)),
        ("naive", floats(|r| r.price)),
        ("model", Values::Strings(all.iter().map(|(m, ..)| Some(m.model.clone())).collect())),
        ("predicted", Values::Floats(all.iter().map(|(.., predicted)| Some(*predicted)).collect())),
    ];
    table(columns.map(|(name, values)| (name.to_owned(), values)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
    }

    #[test]
    fn forecasts_are_counted_in_the_year_and_quarter_they_were_made() {
        let rows = [
            row("2017-12-29", "2018-01-31", 60.0, 64.0),
            row("2018-03-31", "2018-04-30", 61.0, 65.0),
            row("2018-04-01", "2018-05-01", 61.0, 60.0),
        ];
        let models = [Judged { model: "m".into(), predicted: vec![62.0, 65.0, 61.0] }];
        let segments = evaluate(&rows, &models);
        let found: Vec<_> = segments.iter().map(|s| (s.segment.as_str(), s.n)).collect();
        assert_eq!(found, [("all", 3), ("2017", 1), ("2018", 2), ("2017-Q4", 1), ("2018-Q1", 1), ("2018-Q2", 1)]);
        assert_eq!(segments[0].models[0].summary.model.mae, Some(1.0));
        assert_eq!(segments[0].models[0].summary.naive.mae, Some(3.0));
        let text = serde_json::to_string(&segments[1]).unwrap();
        assert!(
            text.starts_with(
                r#"{"segment":"2017","first_date":"2017-12-29","last_date":"2017-12-29","n":1,"models":[{"model":"m","n":1,"mape":3.125,"#
            ),
            "{text}"
        );
    }

    #[test]
    fn the_tables_hold_one_row_for_each_model_and_segment_or_forecast() {
        let rows = [row("2018-01-02", "2018-01-31", 60.0, 64.0), row("2018-01-03", "2018-02-01", 61.0, 65.0)];
        let models = ["a", "b"].map(|m| Judged { model: m.into(), predicted: vec![62.0, 65.0] });
        assert_eq!(metrics_table(&evaluate(&rows, &models)).unwrap().num_rows(), 3 * 2);
        assert_eq!(predictions_table(&rows, &models).unwrap().num_rows(), 2 * 2);
    }

    proptest! {
        #[test]
        fn the_years_add_up_to_the_whole(all in prop::collection::vec((0_u64..3000, 1.0..99.0_f64, 1.0..99.0_f64, 1.0..99.0_f64), 1..60)) {
            let rows: Vec<_> = all.iter().map(|(d, price, actual, _)| {
                let date = day("2010-01-01") + chrono::Days::new(*d);
                TestRow { date, outcome_date: date + chrono::Days::new(30), price: *price, actual: *actual }
            }).collect();
            let models = [Judged { model: "m".into(), predicted: all.iter().map(|a| a.3).collect() }];
            let segments = evaluate(&rows, &models);
            let part = |length: usize| -> (u64, f64) {
                let some = segments.iter().filter(|s| s.segment.len() == length);
                #[expect(clippy::cast_precision_loss)]
                let weighed = |s: &Segment| s.models[0].summary.model.mae.unwrap() * s.n as f64;
                some.fold((0, 0.0), |sum, s| (sum.0 + s.n, sum.1 + weighed(s)))
            };
            let (whole, years, quarters) = (part(3), part(4), part(7));
            prop_assert!(whole.0 == years.0 && whole.0 == quarters.0);
            prop_assert!((whole.1 - years.1).abs() < 1e-6 && (whole.1 - quarters.1).abs() < 1e-6);
        }
    }
}
