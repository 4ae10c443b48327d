//! Owns what a recipe kind is. Invariant: a kind's key table is the only list of its keys; checks, schema and docs are made from it.

use crate::kinds::context::{DeclareContext, KindError};
use crate::model::recipe::{Declared, Stanza};
use crate::syntax::shape::Key;

/// One kind of stanza, as the program that plans knows it.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Its name, the first part of a stanza's header.
    pub name: &'static str,
    /// The implementation's version; raised when the same stanza would give other bytes.
    pub version: u32,
    /// What it makes, in one sentence.
    pub about: &'static str,
    /// The keys it takes.
    pub keys: &'static [Key],
    /// What a stanza whose keys were checked asks for. Called through `registry::declare`, which checks them.
    pub declare: fn(&Stanza, &DeclareContext) -> Result<Declared, KindError>,
}
