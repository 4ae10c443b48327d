//! Owns the look at a remote warehouse before a build. Invariant: all tables of one build are pinned by one look, at one instant of the
//! warehouse's own clock.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::app::problem::{Outcome, Problems};
use crate::app::workspace::Workspace;
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::engine::bigquery::account::{Account, Credentials, ENDPOINT, STORAGE_ENDPOINT};
use crate::exec::ask;
use crate::graph::build::{NodeId, TargetGraph};
use crate::graph::implicit::{EXPORT_KIND, export_of};
use crate::kinds::export::{ANSWER, Found, Probe, Reach};
use crate::model::recipe::{Declared, Source};
use crate::syntax::settings::BigQuery;

/// The account that the settings describe.
///
/// # Errors
/// When they do not name a project, or name no credentials that are there.
pub fn account(settings: &BigQuery, root: &Path) -> Outcome<Account> {
    if settings.project.is_empty() {
        let problem = Diagnostic::new(ExitCode::Invalid, "warehouse = \"bigquery\" needs to know which project");
        return Err(vec![problem.hint("add to cbi.toml: [bigquery] project = \"…\"")]);
    }
    let or = |value: &Option<String>, default: &str| value.clone().unwrap_or_else(|| default.to_owned());
    Ok(Account {
        project: settings.project.clone(),
        billing_project: or(&settings.billing_project, &settings.project),
        endpoint: or(&settings.endpoint, ENDPOINT),
        storage_endpoint: or(&settings.storage_endpoint, STORAGE_ENDPOINT),
        credentials: credentials(settings, root),
    })
}

fn credentials(settings: &BigQuery, root: &Path) -> Credentials {
    if settings.anonymous {
        return Credentials::None;
    }
    if !settings.token_command.is_empty() {
        return Credentials::Command { command: settings.token_command.clone() };
    }
    let named = settings.credentials.as_ref().map(|file| root.join(file));
    let of_env = || std::env::var_os("GOOGLE_APPLICATION_CREDENTIALS").map(PathBuf::from);
    let of_gcloud = || {
        let file = PathBuf::from(std::env::var_os("HOME")?).join(".config/gcloud/application_default_credentials.json");
        file.is_file().then_some(file)
    };
    Credentials::ApplicationDefault { file: named.or_else(of_env).or_else(of_gcloud) }
}

/// Lets what a stanza reads from the warehouse come from the targets that read it there.
pub fn from_exports(declared: &mut Declared) {
    for source in declared.inputs.values_mut() {
        if let Source::WarehouseTable(table) = source
            && let Some(export) = export_of(table)
        {
            *source = export;
        }
    }
}

/// Looks at the tables that these targets read from a remote warehouse, and tells each reader which version it reads. Gives what those
/// readers need to reach the warehouse; nothing where nothing is read from one.
///
/// # Errors
/// When the warehouse cannot be asked, or has not one of the tables.
pub fn observe(workspace: &Workspace, graph: &mut TargetGraph, targets: &[NodeId]) -> Outcome<Option<Value>> {
    let Some(account) = &workspace.remote else { return Ok(None) };
    let exports: Vec<(NodeId, String)> = targets
        .iter()
        .filter(|id| graph[**id].stanza.kind == EXPORT_KIND)
        .filter_map(|id| Some((*id, graph[*id].declared.params["from"].as_str()?.to_owned())))
        .collect();
    if exports.is_empty() {
        return Ok(None);
    }
    let tables: BTreeSet<String> = exports.iter().map(|(_, table)| table.clone()).collect();
    let env = if let Credentials::Command { .. } = account.credentials { std::env::vars().collect() } else { Vec::new() };
    let mut reach = Reach { account: account.clone(), env, instant_ms: None };
    let found: Found = look(&reach, &Probe { tables: Some(tables) })?;
    for (id, table) in exports {
        let Some(version) = found.versions.get(&table) else {
            return Err(bug(format!("the look at the warehouse says nothing of '{table}'")));
        };
        graph.tell(id, "version", json!(version));
        if version.is_volatile() {
            // Nothing tells its states apart, so each build reads it again.
            graph.tell(id, "instant_ms", json!(found.instant_ms));
        }
    }
    reach.instant_ms = found.instant_ms;
    Ok(Some(json!(reach)))
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
