//! Owns the options of `cbi sql`. Invariant: only what a person can type; what it does stands elsewhere.

use clap::{Args as Group, Subcommand};

use crate::cli::args_build::Select;

/// `cbi sql`.
#[derive(Debug, Clone, Group)]
pub struct Sql {
    /// What to do.
    #[command(subcommand)]
    pub what: SqlCommand,
}

/// What to do with the recipes' queries.
#[derive(Debug, Clone, Subcommand)]
pub enum SqlCommand {
    /// Try every query without running it: in BigQuery by dry runs, with bytes and price; over a folder with the engine here
    Check(Select),
}
