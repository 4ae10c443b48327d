//! Owns how rows, copies, differences and reproductions are shown. Invariant: JSON holds all that the text does.

use std::sync::atomic::AtomicBool;

use serde_json::{Map, Value};

use crate::app::checkout;
use crate::app::diff::{self, Diff};
use crate::app::get::{self, Got};
use crate::app::problem::Outcome;
use crate::app::reproduce::{self, Reproduction, Verdict};
use crate::app::tables;
use crate::app::workspace::Options;
use crate::base::diagnostic::ExitCode;
use crate::base::units;
use crate::cli::args::{self, Global};
use crate::cli::args_build::Checkout;
use crate::cli::inspect::{field, heading, section, tell};
use crate::engine::table_view::{Difference as Rows, RowSet, Shown};
use crate::ui::output::{self, Output, Palette, paint, tame};
use crate::ui::table::{Cell, Table};
use crate::ui::words;

/// `cbi cat`.
///
/// # Errors
/// When there is no such table, or it cannot be read.
pub fn cat(ask: &args::Cat, options: &Options, global: &Global, cancel: &AtomicBool) -> Outcome<ExitCode> {
    let shown = tables::cat(options, &ask.table, ask.rows, cancel)?;
    let (mut out, palette) = Output::stdout(global.colour());
    if ask.format.json {
        for row in &shown.rows {
            let named = shown.columns.iter().map(|(name, _)| name.clone()).zip(row.iter().cloned());
            out.line(&Value::Object(named.collect::<Map<_, _>>()).to_string());
        }
    } else {
        out.text(&rows_table(&shown).text(&palette, output::width()));
        let count = |n: usize| if n == 1 { "1 row".to_owned() } else { format!("{n} rows") };
        let last = match shown.rows.len() {
            some if some < shown.total => format!("the last {} of {}", some, count(shown.total)),
            _ => count(shown.total),
        };
        out.line(&paint(palette.dim, &last));
    }
    out.flush();
    Ok(ExitCode::Ok)
}

fn rows_table(shown: &Shown) -> Table {
    let number = |kind: &str| matches!(kind, "INT64" | "FLOAT64" | "NUMERIC");
    let mut table = shown.columns.iter().fold(Table::new(), |table, (name, kind)| match number(kind) {
        true => table.right(name, name),
        false => table.left(name, name),
    });
    for row in &shown.rows {
        table.row(row.iter().map(cell).collect());
    }
    table
}

fn cell(value: &Value) -> Cell {
    match value {
        Value::Null => Cell::none(),
        Value::String(text) => Cell::text(text),
        other => Cell::pair(other.to_string(), other.clone()),
    }
}

/// `cbi get`.
///
/// # Errors
/// When there is no such artifact, or it cannot be copied.
pub fn get(ask: &args::Get, options: &Options, global: &Global) -> Outcome<ExitCode> {
    Ok(copied(&get::get(options, &ask.target, &ask.output)?, ask.format.json, global))
}

/// `cbi checkout`.
///
/// # Errors
/// When there is no such artifact, or it cannot be copied.
pub fn checkout(ask: &Checkout, options: &Options, global: &Global) -> Outcome<ExitCode> {
    let got = checkout::checkout(options, &ask.what, ask.at.as_ref(), &ask.output)?;
    Ok(copied(&got, ask.format.json, global))
}

fn copied(got: &Got, json: bool, global: &Global) -> ExitCode {
    if global.quiet && !json {
        return ExitCode::Ok;
    }
    tell(global, json, got, |palette| {
        let mut lines: Vec<String> = got.files.iter().map(|file| format!("  {}", tame(file))).collect();
        let (count, size) = (got.files.len(), units::bytes(got.size));
        let files = if count == 1 { "1 file".to_owned() } else { format!("{count} files") };
        lines.insert(0, format!("{} {files}, {size}, in {}", paint(palette.name, &got.target), got.folder.display()));
        lines
    })
}

/// `cbi diff`.
///
/// # Errors
/// When one of the two is no artifact, or a table cannot be read.
pub fn diff(ask: &args::Diff, options: &Options, global: &Global, cancel: &AtomicBool) -> Outcome<ExitCode> {
    let diff = diff::diff(options, &ask.a, &ask.b, cancel)?;
    Ok(tell(global, ask.format.json, &diff, |palette| diff_lines(&diff, palette)))
}

