//! Owns how a history is cut into folds for out-of-sample forecasts. Invariant: folds follow from the recipe and from rows whose outcome was
//! known by the last date it names; later rows never move one.

use std::fmt;
use std::str::FromStr;

use chrono::{Days, Months, NaiveDate};
use serde::{Deserialize, Serialize};

use crate::base::date;

/// How folds are cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Folds {
    /// Learn from the past, forecast the next stretch, step on.
    WalkForward(WalkForward),
    /// Cut the rows into stretches of equal length and forecast each from all the others, less those whose outcomes reach into it.
    Purged(Purged),
}

/// Folds that walk forward through time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WalkForward {
    /// The first date forecast from.
    #[serde(with = "date")]
    pub from: NaiveDate,
    /// The last date on which an outcome may come.
    #[serde(with = "date")]
    pub to: NaiveDate,
    /// How far back a fold learns from, counted from its last row that is not purged.
    pub train: Window,
    /// The stretch before the test that early stopping uses, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid: Option<Span>,
    /// The stretch that a fold forecasts.
    pub test: Span,
    /// How far the next fold lies ahead.
    pub step: Span,
}

/// Folds of which each is forecast from all the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Purged {
    /// The first date.
    #[serde(with = "date")]
    pub from: NaiveDate,
    /// The last date on which an outcome may come.
    #[serde(with = "date")]
    pub to: NaiveDate,
    /// How many folds.
    pub count: u32,
}

impl Folds {
    /// First date forecast from, and last date on which an outcome may come.
    #[must_use]
    pub fn range(&self) -> (NaiveDate, NaiveDate) {
        match self {
            Self::WalkForward(walk) => (walk.from, walk.to),
            Self::Purged(purged) => (purged.from, purged.to),
        }
    }
}

/// How far back a fold learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Window {
    /// From the first row there is.
    Expanding,
    /// So much.
    Rolling(Span),
}

/// A stretch of the calendar, such as `12 months`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span {
    count: u32,
    unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Days,
    Weeks,
    Months,
    Years,
}

impl Span {
    /// The date so much later; `None` beyond the calendar.
    #[must_use]
    pub fn after(self, date: NaiveDate) -> Option<NaiveDate> {
        self.months().map_or_else(|| date.checked_add_days(self.days()), |months| date.checked_add_months(months))
    }

    /// The date so much earlier; `None` beyond the calendar.
    #[must_use]
    pub fn before(self, date: NaiveDate) -> Option<NaiveDate> {
        self.months().map_or_else(|| date.checked_sub_days(self.days()), |months| date.checked_sub_months(months))
    }

    /// The date that `times` of these lead to; `None` beyond the calendar. Months are counted at once, so that month ends do not drift.
    #[must_use]
    pub fn times_after(self, times: u32, date: NaiveDate) -> Option<NaiveDate> {
        Self { count: self.count.checked_mul(times)?, ..self }.after(date)
    }

    fn months(self) -> Option<Months> {
        match self.unit {
            Unit::Months => Some(Months::new(self.count)),
            Unit::Years => Some(Months::new(self.count.saturating_mul(12))),
            Unit::Days | Unit::Weeks => None,
        }
    }

    fn days(self) -> Days {
        Days::new(u64::from(self.count) * if self.unit == Unit::Weeks { 7 } else { 1 })
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("'{text}' is no stretch of time such as '12 months': a whole number and days, weeks, months or years");
        let (count, unit) = text.split_once(' ').ok_or_else(bad)?;
        let count = count.parse().ok().filter(|n| *n > 0).ok_or_else(bad)?;
        let unit = match unit.trim_end_matches('s') {
            "day" => Unit::Days,
            "week" => Unit::Weeks,
            "month" => Unit::Months,
            "year" => Unit::Years,
            _ => return Err(bad()),
        };
        Ok(Self { count, unit })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Days => "day",
            Unit::Weeks => "week",
            Unit::Months => "month",
            Unit::Years => "year",
        };
        write!(f, "{} {unit}{}", self.count, if self.count == 1 { "" } else { "s" })
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl TryFrom<String> for Window {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "expanding" { Ok(Self::Expanding) } else { text.parse().map(Self::Rolling) }
    }
}

impl From<Window> for String {
    fn from(window: Window) -> Self {
        match window {
            Window::Expanding => "expanding".to_owned(),
            Window::Rolling(span) => span.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn a_stretch_is_read_as_it_is_written_and_month_ends_do_not_drift() {
        for text in ["1 day", "90 days", "2 weeks", "1 month", "12 months", "3 years"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        let month: Span = "1 month".parse().unwrap();
        assert_eq!(month.after(day("2019-01-31")), Some(day("2019-02-28")));
        assert_eq!(month.times_after(2, day("2019-01-31")), Some(day("2019-03-31")));
        assert_eq!("2 weeks".parse::<Span>().unwrap().before(day("2019-01-15")), Some(day("2019-01-01")));
    }

    #[test]
    fn what_is_no_stretch_is_refused_with_the_form_that_is() {
        for text in ["", "months", "0 days", "-1 days", "12", "12 moons", "1.5 years"] {
            assert!(text.parse::<Span>().unwrap_err().contains("such as '12 months'"), "{text}");
        }
        assert_eq!(Window::try_from("expanding".to_owned()).unwrap(), Window::Expanding);
    }
}
