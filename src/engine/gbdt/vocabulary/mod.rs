//! The parameters that each library documents: which a recipe may give, under which names, and who owns the others.

pub mod lightgbm;
pub mod xgboost;
