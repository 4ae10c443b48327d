//! Owns the look at a remote warehouse before a build. Invariant: all tables of one build are pinned by one look, at one instant of the
//! warehouse's own clock.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::app::account;
use crate::app::kept;
use crate::app::pins::Pins;
use crate::app::problem::{self, Outcome, Problems};
use crate::app::workspace::Workspace;
use crate::base::clock;
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::engine::bigquery::account::Account;
use crate::exec::ask;
use crate::graph::build::{NodeId, TargetGraph};
use crate::graph::implicit::EXPORT_KIND;
use crate::kinds::export::{ANSWER, Found, Probe, Reach};
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

/// Looks at the tables that these targets read from a remote warehouse, or takes what was seen last, and tells each reader which version it reads.
/// Nothing where nothing is read from one.
///
/// # Errors
/// When the warehouse cannot be asked, has not one of the tables, or does not remember the instant that is asked for.
pub fn observe(workspace: &Workspace, root: &Root, graph: &mut TargetGraph, targets: &[NodeId]) -> Outcome<Option<Observed>> {
    let Some(account) = &workspace.remote else { return Ok(None) };
    let exports: Vec<(NodeId, String)> = targets
        .iter()
        .filter(|id| graph[**id].stanza.kind == EXPORT_KIND)
        .filter_map(|id| Some((*id, graph[*id].declared.params["from"].as_str()?.to_owned())))
        .collect();
    if exports.is_empty() {
        return Ok(None);
    }
    let mut reach = account::reach(account, workspace.reading.instant_ms, workspace.reading.offline);
    let mut pins = Pins::read(root).map_err(|error| problem::stores(error.into()))?;
    let mut seen_ms = None;
    if workspace.reading.offline {
        let tables = exports.iter().map(|(_, table)| format!("{}.{table}", account.project));
        seen_ms = Some(tables.map(|table| pins.seen(&table)).collect::<Outcome<Vec<u64>>>()?.into_iter().min().unwrap_or_default());
    } else {
        let tables: BTreeSet<String> = exports.iter().map(|(_, table)| table.clone()).collect();
        let found: Found = look(&reach, &Probe { tables: Some(tables) })?;
        pins.take(&found, clock::now_ms());
    }
    let count = exports.len();
    let mut instant_ms = i64::MIN;
    for (id, table) in exports {
        let Some(pin) = pins.0.get(&format!("{}.{table}", account.project)) else {
            return Err(bug(format!("the look at the warehouse says nothing of '{table}'")));
        };
        instant_ms = instant_ms.max(pin.instant_ms);
        graph.tell(id, "version", json!(pin.version));
        let columns = kept::columns(graph, id);
        graph.tell(id, "columns", json!(columns));
        if pin.version.is_volatile() {
            // Nothing tells its states apart, so each build reads it again.
            graph.tell(id, "instant_ms", json!(pin.instant_ms));
        }
    }
    reach.instant_ms = Some(instant_ms);
    Ok(Some(Observed { reach: json!(reach), tables: count, instant_ms, seen_ms, pins }))
}

/// The names of all tables in the account's project, `dataset.table`.
///
/// # Errors
/// When the warehouse cannot be asked.
pub fn tables(account: &Account) -> Outcome<BTreeSet<String>> {
    let reach = account::reach(account, None, false);
    Ok(look(&reach, &Probe { tables: None })?.names)
}

fn look(reach: &Reach, probe: &Probe) -> Outcome<Found> {
    let bytes = ask::ask("probe:bigquery", &json!(probe), &json!(reach), ANSWER).map_err(|failure| {
        let mut problem = Diagnostic::new(failure.code, failure.error);
        problem.hint = failure.hint;
        vec![problem]
    })?;
    serde_json::from_slice(&bytes).map_err(|error| bug(format!("the look at the warehouse gave no answer: {error}")))
}

fn bug(message: String) -> Problems {
    vec![Diagnostic::new(ExitCode::Bug, message)]
}
