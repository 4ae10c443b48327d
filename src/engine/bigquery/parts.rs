//! Owns in which parts a partitioned table is read. Invariant: every row of the partitions that are listed is in exactly one part, and a part's condition
//! follows from the partitioning and its own place alone, so that a partition that changes, comes or goes leaves the other parts as they are.

use std::collections::BTreeMap;

use chrono::{Datelike, Months, NaiveDate, NaiveDateTime, TimeDelta, Timelike};
use serde::{Deserialize, Serialize};

use crate::engine::bigquery::partitioning::{By, NULLS, OTHERS, Of, Partitioning, Partitions};

/// Parts that a table has at most, beside that of rows that lie in no range: each is a step of the build.
pub const MOST: usize = 40;

/// The part of rows whose value is NULL, or lies in no range.
const REST: &str = "rest";

/// The years that BigQuery has partitions of time for; other rows are in `__UNPARTITIONED__`.
const YEARS: (i32, i32) = (1960, 2160);

/// Some partitions that are read together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The condition that their rows fulfil and no others.
    pub restriction: String,
    /// The partitions.
    pub partitions: Partitions,
}

/// How many partitions of time come together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Hour,
    Day,
    Month,
    Year,
    Decade,
}

const LEVELS: [Level; 5] = [Level::Hour, Level::Day, Level::Month, Level::Year, Level::Decade];

/// The parts of a table with these partitions, by what they are called: `2024-01-31`, `2024-01`, `2024`, `2020s`, `0..100`, `rest`. As few partitions
/// to a part as [`MOST`] allows. `None` where it must be read whole: it has no partitions, or one that is not understood.
#[must_use]
pub fn parts(partitioning: &Partitioning, partitions: &Partitions) -> Option<BTreeMap<String, Part>> {
    let (rest, ranged): (Partitions, Partitions) =
        partitions.iter().map(|(id, version)| (id.clone(), *version)).partition(|(id, _)| id == NULLS || id == OTHERS);
    // Rows that came a moment ago are in no partition yet, and go into one without being written again.
    if partitions.is_empty() || (partitioning.column.is_none() && rest.contains_key(OTHERS)) {
        return None;
    }
    let mut parts = match partitioning.by {
        By::Range { start, end, interval } => of_numbers(partitioning, &ranged, (start, end, interval))?,
        by => of_time(partitioning, &ranged, by)?,
    };
    if !rest.is_empty() {
        parts.insert(REST.to_owned(), Part { restriction: outside(partitioning)?, partitions: rest });
    }
    Some(parts)
}

/// The condition of rows that lie in no range.
fn outside(partitioning: &Partitioning) -> Option<String> {
    let column = partitioning.quoted();
    let (from, to) = match partitioning.by {
        _ if partitioning.column.is_none() => return Some(format!("{column} IS NULL")),
        By::Range { start, end, .. } => (start.to_string(), end.to_string()),
        _ => {
            let year = |year| Some(partitioning.moment(NaiveDate::from_ymd_opt(year, 1, 1)?.into()));
            (year(YEARS.0)?, year(YEARS.1)?)
        }
    };
    Some(format!("({column} IS NULL OR {column} < {from} OR {column} >= {to})"))
}

/// The condition of rows in a range.
fn inside(column: &str, from: &str, to: &str) -> String {
    format!("{column} >= {from} AND {column} < {to}")
}

fn of_time(partitioning: &Partitioning, partitions: &Partitions, by: By) -> Option<BTreeMap<String, Part>> {
    let first = match by {
        By::Hour => 0,
        By::Day => 1,
        By::Month => 2,
        By::Year => 3,
        By::Range { .. } => return None,
    };
    let moments: BTreeMap<NaiveDateTime, &String> =
        partitions.keys().map(|id| Some((moment(id, first)?, id))).collect::<Option<_>>().filter(|_| partitioning.of != Of::Integer)?;
    let column = partitioning.quoted();
    let grouped = |level: Level| {
        let mut parts: BTreeMap<String, Part> = BTreeMap::new();
        for (at, id) in &moments {
            let (from, to, name) = level.around(*at)?;
            let restriction = inside(&column, &partitioning.moment(from), &partitioning.moment(to));
            let part = parts.entry(name).or_insert_with(|| Part { restriction, partitions: Partitions::new() });
            part.partitions.insert((*id).clone(), partitions[*id]);
        }
        Some(parts)
    };
    let mut parts = None;
    for level in &LEVELS[first..] {
        parts = grouped(*level);
        if parts.as_ref().is_none_or(|parts| parts.len() <= MOST) {
            break;
        }
    }
    parts
}

