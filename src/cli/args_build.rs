//! Owns the options of the commands that build or say what a build would do. Invariant: only what a person can type; what it does stands elsewhere.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::{Args as Group, Subcommand, ValueHint};

use crate::app::past::At;
use crate::base::units;

/// How to print.
#[derive(Debug, Clone, Copy, Group)]
pub struct Format {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Some targets.
#[derive(Debug, Clone, Group)]
pub struct Select {
    /// Targets or globs (`*` within a segment, `**` across segments) [default: `default` in cbi.toml]
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,
    /// How to print.
    #[command(flatten)]
    pub format: Format,
}

/// What steps may use side by side.
#[derive(Debug, Clone, Copy, Group)]
pub struct Limits {
    /// Run at most N threads of actions at once [default: the machine's CPUs]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub jobs: Option<u32>,
    /// Let running actions use at most this much memory together, such as 8GiB or 512MiB [default: three quarters of the machine's]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub memory: Option<u64>,
}

/// `cbi plan`.
#[derive(Debug, Clone, Group)]
pub struct Plan {
    /// Which targets, and how to print.
    #[command(flatten)]
    pub select: Select,
    /// What steps may use side by side.
    #[command(flatten)]
    pub limits: Limits,
}

/// `cbi build`.
#[derive(Debug, Clone, Group)]
#[expect(clippy::struct_excessive_bools, reason = "each is one switch of the command line")]
pub struct Build {
    /// Targets or globs (`*` within a segment, `**` across segments) [default: `default` in cbi.toml]
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,
    /// After a failure, build all that does not depend on it
    #[arg(short, long)]
    pub keep_going: bool,
    /// What steps may use side by side.
    #[command(flatten)]
    pub limits: Limits,
    /// Let tables and forecasts pass that are older than allowed, with a warning
    #[arg(long)]
    pub allow_stale: bool,
    /// Take nothing from the mirror, and put nothing there
    #[arg(long)]
    pub no_remote: bool,
    /// Build as in a past build, from its recipes, queries, parameters and tables: four or more digits of its hash or of an artifact's, or the last one that had ended by a day (2026-11-20) or time (2026-11-20T06:00:00Z)
    #[arg(long, value_name = "BUILD|HASH|DATE", value_parser = past, conflicts_with = "dry_run")]
    pub at: Option<At>,
    /// Build nothing, show what would run: the same as `cbi plan`
    #[arg(long)]
    pub dry_run: bool,
    /// Print plain lines on a terminal too
    #[arg(long)]
    pub no_progress: bool,
    /// Print events as JSON, one a line; the last line counts what ran, was reused and failed
    #[arg(long)]
    pub json: bool,
}

/// `cbi check`.
#[derive(Debug, Clone, Group)]
pub struct Check {
    /// Which tables: those named, and all that they need.
    #[command(flatten)]
    pub select: Select,
    /// Let tables and forecasts pass that are older than allowed, with a warning
    #[arg(long)]
    pub allow_stale: bool,
}

/// `cbi daily`.
#[derive(Debug, Clone, Group)]
pub struct Daily {
    /// Which targets, and how to print.
    #[command(flatten)]
    pub select: Select,
    /// Wait until this time of today for tables that are too old for their `fresh` check, as HH:MM
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "wait_for")]
    pub wait_until: Option<NaiveTime>,
    /// Wait so long for them, such as 2h or 30m
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub wait_for: Option<Duration>,
    /// Look for them so often
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "1m")]
    pub every: Duration,
    /// Leave the report here too, beside .cbi-cache/reports/DATE.md
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub report: Option<PathBuf>,
    /// Let tables and forecasts pass that are older than allowed, with a warning
    #[arg(long)]
    pub allow_stale: bool,
    /// What steps may use side by side.
    #[command(flatten)]
    pub limits: Limits,
}

/// `cbi mirror`.
#[derive(Debug, Clone, Group)]
pub struct Mirror {
    /// What to do.
    #[command(subcommand)]
    pub what: MirrorCommand,
}

/// What to do with the mirror.
#[derive(Debug, Clone, Subcommand)]
pub enum MirrorCommand {
    /// Put every result that is here into the mirror
    Push(MirrorPush),
    /// Take the results of targets, and of all they need, from the mirror; run nothing
    Pull(MirrorPull),
    /// Show how many results are here and are not in the mirror
    Status(Format),
    /// Show what of the mirror nobody needs, and throw it away
    Prune(MirrorPrune),
    /// Check that every record in the mirror has all that it names
    Verify(MirrorVerify),
    /// Forget what was seen of the mirror, after it was emptied or put back on purpose
    Forget(Format),
}

/// `cbi mirror push`.
#[derive(Debug, Clone, Copy, Group)]
pub struct MirrorPush {
    /// Let no more than this pass in a second, such as 2MiB [default: `limit` in cbi.toml]
    #[arg(long, value_name = "RATE", value_parser = size)]
    pub limit: Option<u64>,
    /// How to print.
    #[command(flatten)]
    pub format: Format,
}

/// `cbi mirror pull`.
#[derive(Debug, Clone, Group)]
pub struct MirrorPull {
    /// Let no more than this pass in a second, such as 2MiB [default: `limit` in cbi.toml]
    #[arg(long, value_name = "RATE", value_parser = size)]
    pub limit: Option<u64>,
    /// Which targets, and how to print.
    #[command(flatten)]
    pub select: Select,
}

