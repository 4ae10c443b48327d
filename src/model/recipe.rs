//! Owns what a recipe stanza is after expansion. Invariant: a `Stanza` holds resolved values only; no placeholder is left in it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;

use crate::base::name::TargetName;
use crate::model::action::Action;
use crate::model::adapter::Wish;
use crate::model::available::Available;

/// A place in a text file, for errors with file, line and caret.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// The file's path relative to the workspace.
    pub file: Arc<str>,
    /// The bytes of the file it is about.
    pub span: Range<usize>,
}

/// Where a key and its value stand. What has no key, an item of a list or a stanza itself, has one place for both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// The value.
    pub value: Place,
    /// The bytes of the key, in the same file.
    key: Range<usize>,
}

impl Spot {
    /// A value, and the bytes of its key in the same file.
    #[must_use]
    pub fn new(key: Range<usize>, value: Place) -> Self {
        Self { value, key }
    }

    /// One place for both.
    #[must_use]
    pub fn both(place: Place) -> Self {
        Self { key: place.span.clone(), value: place }
    }

    /// Where the key stands.
    #[must_use]
    pub fn key(&self) -> Place {
        Place { file: self.value.file.clone(), span: self.key.clone() }
    }
}

/// One target's stanza: kind, name and resolved values.
#[derive(Debug, Clone)]
pub struct Stanza {
    /// The kind, for example `lightgbm`.
    pub kind: String,
    /// The target's name.
    pub name: TargetName,
    /// The kind's own keys with their values, as JSON (dates as `"2019-01-03"` strings); never the keys of `Common`.
    pub body: BTreeMap<String, Value>,
    /// Keys that every kind has.
    pub common: Common,
    /// Where the stanza's header stands.
    pub place: Place,
    /// Where each key and value stand, by dotted path: `price`, `price.table`, `models.0`.
    pub spots: BTreeMap<String, Spot>,
    /// Set where nobody wrote it: the stanza that it is a part of.
    pub part: Option<Part>,
}

/// A stanza that the kind of another one brought along: a trial of a search, for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The target whose stanza was written.
    pub of: TargetName,
    /// Which of its parts, as its kind counts them.
    pub number: usize,
}

/// The keys that every stanza may have.
#[derive(Debug, Clone, PartialEq)]
pub struct Common {
    /// A sentence for people.
    pub description: Option<String>,
    /// Higher runs earlier among ready steps.
    pub priority: i64,
    /// Threads the action may use; part of the key, for results can depend on it.
    pub threads: u32,
    /// Memory the action is expected to need, in bytes, until history knows better.
    pub memory: Option<u64>,
    /// The action is killed after this many milliseconds.
    pub timeout_ms: Option<u64>,
    /// The share by which numbers may differ where it is reproduced on another kind of machine; none of a step that must give the same bits.
    pub tolerance: Option<f64>,
}

impl Default for Common {
    fn default() -> Self {
        Self { description: None, priority: 0, threads: 1, memory: None, timeout_ms: None, tolerance: None }
    }
}

/// What feeds one input slot of an action.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// An artifact of another target.
    Target {
        /// The target.
        name: TargetName,
        /// Which of its artifacts, for example `fit`; `""` in a `Declared` means the only one it has.
        artifact: String,
    },
    /// A table of the warehouse, `dataset.table`, pinned to its version of this build.
    WarehouseTable(String),
    /// A file of the workspace, by its relative path.
    File(String),
}

/// A place at which a query reads later rows: nothing wrong with it, as long as nobody learns from what it gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ahead {
    /// Where.
    pub place: Place,
    /// How, in words.
    pub how: String,
    /// What to write instead.
    pub hint: &'static str,
}

/// Slots of the tables that a query reads begin so; the table's name follows.
pub const TABLE_SLOT: &str = "table:";

/// The column that rows are sorted by first, and that holds their date, where a stanza names no key.
pub const DEFAULT_KEY: &str = "date";

/// What a stanza asks for: a pure function of the stanza and of the text files it names.
#[derive(Debug, Clone, Default)]
pub struct Declared {
    /// Everything the action needs to know, resolved; part of the key.
    pub params: Value,
    /// Input slots and what feeds them.
    pub inputs: BTreeMap<String, Source>,
    /// Where a slot's source is named, if that is not the stanza's key of the same name: SQL text, for one.
    pub places: BTreeMap<String, Place>,
    /// Where the text stands that it runs, if it runs one: a query.
    pub text: Option<Place>,
    /// Where its query can be seen to read later rows.
    pub ahead: Vec<Ahead>,
    /// Where its query, which is to run in the warehouse, says what cannot run here, and what that is.
    pub only_there: Option<(Place, String)>,
    /// When the rows of the table it takes from the warehouse are known, where that is said.
    pub available: Option<Available>,
    /// Slots with tables that it learns from: of each the column whose date is the day on which its row must have been known.
    pub learns: BTreeMap<String, String>,
    /// Of those the slots that it joins by what was known: how many days each waits is put into its params, as `lags`, once that is known.
    pub waits: BTreeSet<String>,
    /// Names of the artifacts it makes.
    pub outputs: BTreeSet<String>,
    /// Engines whose identity is part of the key: `duckdb`, `lightgbm`, `xgboost`, `parquet`.
    pub engines: BTreeSet<String>,
    /// Programs whose digest is part of the key (kind `command`).
    pub programs: BTreeSet<String>,
    /// Whether it has an effect outside the store: it runs only when its name is typed, and nothing can need it.
    pub delivers: bool,
    /// Memory that its action is expected to need, in bytes, where neither the recipe nor history says; not part of the key.
    pub memory: Option<u64>,
    /// The most that one run of it may be charged for outside, in bytes; not part of the key.
    pub max_bytes_billed: Option<u64>,
    /// Whether it would compute on a graphics adapter.
    pub adapter: Option<Wish>,
    /// The input slot of the target whose wish for an adapter it shares: it trains that one's learner again.
    pub trains_like: Option<String>,
    /// The action whose recorded result it stands for, where it makes nothing of its own: a version of a release.
    pub recorded: Option<Box<Action>>,
}
