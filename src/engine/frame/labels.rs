//! Owns labels. Invariant: a label is a price that came later in the series, or the return to it; a row whose outcome lies beyond the data
//! has none, and rows that arrive later never change a label that was there.

use chrono::{Days, NaiveDate};

use crate::engine::frame::error::FrameError;
use crate::model::training::{Horizon, Label, LabelKind};

/// So many equal prices in succession are a feed that stopped, not a market.
const FROZEN_ROWS: usize = 40;

/// The known prices of one thing: ascending dates, each once.
#[derive(Debug, Clone, PartialEq)]
pub struct PriceSeries(Vec<(NaiveDate, f64)>);

/// A day with a price and, where it is known, what came of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelledDay {
    /// The day.
    pub date: NaiveDate,
    /// The price known on it.
    pub price: f64,
    /// What came of it; none where it lies beyond the data.
    pub outcome: Option<Outcome>,
}

/// What came of a day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// When it was known.
    pub date: NaiveDate,
    /// The label.
    pub label: f64,
}

impl PriceSeries {
    /// The series of these days, in any order; NaN is a missing price, and the day does not count.
    ///
    /// # Errors
    /// When there is no price, a date has two, one is infinite, or the price is frozen.
    pub fn new(days: impl IntoIterator<Item = (NaiveDate, f64)>, column: &str) -> Result<Self, FrameError> {
        let mut days: Vec<_> = days.into_iter().filter(|(_, price)| !price.is_nan()).collect();
        days.sort_by_key(|(date, _)| *date);
        if days.is_empty() {
            return Err(FrameError::NoPrices { column: column.to_owned() });
        }
        let series = Self(days);
        series.check(column)?;
        Ok(series)
    }

    /// Every day with its price.
    #[must_use]
    pub fn days(&self) -> &[(NaiveDate, f64)] {
        &self.0
    }

    /// The first and the last day.
    #[must_use]
    pub fn ends(&self) -> (NaiveDate, NaiveDate) {
        (self.0[0].0, self.0[self.0.len() - 1].0)
    }

    /// Every day with its label, where its outcome is known.
    ///
    /// # Errors
    /// When a log return is asked for and a price has no logarithm.
    pub fn label(&self, label: Label) -> Result<Vec<LabelledDay>, FrameError> {
        if label.kind == LabelKind::LogReturn {
            self.check_positive()?;
        }
        let day = |(row, (date, price)): (usize, &(NaiveDate, f64))| {
            let outcome = self.outcome(row, label.horizon).map(|(known, level)| Outcome {
                date: known,
                label: match label.kind {
                    LabelKind::Level => level,
                    LabelKind::LogReturn => (level / price).ln(),
                },
            });
            LabelledDay { date: *date, price: *price, outcome }
        };
        Ok(self.0.iter().enumerate().map(day).collect())
    }

    fn outcome(&self, row: usize, horizon: Horizon) -> Option<(NaiveDate, f64)> {
        match horizon {
            Horizon::Rows(rows) => self.0.get(row.checked_add(rows as usize)?).copied(),
            Horizon::Days(days) => {
                let due = self.0[row].0.checked_add_days(Days::new(days.into()))?;
                self.0.get(self.0.partition_point(|(date, _)| *date < due)).copied()
            }
        }
    }

    fn check(&self, column: &str) -> Result<(), FrameError> {
        let mut twice: Vec<_> = self.0.windows(2).filter(|w| w[0].0 == w[1].0).map(|w| w[0].0).collect();
        twice.dedup();
        if !twice.is_empty() {
            return Err(FrameError::DuplicateDates { input: "the price table".to_owned(), dates: twice });
        }
        let infinite: Vec<_> = self.0.iter().filter(|(_, p)| p.is_infinite()).map(|(date, _)| *date).collect();
        if !infinite.is_empty() {
            return Err(FrameError::Infinite { input: "the price table".to_owned(), column: column.to_owned(), dates: infinite });
        }
        let same = self.0.chunk_by(|a, b| a.1.to_bits() == b.1.to_bits()).find(|run| run.len() >= FROZEN_ROWS);
        same.map_or(Ok(()), |run| {
            let ((first, price), (last, _)) = (run[0], run[run.len() - 1]);
            Err(FrameError::Frozen { price, rows: run.len(), first, last })
        })
    }

