//! Owns the look at a remote warehouse before a build. Invariant: all tables of one build are pinned by one look, at one instant of the
//! warehouse's own clock.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::app::account;
use crate::app::kept;
use crate::app::partitions::Memory;
use crate::app::pins::{Pin, Pins};
use crate::app::problem::{self, Outcome, Problems};
use crate::app::workspace::Workspace;
use crate::base::clock;
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::engine::bigquery::account::Account;
use crate::engine::bigquery::parts::{self, Part};
use crate::exec::ask;
use crate::graph::build::{NodeId, TargetGraph};
use crate::graph::implicit::{self, EXPORT_KIND};
use crate::graph::select::Selection;
use crate::graph::split::{self, Parts};
use crate::kinds::export::{ANSWER, Found, Probe, Reach};
use crate::kinds::pinned::{ENGINE, READS, WAREHOUSE};
use crate::kinds::registry;
use crate::kinds::sweep::{SWEPT, Sweep};
use crate::model::event::Event;
use crate::store::error::StoreError;
use crate::store::root::Root;

/// What a build knows of the warehouse outside.
#[derive(Debug, Clone)]
pub struct Observed {
    /// How steps reach it; in no key.
    pub reach: Value,
    /// Tables that the build reads from it.
    pub tables: usize,
    /// The instant that all of them are read at, milliseconds since 1970.
    pub instant_ms: i64,
    /// When they were seen, where that was not now: by the last look at the one that was longest not looked at, milliseconds since 1970.
    pub seen_ms: Option<u64>,
    /// Whether tables turned out to have parts, so that targets are other ones than before.
    split: bool,
    pins: Pins,
}

impl Observed {
    /// Keeps what was seen for builds that cannot look.
    ///
    /// # Errors
    /// When the cache folder cannot be written to.
    pub fn keep(&self, root: &Root) -> Result<(), StoreError> {
        if self.seen_ms.is_some() { Ok(()) } else { self.pins.save(root) }
    }

    /// As an event of the build.
    #[must_use]
    pub fn event(&self) -> Event {
        Event::Observed { tables: self.tables as u64, instant_ms: self.instant_ms, seen_ms: self.seen_ms }
    }
}

/// Looks as `observe` does for what these patterns chose, and chooses again where targets turned out to be others.
///
/// # Errors
/// Those of `observe`, and of choosing.
pub fn selected(
    workspace: &Workspace,
    root: &Root,
    graph: &mut TargetGraph,
    (selection, patterns): (Selection, &[String]),
) -> Outcome<(Selection, Option<Observed>)> {
    let observed = observe(workspace, root, graph, &selection.closure)?;
    let split = observed.as_ref().is_some_and(|observed| observed.split);
    Ok((if split { workspace.select(graph, patterns)? } else { selection }, observed))
}

/// Looks at the tables that these targets read from a remote warehouse, or takes what was seen last, and tells each reader which version it reads. The
/// reader of a table whose partitions can be told apart becomes one for each of its parts. Nothing where nothing is read from one.
///
/// # Errors
/// When the warehouse cannot be asked, has not one of the tables, or does not remember the instant that is asked for.
fn observe(workspace: &Workspace, root: &Root, graph: &mut TargetGraph, targets: &[NodeId]) -> Outcome<Option<Observed>> {
    let Some(account) = &workspace.remote else { return Ok(None) };
    let exports: Vec<(NodeId, String)> = targets
        .iter()
        .filter(|id| graph[**id].stanza.kind == EXPORT_KIND)
        .filter_map(|id| Some((*id, graph[*id].declared.params["from"].as_str()?.to_owned())))
        .collect();
    let pushed: Vec<(NodeId, BTreeMap<String, Value>)> = targets
        .iter()
        .filter(|id| graph[**id].declared.params[ENGINE] == WAREHOUSE)
        .map(|id| (*id, graph[*id].declared.params[READS].as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect()))
        .collect();
    if exports.is_empty() && pushed.is_empty() {
        return Ok(None);
    }
    let from = |read: &Value| read["from"].as_str().map(str::to_owned);
    let tables = exports.iter().map(|(_, table)| table.clone());
    let tables: BTreeSet<String> = tables.chain(pushed.iter().flat_map(|(_, reads)| reads.values().filter_map(from))).collect();
    let mut reach = Reach { instant_ms: workspace.reading.instant_ms, ..workspace.reach(account, graph) };
    let mut pins = Pins::read(root).map_err(|error| problem::stores(error.into()))?;
    let (mut seen_ms, mut looked_at) = (None, None);
    if workspace.reading.offline {
        let names = tables.iter().map(|table| format!("{}.{table}", account.project));
        seen_ms = Some(names.map(|table| pins.seen(&table)).collect::<Outcome<Vec<u64>>>()?.into_iter().min().unwrap_or_default());
    } else {
        let mut memory = Memory::read(root).map_err(|error| problem::stores(error.into()))?;
        let parted: BTreeSet<String> = exports.iter().map(|(_, table)| table.clone()).collect();
        let known = memory.of(&account.project, &parted);
        let probe = Probe { tables: Some(tables.clone()), parted, known };
        let found: Found = look(&reach, &probe)?;
        memory.take(&account.project, &found, root).map_err(problem::stores)?;
        pins.take(&found, clock::now_ms());
        looked_at = Some(found.instant_ms);
    }
    let pin = |table: &str| {
        let pin = pins.0.get(&format!("{}.{table}", account.project));
        pin.ok_or_else(|| bug(format!("the look at the warehouse says nothing of '{table}'")))
    };
    let mut instant_ms = looked_at.unwrap_or_default();
    for table in &tables {
        instant_ms = instant_ms.max(pin(table)?.instant_ms);
    }
    let mut wholes = BTreeMap::new();
    for (id, table) in exports {
        let (pin, columns) = (pin(&table)?, kept::columns(graph, id));
        if let Some(parts) = parts_of(graph, id, (&table, pin), &columns) {
            reach.modified.insert(pin.version.table.clone(), pin.version.modified.clone());
            wholes.insert(id, parts);
            continue;
        }
        for (key, value) in told(pin) {
            graph.tell(id, key, value);
        }
        graph.tell(id, "columns", json!(columns));
    }
    for (id, mut reads) in pushed {
        for read in reads.values_mut() {
            for (key, value) in told(pin(&from(read).unwrap_or_default())?) {
                read[key] = value;
            }
        }
        graph.tell(id, READS, json!(reads));
    }
    let split = !wholes.is_empty();
    if split {
        *graph = split::split(std::mem::take(graph), &wholes);
    }
    let count = tables.len();
    reach.instant_ms = Some(instant_ms);
    Ok(Some(Observed { reach: json!(reach), tables: count, instant_ms, seen_ms, split, pins }))
}

