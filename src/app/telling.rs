//! Owns who is told of an unattended run that failed. Invariant: that somebody cannot be told is said in every run, and changes nothing about how the
//! run ended; no secret stands in a file or in a message.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::app::problem::Problems;
use crate::app::workspace::Workspace;
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::io::notice;
use crate::io::webhook::{Hook, Trying};
use crate::syntax::settings::Notify;
use crate::ui::page::Page;

/// How long the program that is told may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// Four attempts within about half a minute where the server is quick to fail, within a minute where it never answers.
const TRYING: Trying = Trying { times: 4, each: Duration::from_secs(13), pause: Duration::from_millis(500) };

/// Before the name of the variable that holds an address.
const VARIABLE: &str = "env:";

/// Who is told, as far as that can be said before anything happened.
pub struct Telling<'a> {
    /// Who can be.
    pub ready: Ready<'a>,
    /// Why somebody cannot.
    pub unready: Problems,
}

/// Those who can be told.
pub struct Ready<'a> {
    folder: &'a Path,
    command: &'a [String],
    hook: Option<Hook>,
}

impl<'a> Telling<'a> {
    /// Those whom the workspace's settings name.
    #[must_use]
    pub fn of(workspace: &'a Workspace) -> Self {
        let notify = &workspace.settings.notify;
        let (hook, unready) = match hook(notify) {
            Ok(hook) => (hook, Vec::new()),
            Err(problem) => (None, vec![problem]),
        };
        Self { ready: Ready { folder: &workspace.root, command: &notify.command, hook }, unready }
    }
}

impl Ready<'_> {
    /// Tells all of them, and says whom it could not. `text` is the report, which also lies at `path`.
    #[must_use]
    pub fn tell(&self, page: &Page, text: &str, path: &Path) -> Problems {
        let mut untold = Vec::new();
        if !self.command.is_empty() {
            let env =
                [("CBI_OUTCOME", page.outcome.clone()), ("CBI_CODE", page.code.to_string()), ("CBI_REPORT", path.display().to_string())];
            let handed = notice::hand(self.command, self.folder, &env, text, PATIENCE);
            untold.extend(handed.err().map(|error| problem(&error, "command")));
        }
        if let Some(hook) = &self.hook {
            let body = json!({ "text": page.short(), "report": page }).to_string();
            untold.extend(hook.post(&body, TRYING).err().map(|error| problem(&error, "webhook")));
        }
        untold
    }
}

/// The webhook, its address and headers taken from where the settings say.
fn hook(notify: &Notify) -> Result<Option<Hook>, Diagnostic> {
    let Some(webhook) = &notify.webhook else { return Ok(None) };
    let address = match webhook.strip_prefix(VARIABLE) {
        Some(name) => variable(name)?,
        None => webhook.clone(),
    };
    let headers = notify.headers.iter().map(|(name, from)| Ok((name.clone(), variable(from)?)));
    let hook = Hook::new(&address, headers.collect::<Result<_, Diagnostic>>()?);
    hook.map(Some).map_err(|error| problem(&error, "webhook"))
}

fn variable(name: &str) -> Result<String, Diagnostic> {
    std::env::var(name).map_err(|_| {
        let problem = Diagnostic::new(ExitCode::Usage, format!("nobody can be told by webhook: the variable {name} is not set"));
        problem.hint(format!("set {name} where cbi daily is started; [notify] in cbi.toml names it"))
    })
}

fn problem(error: &dyn std::error::Error, key: &str) -> Diagnostic {
    Diagnostic::of(ExitCode::ActionFailed, error).hint(format!("correct '{key}' of [notify] in cbi.toml"))
}
