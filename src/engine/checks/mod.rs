//! Checks: what a table must be like, and the rows that are not.

pub mod across;
pub mod error;
pub mod find;
pub mod found;
pub mod rows;
pub mod spec;
pub mod subject;
#[cfg(test)]
mod tests;
pub mod whole;
