//! Owns how releases are shown. Invariant: a refusal names every gate, and ends with 8.

use std::sync::atomic::AtomicBool;

use crate::app::problem::Outcome;
use crate::app::release::{self, Ask, Move};
use crate::app::release_show;
use crate::app::workspace::Options;
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::cli::args::Global;
use crate::cli::args_build::{Format, Rollback};
use crate::cli::args_release::{Channel, Compare, Promote};
use crate::cli::inspect::{heading, tell};
use crate::model::release::Gated;
use crate::ui::output::{self, Output, Palette, paint, tame};

/// `cbi promote`.
///
/// # Errors
/// As the use-case.
pub fn promote(ask: &Promote, options: &Options, global: &Global, cancel: &AtomicBool) -> Outcome<ExitCode> {
    let asked =
        Ask { release: ask.release.clone(), what: ask.what.clone(), force: ask.reason.clone().filter(|_| ask.force), dry_run: ask.dry_run };
    Ok(moved(&release::promote(options, &asked, cancel)?, ask.format, global))
}

/// `cbi rollback` of a release; `None` where the target is none.
///
/// # Errors
/// As the use-case, and where the words go with a published table.
pub fn rollback(ask: &Rollback, options: &Options, global: &Global, cancel: &AtomicBool) -> Outcome<Option<ExitCode>> {
    let usage = |message: String, hint: String| Err(vec![Diagnostic::new(ExitCode::Usage, message).hint(hint)]);
    if !release::is_release(options, &ask.target)? {
        return match &ask.version {
            None if ask.reason.is_none() => Ok(None),
            _ => usage(
                format!("'{}' is no release that has a version", ask.target),
                format!("cbi rollback {} --list, of a published table", ask.target),
            ),
        };
    }
    if ask.to.is_some() || ask.list {
        let hint = format!("cbi rollback {0} VERSION; cbi models {0} lists the versions", ask.target);
        return usage(format!("'{}' is a release: --to and --list are for published tables", ask.target), hint);
    }
    let done = release::rollback(options, &ask.target, ask.version.as_deref(), ask.reason.as_deref(), cancel)?;
    Ok(Some(moved(&done, ask.format, global)))
}

/// `cbi channel`.
///
/// # Errors
/// As the use-case.
pub fn channel(ask: &Channel, options: &Options, global: &Global, cancel: &AtomicBool) -> Outcome<ExitCode> {
    let done = release::channel(options, &ask.release, &ask.channel, &ask.version, cancel)?;
    Ok(moved(&done, ask.format, global))
}

/// `cbi compare`.
///
/// # Errors
/// As the use-case.
pub fn compare(ask: &Compare, options: &Options, global: &Global) -> Outcome<ExitCode> {
    let compared = release_show::compare(options, &ask.release, [&ask.a, &ask.b])?;
    let (mut out, palette) = Output::stdout(global.colour());
    if ask.format.json {
        out.line(&compared.json.to_string());
    } else {
        for (title, table) in &compared.parts {
            out.line(&heading(&palette, title));
            let text = if table.is_empty() { "  the same\n".to_owned() } else { table.text(&palette, output::width()) };
            out.text(&text);
            out.line("");
        }
    }
    out.flush();
    Ok(ExitCode::Ok)
}

fn moved(done: &Move, format: Format, global: &Global) -> ExitCode {
    let code = done.code();
    if format.json || !global.quiet || code != ExitCode::Ok {
        tell(global, format.json, done, |palette| lines(done, palette));
    }
    code
}

fn lines(done: &Move, palette: &Palette) -> Vec<String> {
    let gate = |gate: &Gated| {
        let (word, style) = if gate.holds { ("holds", palette.good) } else { ("refuses", palette.bad) };
        format!("  {}  {}: {}", paint(style, &format!("{word:<7}")), tame(&gate.gate), tame(&gate.what))
    };
    let mut lines: Vec<String> = done.gates.iter().map(gate).collect();
    let name = paint(palette.name, &done.release);
    let from = done.was.as_ref().map(|was| format!(", before {was}")).unwrap_or_default();
    let short: String = done.candidate.to_string().chars().take(12).collect();
    lines.push(match done.outcome.as_str() {
        "refused" => format!("{name}: refused; nothing was moved, and the candidate {short} stays one"),
        "unchanged" => format!("{name}: {} is {} already", done.channel, done.version),
        "would be promoted" => format!("{name}: {short} would be {}{from}", done.version),
        what => format!("{name}: {} is {} ({short}){from}; {what}", done.channel, done.version),
    });
    lines.extend(done.reason.as_ref().map(|reason| format!("  reason: {}", tame(reason))));
    lines.extend(done.note.as_ref().map(|note| format!("  note: {}", tame(note))));
    if done.outcome == "refused" {
        lines.push(format!("hint: cbi promote {} --force --reason TEXT promotes it all the same, and is recorded", tame(&done.release)));
    }
    lines
}
