//! Floor 4: the history of builds.

pub mod journal;
