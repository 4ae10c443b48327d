//! Owns how models did over all rows and parts of them. Invariant: every figure stands beside the naive forecast's over the same rows, and the rows'
//! own dates say how many forecasts are open at once; what a segment is too short for is `None`.

use std::collections::BTreeMap;

use chrono::{Datelike, NaiveDate};
use serde::Serialize;

use crate::base::date;
use crate::engine::evaluation::{Judged, TestRow};
use crate::engine::judging::bootstrap::{Bootstrap, Interval, Resamples, default_block};
use crate::engine::judging::diebold_mariano::{self, Verdict};
use crate::engine::judging::quantile_sets::{self, SetSummary};
use crate::engine::judging::sharpe::{Trade, sharpe};
use crate::engine::metrics::{Outcome, QuantileErrors, Summary, quantile_errors, summarise};
use crate::engine::numbers::count;

/// The segment that holds every row.
pub const ALL: &str = "all";
/// A regime of fewer rows is not measured.
pub const LEAST_OF_A_REGIME: u64 = 10;

/// How rows were put into segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// All rows together.
    All,
    /// By the regime of the day the forecast was made.
    Regime,
    /// By the year it was made in.
    Year,
    /// By the quarter it was made in.
    Quarter,
}

impl By {
    /// As it stands in tables.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Regime => "regime",
            Self::Year => "year",
            Self::Quarter => "quarter",
        }
    }
}

/// How the models did.
#[derive(Debug, Clone, Serialize)]
pub struct Judgement {
    /// The most forecasts that were open at once: made, with their outcome still to come.
    pub open_at_once: usize,
    /// Rows in a block of the bootstrap.
    pub block: usize,
    /// The bootstrap.
    pub bootstrap: Bootstrap,
    /// Regimes with too few rows to be measured.
    pub too_few: Vec<TooFew>,
    /// All rows, then regimes, years and quarters.
    pub segments: Vec<Segment>,
}

/// A regime with too few rows to be measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TooFew {
    /// The regime.
    pub regime: String,
    /// Its rows.
    pub n: u64,
}

/// How the models did over some of the rows.
#[derive(Debug, Clone, Serialize)]
pub struct Segment {
    /// What put these rows together.
    pub by: By,
    /// `all`, a regime, a year such as `2018` or a quarter such as `2018-Q1`.
    pub segment: String,
    /// The first forecast.
    #[serde(serialize_with = "date::serialize")]
    pub first_date: NaiveDate,
    /// The last forecast.
    #[serde(serialize_with = "date::serialize")]
    pub last_date: NaiveDate,
    /// How many forecasts.
    pub n: u64,
    /// How many of them do not overlap: `n` over the most that are open at once.
    pub effective_n: f64,
    /// The share of the moves that went up: the direction of always forecasting a rise.
    pub up: Option<f64>,
    /// The Sharpe ratio of holding throughout.
    pub hold_sharpe: Option<f64>,
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
    /// The Sharpe ratio of the position it implies; naive implies none.
    pub sharpe: Option<f64>,
    /// The bootstrap's interval of the mean absolute error.
    pub mae_interval: Option<Interval>,
    /// The bootstrap's interval of that error over naive's.
    pub ratio_interval: Option<Interval>,
    /// Diebold and Mariano's test on absolute errors.
    pub dm_absolute: Option<Verdict>,
    /// The same on squared errors.
    pub dm_squared: Option<Verdict>,
    /// What is measured of a quantile.
    pub quantile: Option<QuantileErrors>,
    /// What is measured of a quantile set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set: Option<SetSummary>,
}

/// Why nothing was judged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("blocks of {block} rows are shorter than the {open} forecasts that are open at once: the interval would come out too narrow")]
pub struct ShortBlock {
    /// The block asked for.
    pub block: usize,
    /// The most forecasts that are open at once.
    pub open: usize,
}

impl ShortBlock {
    /// What would do.
    #[must_use]
    pub fn hint(&self) -> String {
        format!("bootstrap = {{ block = {} }}, or leave it out", self.open)
    }
}

