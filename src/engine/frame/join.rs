//! Owns the join of further tables by what was known. Invariant: what a day gets of a table is its newest row that was known that day, and nothing
//! where that one is too old; no row reaches a day before it was published.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use chrono::{Days, NaiveDate};

use crate::engine::frame::columns::select;
use crate::engine::frame::error::FrameError;
use crate::engine::frame::read::{self, Features, JoinedRows};
use crate::engine::frame::spec::JoinSpec;
use crate::engine::table_columns;

/// A table's rows by the day from which each is known.
#[derive(Debug, Clone)]
pub struct Known(BTreeMap<NaiveDate, (NaiveDate, usize)>);

impl Known {
    /// Rows by their own dates, each known `after` days later.
    #[must_use]
    pub fn new(row_of: &BTreeMap<NaiveDate, usize>, after: u32) -> Self {
        let known = |(date, row): (&NaiveDate, &usize)| Some((date.checked_add_days(Days::new(after.into()))?, (*date, *row)));
        Self(row_of.iter().filter_map(known).collect())
    }

    /// The newest row known on a day and its age in days, unless it is older than `most`.
    #[must_use]
    pub fn on(&self, day: NaiveDate, most: u32) -> Option<(usize, i64)> {
        let (_, (date, row)) = self.0.range(..=day).next_back()?;
        let age = day.signed_duration_since(*date).num_days();
        (age <= i64::from(most)).then_some((*row, age))
    }
}

