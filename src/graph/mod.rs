//! Floor 4: from stanzas to the graph of targets. Pure: knows no file, store or engine.

pub mod adapters;
pub mod build;
pub mod error;
pub mod expand;
pub mod implicit;
pub mod learning;
pub mod select;
pub mod split;
pub mod topo;
pub mod unknowable;
