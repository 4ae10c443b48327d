//! Owns the order of targets. Invariant: dependencies come first, and among those that could come next the smallest index does, so that the
//! order depends on the graph alone.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The nodes with dependencies first; or, where there is no such order, every cycle found: each node of a path needs the next one, and the
/// last needs the first.
///
/// # Errors
/// At least one cycle of each knot of nodes that need each other; no node is in two of them.
pub fn order(deps: &[Vec<u32>]) -> Result<Vec<u32>, Vec<Vec<u32>>> {
    let mut waiting: Vec<usize> = deps.iter().map(Vec::len).collect();
    let mut dependants = vec![Vec::new(); deps.len()];
    for (node, needs) in (0u32..).zip(deps) {
        for need in needs {
            dependants[*need as usize].push(node);
        }
    }
    let mut ready: BinaryHeap<_> = (0u32..).zip(&waiting).filter(|(_, waits)| **waits == 0).map(|(node, _)| Reverse(node)).collect();
    let mut order = Vec::with_capacity(deps.len());
    while let Some(Reverse(node)) = ready.pop() {
        order.push(node);
        for dependant in &dependants[node as usize] {
            let waits = &mut waiting[*dependant as usize];
            *waits -= 1;
            if *waits == 0 {
                ready.push(Reverse(*dependant));
            }
        }
    }
    if order.len() == deps.len() { Ok(order) } else { Err(cycles(deps, &waiting)) }
}

/// Walks from every node that never became ready along needs that did not either: each such walk ends in a cycle, or in one found before.
fn cycles(deps: &[Vec<u32>], waiting: &[usize]) -> Vec<Vec<u32>> {
    let mut walked_in = vec![0usize; deps.len()];
    let mut found = Vec::new();
    for start in 0..deps.len() {
        let walk = start + 1;
        let mut path = Vec::new();
        let mut node = start;
        while waiting[node] > 0 && walked_in[node] == 0 {
            walked_in[node] = walk;
            path.push(u32::try_from(node).unwrap_or(u32::MAX));
            let next = deps[node].iter().find(|need| waiting[**need as usize] > 0);
            node = next.map_or(node, |need| *need as usize);
        }
        if walked_in[node] == walk
            && let Some(begin) = path.iter().position(|other| *other as usize == node)
        {
            found.push(smallest_first(&path[begin..]));
        }
    }
    found
}

fn smallest_first(cycle: &[u32]) -> Vec<u32> {
    let start = (0..cycle.len()).min_by_key(|index| cycle[*index]).unwrap_or(0);
    cycle[start..].iter().chain(&cycle[..start]).copied().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A graph without cycles: a node needs only nodes before it in a shuffled order.
    fn acyclic() -> impl Strategy<Value = Vec<Vec<u32>>> {
        (1..40usize).prop_flat_map(|count| {
            let order = Just((0..count).collect::<Vec<_>>()).prop_shuffle();
            let edges = proptest::collection::vec((0..count, 0..count), 0..80);
            (order, edges).prop_map(move |(rank, edges)| {
                let mut deps = vec![std::collections::BTreeSet::new(); count];
                for (a, b) in edges {
                    if rank[a] != rank[b] {
                        let (above, below) = if rank[a] > rank[b] { (a, b) } else { (b, a) };
                        deps[above].insert(u32::try_from(below).unwrap());
                    }
                }
                deps.into_iter().map(|set| set.into_iter().collect()).collect()
            })
        })
    }

    fn is_cycle(deps: &[Vec<u32>], path: &[u32]) -> bool {
        let next = path.iter().cycle().skip(1);
        !path.is_empty() && path.iter().zip(next).all(|(node, need)| deps[*node as usize].contains(need))
    }

    proptest! {
        #[test]
        fn every_node_comes_once_and_after_what_it_needs(deps in acyclic()) {
            let order = order(&deps).unwrap();
            let mut place = vec![None; deps.len()];
            for (at, node) in order.iter().enumerate() {
                prop_assert!(place[*node as usize].replace(at).is_none());
                prop_assert!(deps[*node as usize].iter().all(|need| place[*need as usize].is_some()));
            }
            prop_assert_eq!(order.len(), deps.len());
        }

        #[test]
        fn a_cycle_is_always_found_with_a_true_path(mut deps in acyclic(), length in 1..6usize, start in 0..40usize) {
            let nodes: Vec<_> = (0..length.min(deps.len())).map(|step| (start + step) % deps.len()).collect();
            for (index, node) in nodes.iter().enumerate() {
                let need = u32::try_from(nodes[(index + 1) % nodes.len()]).unwrap();
                if !deps[*node].contains(&need) {
                    deps[*node].push(need);
                }
            }
            let cycles = order(&deps).unwrap_err();
            prop_assert!(!cycles.is_empty());
            for cycle in &cycles {
                prop_assert!(is_cycle(&deps, cycle), "{cycle:?} in {deps:?}");
            }
        }
    }

    #[test]
    fn two_knots_are_both_reported() {
        let deps = vec![vec![1], vec![0], vec![3], vec![4], vec![3], vec![0, 3]];
        assert_eq!(order(&deps), Err(vec![vec![0, 1], vec![3, 4]]));
    }

    #[test]
    fn a_very_long_chain_needs_no_deep_stack() {
        let deps: Vec<Vec<u32>> = (0..200_000u32).map(|n| if n == 0 { vec![] } else { vec![n - 1] }).collect();
        assert_eq!(order(&deps).unwrap().len(), deps.len());
    }
}
