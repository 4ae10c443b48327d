//! Owns the command line: every command, option and its help. Invariant: only what a person can type; what it does stands elsewhere.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, NaiveDate};
use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args as Group, CommandFactory, Parser, Subcommand, ValueEnum, ValueHint};

use crate::base::units;
use crate::cli::args_build::{Build, Check, Checkout, Daily, Format, Key, Mirror, Plan, Rollback, Select};
use crate::cli::args_keep::{Fsck, Gc, Pin};
use crate::cli::args_release::{Channel, Compare, Models, Promote};
use crate::cli::args_setup::{Completions, Init, Shell};
use crate::cli::args_sql::Sql;
use crate::cli::examples;
use crate::ui::output::Colour;
use crate::ui::sink::Verbosity;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Builds data and models: tables, training frames, models and forecasts, and again only what a change reaches
#[derive(Debug, Parser)]
#[command(name = "cbi", version, styles = STYLES, max_term_width = 100, after_help = examples::CBI)]
#[command(propagate_version = false, disable_help_subcommand = true, infer_subcommands = false)]
pub struct Args {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// Work in this folder, or in the nearest folder above it that holds a cbi.toml
    #[arg(short = 'C', long, global = true, value_name = "DIR", default_value = ".", hide_default_value = true, value_hint = ValueHint::DirPath)]
    pub directory: PathBuf,
    /// Use the settings of [profile.NAME] in cbi.toml
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Option<String>,
    /// Read warehouse tables from this folder of DATASET.TABLE.parquet and .csv files
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub warehouse: Option<PathBuf>,
    /// The date that `@as_of` stands for in SQL, as YYYY-MM-DD; with a time, as in 2026-11-20T06:00:00Z, also the instant that BigQuery's tables are read at
    #[arg(long, global = true, value_name = "TIME", value_parser = as_of)]
    pub as_of: Option<AsOf>,
    /// Use the versions of BigQuery's tables that were seen last, and ask nobody
    #[arg(long, global = true)]
    pub offline: bool,
    /// Colour the output: auto (on a terminal; heeds `NO_COLOR`, `CLICOLOR_FORCE`, `TERM`), always or never
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t, hide_default_value = true, hide_possible_values = true)]
    pub color: When,
    /// Show failures only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Show more: keys, reasons, what was reused, what a step cost
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

/// A day, or an instant of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsOf {
    /// The day, in UTC.
    pub date: NaiveDate,
    /// The instant, milliseconds since 1970.
    pub instant_ms: Option<i64>,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum When {
    /// On a terminal.
    #[default]
    Auto,
    /// Also into pipes and files.
    Always,
    /// Nowhere.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build targets and what they need
    #[command(after_help = examples::BUILD)]
    Build(Build),
    /// Build tables and show what their checks found
    #[command(after_help = examples::CHECK)]
    Check(Check),
    /// Do a day's work unattended: wait for sources, build, leave a report, tell of a failure
    #[command(after_help = examples::DAILY)]
    Daily(Daily),
    /// Show what a build would run, why, and what it will cost
    #[command(after_help = examples::PLAN)]
    Plan(Plan),
    /// Show every target: fresh or stale, when it was built, how large it is
    #[command(after_help = examples::STATUS)]
    Status(Select),
    /// Say why a target is stale, or why it ran last: every field of its key that differs
    #[command(after_help = examples::WHY)]
    Why(One),
    /// Draw targets and what they need
    #[command(after_help = examples::GRAPH)]
    Graph(Graph),
    /// Show an artifact, an action or a build by its hash, or the latest of a target
    #[command(after_help = examples::SHOW)]
    Show(Show),
    /// Print the rows of a table
    #[command(after_help = examples::CAT)]
    Cat(Cat),
    /// Copy a target's artifacts into a folder
    #[command(after_help = examples::GET)]
    Get(Get),
    /// Copy an artifact into a folder by its hash, or as a past build left it, from here or the mirror
    #[command(after_help = examples::CHECKOUT)]
    Checkout(Checkout),
    /// List past builds, or one target's past results
    #[command(after_help = examples::LOG)]
    Log(Log),
    /// Compare two artifacts: parameters, inputs, schema, rows, metrics
    #[command(after_help = examples::DIFF)]
    Diff(Diff),
    /// Make an artifact again from its recorded lineage and compare bits
    #[command(after_help = examples::REPRODUCE)]
    Reproduce(Reproduce),
    /// Put back an earlier version of a release, or an earlier delivery of a published table
    #[command(after_help = examples::ROLLBACK)]
    Rollback(Rollback),
    /// Make a candidate of a release current, if its gates hold
    #[command(after_help = examples::PROMOTE)]
    Promote(Promote),
    /// List releases, or one's versions: what is current, and what was
    #[command(after_help = examples::MODELS)]
    Models(Models),
    /// Compare two versions of a release: parameters, features, data, metrics, forecasts
    #[command(after_help = examples::COMPARE)]
    Compare(Compare),
    /// Move a channel of a release to a version
    #[command(after_help = examples::CHANNEL)]
    Channel(Channel),
    /// Share results with other machines through a bucket
    #[command(after_help = examples::MIRROR)]
    Mirror(Mirror),
    /// Make keys, and say whose results from the mirror are believed
    #[command(after_help = examples::KEY)]
    Key(Key),
    /// Try the recipes' queries without running them, or make them views in BigQuery
    #[command(after_help = examples::SQL)]
    Sql(Sql),
    /// Keep an artifact or a build, whatever gc is told
    #[command(after_help = examples::PIN)]
    Pin(Pin),
    /// Delete artifacts that no kept build needs
    #[command(after_help = examples::GC)]
    Gc(Gc),
    /// Check every byte and record of the store
    #[command(after_help = examples::FSCK)]
    Fsck(Fsck),
    /// Check this machine: programs, engines, limits, disk
    Doctor(Format),
    /// Print the JSON Schema of recipe files, for editors
    #[command(after_help = examples::SCHEMA)]
    Schema,
    /// Print a shell's completion script
    #[command(after_help = examples::COMPLETIONS)]
    Completions(Completions),
    /// Begin a workspace: cbi.toml and a first recipe
    #[command(after_help = examples::INIT)]
    Init(Init),
}