/// The parts that a table is read in, each with what its reader is told: no more of the table than all versions of these partitions have in common.
fn parts_of(graph: &TargetGraph, whole: NodeId, (table, pin): (&str, &Pin), columns: &[String]) -> Option<Parts> {
    let version = json!(pin.version.in_parts());
    let named = |(name, part): (String, Part)| {
        let name = implicit::part_of(graph[whole].name(), &name).filter(|name| graph.find(name.as_str()).is_none())?;
        Some((name, json!({ "from": table, "version": version, "part": part, "columns": columns })))
    };
    parts::parts(pin.version.partitioning.as_ref()?, pin.partitions.as_ref()?)?.into_iter().map(named).collect()
}

/// What a reader is told of the table that it reads.
fn told(pin: &Pin) -> impl Iterator<Item = (&'static str, Value)> {
    // Where nothing tells a table's states apart, each build reads it again.
    let volatile = pin.version.is_volatile().then(|| ("instant_ms", json!(pin.instant_ms)));
    std::iter::once(("version", json!(pin.version))).chain(volatile)
}

/// How the steps of a build reach BigQuery: as they read its tables, or, where they read none, as the settings say. Nothing where no step does.
///
/// # Errors
/// When a step does and the settings name no project.
pub fn reach(workspace: &Workspace, graph: &TargetGraph, targets: &[NodeId], observed: Option<&Observed>) -> Outcome<Option<Value>> {
    if let Some(observed) = observed {
        return Ok(Some(observed.reach.clone()));
    }
    let speaks = |id: &&NodeId| registry::observes(&graph[**id].stanza.kind, &graph[**id].declared.params);
    let Some(first) = targets.iter().find(speaks) else { return Ok(None) };
    let Some(settings) = &workspace.settings.bigquery else {
        let problem = Diagnostic::new(ExitCode::Invalid, format!("'{}' needs to know which project of BigQuery", graph[*first].name()));
        return Err(vec![problem.hint("add to cbi.toml: [bigquery] project = \"…\"")]);
    };
    let account = account::of(settings, &workspace.root)?;
    Ok(Some(json!(workspace.reach(&account, graph))))
}

/// The names of all tables in the account's project, `dataset.table`.
///
/// # Errors
/// When the warehouse cannot be asked.
pub fn tables(account: &Account) -> Outcome<BTreeSet<String>> {
    let reach = account::reach(account, None, false);
    Ok(look(&reach, &Probe::default())?.names)
}

fn look(reach: &Reach, probe: &Probe) -> Outcome<Found> {
    ask("probe:bigquery", &json!(probe), &json!(reach), ANSWER)
}

/// The answer to a question to the warehouse.
///
/// # Errors
/// When it cannot be asked.
pub fn ask<T: DeserializeOwned>(question: &str, params: &Value, reach: &Value, answer: &str) -> Outcome<T> {
    let bytes = ask::ask(question, params, reach, answer).map_err(|failure| {
        let mut problem = Diagnostic::new(failure.code, failure.error);
        problem.hint = failure.hint;
        vec![problem]
    })?;
    serde_json::from_slice(&bytes).map_err(|error| bug(format!("the look at the warehouse gave no answer: {error}")))
}

/// Tables of the workspace's own dataset that nothing kept stands for; dropped where that is asked. Nothing where the warehouse is a folder, or must not be
/// asked.
///
/// # Errors
/// When it cannot be asked.
pub fn sweep(workspace: &Workspace, sweep: &Sweep) -> Outcome<Vec<String>> {
    let Some(account) = workspace.remote.as_ref().filter(|_| !workspace.reading.offline) else { return Ok(Vec::new()) };
    ask("probe:sweep", &json!(sweep), &json!(workspace.reach(account, &TargetGraph::default())), SWEPT)
}

fn bug(message: String) -> Problems {
    vec![Diagnostic::new(ExitCode::Bug, message)]
}
