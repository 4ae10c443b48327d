//! Owns on which days a query is tried. Invariant: they follow from the dates alone, so the same tables are tried on the same days everywhere.

use std::collections::BTreeSet;

/// The places in the range of dates at which a query is tried, in quarters.
const SPREAD: [usize; 3] = [1, 2, 3];

/// The places in the range of a late table's dates at which it is looked for a row that is there and not yet known.
const LATE: [usize; 2] = [2, 4];

/// The dates of one table that a query reads, in order and each once, and how many days later their rows are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Days since 1970-01-01.
    pub dates: Vec<i32>,
    /// How many days later a row is known.
    pub lag: i32,
}

impl Input {
    fn known(&self, date: i32) -> i32 {
        date.saturating_add(self.lag)
    }

    /// The day on which its last row became known.
    fn end(&self) -> Option<i32> {
        self.dates.last().map(|date| self.known(*date))
    }
}

/// The days to try, in order: `output` are the dates of the query's rows, in order and each once. None where nothing ever became known later than
/// a row of the output.
///
/// The last day is one after which something came of every table that had not ended before. Where a table is late, some of the days are such that a row of it bears their date and was not known.
#[must_use]
pub fn days(output: &[i32], inputs: &[Input]) -> Vec<i32> {
    let before = |end: i32| &output[..output.partition_point(|date| *date < end)];
    let open = inputs.iter().filter_map(Input::end).max().map_or(&[][..], before);
    let mut chosen: BTreeSet<i32> = SPREAD.iter().filter_map(|quarter| at(open, *quarter)).collect();
    let late = chosen.last().copied();
    let first_end = inputs.iter().filter_map(Input::end).filter(|end| late.is_some_and(|late| late < *end)).min();
    chosen.extend(first_end.and_then(|end| before(end).last()));
    for late in inputs.iter().filter(|input| input.lag > 0) {
        chosen.extend(LATE.iter().filter_map(|quarter| unpublished(open, late, *quarter)));
    }
    chosen.into_iter().collect()
}

/// The date at so many quarters of the range.
fn at(dates: &[i32], quarters: usize) -> Option<i32> {
    let last = dates.len().checked_sub(1)?;
    dates.get(last * quarters / 4).copied()
}

/// The day of the output, nearest to so many quarters of the late table, on which a row of that table is there and not known.
fn unpublished(output: &[i32], late: &Input, quarters: usize) -> Option<i32> {
    let from = late.dates.len().checked_sub(1)? * quarters / 4;
    let (before, after) = late.dates.split_at(from);
    let fits = |date: &i32| output.get(output.partition_point(|day| day < date)).copied().filter(|day| *day < late.known(*date));
    after.iter().find_map(fits).or_else(|| before.iter().rev().find_map(fits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_days_are_spread_and_the_last_has_something_after_it() {
        let input = Input { dates: (0..=100).collect(), lag: 0 };
        let output: Vec<i32> = (0..=100).collect();
        assert_eq!(days(&output, std::slice::from_ref(&input)), [24, 49, 74, 99], "after day 100 nothing came");
        assert!(days(&[200, 300], &[input]).is_empty(), "all was known by then");
        assert!(days(&output, &[]).is_empty());
    }

    #[test]
    fn on_the_last_day_every_table_that_goes_on_has_something_to_come() {
        let until = |end: i32| Input { dates: (0..=end).collect(), lag: 0 };
        let output: Vec<i32> = (0..=100).collect();
        assert_eq!(days(&output, &[until(100), until(200), until(90), until(30)]), [25, 50, 75, 89]);
    }

    #[test]
    fn a_late_table_is_tried_where_a_row_is_there_and_not_known() {
        let weekly = Input { dates: (0..50).map(|week| week * 7).collect(), lag: 3 };
        let output: Vec<i32> = (0..350).collect();
        let tried = days(&output, std::slice::from_ref(&weekly));
        let unknown = |day: &&i32| weekly.dates.iter().any(|date| date <= *day && date + 3 > **day);
        assert!(tried.iter().filter(unknown).count() >= 2, "{tried:?}");
        assert!(tried.contains(&(24 * 7)) && tried.contains(&(49 * 7)), "{tried:?}");
        // Rows that bear no date of that table: the next one within the lag will do.
        let odd: Vec<i32> = (0..50).map(|week| week * 7 + 2).collect();
        assert!(days(&odd, std::slice::from_ref(&weekly)).iter().any(|day| unknown(&day)));
        // Rows that only come when the report is out need no such day.
        let published: Vec<i32> = (0..50).map(|week| week * 7 + 3).collect();
        assert!(!days(&published, std::slice::from_ref(&weekly)).iter().any(|day| unknown(&day)));
    }
}