fn diff_lines(diff: &Diff, palette: &Palette) -> Vec<String> {
    let side = |side: &diff::Side| format!("{}  {}", paint(palette.name, &side.name), side.hash);
    let mut lines = vec![format!("- {}", side(&diff.a)), format!("+ {}", side(&diff.b))];
    if diff.same {
        lines.push("the same bits".to_owned());
    }
    let mut made_with: Vec<String> = diff.made_with.iter().map(crate::plan::explain::Difference::sentence).collect();
    made_with.dedup();
    section(&mut lines, palette, "made with", made_with.into_iter());
    let signed = |sign: &'static str, paths: &[String]| paths.iter().map(move |p| format!("{sign} {p}")).collect::<Vec<_>>();
    let files = [signed("-", &diff.files_removed), signed("+", &diff.files_added), signed("~", &diff.files_changed)].concat();
    section(&mut lines, palette, "files", files.into_iter());
    if let Some(rows) = &diff.table {
        rows_lines(rows, palette, &mut lines);
    }
    let text = |value: &Option<f64>| value.map_or_else(|| "-".to_owned(), |v| v.to_string());
    section(&mut lines, palette, "metrics", diff.metrics.iter().map(|(name, (a, b))| format!("{name}: {} → {}", text(a), text(b))));
    lines
}

fn rows_lines(rows: &Rows, palette: &Palette, lines: &mut Vec<String>) {
    let one = |sign: &'static str| move |(name, kind): &(String, String)| format!("{sign} {name} {kind}");
    let mut columns: Vec<String> = rows.columns_removed.iter().map(one("-")).collect();
    columns.extend(rows.columns_added.iter().map(one("+")));
    columns.extend(rows.columns_changed.iter().map(|(name, was, is)| format!("~ {name} {was} → {is}")));
    section(lines, palette, "columns", columns.into_iter());
    lines.push(heading(palette, "rows"));
    let by = if rows.key.is_empty() { "compared whole".to_owned() } else { format!("by {}", rows.key.join(", ")) };
    lines.push(format!("  {} → {}, {by}", rows.rows.0, rows.rows.1));
    for (word, set) in [("added", &rows.added), ("removed", &rows.removed), ("changed", &rows.changed)] {
        row_set(word, set, lines);
    }
    if let Some((first, last)) = &rows.range {
        lines.push(format!("  from {} to {}", values(first), values(last)));
    }
    section(lines, palette, "cells changed", rows.cells.iter().map(|(column, count)| format!("{column}: {count}")));
}

fn row_set(word: &str, set: &RowSet, lines: &mut Vec<String>) {
    if set.count == 0 {
        return;
    }
    lines.push(format!("  {} {word}, such as", set.count));
    lines.extend(set.first.iter().map(|row| format!("    {}", tame(&values(row)))));
}

fn values(row: &[Value]) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    row.iter().map(text).collect::<Vec<_>>().join("  ")
}

/// `cbi reproduce`.
///
/// # Errors
/// When there is nothing to reproduce, or the store cannot be used.
pub fn reproduce(ask: &args::Reproduce, options: &Options, global: &Global, cancel: &AtomicBool) -> Outcome<ExitCode> {
    let done = reproduce::reproduce(options, &ask.what, ask.deep, ask.timeout, cancel)?;
    tell(global, ask.format.json, &done, |palette| reproduction_lines(&done, palette));
    Ok(done.code())
}

fn reproduction_lines(done: &Reproduction, palette: &Palette) -> Vec<String> {
    let name = paint(palette.name, &done.target);
    let mut lines = match &done.verdict {
        Verdict::Identical => vec![format!("{} {name}: the same bits", paint(palette.good, "identical"))],
        Verdict::Within { tolerance, worst, figure } => {
            let said = format!("other bits, as on an adapter they may be: {figure} is {worst:.1e} from what it was, of {tolerance:.1e}");
            vec![format!("{} {name}: {said}", paint(palette.good, "within tolerance"))]
        }
        Verdict::NotReproducible { reason } => vec![format!("{} {name}: {}", paint(palette.bad, "not reproducible"), tame(reason))],
        Verdict::Differs { files, how } => {
            let mut lines = vec![format!("{} {name}: {} of its files have other bytes", paint(palette.bad, "differs"), files.len())];
            lines.extend(how.iter().map(|how| format!("  {}", tame(how))));
            lines
        }
    };
    for (artifact, hash) in &done.artifacts {
        lines.push(field(palette, artifact, &hash.to_string()));
    }
    if !done.also.is_empty() {
        lines.push(field(palette, "first", &format!("{} made again, for what they made was gone", done.also.join(", "))));
    }
    if done.compared > 1 {
        lines.push(field(palette, "compared", &format!("{} actions, beginning with the sources", done.compared)));
    }
    if !done.observed.is_empty() {
        lines.push(field(palette, "as recorded", &format!("{}: observed in BigQuery", done.observed.join(", "))));
    }
    if let Some(cost) = &done.cost {
        lines.push(field(palette, "took", &words::elapsed(cost.wall_ms)));
    }
    lines
}
