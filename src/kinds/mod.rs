//! Floor 4: one file per recipe kind: what it may say, what it declares, how it runs. Kinds never see the store.

pub mod body;
pub mod command;
pub mod context;
pub mod kind;
pub mod registry;
