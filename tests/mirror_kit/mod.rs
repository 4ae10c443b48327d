//! The mirror's protocol, in small, and all orders in which machines can take its steps. Invariant: a step touches the bucket once, as one request does.

pub mod explore;
pub mod machine;
pub mod model;
pub mod prune;
