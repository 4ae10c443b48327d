//! Owns which regime a day belongs to. Invariant: a day belongs to one regime because the calendar says so; none is guessed from its neighbours.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use chrono::NaiveDate;

use crate::engine::evaluation::TestRow;
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
    #[error("{} test days have no regime: {}", days.len(), named(days))]
    Missing {
        /// The days.
        days: Vec<NaiveDate>,
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

fn named(days: &[NaiveDate]) -> String {
    let first: Vec<String> = days.iter().take(NAMED).map(ToString::to_string).collect();
    let more = days.len().saturating_sub(NAMED);
    if more == 0 { first.join(", ") } else { format!("{} and {more} more", first.join(", ")) }
}

/// The regime of the day each row's forecast was made.
///
/// # Errors
/// When a column cannot be used, or one of these days has no regime or two.
pub fn of_rows(rows: &[TestRow], calendar: &RecordBatch, regime: &str, date: &str) -> Result<Vec<String>, RegimeError> {
    let mut by_day: BTreeMap<i32, &str> = BTreeMap::new();
    for (day, name) in dates(calendar, date)?.into_iter().zip(strings(calendar, regime)?) {
        let (Some(day), Some(name)) = (day, name) else { continue };
        let one = *by_day.entry(day).or_insert(name);
        if let Some(date) = NaiveDate::from_epoch_days(day).filter(|_| one != name) {
            return Err(RegimeError::Two { date, one: one.to_owned(), other: name.to_owned() });
        }
    }
    let of = |row: &TestRow| by_day.get(&row.date.to_epoch_days()).map(|name| (*name).to_owned());
    let days: Vec<NaiveDate> = rows.iter().filter(|row| of(row).is_none()).map(|row| row.date).collect();
    if days.is_empty() { Ok(rows.iter().filter_map(of).collect()) } else { Err(RegimeError::Missing { days }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::table_columns::{Values, table};

    fn calendar(days: &[(i32, &str)]) -> RecordBatch {
        let dates = Values::Dates(days.iter().map(|(day, _)| Some(*day)).collect());
        let names = Values::Strings(days.iter().map(|(_, name)| Some((*name).to_owned())).collect());
        table([("date".to_owned(), dates), ("regime".to_owned(), names)]).unwrap()
    }

    fn rows(days: impl IntoIterator<Item = i32>) -> Vec<TestRow> {
        let date = |day| NaiveDate::from_epoch_days(day).unwrap();
        days.into_iter().map(|day| TestRow { date: date(day), outcome_date: date(day + 1), price: 1.0, actual: 1.0 }).collect()
    }

    #[test]
    fn a_day_has_the_regime_that_the_calendar_names() {
        let found = of_rows(&rows([2, 1]), &calendar(&[(0, "calm"), (1, "calm"), (1, "calm"), (2, "storm")]), "regime", "date");
        assert_eq!(found.unwrap(), ["storm", "calm"]);
    }

    #[test]
    fn days_without_a_regime_are_named_and_so_is_a_day_with_two() {
        let error = of_rows(&rows(0..8), &calendar(&[(0, "calm")]), "regime", "date").unwrap_err();
        assert_eq!(error.to_string(), "7 test days have no regime: 1970-01-02, 1970-01-03, 1970-01-04, 1970-01-05, 1970-01-06 and 2 more");
        let error = of_rows(&rows([0]), &calendar(&[(0, "calm"), (0, "storm")]), "regime", "date").unwrap_err();
        assert_eq!(error.to_string(), "1970-01-01 belongs to 'calm' and to 'storm'");
        assert!(matches!(of_rows(&rows([0]), &calendar(&[(0, "calm")]), "phase", "date"), Err(RegimeError::Column(_))));
    }
}