/// The beginning of the partition with this id, `YYYY[MM[DD[HH]]]`; `first` is its level.
fn moment(id: &str, first: usize) -> Option<NaiveDateTime> {
    if id.len() != 10 - 2 * first || !id.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = |from: usize, otherwise: u32| id.get(from..from + 2).map_or(Some(otherwise), |digits| digits.parse().ok());
    NaiveDate::from_ymd_opt(id[..4].parse().ok()?, number(4, 1)?, number(6, 1)?)?.and_hms_opt(number(8, 0)?, 0, 0)
}

impl Level {
    /// The range that a moment lies in, and what it is called.
    fn around(self, at: NaiveDateTime) -> Option<(NaiveDateTime, NaiveDateTime, String)> {
        let begin = |year, month, day| Some(NaiveDateTime::from(NaiveDate::from_ymd_opt(year, month, day)?));
        let (year, month) = (at.year(), at.month());
        Some(match self {
            Self::Hour => {
                let from = at.date().and_hms_opt(at.hour(), 0, 0)?;
                (from, from + TimeDelta::hours(1), from.format("%Y-%m-%d-%H").to_string())
            }
            Self::Day => {
                let from = begin(year, month, at.day())?;
                (from, from + TimeDelta::days(1), from.format("%Y-%m-%d").to_string())
            }
            Self::Month => {
                let from = begin(year, month, 1)?;
                (from, from.checked_add_months(Months::new(1))?, from.format("%Y-%m").to_string())
            }
            Self::Year => (begin(year, 1, 1)?, begin(year + 1, 1, 1)?, format!("{year:04}")),
            Self::Decade => {
                let year = year - year.rem_euclid(10);
                (begin(year, 1, 1)?, begin(year + 10, 1, 1)?, format!("{year:04}s"))
            }
        })
    }
}

