//! Owns how a node and its inputs become an action. Invariant: nothing enters but what the recipe says, what the inputs hold and which
//! engines run it.

use std::collections::BTreeMap;

use crate::graph::build::Node;
use crate::model::action::{ADAPTER, Action, Input};

/// Identities of what runs actions on this machine: part of every key that depends on them.
#[derive(Debug, Clone, Default)]
pub struct Identities {
    /// Operating system, architecture and SIMD level.
    pub platform: String,
    /// Engine or `program:<name>` → identity.
    pub engines: BTreeMap<String, String>,
}

/// The action that would make `node` from these inputs.
#[must_use]
pub fn action(node: &Node, inputs: BTreeMap<String, Input>, identities: &Identities) -> Action {
    if let Some(recorded) = &node.declared.recorded {
        return Action::clone(recorded);
    }
    let programs = node.declared.programs.iter().map(|p| format!("program:{p}"));
    let engines = node.declared.engines.iter().cloned().chain(programs);
    let identity = |name: String| {
        let found = identities.engines.get(&name).cloned().unwrap_or_else(|| "absent".to_owned());
        (name, found)
    };
    let mut action = Action {
        kind: node.stanza.kind.clone(),
        version: node.version,
        engines: engines.map(identity).collect(),
        platform: identities.platform.clone(),
        threads: node.stanza.common.threads,
        params: node.declared.params.clone(),
        inputs,
        outputs: node.declared.outputs.clone(),
    };
    // Where the processor takes an adapter's place it is the processor's own action, the same as if nobody had wished for more.
    if let Some(wish) = node.declared.adapter.as_ref().filter(|wish| wish.needed || wish.found.is_ok()) {
        action.platform = format!("{}{ADAPTER}{}", action.platform, wish.found.as_deref().unwrap_or("none"));
    }
    action
}

/// This machine's platform class, for example `linux-x86_64-avx512`.
#[must_use]
pub fn platform() -> String {
    format!("{}-{}-{}", std::env::consts::OS, std::env::consts::ARCH, simd())
}

#[cfg(target_arch = "x86_64")]
fn simd() -> &'static str {
    if std::is_x86_feature_detected!("avx512f") {
        "avx512"
    } else if std::is_x86_feature_detected!("avx2") {
        "avx2"
    } else {
        "sse2"
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn simd() -> &'static str {
    "base"
}
