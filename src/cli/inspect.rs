//! Owns how the commands that look at results show them. Invariant: JSON holds all that the text does.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::app::history::{self, PastBuild, PastResult};
use crate::app::problem::Outcome;
use crate::app::show::{self, Made, Shown, Told};
use crate::app::timeline;
use crate::app::workspace::Options;
use crate::base::diagnostic::ExitCode;
use crate::base::units;
use crate::cli::args::{self, Global};
use crate::ui::output::{self, Output, Palette, paint, tame};
use crate::ui::table::{Cell, Table, Tone};
use crate::ui::words;

/// `cbi show`.
///
/// # Errors
/// When what was asked for is nothing, or several things.
pub fn show(ask: &args::Show, options: &Options, global: &Global) -> Outcome<ExitCode> {
    let shown = show::show(options, &ask.what)?;
    Ok(tell(global, ask.format.json, &shown, |palette| match &shown {
        Shown::Target(made) | Shown::Artifact(made) | Shown::Action(made) => made_lines(made, palette),
        Shown::Build(told) => build_lines(told, palette),
        Shown::Blob(bytes) => {
            let mut lines = vec![format!("{} {}", heading(palette, "file"), bytes.hash), field(palette, "size", &units::bytes(bytes.size))];
            lines.extend(bytes.found_in.iter().map(|name| field(palette, "in", name)));
            lines
        }
        Shown::WarehouseTable(table) => vec![
            format!("{} {}, a table of the warehouse", heading(palette, "table"), table.name),
            field(palette, "file", &table.file),
            field(palette, "size", &units::bytes(table.size)),
        ],
    }))
}

/// `cbi log`.
///
/// # Errors
/// When the workspace cannot be read or has no such target.
pub fn log(ask: &args::Log, options: &Options, global: &Global) -> Outcome<ExitCode> {
    if let Some(form) = ask.timeline {
        return draw(ask, form, options, global);
    }
    match &ask.target {
        None => {
            let past = history::builds(options, ask.limit, !ask.no_remote)?;
            let code = tell(global, ask.format.json, &past.builds, |palette| builds_lines(&past.builds, palette));
            if let Some(why) = past.unread {
                let (mut err, palette) = Output::stderr(global.colour());
                err.line(&format!(
                    "{} builds of this workspace only, for the mirror was not read: {}",
                    paint(palette.warn, "warning"),
                    tame(&why)
                ));
                err.flush();
            }
            Ok(code)
        }
        Some(target) => {
            let results = history::results(options, target, ask.limit)?;
            Ok(tell(global, ask.format.json, &results, |palette| results_lines(&results, palette)))
        }
    }
}

fn draw(ask: &args::Log, form: args::Timeline, options: &Options, global: &Global) -> Outcome<ExitCode> {
    let drawn = timeline::timeline(options, ask.target.as_deref())?;
    let (mut out, palette) = Output::stdout(global.colour());
    out.text(&match (ask.format.json, form) {
        (true, _) => format!("{}\n", serde_json::to_string_pretty(&drawn).unwrap_or_default()),
        (_, args::Timeline::Text) => drawn.text(&palette, output::width()),
        (_, args::Timeline::Svg) => drawn.svg(),
        (_, args::Timeline::Trace) => format!("{}\n", drawn.trace()),
    });
    out.flush();
    Ok(ExitCode::Ok)
}

/// Prints the value as JSON, or its lines of text.
pub fn tell<T: Serialize>(global: &Global, json: bool, value: &T, lines: impl FnOnce(&Palette) -> Vec<String>) -> ExitCode {
    let (mut out, palette) = Output::stdout(global.colour());
    if json {
        out.line(&serde_json::to_string_pretty(value).unwrap_or_default());
    } else {
        for line in lines(&palette) {
            out.line(&line);
        }
    }
    out.flush();
    ExitCode::Ok
}

