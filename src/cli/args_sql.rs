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
    /// Make every query a view in BigQuery, in the workspace's own dataset, for people who ask there
    Deploy(SqlDeploy),
}

/// `cbi sql deploy`.
#[derive(Debug, Clone, Group)]
pub struct SqlDeploy {
    /// Which targets, and how to print.
    #[command(flatten)]
    pub select: Select,
    /// Change nothing, show what would be
    #[arg(long)]
    pub dry_run: bool,
    /// Overwrite views that somebody else made or changed
    #[arg(long)]
    pub force: bool,
    /// Drop views of recipes that are gone
    #[arg(long)]
    pub prune: bool,
}
