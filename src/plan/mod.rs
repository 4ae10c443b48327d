//! Floor 5: which steps are fresh, which must run, and why. Pure.

pub mod explain;
pub mod freshness;
pub mod judge;
pub mod key;
pub mod planner;
