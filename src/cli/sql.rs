//! Owns which use-case a command of `cbi sql` is. Invariant: it decides nothing, and prints nothing.

use crate::app::problem::{Outcome, Problems};
use crate::app::sql_check;
use crate::app::sql_deploy::{self, How};
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
    match what {
        SqlCommand::Check(ask) => {
            let checked = sql_check::check(options, &ask.targets)?;
            Ok(Told { said: checked.said, problems: checked.problems, json: ask.format.json })
        }
        SqlCommand::Deploy(ask) => {
            let how = How { dry: ask.dry_run, force: ask.force, prune: ask.prune };
            let done = sql_deploy::deploy(options, &ask.select.targets, how)?;
            Ok(Told { said: done.said, problems: done.problems, json: ask.select.format.json })
        }
    }
}
