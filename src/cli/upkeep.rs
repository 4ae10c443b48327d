//! Owns how housekeeping is shown: gc, fsck, doctor, init, schema. Invariant: with `--json` one object goes out, and nothing else.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::app::doctor::{self, Check, State};
use crate::app::init;
use crate::app::problem::Outcome;
use crate::app::upkeep::{self, Checked, Collected, Cure, Span};
use crate::app::workspace::Options;
use crate::base::diagnostic::ExitCode;
use crate::base::units;
use crate::cli::args::Global;
use crate::cli::args_keep::{Fsck, Gc};
use crate::cli::args_setup;
use crate::kinds::schema;
use crate::store::fsck::Finding;
use crate::ui::output::{self, Output, Palette, paint, tame};

/// Findings and targets listed before the rest is only counted; programs get all.
const LISTED: usize = 50;

/// `cbi gc`.
///
/// # Errors
/// As the use-case.
pub fn gc(ask: &Gc, options: &Options, global: &Global) -> Outcome<ExitCode> {
    let span = Span { builds: ask.keep_builds, days: ask.keep_days };
    let done = upkeep::gc(options, span, ask.dry_run)?;
    let lines = match (ask.format.json, global.quiet) {
        (true, _) => vec![gc_json(&done, ask.dry_run).to_string()],
        (_, true) => Vec::new(),
        _ => gc_lines(&done, ask.dry_run, global.verbose),
    };
    print(&lines, global);
    Ok(ExitCode::Ok)
}

fn gc_lines(done: &Collected, dry_run: bool, verbose: bool) -> Vec<String> {
    let plan = &done.plan;
    let mut lines = Vec::new();
    if verbose {
        lines.extend(plan.delete.iter().map(|(blob, size)| format!("blob {blob}  {}", units::bytes(*size))));
    }
    let verb = if dry_run { "would delete" } else { "deleted" };
    lines.push(if plan.delete.is_empty() && plan.results + plan.builds == 0 {
        "nothing to delete".to_owned()
    } else {
        let (results, builds) = (many(plan.results, "result"), many(plan.builds, "build"));
        format!(
            "{verb} {} ({}), and the records of {results} and {builds}",
            many(plan.delete.len() as u64, "blob"),
            units::bytes(plan.bytes)
        )
    });
    if verbose {
        lines.extend(done.tables.iter().map(|table| format!("table {table}")));
    }
    if !done.tables.is_empty() {
        let verb = if dry_run { "would drop" } else { "dropped" };
        lines.push(format!("{verb} {} in BigQuery", many(done.tables.len() as u64, "table")));
    }
    let packed = &done.packed;
    if packed.blobs > 0 {
        let (blobs, bytes, written) = (many(packed.blobs, "blob"), units::bytes(packed.bytes), units::bytes(packed.written));
        lines.push(format!("put {blobs} ({bytes}) into packs, which took {written}"));
    }
    lines.push(format!("kept {} of {}", many(plan.kept, "blob"), many(done.builds_kept, "build")));
    lines
}

fn gc_json(done: &Collected, dry_run: bool) -> Value {
    let plan = &done.plan;
    json!({
        "dry_run": dry_run,
        "deleted": { "blobs": plan.delete.len(), "bytes": plan.bytes, "results": plan.results, "builds": plan.builds, "tables": done.tables },
        "packed": { "blobs": done.packed.blobs, "bytes": done.packed.bytes, "written": done.packed.written },
        "kept": { "blobs": plan.kept, "builds": done.builds_kept },
    })
}

/// `cbi fsck`.
///
/// # Errors
/// As the use-case.
pub fn fsck(ask: &Fsck, global: &Global) -> Outcome<ExitCode> {
    let live = output::is_live() && !ask.format.json && !global.quiet;
    let (screen, palette) = Output::stdout(global.colour());
    let screen = Mutex::new(screen);
    let shown = |text: &str| {
        if let Ok(mut screen) = screen.lock() {
            screen.text(text);
            screen.flush();
        }
    };
    let seen = |at: usize, of: usize| {
        if live && at.is_multiple_of((of / 200).max(1)) {
            shown(&format!("\r\x1b[2Kreading blob {} of {of}", at + 1));
        }
    };
    let checked = upkeep::fsck(&global.directory, ask.repair, &seen);
    if live {
        shown("\r\x1b[2K");
    }
    let checked = checked?;
    let lines = if ask.format.json { vec![fsck_json(&checked).to_string()] } else { fsck_lines(&checked, &palette, global) };
    print(&lines, global);
    Ok(checked.code())
}