/// `cbi mirror prune`.
#[derive(Debug, Clone, Copy, Group)]
pub struct MirrorPrune {
    /// Keep what the last N builds of this workspace made
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub keep_builds: usize,
    /// Keep what was made in the last D days, wherever that was
    #[arg(long, value_name = "D", default_value_t = 14)]
    pub keep_days: u32,
    /// Leave what is no longer read lying for so long, for machines that are still at it
    #[arg(long, value_name = "DURATION", value_parser = grace, default_value = "72h")]
    pub grace: Duration,
    /// Do it; else it is only shown
    #[arg(long)]
    pub apply: bool,
    /// How to print.
    #[command(flatten)]
    pub format: Format,
}

/// `cbi mirror verify`.
#[derive(Debug, Clone, Copy, Group)]
pub struct MirrorVerify {
    /// Read all of it, and hash it
    #[arg(long)]
    pub deep: bool,
    /// How to print.
    #[command(flatten)]
    pub format: Format,
}

/// `cbi checkout`.
#[derive(Debug, Clone, Group)]
pub struct Checkout {
    /// Four or more digits of an artifact's hash, a target, or target#artifact
    #[arg(value_name = "HASH|TARGET")]
    pub what: String,
    /// The folder to copy into; it is made, and must be empty or not exist
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub output: PathBuf,
    /// As a past build left it: four or more digits of its hash, or the last one that had ended by a day or time
    #[arg(long, value_name = "BUILD|DATE", value_parser = past)]
    pub at: Option<At>,
    /// How to print.
    #[command(flatten)]
    pub format: Format,
}

/// `cbi key`.
#[derive(Debug, Clone, Group)]
pub struct Key {
    /// What to do.
    #[command(subcommand)]
    pub what: KeyCommand,
}

/// What to do with keys.
#[derive(Debug, Clone, Subcommand)]
pub enum KeyCommand {
    /// Make a secret key on this machine, and print its public key
    Generate(KeyGenerate),
    /// List the keys of this machine and of the workspace
    List(Format),
    /// Believe what a key signs: add it to those trusted in cbi.toml
    Trust(KeyTrust),
    /// Believe nothing any more that a key signed: add it to those revoked in cbi.toml
    Revoke(KeyRevoke),
}

/// `cbi key generate`.
#[derive(Debug, Clone, Group)]
pub struct KeyGenerate {
    /// What to call it on this machine
    #[arg(value_name = "NAME", default_value = "default")]
    pub name: String,
    /// How to print.
    #[command(flatten)]
    pub format: Format,
}

/// `cbi key trust`.
#[derive(Debug, Clone, Group)]
pub struct KeyTrust {
    /// A public key, or the name of a key of this machine
    #[arg(value_name = "KEY")]
    pub key: String,
    /// What the workspace calls it
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// How to print.
    #[command(flatten)]
    pub format: Format,
}

/// `cbi key revoke`.
#[derive(Debug, Clone, Group)]
pub struct KeyRevoke {
    /// A public key, or the name of one
    #[arg(value_name = "KEY")]
    pub key: String,
    /// How to print.
    #[command(flatten)]
    pub format: Format,
}

/// `cbi rollback`.
#[derive(Debug, Clone, Group)]
pub struct Rollback {
    /// The release, or the target that publishes the table
    #[arg(value_name = "TARGET")]
    pub target: String,
    /// Of a release: the version that becomes current again [default: the one that was before]
    #[arg(value_name = "VERSION", conflicts_with_all = ["to", "list"])]
    pub version: Option<String>,
    /// Of a release: why
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["to", "list"])]
    pub reason: Option<String>,
    /// Put the table back as this delivery left it [default: the one before the target's last]
    #[arg(long, value_name = "N")]
    pub to: Option<u64>,
    /// Put nothing back, list what was delivered
    #[arg(long, conflicts_with = "to")]
    pub list: bool,
    /// How to print.
    #[command(flatten)]
    pub format: Format,
}

fn time(text: &str) -> Result<NaiveTime, String> {
    NaiveTime::parse_from_str(text, "%H:%M").map_err(|_| "not a time as HH:MM".to_owned())
}

fn past(text: &str) -> Result<At, String> {
    let ms = |time: DateTime<Utc>| u64::try_from(time.timestamp_millis()).map(At::Time).map_err(|_| "a time before 1970".to_owned());
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return ms(day.and_hms_milli_opt(23, 59, 59, 999).unwrap_or_default().and_utc());
    }
    DateTime::parse_from_rfc3339(text).map_or_else(|_| Ok(At::Hash(text.to_owned())), |time| ms(time.to_utc()))
}

fn duration(text: &str) -> Result<Duration, String> {
    units::parse_duration(text).filter(|d| !d.is_zero()).ok_or_else(|| "not a duration such as 2h, 30m or 90s".to_owned())
}

fn grace(text: &str) -> Result<Duration, String> {
    units::parse_duration(text).ok_or_else(|| "not a duration such as 72h, 30m or 0s".to_owned())
}

fn size(text: &str) -> Result<u64, String> {
    units::parse_bytes(text).filter(|bytes| *bytes > 0).ok_or_else(|| "not a size such as 8GiB or 512MiB".to_owned())
}
