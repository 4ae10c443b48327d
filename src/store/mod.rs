//! Floor 3: content and results, kept so that neither a crash nor a damaged disk can pass off wrong bytes.

pub mod action_cache;
pub mod content;
pub mod cutting;
pub mod error;
pub mod fsck;
pub mod gc;
pub mod hash;
pub mod index;
pub mod local;
pub mod log;
pub mod materialize;
pub mod memo;
pub mod memory;
pub mod pack;
pub mod packing;
pub mod packs;
pub mod record;
pub mod repacking;
pub mod root;
pub mod unpacking;
