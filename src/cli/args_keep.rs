//! Owns the options of the commands that say what the store keeps. Invariant: only what a person can type; what it does stands elsewhere.

use clap::Args as Group;

use crate::cli::args_build::Format;

/// `cbi pin`.
#[derive(Debug, Clone, Group)]
pub struct Pin {
    /// Four or more digits of the hash of a build, an artifact or an action, or a target for its latest
    #[arg(value_name = "HASH|TARGET", required_unless_present = "list")]
    pub what: Option<String>,
    /// Keep it no longer than others
    #[arg(long)]
    pub remove: bool,
    /// List what is kept
    #[arg(long, conflicts_with_all = ["what", "remove"])]
    pub list: bool,
    /// How to print.
    #[command(flatten)]
    pub format: Format,
}

/// `cbi gc`.
#[derive(Debug, Clone, Group)]
pub struct Gc {
    /// Keep what the last N builds made
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub keep_builds: usize,
    /// Keep what builds of the last D days made
    #[arg(long, value_name = "D", default_value_t = 14)]
    pub keep_days: u32,
    /// Delete nothing, show what would be
    #[arg(long)]
    pub dry_run: bool,
    /// How to print.
    #[command(flatten)]
    pub format: Format,
}

/// `cbi fsck`.
#[derive(Debug, Clone, Group)]
pub struct Fsck {
    /// Quarantine what is damaged, so that the next build makes it again
    #[arg(long)]
    pub repair: bool,
    /// How to print.
    #[command(flatten)]
    pub format: Format,
}
