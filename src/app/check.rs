//! Owns `cbi check`. Invariant: it builds as `cbi build` does and shows what the build judged; it judges nothing itself.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use serde_json::{Value, json};

use crate::app::build::{self, Ask};
use crate::app::problem::{self, Outcome};
use crate::app::workspace::Workspace;
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::exec::checked::Checked;
use crate::graph::build::NodeId;
use crate::model::check::{CHECKS, Report, Severity, Verdict};
use crate::model::event::EventSink;
use crate::store::action_cache::Session;
use crate::store::content::ContentStore;
use crate::ui::table::{Cell, Table, Tone};

/// What checks found.
pub struct Found {
    /// Every check, one a row.
    pub table: Table,
    /// The worst rows of each that did not pass, under a line that says which.
    pub worst: Vec<(String, Table)>,
    /// A last line.
    pub total: String,
    /// The same for programs.
    pub json: Value,
    /// How the command ends.
    pub code: ExitCode,
}

/// Builds the tables with checks among what is asked for and what that needs, going on past failures, and shows every verdict.
///
/// # Errors
/// When the recipes are wrong or the store cannot be used.
pub fn check(ask: Ask, cancel: &AtomicBool, sink: &mut dyn EventSink) -> Outcome<Found> {
    let workspace = Workspace::open(&ask.options)?;
    let names: Vec<String> = {
        let graph = workspace.graph()?;
        let closure = workspace.select(&graph, &ask.targets)?.closure;
        let checked = |id: &&NodeId| graph[**id].declared.outputs.contains(CHECKS);
        closure.iter().filter(checked).map(|id| graph[*id].name().to_string()).collect()
    };
    if names.is_empty() {
        let message = "no table among these has checks";
        return Err(vec![Diagnostic::new(ExitCode::Usage, message).hint("docs/recipes.md#checks says how a table gets some")]);
    }
    let done = build::build(&Ask { targets: names.clone(), keep_going: true, verdicts: true, ..ask }, cancel, sink)?;
    let session = Session::open(&workspace.cache()).map_err(problem::stores)?;
    let order: BTreeMap<&str, usize> = names.iter().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
    let mut checked = done.checked;
    checked.sort_by_key(|checked| order.get(checked.target.as_str()).copied());
    let mut found = Found { table: columns(), worst: Vec::new(), total: String::new(), json: Value::Null, code: done.code };
    let mut all = Vec::new();
    for one in &checked {
        let reports = reports(&session, one)?;
        for (verdict, report) in one.verdicts.iter().zip(&reports) {
            found.table.row(row(&one.target, verdict));
            all.push(object(&one.target, verdict, report));
            if !verdict.passed && !report.rows.is_empty() {
                found.worst.push((format!("{}: {}", one.target, verdict.check), worst(report)));
            }
        }
    }
    let failures: Vec<Value> = done.failures.iter().map(|(target, f)| json!({ "target": target, "error": f.error })).collect();
    let totals = totals(&checked, names.len());
    found.total = sentence(&totals);
    found.json = json!({ "checks": all, "failed": failures, "totals": totals });
    Ok(found)
}

fn columns() -> Table {
    Table::new().left("target", "table").left("check", "check").left("verdict", "verdict").right("bad", "bad").left("what", "found")
}

fn row(target: &str, verdict: &Verdict) -> Vec<Cell> {
    let (word, tone) = match (verdict.passed, verdict.severity) {
        (true, _) => ("ok", Tone::Good),
        (false, Severity::Warn) => ("warning", Tone::Warn),
        (false, Severity::Error) => ("REFUSED", Tone::Bad),
        (false, Severity::Learning) => ("NOT FOR FRAMES", Tone::Bad),
    };
    vec![
        Cell::text(target).tone(Tone::Name),
        Cell::text(&verdict.check),
        Cell::text(word).tone(tone),
        Cell::count(verdict.bad),
        Cell::text(&verdict.what),
    ]
}

fn worst(report: &Report) -> Table {
    let table = report.columns.iter().fold(Table::new(), |table, column| table.left(column, column));
    report.rows.iter().fold(table, |mut table, row| {
        let cell = |value: &Value| match value {
            Value::Null => Cell::none(),
            Value::String(text) => Cell::text(text),
            other => Cell::pair(other.to_string(), other.clone()),
        };
        table.row(row.iter().map(cell).collect());
        table
    })
}

fn object(target: &str, verdict: &Verdict, report: &Report) -> Value {
    let mut object = json!(verdict);
    object["target"] = target.into();
    object["columns"] = json!(report.columns);
    object["rows"] = json!(report.rows);
    object
}

/// The reports of one table; empty ones where they are no longer in the store.
fn reports(session: &Session, checked: &Checked) -> Outcome<Vec<Report>> {
    let bytes = match checked.report {
        Some(entry) => session.content().read(&entry.blob).map_err(problem::stores)?,
        None => None,
    };
    let read = bytes.map(|bytes| serde_json::from_slice::<Vec<Report>>(&bytes)).transpose();
    let read = read.map_err(|error| vec![Diagnostic::of(ExitCode::Bug, &error)])?;
    let empty = |verdict: &Verdict| Report { verdict: verdict.clone(), columns: Vec::new(), rows: Vec::new() };
    Ok(read.unwrap_or_else(|| checked.verdicts.iter().map(empty).collect()))
}

fn totals(checked: &[Checked], tables: usize) -> Value {
    let verdicts = || checked.iter().flat_map(|checked| &checked.verdicts);
    let failed = |severity: Severity| verdicts().filter(|v| !v.passed && v.severity == severity).count();
    json!({
        "tables": checked.len(),
        "passed": verdicts().filter(|verdict| verdict.passed).count(),
        "warnings": failed(Severity::Warn) + failed(Severity::Learning),
        "refused": failed(Severity::Error),
        "unchecked_tables": tables - checked.len(),
    })
}

fn sentence(totals: &Value) -> String {
    let told = |key: &str, what: &str| match totals[key].as_u64() {
        Some(1) => format!("1 {what}"),
        count => format!("{} {what}s", count.unwrap_or_default()),
    };
    let (tables, warnings) = (told("tables", "table"), told("warnings", "warning"));
    let text = format!("{tables}: {} passed, {warnings}, {} refused", totals["passed"], totals["refused"]);
    match totals["unchecked_tables"].as_u64() {
        Some(0) => text,
        _ => format!("{text}; {} could not be made", told("unchecked_tables", "table")),
    }
}
