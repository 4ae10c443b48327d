//! Owns how a BigQuery table is partitioned, as its description says. Invariant: what is not understood is no partitioning, and such a table is read
//! whole.

use std::collections::BTreeMap;

use chrono::NaiveDateTime;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The pseudo-column that holds when a row came, where that is what a table is partitioned by.
const CAME: &str = "_PARTITIONTIME";

/// The partition of rows whose value is NULL.
pub const NULLS: &str = "__NULL__";
/// The partition of rows whose value no other one takes; of ingestion time: of rows that have none yet.
pub const OTHERS: &str = "__UNPARTITIONED__";

/// What tells a table's partitions apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partitioning {
    /// The column; `None` where it is the time at which rows came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// Its type.
    #[serde(rename = "type")]
    pub of: Of,
    /// The width of a partition.
    pub by: By,
    /// Whether BigQuery gives no rows without a condition on the column.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
}

/// The type of a column that a table can be partitioned by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Of {
    /// `DATE`.
    Date,
    /// `DATETIME`.
    Datetime,
    /// `TIMESTAMP`, in UTC.
    Timestamp,
    /// `INT64`.
    Integer,
}

/// How wide a partition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum By {
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A month.
    Month,
    /// A year.
    Year,
    /// So many whole numbers, from the first on.
    Range {
        /// The first number that has a partition of its range.
        start: i64,
        /// The first number behind the last range.
        end: i64,
        /// Numbers in a range, at least 1.
        interval: i64,
    },
}

/// What identifies the state of one partition: two that are equal stand for the same rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionVersion {
    /// When rows were last written to it, in microseconds since 1970.
    pub modified: i64,
    /// Its rows.
    pub rows: u64,
    /// Their bytes, as BigQuery counts them.
    pub bytes: u64,
}

/// A table's partitions by their ids, for example `20240131`.
pub type Partitions = BTreeMap<String, PartitionVersion>;

impl Partitioning {
    /// What a table's description (`tables.get`) says of it; `None` of a table that is not partitioned, or in a way that is not known here.
    #[must_use]
    pub fn of(table: &Value) -> Option<Self> {
        let (time, range) = (&table["timePartitioning"], &table["rangePartitioning"]);
        let required = [table, time].iter().any(|said| said["requirePartitionFilter"] == true);
        let column = time["field"].as_str().or_else(|| range["field"].as_str()).map(str::to_owned);
        let of = match &column {
            None => Of::Timestamp,
            Some(column) => type_of(table, column)?,
        };
        let by = match (time["type"].as_str(), range.is_object()) {
            (Some("HOUR"), false) if of != Of::Date => By::Hour,
            (Some("DAY"), false) => By::Day,
            (Some("MONTH"), false) => By::Month,
            (Some("YEAR"), false) => By::Year,
            (None, true) if column.is_some() => {
                let number = |key: &str| whole(&range["range"][key]);
                let (start, end, interval) = (number("start")?, number("end")?, number("interval")?);
                (interval > 0 && start < end).then_some(By::Range { start, end, interval })?
            }
            _ => return None,
        };
        let fits = matches!(by, By::Range { .. }) == (of == Of::Integer);
        fits.then_some(Self { column, of, by, required })
    }

    /// The column as SQL has it.
    #[must_use]
    pub fn quoted(&self) -> String {
        self.column.as_ref().map_or_else(|| CAME.to_owned(), |column| format!("`{column}`"))
    }

    /// A moment as a value of the column, in SQL.
    #[must_use]
    pub fn moment(&self, at: NaiveDateTime) -> String {
        match self.of {
            Of::Date => format!("DATE '{}'", at.format("%Y-%m-%d")),
            Of::Datetime => format!("DATETIME '{}'", at.format("%Y-%m-%d %H:%M:%S")),
            Of::Timestamp | Of::Integer => format!("TIMESTAMP '{}+00:00'", at.format("%Y-%m-%d %H:%M:%S")),
        }
    }

    /// A condition that every row fulfils, for tables that give none without one.
    #[must_use]
    pub fn everything(&self) -> String {
        let column = self.quoted();
        let least = match self.of {
            Of::Integer => i64::MIN.to_string(),
            _ => self.moment(chrono::NaiveDate::from_ymd_opt(1, 1, 1).unwrap_or_default().into()),
        };
        format!("({column} >= {least} OR {column} IS NULL)")
    }
}

/// The type of a column, where a table can be partitioned by it.
fn type_of(table: &Value, column: &str) -> Option<Of> {
    let own = |field: &&Value| field["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(column));
    match table["schema"]["fields"].as_array()?.iter().find(own)?["type"].as_str()? {
        "DATE" => Some(Of::Date),
        "DATETIME" => Some(Of::Datetime),
        "TIMESTAMP" => Some(Of::Timestamp),
        "INTEGER" | "INT64" => Some(Of::Integer),
        _ => None,
    }
}

/// A whole number, which BigQuery writes as a text.
fn whole(value: &Value) -> Option<i64> {
    value.as_str().and_then(|text| text.parse().ok()).or_else(|| value.as_i64())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(mut table: Value, column_type: &str) -> Option<Partitioning> {
        table["schema"] = json!({"fields": [{"name": "At", "type": column_type}]});
        Partitioning::of(&table)
    }

    #[test]
    fn what_is_said_of_a_partitioned_table_is_understood() {
        let day = of(json!({"timePartitioning": {"type": "DAY", "field": "at"}, "requirePartitionFilter": true}), "DATE").unwrap();
        assert_eq!((day.of, day.by, day.required), (Of::Date, By::Day, true));
        assert_eq!(day.everything(), "(`at` >= DATE '0001-01-01' OR `at` IS NULL)");
        let came = of(json!({"timePartitioning": {"type": "HOUR"}}), "STRING").unwrap();
        assert_eq!((came.quoted().as_str(), came.of, came.required), ("_PARTITIONTIME", Of::Timestamp, false));
        let range = json!({"rangePartitioning": {"field": "at", "range": {"start": "0", "end": "100", "interval": "10"}}});
        assert_eq!(of(range, "INTEGER").unwrap().by, By::Range { start: 0, end: 100, interval: 10 });
    }

    #[test]
    fn what_is_not_understood_is_no_partitioning() {
        for (table, column_type) in [
            (json!({}), "DATE"),
            (json!({"timePartitioning": {"type": "WEEK", "field": "at"}}), "DATE"),
            (json!({"timePartitioning": {"type": "HOUR", "field": "at"}}), "DATE"),
            (json!({"timePartitioning": {"type": "DAY", "field": "at"}}), "STRING"),
            (json!({"timePartitioning": {"type": "DAY", "field": "at"}}), "INTEGER"),
            (json!({"timePartitioning": {"type": "DAY", "field": "other"}}), "DATE"),
            (json!({"rangePartitioning": {"field": "at", "range": {"start": "0", "end": "100", "interval": "0"}}}), "INTEGER"),
            (json!({"rangePartitioning": {"field": "at", "range": {"start": "0", "end": "100", "interval": "10"}}}), "DATE"),
        ] {
            assert_eq!(of(table.clone(), column_type), None, "{table} {column_type}");
        }
    }
}
