//! Owns the options of the commands about releases. Invariant: only what a person can type; what it does stands elsewhere.

use chrono::NaiveDate;
use clap::Args as Group;

use crate::cli::args_build::Format;

/// `cbi promote`.
#[derive(Debug, Clone, Group)]
pub struct Promote {
    /// The release
    #[arg(value_name = "NAME")]
    pub release: String,
    /// A version, or four or more digits of a candidate's hash [default: what the last build made]
    #[arg(value_name = "VERSION|HASH")]
    pub what: Option<String>,
    /// Promote it although gates refuse it; what they said and the reason are recorded
    #[arg(long, requires = "reason")]
    pub force: bool,
    /// Why
    #[arg(long, value_name = "TEXT", requires = "force")]
    pub reason: Option<String>,
    /// Ask the gates and move nothing
    #[arg(long)]
    pub dry_run: bool,
    /// How to print.
    #[command(flatten)]
    pub format: Format,
}

/// `cbi models`.
#[derive(Debug, Clone, Group)]
pub struct Models {
    /// The release whose versions are listed [default: all releases]
    #[arg(value_name = "NAME")]
    pub release: Option<String>,
    /// What was current on this day (UTC), as YYYY-MM-DD
    #[arg(long, value_name = "DATE")]
    pub on: Option<NaiveDate>,
    /// How to print.
    #[command(flatten)]
    pub format: Format,
}

/// `cbi compare`.
#[derive(Debug, Clone, Group)]
pub struct Compare {
    /// The release
    #[arg(value_name = "NAME")]
    pub release: String,
    /// A version, or a channel
    #[arg(value_name = "V1")]
    pub a: String,
    /// What to compare it with
    #[arg(value_name = "V2")]
    pub b: String,
    /// How to print.
    #[command(flatten)]
    pub format: Format,
}

/// `cbi channel`.
#[derive(Debug, Clone, Group)]
pub struct Channel {
    /// The release
    #[arg(value_name = "NAME")]
    pub release: String,
    /// The channel; any but `current`
    #[arg(value_name = "CHANNEL")]
    pub channel: String,
    /// The version it moves to, or a channel that is at it
    #[arg(value_name = "VERSION", default_value = "current")]
    pub version: String,
    /// How to print.
    #[command(flatten)]
    pub format: Format,
}
