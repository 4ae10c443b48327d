//! Owns the views of a workspace's own dataset that people ask. Invariant: a view's label is the digest of what it said when cbi wrote it, so one that
//! somebody else made or changed is known as such, and a view is changed only as it was looked at.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::base::digest::Digest;
use crate::engine::bigquery::dataset::{Dataset, mark};
use crate::engine::bigquery::fault::BigQueryError;
use crate::engine::bigquery::pages::pages;
use crate::engine::bigquery::rest::{Rest, if_any};

/// The label with the digest of what a view says.
const SAYS: &str = "cbi_view";
/// The label with the workspace that keeps a view.
const KEPT_BY: &str = "cbi_workspace";

/// The most characters of a label.
const LABEL: usize = 63;

/// A view.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Its name in the dataset.
    pub name: String,
    /// Its query.
    pub query: String,
    /// A sentence for people.
    pub description: String,
}

/// How a view stands that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// There is none.
    Absent,
    /// It is as it is wanted.
    Same,
    /// It is as cbi wrote it, and says something else.
    Differs,
    /// Somebody else made it, or changed it since.
    ByHand,
    /// There is something else of that name: what BigQuery calls it.
    Taken(String),
}

impl View {
    /// The digest of what it says, as far as a label holds it.
    #[must_use]
    pub fn says(&self) -> String {
        mark(&Digest::derive("cbi 1 view", format!("{}\0{}", self.query, self.description).as_bytes()).to_string())
    }

    fn body(&self, kept_by: &str) -> Value {
        json!({
            "view": { "query": self.query, "useLegacySql": false }, "description": self.description,
            "labels": { SAYS: self.says(), KEPT_BY: label(kept_by) },
        })
    }

    /// How it stands there, and the etag of what was looked at.
    ///
    /// # Errors
    /// When BigQuery does not tell.
    pub async fn look(&self, rest: &Rest, own: &Dataset) -> Result<(Standing, String), BigQueryError> {
        let Some(found) = own.look(rest, &self.name).await? else { return Ok((Standing::Absent, String::new())) };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if found["type"] != "VIEW" {
            return Ok((Standing::Taken(text(&found["type"]).to_lowercase()), String::new()));
        }
        let there = Self { name: self.name.clone(), query: text(&found["view"]["query"]), description: text(&found["description"]) };
        let standing = match text(&found["labels"][SAYS]) {
            label if label != there.says() => Standing::ByHand,
            label if label == self.says() => Standing::Same,
            _ => Standing::Differs,
        };
        Ok((standing, text(&found["etag"])))
    }

    /// Makes it.
    ///
    /// # Errors
    /// When BigQuery refuses it, or there is something of that name by now.
    pub async fn make(&self, rest: &Rest, own: &Dataset, kept_by: &str) -> Result<(), BigQueryError> {
        let mut body = self.body(kept_by);
        body["tableReference"] = own.reference(&self.name);
        let what = format!("make the view {}", own.whole(&self.name));
        rest.post(&own.tables(), &body, &what).await.map(|_| ())
    }

    /// Changes it into what is wanted, if it is still as it was looked at.
    ///
    /// # Errors
    /// When BigQuery refuses it, or somebody else changed it since.
    pub async fn change(&self, rest: &Rest, own: &Dataset, kept_by: &str, etag: &str) -> Result<(), BigQueryError> {
        let what = format!("change the view {}", own.whole(&self.name));
        rest.patch_if(&own.table(&self.name), &self.body(kept_by), etag, &what).await.map(|_| ())
    }
}

/// The names of the views that a workspace keeps; `None` where there is no such dataset.
///
/// # Errors
/// When BigQuery does not tell.
pub async fn kept(rest: &Rest, own: &Dataset, by: &str) -> Result<Option<Vec<String>>, BigQueryError> {
    let what = format!("list the tables of {}.{}", own.project, own.name);
    let Some(listed) = if_any(pages(rest, &own.tables(), "tables", &what).await)? else { return Ok(None) };
    let is_kept = |entry: &&Value| {
        let labels = &entry["labels"];
        entry["type"] == "VIEW" && labels[SAYS].is_string() && labels[KEPT_BY] == label(by)
    };
    let name = |entry: &Value| entry["tableReference"]["tableId"].as_str().map(str::to_owned);
    Ok(Some(listed.iter().filter(is_kept).filter_map(name).collect()))
}

/// A workspace's name as a label's value.
fn label(name: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c.to_ascii_lowercase() } else { '_' };
    name.chars().map(letter).take(LABEL).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_view_says_is_its_query_and_its_sentence() {
        let view = |query: &str, description: &str| View { name: "v".into(), query: query.into(), description: description.into() }.says();
        assert_eq!(view("a", "b"), view("a", "b"));
        assert!(view("a", "b") != view("ab", "") && view("a", "b") != view("a", "c"));
        assert_eq!(label("Soy oil – 2"), "soy_oil___2");
    }
}
