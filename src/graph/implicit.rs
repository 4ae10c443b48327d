//! Owns the targets that nobody wrote: tables of the warehouse that others read. Invariant: they follow from what the written targets read, and
//! from nothing else.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::base::name::{TargetName, is_table_name};
use crate::model::recipe::{Common, Declared, Place, Source, Stanza};

/// The kind of the node that is made for a warehouse table read by its name.
pub const IMPLICIT_KIND: &str = "table";

/// The kind of the node that reads a table of a remote warehouse, and the folder of names that those nodes have.
pub const EXPORT_KIND: &str = "export";

/// The kind of the node that stands for a version of a release, and the folder of names that those nodes have.
pub const CHANNEL_KIND: &str = "channel";

/// The tables that targets may read beside each other's.
#[derive(Debug, Clone, Copy)]
pub enum Tables<'a> {
    /// Those of a folder: all are known.
    Here(&'a BTreeSet<String>),
    /// Those of a remote warehouse: any name may be one, and whoever reads it finds out.
    Remote,
}

impl Tables<'_> {
    /// Whether a target may read a table of this name.
    #[must_use]
    pub fn may_have(self, name: &str) -> bool {
        match self {
            Self::Here(names) => names.contains(name),
            Self::Remote => is_table_name(name),
        }
    }

    /// Whether it is known that there is a table of this name.
    #[must_use]
    pub fn knows(self, name: &str) -> bool {
        matches!(self, Self::Here(names) if names.contains(name))
    }

    /// The names that are known.
    #[must_use]
    pub fn known(self) -> BTreeSet<String> {
        match self {
            Self::Here(names) => names.clone(),
            Self::Remote => BTreeSet::new(),
        }
    }
}

/// The target that reads one part of a remote table, `export/DATASET.TABLE/PART`; `None` where that is too long for a name.
#[must_use]
pub fn part_of(whole: &TargetName, part: &str) -> Option<TargetName> {
    format!("{whole}/{part}").parse().ok()
}

/// The target that reads the whole of a remote table, of the name of one that reads a part of it.
#[must_use]
pub fn whole_of(part: &str) -> Option<&str> {
    let (whole, _) = part.rsplit_once('/')?;
    whole.strip_prefix(EXPORT_KIND)?.strip_prefix('/').filter(|table| is_table_name(table)).map(|_| whole)
}

/// The source of a remote table's rows: the target that reads it.
fn export_of(table: &str) -> Option<Source> {
    let name = format!("{EXPORT_KIND}/{table}").parse().ok()?;
    Some(Source::Target { name, artifact: String::new() })
}

/// Lets what a stanza reads from the warehouse come from the targets that read it there.
pub fn from_exports(declared: &mut Declared) {
    for source in declared.inputs.values_mut() {
        if let Source::WarehouseTable(table) = source
            && let Some(export) = export_of(table)
        {
            *source = export;
        }
    }
}

/// What targets read, and where it is named.
pub type Sources<'s, 'a> = &'s mut dyn Iterator<Item = (&'a Source, &'a Place)>;

/// A stanza for each warehouse table that is read by its name and is not among `names`, the targets there are.
#[must_use]
pub fn tables(sources: Sources, names: &BTreeSet<&str>, tables: Tables) -> Vec<Stanza> {
    wanted(sources, names, IMPLICIT_KIND, |name| tables.may_have(name).then(BTreeMap::new))
}

/// A stanza for each reader of a remote table that is wanted and is not among `names`.
#[must_use]
pub fn exports(sources: Sources, names: &BTreeSet<&str>) -> Vec<Stanza> {
    let table = |name: &str| name.strip_prefix(EXPORT_KIND)?.strip_prefix('/').map(str::to_owned);
    wanted(sources, names, EXPORT_KIND, |name| Some(BTreeMap::from([("from".to_owned(), table(name)?.into())])))
}

/// A stanza for each version of a release that is used: `channel/NAME/AT`.
#[must_use]
pub fn channels(sources: Sources, names: &BTreeSet<&str>) -> Vec<Stanza> {
    let parts =
        |name: &str| name.strip_prefix(CHANNEL_KIND)?.strip_prefix('/')?.rsplit_once('/').map(|(of, at)| (of.to_owned(), at.to_owned()));
    wanted(sources, names, CHANNEL_KIND, |name| {
        let (of, at) = parts(name)?;
        Some(BTreeMap::from([("of".to_owned(), of.into()), ("at".to_owned(), at.into())]))
    })
}

/// A stanza of this kind, with the keys that `body` gives, for each name that is read, is no target, and that `body` takes.
fn wanted(sources: Sources, names: &BTreeSet<&str>, kind: &str, body: impl Fn(&str) -> Option<BTreeMap<String, Value>>) -> Vec<Stanza> {
    let mut wanted: BTreeMap<&TargetName, Stanza> = BTreeMap::new();
    for (source, place) in sources {
        let Source::Target { name, .. } = source else { continue };
        if names.contains(name.as_str()) || wanted.contains_key(name) {
            continue;
        }
        let Some(body) = body(name.as_str()) else { continue };
        let (kind, common, place) = (kind.to_owned(), Common::default(), place.clone());
        wanted.insert(name, Stanza { kind, name: name.clone(), body, common, place, spots: BTreeMap::new(), part: None });
    }
    wanted.into_values().collect()
}