/// Judges the models over all rows, each regime, year and quarter. `regimes` holds one for each row.
///
/// # Errors
/// When the bootstrap's blocks are shorter than the forecasts' reach.
pub fn judge(rows: &[TestRow], models: &[Judged], regimes: Option<&[String]>, bootstrap: &Bootstrap) -> Result<Judgement, ShortBlock> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|row| rows[*row].date);
    let open = open_at_once(rows, &order);
    let block = bootstrap.block.map_or_else(|| default_block(rows.len(), open), |block| block as usize);
    if block < open {
        return Err(ShortBlock { block, open });
    }
    let judge = Judge { rows, models, open, block, bootstrap };
    let (mut segments, mut too_few) = (Vec::new(), Vec::new());
    for (by, name, at) in parts(rows, &order, regimes) {
        let n = at.len() as u64;
        if by == By::Regime && n < LEAST_OF_A_REGIME {
            too_few.push(TooFew { regime: name, n });
        } else {
            segments.extend(judge.segment(by, name, &at));
        }
    }
    Ok(Judgement { open_at_once: open, block, bootstrap: *bootstrap, too_few, segments })
}

/// The most forecasts made at or after a day and before its forecast's outcome, that day's included. `order` is that of the rows' dates.
#[must_use]
pub fn open_at_once(rows: &[TestRow], order: &[usize]) -> usize {
    let reach = |(first, row): (usize, &usize)| order.partition_point(|other| rows[*other].date < rows[*row].outcome_date) - first;
    order.iter().enumerate().map(reach).max().unwrap_or(0).max(1)
}

/// How many of `n` forecasts do not overlap, where so many are open at once: at least 1.
#[must_use]
pub fn effective(n: usize, open: usize) -> f64 {
    (count(n) / count(open)).max(1.0)
}

/// Every segment's rows, in the order of time.
fn parts(rows: &[TestRow], order: &[usize], regimes: Option<&[String]>) -> Vec<(By, String, Vec<usize>)> {
    let mut parts = vec![(By::All, ALL.to_owned(), order.to_vec())];
    let mut group = |by: By, name: &dyn Fn(usize) -> String| {
        let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for row in order {
            groups.entry(name(*row)).or_default().push(*row);
        }
        parts.extend(groups.into_iter().map(|(name, at)| (by, name, at)));
    };
    if let Some(regimes) = regimes {
        group(By::Regime, &|row| regimes[row].clone());
    }
    group(By::Year, &|row| rows[row].date.year().to_string());
    group(By::Quarter, &|row| format!("{}-Q{}", rows[row].date.year(), rows[row].date.month0() / 3 + 1));
    parts
}

struct Judge<'a> {
    rows: &'a [TestRow],
    models: &'a [Judged],
    open: usize,
    block: usize,
    bootstrap: &'a Bootstrap,
}

