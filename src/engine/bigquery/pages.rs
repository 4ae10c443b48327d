//! Owns lists that BigQuery gives in pages. Invariant: all pages are taken, or none.

use serde_json::Value;

use crate::engine::bigquery::fault::BigQueryError;
use crate::engine::bigquery::rest::Rest;

/// Every item of a list of resources.
///
/// # Errors
/// When BigQuery does not tell.
pub async fn pages(rest: &Rest, path: &str, items: &str, what: &str) -> Result<Vec<Value>, BigQueryError> {
    all(rest, path, &[("maxResults", "1000")], items, what).await
}

/// Every row of a table, as the REST interface tells it; moments are microseconds since 1970. It runs no query.
///
/// # Errors
/// When BigQuery does not tell.
pub async fn rows(rest: &Rest, table: &str, what: &str) -> Result<Vec<Value>, BigQueryError> {
    let query = [("formatOptions.useInt64Timestamp", "true"), ("maxResults", "10000")];
    all(rest, &format!("{table}/data"), &query, "rows", what).await
}

async fn all(rest: &Rest, path: &str, query: &[(&str, &str)], items: &str, what: &str) -> Result<Vec<Value>, BigQueryError> {
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let next = (!token.is_empty()).then_some(("pageToken", token.as_str()));
        let query: Vec<(&str, &str)> = query.iter().copied().chain(next).collect();
        let mut page = rest.get(path, &query, what).await?;
        if let Some(Value::Array(found)) = page.get_mut(items).map(Value::take) {
            all.extend(found);
        }
        // Lists of resources call it the one, rows of a table the other.
        match ["nextPageToken", "pageToken"].iter().find_map(|key| page[*key].as_str()) {
            Some(next) if !next.is_empty() => next.clone_into(&mut token),
            _ => return Ok(all),
        }
    }
}
