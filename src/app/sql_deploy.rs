//! Owns `cbi sql deploy`. Invariant: nothing is changed before all that is wanted can be a view, and what is told to be done was done.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::app::problem::{Outcome, Problems};
use crate::app::queries::{self, Query, Reads};
use crate::app::status::Said;
use crate::app::views::{self, Deployed, Wanted};
use crate::app::workspace::{Options, Workspace};
use crate::app::{observe, problem};
use crate::base::diagnostic::{Diagnostic, ExitCode};
use crate::engine::bigquery::dataset::Dataset;
use crate::engine::bigquery::views::Standing;
use crate::graph::build::TargetGraph;
use crate::kinds::views::{Asked, Became, Deploy, STOOD, Stood};
use crate::store::action_cache::Session;
use crate::syntax::sql::replace::without_place;
use crate::ui::table::{Cell, Table, Tone};

/// How it is done.
#[derive(Debug, Clone, Copy, Default)]
pub struct How {
    /// Nothing is changed, and what would be is told.
    pub dry: bool,
    /// What somebody else made or changed is overwritten.
    pub force: bool,
    /// Views for recipes that are gone are dropped.
    pub prune: bool,
}

/// What was done.
pub struct Done {
    /// Every view, and the totals.
    pub said: Said,
    /// What was left as it is, and why.
    pub problems: Problems,
}

/// Makes the queries among these targets, and all they need, views of the workspace's own dataset.
///
/// # Errors
/// When one cannot be a view, or BigQuery cannot be asked.
pub fn deploy(options: &Options, targets: &[String], how: How) -> Outcome<Done> {
    let workspace = Workspace::open(options)?;
    let (reach, own) = views::reach(&workspace)?;
    if workspace.reading.offline {
        return Err(vec![Diagnostic::new(ExitCode::Usage, "views stand in BigQuery, and --offline asks nobody")]);
    }
    let graph = workspace.graph()?;
    let (queries, mut problems) = queries::of(&workspace, &graph, targets)?;
    let (wanted, refused) = views::wanted(&workspace, &graph, &own, &queries);
    problems.extend(refused);
    if !problems.is_empty() {
        return Err(problems);
    }
    if wanted.is_empty() && !how.prune {
        return Err(vec![Diagnostic::new(ExitCode::Usage, "no query among these targets").hint("cbi sql deploy '**' deploys every one")]);
    }
    let all = graph.ids().filter(|id| queries::is_query(&graph[*id])).map(|id| views::name_of(graph[id].name().as_str())).collect();
    let deploy =
        Deploy { workspace: workspace.settings.name.clone(), all, dry: how.dry, force: how.force, prune: how.prune, near: near(&queries) };
    let known = deploy.all.clone();
    let asked = Asked { views: wanted.iter().map(|wanted| wanted.view.clone()).collect(), deploy: Some(deploy) };
    let stood: Vec<Stood> = observe::ask("probe:views", &json!(asked), &json!(reach), STOOD)?;
    if !how.dry {
        let session = Session::open(&workspace.cache()).map_err(problem::stores)?;
        let there = |(wanted, stood): (&'_ Wanted, &Stood)| {
            let is_there = stood.became == Became::Done || !matches!(stood.standing, Some(Standing::Absent | Standing::Taken(_)) | None);
            is_there.then(|| wanted.target.clone())
        };
        let there: Vec<String> = wanted.iter().zip(&stood).filter_map(there).collect();
        Deployed::read(session.root())?.keep(session.root(), &own, &there, |target| !known.contains(&views::name_of(target)))?;
    }
    Ok(tell(&workspace, &graph, &own, &wanted, &stood, how))
}

/// A table of the warehouse that the queries read.
fn near(queries: &[Query]) -> Option<String> {
    let mut reads = queries.iter().flat_map(|query| &query.reads);
    reads.find_map(|(_, reads)| if let Reads::Table(plain) = reads { Some(plain.from.clone()) } else { None })
}

