//! Owns the names of a table that is delivered into, and of those that go with it. Invariant: two tables share none of them.

use serde_json::{Value, json};

/// How the names of our own tables begin, each in the dataset of the table it goes with.
pub const LEDGER: &str = "_cbi_ledger_";
const STAGING: &str = "_cbi_staging_";

/// A table of BigQuery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The project.
    pub project: String,
    /// The dataset.
    pub dataset: String,
    /// The table.
    pub table: String,
}

impl Place {
    /// The table `dataset.table` of a project; `None` where the name is no such.
    #[must_use]
    pub fn of(project: &str, name: &str) -> Option<Self> {
        let (dataset, table) = name.split_once('.')?;
        Some(Self { project: project.to_owned(), dataset: dataset.to_owned(), table: table.to_owned() })
    }

    fn beside(&self, table: String) -> Self {
        Self { table, ..self.clone() }
    }

    /// The table of its deliveries.
    #[must_use]
    pub fn ledger(&self) -> Self {
        self.beside(format!("{LEDGER}{}", self.table))
    }

    /// The table that the rows of one delivery are loaded into first. `mark` tells deliveries apart, those into other tables included.
    #[must_use]
    pub fn staging(&self, mark: &str, sequence: u64) -> Self {
        self.beside(format!("{STAGING}{mark}_{sequence}"))
    }

    /// As SQL has it.
    #[must_use]
    pub fn quoted(&self) -> String {
        format!("`{}.{}.{}`", self.project, self.dataset, self.table)
    }

    /// As the REST interface has it.
    #[must_use]
    pub fn reference(&self) -> Value {
        json!({ "projectId": self.project, "datasetId": self.dataset, "tableId": self.table })
    }

    /// The path of the dataset's tables.
    #[must_use]
    pub fn tables(&self) -> String {
        format!("{}/tables", self.in_dataset())
    }

    /// The path of the dataset.
    #[must_use]
    pub fn in_dataset(&self) -> String {
        format!("projects/{}/datasets/{}", self.project, self.dataset)
    }

    /// The path of the table.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}/{}", self.tables(), self.table)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.project, self.dataset, self.table)
    }
}
