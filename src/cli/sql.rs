//! Owns which use-case a command of `cbi sql` is. Invariant: it decides nothing, and prints nothing.

use crate::app::problem::{Outcome, Problems};
use crate::app::sql_check;
use crate::app::status::Said;
use crate::app::workspace::Options;
use crate::cli::args_sql::SqlCommand;

/// What is to be told.
pub struct Told {
    /// The table, or its JSON.
    pub said: Said,
    /// What is wrong, to be told after it.
    pub problems: Problems,
    /// Whether JSON is wanted.
    pub json: bool,
}

/// `cbi sql`.
///
/// # Errors
/// As the use-cases.
pub fn sql(what: &SqlCommand, options: &Options) -> Outcome<Told> {
    let SqlCommand::Check(ask) = what;
    let checked = sql_check::check(options, &ask.targets)?;
    Ok(Told { said: checked.said, problems: checked.problems, json: ask.format.json })
}
