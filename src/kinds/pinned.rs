//! Owns the text of a query that runs in the warehouse. Invariant: every table in it is pinned: to an instant, or to rows that never change.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::engine::bigquery::version::TableVersion;
use crate::model::action::Action;
use crate::model::recipe::{Declared, Stanza, TABLE_SLOT};
use crate::syntax::sql::error::SqlError;
use crate::syntax::sql::read::read;
use crate::syntax::sql::replace::{Replaced, replace};

/// The word for a query that runs in the warehouse.
pub const WAREHOUSE: &str = "warehouse";

/// The param that says where a query runs.
pub const ENGINE: &str = "engine";

/// The param with the tables of the warehouse that a query reads there.
pub const READS: &str = "reads";

/// How far views are followed into each other; BigQuery itself allows 16 levels.
const LEVELS: usize = 16;

/// What the action is told.
#[derive(Debug, Clone, Deserialize)]
pub struct Spec {
    /// The query.
    pub query: String,
    /// Values of its parameters.
    #[serde(default)]
    pub params: Map<String, Value>,
    /// Tables of the warehouse that it reads, by the name that it reads them under.
    #[serde(default)]
    pub reads: BTreeMap<String, Read>,
}

/// A table of the warehouse, as a query reads it.
#[derive(Debug, Clone, Deserialize)]
pub struct Read {
    /// The table, `dataset.table`.
    pub from: String,
    /// The columns that are there to be read; all where empty.
    #[serde(default)]
    pub columns: Vec<String>,
    /// Its version in this build.
    pub version: TableVersion,
}

/// Why a query cannot be pinned.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// Its text is no query.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// It reads something that has no past.
    #[error("{table} is of the kind {kind}, whose rows at one instant cannot be asked for")]
    Kind {
        /// The table.
        table: String,
        /// What BigQuery calls it.
        kind: String,
    },
    /// It reads a view that stands on what cannot be told.
    #[error("the view {view} cannot be read at one instant: {why}")]
    View {
        /// The view.
        view: String,
        /// Why.
        why: String,
    },
    /// It reads a table that it was not given.
    #[error("the query reads '{table}', which was not given to it")]
    Missing {
        /// The table.
        table: String,
    },
    /// No instant is known.
    #[error("no instant is known to read tables at")]
    NoInstant,
}

/// Whether an action runs its query in the warehouse.
#[must_use]
pub fn is_pushed(action: &Action) -> bool {
    action.params[ENGINE] == WAREHOUSE
}

/// Lets a query that is to run in the warehouse read tables there: those that no target is called like, and targets that are a table of the warehouse as it
/// is, with fewer columns at most. What any other target makes stays an input; and where it is `tested` all stays one, for the test that it reads no later
/// rows runs it here.
pub fn push<'s>(declared: &mut Declared, stanza_of: &dyn Fn(&str) -> Option<&'s Stanza>, tested: bool) {
    let mut reads = Map::new();
    let slots: Vec<String> = declared.inputs.keys().cloned().collect();
    for slot in slots {
        let Some(table) = slot.strip_prefix(TABLE_SLOT) else { continue };
        let read = match stanza_of(table) {
            None => Some(json!({ "from": table })),
            Some(stanza) => as_it_is(stanza),
        };
        if let Some(read) = read {
            reads.insert(table.to_owned(), read);
            if !tested {
                declared.inputs.remove(&slot);
                declared.places.remove(&slot);
            }
        }
    }
    declared.params[READS] = reads.into();
    if declared.params.get("checks").is_none() && !tested {
        declared.engines.remove("duckdb");
    }
}

/// What to read there in place of a `table` target; nothing where more is done with its rows than leaving columns out.
fn as_it_is(stanza: &Stanza) -> Option<Value> {
    let plain = ["from", "columns", "key", "available_after", "dates", "max_bytes_billed"];
    if stanza.kind != "table" || !stanza.body.keys().all(|key| plain.contains(&key.as_str())) {
        return None;
    }
    let from = stanza.body.get("from").and_then(Value::as_str).unwrap_or(stanza.name.as_str());
    Some(match stanza.body.get("columns") {
        Some(columns) => json!({ "from": from, "columns": columns }),
        None => json!({ "from": from }),
    })
}

/// The query with every table pinned; `artifacts` are the whole names of the tables that hold what other targets made.
///
/// # Errors
/// When one of them cannot be pinned, or was not given.
pub fn statement(spec: &Spec, artifacts: &BTreeMap<String, String>, instant_ms: Option<i64>) -> Result<Replaced, PinError> {
    let mut sources = BTreeMap::new();
    for (name, _) in read(&spec.query)?.tables {
        let source = match (spec.reads.get(&name), artifacts.get(&name)) {
            (Some(read), _) => {
                let instant_ms = instant_ms.ok_or(PinError::NoInstant)?;
                select(&read.columns, &relation(&read.version, &read.version.bases, instant_ms, 0)?)
            }
            (None, Some(table)) => select(&[], &format!("`{table}`")),
            (None, None) => return Err(PinError::Missing { table: name }),
        };
        sources.insert(name, source);
    }
    Ok(replace(&spec.query, &|name| sources.get(name).cloned(), &spec.params)?)
}

