//! Owns what a kind may ask for while it declares a stanza, and how it refuses one. Invariant: declaring is pure; whatever comes from the
//! machine (texts of files, variables of the environment) comes through the context, so that it can enter a key.

use std::sync::Arc;

use crate::model::recipe::{Place, Stanza};

/// The workspace as a kind sees it while it declares.
#[derive(Clone, Copy)]
pub struct DeclareContext<'a> {
    /// The text of a workspace file by its relative path, or why there is none, in words: `no such file`.
    pub text: &'a dyn Fn(&str) -> Result<Arc<str>, String>,
    /// The workspace files that a glob matches: relative paths, sorted. A path without wildcards matches that file.
    pub files: &'a dyn Fn(&str) -> Vec<String>,
    /// A variable of the environment.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// The kind of the target with this name, where there is one.
    pub kind_of: &'a dyn Fn(&str) -> Option<String>,
    /// The stanza of the `tune` target with this name, where there is one.
    pub tune_of: &'a dyn Fn(&str) -> Option<&'a Stanza>,
    /// The workspace's `as_of` date; it may enter a stanza only where the stanza uses `@as_of`.
    pub as_of: Option<&'a str>,
}

/// Why a stanza was refused, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct KindError {
    /// The text it is about: a key of the stanza, or a place in a file that the stanza names.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// The way out, where one is known.
    pub hint: Option<String>,
}

impl KindError {
    /// A refusal without a hint.
    pub fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into(), hint: None }
    }

    /// The same refusal with a way out.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
