//! Owns the waiting for sources. Invariant: what has come is judged by the same checks as in any build; nothing is guessed from a file's time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::app::build::{self, Ask};
use crate::app::problem::{Outcome, Problems};
use crate::app::workspace::Workspace;
use crate::base::clock;
use crate::base::diagnostic::ExitCode;
use crate::graph::build::Node;
use crate::model::event::EventSink;
use crate::ui::page::Waited;

/// How often it is asked whether to stop.
const TICK: Duration = Duration::from_millis(50);

/// How long to wait, and how often to look.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// When to stop waiting, milliseconds since 1970 UTC.
    pub until_ms: u64,
    /// How long from one look to the next.
    pub every: Duration,
}

/// Waits until every table of the warehouse with a `fresh` check, among what is asked for and what that needs, is as new as its check wants,
/// or until patience ends. Tables that have come are imported on the way, which the build would do too. `tell` is told in a sentence what is
/// waited for, whenever that changes.
///
/// # Errors
/// When the recipes are wrong. That a table cannot be read yet is none: it may be on its way.
pub fn wait(ask: &Ask, patience: Patience, cancel: &AtomicBool, sink: &mut dyn EventSink, tell: &mut dyn FnMut(&str)) -> Outcome<Waited> {
    let began = clock::now_ms();
    let mut told = String::new();
    loop {
        let (sources, missing) = match look(ask, cancel, sink) {
            Ok(seen) => seen,
            Err(problems) if for_good(&problems) => return Err(problems),
            Err(problems) => (0, problems.into_iter().map(|problem| ("the warehouse".to_owned(), problem.message)).collect()),
        };
        let now = clock::now_ms();
        if missing.is_empty() || now >= patience.until_ms || cancel.load(Ordering::Relaxed) {
            return Ok(Waited { ms: now.saturating_sub(began), sources: sources.max(missing.len()), missing });
        }
        let names: Vec<&str> = missing.iter().map(|(name, _)| name.as_str()).collect();
        let sentence = format!("waiting until {} for {}", clock::rfc3339(patience.until_ms), names.join(", "));
        if sentence != told {
            tell(&sentence);
            told = sentence;
        }
        pause(patience.every.min(Duration::from_millis(patience.until_ms - now)), cancel);
    }
}

/// Whether waiting cannot help: a person has to change something first.
fn for_good(problems: &Problems) -> bool {
    problems.iter().any(|problem| matches!(problem.code, ExitCode::Invalid | ExitCode::Bug | ExitCode::Damaged))
}

fn pause(time: Duration, cancel: &AtomicBool) {
    let began = clock::start();
    while began.elapsed() < time && !cancel.load(Ordering::Relaxed) {
        std::thread::sleep(TICK.min(time));
    }
}

/// How many tables are waited for, and those that have not come, each with what is known of it.
fn look(ask: &Ask, cancel: &AtomicBool, sink: &mut dyn EventSink) -> Outcome<(usize, Vec<(String, String)>)> {
    let workspace = Workspace::open(&ask.options)?;
    let names: Vec<String> = {
        let graph = workspace.graph()?;
        let closure = workspace.select(&graph, &ask.targets)?.closure;
        closure.iter().map(|id| &graph[*id]).filter(|node| is_waited_for(node)).map(|node| node.name().to_string()).collect()
    };
    if names.is_empty() {
        return Ok((0, Vec::new()));
    }
    let ask = Ask { targets: names.clone(), keep_going: true, allow_stale: true, verdicts: true, ..ask.clone() };
    let done = build::build(&ask, cancel, sink)?;
    let mut missing: BTreeMap<String, String> = done.failures.into_iter().map(|(name, failure)| (name, failure.error)).collect();
    for checked in done.checked {
        let old = checked.verdicts.iter().find(|verdict| verdict.age.is_some() && !verdict.passed);
        if let Some(verdict) = old {
            missing.insert(checked.target, verdict.what.clone());
        }
    }
    missing.retain(|name, _| names.contains(name));
    Ok((names.len(), missing.into_iter().collect()))
}

/// Whether it is a table of the warehouse with a `fresh` check.
fn is_waited_for(node: &Node) -> bool {
    let checks = node.declared.params.get("checks").and_then(Value::as_array);
    node.stanza.kind == "table" && checks.into_iter().flatten().any(|check| check.get("fresh").is_some())
}