/// Ranges of numbers come together by 1, 10, 100 …
fn of_numbers(
    partitioning: &Partitioning,
    partitions: &Partitions,
    (start, end, interval): (i64, i64, i64),
) -> Option<BTreeMap<String, Part>> {
    let starts: BTreeMap<i64, &String> = partitions.keys().map(|id| Some((id.parse().ok()?, id))).collect::<Option<_>>()?;
    if starts.keys().any(|at| !(start..end).contains(at)) {
        return None;
    }
    let column = partitioning.quoted();
    let (start, end, mut width) = (i128::from(start), i128::from(end), i128::from(interval));
    loop {
        let mut parts: BTreeMap<String, Part> = BTreeMap::new();
        for (at, id) in &starts {
            let from = start + (i128::from(*at) - start).div_euclid(width) * width;
            let to = end.min(from + width);
            let restriction = inside(&column, &from.to_string(), &to.to_string());
            let part = parts.entry(format!("{from}..{to}")).or_insert_with(|| Part { restriction, partitions: Partitions::new() });
            part.partitions.insert((*id).clone(), partitions[*id]);
        }
        if parts.len() <= MOST {
            return Some(parts);
        }
        width *= 10;
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_set;
    use proptest::prelude::*;

    use super::*;
    use crate::engine::bigquery::partitioning::PartitionVersion;

    fn partitions(ids: impl IntoIterator<Item = impl Into<String>>) -> Partitions {
        ids.into_iter().map(|id| (id.into(), PartitionVersion { modified: 1, rows: 1, bytes: 8 })).collect()
    }

    fn by(by: By, of: Of, column: Option<&str>) -> Partitioning {
        Partitioning { column: column.map(str::to_owned), of, by, required: false }
    }

    fn days(count: u64) -> Vec<String> {
        let first = NaiveDate::from_ymd_opt(2024, 1, 1).unwrap();
        first.iter_days().take(usize::try_from(count).unwrap()).map(|day| day.format("%Y%m%d").to_string()).collect()
    }

    #[test]
    fn a_table_has_no_more_parts_than_a_plan_can_show() {
        let day = by(By::Day, Of::Date, Some("date"));
        let names = |count| parts(&day, &partitions(days(count))).unwrap().into_keys().collect::<Vec<_>>();
        assert_eq!(names(2), ["2024-01-01", "2024-01-02"]);
        assert_eq!(names(40).len(), 40);
        assert_eq!(names(41), ["2024-01", "2024-02"]);
        assert_eq!(names(366 + 365 * 2 + 150).len(), 41 - 1 - 36, "four years: {:?}", names(366 + 365 * 2 + 150));
        let range = by(By::Range { start: -50, end: 1005, interval: 5 }, Of::Integer, Some("n"));
        let numbers = |to: i64| parts(&range, &partitions((-50..to).step_by(5).map(|n| n.to_string()))).unwrap();
        assert_eq!(numbers(-40).keys().collect::<Vec<_>>(), ["-45..-40", "-50..-45"]);
        let all = numbers(1005);
        assert_eq!(all.len(), 22);
        assert_eq!(all["1000..1005"].restriction, "`n` >= 1000 AND `n` < 1005", "no further than the ranges go");
    }

    #[test]
    fn conditions_are_written_as_the_column_is_typed() {
        let one = |partitioning: Partitioning, id: &str| parts(&partitioning, &partitions([id])).unwrap().into_iter().next().unwrap();
        let (name, part) = one(by(By::Hour, Of::Timestamp, Some("at")), "2024022923");
        let condition = "`at` >= TIMESTAMP '2024-02-29 23:00:00+00:00' AND `at` < TIMESTAMP '2024-03-01 00:00:00+00:00'";
        assert_eq!((name.as_str(), part.restriction.as_str()), ("2024-02-29-23", condition));
        let (name, part) = one(by(By::Month, Of::Datetime, Some("at")), "202312");
        let condition = "`at` >= DATETIME '2023-12-01 00:00:00' AND `at` < DATETIME '2024-01-01 00:00:00'";
        assert_eq!((name.as_str(), part.restriction.as_str()), ("2023-12", condition));
        let (name, part) = one(by(By::Day, Of::Date, Some("at")), OTHERS);
        assert_eq!(
            (name.as_str(), part.restriction.as_str()),
            ("rest", "(`at` IS NULL OR `at` < DATE '1960-01-01' OR `at` >= DATE '2160-01-01')")
        );
        let (_, part) = one(by(By::Year, Of::Timestamp, None), "2024");
        assert!(part.restriction.starts_with("_PARTITIONTIME >= TIMESTAMP '2024-01-01 00:00:00+00:00' AND "), "{part:?}");
    }

    #[test]
    fn what_is_not_understood_is_read_whole() {
        let day = by(By::Day, Of::Date, Some("date"));
        for ids in [&["202401"][..], &["20240132"], &["2024010x"], &["20240101", "x"], &[]] {
            assert_eq!(parts(&day, &partitions(ids.iter().copied())), None, "{ids:?}");
        }
        assert_eq!(
            parts(&by(By::Day, Of::Timestamp, None), &partitions(["20240101", OTHERS])),
            None,
            "rows without a time of their own yet"
        );
        let range = by(By::Range { start: 0, end: 10, interval: 5 }, Of::Integer, Some("n"));
        assert_eq!(parts(&range, &partitions(["10"])), None);
    }

    proptest! {
        #[test]
        fn every_partition_is_in_one_part_and_more_of_them_change_no_part_but_their_own(
            hours in btree_set(0i64..24 * 365 * 30, 1..60), extra in 0i64..24 * 365 * 30, width in 0usize..4,
        ) {
            let (by_width, form) = [(By::Hour, "%Y%m%d%H"), (By::Day, "%Y%m%d"), (By::Month, "%Y%m"), (By::Year, "%Y")][width];
            let first = NaiveDate::from_ymd_opt(1995, 1, 1).unwrap().and_hms_opt(0, 0, 0).unwrap();
            let id = |hour: &i64| (first + TimeDelta::hours(*hour)).format(form).to_string();
            let partitioning = by(by_width, Of::Timestamp, Some("at"));
            let before = partitions(hours.iter().map(id));
            let found = parts(&partitioning, &before).unwrap();
            let listed: Vec<&String> = found.values().flat_map(|part| part.partitions.keys()).collect();
            prop_assert!(listed.len() == before.len() && found.len() <= MOST);
            let after = partitions(hours.iter().chain([&extra]).map(id));
            let grown = parts(&partitioning, &after).unwrap();
            // Where one more makes parts wider, all are others.
            if found.keys().all(|name| grown.contains_key(name)) {
                let others = found.iter().filter(|(_, part)| !grown.values().any(|new| new == *part)).count();
                prop_assert!(others <= 1);
            }
        }
    }
}
