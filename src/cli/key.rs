//! Owns how `cbi key` is shown. Invariant: with `--json` one object goes out, and nothing else; a secret goes nowhere.

use serde_json::json;

use crate::app::keys::{self, Generated, Known, Named};
use crate::app::problem::Outcome;
use crate::app::workspace::Options;
use crate::base::diagnostic::ExitCode;
use crate::cli::args::Global;
use crate::cli::args_build::KeyCommand;
use crate::cli::inspect;
use crate::ui::output::tame;

/// `cbi key`.
///
/// # Errors
/// As the use-cases.
pub fn key(what: &KeyCommand, options: &Options, global: &Global) -> Outcome<ExitCode> {
    let (format, json, lines) = match what {
        KeyCommand::Generate(ask) => {
            let made = keys::generate(&ask.name)?;
            (ask.format, json!(made), generated(&made))
        }
        KeyCommand::List(format) => {
            let known = keys::list(options)?;
            (*format, json!({ "keys": known }), listed(&known))
        }
        KeyCommand::Trust(ask) => {
            let named = keys::trust_key(options, &ask.key, ask.name.as_deref())?;
            (ask.format, json!(named), vec![said(&named, "trusted")])
        }
        KeyCommand::Revoke(ask) => {
            let named = keys::revoke(options, &ask.key)?;
            (ask.format, json!(named), vec![said(&named, "revoked")])
        }
    };
    Ok(inspect::answer(global, format.json, &json, &lines, ExitCode::Ok))
}

fn generated(made: &Generated) -> Vec<String> {
    let kept = format!("the secret key is kept in {}, for you alone", tame(&made.path.display().to_string()));
    vec![made.key.to_string(), kept, format!("now, in a workspace: cbi key trust {}", tame(&made.name))]
}

fn listed(known: &[Known]) -> Vec<String> {
    if known.is_empty() {
        return vec!["no keys; cbi key generate makes one".to_owned()];
    }
    let one = |known: &Known| {
        let mut line = format!("{:7}  {}", known.state, known.key);
        line.extend(known.name.iter().map(|name| format!("  {}", tame(name))));
        line.extend(
            known.own.iter().map(|own| format!("  (key '{}' of this machine{})", tame(own), if known.signs { ", signs" } else { "" })),
        );
        line
    };
    known.iter().map(one).collect()
}

fn said(named: &Named, what: &str) -> String {
    if named.changed { format!("{what} in cbi.toml: {}", named.key) } else { format!("was {what} before: {}", named.key) }
}
