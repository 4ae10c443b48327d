//! Owns what can be wrong with a query's text. Invariant: every fault has a place, in bytes of the text.

use std::ops::Range;

/// Something wrong at one place of a query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct SqlError {
    /// The bytes of the text it is about.
    pub span: Range<usize>,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The text is not a query.
    #[error("SQL syntax: expected {wanted}, found {found}")]
    Syntax {
        /// What could stand here.
        wanted: String,
        /// What does.
        found: String,
    },
    /// A literal or comment that does not end, or cannot be read.
    #[error("SQL syntax: {problem}")]
    Literal {
        /// What is wrong with it.
        problem: String,
    },
    /// A function whose value differs from one moment, machine or user to the next.
    #[error("{name} would give another result each time; a step must not depend on when or where it runs")]
    Impure {
        /// The function.
        name: String,
        /// What to use instead.
        instead: &'static str,
    },
    /// A statement that is no query.
    #[error("{statement} is not a query; a step is one SELECT, and its target's name is the table it makes")]
    Statement {
        /// The statement's first word.
        statement: String,
    },
    /// A second statement.
    #[error("one statement only: a step is one SELECT")]
    Several,
    /// A table that is not named `dataset.table`.
    #[error("'{name}' is neither a WITH query above nor a table named dataset.table")]
    TableName {
        /// The name.
        name: String,
        /// A WITH query that may have been meant.
        nearest: Option<String>,
    },
    /// A comparison of types that BigQuery does not compare.
    #[error("BigQuery does not compare {left} with {right}: there is no '{op}' for them")]
    Incomparable {
        /// The operator.
        op: String,
        /// What its left side is.
        left: &'static str,
        /// What its right side is.
        right: &'static str,
    },
    /// Something BigQuery has and the offline engine cannot do exactly as BigQuery does.
    #[error("{what} cannot be run offline exactly as BigQuery runs it")]
    Unsupported {
        /// The construct.
        what: String,
        /// What to use instead, where there is something.
        instead: Option<String>,
    },
}

impl Fault {
    /// The way out, where one is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Impure { instead, .. } => Some((*instead).to_owned()),
            Self::Statement { .. } => Some("keep the SELECT alone".to_owned()),
            Self::Incomparable { .. } => Some("convert one of them: SAFE_CAST(… AS INT64), CAST(… AS STRING)".to_owned()),
            Self::TableName { nearest: Some(name), .. } => Some(format!("did you mean '{name}'?")),
            Self::TableName { .. } => Some("write the table as dataset.table".to_owned()),
            Self::Unsupported { instead, .. } => instead.clone(),
            Self::Syntax { .. } | Self::Literal { .. } | Self::Several => None,
        }
    }

    /// The fault at a place.
    #[must_use]
    pub fn at(self, span: Range<usize>) -> SqlError {
        SqlError { span, fault: self }
    }
}

/// A construct that is refused by name.
pub(crate) fn unsupported(what: impl Into<String>, instead: Option<&str>) -> Fault {
    Fault::Unsupported { what: what.into(), instead: instead.map(str::to_owned) }
}