fn fsck_lines(checked: &Checked, palette: &Palette, global: &Global) -> Vec<String> {
    let report = &checked.report;
    let most = if global.verbose { usize::MAX } else { LISTED };
    let mut lines: Vec<String> = report
        .findings
        .iter()
        .take(most)
        .map(|finding| {
            format!("{} {}{}", paint(palette.bad, "damaged:"), tame(&finding.to_string()), whose(finding, checked.cure(finding)))
        })
        .collect();
    if report.findings.len() > most {
        lines.push(format!("  and {} more; -v lists all", report.findings.len() - most));
    }
    let read = format!(
        "read {} ({}), {} and {}",
        many(report.blobs, "blob"),
        units::bytes(report.bytes),
        many(report.results, "result"),
        many(report.builds, "build")
    );
    match (report.findings.len() as u64, checked.repaired) {
        (0, _) if global.quiet => {}
        (0, _) => lines.push(format!("{}: {read}", paint(palette.good, "whole"))),
        (found, true) => {
            lines.push(format!("{}: {}; {read}", paint(palette.good, "repaired"), many(found, "finding")));
            if checked.forgotten > 0 {
                lines.push(format!("forgot {}, for what it named is gone", many(checked.forgotten, "older record")));
            }
            lines.extend(build(checked).map(|command| format!("what is missing is made again by: {}", paint(palette.strong, &command))));
        }
        (found, false) => {
            lines.push(format!("{}; {read}", many(found, "finding")));
            let repair = report.findings.iter().any(|finding| checked.cure(finding) == Cure::Repair);
            let commands = repair.then(|| "cbi fsck --repair".to_owned()).into_iter().chain(build(checked));
            lines.push(format!("{} {}", paint(palette.warn, "hint:"), commands.collect::<Vec<_>>().join(" && ")));
        }
    }
    lines
}

/// Who needs what is missing.
fn whose(finding: &Finding, cure: Cure) -> &'static str {
    match (finding, cure) {
        (Finding::Hole { .. } | Finding::Targets { .. }, Cure::Build) => "; the last build left it",
        (Finding::Hole { .. }, Cure::Repair) => "; it is of an older result, and the last build does not need it",
        _ => "",
    }
}

/// The build that makes again what the last one left and is gone, where something is.
fn build(checked: &Checked) -> Option<String> {
    const NAMED: usize = 8;
    checked.report.findings.iter().find(|finding| checked.cure(finding) == Cure::Build)?;
    let again: Vec<String> = checked.again().into_iter().map(tame).collect();
    Some(if again.len() > NAMED { "cbi build '**'".to_owned() } else { format!("cbi build {}", again.join(" ")).trim_end().to_owned() })
}

fn fsck_json(checked: &Checked) -> Value {
    let report = &checked.report;
    let one = |finding: &Finding| {
        let mut one = json!({ "what": upkeep::word(finding), "said": finding.to_string() });
        if matches!(finding, Finding::Hole { .. }) {
            one["needed"] = json!(checked.cure(finding) == Cure::Build);
        }
        one
    };
    let findings: Vec<Value> = report.findings.iter().map(one).collect();
    json!({
        "read": { "blobs": report.blobs, "bytes": report.bytes, "results": report.results, "builds": report.builds },
        "findings": findings, "repaired": checked.repaired, "forgotten": checked.forgotten, "made_again": checked.again(),
    })
}

/// `cbi doctor`.
#[must_use]
pub fn doctor(options: &Options, json: bool, global: &Global) -> ExitCode {
    let checks = doctor::doctor(options);
    let (mut out, palette) = Output::stdout(global.colour());
    if json {
        out.line(&doctor_json(&checks).to_string());
    } else {
        let told = checks.iter().filter(|check| !global.quiet || check.state == State::Bad);
        told.for_each(|check| doctor_lines(check, &palette).iter().for_each(|line| out.line(line)));
    }
    out.flush();
    doctor::code(&checks)
}

fn doctor_lines(check: &Check, palette: &Palette) -> Vec<String> {
    let style = match check.state {
        State::Ok => palette.good,
        State::Warn => palette.warn,
        State::Bad => palette.bad,
    };
    let mut lines = vec![format!("{}  {}: {}", paint(style, &format!("{:4}", word(check.state))), check.name, tame(&check.said))];
    lines.extend(check.hint.as_ref().map(|hint| format!("      {} {}", paint(palette.warn, "hint:"), tame(hint))));
    lines
}

fn doctor_json(checks: &[Check]) -> Value {
    let each: Vec<Value> = checks
        .iter()
        .map(|check| json!({ "check": check.name, "state": word(check.state), "said": check.said, "hint": check.hint }))
        .collect();
    json!({ "checks": each, "ok": doctor::code(checks) == ExitCode::Ok })
}

fn word(state: State) -> &'static str {
    match state {
        State::Ok => "ok",
        State::Warn => "warn",
        State::Bad => "bad",
    }
}

/// `cbi schema`.
#[must_use]
pub fn schema(global: &Global) -> ExitCode {
    print(&[format!("{:#}", schema::recipes())], global);
    ExitCode::Ok
}

/// `cbi init`.
///
/// # Errors
/// As the use-case.
pub fn init(ask: &args_setup::Init, global: &Global) -> Outcome<ExitCode> {
    let here = ask.folder == Path::new(".");
    let folder = if here { global.directory.clone() } else { global.directory.join(&ask.folder) };
    let folder: PathBuf = folder.components().collect();
    let begun = init::init(&folder)?;
    if !global.quiet {
        let mut lines: Vec<String> = begun.files.iter().map(|file| format!("wrote {}", folder.join(file).display())).collect();
        let there = if folder == Path::new(".") { String::new() } else { format!("cd {} && ", folder.display()) };
        lines.push(format!("now: {there}cbi build"));
        print(&lines, global);
    }
    Ok(ExitCode::Ok)
}

fn print(lines: &[String], global: &Global) {
    let (mut out, _) = Output::stdout(global.colour());
    for line in lines {
        out.line(line);
    }
    out.flush();
}

fn many(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
