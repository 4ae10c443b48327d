//! Owns why a check could not be made. Invariant: what a table fails is a finding, never an error; an error is the recipe's or the machine's.

use arrow::error::ArrowError;

use crate::engine::duck::DuckError;
use crate::engine::table_file::TableFileError;
use crate::engine::table_types::TypeError;

/// A check that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// A column that the table does not have.
    #[error("no column '{column}' in {table}")]
    Column {
        /// The column asked for.
        column: String,
        /// Whose column it should be.
        table: String,
        /// The column that may have been meant.
        nearest: Option<String>,
    },
    /// No column begins so.
    #[error("no column matches '{pattern}'")]
    Pattern {
        /// The pattern.
        pattern: String,
    },
    /// A column that holds something else.
    #[error("column '{column}' is {found}, not {wanted}")]
    Type {
        /// The column.
        column: String,
        /// The type it has.
        found: String,
        /// What was asked for.
        wanted: &'static str,
    },
    /// A table that was not given.
    #[error("it reads '{table}', which was not given to it")]
    Table {
        /// The table.
        table: String,
    },
    /// The engine refuses.
    #[error(transparent)]
    Duck(#[from] DuckError),
    /// A table cannot be read.
    #[error(transparent)]
    File(#[from] TableFileError),
    /// Rows found cannot be shown.
    #[error(transparent)]
    Shown(#[from] TypeError),
    /// Rows found cannot be put together.
    #[error(transparent)]
    Rows(#[from] ArrowError),
}

impl CheckError {
    /// Whether the recipe is at fault.
    #[must_use]
    pub fn is_the_recipes(&self) -> bool {
        matches!(self, Self::Column { .. } | Self::Pattern { .. } | Self::Type { .. } | Self::Duck(DuckError::Query { .. }))
    }

    /// The way out, where one is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Column { nearest: Some(near), .. } => Some(format!("did you mean '{near}'?")),
            Self::Type { wanted: "a date", .. } => {
                Some("give the column a type: types = { … = \"DATE\" }, or check the cleaned table".into())
            }
            _ => None,
        }
    }
}
