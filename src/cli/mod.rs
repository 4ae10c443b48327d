//! Floor 8: the command line. Arguments in, use-case called, report out; no logic of its own.

pub mod args;
pub mod args_build;
pub mod args_keep;
pub mod args_release;
pub mod args_setup;
pub mod args_sql;
pub mod compare;
pub mod daily;
pub mod examples;
pub mod inspect;
pub mod key;
pub mod mirror;
pub mod pin;
pub mod release;
pub mod report;
pub mod run;
pub mod sql;
pub mod upkeep;
