//! The two gradient-boosting libraries, used through their vendors' own C interfaces.

pub mod by_feature;
pub mod data;
pub mod error;
pub mod ffi;
pub mod lightgbm;
pub mod stopping;
pub mod vocabulary;
pub mod xgboost;
