//! The calls into the vendors' C libraries, and with them all unsafe code. Every pointer handed over comes from a slice that outlives the call,
//! every handle is freed once, and a library once loaded stays (its threads may outlive any handle).
#![allow(unsafe_code)]

pub mod c;
pub mod lightgbm;
pub mod xgboost;