/// State in a word, its colour, and why, in words.
fn state(stood: &Stood, how: How) -> (&'static str, Tone, Option<String>) {
    let would = |done: &'static str, to_be: &'static str| match (&stood.became, how.dry) {
        (Became::Done, _) => Some((done, Tone::Good, None)),
        (_, true) => Some((to_be, Tone::Warn, None)),
        _ => None,
    };
    let by_hand = || ("by hand", Tone::Bad, Some("somebody else made it, or changed it since it was deployed".to_owned()));
    match (&stood.became, &stood.standing) {
        (Became::Refused(message), _) => ("refused", Tone::Bad, Some(without_place(message))),
        (Became::NotReached, _) => ("not reached", Tone::Warn, Some("a view before it was refused".to_owned())),
        (_, None) if how.prune => would("dropped", "to be dropped").unwrap_or(("left", Tone::Warn, None)),
        (_, None) => ("recipe gone", Tone::Warn, Some("no recipe makes it; --prune drops it".to_owned())),
        (_, Some(Standing::Same)) => ("same", Tone::Plain, None),
        (_, Some(Standing::Absent)) => would("made", "to be made").unwrap_or(("left", Tone::Warn, None)),
        (_, Some(Standing::Differs)) => would("changed", "to be changed").unwrap_or(("left", Tone::Warn, None)),
        (_, Some(Standing::ByHand)) if how.force => would("changed", "to be changed").unwrap_or_else(by_hand),
        (_, Some(Standing::ByHand)) => by_hand(),
        (_, Some(Standing::Taken(kind))) => ("in the way", Tone::Bad, Some(format!("a {kind} that cbi did not make stands there"))),
    }
}

fn tell(workspace: &Workspace, graph: &TargetGraph, own: &Dataset, wanted: &[Wanted], stood: &[Stood], how: How) -> Done {
    let mut table = Table::new().left("view", "view").left("target", "target").left("state", "state").left("why", "why");
    let (mut counts, mut problems): (BTreeMap<&str, u64>, Problems) = (BTreeMap::new(), Vec::new());
    for (at, stood) in stood.iter().enumerate() {
        let target = wanted.get(at).map(|wanted| wanted.target.as_str());
        let (word, tone, why) = state(stood, how);
        let counted = match word {
            "made" | "to be made" => "made",
            "changed" | "to be changed" => "changed",
            "dropped" | "to be dropped" => "dropped",
            "recipe gone" => "gone",
            "same" => "same",
            _ => "left",
        };
        *counts.entry(counted).or_default() += 1;
        problems.extend(problem_of(workspace, graph, own, wanted.get(at), stood, word));
        table.row(vec![
            Cell::text(stood.name.clone()).tone(Tone::Name),
            target.map_or_else(Cell::none, Cell::text),
            Cell::text(word).tone(tone),
            why.map_or_else(Cell::none, Cell::text),
        ]);
    }
    let count = |word: &str| counts.get(word).copied().unwrap_or_default();
    let whole = format!("{}.{}", own.project, own.name);
    let so = if how.dry { "nothing was changed; it would be " } else { "" };
    let mut total = format!(
        "{whole}: {so}{} made, {} changed, {} dropped, {} the same",
        count("made"),
        count("changed"),
        count("dropped"),
        count("same")
    );
    for (word, said) in [("left", "left as they are"), ("gone", "for recipes that are gone")] {
        if count(word) > 0 {
            total = format!("{total}, {} {said}", count(word));
        }
    }
    let totals = ["made", "changed", "dropped", "same", "left", "gone"].map(|word| (word.to_owned(), count(word).into()));
    let json =
        json!({ "dataset": whole, "dry_run": how.dry, "views": table.json(), "totals": Value::Object(totals.into_iter().collect()) });
    Done { said: Said { table, total, json }, problems }
}

/// What a person has to do about a view that is not as its recipe says.
fn problem_of(
    workspace: &Workspace,
    graph: &TargetGraph,
    own: &Dataset,
    wanted: Option<&Wanted>,
    stood: &Stood,
    word: &str,
) -> Option<Diagnostic> {
    let whole = own.whole(&stood.name);
    match (word, &stood.became) {
        ("refused", Became::Refused(message)) => {
            let wanted = wanted?;
            let problem = Diagnostic::new(ExitCode::Invalid, format!("target '{}': {}", wanted.target, without_place(message)));
            let place = wanted.place(workspace, graph, message);
            Some(match workspace.texts.snippet(&place, "") {
                Some(snippet) => problem.at(snippet),
                None => problem,
            })
        }
        ("by hand", _) => {
            let problem =
                Diagnostic::new(ExitCode::Refused, format!("somebody else made or changed the view {whole}; it is left as it is"));
            Some(problem.hint("take into the recipe what should stay of it; cbi sql deploy --force overwrites it"))
        }
        ("in the way", _) => {
            let problem = Diagnostic::new(ExitCode::Refused, format!("{whole} is no view, and cbi did not make it; it is left as it is"));
            Some(problem.hint("drop or rename it, or give the target another name"))
        }
        _ => None,
    }
}
