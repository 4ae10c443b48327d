//! BigQuery as the warehouse: what is there, in which version, its rows, and jobs that run there. Invariant: every request is made by `rest` or `read`,
//! with a token that is in no key, record or error.

pub mod account;
pub mod charges;
pub mod columns;
pub mod dataset;
pub mod delivered_columns;
pub mod delivery;
pub mod fault;
pub mod jobs;
pub mod ledger;
pub mod ml;
pub mod ml_text;
pub mod objects;
pub mod pages;
pub mod partitioning;
pub mod partitions;
pub mod parts;
pub mod place;
pub mod read;
pub mod rest;
pub mod script;
pub mod tokens;
pub mod version;
pub mod view;
pub mod views;
