//! Owns the join of further tables by what was known. Invariant: what a day gets of a table is its newest row that was known that day, and nothing
//! where that one is too old; no row reaches a day before it was published.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use chrono::{Days, NaiveDate};

use crate::engine::frame::columns::select;
use crate::engine::frame::error::FrameError;
use crate::engine::frame::read::{self, Features};
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
            return Err(FrameError::Clash { column: name.clone(), first: first.to_owned(), second: input });
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
    features.joined.push((names, found.into_iter().map(|row| row.map(|(_, age)| age)).collect()));
    Ok(())
}
