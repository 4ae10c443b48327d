//! Owns what a model of the series learns from. Invariant: it is what the frame's train rows show and nothing else: the prices from the first train
//! row's date to the last train row's outcome.

use crate::engine::frame_file::{FrameData, Part, iso_date};
use crate::engine::price_history::PriceHistory;
use crate::engine::series::error::SeriesError;
use crate::model::training::Horizon;

/// What is learnt from.
#[derive(Debug, Clone, PartialEq)]
pub struct Stretch {
    /// The prices.
    pub history: PriceHistory,
    /// How many prices after a row's own the outcome lies.
    pub steps: usize,
}

/// The stretch of the frame's train rows; none where it has no train rows.
///
/// # Errors
/// When the frame holds no prices there, or valid rows lie in between.
pub fn of(frame: &FrameData) -> Result<Option<Stretch>, SeriesError> {
    let rows = frame.rows_of(Part::Train);
    let first = rows.iter().map(|&row| frame.dates[row]).min();
    let last = rows.iter().map(|&row| frame.outcome_dates[row]).max();
    let (Some(first), Some(last)) = (first, last) else { return Ok(None) };
    let inside = |row: &usize| frame.dates[*row] <= last && frame.outcome_dates[*row] >= first;
    if let Some(row) = frame.rows_of(Part::Valid).into_iter().find(inside) {
        return Err(SeriesError::Broken { valid: iso_date(frame.dates[row]), outcome: iso_date(last) });
    }
    let history = frame.prices.between(first, last);
    if history.dates.is_empty() {
        return Err(SeriesError::NoPrices);
    }
    let steps = steps(frame, &rows, &history)?;
    Ok(Some(Stretch { history, steps }))
}

/// A horizon in rows is so many steps; one in days as many as lay between the train rows and their outcomes, in the median (the lower one).
fn steps(frame: &FrameData, rows: &[usize], history: &PriceHistory) -> Result<usize, SeriesError> {
    if let Horizon::Rows(rows) = frame.record.label.horizon {
        return Ok(rows as usize);
    }
    let mut all = Vec::with_capacity(rows.len());
    for &row in rows {
        let from = history.position(frame.dates[row]).ok_or_else(|| SeriesError::NoDay { date: iso_date(frame.dates[row]) })?;
        // An outcome on the stretch's edge can lie behind the last price that the artifact holds.
        all.extend(history.position(frame.outcome_dates[row]).map(|to| to - from));
    }
    all.sort_unstable();
    all.get(all.len().saturating_sub(1) / 2).copied().ok_or(SeriesError::TooShort { needs: 2, has: history.dates.len() })
}
