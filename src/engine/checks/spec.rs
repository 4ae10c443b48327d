//! Owns what a check asks for. Invariant: its JSON is the stanza's own, with the severity filled in and an SQL text without layout.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::checks::found::counted;
use crate::model::check::Severity;

/// One item of a stanza's `checks`. Exactly one of `rule` and `sql` is there.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Check {
    /// What its failure does.
    pub severity: Severity,
    /// What it is called, where a person gave it a name.
    #[serde(default)]
    pub name: Option<String>,
    /// A query in BigQuery's dialect that must return no rows.
    #[serde(default)]
    pub sql: Option<String>,
    /// Any other check.
    #[serde(flatten)]
    pub rule: Option<Rule>,
}

/// What must hold. NULL and NaN are missing values; only `not_null` and `no_dead_columns` mind them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// No two rows have the same values in these columns; missing ones are equal to each other.
    Unique(Vec<String>),
    /// These columns have a value in every row.
    NotNull(Vec<String>),
    /// A column's values lie between two limits, both included.
    Range {
        /// The column.
        column: String,
        /// The lower limit: a number, a date, or another column.
        #[serde(default)]
        min: Option<Value>,
        /// The upper limit.
        #[serde(default)]
        max: Option<Value>,
    },
    /// A column holds these values only.
    Accepted {
        /// The column.
        column: String,
        /// The values.
        values: Vec<Value>,
    },
    /// A column never decreases from one row to the next, in the order of the table.
    Monotonic(String),
    /// The table has so many rows.
    RowCount {
        /// At least.
        #[serde(default)]
        min: Option<u64>,
        /// At most.
        #[serde(default)]
        max: Option<u64>,
    },
    /// From one date to the next it is never more than so many days.
    MaxGap {
        /// The column of dates.
        column: String,
        /// The most days: those of the calendar where there is one, else all.
        days: u32,
        /// A table of trading days.
        #[serde(default)]
        calendar: Option<Calendar>,
    },
    /// The newest date is not older than this.
    Fresh {
        /// The column of dates.
        column: String,
        /// Calendar days before the build's date.
        max_age_days: u32,
    },
    /// The last values of a column are not all the same.
    NoFrozenTail {
        /// The columns: names and patterns.
        column: OneOrMany,
        /// So many equal values at the end are too many.
        rows: u64,
    },
    /// Every column has at least two values.
    NoDeadColumns(Dead),
    /// Another table says the same.
    AgreesWith(Other),
    /// Every value stands in another table.
    References {
        /// The column.
        column: String,
        /// The other table.
        table: String,
        /// Its column; of the same name where it is not said.
        #[serde(default)]
        other: Option<String>,
    },
}

/// A column of dates in another table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Calendar {
    /// A table whose column is called `date`.
    Table(String),
    /// A table and its column.
    Column {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
}

/// One name or several.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// Which columns must not be dead.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Dead {
    /// `true`: all.
    All(bool),
    /// Those with these names and patterns.
    Columns(Vec<String>),
}

/// A second table that holds the same quantity.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Other {
    /// The table.
    pub table: String,
    /// How rows of the two belong together.
    pub on: On,
    /// The column of this table.
    pub column: String,
    /// The column of the other; of the same name where it is not said.
    #[serde(default)]
    pub other: Option<String>,
    /// How far apart two numbers may be.
    #[serde(default)]
    pub tolerance: f64,
    /// Whether a row that only one of the two has is a disagreement too.
    #[serde(default)]
    pub complete: bool,
}

/// Columns by which rows of two tables belong together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum On {
    /// The same names in both.
    Same(Vec<String>),
    /// This table's column = the other's.
    Pairs(BTreeMap<String, String>),
}

impl Calendar {
    /// Its table and column.
    #[must_use]
    pub fn parts(&self) -> (&str, &str) {
        match self {
            Self::Table(table) => (table, "date"),
            Self::Column { table, column } => (table, column),
        }
    }
}

impl OneOrMany {
    /// All names.
    #[must_use]
    pub fn all(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Many(names) => names,
        }
    }
}

impl On {
    /// This table's column and the other's, for each.
    #[must_use]
    pub fn pairs(&self) -> Vec<(&str, &str)> {
        match self {
            Self::Same(names) => names.iter().map(|name| (name.as_str(), name.as_str())).collect(),
            Self::Pairs(pairs) => pairs.iter().map(|(this, other)| (this.as_str(), other.as_str())).collect(),
        }
    }
}

