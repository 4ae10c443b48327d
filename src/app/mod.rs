//! Floor 7: use-cases. Each wires the lower floors together for one thing a person wants done.

pub mod build;
pub mod changes;
pub mod check;
pub mod daily;
pub mod diff;
pub mod doctor;
pub mod get;
pub mod history;
pub mod index;
pub mod init;
pub mod latest;
pub mod looks;
pub mod outputs;
pub mod plan;
pub mod problem;
pub mod reproduce;
pub mod resolve;
pub mod show;
pub mod sources;
pub mod status;
pub mod tables;
pub mod texts;
pub mod timeline;
pub mod upkeep;
pub mod waiting;
pub mod workspace;
