//! Floor 4: the history of builds, and of what was published.

pub mod destination;
pub mod journal;
pub mod ledger;
pub mod releases;
