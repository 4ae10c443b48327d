//! Owns a workspace's own dataset: the tables that its queries leave, and that they read from each other. Invariant: a table that is marked with the
//! digest of its rows holds these rows, whole, for as long as it is there.

use serde_json::{Value, json};

use crate::base::digest::{ActionKey, ManifestId};
use crate::engine::bigquery::fault::BigQueryError;
use crate::engine::bigquery::pages::pages;
use crate::engine::bigquery::rest::{Rest, if_any};

/// The label with the digest of a table's rows.
pub const ROWS: &str = "cbi_rows";
/// The label with the key of the action that made a table.
pub const KEY: &str = "cbi_key";

/// Digits of a digest in a label, whose values have at most 63 characters.
const MARK: usize = 32;
/// Digits of a digest at the end of a table's name.
const ENDING: usize = 16;

/// A dataset of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// The project.
    pub project: String,
    /// Its name there.
    pub name: String,
}

/// What stands in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the dataset.
    pub table: String,
    /// `TABLE`, `VIEW`, … as BigQuery calls it.
    pub kind: String,
    /// When it was made, milliseconds since 1970.
    pub created_ms: u64,
    /// The digest of its rows, as far as a label holds it.
    rows: Option<String>,
}

impl Entry {
    /// Whether it holds the rows of this artifact.
    #[must_use]
    pub fn holds(&self, rows: &ManifestId) -> bool {
        self.rows.as_deref() == Some(&mark(&rows.to_string()))
    }