/// Shows what a command did: with `json` one object in one line, else lines, of which `--quiet` leaves none where all went well.
#[must_use]
pub fn answer(global: &Global, json: bool, value: &Value, lines: &[String], code: ExitCode) -> ExitCode {
    let (mut out, _) = Output::stdout(global.colour());
    if json {
        out.line(&value.to_string());
    } else if !global.quiet || code != ExitCode::Ok {
        for line in lines {
            out.line(line);
        }
    }
    out.flush();
    code
}

/// A word that begins a part of the text.
#[must_use]
pub fn heading(palette: &Palette, word: &str) -> String {
    paint(palette.strong, word)
}

/// A named value, indented under a heading.
#[must_use]
pub fn field(palette: &Palette, name: &str, value: &str) -> String {
    format!("  {}  {}", paint(palette.dim, &format!("{name:<9}")), tame(value))
}

fn made_lines(made: &Made, palette: &Palette) -> Vec<String> {
    let mut lines = vec![format!("{} ({})", paint(palette.name, &made.target), made.kind)];
    lines.push(field(palette, "action", &made.action.to_string()));
    let cost = format!(
        "{} in {}, cpu {}, peak memory {}",
        made.ended,
        words::elapsed(made.cost.wall_ms),
        words::elapsed(made.cost.cpu_ms),
        units::bytes(made.cost.peak_bytes)
    );
    lines.push(field(palette, "made", &cost));
    for (name, artifact) in &made.artifacts {
        let gone = if artifact.stored { "" } else { ", no longer in the store" };
        lines.push(format!("{} {name}  {}  {}{gone}", heading(palette, "artifact"), artifact.hash, units::bytes(artifact.size)));
        for (path, file) in &artifact.files {
            lines.push(format!("  {}  {}  {}", file.blob.0.short(), tame(path), units::bytes(file.size)));
        }
    }
    section(
        &mut lines,
        palette,
        "inputs",
        made.inputs.iter().map(|(slot, fed)| {
            let from = fed.from.as_deref().map(|from| format!("  ({from})")).unwrap_or_default();
            format!("{slot}  {}{from}", fed.hash.chars().take(12).collect::<String>())
        }),
    );
    section(&mut lines, palette, "parameters", parameters(&made.params).into_iter().map(|(name, value)| format!("{name} = {value}")));
    let engines = made.engines.iter().map(|(name, id)| format!("{name} {}", id.chars().take(12).collect::<String>()));
    section(&mut lines, palette, "ran with", engines.chain([format!("{}, threads = {}", made.platform, made.threads)]));
    match &made.table {
        Some(table) => section(&mut lines, palette, "metrics", table.lines().map(str::to_owned)),
        None => section(&mut lines, palette, "metrics", numbers(&made.metrics)),
    }
    section(&mut lines, palette, "notes", made.notes.iter().cloned());
    section(&mut lines, palette, "looks", made.looks.into_iter().map(times));
    if let Some(log) = &made.log {
        lines.push(format!("{} {log}", heading(palette, "log")));
    }
    lines
}

/// How often an evaluation's test rows were judged, in words.
fn times(looks: u64) -> String {
    match looks {
        1 => "these test rows were judged once, by this evaluation".to_owned(),
        more => format!("these test rows were judged {more} times, this evaluation included"),
    }
}

/// Adds a heading with its lines; nothing where there are none.
pub fn section(lines: &mut Vec<String>, palette: &Palette, title: &str, content: impl Iterator<Item = String>) {
    let before = lines.len();
    lines.push(heading(palette, title));
    lines.extend(content.map(|line| format!("  {}", tame(&line))));
    if lines.len() == before + 1 {
        lines.pop();
    }
}

fn numbers(metrics: &BTreeMap<String, f64>) -> impl Iterator<Item = String> {
    metrics.iter().map(|(name, value)| format!("{name} = {value}"))
}

/// Parameters by path, one a line; text without quotes.
fn parameters(params: &Value) -> Vec<(String, String)> {
    let mut all = Vec::new();
    flatten("", params, &mut all);
    all
}

