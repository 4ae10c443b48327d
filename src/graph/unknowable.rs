//! Owns what a frame may not learn from, in words. Invariant: each names the frame that would, and what to write instead.

use std::fmt;

use crate::base::name::TargetName;

/// The frames that would learn from something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Learners {
    /// The first of them.
    pub first: TargetName,
    /// How many more there are.
    pub others: usize,
}

impl fmt::Display for Learners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.others {
            0 => write!(f, "'{}'", self.first),
            1 => write!(f, "'{}' and 1 more frame", self.first),
            others => write!(f, "'{}' and {others} more frames", self.first),
        }
    }
}

/// What a frame would learn from and could not have known, or nobody can tell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unknowable {
    /// A table that does not say when its rows are known.
    #[error("'{table}', which {learners} would learn from, does not say how long after its date a row is known")]
    NoLag {
        /// The table.
        table: TargetName,
        /// Who would learn from it.
        learners: Learners,
        /// Whether it has no stanza.
        implicit: bool,
    },
    /// A table whose rows are known only later is joined by their date.
    #[error("'{frame}' would learn on a day from the row of '{table}' with that date, which is known {days} days later")]
    NotYet {
        /// The frame.
        frame: TargetName,
        /// The table.
        table: TargetName,
        /// The lag.
        days: u32,
    },
    /// The frame joins by a column that is not the one by which it is tested what was known.
    #[error("'{frame}' joins '{table}' by '{date}', which is not the first column of that table's key")]
    OtherDate {
        /// The frame.
        frame: TargetName,
        /// The table.
        table: TargetName,
        /// The frame's column of dates.
        date: String,
    },
    /// A query that reads later rows.
    #[error("'{target}', which {learners} would learn from, looks ahead: {how}")]
    LooksAhead {
        /// The query's target.
        target: TargetName,
        /// How.
        how: String,
        /// What to write instead.
        hint: &'static str,
        /// Who would learn from it.
        learners: Learners,
    },
    /// A query that cannot be tested, because it runs in the warehouse alone.
    #[error("'{target}', which {learners} would learn from, cannot run here, where it is tested whether it reads later rows: {why}")]
    Elsewhere {
        /// The query's target.
        target: TargetName,
        /// What it says that cannot.
        why: String,
        /// Who would learn from it.
        learners: Learners,
    },
    /// A table that comes from neither a query nor the warehouse.
    #[error("'{target}', which {learners} would learn from, is made by a {kind}: nobody can test what was known when")]
    OtherKind {
        /// The target.
        target: TargetName,
        /// Its kind.
        kind: String,
        /// Who would learn from it.
        learners: Learners,
    },
}

impl Unknowable {
    /// The way out.
    #[must_use]
    pub fn hint(&self) -> String {
        let lags = "\"0 days\" for prices, \"3 days\" for a report of Tuesday that comes out on Friday, \"always\" for a calendar";
        match self {
            Self::NoLag { table, implicit: true, .. } => format!("write a stanza: [table.\"{table}\"] with available_after = … ({lags})"),
            Self::NoLag { .. } => format!("add to the stanza: available_after = … ({lags})"),
            Self::NotYet { table, .. } => {
                format!("join it by what was known: join = [{{ table = \"{table}\", columns = […], max_age_days = … }}]")
            }
            Self::OtherDate { date, .. } => format!("add to the table's stanza: key = [\"{date}\"]"),
            Self::LooksAhead { hint, .. } => (*hint).to_owned(),
            Self::Elsewhere { .. } => {
                "say it in words that run here too (docs/sql.md), or in a query of its own that no frame stands on".to_owned()
            }
            Self::OtherKind { .. } => "features come from 'sql' targets, and those from tables of the warehouse".to_owned(),
        }
    }
}
