//! Owns `cbi sql check`. Invariant: it runs no query, and what it says of one comes from the engine that was asked, at the place that was written.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::app::problem::{Outcome, Problems};
use crate::app::queries::{self, Query, Reads, Store};
use crate::app::status::Said;
use crate::app::workspace::{Options, Workspace};
use crate::app::{locate, observe};
use crate::base::diagnostic::{Diagnostic, ExitCode, Snippet};
use crate::base::units;
use crate::graph::build::TargetGraph;
use crate::kinds::tries::{Feed, TRIED, Tried, Tries, Try};
use crate::ui::table::{Cell, Table, Tone};

/// What was found.
pub struct Checked {
    /// Every query, and the totals.
    pub said: Said,
    /// What is wrong, each with its place.
    pub problems: Problems,
}

/// Tries every query among these targets and all they need: in BigQuery, where that is the warehouse, else with the engine here.
///
/// # Errors
/// When a target is none, or the warehouse cannot be asked.
pub fn check(options: &Options, targets: &[String]) -> Outcome<Checked> {
    let workspace = Workspace::open(options)?;
    let graph = workspace.graph()?;
    let (queries, mut problems) = queries::of(&workspace, &graph, targets)?;
    if queries.is_empty() && problems.is_empty() {
        return Err(vec![Diagnostic::new(ExitCode::Usage, "no query among these targets").hint("cbi sql check '**' tries every one")]);
    }
    let (tries, unbuilt) = tries(&workspace, &graph, &queries)?;
    let tried = ask(&workspace, &tries)?;
    let mut shown = Shown::new(workspace.remote.is_some());
    let refused = problems.len();
    for problem in &problems {
        shown.refused(problem);
    }
    for query in &queries {
        let (node, none) = (&graph[query.id], Tried::default());
        let found = tried.get(&query.name).unwrap_or(&none);
        let at = found.fault.as_ref().and_then(|fault| fault.at);
        let place = locate::token(&workspace.texts, node, &query.text, at);
        let mut problem = None;
        if let Some(fault) = &found.fault {
            let mut wrong = Diagnostic::new(ExitCode::Invalid, format!("target '{}': {}", query.name, fault.message));
            wrong.snippets.extend(workspace.texts.snippet(&place, ""));
            wrong.hint.clone_from(&fault.hint);
            problem = Some(wrong);
        }
        let waits = unbuilt.get(&query.name).map(|target| format!("it reads '{target}', which is not made yet: its columns are not known"));
        let waits = waits.or_else(|| found.waits.as_ref().map(|target| format!("it reads '{target}', whose columns are not known")));
        shown.query(&query.name, &place.file, found, problem.as_ref(), waits);
        problems.extend(problem);
    }
    Ok(Checked { said: shown.said(refused), problems })
}

/// What is asked; and of each query that cannot be tried, by its target's name, the target that has to be built first.
fn tries(workspace: &Workspace, graph: &TargetGraph, queries: &[Query]) -> Outcome<(Tries, BTreeMap<String, String>)> {
    let (mut tries, mut unbuilt, mut store) = (Tries::default(), BTreeMap::new(), None);
    for query in queries {
        let mut fed = Vec::new();
        for (table, reads) in &query.reads {
            fed.push(feed(workspace, graph, &mut store, reads)?.map(|feed| (table.clone(), feed)));
        }
        match fed.into_iter().collect() {
            Ok(tables) => {
                let asked = Try { query: query.text.clone(), params: query.params.clone(), tables };
                tries.queries.insert(query.name.clone(), asked);
            }
            Err(target) => _ = unbuilt.insert(query.name.clone(), target),
        }
    }
    Ok((tries, unbuilt))
}

/// Where a table comes from; or else the target that has to be built first.
fn feed(workspace: &Workspace, graph: &TargetGraph, store: &mut Option<Store>, reads: &Reads) -> Outcome<Result<Feed, String>> {
    let made = match reads {
        Reads::Table(plain) => return Ok(Ok(Feed::Table(plain.clone()))),
        Reads::Query(id) => return Ok(Ok(Feed::Query(graph[*id].name().to_string()))),
        Reads::Made(id) => graph[*id].name().to_string(),
    };
    let store: &Store = match store {
        Some(open) => open,
        none => none.insert(Store::open(workspace)?),
    };
    Ok(store.table(&made)?.map(Feed::File).ok_or(made))
}

