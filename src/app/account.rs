//! Owns which account of BigQuery a workspace speaks as. Invariant: it says where a secret is found, and never looks at one.

use std::path::{Path, PathBuf};

use crate::app::problem::Outcome;
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::engine::bigquery::account::{Account, Credentials, ENDPOINT, STORAGE_ENDPOINT};
use crate::syntax::settings::BigQuery;

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
