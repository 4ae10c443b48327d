//! Owns which code makes which check. Invariant: every rule has one.

use crate::engine::checks::error::CheckError;
use crate::engine::checks::found::Found;
use crate::engine::checks::spec::Rule;
use crate::engine::checks::subject::Subject;
use crate::engine::checks::{across, rows, whole};

/// What a check finds.
///
/// # Errors
/// When it cannot be made.
pub fn find(table: &Subject, rule: &Rule) -> Result<Found, CheckError> {
    match rule {
        Rule::Unique(columns) => whole::unique(table, columns),
        Rule::NotNull(columns) => rows::not_null(table, columns),
        Rule::Range { column, min, max } => rows::range(table, column, min.as_ref(), max.as_ref()),
        Rule::Accepted { column, values } => rows::accepted(table, column, values),
        Rule::Monotonic(column) => rows::monotonic(table, column),
        Rule::RowCount { min, max } => whole::row_count(table, *min, *max),
        Rule::MaxGap { column, days, calendar } => whole::max_gap(table, column, *days, calendar.as_ref()),
        Rule::Fresh { column, max_age_days } => whole::fresh(table, column, *max_age_days),
        Rule::NoFrozenTail { column, rows } => whole::frozen_tail(table, column.all(), *rows),
        Rule::NoDeadColumns(dead) => whole::dead_columns(table, dead),
        Rule::AgreesWith(other) => across::agrees(table, other),
        Rule::References { column, table: of, other } => across::references(table, column, of, other.as_deref().unwrap_or(column)),
    }
}
