//! Owns the graph of targets. Invariant: `nodes` stands in an order with dependencies first that depends on the targets alone, never on the
//! order of stanzas or files.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Index;
use std::sync::Arc;

use serde_json::Value;

use crate::base::name::TargetName;
use crate::graph::error::GraphError;
use crate::graph::implicit::{self, Tables};
use crate::graph::topo;
use crate::model::action::Action;
use crate::model::available::Lag;
use crate::model::check::is_main;
use crate::model::recipe::{Declared, Place, Source, Stanza};

/// A node's position in `TargetGraph::nodes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

/// All targets and what they need.
#[derive(Debug, Default)]
pub struct TargetGraph {
    /// Dependencies before their dependants.
    pub nodes: Vec<Node>,
    by_name: Vec<NodeId>,
    pub(super) tables: BTreeSet<String>,
}

/// One target.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its stanza; `body` and `spots` are let go once its kind has declared it, for a large workspace's sake.
    pub stanza: Arc<Stanza>,
    /// The version of its kind.
    pub version: u32,
    /// What it asks for; every artifact in `inputs` is named.
    pub declared: Declared,
    /// The targets it needs, sorted.
    pub deps: Vec<NodeId>,
    /// The targets that need it, sorted.
    pub dependants: Vec<NodeId>,
    /// Made for a warehouse table that is read by its name; no stanza was written.
    pub implicit: bool,
    /// Names it needs that are neither targets nor tables; an error only where this target is asked for.
    pub missing: Vec<Missing>,
    /// Its kind refused the stanza, so what it needs is not known; an error only where this target is asked for.
    pub refused: bool,
}

/// A needed name that nothing has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The name.
    pub name: String,
    /// Where it is named.
    pub place: Place,
}

/// One thing that kept the graph from being built.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError<E> {
    /// Found in the graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Said by a target's kind.
    #[error("{0}")]
    Declare(E),
}

impl NodeId {
    /// The node at this position.
    pub(super) fn at(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// The position.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl Index<NodeId> for TargetGraph {
    type Output = Node;

    fn index(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }
}

impl Node {
    /// The target's name.
    #[must_use]
    pub fn name(&self) -> &TargetName {
        &self.stanza.name
    }
}

impl TargetGraph {
    /// A graph of nodes that are linked and in their order.
    pub(super) fn of(nodes: Vec<Node>, tables: BTreeSet<String>) -> Self {
        let mut by_name: Vec<NodeId> = (0..nodes.len()).map(NodeId::at).collect();
        by_name.sort_by(|a, b| nodes[a.index()].name().cmp(nodes[b.index()].name()));
        Self { nodes, by_name, tables }
    }

    /// The target with this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<NodeId> {
        let at = self.by_name.binary_search_by(|id| self[*id].name().as_str().cmp(name)).ok()?;
        Some(self.by_name[at])
    }

    /// Adds to what a target's action is told: what was found out about it since its kind declared it.
    pub fn tell(&mut self, id: NodeId, key: &str, value: Value) {
        self.nodes[id.index()].declared.params[key] = value;
    }

    /// Lets a target stand for the recorded result of this action.
    pub fn stand_for(&mut self, id: NodeId, action: Action) {
        self.nodes[id.index()].declared.recorded = Some(Box::new(action));
    }

    /// Every node's position, dependencies first.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = NodeId> + use<> {
        (0..u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)).map(NodeId)
    }

    /// The names of all targets, sorted, then those of the warehouse's tables.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let targets = self.by_name.iter().map(|id| self[*id].name().as_str());
        targets.chain(self.tables.iter().map(String::as_str).filter(|table| self.find(table).is_none()))
    }
}

