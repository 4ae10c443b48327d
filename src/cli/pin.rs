//! Owns how `cbi pin` is shown. Invariant: with `--json` one object goes out, and nothing else.

use serde_json::json;

use crate::app::pin::{self, Pinned};
use crate::app::problem::Outcome;
use crate::app::workspace::Options;
use crate::base::diagnostic::ExitCode;
use crate::cli::args::Global;
use crate::cli::args_keep::Pin;
use crate::cli::inspect;
use crate::ui::output::tame;

/// `cbi pin`.
///
/// # Errors
/// As the use-cases.
pub fn pin(ask: &Pin, options: &Options, global: &Global) -> Outcome<ExitCode> {
    let (json, lines) = match &ask.what {
        None => {
            let all = pin::list(options)?;
            let lines = if all.is_empty() { vec!["nothing is pinned".to_owned()] } else { all.iter().map(line).collect() };
            (json!({ "pinned": all }), lines)
        }
        Some(what) => {
            let one = pin::pin(options, what, ask.remove)?;
            let verb = match (ask.remove, one.changed) {
                (false, true) => "pinned",
                (false, false) => "was pinned before:",
                (true, true) => "pinned no more:",
                (true, false) => "was not pinned:",
            };
            let mut lines = vec![format!("{verb} {}", line(&one))];
            lines.extend(
                one.note.as_ref().map(|why| format!("the mirror was not told: {}; cbi mirror push tells it what is pinned", tame(why))),
            );
            (json!(one), lines)
        }
    };
    Ok(inspect::answer(global, ask.format.json, &json, &lines, ExitCode::Ok))
}

fn line(one: &Pinned) -> String {
    format!("{}  {}, {}", one.hash.short(), tame(&one.pin.what), one.pin.at)
}