impl Check {
    /// The check in words: its own name, else what it asks for.
    #[must_use]
    pub fn words(&self) -> String {
        match (&self.name, &self.rule) {
            (Some(name), _) => name.clone(),
            (None, Some(rule)) => rule.words(),
            (None, None) => "sql".to_owned(),
        }
    }
}

impl Rule {
    /// What it asks for, in a few words.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Unique(columns) => format!("unique {}", columns.join(", ")),
            Self::NotNull(columns) => format!("not_null {}", columns.join(", ")),
            Self::Range { column, min, max } => format!("range {column} {}", limits(min.as_ref(), max.as_ref())),
            Self::Accepted { column, .. } => format!("accepted {column}"),
            Self::Monotonic(column) => format!("monotonic {column}"),
            Self::RowCount { min, max } => {
                let number = |n: &Option<u64>| n.map(Value::from);
                format!("row_count {}", limits(number(min).as_ref(), number(max).as_ref()))
            }
            Self::MaxGap { column, days, calendar: None } => format!("max_gap {column} {}", counted((*days).into(), "day")),
            Self::MaxGap { column, days, calendar: Some(calendar) } => {
                format!("max_gap {column} {} of {}", counted((*days).into(), "day"), calendar.parts().0)
            }
            Self::Fresh { column, max_age_days } => format!("fresh {column} {}", counted((*max_age_days).into(), "day")),
            Self::NoFrozenTail { column, rows } => format!("no_frozen_tail {} {rows} rows", column.all().join(", ")),
            Self::NoDeadColumns(Dead::Columns(columns)) => format!("no_dead_columns {}", columns.join(", ")),
            Self::NoDeadColumns(Dead::All(_)) => "no_dead_columns".to_owned(),
            Self::AgreesWith(other) => format!("agrees_with {}: {}", other.table, other.column),
            Self::References { column, table, .. } => format!("references {table}: {column}"),
        }
    }

    /// The other table that it reads.
    #[must_use]
    pub fn table(&self) -> Option<&str> {
        match self {
            Self::MaxGap { calendar, .. } => calendar.as_ref().map(|c| c.parts().0),
            Self::AgreesWith(other) => Some(&other.table),
            Self::References { table, .. } => Some(table),
            _ => None,
        }
    }

    /// Columns of the checked table that it names, patterns left out.
    #[must_use]
    pub fn columns(&self) -> Vec<&str> {
        let all: Vec<&str> = match self {
            Self::Unique(columns) | Self::NotNull(columns) | Self::NoDeadColumns(Dead::Columns(columns)) => {
                columns.iter().map(String::as_str).collect()
            }
            Self::Range { column, min, max } => {
                let limits = [min, max].into_iter().flatten().filter_map(|limit| limit.as_str().filter(|text| !is_date(text)));
                std::iter::once(column.as_str()).chain(limits).collect()
            }
            Self::Accepted { column, .. }
            | Self::Monotonic(column)
            | Self::MaxGap { column, .. }
            | Self::Fresh { column, .. }
            | Self::References { column, .. } => vec![column],
            Self::NoFrozenTail { column, .. } => column.all().iter().map(String::as_str).collect(),
            Self::AgreesWith(other) => other.on.pairs().iter().map(|(this, _)| *this).chain([other.column.as_str()]).collect(),
            Self::RowCount { .. } | Self::NoDeadColumns(Dead::All(_)) => Vec::new(),
        };
        all.into_iter().filter(|column| !is_pattern(column)).collect()
    }
}

/// Whether a name stands for all columns that begin like it: `ret_*`.
#[must_use]
pub fn is_pattern(name: &str) -> bool {
    name.ends_with('*')
}

/// Whether a limit is a date, not a column.
#[must_use]
pub fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<chrono::NaiveDate>().is_ok()
}

fn limits(min: Option<&Value>, max: Option<&Value>) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match (min, max) {
        (Some(min), Some(max)) => format!("{} to {}", text(min), text(max)),
        (Some(min), None) => format!("at least {}", text(min)),
        (None, Some(max)) => format!("at most {}", text(max)),
        (None, None) => "without limits".to_owned(),
    }
}