/// Builds the graph. `declare` asks a stanza's kind what it needs; `tables` are the names of the warehouse's tables.
///
/// # Errors
/// Everything that keeps the graph from being built, in the order of the targets' names.
pub fn build<E>(
    stanzas: Vec<Stanza>,
    tables: &BTreeSet<String>,
    declare: impl Fn(&Stanza) -> Result<(u32, Declared), Vec<E>>,
) -> Result<TargetGraph, Vec<BuildError<E>>> {
    let refusals = RefCell::new(Vec::new());
    let graph = build_around(stanzas, Tables::Here(tables), declare, |_, errors| refusals.borrow_mut().extend(errors));
    let refused = refusals.into_inner().into_iter().map(BuildError::Declare);
    match graph {
        Err(errors) => Err(refused.chain(errors.into_iter().map(BuildError::Graph)).collect()),
        Ok(graph) if refused.len() == 0 => Ok(graph),
        Ok(_) => Err(refused.collect()),
    }
}

/// Builds the graph around stanzas that their kind refuses: such a target stands in it as `refused`, and `refuse` takes its name and the reasons.
///
/// # Errors
/// What is wrong with the graph itself, in the order of the targets' names.
pub fn build_around<E>(
    mut stanzas: Vec<Stanza>,
    tables: Tables,
    declare: impl Fn(&Stanza) -> Result<(u32, Declared), Vec<E>>,
    refuse: impl Fn(&TargetName, Vec<E>),
) -> Result<TargetGraph, Vec<GraphError>> {
    let declare = |stanza: &Stanza| declare(stanza).map_err(|errors| refuse(&stanza.name, errors)).ok();
    stanzas.sort_by(|a, b| (&a.name, &a.place.file, a.place.span.start).cmp(&(&b.name, &b.place.file, b.place.span.start)));
    let mut errors = clashes(&stanzas);
    let mut targets = Vec::with_capacity(stanzas.len());
    for stanza in stanzas {
        targets.push(declare_one(stanza, false, declare));
    }
    let unwritten = implicit::tables(&mut targets.iter().flat_map(Target::sources), &names(&targets), tables);
    targets.extend(unwritten.into_iter().map(|stanza| declare_one(stanza, true, declare)));
    let unwritten = implicit::exports(&mut targets.iter().flat_map(Target::sources), &names(&targets));
    targets.extend(unwritten.into_iter().map(|stanza| declare_one(stanza, true, declare)));
    let unwritten = implicit::channels(&mut targets.iter().flat_map(Target::sources), &names(&targets));
    targets.extend(unwritten.into_iter().map(|stanza| declare_one(stanza, true, declare)));
    targets.sort_by(|a, b| a.node.name().cmp(b.node.name()));
    errors.extend(link(&mut targets, tables));
    match arrange(targets) {
        Ok((nodes, by_name)) if errors.is_empty() => Ok(TargetGraph { nodes, by_name, tables: tables.known() }),
        Ok(_) => Err(errors),
        Err(cycles) => {
            errors.extend(cycles);
            Err(errors)
        }
    }
}

/// A target that is declared and not linked yet.
struct Target {
    node: Node,
    /// Where each of its inputs is named, in the order of their slots.
    places: Vec<Place>,
}

impl Target {
    /// Slot, source and place of every input.
    fn inputs(&self) -> impl Iterator<Item = (&String, &Source, &Place)> {
        self.node.declared.inputs.iter().zip(&self.places).map(|((slot, source), place)| (slot, source, place))
    }

    /// Source and place of every input.
    fn sources(&self) -> impl Iterator<Item = (&Source, &Place)> {
        self.inputs().map(|(_, source, place)| (source, place))
    }
}

/// The names of the targets.
fn names(targets: &[Target]) -> BTreeSet<&str> {
    targets.iter().map(|target| target.node.name().as_str()).collect()
}

