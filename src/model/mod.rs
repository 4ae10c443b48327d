//! Floor 2: the records everything speaks of, as plain values. Nothing here reads a file or knows where a value is kept.

pub mod action;
pub mod adapter;
pub mod available;
pub mod backtest;
pub mod build;
pub mod check;
pub mod delivery;
pub mod event;
pub mod folds;
pub mod grounds;
pub mod joined;
pub mod manifest;
pub mod progress;
pub mod recipe;
pub mod release;
pub mod result;
pub mod series;
pub mod training;
pub mod tuning;
