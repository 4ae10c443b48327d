//! `cbi`, a build system for data and models.
//!
//! The library holds everything; the two programs (`cbi`, which plans and records, and `cbi-action`, which runs one
//! action) are thin. Modules stand on floors: a floor imports only lower floors (`tests/architecture.rs` holds it).

pub mod app;
pub mod base;
pub mod cli;
pub mod engine;
pub mod exec;
pub mod graph;
pub mod io;
pub mod kinds;
pub mod mirror;
pub mod model;
pub mod plan;
pub mod registry;
pub mod store;
pub mod syntax;
pub mod ui;