/// A stanza's target; `declare` gives nothing for one that its kind refuses.
fn declare_one(mut stanza: Stanza, implicit: bool, declare: impl Fn(&Stanza) -> Option<(u32, Declared)>) -> Target {
    let declared = declare(&stanza);
    let refused = declared.is_none();
    let (version, mut declared) = declared.unwrap_or_default();
    let places = declared.inputs.iter().map(|(slot, source)| match source {
        Source::File(_) => stanza.place.clone(),
        _ => place_of(&stanza, &declared, slot).clone(),
    });
    let places = places.collect();
    stanza.body = BTreeMap::new();
    stanza.spots = BTreeMap::new();
    declared.places = BTreeMap::new();
    let stanza = Arc::new(stanza);
    let node = Node { stanza, version, declared, deps: Vec::new(), dependants: Vec::new(), implicit, missing: Vec::new(), refused };
    Target { node, places }
}

/// Where the source of a slot is named: the place that its kind gave, else the key called like the slot (`model:0` → `models.0`), else the
/// stanza's header.
fn place_of<'a>(stanza: &'a Stanza, declared: &'a Declared, slot: &str) -> &'a Place {
    let named = || match slot.split_once(':') {
        None => stanza.spots.get(slot),
        Some((key, item)) => {
            let item = stanza.spots.get(&format!("{key}s.{item}"));
            item.or_else(|| stanza.spots.get(&format!("{key}s"))).or_else(|| stanza.spots.get(key))
        }
    };
    declared.places.get(slot).or_else(|| named().map(|spot| &spot.value)).unwrap_or(&stanza.place)
}

/// Names used twice, or that some file systems cannot hold side by side. The stanzas are sorted by name.
fn clashes(stanzas: &[Stanza]) -> Vec<GraphError> {
    let mut errors = Vec::new();
    let mut folded: HashMap<String, &Stanza> = HashMap::with_capacity(stanzas.len());
    for stanza in stanzas {
        let Some(other) = folded.insert(stanza.name.as_str().to_ascii_lowercase(), stanza) else { continue };
        errors.push(if other.name == stanza.name {
            GraphError::TwoWriters { name: stanza.name.clone(), first: other.place.clone(), second: stanza.place.clone() }
        } else {
            GraphError::CaseClash { name: other.name.clone(), other: stanza.name.clone(), place: stanza.place.clone() }
        });
    }
    errors
}

/// Finds what every input names, and fills `deps` (as positions in `targets`), `missing` and unnamed artifacts.
fn link(targets: &mut [Target], tables: Tables) -> Vec<GraphError> {
    let mut errors = Vec::new();
    let mut links = Vec::with_capacity(targets.len());
    {
        let by_name: HashMap<&str, u32> =
            (0u32..).zip(targets.iter()).map(|(index, target)| (target.node.name().as_str(), index)).collect();
        for target in targets.iter() {
            links.push(links_of(target, targets, &by_name, tables, &mut errors));
        }
    }
    for (Target { node, .. }, links) in targets.iter_mut().zip(links) {
        node.deps = links.deps;
        node.deps.sort_unstable();
        node.deps.dedup();
        node.missing = links.missing;
        for (slot, only) in links.artifacts {
            if let Some(Source::Target { artifact, .. }) = node.declared.inputs.get_mut(&slot) {
                *artifact = only;
            }
        }
        for (slot, days) in links.lags {
            node.declared.params["lags"][slot] = days.into();
        }
    }
    errors
}

/// What one target's inputs turned out to be.
#[derive(Default)]
struct Links {
    deps: Vec<NodeId>,
    missing: Vec<Missing>,
    /// Slots that did not say which artifact, and the only one there is.
    artifacts: Vec<(String, String)>,
    /// Slots that wait until their rows are known, and how many days.
    lags: Vec<(String, u32)>,
}

