//! Owns which rows are learnt from and which are kept for the test. Invariant: no row's outcome lies in or after a range that a later part of
//! the work is judged by, so the embargo between two parts is never shorter than the horizon.

use chrono::NaiveDate;

use crate::engine::frame::error::FrameError;
use crate::engine::frame_file::Part;
use crate::model::training::{DateRange, Split};

/// First and last date, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first date.
    pub from: NaiveDate,
    /// The last date; without one the range is open.
    pub to: Option<NaiveDate>,
}

impl Range {
    /// Whether `date` lies in the range.
    #[must_use]
    pub fn holds(&self, date: NaiveDate) -> bool {
        self.from <= date && self.to.is_none_or(|to| date <= to)
    }
}

/// The three date ranges, ascending and apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Splits {
    /// Rows to learn from.
    pub train: Range,
    /// Rows for early stopping and weighting.
    pub valid: Range,
    /// Rows for evaluation alone.
    pub test: Range,
}

/// What became of a labelled row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It belongs to a part.
    In(Part),
    /// Its date lies in the part's range, but its outcome lies where that part may not look.
    Purged(Part),
    /// Its date lies in no range.
    Outside,
}

impl Splits {
    /// The ranges as written in a recipe.
    ///
    /// # Errors
    /// When a date is none or a range is missing.
    pub fn new(split: &Split) -> Result<Self, FrameError> {
        Ok(Self { train: range(split.train.as_ref())?, valid: range(split.valid.as_ref())?, test: range(split.test.as_ref())? })
    }

    /// What becomes of a row made on `date` whose outcome came on `outcome`.
    ///
    /// A train row's outcome must come before `valid` begins. A valid row's outcome must come before `valid` ends (and so before `test`
    /// begins): then `fit` depends on nothing after that day, whatever rows arrive later.
    #[must_use]
    pub fn fate(&self, date: NaiveDate, outcome: NaiveDate) -> Fate {
        let (part, seen) = if self.train.holds(date) {
            (Part::Train, outcome < self.valid.from)
        } else if self.valid.holds(date) {
            (Part::Valid, self.valid.holds(outcome))
        } else if self.test.holds(date) {
            (Part::Test, true)
        } else {
            return Fate::Outside;
        };
        if seen { Fate::In(part) } else { Fate::Purged(part) }
    }

    /// The range of one part.
    #[must_use]
    pub fn of(&self, part: Part) -> Range {
        match part {
            Part::Train => self.train,
            Part::Valid => self.valid,
            Part::Test => self.test,
        }
    }
}

/// A date as recipes and records write it.
///
/// # Errors
/// When the text is no date.
pub fn parse_date(text: &str) -> Result<NaiveDate, FrameError> {
    text.parse().map_err(|_| FrameError::BadDate { text: text.to_owned() })
}

fn range(written: Option<&DateRange>) -> Result<Range, FrameError> {
    let written = written.ok_or_else(|| FrameError::BadDate { text: String::new() })?;
    Ok(Range { from: parse_date(&written.from)?, to: written.to.as_deref().map(parse_date).transpose()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn splits() -> Splits {
        let range = |from: &str, to: Option<&str>| Some(DateRange { from: from.into(), to: to.map(Into::into) });
        Splits::new(&Split {
            train: range("2000-01-01", Some("2009-12-31")),
            valid: range("2010-01-01", Some("2010-12-31")),
            test: range("2011-02-01", None),
        })
        .unwrap()
    }

    #[test]
    fn a_row_is_purged_when_its_outcome_falls_into_the_next_range() {
        let fate = |date, outcome| splits().fate(day(date), day(outcome));
        assert_eq!(fate("2009-12-01", "2009-12-31"), Fate::In(Part::Train));
        assert_eq!(fate("2009-12-02", "2010-01-01"), Fate::Purged(Part::Train));
        assert_eq!(fate("2009-12-31", "2010-06-01"), Fate::Purged(Part::Train));
        assert_eq!(fate("2010-01-01", "2010-01-05"), Fate::In(Part::Valid));
        assert_eq!(fate("2010-12-31", "2011-02-01"), Fate::Purged(Part::Valid));
        assert_eq!(fate("2011-01-15", "2011-03-01"), Fate::Outside);
        assert_eq!(fate("2011-02-01", "2031-03-01"), Fate::In(Part::Test));
        assert_eq!(fate("1999-12-31", "2000-02-01"), Fate::Outside);
    }

    #[test]
    fn a_valid_row_whose_outcome_lies_in_the_gap_before_the_test_is_purged_too() {
        // Else a row that arrives after the valid range's end would give it a label, and retrain.
        assert_eq!(splits().fate(day("2010-12-20"), day("2011-01-10")), Fate::Purged(Part::Valid));
    }
}
