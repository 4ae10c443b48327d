//! Owns what a target that trains another one's learner again has of that one: its wish for an adapter, and what it is expected to hold. Invariant: all
//! trainings of one recipe are of one platform class.

use crate::graph::build::TargetGraph;
use crate::model::recipe::Source;

/// Gives every target that trains another one's learner again that one's wish, and its memory.
pub fn share(graph: &mut TargetGraph) {
    let again: Vec<_> = graph.ids().filter(|id| graph[*id].declared.trains_like.is_some()).collect();
    for id in again {
        let declared = &graph[id].declared;
        let model = declared.trains_like.as_ref().and_then(|slot| declared.inputs.get(slot));
        let Some(Source::Target { name, .. }) = model else { continue };
        let Some(model) = graph.find(name.as_str()).map(|model| &graph[model].declared) else { continue };
        let (adapter, memory) = (model.adapter.clone(), model.memory);
        let declared = &mut graph.nodes[id.index()].declared;
        (declared.adapter, declared.memory) = (adapter, declared.memory.or(memory));
    }
}
