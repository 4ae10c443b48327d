//! Owns what can be wrong with a graph of targets. Invariant: every error that a recipe caused has the place that caused it.

use crate::base::name::{TargetName, is_table_name};
use crate::graph::unknowable::Unknowable;
use crate::model::recipe::Place;

/// Why there is no graph, or no part of it for what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// Two stanzas make one target.
    #[error("two stanzas make '{name}'")]
    TwoWriters {
        /// The target.
        name: TargetName,
        /// The stanza met first.
        first: Place,
        /// The other.
        second: Place,
    },
    /// Two targets whose names differ in case only.
    #[error("'{name}' and '{other}' are one name where case is ignored")]
    CaseClash {
        /// One target.
        name: TargetName,
        /// The other.
        other: TargetName,
        /// Where the second stands.
        place: Place,
    },
    /// A target has the name of a warehouse table and is not that table.
    #[error("'{name}' is already a table of the warehouse")]
    ShadowsTable {
        /// The target.
        name: TargetName,
        /// Its stanza.
        place: Place,
    },
    /// A target was asked for an artifact it does not make.
    #[error("'{target}' has no artifact '{artifact}'")]
    UnknownArtifact {
        /// The target.
        target: TargetName,
        /// The artifact.
        artifact: String,
        /// The artifacts it makes.
        known: Vec<String>,
        /// Where it was asked.
        place: Place,
    },
    /// A target with several artifacts was named without saying which.
    #[error("'{target}' makes several artifacts: say which")]
    WhichArtifact {
        /// The target.
        target: TargetName,
        /// The artifacts it makes.
        known: Vec<String>,
        /// Where it was named.
        place: Place,
    },
    /// A target is needed that has an effect outside the store.
    #[error("'{name}' delivers a table, and no target can need that: it would run without being named")]
    Delivers {
        /// The target that delivers.
        name: TargetName,
        /// Where it is needed.
        place: Place,
    },
    /// Targets that need each other.
    #[error("targets need each other: {}", arrows(path))]
    Cycle {
        /// The targets, each needing the next, the first repeated at the end.
        path: Vec<TargetName>,
        /// Where the first names the second.
        place: Place,
    },
    /// A needed name that is neither a target nor a table of the warehouse.
    #[error("{}", unknown(name, wanted_by))]
    UnknownTarget {
        /// The name.
        name: String,
        /// The target that needs it.
        wanted_by: TargetName,
        /// Where it is named.
        place: Place,
        /// The known names most like it.
        nearest: Vec<String>,
    },
    /// Something that a frame may not learn from.
    #[error("{what}")]
    Unknowable {
        /// What, and which frame.
        what: Box<Unknowable>,
        /// Where it stands.
        place: Place,
    },
    /// A name or glob that was asked for and matches no target.
    #[error("no target matches '{pattern}'")]
    NoMatch {
        /// As typed.
        pattern: String,
        /// The targets most like it.
        nearest: Vec<String>,
    },
    /// A glob that cannot be read.
    #[error("'{pattern}' is not a glob: {reason}")]
    BadGlob {
        /// As typed.
        pattern: String,
        /// Why.
        reason: String,
    },
}

impl GraphError {
    /// Where it was caused; `None` for what was typed.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::TwoWriters { second: place, .. }
            | Self::CaseClash { place, .. }
            | Self::ShadowsTable { place, .. }
            | Self::UnknownArtifact { place, .. }
            | Self::WhichArtifact { place, .. }
            | Self::Delivers { place, .. }
            | Self::Cycle { place, .. }
            | Self::UnknownTarget { place, .. }
            | Self::Unknowable { place, .. } => Some(place),
            Self::NoMatch { .. } | Self::BadGlob { .. } => None,
        }
    }

    /// A second place that matters, and what stands there.
    #[must_use]
    pub fn also(&self) -> Option<(&Place, &'static str)> {
        match self {
            Self::TwoWriters { first, .. } => Some((first, "the other stanza is here")),
            _ => None,
        }
    }

    /// The way out, where one is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::TwoWriters { .. } | Self::CaseClash { .. } => Some("rename one of them".into()),
            Self::ShadowsTable { name, .. } => {
                Some(format!("give it another name, or read the table with [table.\"{name}\"] and nothing but its own name"))
            }
            Self::UnknownArtifact { target, known, .. } | Self::WhichArtifact { target, known, .. } => {
                Some(known.iter().map(|artifact| format!("'{target}#{artifact}'")).collect::<Vec<_>>().join(" or "))
            }
            Self::UnknownTarget { name, nearest, .. } if nearest.is_empty() && is_table_name(name) => {
                Some("is this the right warehouse? name another with --warehouse DIR, or a build that had it with --at BUILD|DATE".into())
            }
            Self::UnknownTarget { nearest, .. } | Self::NoMatch { nearest, .. } => match &nearest[..] {
                [] => None,
                names => Some(format!("did you mean {}?", names.iter().map(|n| format!("'{n}'")).collect::<Vec<_>>().join(" or "))),
            },
            Self::Unknowable { what, .. } => Some(what.hint()),
            Self::Delivers { .. } => Some("name what it delivers: its 'from'".into()),
            Self::Cycle { .. } | Self::BadGlob { .. } => None,
        }
    }
}

/// A `table` stanza without its table asks for its own name.
fn unknown(name: &str, wanted_by: &TargetName) -> String {
    if wanted_by.as_str() == name {
        format!("the warehouse has no table '{name}'")
    } else {
        format!("'{name}', which '{wanted_by}' needs, is neither a target nor a table of the warehouse")
    }
}

fn arrows(path: &[TargetName]) -> String {
    path.iter().map(TargetName::as_str).collect::<Vec<_>>().join(" → ")
}
