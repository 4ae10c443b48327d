//! Owns `cbi status`, `cbi why` and `cbi graph`, and the look at how targets stand. Invariant: they look and never run anything.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::app::problem::{self, Outcome};
use crate::app::sources::{self, Sources};
use crate::app::workspace::{Options, Workspace};
use crate::app::{adapters, changes, latest, observe, releasing, views};
use crate::base::clock;
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::graph::build::{NodeId, TargetGraph};
use crate::graph::select::closure;
use crate::model::action::Action;
use crate::model::build::BuiltTarget;
use crate::model::result::{ActionResult, Cost};
use crate::plan::explain::{self, Difference};
use crate::plan::freshness::{Freshness, survey};
use crate::plan::planner::Planner;
use crate::registry::journal::BuiltTargets;
use crate::store::action_cache::Session;
use crate::store::error::StoreError;
use crate::ui::graph::{Drawing, DrawnNode};
use crate::ui::table::{Cell, Table, Tone};

/// The part of a workspace that was asked for, and how each step in it stands.
pub struct Survey {
    /// The workspace.
    pub workspace: Workspace,
    /// All targets.
    pub graph: TargetGraph,
    /// The store.
    pub session: Session,
    /// How each step asked for stands.
    pub steps: BTreeMap<NodeId, Freshness>,
    /// What the last build left.
    pub last: BuiltTargets,
    /// How the warehouse outside is reached, where something is read from one.
    pub reach: Option<Value>,
}

impl Survey {
    /// Looks at `targets` and all they need; at the workspace's defaults where none is named.
    ///
    /// # Errors
    /// When the recipes are wrong or the store cannot be asked.
    pub fn of(options: &Options, targets: &[String]) -> Outcome<Self> {
        let workspace = Workspace::open(options)?;
        let mut graph = workspace.graph()?;
        let selection = workspace.select(&graph, targets)?;
        let session = Session::open(&workspace.cache()).map_err(problem::stores)?;
        let (selection, observed) = observe::selected(&workspace, session.root(), &mut graph, (selection, targets))?;
        releasing::resolve(&workspace, &session, &mut graph, &selection.closure, false)?;
        let last = latest::targets(&session).map_err(problem::journal)?;
        adapters::look(&mut graph, &selection.closure);
        let (identities, _) = sources::identities(&session, &graph, &selection.closure).map_err(problem::engines)?;
        let sources = Sources::new(&session, &workspace);
        let mut planner = Planner::new(&graph, &selection.roots);
        let observe = |source: &_| sources.pin(source).map(|(input, _)| input).map_err(|f| f.error);
        let judge = workspace.judge(false)?;
        let deliveries = workspace.deliveries();
        let lookup = |target: &str, action: &Action| deliveries.lookup(&session, target, action);
        let mut steps = survey(&mut planner, (&identities, &judge), observe, lookup).map_err(problem::stores)?;
        for (id, step) in &mut steps {
            if let Freshness::Stale(action) = step
                && let Err(failure) = deliveries.why(&session, graph[*id].name().as_str(), action)
            {
                *step = Freshness::Broken(failure.error);
            }
        }
        session.release().map_err(problem::stores)?;
        drop(sources);
        Ok(Self { workspace, graph, session, steps, last, reach: observed.map(|observed| observed.reach) })
    }

    /// The step's target.
    pub(super) fn name(&self, id: NodeId) -> &str {
        self.graph[id].name().as_str()
    }

    /// The action that the target was last built by, where its record is still there.
    fn before(&self, name: &str) -> Result<Option<ActionResult>, StoreError> {
        let Some(BuiltTarget { key, .. }) = self.last.get(name) else { return Ok(None) };
        self.session.lookup(key)
    }

    /// What the target's newest run cost, where that is known.
    pub(super) fn cost(&self, id: NodeId) -> Option<Cost> {
        self.session.cost_of(&self.graph[id].stanza.kind, self.name(id)).ok().flatten()
    }

