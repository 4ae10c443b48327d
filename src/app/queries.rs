//! Owns the queries of the recipes as `cbi sql` sees them. Invariant: what a query reads is found by reading it, whichever engine runs it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::app::latest;
use crate::app::problem::{self, Outcome, Problems};
use crate::app::workspace::Workspace;
use crate::graph::build::{Node, NodeId, TargetGraph};
use crate::graph::select::{closure, matches};
use crate::kinds::query::ARTIFACT;
use crate::kinds::tries::Plain;
use crate::registry::journal::BuiltTargets;
use crate::store::action_cache::Session;
use crate::store::content::ContentStore;
use crate::syntax::sql::read::read;

/// A query of the recipes.
#[derive(Debug)]
pub struct Query {
    /// Its target.
    pub id: NodeId,
    /// The target's name.
    pub name: String,
    /// Its text in canonical form.
    pub text: String,
    /// Values of its parameters.
    pub params: Map<String, Value>,
    /// Where each table that it reads comes from, in the order of the text.
    pub reads: Vec<(String, Reads)>,
}

/// Where a table that a query reads comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reads {
    /// The warehouse.
    Table(Plain),
    /// Another query.
    Query(NodeId),
    /// A target of another kind.
    Made(NodeId),
}

/// The queries among what these patterns choose and all that needs, dependencies first; and what is wrong with those that cannot be asked for.
///
/// # Errors
/// When a pattern chooses nothing.
pub fn of(workspace: &Workspace, graph: &TargetGraph, patterns: &[String]) -> Outcome<(Vec<Query>, Problems)> {
    let patterns = if patterns.is_empty() { &workspace.settings.default } else { patterns };
    let (mut chosen, mut wrong) = (BTreeSet::new(), Vec::new());
    for pattern in patterns {
        match matches(graph, pattern) {
            Ok(ids) => chosen.extend(ids),
            Err(error) => wrong.push(problem::graph(&error, &workspace.texts)),
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let chosen: Vec<NodeId> = chosen.into_iter().collect();
    let (mut queries, mut problems) = (Vec::new(), Problems::new());
    for id in closure(graph, &chosen).into_iter().filter(|id| is_query(&graph[*id])) {
        let name = graph[id].name().to_string();
        match workspace.select(graph, std::slice::from_ref(&name)) {
            Ok(_) => queries.push(one(workspace, graph, id)),
            // What is wrong beneath it is told once.
            Err(more) => more.into_iter().for_each(|problem| {
                if !problems.contains(&problem) {
                    problems.push(problem);
                }
            }),
        }
    }
    Ok((queries, problems))
}

/// Whether a target is a query. Of one that its kind refuses nothing but the kind is known.
#[must_use]
pub fn is_query(node: &Node) -> bool {
    node.declared.text.is_some() || (node.refused && node.stanza.kind == "sql")
}

/// The query of a target that is one.
#[must_use]
pub fn one(workspace: &Workspace, graph: &TargetGraph, id: NodeId) -> Query {
    let params = &graph[id].declared.params;
    let text = params["query"].as_str().unwrap_or_default().to_owned();
    let tables = read(&text).map(|sql| sql.tables).unwrap_or_default();
    let reads = tables.into_iter().map(|(table, _)| {
        let of = reads(workspace, graph, &table);
        (table, of)
    });
    let reads = reads.collect();
    Query { id, name: graph[id].name().to_string(), params: params["params"].as_object().cloned().unwrap_or_default(), reads, text }
}

/// Where a table of this name comes from.
fn reads(workspace: &Workspace, graph: &TargetGraph, table: &str) -> Reads {
    let plain = |from: &str| Plain { from: from.to_owned(), file: workspace.tables.get(from).cloned(), ..Plain::default() };
    let Some(id) = graph.find(table) else { return Reads::Table(plain(table)) };
    if is_query(&graph[id]) {
        return Reads::Query(id);
    }
    let params = &graph[id].declared.params;
    let Some(from) = params["from"].as_str().filter(|_| graph[id].stanza.kind == "table") else { return Reads::Made(id) };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Reads::Table(Plain {
        columns: params["columns"].as_array().into_iter().flatten().map(text).collect(),
        types: params["types"].as_object().into_iter().flatten().map(|(column, of)| (column.clone(), text(of))).collect(),
        ..plain(from)
    })
}

/// Tables that steps made, as far as they are in the store.
pub struct Store {
    session: Session,
    built: BuiltTargets,
}

impl Store {
    /// The workspace's store.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(workspace: &Workspace) -> Outcome<Self> {
        let session = Session::open(&workspace.cache()).map_err(problem::stores)?;
        let built = latest::targets(&session).map_err(problem::journal)?;
        Ok(Self { session, built })
    }

    /// The Parquet file of the table that a target made last; nothing where it made none, or it is gone.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn table(&self, target: &str) -> Outcome<Option<PathBuf>> {
        let Some(built) = self.built.get(target) else { return Ok(None) };
        let result = self.session.lookup(&built.key).map_err(problem::stores)?;
        let made: BTreeMap<_, _> = result.into_iter().flat_map(|result| result.outputs).collect();
        let files = made.get(ARTIFACT).or_else(|| made.values().next()).into_iter().flat_map(|manifest| &manifest.files);
        let Some((_, entry)) = files.into_iter().find(|(name, _)| name.ends_with(".parquet")) else { return Ok(None) };
        self.session.content().local_path(&entry.blob).map_err(problem::stores)
    }
}
