//! Searching for parameters: where to look, and what came of it. Knows nothing of learners.

pub mod ranking;
pub mod report;
pub mod space;