    /// The beginnings of digests that say what it is for: the end of its name, and its label. Nothing of what cbi did not make.
    #[must_use]
    pub fn roots(&self) -> Vec<&str> {
        let ending = self.table.rsplit_once('_').map(|(_, ending)| ending);
        let ending = ending.filter(|ending| ending.len() == ENDING && ending.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match (self.kind.as_str(), ending) {
            ("TABLE", Some(ending)) => std::iter::once(ending).chain(self.rows.as_deref()).collect(),
            _ => Vec::new(),
        }
    }
}

/// A target's name as the beginning of a table's, or a workspace's as part of a dataset's.
#[must_use]
pub fn stem(target: &str) -> String {
    target.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// The name of the table that holds what the action of this key made for a target.
#[must_use]
pub fn table_of(target: &str, key: &ActionKey) -> String {
    named(target, &key.to_string())
}

/// The name of the table that rows are brought into.
#[must_use]
pub fn table_of_rows(target: &str, rows: &ManifestId) -> String {
    named(target, &rows.to_string())
}

fn named(target: &str, digest: &str) -> String {
    format!("{}_{}", stem(target), digest.chars().take(ENDING).collect::<String>())
}

/// As much of a digest as a label holds.
#[must_use]
pub fn mark(digest: &str) -> String {
    digest.chars().take(MARK).collect()
}

impl Dataset {
    /// The whole name of a table in it.
    #[must_use]
    pub fn whole(&self, table: &str) -> String {
        format!("{}.{}.{table}", self.project, self.name)
    }

    /// A table in it, as the REST reference refers to one.
    #[must_use]
    pub fn reference(&self, table: &str) -> Value {
        json!({ "projectId": self.project, "datasetId": self.name, "tableId": table })
    }

    fn path(&self) -> String {
        format!("projects/{}/datasets/{}", self.project, self.name)
    }

    /// The path of its tables, as the REST interface has it.
    #[must_use]
    pub fn tables(&self) -> String {
        format!("{}/tables", self.path())
    }

    /// The path of a table in it.
    #[must_use]
    pub fn table(&self, table: &str) -> String {
        format!("{}/{table}", self.tables())
    }

    /// What stands in it; `None` where there is no such dataset.
    ///
    /// # Errors
    /// When BigQuery does not tell.
    pub async fn entries(&self, rest: &Rest) -> Result<Option<Vec<Entry>>, BigQueryError> {
        let what = format!("list the tables of {}.{}", self.project, self.name);
        let Some(listed) = if_any(pages(rest, &self.tables(), "tables", &what).await)? else { return Ok(None) };
        let entry = |listed: &Value| Entry {
            table: text(&listed["tableReference"]["tableId"]),
            kind: text(&listed["type"]),
            created_ms: listed["creationTime"].as_str().and_then(|ms| ms.parse().ok()).unwrap_or_default(),
            rows: listed["labels"][ROWS].as_str().map(str::to_owned),
        };
        Ok(Some(listed.iter().map(entry).collect()))
    }

    /// Makes it, where it is not there.
    ///
    /// # Errors
    /// When BigQuery refuses.
    pub async fn create(&self, rest: &Rest, location: Option<&str>) -> Result<(), BigQueryError> {
        let reference = json!({ "projectId": self.project, "datasetId": self.name });
        let body =
            json!({ "datasetReference": reference, "location": location, "description": "Tables that cbi leaves; cbi gc drops them." });
        let what = format!("make the dataset {}.{}", self.project, self.name);
        match rest.post(&format!("projects/{}/datasets", self.project), &body, &what).await {
            Ok(_) | Err(BigQueryError::Refused { status: 409, .. }) => Ok(()),
            // Another step of the build may have made it at the same moment.
            Err(error) => rest.get(&self.path(), &[], &what).await.map(|_| ()).map_err(|_| error),
        }
    }

    /// Where it is, and its jobs run; made, where it is not there.
    ///
    /// # Errors
    /// When BigQuery refuses.
    pub async fn location(&self, rest: &Rest, wanted: Option<&str>) -> Result<Option<String>, BigQueryError> {
        let look = async || rest.get(&self.path(), &[], &format!("describe the dataset {}.{}", self.project, self.name)).await;
        let mut found = if_any(look().await)?;
        if found.is_none() {
            self.create(rest, wanted).await?;
            found = Some(look().await?);
        }
        Ok(found.and_then(|found| found["location"].as_str().map(str::to_owned)))
    }

    /// `configuration` of a job that puts the rows of a Parquet file in place of what a table in it holds.
    #[must_use]
    pub fn load(&self, table: &str) -> Value {
        json!({ "load": {
            "destinationTable": self.reference(table), "sourceFormat": "PARQUET", "writeDisposition": "WRITE_TRUNCATE",
            "parquetOptions": { "enableListInference": true },
        } })
    }

    /// What BigQuery says of a table; `None` where there is none.
    ///
    /// # Errors
    /// When BigQuery does not tell.
    pub async fn look(&self, rest: &Rest, table: &str) -> Result<Option<Value>, BigQueryError> {
        if_any(rest.get(&self.table(table), &[], &format!("describe the table {}", self.whole(table))).await)
    }

    /// Marks a table with labels and a sentence for people.
    ///
    /// # Errors
    /// When BigQuery refuses.
    pub async fn mark(&self, rest: &Rest, table: &str, labels: &Value, description: &str) -> Result<(), BigQueryError> {
        let body = json!({ "labels": labels, "description": description });
        rest.patch(&self.table(table), &body, &format!("mark the table {}", self.whole(table))).await.map(|_| ())
    }

    /// Drops a table; nothing where it is gone.
    ///
    /// # Errors
    /// When BigQuery refuses.
    pub async fn drop_table(&self, rest: &Rest, table: &str) -> Result<(), BigQueryError> {
        if_any(rest.delete(&self.table(table), &format!("drop the table {}", self.whole(table))).await).map(|_| ())
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::Digest;

    #[test]
    fn a_table_that_cbi_did_not_make_is_for_nothing_that_can_go() {
        let entry = |table: &str, kind: &str| Entry { table: table.into(), kind: kind.into(), created_ms: 0, rows: None };
        let key = ActionKey(Digest::of(b"x"));
        let own = entry(&table_of("wti.features", &key), "TABLE");
        assert!(own.table.starts_with("wti_features_"));
        assert_eq!(own.roots(), [&key.to_string()[..16]]);
        for (table, kind) in [("prices", "TABLE"), ("prices_2024", "TABLE"), (own.table.as_str(), "VIEW")] {
            assert!(entry(table, kind).roots().is_empty(), "{table}");
        }
    }
}
