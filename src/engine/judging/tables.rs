//! Owns judgements as tables. Invariant: a figure that is not defined is NULL, and naive's stands in the same row.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use chrono::NaiveDate;

use crate::engine::evaluation::{Judged, TestRow};
use crate::engine::judging::bootstrap::Interval;
use crate::engine::judging::diebold_mariano::Verdict;
use crate::engine::judging::segments::{ModelSummary, Segment};
use crate::engine::table_columns::{Values, table};

/// One row of the measures.
type Row<'a> = (&'a Segment, &'a ModelSummary);

/// The measures: one row a model and segment.
///
/// # Errors
/// Never, unless Arrow refuses the columns.
pub fn metrics(segments: &[Segment]) -> Result<RecordBatch, ArrowError> {
    let rows: Vec<Row> = segments.iter().flat_map(|s| s.models.iter().map(move |m| (s, m))).collect();
    let texts = |value: fn(&Row) -> Option<String>| Values::Strings(rows.iter().map(value).collect());
    let dates = |value: fn(&Segment) -> NaiveDate| Values::Dates(rows.iter().map(|(s, _)| Some(value(s).to_epoch_days())).collect());
    let mut columns = vec![
        ("model", texts(|(_, m)| Some(m.model.clone()))),
        ("by", texts(|(s, _)| Some(s.by.word().to_owned()))),
        ("segment", texts(|(s, _)| Some(s.segment.clone()))),
        ("first_date", dates(|s| s.first_date)),
        ("last_date", dates(|s| s.last_date)),
        ("n", Values::Ints(rows.iter().map(|(s, _)| Some(s.n.cast_signed())).collect())),
    ];
    columns.extend(FIGURES.iter().map(|(name, value)| (*name, Values::Floats(rows.iter().map(value).collect()))));
    columns.push(("dm_kernel", texts(|(_, m)| m.dm_absolute.map(|v| v.kernel.word().to_owned()))));
    columns.push(("dm_squared_kernel", texts(|(_, m)| m.dm_squared.map(|v| v.kernel.word().to_owned()))));
    table(columns.into_iter().map(|(name, values)| (name.to_owned(), values)))
}

/// A column of numbers: its name and how its value is found.
type Figure = (&'static str, fn(&Row) -> Option<f64>);

/// The columns of numbers.
const FIGURES: &[Figure] = &[
    ("effective_n", |(s, _)| Some(s.effective_n)),
    ("mape", |(_, m)| m.summary.model.mape),
    ("naive_mape", |(_, m)| m.summary.naive.mape),
    ("mae", |(_, m)| m.summary.model.mae),
    ("mae_low", |(_, m)| low(m.mae_interval)),
    ("mae_high", |(_, m)| high(m.mae_interval)),
    ("naive_mae", |(_, m)| m.summary.naive.mae),
    ("rmse", |(_, m)| m.summary.model.rmse),
    ("naive_rmse", |(_, m)| m.summary.naive.rmse),
    ("r2", |(_, m)| m.summary.model.r2),
    ("naive_r2", |(_, m)| m.summary.naive.r2),
    ("direction", |(_, m)| m.summary.model.direction),
    ("up", |(s, _)| s.up),
    ("sharpe", |(_, m)| m.sharpe),
    ("hold_sharpe", |(s, _)| s.hold_sharpe),
    ("mae_ratio", |(_, m)| m.summary.mae_ratio),
    ("mae_ratio_low", |(_, m)| low(m.ratio_interval)),
    ("mae_ratio_high", |(_, m)| high(m.ratio_interval)),
    ("rmse_ratio", |(_, m)| m.summary.rmse_ratio),
    ("dm", |(_, m)| m.dm_absolute.map(|v| v.statistic)),
    ("dm_p", |(_, m)| p(m.dm_absolute)),
    ("dm_squared", |(_, m)| m.dm_squared.map(|v| v.statistic)),
    ("dm_squared_p", |(_, m)| p(m.dm_squared)),
    ("quantile", |(_, m)| m.quantile.map(|q| q.level)),
    ("pinball", |(_, m)| m.quantile?.pinball),
    ("naive_pinball", |(_, m)| m.quantile?.naive_pinball),
    ("coverage", |(_, m)| m.quantile?.coverage),
    ("naive_coverage", |(_, m)| m.quantile?.naive_coverage),
];

fn low(interval: Option<Interval>) -> Option<f64> {
    interval.map(|i| i.low)
}

fn high(interval: Option<Interval>) -> Option<f64> {
    interval.map(|i| i.high)
}

fn p(verdict: Option<Verdict>) -> Option<f64> {
    verdict.map(|v| v.p)
}

/// The forecasts: one row a model and test row.
///
/// # Errors
/// Never, unless Arrow refuses the columns.
pub fn predictions(rows: &[TestRow], models: &[Judged]) -> Result<RecordBatch, ArrowError> {
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
    use super::*;
    use crate::engine::judging::bootstrap::Bootstrap;
    use crate::engine::judging::segments::judge;
    use crate::engine::table_columns::floats;

    #[test]
    fn there_is_one_row_for_each_model_and_segment_or_forecast() {
        let day = |text: &str| text.parse().unwrap();
        let row = |date: &str, due: &str, price, actual| TestRow { date: day(date), outcome_date: day(due), price, actual };
        let rows = [row("2018-01-02", "2018-01-31", 60.0, 64.0), row("2018-01-03", "2018-02-01", 61.0, 65.0)];
        let models =
            ["a", "b"].map(|m| Judged { model: m.into(), predicted: vec![62.0, 65.0], quantile: (m == "b").then_some(0.9), set: None });
        let found = judge(&rows, &models, None, &Bootstrap::default()).unwrap();
        let measured = metrics(&found.segments).unwrap();
        assert_eq!(measured.num_rows(), 3 * 2);
        assert_eq!(floats(&measured, "quantile").unwrap(), [None, Some(0.9), None, Some(0.9), None, Some(0.9)]);
        assert_eq!(floats(&measured, "mae_low").unwrap(), [None; 6], "two rows are too few to be sure of anything");
        assert_eq!(predictions(&rows, &models).unwrap().num_rows(), 2 * 2);
    }
}
