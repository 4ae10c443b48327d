//! Owns what a build stood on. Invariant: recipes, queries and every table that was read are named by their bytes, so the build can be made again when they
//! have changed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::action::Input;
use crate::model::manifest::Manifest;

/// What a build read that no action made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grounds {
    /// Files of the workspace: settings, recipes, queries, and what steps read.
    pub files: Manifest,
    /// Every table that the warehouse folder had; those that were read, as they were.
    pub tables: BTreeMap<String, Option<Input>>,
    /// The profile of the settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The date that `@as_of` meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// The day on which checks were judged, `YYYY-MM-DD`.
    pub day: String,
    /// Whether tables that were too old passed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_stale: bool,
}