    fn check_positive(&self) -> Result<(), FrameError> {
        let days: Vec<_> = self.0.iter().filter(|(_, price)| *price <= 0.0).copied().collect();
        if days.is_empty() { Ok(()) } else { Err(FrameError::NotPositive { days }) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn label(kind: LabelKind, horizon: Horizon) -> Label {
        Label { kind, horizon }
    }

    fn series(days: &[(&str, f64)]) -> PriceSeries {
        PriceSeries::new(days.iter().map(|(date, price)| (day(date), *price)), "price").unwrap()
    }

    /// Crude oil, dollars a barrel (FRED DCOILWTICO).
    const WTI: [(&str, f64); 5] =
        [("2018-12-26", 46.04), ("2018-12-27", 44.48), ("2018-12-28", 45.15), ("2018-12-31", f64::NAN), ("2019-01-02", 46.31)];

    #[test]
    fn a_horizon_in_rows_counts_prices_and_not_days_without_one() {
        let days = series(&WTI).label(label(LabelKind::Level, Horizon::Rows(2))).unwrap();
        assert_eq!(days.len(), 4);
        assert_eq!(days[0].outcome, Some(Outcome { date: day("2018-12-28"), label: 45.15 }));
        assert_eq!(days[1].outcome, Some(Outcome { date: day("2019-01-02"), label: 46.31 }));
        assert_eq!((days[2].outcome, days[3].outcome), (None, None));
    }

    #[test]
    fn a_horizon_in_days_takes_the_first_price_at_or_after() {
        let days = series(&WTI).label(label(LabelKind::Level, Horizon::Days(2))).unwrap();
        assert_eq!(days[0].outcome.map(|o| o.date), Some(day("2018-12-28")));
        assert_eq!(days[2].outcome.map(|o| o.date), Some(day("2019-01-02")));
        assert_eq!(days[3].outcome, None);
    }

    #[test]
    fn a_log_return_of_a_negative_price_is_refused_by_its_day() {
        let days = series(&[("2020-04-17", 18.27), ("2020-04-20", -37.63), ("2020-04-21", 10.01)]);
        let error = days.label(label(LabelKind::LogReturn, Horizon::Rows(1))).unwrap_err();
        assert_eq!(error.to_string(), "a log return needs prices above zero, but the price is -37.63 on 2020-04-20");
        assert!(days.label(label(LabelKind::Level, Horizon::Rows(1))).is_ok());
    }

    #[test]
    fn a_log_return_leads_back_to_the_level() {
        let days = series(&WTI).label(label(LabelKind::LogReturn, Horizon::Rows(1))).unwrap();
        let back = LabelKind::LogReturn.to_level(days[0].outcome.unwrap().label, days[0].price);
        assert!((back - 44.48).abs() < 1e-12);
    }

    #[test]
    fn two_prices_for_a_date_and_a_frozen_feed_are_refused() {
        let twice = [("2019-01-02", 1.0), ("2019-01-02", 2.0), ("2019-01-03", 2.0)].map(|(d, p)| (day(d), p));
        let error = PriceSeries::new(twice, "price").unwrap_err();
        assert_eq!(error.to_string(), "the price table has several rows for one date: 2019-01-02");
        let frozen = (0..FROZEN_ROWS as u64).map(|n| (day("2019-01-01") + Days::new(n), 60.0));
        assert!(matches!(PriceSeries::new(frozen, "price"), Err(FrameError::Frozen { rows: FROZEN_ROWS, .. })));
        assert!(matches!(PriceSeries::new([(day("2019-01-01"), f64::NAN)], "price"), Err(FrameError::NoPrices { .. })));
    }

    prop_compose! {
        fn any_days()(steps in prop::collection::vec((1_u64..6, prop::option::weighted(0.9, 1.0..100.0_f64)), 1..80)) -> Vec<(NaiveDate, f64)> {
            let mut date = day("2001-01-01");
            steps.into_iter().map(|(step, price)| { date = date + Days::new(step); (date, price.unwrap_or(f64::NAN)) }).collect()
        }
    }

    fn any_label() -> impl Strategy<Value = Label> {
        let horizon = prop_oneof![(1_u32..12).prop_map(Horizon::Rows), (1_u32..30).prop_map(Horizon::Days)];
        (prop_oneof![Just(LabelKind::Level), Just(LabelKind::LogReturn)], horizon).prop_map(|(kind, horizon)| label(kind, horizon))
    }

    proptest! {
        #[test]
        fn rows_that_arrive_later_change_no_label_that_was_there(days in any_days(), label in any_label(), cut in 1_usize..80) {
            let cut = cut.min(days.len());
            prop_assume!(days[..cut].iter().any(|(_, p)| !p.is_nan()));
            let before = PriceSeries::new(days[..cut].to_vec(), "price").unwrap().label(label).unwrap();
            let after = PriceSeries::new(days.clone(), "price").unwrap().label(label).unwrap();
            for (old, new) in before.iter().zip(&after) {
                prop_assert_eq!((old.date, old.price), (new.date, new.price));
                prop_assert!(old.outcome.is_none() || old.outcome == new.outcome);
            }
        }

        #[test]
        fn a_label_is_a_later_price_and_the_tail_has_none(days in any_days(), label in any_label()) {
            prop_assume!(days.iter().any(|(_, p)| !p.is_nan()));
            let series = PriceSeries::new(days, "price").unwrap();
            let labelled = series.label(label).unwrap();
            let last = series.ends().1;
            for row in &labelled {
                if let Some(outcome) = row.outcome {
                    prop_assert!(outcome.date > row.date && outcome.date <= last);
                    let level = label.kind.to_level(outcome.label, row.price);
                    let came = labelled.iter().find(|l| l.date == outcome.date).unwrap().price;
                    prop_assert!((level - came).abs() < 1e-9);
                }
            }
            let first_unknown = labelled.iter().position(|l| l.outcome.is_none()).unwrap();
            prop_assert!(labelled[first_unknown..].iter().all(|l| l.outcome.is_none()));
        }

        #[test]
        fn the_order_of_the_days_does_not_count(days in any_days().prop_shuffle()) {
            prop_assume!(days.iter().any(|(_, p)| !p.is_nan()));
            let mut sorted = days.clone();
            sorted.sort_by_key(|(date, _)| *date);
            prop_assert_eq!(PriceSeries::new(days, "price").unwrap(), PriceSeries::new(sorted, "price").unwrap());
        }
    }
}
