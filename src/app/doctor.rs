//! Owns `cbi doctor`. Invariant: it changes nothing in the workspace, and says *ok* only of what it tried.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::app::adapters;
use crate::app::observe;
use crate::app::problem::Problems;
use crate::app::workspace::{CACHE_FOLDER, Options, Workspace};
use crate::base::diagnostic::ExitCode;
use crate::base::units;
use crate::engine::native;
use crate::exec::ask;
use crate::exec::environment::{self, PROGRAM_PATH};
use crate::graph::build::TargetGraph;
use crate::io::file::File;
use crate::io::jail;
use crate::io::process::find_program;
use crate::io::{fs, machine};
use crate::kinds::probe::SAID;
use crate::model::adapter::Adapter;
use crate::store::error::StoreError;
use crate::store::hash;
use crate::store::root::Root;

/// An engine that takes longer than this to load does not load.
const PATIENCE: Duration = Duration::from_mins(1);

/// Less free disk than this is worth a word; less than a tenth of it stops builds.
const LOW_DISK: u64 = 2 << 30;

const ENGINES: [&str; 3] = ["duckdb", "lightgbm", "xgboost"];

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Ok,
    /// Builds work, but less well or less safely.
    Warn,
    /// Builds that need it fail.
    Bad,
}

/// One thing looked at.
#[derive(Debug)]
pub struct Check {
    /// What.
    pub name: String,
    /// How it is.
    pub state: State,
    /// What was found.
    pub said: String,
    /// The way out.
    pub hint: Option<String>,
}

/// Looks at this machine and, where there is one, at the workspace.
#[must_use]
pub fn doctor(options: &Options) -> Vec<Check> {
    let mut checks = vec![action_program()];
    checks.extend(ENGINES.map(engine));
    checks.extend([adapters(), jail(), machine(), disk(&options.directory)]);
    match Workspace::open(options) {
        Ok(workspace) => checks.extend(look_at(&workspace)),
        Err(problems) => checks.push(of_problems("workspace", &problems)),
    }
    checks
}

/// How the program ends.
#[must_use]
pub fn code(checks: &[Check]) -> ExitCode {
    if checks.iter().any(|check| check.state == State::Bad) { ExitCode::ActionFailed } else { ExitCode::Ok }
}

fn check(name: &str, state: State, said: impl Into<String>) -> Check {
    Check { name: name.to_owned(), state, said: said.into(), hint: None }
}

