//! Owns which account of BigQuery a workspace speaks as. Invariant: it says where a secret is found, and never looks at one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::app::problem::Outcome;
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::engine::bigquery::account::{Account, Credentials, ENDPOINT, STORAGE_ENDPOINT};
use crate::engine::bigquery::{dataset, objects};
use crate::graph::build::{NodeId, TargetGraph};
use crate::graph::implicit::EXPORT_KIND;
use crate::kinds::export::Reach;
use crate::kinds::reach::Work;
use crate::store::root::Root;
use crate::syntax::settings::{BigQuery, Settings};

/// What a TiB costs that a query is charged for: BigQuery's list price on demand, in dollars.
const PRICE_PER_TIB: f64 = 6.25;

/// What steps that run in the warehouse are told, beside how to reach it; `cache` is the workspace's.
#[must_use]
pub fn work(settings: &Settings, graph: &TargetGraph, cache: &Path) -> Work {
    let said = settings.bigquery.clone().unwrap_or_default();
    let limit = |id| Some((graph[id].name().to_string(), limit(graph, id)?));
    Work {
        dataset: said.dataset.unwrap_or_else(|| format!("cbi_{}", dataset::stem(&settings.name))),
        location: said.location,
        price_per_tib: said.price_per_tib.and_then(|price| price.as_f64()).unwrap_or(PRICE_PER_TIB),
        budget: said.budget,
        charges: Some(Root::at(cache).charges_log()),
        limits: graph.ids().filter_map(limit).collect(),
        bucket: said.bucket,
        storage_json_endpoint: said.storage_json_endpoint.unwrap_or_else(|| objects::ENDPOINT.to_owned()),
    }
}

/// The most that a target may be charged for; of a table that is read there, the least that one of its readers says.
fn limit(graph: &TargetGraph, id: NodeId) -> Option<u64> {
    let readers = graph[id].dependants.iter().filter(|_| graph[id].stanza.kind == EXPORT_KIND);
    graph[id].declared.max_bytes_billed.into_iter().chain(readers.filter_map(|reader| graph[*reader].declared.max_bytes_billed)).min()
}

/// The account that the settings describe.
///
/// # Errors
/// When they do not name a project, or name no credentials that are there.
pub fn of(settings: &BigQuery, root: &Path) -> Outcome<Account> {
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

/// Variables that a token command is given, and beginnings of some.
const PASSED: [&str; 6] = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "TMPDIR"];
const PASSED_BEGINNINGS: [&str; 4] = ["CLOUDSDK_", "GOOGLE_", "XDG_", "SSL_CERT_"];

/// The variables that a token command runs with; what else the environment holds is nobody's business there.
fn variables(account: &Account) -> Vec<(String, String)> {
    let Credentials::Command { .. } = account.credentials else { return Vec::new() };
    let passed = |name: &str| PASSED.contains(&name) || PASSED_BEGINNINGS.iter().any(|beginning| name.starts_with(beginning));
    std::env::vars().filter(|(name, _)| passed(name)).collect()
}

/// The way to the account's project, as steps and questions are told of it.
#[must_use]
pub fn reach(account: &Account, instant_ms: Option<i64>, offline: bool) -> Reach {
    let (account, env) = (account.clone(), variables(account));
    Reach { account, env, instant_ms, modified: BTreeMap::new(), offline, work: Work::default(), step: None }
}