impl Judge<'_> {
    fn segment(&self, by: By, segment: String, at: &[usize]) -> Option<Segment> {
        let dates = || at.iter().map(|row| self.rows[*row].date);
        let resamples = Resamples::draw(at.len(), self.block, self.bootstrap);
        let rising = |row: &TestRow| row.price + row.price.abs().max(1.0);
        let hold = self.trades(at, |row| rising(&self.rows[row]));
        Some(Segment {
            by,
            segment,
            first_date: dates().min()?,
            last_date: dates().max()?,
            n: at.len() as u64,
            effective_n: effective(at.len(), self.open),
            up: summarise(&self.outcomes(at, |row| rising(&self.rows[row]))).model.direction,
            hold_sharpe: sharpe(&hold, self.open),
            models: self.models.iter().map(|model| self.model(model, at, resamples.as_ref())).collect(),
        })
    }

    fn model(&self, judged: &Judged, at: &[usize], resamples: Option<&Resamples>) -> ModelSummary {
        let outcomes = self.outcomes(at, |row| judged.predicted[row]);
        let losses = |loss: fn(f64) -> f64| -> (Vec<f64>, Vec<f64>) {
            outcomes.iter().map(|o| (loss(o.actual - o.predicted), loss(o.actual - o.price))).unzip()
        };
        let (absolute, squared) = (losses(f64::abs), losses(|error| error * error));
        ModelSummary {
            model: judged.model.clone(),
            summary: summarise(&outcomes),
            sharpe: sharpe(&self.trades(at, |row| judged.predicted[row]), self.open),
            mae_interval: resamples.and_then(|drawn| drawn.mean(&absolute.0)),
            ratio_interval: resamples.and_then(|drawn| drawn.ratio(&absolute.0, &absolute.1)),
            dm_absolute: diebold_mariano::test(&absolute.0, &absolute.1, self.open),
            dm_squared: diebold_mariano::test(&squared.0, &squared.1, self.open),
            quantile: judged.quantile.map(|level| quantile_errors(&outcomes, level)),
            set: judged.set.as_ref().map(|set| quantile_sets::summarise(set, self.rows, at, resamples)),
        }
    }

    fn outcomes(&self, at: &[usize], predicted: impl Fn(usize) -> f64) -> Vec<Outcome> {
        at.iter().map(|row| Outcome { price: self.rows[*row].price, actual: self.rows[*row].actual, predicted: predicted(*row) }).collect()
    }

    fn trades(&self, at: &[usize], predicted: impl Fn(usize) -> f64) -> Vec<Trade> {
        let trade = |(outcome, row): (Outcome, &usize)| {
            let row = &self.rows[*row];
            let days = row.outcome_date.signed_duration_since(row.date).num_days();
            #[expect(clippy::cast_precision_loss, reason = "far fewer days than 2^52")]
            let days = days as f64;
            Trade { price: outcome.price, actual: outcome.actual, predicted: outcome.predicted, days }
        };
        self.outcomes(at, predicted).into_iter().zip(at).map(trade).collect()
    }
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

    fn judged(predicted: Vec<f64>) -> [Judged; 1] {
        [Judged { model: "m".into(), predicted, quantile: None, set: None }]
    }

    /// `n` daily forecasts, each due `reach` days later.
    fn daily(n: u64, reach: u64) -> Vec<TestRow> {
        let date = |at| day("2018-01-01") + chrono::Days::new(at);
        #[expect(clippy::cast_precision_loss)]
        let price = |at: u64| 50.0 + (at * 7 % 11) as f64;
        (0..n).map(|at| TestRow { date: date(at), outcome_date: date(at + reach), price: price(at), actual: price(at + reach) }).collect()
    }

    #[test]
    fn forecasts_are_counted_in_the_year_and_quarter_they_were_made() {
        let rows = [
            row("2018-04-01", "2018-05-01", 61.0, 60.0),
            row("2017-12-29", "2018-01-31", 60.0, 64.0),
            row("2018-03-31", "2018-04-30", 61.0, 65.0),
        ];
        let found = judge(&rows, &judged(vec![61.0, 62.0, 65.0]), None, &Bootstrap::default()).unwrap();
        let names: Vec<_> = found.segments.iter().map(|s| (s.segment.as_str(), s.n)).collect();
        assert_eq!(names, [("all", 3), ("2017", 1), ("2018", 2), ("2017-Q4", 1), ("2018-Q1", 1), ("2018-Q2", 1)]);
        let all = &found.segments[0];
        assert_eq!((all.models[0].summary.model.mae, all.models[0].summary.naive.mae), (Some(1.0), Some(3.0)));
        assert_eq!(all.up, Some(2.0 / 3.0));
        let text = serde_json::to_string(&found.segments[1]).unwrap();
        let start = r#"{"by":"year","segment":"2017","first_date":"2017-12-29","last_date":"2017-12-29","n":1,"effective_n":1.0,"up":1.0,"hold_sharpe":null,"models":[{"model":"m","n":1,"mape":3.125,"#;
        assert!(text.starts_with(start), "{text}");
    }

    #[test]
    fn the_rows_themselves_say_how_many_forecasts_are_open_at_once() {
        let open = |rows: &[TestRow]| judge(rows, &judged(vec![50.0; rows.len()]), None, &Bootstrap::default()).unwrap().open_at_once;
        assert_eq!((open(&daily(100, 21)), open(&daily(100, 1)), open(&daily(5, 21))), (21, 1, 5));
        let monthly: Vec<_> = daily(100, 21).into_iter().step_by(21).collect();
        assert_eq!(open(&monthly), 1);
        let all = judge(&daily(105, 21), &judged(vec![50.0; 105]), None, &Bootstrap::default()).unwrap();
        assert!((all.segments[0].effective_n - 5.0).abs() < 1e-12);
    }

    #[test]
    fn blocks_shorter_than_the_horizon_are_refused() {
        let bootstrap = Bootstrap { block: Some(5), ..Bootstrap::default() };
        let error = judge(&daily(100, 21), &judged(vec![50.0; 100]), None, &bootstrap).unwrap_err();
        assert_eq!(
            error.to_string(),
            "blocks of 5 rows are shorter than the 21 forecasts that are open at once: the interval would come out too narrow"
        );
    }

    #[test]
    fn a_regime_of_fewer_than_ten_rows_is_named_and_not_measured() {
        let regimes: Vec<String> = (0..40).map(|at| if at < 9 { "calm" } else { "storm" }.to_owned()).collect();
        let found = judge(&daily(40, 1), &judged(vec![50.0; 40]), Some(&regimes), &Bootstrap::default()).unwrap();
        assert_eq!(found.too_few, [TooFew { regime: "calm".into(), n: 9 }]);
        let measured: Vec<_> = found.segments.iter().filter(|s| s.by == By::Regime).map(|s| (s.segment.as_str(), s.n)).collect();
        assert_eq!(measured, [("storm", 31)]);
    }

    #[test]
    fn naive_differs_from_itself_in_nothing() {
        let rows = daily(60, 3);
        let found = judge(&rows, &judged(rows.iter().map(|r| r.price).collect()), None, &Bootstrap::default()).unwrap();
        let naive = &found.segments[0].models[0];
        assert_eq!((naive.dm_absolute, naive.dm_squared, naive.sharpe), (None, None, None));
        assert_eq!(naive.ratio_interval, Some(Interval { low: 1.0, high: 1.0 }));
        let mae = naive.mae_interval.unwrap();
        assert!(mae.low < naive.summary.model.mae.unwrap() && mae.high > naive.summary.model.mae.unwrap());
    }

    proptest! {
        #[test]
        fn the_years_add_up_to_the_whole(all in prop::collection::vec((0_u64..3000, 1.0..99.0_f64, 1.0..99.0_f64, 1.0..99.0_f64), 1..60)) {
            let rows: Vec<_> = all.iter().map(|(d, price, actual, _)| {
                let date = day("2010-01-01") + chrono::Days::new(*d);
                TestRow { date, outcome_date: date + chrono::Days::new(30), price: *price, actual: *actual }
            }).collect();
            let found = judge(&rows, &judged(all.iter().map(|a| a.3).collect()), None, &Bootstrap::default()).unwrap();
            let part = |by: By| -> (u64, f64) {
                let some = found.segments.iter().filter(|s| s.by == by);
                #[expect(clippy::cast_precision_loss)]
                let weighed = |s: &Segment| s.models[0].summary.model.mae.unwrap() * s.n as f64;
                some.fold((0, 0.0), |sum, s| (sum.0 + s.n, sum.1 + weighed(s)))
            };
            let (whole, years, quarters) = (part(By::All), part(By::Year), part(By::Quarter));
            prop_assert!(whole.0 == years.0 && whole.0 == quarters.0);
            prop_assert!((whole.1 - years.1).abs() < 1e-6 && (whole.1 - quarters.1).abs() < 1e-6);
        }
    }
}