fn links_of(target: &Target, targets: &[Target], by_name: &HashMap<&str, u32>, tables: Tables, errors: &mut Vec<GraphError>) -> Links {
    let own_name = target.node.name();
    let mut links = Links::default();
    let mut reads_own_table = false;
    for (slot, source, place) in target.inputs() {
        let mut missing = |name: &str| links.missing.push(Missing { name: name.to_owned(), place: place.clone() });
        match source {
            Source::File(_) => {}
            Source::WarehouseTable(table) => {
                reads_own_table |= table == own_name.as_str();
                if !tables.may_have(table) {
                    missing(table);
                }
            }
            Source::Target { name, artifact } => match by_name.get(name.as_str()) {
                None => missing(name.as_str()),
                Some(&index) => {
                    links.deps.push(NodeId(index));
                    let feeding = &targets[index as usize].node;
                    if feeding.declared.delivers {
                        errors.push(GraphError::Delivers { name: name.clone(), place: place.clone() });
                    }
                    if let Some(Lag::Days(days)) =
                        target.node.declared.waits.get(slot).and(feeding.declared.available.as_ref()).map(|a| a.after)
                    {
                        links.lags.push((slot.clone(), days));
                    }
                    match artifact_of(feeding, artifact, place) {
                        Ok(Some(only)) => links.artifacts.push((slot.clone(), only)),
                        Ok(None) => {}
                        Err(error) => errors.push(error),
                    }
                }
            },
        }
    }
    if !reads_own_table && !target.node.refused && tables.knows(own_name.as_str()) {
        errors.push(GraphError::ShadowsTable { name: own_name.clone(), place: target.node.stanza.place.clone() });
    }
    links
}

/// Checks that `target` makes `artifact`; where none was said, the only one it makes.
fn artifact_of(target: &Node, artifact: &str, place: &Place) -> Result<Option<String>, GraphError> {
    let outputs = &target.declared.outputs;
    let (name, known, place) = (|| target.name().clone(), || outputs.iter().cloned().collect(), || place.clone());
    let main: Vec<&String> = outputs.iter().filter(|name| is_main(name)).collect();
    match (artifact, main.as_slice()) {
        // What it makes is not known; whoever needs it cannot be built, and is told why.
        _ if target.refused => Ok(None),
        ("", [only]) => Ok(Some((*only).clone())),
        ("", _) => Err(GraphError::WhichArtifact { target: name(), known: known(), place: place() }),
        _ if outputs.contains(artifact) => Ok(None),
        _ => Err(GraphError::UnknownArtifact { target: name(), artifact: artifact.to_owned(), known: known(), place: place() }),
    }
}

/// Puts the targets, sorted by name and linked, in their order; beside them the positions in the order of the names.
fn arrange(targets: Vec<Target>) -> Result<(Vec<Node>, Vec<NodeId>), Vec<GraphError>> {
    let deps: Vec<Vec<u32>> = targets.iter().map(|target| target.node.deps.iter().map(|id| id.0).collect()).collect();
    let order = topo::order(&deps).map_err(|cycles| cycles.iter().map(|cycle| cycle_error(&targets, cycle)).collect::<Vec<_>>())?;
    let mut place = vec![NodeId(0); targets.len()];
    for (at, node) in (0u32..).zip(&order) {
        place[*node as usize] = NodeId(at);
    }
    let mut slots: Vec<Option<Node>> = targets.into_iter().map(|target| Some(target.node)).collect();
    let mut nodes: Vec<Node> = order.iter().filter_map(|index| slots[*index as usize].take()).collect();
    for at in 0..nodes.len() {
        let mut deps: Vec<NodeId> = nodes[at].deps.iter().map(|id| place[id.index()]).collect();
        deps.sort_unstable();
        for dep in &deps {
            nodes[dep.index()].dependants.push(NodeId(u32::try_from(at).unwrap_or(u32::MAX)));
        }
        nodes[at].deps = deps;
    }
    Ok((nodes, place))
}

fn cycle_error(targets: &[Target], cycle: &[u32]) -> GraphError {
    let names: Vec<&TargetName> = cycle.iter().chain(cycle.first()).map(|index| targets[*index as usize].node.name()).collect();
    let first = &targets[cycle[0] as usize];
    let next = first.inputs().find(|(_, source, _)| matches!(source, Source::Target { name, .. } if name == names[1]));
    let place = next.map_or(&first.node.stanza.place, |(_, _, place)| place).clone();
    GraphError::Cycle { place, path: names.into_iter().cloned().collect() }
}
