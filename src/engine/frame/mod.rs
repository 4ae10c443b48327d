//! Frames: the only door into training. Prices become labels, dates become splits, and what can't be learnt from is refused.

pub mod build;
pub mod checks;
pub mod columns;
pub mod error;
pub mod join;
pub mod labels;
pub mod outcomes;
#[cfg(test)]
mod promises;
pub mod read;
pub mod rows;
pub mod spec;
pub mod splits;
pub mod write;
