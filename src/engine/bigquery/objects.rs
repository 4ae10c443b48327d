//! Owns reading a bucket through Cloud Storage's JSON interface. Invariant: names come back as the bucket has them; what is read is what is there now.

use reqwest::Url;
use serde_json::Value;

use crate::engine::bigquery::fault::BigQueryError;
use crate::engine::bigquery::rest::Rest;

/// Google's own address of the interface.
pub const ENDPOINT: &str = "https://storage.googleapis.com";

/// The names of all objects that begin so.
///
/// # Errors
/// When the bucket cannot be listed.
pub async fn list(rest: &Rest, endpoint: &str, bucket: &str, prefix: &str) -> Result<Vec<String>, BigQueryError> {
    let what = format!("list gs://{bucket}/{prefix}");
    let url = address(endpoint, &["storage", "v1", "b", bucket, "o"], &what)?;
    let (mut names, mut token) = (Vec::new(), String::new());
    loop {
        let query = [("prefix", prefix), ("pageToken", token.as_str())];
        let query = if token.is_empty() { &query[..1] } else { &query[..] };
        let bytes = rest.fetch(&url, query, &what).await?;
        let page: Value = serde_json::from_slice(&bytes).map_err(|error| odd(&what, &error.to_string()))?;
        let items = page["items"].as_array().into_iter().flatten();
        names.extend(items.filter_map(|item| item["name"].as_str()).map(str::to_owned));
        match page["nextPageToken"].as_str() {
            Some(next) if !next.is_empty() => next.clone_into(&mut token),
            _ => return Ok(names),
        }
    }
}

/// An object's bytes.
///
/// # Errors
/// When it cannot be read.
pub async fn read(rest: &Rest, endpoint: &str, bucket: &str, object: &str) -> Result<Vec<u8>, BigQueryError> {
    let what = format!("read gs://{bucket}/{object}");
    let url = address(endpoint, &["storage", "v1", "b", bucket, "o", object], &what)?;
    rest.fetch(&url, &[("alt", "media")], &what).await
}

/// The address of a resource; a `/` inside a name is not one of the path.
fn address(endpoint: &str, path: &[&str], what: &str) -> Result<String, BigQueryError> {
    let mut url = Url::parse(endpoint).map_err(|error| odd(what, &format!("'{endpoint}' is no address: {error}")))?;
    let segments = url.path_segments_mut().map(|mut segments| _ = segments.pop_if_empty().extend(path));
    segments.map_err(|()| odd(what, &format!("'{endpoint}' is no address")))?;
    Ok(url.into())
}

fn odd(what: &str, why: &str) -> BigQueryError {
    BigQueryError::Answer { what: what.to_owned(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_in_an_objects_name_is_part_of_the_name() {
        let url = address("http://127.0.0.1:9/", &["storage", "v1", "b", "models", "o", "cbi/a b/model.bst"], "").unwrap();
        assert_eq!(url, "http://127.0.0.1:9/storage/v1/b/models/o/cbi%2Fa%20b%2Fmodel.bst");
    }
}