/// One target.
#[derive(Debug, Clone, Group)]
pub struct One {
    /// The target
    #[arg(value_name = "TARGET")]
    pub target: String,
    /// How to print.
    #[command(flatten)]
    pub format: Format,
}

/// `cbi graph`.
#[derive(Debug, Clone, Group)]
pub struct Graph {
    /// Targets or globs; they are drawn with all they need [default: everything]
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,
    /// How to draw: text (a tree), dot (Graphviz), svg (a picture) or json (nodes and edges)
    #[arg(long, value_enum, default_value_t, hide_possible_values = true)]
    pub format: Drawn,
}

/// Forms a graph can be drawn in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Drawn {
    /// An indented tree
    #[default]
    Text,
    /// Graphviz
    Dot,
    /// A picture
    Svg,
    /// Nodes and edges
    Json,
}

/// `cbi show`.
#[derive(Debug, Clone, Group)]
pub struct Show {
    /// Four or more digits of a hash, a target, or target#artifact
    #[arg(value_name = "HASH|TARGET")]
    pub what: String,
    /// How to print.
    #[command(flatten)]
    pub format: Format,
}

/// `cbi cat`.
#[derive(Debug, Clone, Group)]
pub struct Cat {
    /// A target that is a table, target#artifact, a warehouse table, or the hash of one
    #[arg(value_name = "TABLE")]
    pub table: String,
    /// Print at most N rows, the newest if the table is long; 0 prints all
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub rows: usize,
    /// How to print.
    #[command(flatten)]
    pub format: Format,
}

/// `cbi get`.
#[derive(Debug, Clone, Group)]
pub struct Get {
    /// A target, target#artifact, or the hash of an artifact
    #[arg(value_name = "TARGET")]
    pub target: String,
    /// The folder to copy into; it is made, and must be empty or not exist
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub output: PathBuf,
    /// How to print.
    #[command(flatten)]
    pub format: Format,
}

/// `cbi log`.
#[derive(Debug, Clone, Group)]
pub struct Log {
    /// Only results of this target; with --timeline, four or more digits of a build's hash
    #[arg(value_name = "TARGET|BUILD")]
    pub target: Option<String>,
    /// Draw what ran beside what, in the last build that ran something or the one named: text, svg (a picture) or trace (for Chrome's tracing page and Perfetto)
    #[arg(long, value_name = "FORM", value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "text", hide_possible_values = true)]
    pub timeline: Option<Timeline>,
    /// Add up what queries in BigQuery were charged for, by month and target
    #[arg(long, conflicts_with = "timeline")]
    pub cost: bool,
    /// List at most N, newest first; 0 lists all
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub limit: usize,
    /// Leave out builds that other machines put into the mirror
    #[arg(long)]
    pub no_remote: bool,
    /// How to print.
    #[command(flatten)]
    pub format: Format,
}

/// Forms a build can be drawn in against time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Timeline {
    /// Lines of text
    Text,
    /// A picture
    Svg,
    /// Chrome's trace events
    Trace,
}

/// `cbi diff`.
#[derive(Debug, Clone, Group)]
pub struct Diff {
    /// A target, target#artifact, or a hash
    pub a: String,
    /// What to compare it with
    pub b: String,
    /// How to print.
    #[command(flatten)]
    pub format: Format,
}

/// `cbi reproduce`.
#[derive(Debug, Clone, Group)]
pub struct Reproduce {
    /// Four or more digits of an artifact's hash, or a target for its latest
    #[arg(value_name = "HASH|TARGET")]
    pub what: String,
    /// Make all it was made from again too, beginning with the sources, and tell the first action that differs
    #[arg(long)]
    pub deep: bool,
    /// End an action that takes longer than this, such as 30m or 90s [default: never]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub timeout: Option<Duration>,
    /// How to print.
    #[command(flatten)]
    pub format: Format,
}

impl Global {
    /// How much to show.
    #[must_use]
    pub fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        }
    }

    /// When to colour.
    #[must_use]
    pub fn colour(&self) -> Colour {
        match self.color {
            When::Auto => Colour::Auto,
            When::Always => Colour::Always,
            When::Never => Colour::Never,
        }
    }
}

/// The completion script for `shell`.
#[must_use]
pub fn completions(shell: Shell) -> Vec<u8> {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "cbi", &mut script);
    script
}

fn date(text: &str) -> Result<NaiveDate, String> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| "not a date as YYYY-MM-DD".to_owned())
}

fn as_of(text: &str) -> Result<AsOf, String> {
    if let Ok(date) = date(text) {
        return Ok(AsOf { date, instant_ms: None });
    }
    let instant =
        DateTime::parse_from_rfc3339(text).map_err(|_| "not a date as YYYY-MM-DD, nor a time as 2026-11-20T06:00:00Z".to_owned())?;
    Ok(AsOf { date: instant.to_utc().date_naive(), instant_ms: Some(instant.timestamp_millis()) })
}

fn time(text: &str) -> Result<Duration, String> {
    units::parse_duration(text).filter(|time| !time.is_zero()).ok_or_else(|| "not a time such as 30m or 90s".to_owned())
}

#[cfg(test)]
mod tests;