    /// State in one word and why, in words.
    pub(super) fn state(&self, id: NodeId) -> Result<(&'static str, String), StoreError> {
        Ok(match &self.steps[&id] {
            Freshness::Fresh(_) => ("fresh", String::new()),
            Freshness::Broken(why) => ("broken", why.clone()),
            Freshness::Waits(on) => {
                let names: Vec<&str> = on.iter().take(3).map(|id| self.name(*id)).collect();
                let more = if on.len() > 3 { format!(" and {} more", on.len() - 3) } else { String::new() };
                ("maybe", format!("waits on {}{more}", names.join(", ")))
            }
            Freshness::Stale(action) => {
                let before = self.before(self.name(id))?;
                let was_built = self.last.contains_key(self.name(id));
                let before = (before.as_ref().map(|r| &r.action), was_built);
                ("stale", self.workspace.deliveries().reason(&self.session, self.name(id), before, action))
            }
        })
    }
}

/// The colour of a state.
pub(super) fn tone(state: &str) -> Tone {
    match state {
        "fresh" => Tone::Good,
        "broken" => Tone::Bad,
        _ => Tone::Warn,
    }
}

/// What a command has to say: for people and for programs.
pub struct Said {
    /// Lines and tables for people.
    pub table: Table,
    /// A last line.
    pub total: String,
    /// The same for programs.
    pub json: Value,
}

/// Every target asked for: fresh or stale, its hash, when it was built, how large it is.
///
/// # Errors
/// When the recipes are wrong or the store cannot be asked.
pub fn status(options: &Options, targets: &[String]) -> Outcome<Said> {
    let survey = Survey::of(options, targets)?;
    let mut table = Table::new().left("target", "target").left("kind", "kind").left("state", "state").left("artifacts", "hash");
    table = table.left("built", "built").right("bytes", "size");
    let drift = views::drift(&survey.workspace, &survey.graph, survey.session.root(), survey.steps.keys().copied())?;
    table = if drift.is_some() { table.left("view", "view") } else { table }.left("why", "why");
    let mut fresh = 0;
    for id in survey.steps.keys().copied() {
        let (state, reason) = survey.state(id).map_err(problem::stores)?;
        fresh += u64::from(state == "fresh");
        let built = match &survey.steps[&id] {
            Freshness::Fresh(result) => Some((**result).clone()),
            _ => survey.before(survey.name(id)).map_err(problem::stores)?,
        };
        let hashes: BTreeMap<&str, String> =
            built.iter().flat_map(|r| &r.outputs).map(|(name, m)| (name.as_str(), m.id().to_string())).collect();
        let short: Vec<&str> = hashes.values().map(|h| &h[..12]).collect();
        let mut row = vec![
            Cell::text(survey.name(id)).tone(Tone::Name),
            Cell::text(survey.graph[id].stanza.kind.clone()),
            Cell::text(state).tone(tone(state)),
            Cell::pair(short.join(" "), json!(hashes)).tone(Tone::Dim),
            built.as_ref().map_or_else(Cell::none, |r| Cell::text(clock::rfc3339(r.ended_ms))),
            built.as_ref().map_or_else(Cell::none, |r| Cell::bytes(r.outputs.values().map(crate::model::manifest::Manifest::size).sum())),
        ];
        if let Some(drift) = &drift {
            let tone = |view: &str| if view == views::AS_SAID { Tone::Plain } else { Tone::Warn };
            row.push(drift.get(&id).map_or_else(Cell::none, |view| Cell::text(*view).tone(tone(view))));
        }
        row.push(Cell::text(reason));
        table.row(row);
    }
    let all = survey.steps.len() as u64;
    let mut totals = json!({ "fresh": fresh, "not_fresh": all - fresh });
    let mut total = format!("{fresh} of {all} fresh");
    if let Some(drift) = &drift {
        let as_said = drift.values().filter(|view| **view == views::AS_SAID).count();
        totals["views"] = drift.len().into();
        totals["views_deployed"] = as_said.into();
        total = format!("{total}; {as_said} of {} views as their recipes say", drift.len());
    }
    Ok(Said { total, json: json!({ "targets": table.json(), "totals": totals }), table })
}

