//! Judging forecasts: how sure a difference from naive is, what a position taken by them would have earned, and how it is all written down.

pub mod bootstrap;
pub mod diebold_mariano;
pub mod importance;
pub mod policy;
pub mod quantile_sets;
pub mod quantile_tables;
pub mod segments;
pub mod sharpe;
pub mod student;
pub mod tables;
pub mod text;