impl Check {
    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

fn action_program() -> Check {
    match environment::action_program() {
        Ok(path) => check("action program", State::Ok, path.display().to_string()),
        Err(path) => check("action program", State::Bad, format!("'{}' is not there", path.display()))
            .hint("keep cbi and cbi-action in one folder; cargo build makes both"),
    }
}

/// Finds an engine's library, and has the action program load it.
fn engine(name: &'static str) -> Check {
    let label = format!("engine {name}");
    let Some(path) = native::library(name) else { return check(&label, State::Bad, "is not known") };
    let digest = match File::open(&path).and_then(|file| hash::hash(&file)) {
        Ok((blob, _)) => blob.0.short(),
        Err(_) => {
            return check(&label, State::Bad, format!("'{}' cannot be read", path.display()))
                .hint("scripts/native brings it; CBI_NATIVE_DIR says where it is");
        }
    };
    match try_engine(name) {
        Ok(said) => {
            let version = said.or_else(|| pinned(name)).map(|v| format!("{v}, ")).unwrap_or_default();
            check(&label, State::Ok, format!("{version}loads, digest {digest}, {}", path.display()))
        }
        Err(why) => check(&label, State::Bad, format!("does not load: {why}"))
            .hint("scripts/native brings it anew; CBI_NATIVE_DIR says where it is"),
    }
}

/// Has the action program load the engine; what the engine says of itself.
fn try_engine(name: &str) -> Result<Option<String>, String> {
    let said =
        ask::ask_within(PATIENCE, "probe:engine", &json!({ "engine": name }), &Value::Null, SAID).map_err(|failure| failure.error)?;
    serde_json::from_slice(&said).map_err(|error| format!("what it says is not understood: {error}"))
}

/// The graphics adapters; a machine without one is as good as any, but for networks that a recipe wants trained on one.
fn adapters() -> Check {
    match adapters::list() {
        Ok(there) if there.is_empty() => check("adapters", State::Ok, "none: networks are trained on the processor"),
        Ok(there) => {
            let told = |adapter: Adapter| adapter.name + if adapter.software { " (no card: it computes on the processor)" } else { "" };
            check("adapters", State::Ok, there.into_iter().map(told).collect::<Vec<_>>().join(", "))
        }
        Err(why) if cfg!(feature = "gpu") => check("adapters", State::Warn, why),
        Err(why) => check("adapters", State::Ok, format!("not looked for: {why}")),
    }
}

/// The version that was unpacked, as the list beside the engines says.
fn pinned(name: &str) -> Option<String> {
    let pins = fs::read_text(&native::folder().join("PINS")).ok()?;
    let mut lines = pins.lines().map(|line| line.split(' '));
    lines.find_map(|mut words| words.next().filter(|package| package.starts_with(name)).and_then(|_| words.next()).map(str::to_owned))
}

fn jail() -> Check {
    match jail::available() {
        true => check("confinement", State::Ok, "the kernel keeps commands to their declared inputs (Landlock)"),
        false => check(
            "confinement",
            State::Warn,
            "this system does not keep commands from reading what they did not declare, or from the network",
        )
        .hint("Linux 6.7 or newer with Landlock does"),
    }
}

fn machine() -> Check {
    check("machine", State::Ok, format!("{} CPUs, {} of memory", machine::cpus(), units::bytes(machine::memory())))
}

fn disk(directory: &Path) -> Check {
    match machine::disk_free(directory) {
        Some(free) if free < LOW_DISK / 10 => check("disk", State::Bad, format!("{} free", units::bytes(free))).hint("cbi gc --dry-run"),
        Some(free) if free < LOW_DISK => check("disk", State::Warn, format!("{} free", units::bytes(free))).hint("cbi gc --dry-run"),
        Some(free) => check("disk", State::Ok, format!("{} free", units::bytes(free))),
        None => check("disk", State::Warn, "the system does not say how much is free"),
    }
}

fn look_at(workspace: &Workspace) -> Vec<Check> {
    let mut checks =
        vec![check("workspace", State::Ok, workspace.root.display().to_string()), cache(&workspace.cache()), warehouse(workspace)];
    match workspace.graph() {
        Ok(graph) => {
            checks.push(recipes(&graph));
            let programs: BTreeSet<&str> = graph.ids().flat_map(|id| graph[id].declared.programs.iter().map(String::as_str)).collect();
            checks.extend(programs.into_iter().map(program));
        }
        Err(problems) => checks.push(of_problems("recipes", &problems).hint("cbi graph shows all that is wrong, with places")),
    }
    checks
}

/// A stanza that its kind refuses stands in the graph as such, for the sake of its neighbours.
fn recipes(graph: &TargetGraph) -> Check {
    let refused: Vec<&str> = graph.ids().filter(|id| graph[*id].refused).map(|id| graph[id].name().as_str()).collect();
    match refused.first() {
        None => check("recipes", State::Ok, counted(graph.ids().count(), "target")),
        Some(first) => {
            let said = format!("{} cannot be built as written: {}", counted(refused.len(), "target"), refused.join(", "));
            check("recipes", State::Bad, said).hint(format!("cbi plan '{first}' says why"))
        }
    }
}

fn cache(folder: &Path) -> Check {
    if !matches!(fs::stat(folder), Ok(Some(_))) {
        return check("cache", State::Ok, format!("no {CACHE_FOLDER} yet; the first build makes it"));
    }
    match Root::at(folder).check() {
        Ok(()) => check("cache", State::Ok, format!("{}, format {}", folder.display(), crate::store::root::FORMAT)),
        Err(error @ StoreError::NewerFormat { .. }) => check("cache", State::Bad, error.to_string()).hint("use the newer cbi"),
        Err(error) => check("cache", State::Bad, error.to_string()).hint("cbi fsck --repair"),
    }
}

fn warehouse(workspace: &Workspace) -> Check {
    if let Some(account) = &workspace.remote {
        let at = format!("in BigQuery's project {}", account.project);
        return match observe::tables(account) {
            Ok(tables) if tables.is_empty() => check("warehouse", State::Warn, format!("no table {at} that these credentials see")),
            Ok(tables) => check("warehouse", State::Ok, format!("{} {at}", counted(tables.len(), "table"))),
            Err(problems) => of_problems("warehouse", &problems),
        };
    }
    let folder = workspace.warehouse.display();
    let unreadable: Vec<&str> =
        workspace.tables.iter().filter(|(_, path)| File::open(path).is_err()).map(|(table, _)| table.as_str()).collect();
    match (unreadable.is_empty(), workspace.tables.len()) {
        (false, _) => check("warehouse", State::Bad, format!("cannot read {} in '{folder}'", unreadable.join(", ")))
            .hint("see the files' permissions"),
        (true, 0) => {
            check("warehouse", State::Warn, format!("no table in '{folder}'")).hint("put files DATASET.TABLE.csv or .parquet there")
        }
        (true, count) => check("warehouse", State::Ok, format!("{} in '{folder}'", counted(count, "table"))),
    }
}

/// A program that commands of the workspace call.
fn program(name: &str) -> Check {
    let label = format!("program {name}");
    match find_program(name, PROGRAM_PATH) {
        Some(path) => check(&label, State::Ok, path.display().to_string()),
        None => check(&label, State::Bad, "a command of this workspace calls it, and it is not on this machine")
            .hint(format!("it is looked for in {PROGRAM_PATH}")),
    }
}

fn of_problems(name: &str, problems: &Problems) -> Check {
    let first = problems.first();
    let mut said = first.map(|p| p.message.clone()).unwrap_or_default();
    if problems.len() > 1 {
        said = format!("{said} (and {} more)", problems.len() - 1);
    }
    Check { name: name.to_owned(), state: State::Bad, said, hint: first.and_then(|p| p.hint.clone()) }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