fn flatten(path: &str, value: &Value, all: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(&below, value, all);
            }
        }
        Value::Null => {}
        Value::String(text) => all.push((path.to_owned(), text.clone())),
        other => all.push((path.to_owned(), other.to_string())),
    }
}

fn build_lines(told: &Told, palette: &Palette) -> Vec<String> {
    let PastBuild { build, started, wall_ms, outcome, counts, requested, by } = &told.past;
    let asked = if requested.is_empty() { "the defaults".to_owned() } else { requested.join(" ") };
    let mut lines = vec![
        format!("{} {}", heading(palette, "build"), build),
        field(palette, "began", &format!("{started}, took {}", words::elapsed(*wall_ms))),
        field(palette, "asked for", &asked),
        field(palette, "ended", &format!("{outcome}: {} ran, {} reused, {} failed", counts.ran, counts.reused, counts.failed)),
    ];
    lines.extend(by.as_ref().map(|by| field(palette, "by", by)));
    match &told.targets {
        None => lines.push("what it left is no longer in the store".to_owned()),
        Some(targets) => {
            let hashes = |built: &crate::model::build::BuiltTarget| {
                let one = |(name, id): (&String, &crate::base::digest::ManifestId)| format!("{name} {}", id.0.short());
                built.artifacts.iter().map(one).collect::<Vec<_>>().join("  ")
            };
            section(&mut lines, palette, "left", targets.iter().map(|(name, built)| format!("{name}  {}", hashes(built))));
        }
    }
    lines
}

fn builds_lines(builds: &[PastBuild], palette: &Palette) -> Vec<String> {
    if builds.is_empty() {
        return vec!["nothing was built here yet".to_owned()];
    }
    let shared = builds.iter().any(|build| build.by.is_some());
    let table = Table::new().left("build", "BUILD").left("started", "BEGAN").right("wall", "TOOK").right("ran", "RAN");
    let mut table = table.right("reused", "REUSED").right("failed", "FAILED").left("outcome", "ENDED");
    if shared {
        table = table.left("by", "BY");
    }
    table = table.left("requested", "ASKED FOR");
    for build in builds {
        let tone = if build.outcome == "ok" { Tone::Good } else { Tone::Bad };
        let asked = if build.requested.is_empty() { Cell::none() } else { Cell::text(build.requested.join(" ")) };
        let mut row = vec![
            Cell::text(build.build.0.short()),
            Cell::text(&build.started),
            Cell::millis(build.wall_ms),
            Cell::count(build.counts.ran),
            Cell::count(build.counts.reused),
            Cell::count(build.counts.failed),
            Cell::text(&build.outcome).tone(tone),
        ];
        row.extend(shared.then(|| build.by.as_ref().map_or_else(|| Cell::text("here").tone(Tone::Dim), Cell::text)));
        row.push(asked);
        table.row(row);
    }
    table.text(palette, output::width()).lines().map(str::to_owned).collect()
}

fn results_lines(results: &[PastResult], palette: &Palette) -> Vec<String> {
    let mut table =
        Table::new().left("action", "ACTION").left("ended", "MADE").right("wall", "TOOK").left("artifacts", "ARTIFACTS").left("why", "WHY");
    for result in results {
        let one = result.artifacts.len() == 1;
        let hash =
            |(name, id): (&String, &crate::base::digest::ManifestId)| if one { id.0.short() } else { format!("{name} {}", id.0.short()) };
        let hashes = result.artifacts.iter().map(hash).collect::<Vec<_>>().join(", ");
        table.row(vec![
            Cell::text(result.action.0.short()),
            Cell::text(&result.ended),
            Cell::millis(result.cost.wall_ms),
            Cell::text(hashes).tone(if result.current { Tone::Good } else { Tone::Plain }),
            Cell::text(&result.why),
        ]);
    }
    table.text(palette, output::width()).lines().map(str::to_owned).collect()
}
