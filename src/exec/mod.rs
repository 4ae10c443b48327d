//! Floor 6: running actions: what runs next, in which folder, under which budget.

pub mod adapter;
pub mod alone;
pub mod ask;
pub mod checked;
pub mod deliver;
pub mod deliver_bigquery;
pub mod environment;
pub mod executor;
pub mod failure;
pub mod lanes;
pub mod left;
pub mod memory;
pub mod meter;
pub mod outcome;
pub mod pool;
pub mod progress;
pub mod rehearsal;
pub mod run;
pub mod runner;
pub mod sandbox;
pub mod scheduler;
pub mod turns;
