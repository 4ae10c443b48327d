//! Owns who computes on a graphics adapter because another target does. Invariant: what trains a model's learner again wishes for what the model wished
//! for, so all trainings of one recipe are of one platform class.

use crate::graph::build::TargetGraph;
use crate::model::recipe::Source;

/// Gives every target that trains another one's learner again that one's wish.
pub fn share(graph: &mut TargetGraph) {
    let again: Vec<_> = graph.ids().filter(|id| graph[*id].declared.trains_like.is_some()).collect();
    for id in again {
        let declared = &graph[id].declared;
        let model = declared.trains_like.as_ref().and_then(|slot| declared.inputs.get(slot));
        let Some(Source::Target { name, .. }) = model else { continue };
        let wish = graph.find(name.as_str()).and_then(|model| graph[model].declared.adapter.clone());
        graph.nodes[id.index()].declared.adapter = wish;
    }
}