/// A query for columns of a relation, all where none is named.
#[must_use]
pub fn select(columns: &[String], relation: &str) -> String {
    let mut list = String::new();
    for column in columns {
        _ = write!(list, "{}`{column}`", if list.is_empty() { "" } else { ", " });
    }
    format!("(SELECT {} FROM {relation})", if list.is_empty() { "*" } else { &list })
}

/// A table at an instant; a view as its query over tables at that instant.
fn relation(version: &TableVersion, bases: &[TableVersion], instant_ms: i64, level: usize) -> Result<String, PinError> {
    match (version.kind.as_str(), &version.definition) {
        ("TABLE" | "CLONE", _) => Ok(format!("`{}` FOR SYSTEM_TIME AS OF TIMESTAMP_MILLIS({instant_ms})", version.table)),
        // It never changes.
        ("SNAPSHOT", _) => Ok(format!("`{}`", version.table)),
        ("VIEW", Some(text)) if level < LEVELS => {
            let unread = |why: String| PinError::View { view: version.table.clone(), why };
            let mut sources = BTreeMap::new();
            for (name, _) in read(text).map_err(|error| unread(error.to_string()))?.tables {
                let ends = |base: &&TableVersion| base.table.split_once('.').is_some_and(|(_, own)| own == name);
                let base = bases.iter().find(ends).ok_or_else(|| unread(format!("nothing is known of '{name}', which it reads")))?;
                sources.insert(name, select(&[], &relation(base, bases, instant_ms, level + 1)?));
            }
            let pinned = replace(text, &|name| sources.get(name).cloned(), &Map::new()).map_err(|error| unread(error.to_string()))?;
            // A line of its own, for its text may end in a comment.
            Ok(format!("({}\n)", pinned.text.trim_end().trim_end_matches(';')))
        }
        (kind, _) => Err(PinError::Kind { table: version.table.clone(), kind: kind.to_lowercase() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(table: &str, kind: &str, definition: Option<&str>, bases: Vec<TableVersion>) -> TableVersion {
        let text = |text: &str| text.to_owned();
        let (etag, schema) = (String::new(), Value::Null);
        TableVersion {
            table: text(table),
            kind: text(kind),
            modified: text("1"),
            etag,
            location: String::new(),
            schema,
            definition: definition.map(text),
            partitioning: None,
            rows: None,
            bases,
            volatile: false,
        }
    }

    fn pinned(version: TableVersion) -> Result<String, PinError> {
        let read = Read { from: "d.t".into(), columns: vec!["x".into(), "y".into()], version };
        let spec = Spec {
            query: "SELECT t . x FROM d . t JOIN a . b AS u USING ( x )".into(),
            params: Map::new(),
            reads: [("d.t".into(), read)].into(),
        };
        let artifacts = BTreeMap::from([("a.b".to_owned(), "p.own.a_b_0123".to_owned())]);
        statement(&spec, &artifacts, Some(7)).map(|replaced| replaced.text)
    }

    #[test]
    fn every_table_is_pinned_and_keeps_its_name() {
        let text = pinned(version("p.d.t", "TABLE", None, Vec::new())).unwrap();
        let table = "(SELECT `x`, `y` FROM `p.d.t` FOR SYSTEM_TIME AS OF TIMESTAMP_MILLIS(7)) AS `t`";
        assert_eq!(text, format!("SELECT t . x FROM {table} JOIN (SELECT * FROM `p.own.a_b_0123`) AS u USING ( x )"));
    }

    #[test]
    fn a_view_is_its_query_over_pinned_tables_however_deep() {
        let base = version("q.e.base", "TABLE", None, Vec::new());
        let middle = version("p.d.middle", "VIEW", Some("SELECT * FROM `q.e.base` -- all"), Vec::new());
        let view = |text: &str| version("p.d.t", "VIEW", Some(text), vec![base.clone(), middle.clone()]);
        let text = pinned(view("SELECT x, y FROM d.middle;")).unwrap();
        let base = "(SELECT * FROM `q.e.base` FOR SYSTEM_TIME AS OF TIMESTAMP_MILLIS(7)) AS `base`";
        let middle = format!("(SELECT * FROM (SELECT * FROM {base} -- all\n)) AS `middle`");
        assert!(text.contains(&format!("(SELECT `x`, `y` FROM (SELECT x, y FROM {middle}\n)) AS `t`")), "{text}");
        for live in ["SELECT CURRENT_DATE() AS x, 1 AS y FROM d.middle", "SELECT x FROM d.unknown"] {
            assert!(matches!(pinned(view(live)), Err(PinError::View { .. })), "{live}");
        }
    }

    #[test]
    fn what_has_no_past_is_refused_by_name() {
        let error = pinned(version("p.d.t", "EXTERNAL", None, Vec::new())).unwrap_err();
        assert_eq!(error.to_string(), "p.d.t is of the kind external, whose rows at one instant cannot be asked for");
    }
}
