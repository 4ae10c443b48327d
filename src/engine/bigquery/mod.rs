//! BigQuery as the warehouse: what is there, in which version, and its rows. Invariant: nothing here writes to it.

pub mod account;
pub mod fault;
pub mod read;
pub mod rest;
pub mod retry;
pub mod tokens;
pub mod version;