/// Adds to the features those of another table, each known `after` days after its row's date.
///
/// # Errors
/// When a column is missing or has another type, comes from another table too, or dates are missing or doubled.
pub fn add(features: &mut Features, rows: &RecordBatch, join: &JoinSpec, after: u32) -> Result<(), FrameError> {
    let input = format!("'{}'", join.table);
    let names = select(&join.columns, &table_columns::names(rows), &[join.date.as_str()], &input)?;
    for name in &names {
        if let Some(first) = features.source_of(name) {
            return Err(FrameError::Clash { column: name.clone(), first, second: input });
        }
    }
    let values = read::numbers(rows, &names, &input)?;
    let known = Known::new(&read::rows_by_date(read::dates(rows, &join.date, &input)?, &input)?, after);
    let mut found = vec![None; features.row_of.len()];
    for (day, at) in &features.row_of {
        found[*at] = known.on(*day, join.max_age_days);
    }
    let of = |column: &Vec<f64>| found.iter().map(|row| row.map_or(f64::NAN, |(row, _)| column[row])).collect();
    features.columns.extend(values.iter().map(of));
    features.names.extend(names.iter().cloned());
    let ages = found.into_iter().map(|row| row.map(|(_, age)| age)).collect();
    features.joined.push(JoinedRows { table: join.table.clone(), names, ages });
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::table_columns::{Values, table};

    fn day(offset: i64) -> NaiveDate {
        NaiveDate::from_epoch_days(i32::try_from(offset).unwrap()).unwrap()
    }

    /// A monthly table with one number a row.
    fn monthly(offsets: &[i64], name: &str) -> RecordBatch {
        #[expect(clippy::cast_precision_loss)]
        let values = Values::Floats(offsets.iter().map(|offset| Some(*offset as f64)).collect());
        let days = Values::Dates(offsets.iter().map(|offset| Some(day(*offset).to_epoch_days())).collect());
        table([("month".to_owned(), days), (name.to_owned(), values)]).unwrap()
    }

    fn join(columns: &[&str], max_age_days: u32) -> JoinSpec {
        let columns = columns.iter().map(|&c| c.to_owned()).collect();
        JoinSpec { table: "fred.cpi".into(), columns, date: "month".into(), max_age_days }
    }

    fn features(days: i64) -> Features {
        let at = |offset: i64| (day(offset), usize::try_from(offset).unwrap());
        Features {
            names: vec!["ret_1".into()],
            columns: vec![vec![0.5; usize::try_from(days).unwrap()]],
            row_of: (0..days).map(at).collect(),
            joined: Vec::new(),
        }
    }

    #[test]
    fn a_day_gets_the_newest_row_that_was_out_and_none_that_is_too_old() {
        let mut features = features(120);
        add(&mut features, &monthly(&[0, 31, 59], "cpi"), &join(&["cpi"], 70), 40).unwrap();
        let of = |offset: usize| {
            (!features.columns[1][offset].is_nan()).then_some((features.columns[1][offset], features.joined[0].ages[offset]))
        };
        assert_eq!((features.names.join(" "), of(39)), ("ret_1 cpi".to_owned(), None), "nothing was out yet");
        assert_eq!(
            [40, 70, 71, 98, 99].map(of),
            [Some((0.0, Some(40))), Some((0.0, Some(70))), Some((31.0, Some(40))), Some((31.0, Some(67))), Some((59.0, Some(40)))]
        );
        let mut features = super::tests::features(140);
        add(&mut features, &monthly(&[0, 31, 59], "cpi"), &join(&["cpi"], 70), 40).unwrap();
        assert_eq!(features.joined[0].ages[129..131], [Some(70), None], "a source that died is no news for ever");
    }

    #[test]
    fn a_missing_value_of_the_newest_row_stays_missing() {
        let rows = table([
            ("month".to_owned(), Values::Dates(vec![Some(0), Some(31)])),
            ("cpi".to_owned(), Values::Floats(vec![Some(1.0), None])),
        ]);
        let mut features = features(60);
        add(&mut features, &rows.unwrap(), &join(&["*"], 99), 0).unwrap();
        assert!((features.columns[1][30] - 1.0).abs() < 1e-12 && features.columns[1][31].is_nan());
        assert_eq!(features.joined[0].ages[31], Some(0), "the row is there");
    }

    #[test]
    fn what_cannot_be_joined_is_refused_by_name() {
        let refused = |rows: &RecordBatch, columns: &[&str]| add(&mut features(9), rows, &join(columns, 9), 0).unwrap_err().to_string();
        assert_eq!(
            refused(&monthly(&[0, 1], "ret_1"), &["ret_*"]),
            "the feature 'ret_1' comes twice, from the feature table and from 'fred.cpi'"
        );
        assert_eq!(refused(&monthly(&[0, 0], "cpi"), &["cpi"]), "'fred.cpi' has several rows for one date: 1970-01-01");
        assert_eq!(refused(&monthly(&[0], "cpi"), &["cpis"]), "'fred.cpi' has no column 'cpis'");
        assert_eq!(refused(&monthly(&[0], "cpi"), &["core_*"]), "no column of 'fred.cpi' matches 'core_*'");
        let mut twice = features(9);
        add(&mut twice, &monthly(&[0], "cpi"), &join(&["cpi"], 9), 0).unwrap();
        let other = JoinSpec { table: "fred.core".into(), ..join(&["cpi"], 9) };
        let error = add(&mut twice, &monthly(&[0], "cpi"), &other, 0).unwrap_err();
        assert_eq!(error.to_string(), "the feature 'cpi' comes twice, from 'fred.cpi' and from 'fred.core'");
    }

    proptest! {
        #[test]
        fn no_row_reaches_a_day_before_it_was_out_and_it_is_the_newest_that_was(
            dates in prop::collection::btree_set(0_i64..400, 0..40),
            days in prop::collection::vec(-10_i64..600, 1..60),
            after in 0_u32..90,
            most in 0_u32..200,
        ) {
            let rows: BTreeMap<NaiveDate, usize> = dates.iter().enumerate().map(|(row, date)| (day(*date), row)).collect();
            let known = Known::new(&rows, after);
            for today in days {
                let out: Vec<i64> = dates.iter().copied().filter(|date| date + i64::from(after) <= today).collect();
                let newest = out.last().filter(|date| today - **date <= i64::from(most));
                let expected = newest.map(|date| (rows[&day(*date)], today - date));
                prop_assert_eq!(known.on(day(today), most), expected);
            }
        }
    }
}
