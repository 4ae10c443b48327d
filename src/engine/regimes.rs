//! Owns which regime a day belongs to. Invariant: a day belongs to one regime because the calendar says so; none is guessed from its neighbours.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::engine::frame_file::iso_date;
use crate::engine::table_columns::{ColumnError, dates, strings};

/// Days named in a message.
const NAMED: usize = 5;

/// A calendar of regimes that cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum RegimeError {
    /// A column is missing or of another type.
    #[error(transparent)]
    Column(#[from] ColumnError),
    /// Days without a regime.
    #[error("{} days have no regime: {}", days.len(), named(days))]
    Missing {
        /// The days.
        days: Vec<String>,
    },
    /// A day with two.
    #[error("{date} belongs to '{one}' and to '{other}'")]
    Two {
        /// The day.
        date: NaiveDate,
        /// The regime named first.
        one: String,
        /// Another one.
        other: String,
    },
}

fn named(days: &[String]) -> String {
    let first = days.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    let more = days.len().saturating_sub(NAMED);
    if more == 0 { first } else { format!("{first} and {more} more") }
}

/// Days one after the other that belong to one regime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stretch {
    /// The first day.
    pub first: String,
    /// The last day.
    pub last: String,
    /// The regime.
    pub regime: String,
}

/// A calendar of regimes: stretches in the order of time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RegimeCalendar(Vec<Stretch>);

impl RegimeCalendar {
    /// Reads the calendar from a table's columns of regimes and of dates; rows that lack either say nothing.
    ///
    /// # Errors
    /// When a column cannot be used, or a day has two regimes.
    pub fn read(table: &RecordBatch, regime: &str, date: &str) -> Result<Self, RegimeError> {
        let mut by_day: BTreeMap<i32, &str> = BTreeMap::new();
        for (day, name) in dates(table, date)?.into_iter().zip(strings(table, regime)?) {
            let (Some(day), Some(name)) = (day, name) else { continue };
            let one = *by_day.entry(day).or_insert(name);
            if let Some(date) = NaiveDate::from_epoch_days(day).filter(|_| one != name) {
                return Err(RegimeError::Two { date, one: one.to_owned(), other: name.to_owned() });
            }
        }
        let days: Vec<(i32, &str)> = by_day.into_iter().collect();
        let stretches = days.chunk_by(|a, b| a.0 + 1 == b.0 && a.1 == b.1);
        let one = |days: &[(i32, &str)]| Stretch {
            first: iso_date(days[0].0),
            last: iso_date(days[days.len() - 1].0),
            regime: days[0].1.to_owned(),
        };
        Ok(Self(stretches.map(one).collect()))
    }

    /// The regime of a day, days since 1970-01-01.
    #[must_use]
    pub fn of(&self, day: i32) -> Option<&str> {
        let day = iso_date(day);
        let at = self.0.partition_point(|stretch| stretch.last < day);
        self.0.get(at).filter(|stretch| stretch.first <= day).map(|stretch| stretch.regime.as_str())
    }

    /// The regime of each of these days.
    ///
    /// # Errors
    /// When one has none.
    pub fn of_days(&self, days: &[i32]) -> Result<Vec<String>, RegimeError> {
        let missing: Vec<String> = days.iter().filter(|day| self.of(**day).is_none()).map(|day| iso_date(*day)).collect();
        if missing.is_empty() {
            return Ok(days.iter().filter_map(|day| self.of(*day)).map(ToOwned::to_owned).collect());
        }
        Err(RegimeError::Missing { days: missing })
    }

    /// Every regime that it names.
    #[must_use]
    pub fn names(&self) -> BTreeSet<&str> {
        self.0.iter().map(|stretch| stretch.regime.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::table_columns::{Values, table};

    fn calendar(days: &[(i32, &str)]) -> Result<RegimeCalendar, RegimeError> {
        let dates = Values::Dates(days.iter().map(|(day, _)| Some(*day)).collect());
        let names = Values::Strings(days.iter().map(|(_, name)| Some((*name).to_owned())).collect());
        RegimeCalendar::read(&table([("date".to_owned(), dates), ("regime".to_owned(), names)]).unwrap(), "regime", "date")
    }

    #[test]
    fn a_day_has_the_regime_that_the_calendar_names() {
        let found = calendar(&[(0, "calm"), (1, "calm"), (1, "calm"), (2, "storm"), (4, "calm")]).unwrap();
        assert_eq!(found.of_days(&[2, 1, 4]).unwrap(), ["storm", "calm", "calm"]);
        assert_eq!((found.of(3), found.of(-1), found.of(5)), (None, None, None), "nothing is guessed");
        assert_eq!(found.names().into_iter().collect::<Vec<_>>(), ["calm", "storm"]);
        let text = serde_json::to_string(&found).unwrap();
        assert!(text.starts_with(r#"[{"first":"1970-01-01","last":"1970-01-02","regime":"calm"}"#), "{text}");
    }

    #[test]
    fn days_without_a_regime_are_named_and_so_is_a_day_with_two() {
        let error = calendar(&[(0, "calm")]).unwrap().of_days(&(0..8).collect::<Vec<_>>()).unwrap_err();
        assert_eq!(error.to_string(), "7 days have no regime: 1970-01-02, 1970-01-03, 1970-01-04, 1970-01-05, 1970-01-06 and 2 more");
        let error = calendar(&[(0, "calm"), (0, "storm")]).unwrap_err();
        assert_eq!(error.to_string(), "1970-01-01 belongs to 'calm' and to 'storm'");
        let table = table([("day".to_owned(), Values::Dates(vec![Some(0)]))]).unwrap();
        assert!(matches!(RegimeCalendar::read(&table, "phase", "day"), Err(RegimeError::Column(_))));
    }
}