/// Why a target is stale; for a fresh one, what differed when it was last built.
///
/// # Errors
/// When the recipes are wrong, the target is not one, or the store cannot be asked.
pub fn why(options: &Options, target: &str) -> Outcome<Said> {
    let survey = Survey::of(options, &[target.to_owned()])?;
    let found = survey.graph.find(target).filter(|id| survey.steps.contains_key(id));
    let id =
        found.ok_or_else(|| vec![Diagnostic::new(ExitCode::Usage, format!("'{target}' is not one target")).hint("name one target")])?;
    let (state, reason) = survey.state(id).map_err(problem::stores)?;
    let (before, after) = match &survey.steps[&id] {
        Freshness::Fresh(result) => (previous(&survey.session, target, result).map_err(problem::stores)?, Some(result.action.clone())),
        Freshness::Stale(action) => (survey.before(target).map_err(problem::stores)?.map(|r| r.action), Some((**action).clone())),
        _ => (None, None),
    };
    let differences = match (&before, &after) {
        (Some(before), Some(after)) => explain::differences(before, after),
        _ => Vec::new(),
    };
    let mut table = Table::new().left("field", "field").left("before", "before").left("after", "after").left("what", "what changed");
    for difference in &differences {
        let what = match (&before, &after) {
            (Some(before), Some(after)) => changes::of_input(&survey.session, &survey.workspace, difference, before, after),
            _ => None,
        };
        let shown = |v: &Option<String>| v.clone().map_or_else(Cell::none, |v| Cell::pair(clip(&v), json!(v)));
        let what = what.unwrap_or_else(|| difference.sentence());
        table.row(vec![
            Cell::text(difference.field.clone()).tone(Tone::Name),
            shown(&difference.before),
            shown(&difference.after),
            Cell::text(what),
        ]);
    }
    let total = match (state, differences.is_empty()) {
        ("fresh", false) => format!("{target} is fresh; this differed from its previous result"),
        ("fresh", true) => format!("{target} is fresh; it has no earlier result to compare with"),
        _ => format!("{target} is {}: {reason}", if state == "maybe" { "maybe stale" } else { state }),
    };
    let json = json!({ "target": target, "state": state, "why": reason, "differences": differences_json(&differences, &table) });
    Ok(Said { table, total, json })
}

/// The differences with what changed in them, for programs.
fn differences_json(differences: &[Difference], table: &Table) -> Value {
    if differences.is_empty() { json!([]) } else { table.json() }
}

/// The action of the newest result of this target that is not `current`.
fn previous(session: &Session, target: &str, current: &ActionResult) -> Result<Option<Action>, StoreError> {
    let mut found = None;
    session.each_result(|result| {
        if result.target == target && result.key != current.key {
            found = Some(result.action);
        }
        true
    })?;
    Ok(found)
}

fn clip(text: &str) -> String {
    const MOST: usize = 40;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// The targets asked for with all they need; everything where none is named.
///
/// # Errors
/// When the recipes are wrong.
pub fn drawing(options: &Options, targets: &[String]) -> Outcome<Drawing> {
    let workspace = Workspace::open(options)?;
    let graph = workspace.graph()?;
    let ids: Vec<NodeId> =
        if targets.is_empty() { graph.ids().collect() } else { closure(&graph, &workspace.select(&graph, targets)?.roots) };
    let place: BTreeMap<NodeId, usize> = ids.iter().enumerate().map(|(at, id)| (*id, at)).collect();
    let node = |id: &NodeId| DrawnNode { name: graph[*id].name().to_string(), kind: graph[*id].stanza.kind.clone(), state: String::new() };
    let edges: Vec<(usize, usize)> =
        ids.iter().flat_map(|id| graph[*id].deps.iter().filter_map(|dep| Some((*place.get(dep)?, place[id])))).collect();
    Ok(Drawing::new(ids.iter().map(node).collect(), &edges))
}
