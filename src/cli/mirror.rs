//! Owns how `cbi mirror` is shown. Invariant: with `--json` one object goes out, and nothing else.

use serde_json::{Value, json};

use crate::app::mirror::{self, Pulled, Pushed, Status};
use crate::app::mirror_prune::{self, Told, Wish};
use crate::app::problem::Outcome;
use crate::app::upkeep::Span;
use crate::app::workspace::Options;
use crate::base::clock;
use crate::base::diagnostic::ExitCode;
use crate::base::units;
use crate::cli::args::Global;
use crate::cli::args_build::MirrorCommand;
use crate::cli::inspect;
use crate::mirror::verify::Report;
use crate::ui::output::tame;

/// Names and findings listed before the rest is only counted; programs get all.
const LISTED: usize = 20;

/// `cbi mirror`.
///
/// # Errors
/// As the use-cases.
pub fn mirror(what: &MirrorCommand, options: &Options, global: &Global) -> Outcome<ExitCode> {
    let (format, json, lines, code) = match what {
        MirrorCommand::Push(ask) => {
            let pushed = mirror::push(options, ask.limit)?;
            (ask.format, json!(pushed), pushed_lines(&pushed), ExitCode::Ok)
        }
        MirrorCommand::Pull(ask) => {
            let pulled = mirror::pull(options, &ask.select.targets, ask.limit)?;
            (ask.select.format, json!(pulled), pulled_lines(&pulled), ExitCode::Ok)
        }
        MirrorCommand::Status(format) => {
            let status = mirror::status(options)?;
            (*format, json!(status), status_lines(&status), ExitCode::Ok)
        }
        MirrorCommand::Prune(ask) => {
            let span = Span { builds: ask.keep_builds, days: ask.keep_days };
            let told = mirror_prune::prune(options, Wish { span, grace: ask.grace, apply: ask.apply })?;
            (ask.format, json!(told), prune_lines(&told), ExitCode::Ok)
        }
        MirrorCommand::Verify(ask) => {
            let report = mirror::verify(options, ask.deep)?;
            let code = if report.findings.is_empty() { ExitCode::Ok } else { ExitCode::Damaged };
            (ask.format, report_json(&report), report_lines(&report), code)
        }
        MirrorCommand::Forget(format) => {
            let forgot = mirror::forget(options)?;
            let said = if forgot { "what was seen of the mirror is forgotten" } else { "nothing was remembered of the mirror" };
            (*format, json!({ "forgot": forgot }), vec![said.to_owned()], ExitCode::Ok)
        }
    };
    Ok(inspect::answer(global, format.json, &json, &lines, code))
}

fn pushed_lines(pushed: &Pushed) -> Vec<String> {
    let put = format!("put {} ({}) into {}", many(pushed.pushed, "result"), units::bytes(pushed.bytes), tame(&pushed.url));
    let mut lines = vec![format!("{put}; {} there before", many(pushed.there, "result"))];
    lines.extend((pushed.builds > 0).then(|| format!("put {} there", many(pushed.builds, "build"))));
    if pushed.broken > 0 {
        lines.push(format!("left out {}, of which something is missing here; cbi fsck says what", many(pushed.broken, "result")));
    }
    if pushed.builds_broken > 0 {
        lines.push(format!("left out {}: what they stood on is not all here any more", many(pushed.builds_broken, "build")));
    }
    lines
}

fn pulled_lines(pulled: &Pulled) -> Vec<String> {
    let took = format!("took {} ({}) from {}", many(pulled.pulled, "result"), units::bytes(pulled.bytes), tame(&pulled.url));
    let mut lines = vec![format!("{took}; {} here before", many(pulled.here, "result"))];
    lines.extend(pulled.refused.iter().map(|(why, count)| format!("refused {}: {}", many(*count, "result"), tame(why))));
    if !pulled.missing.is_empty() {
        lines.push(format!("not in the mirror, and to be built: {}", listed(&pulled.missing)));
    }
    if pulled.above > 0 {
        lines.push(format!("above them, and not looked for: {}", many(pulled.above, "target")));
    }
    lines
}

fn status_lines(status: &Status) -> Vec<String> {
    let mut lines = vec![
        format!("{}: {}, {}", tame(&status.url), many(status.results, "result"), units::bytes(status.bytes)),
        format!("here: {}, {} of them not in the mirror", many(status.here, "result"), status.unpushed),
        format!("builds: {} there, {} of this workspace not among them", status.builds, status.builds_unpushed),
    ];
    if !status.last_unpushed.is_empty() {
        lines.push(format!("of the last build, not in the mirror: {}", listed(&status.last_unpushed)));
    }
    if status.unpushed + status.builds_unpushed > 0 {
        lines.push("hint: cbi mirror push".to_owned());
    }
    lines
}

fn prune_lines(told: &Told) -> Vec<String> {
    let plan = &told.plan;
    let mut lines = Vec::new();
    if let Some(done) = &told.done {
        lines.extend(done.fenced.iter().map(|epoch| format!("closed epoch {epoch}: nobody reads or writes there any more")));
        if done.carried > 0 {
            lines.push(format!("carried {} into the newest epoch", many(done.carried, "result")));
        }
        if done.broken > 0 {
            lines.push(format!("left {} behind, of which something is gone or wrong there", many(done.broken, "result")));
        }
        lines.push(format!("deleted {} ({})", many(done.deleted, "object"), units::bytes(done.bytes)));
    }
    let (go, builds) = if told.done.is_some() { ("went", told.builds_go) } else { ("can go", told.builds_go) };
    lines.push(format!("builds: {} stay, {builds} {go}", told.builds_stay));
    lines.push(format!("{} stay, {} ({}) can go", many(plan.stay, "result"), plan.go, units::bytes(plan.go_bytes)));
    for fenced in &plan.fenced {
        let what = format!("epoch {}: {} ({})", fenced.epoch, many(fenced.objects, "object"), units::bytes(fenced.bytes));
        let from = clock::rfc3339(fenced.since_ms.saturating_add(told.grace_ms));
        lines.push(if fenced.due { format!("{what} can be deleted") } else { format!("{what} can be deleted from {from} on") });
    }
    let begins = plan.fenced.is_empty() && plan.go + plan.go_bytes > 0;
    if begins || plan.fenced.iter().any(|fenced| fenced.due) {
        lines.push("hint: cbi mirror prune --apply".to_owned());
    }
    lines
}

fn report_lines(report: &Report) -> Vec<String> {
    let mut lines: Vec<String> =
        report.findings.iter().take(LISTED).map(|finding| format!("damaged: {}", tame(&finding.to_string()))).collect();
    if report.findings.len() > LISTED {
        lines.push(format!("  and {} more; --json lists all", report.findings.len() - LISTED));
    }
    let looked =
        format!("looked at {} and {} ({})", many(report.records, "record"), many(report.blobs, "blob"), units::bytes(report.bytes));
    let found = if report.findings.is_empty() { "whole".to_owned() } else { many(report.findings.len() as u64, "finding") };
    lines.push(format!("{found}: {looked}"));
    lines
}

fn report_json(report: &Report) -> Value {
    let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    json!({ "records": report.records, "blobs": report.blobs, "bytes": report.bytes, "findings": findings })
}

fn listed(names: &[String]) -> String {
    let first: Vec<String> = names.iter().take(LISTED).map(|name| tame(name)).collect();
    let more = names.len().saturating_sub(LISTED);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{rest}", first.join(", "))
}

fn many(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
