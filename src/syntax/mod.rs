//! Floor 3: text to values: recipes, interpolation, SQL references. Pure.

pub mod condition;
pub mod duck;
pub mod error;
pub mod insert;
pub mod interpolate;
pub mod lets;
pub mod recipe;
pub mod settings;
pub mod settings_keys;
pub mod shape;
pub mod sql;
