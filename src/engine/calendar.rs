//! Owns trading days. Invariant: a day is a trading day only because a calendar names it; none is ever guessed from the weekday.

use chrono::{Days, NaiveDate};

use crate::model::training::Horizon;

/// The trading days of one exchange, ascending, each once.
#[derive(Debug, Clone)]
pub struct Calendar(Vec<NaiveDate>);

/// A date that a calendar cannot answer for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalendarError {
    /// The calendar names no day at all.
    #[error("the calendar holds no date")]
    Empty,
    /// The calendar ends before the date asked for.
    #[error("the calendar ends on {last}, before {what}")]
    EndsEarly {
        /// Its last day.
        last: NaiveDate,
        /// The day asked for, in words.
        what: String,
    },
    /// The calendar begins after the date asked about.
    #[error("the calendar begins on {first}, after {date}")]
    BeginsLate {
        /// Its first day.
        first: NaiveDate,
        /// The date asked about.
        date: NaiveDate,
    },
}

impl Calendar {
    /// A calendar of these days, in any order.
    ///
    /// # Errors
    /// When there is no day.
    pub fn new(days: impl IntoIterator<Item = NaiveDate>) -> Result<Self, CalendarError> {
        let mut days: Vec<_> = days.into_iter().collect();
        days.sort_unstable();
        days.dedup();
        if days.is_empty() { Err(CalendarError::Empty) } else { Ok(Self(days)) }
    }

    /// The `n`-th trading day after `date`; `n` = 1 is the next one. `date` itself need not be a trading day.
    ///
    /// # Errors
    /// When the calendar does not reach so far, or begins after `date`.
    pub fn nth_after(&self, date: NaiveDate, n: u32) -> Result<NaiveDate, CalendarError> {
        self.covers(date)?;
        let next = self.0.partition_point(|d| *d <= date);
        let wanted = next + (n as usize).saturating_sub(1);
        self.0.get(wanted).copied().ok_or_else(|| self.ends_early(format!("trading day {n} after {date}")))
    }

    /// The first trading day at or after `date`.
    ///
    /// # Errors
    /// When the calendar ends before `date` or begins after it.
    pub fn at_or_after(&self, date: NaiveDate) -> Result<NaiveDate, CalendarError> {
        self.covers(date)?;
        let at = self.0.partition_point(|d| *d < date);
        self.0.get(at).copied().ok_or_else(|| self.ends_early(format!("the first trading day at or after {date}")))
    }

    /// The day on which a forecast made on `date` comes due.
    ///
    /// # Errors
    /// As for [`Self::nth_after`] and [`Self::at_or_after`].
    pub fn target(&self, date: NaiveDate, horizon: Horizon) -> Result<NaiveDate, CalendarError> {
        match horizon {
            Horizon::Rows(n) => self.nth_after(date, n),
            Horizon::Days(n) => {
                self.covers(date)?;
                let due = date.checked_add_days(Days::new(n.into()));
                self.at_or_after(due.ok_or_else(|| self.ends_early(format!("{n} days after {date}")))?)
            }
        }
    }

    /// A calendar that begins after a date knows nothing of the days between.
    fn covers(&self, date: NaiveDate) -> Result<(), CalendarError> {
        match self.0.first() {
            Some(first) if *first > date => Err(CalendarError::BeginsLate { first: *first, date }),
            _ => Ok(()),
        }
    }

    fn ends_early(&self, what: String) -> CalendarError {
        self.0.last().map_or(CalendarError::Empty, |last| CalendarError::EndsEarly { last: *last, what })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn week() -> Calendar {
        // New York Mercantile Exchange, around New Year 2019: closed on 1 January and on the weekend.
        Calendar::new(["2018-12-31", "2019-01-02", "2019-01-03", "2019-01-04", "2019-01-07"].map(day)).unwrap()
    }

    #[test]
    fn holidays_and_weekends_are_passed_over() {
        assert_eq!(week().nth_after(day("2018-12-31"), 1), Ok(day("2019-01-02")));
        assert_eq!(week().nth_after(day("2019-01-01"), 4), Ok(day("2019-01-07")));
        assert_eq!(week().at_or_after(day("2019-01-05")), Ok(day("2019-01-07")));
        assert_eq!(week().at_or_after(day("2019-01-04")), Ok(day("2019-01-04")));
        assert_eq!(week().target(day("2018-12-31"), Horizon::Days(5)), Ok(day("2019-01-07")));
    }

    #[test]
    fn a_calendar_that_ends_early_names_its_last_day() {
        let error = week().nth_after(day("2019-01-03"), 3).unwrap_err();
        assert_eq!(error.to_string(), "the calendar ends on 2019-01-07, before trading day 3 after 2019-01-03");
        assert!(matches!(week().target(day("2019-01-04"), Horizon::Days(7)), Err(CalendarError::EndsEarly { .. })));
        assert!(matches!(week().at_or_after(day("2018-01-01")), Err(CalendarError::BeginsLate { .. })));
        assert!(matches!(week().target(day("2018-12-30"), Horizon::Days(7)), Err(CalendarError::BeginsLate { .. })));
        assert_eq!(Calendar::new([]).unwrap_err(), CalendarError::Empty);
    }

    proptest! {
        #[test]
        fn the_nth_day_has_n_minus_one_trading_days_before_it(offsets in prop::collection::btree_set(0_u64..200, 2..60), n in 1_u32..60) {
            let start = day("2019-01-01");
            let days: Vec<_> = offsets.iter().map(|o| start + Days::new(*o)).collect();
            let calendar = Calendar::new(days.iter().rev().copied()).unwrap();
            let from = days[0];
            match calendar.nth_after(from, n) {
                Ok(found) => prop_assert_eq!(days.iter().filter(|d| **d > from && **d <= found).count(), n as usize),
                Err(_) => prop_assert!((n as usize) > days.len() - 1),
            }
        }
    }
}
