//! Owns what `cbi sql check` asks of queries, and what it is told. Invariant: a query is tried only after those that it reads, and never run.
//!
//! `probe:sql` tries them: in BigQuery by dry runs where it is told how to reach it, else with the engine here.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The file, in the question's output folder, that takes what was found.
pub const TRIED: &str = "tried.json";

/// What is asked: queries by their targets' names.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Tries {
    /// The queries.
    pub queries: BTreeMap<String, Try>,
}

/// One query.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Try {
    /// Its text, in canonical form.
    pub query: String,
    /// Values of its parameters.
    pub params: Map<String, Value>,
    /// Where each table that it reads comes from.
    pub tables: BTreeMap<String, Feed>,
}

/// Where a table that a query reads comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feed {
    /// The warehouse.
    Table(Plain),
    /// Another query: the target's name.
    Query(String),
    /// An artifact that is here: its Parquet file.
    File(PathBuf),
}

/// A table of the warehouse as a `table` target takes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plain {
    /// The table, `dataset.table`.
    pub from: String,
    /// The columns that are kept; all where empty.
    pub columns: Vec<String>,
    /// Types that columns are given.
    pub types: BTreeMap<String, String>,
    /// Its file, where the warehouse is a folder.
    pub file: Option<PathBuf>,
}

/// What was found of one query.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tried {
    /// What is wrong with it; nothing where it is valid.
    pub fault: Option<Fault>,
    /// The query that has to be mended first: it reads that one, whose columns are not known.
    pub waits: Option<String>,
    /// Bytes that it would read of the warehouse's tables, where BigQuery was asked.
    pub bytes: Option<u64>,
    /// What they cost, at the workspace's price.
    pub cost: Option<f64>,
}

/// What is wrong with a query.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Fault {
    /// What.
    pub message: String,
    /// The byte of the canonical text that it is about.
    pub at: Option<usize>,
    /// The way out, where one is known.
    pub hint: Option<String>,
}

impl Fault {
    /// The fault as what was found.
    #[must_use]
    pub fn found(self) -> Tried {
        Tried { fault: Some(self), ..Tried::default() }
    }
}

/// What is known so far: of each query what was found, and the columns that it gives where it is valid.
#[derive(Debug)]
pub struct Known<C>(BTreeMap<String, (Tried, Option<C>)>);

impl<C> Default for Known<C> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<C> Known<C> {
    /// Queries that are not known yet and read none that is not.
    #[must_use]
    pub fn ready<'t>(&self, tries: &'t Tries) -> Vec<(&'t String, &'t Try)> {
        let read = |query: &Try| query.feeding().all(|name| self.0.contains_key(name) || !tries.queries.contains_key(name));
        tries.queries.iter().filter(|(name, query)| !self.0.contains_key(*name) && read(query)).collect()
    }

    /// The first query that this one reads and that is not valid.
    #[must_use]
    pub fn waits(&self, query: &Try) -> Option<String> {
        query.feeding().find(|name| self.columns(name).is_none()).map(str::to_owned)
    }

    /// The columns that a valid query gives.
    #[must_use]
    pub fn columns(&self, name: &str) -> Option<&C> {
        self.0.get(name)?.1.as_ref()
    }

    /// Takes what was found of a query.
    pub fn take(&mut self, name: &str, tried: Tried, columns: Option<C>) {
        self.0.insert(name.to_owned(), (tried, columns));
    }

    /// What was found of all of them.
    #[must_use]
    pub fn found(self) -> BTreeMap<String, Tried> {
        self.0.into_iter().map(|(name, (tried, _))| (name, tried)).collect()
    }
}

impl Plain {
    /// What stands for it in a query of BigQuery's: the table itself, or the columns that are kept of it in the types they are given.
    #[must_use]
    pub fn source(&self, project: &str) -> String {
        let table = format!("`{project}.{}`", self.from);
        let cast = |column: &str| self.types.get(column).map(|of| format!("CAST(`{column}` AS {of}) AS `{column}`"));
        if self.columns.is_empty() && self.types.is_empty() {
            return table;
        }
        if self.columns.is_empty() {
            let casts: Vec<String> = self.types.keys().filter_map(|column| cast(column)).collect();
            return format!("(SELECT * REPLACE ({}) FROM {table})", casts.join(", "));
        }
        let columns: Vec<String> = self.columns.iter().map(|column| cast(column).unwrap_or_else(|| format!("`{column}`"))).collect();
        format!("(SELECT {} FROM {table})", columns.join(", "))
    }
}

impl Try {
    /// The queries that it reads.
    fn feeding(&self) -> impl Iterator<Item = &str> {
        self.tables.values().filter_map(|feed| if let Feed::Query(name) = feed { Some(name.as_str()) } else { None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_stands_as_it_is_taken() {
        let plain = |columns: &[&str], types: &[(&str, &str)]| Plain {
            from: "d.t".into(),
            columns: columns.iter().map(|&column| column.to_owned()).collect(),
            types: types.iter().map(|&(column, of)| (column.to_owned(), of.to_owned())).collect(),
            file: None,
        };
        assert_eq!(plain(&[], &[]).source("p"), "`p.d.t`");
        assert_eq!(plain(&["a", "b"], &[("b", "FLOAT64")]).source("p"), "(SELECT `a`, CAST(`b` AS FLOAT64) AS `b` FROM `p.d.t`)");
        assert_eq!(plain(&[], &[("b", "DATE")]).source("p"), "(SELECT * REPLACE (CAST(`b` AS DATE) AS `b`) FROM `p.d.t`)");
    }

    #[test]
    fn a_query_is_ready_when_all_that_it_reads_is_known() {
        let reads = |of: &[&str]| Try {
            query: String::new(),
            params: Map::new(),
            tables: of.iter().map(|&name| (name.to_owned(), Feed::Query(name.to_owned()))).collect(),
        };
        let queries = [("a", reads(&[])), ("b", reads(&["a"])), ("c", reads(&["b", "elsewhere"]))];
        let tries = Tries { queries: queries.into_iter().map(|(name, query)| (name.to_owned(), query)).collect() };
        let ready = |known: &Known<u8>| known.ready(&tries).into_iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let mut known = Known::default();
        assert_eq!(ready(&known), ["a"]);
        known.take("a", Tried::default(), Some(1));
        assert_eq!((ready(&known), known.waits(&tries.queries["b"])), (vec!["b".to_owned()], None));
        known.take("b", Tried::default(), None);
        assert_eq!((ready(&known), known.waits(&tries.queries["c"])), (vec!["c".to_owned()], Some("b".to_owned())));
    }
}