fn ask(workspace: &Workspace, tries: &Tries) -> Outcome<BTreeMap<String, Tried>> {
    if tries.queries.is_empty() {
        return Ok(BTreeMap::new());
    }
    let reach = match &workspace.remote {
        Some(_) if workspace.reading.offline => {
            let problem = Diagnostic::new(ExitCode::Usage, "queries are tried in BigQuery, and --offline asks nobody");
            return Err(vec![problem.hint("leave --offline away: a dry run costs nothing")]);
        }
        Some(account) => json!(workspace.reach(account, &TargetGraph::default())),
        None => Value::Null,
    };
    observe::ask("probe:sql", &json!(tries), &reach, TRIED)
}

/// What is shown.
struct Shown {
    table: Table,
    queries: Vec<Value>,
    priced: bool,
    valid: usize,
    invalid: usize,
    bytes: u64,
    cost: f64,
}

impl Shown {
    fn new(priced: bool) -> Self {
        let table = Table::new().left("target", "target").left("state", "state");
        let table = if priced { table.right("scan_bytes", "scans").right("scan_cost", "cost") } else { table };
        let table = table.left("file", "file").left("why", "why");
        Self { table, queries: Vec::new(), priced, valid: 0, invalid: 0, bytes: 0, cost: 0.0 }
    }

    /// One that a recipe's own rules refuse, so that nobody was asked.
    fn refused(&mut self, problem: &Diagnostic) {
        self.queries
            .push(json!({ "state": "invalid", "error": problem.message, "place": place(problem.snippets.first()), "hint": problem.hint }));
    }

    fn query(&mut self, name: &str, file: &str, found: &Tried, problem: Option<&Diagnostic>, waits: Option<String>) {
        let (state, tone) = match (problem, &waits) {
            (Some(_), _) => ("invalid", Tone::Bad),
            (None, Some(_)) => ("not tried", Tone::Warn),
            (None, None) => ("valid", Tone::Good),
        };
        self.valid += usize::from(state == "valid");
        self.invalid += usize::from(state == "invalid");
        self.bytes += found.bytes.unwrap_or_default();
        self.cost += found.cost.unwrap_or_default();
        let why = found.fault.as_ref().map(|fault| fault.message.clone()).or(waits);
        let mut row = vec![Cell::text(name).tone(Tone::Name), Cell::text(state).tone(tone)];
        if self.priced {
            row.push(found.bytes.map_or_else(Cell::none, Cell::bytes));
            row.push(found.cost.map_or_else(Cell::none, |cost| Cell::number(cost, 2)));
        }
        row.extend([Cell::text(file), why.clone().map_or_else(Cell::none, Cell::text)]);
        self.table.row(row);
        let snippet = problem.and_then(|problem| problem.snippets.first());
        self.queries.push(json!({
            "target": name, "state": state, "file": file, "scan_bytes": found.bytes, "scan_cost": found.cost,
            "error": why, "place": place(snippet), "hint": problem.and_then(|problem| problem.hint.clone()),
        }));
    }

    fn said(self, refused: usize) -> Said {
        let all = self.queries.len();
        let (invalid, untried) = (self.invalid + refused, all - self.valid - self.invalid - refused);
        let queries = if all == 1 { "1 query".to_owned() } else { format!("{all} queries") };
        let mut total = format!("{queries}: {} valid, {invalid} invalid", self.valid);
        if untried > 0 {
            _ = write!(total, ", {untried} not tried");
        }
        if self.priced {
            _ = write!(total, "; BigQuery would read {}, for {:.2}", units::bytes(self.bytes), self.cost);
        }
        let mut totals = json!({ "valid": self.valid, "invalid": invalid, "not_tried": untried });
        if self.priced {
            totals["scan_bytes"] = self.bytes.into();
            totals["scan_cost"] = self.cost.into();
        }
        let json = json!({ "queries": self.queries, "totals": totals });
        Said { table: self.table, total, json }
    }
}

/// A place as `file:line:column`.
fn place(snippet: Option<&Snippet>) -> Option<String> {
    let Snippet { file, text, span, .. } = snippet?;
    let before = text.get(..span.start)?;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Some(format!("{file}:{}:{column}", before.matches('\n').count() + 1))
}
