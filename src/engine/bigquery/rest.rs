//! Owns requests to BigQuery's REST interface. Invariant: a request that may pass later is repeated, with waits between; any other failure is
//! told at once, and no error holds a token.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::Value;

use crate::engine::bigquery::account::Account;
use crate::engine::bigquery::charges::Charges;
use crate::engine::bigquery::fault::{BigQueryError, refused};
use crate::engine::bigquery::tokens::Tokens;
use crate::io::retry;

/// How long one answer may take to begin.
const PATIENCE: Duration = Duration::from_mins(2);

/// A client of one account.
pub struct Rest {
    http: Client,
    tokens: Arc<Tokens>,
    base: String,
    charges: Option<Charges>,
}

impl Rest {
    /// A client that asks as this account.
    ///
    /// # Errors
    /// When there are no certificates to trust.
    pub fn open(account: &Account, tokens: impl Into<Arc<Tokens>>) -> Result<Self, BigQueryError> {
        let base = account.endpoint.trim_end_matches('/').to_owned();
        let http = Client::builder().connect_timeout(Duration::from_secs(20)).read_timeout(PATIENCE).build();
        let http = http.map_err(|error| unreachable(&base, &error))?;
        Ok(Self { http, tokens: tokens.into(), base, charges: None })
    }

    /// The same client, which writes down what its jobs are charged for.
    #[must_use]
    pub fn charged_to(self, charges: Option<Charges>) -> Self {
        Self { charges, ..self }
    }

    /// Where it is written down what jobs are charged for.
    #[must_use]
    pub fn charges(&self) -> Option<&Charges> {
        self.charges.as_ref()
    }

    /// Asks for a resource, for example `projects/p/datasets`.
    ///
    /// # Errors
    /// When BigQuery refuses or cannot be reached; `what` says in the error what was asked.
    pub async fn get(&self, path: &str, query: &[(&str, &str)], what: &str) -> Result<Value, BigQueryError> {
        self.call(Method::GET, &self.url(path), query, &Content::None, what).await.and_then(|bytes| json_of(&bytes, what))
    }

    /// Asks another of Google's interfaces, at its whole address, for bytes.
    ///
    /// # Errors
    /// When it refuses or cannot be reached; `what` says in the error what was asked.
    pub async fn fetch(&self, url: &str, query: &[(&str, &str)], what: &str) -> Result<Vec<u8>, BigQueryError> {
        self.call(Method::GET, url, query, &Content::None, what).await
    }

    /// Sends a resource.
    ///
    /// # Errors
    /// When BigQuery refuses or cannot be reached; `what` says in the error what was asked.
    pub async fn post(&self, path: &str, body: &Value, what: &str) -> Result<Value, BigQueryError> {
        self.call(Method::POST, &self.url(path), &[], &Content::Resource(body), what).await.and_then(|bytes| json_of(&bytes, what))
    }

    /// Changes a part of a resource.
    ///
    /// # Errors
    /// When BigQuery refuses or cannot be reached; `what` says in the error what was asked.
    pub async fn patch(&self, path: &str, body: &Value, what: &str) -> Result<Value, BigQueryError> {
        self.call(Method::PATCH, &self.url(path), &[], &Content::Resource(body), what).await.and_then(|bytes| json_of(&bytes, what))
    }

    /// Changes a part of a resource, if it still has this etag.
    ///
    /// # Errors
    /// When it was changed meanwhile (412), BigQuery refuses or cannot be reached; `what` says in the error what was asked.
    pub async fn patch_if(&self, path: &str, body: &Value, etag: &str, what: &str) -> Result<Value, BigQueryError> {
        self.call(Method::PATCH, &self.url(path), &[], &Content::Change(body, etag), what).await.and_then(|bytes| json_of(&bytes, what))
    }

    /// Removes a resource.
    ///
    /// # Errors
    /// When BigQuery refuses or cannot be reached, or there is none (404): also when it was removed, and the answer was lost.
    pub async fn delete(&self, path: &str, what: &str) -> Result<(), BigQueryError> {
        self.call(Method::DELETE, &self.url(path), &[], &Content::None, what).await.map(|_| ())
    }

    /// Sends a resource together with the bytes that it is about: a load job and its file.
    ///
    /// # Errors
    /// When BigQuery refuses or cannot be reached; `what` says in the error what was asked.
    pub async fn upload(&self, path: &str, body: &Value, bytes: &[u8], what: &str) -> Result<Value, BigQueryError> {
        let url = format!("{}/upload/bigquery/v2/{path}", self.base);
        let query = [("uploadType", "multipart")];
        self.call(Method::POST, &url, &query, &Content::Upload(body, bytes), what).await.and_then(|bytes| json_of(&bytes, what))
    }

    /// The server's clock, in milliseconds since 1970, cut to whole seconds: never ahead of the server, whatever this machine's clock says.
    ///
    /// # Errors
    /// When it cannot be asked, or does not say.
    pub async fn server_time_ms(&self) -> Result<i64, BigQueryError> {
        let what = "tell the time";
        let mut attempt = 1;
        loop {
            let answer = self.http.get(format!("{}/", self.base)).send().await;
            let error = match answer {
                Ok(answer) => {
                    let header = answer.headers().get("date").and_then(|value| value.to_str().ok()).unwrap_or_default();
                    let time = chrono::DateTime::parse_from_rfc2822(header);
                    return time
                        .map(|time| time.timestamp_millis())
                        .map_err(|error| BigQueryError::Answer { what: what.to_owned(), why: format!("its Date is '{header}': {error}") });
                }
                Err(error) => unreachable(&self.base, &error),
            };
            if !retry::again(&mut attempt, None).await {
                return Err(error);
            }
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}/bigquery/v2/{path}", self.base)
    }

    async fn call(
        &self,
        method: Method,
        url: &str,
        query: &[(&str, &str)],
        content: &Content<'_>,
        what: &str,
    ) -> Result<Vec<u8>, BigQueryError> {
        let mut attempt = 1;
        loop {
            let error = match self.once(method.clone(), url, query, content, what).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let (may_pass, after) = match &error {
                BigQueryError::Unreachable { .. } => (true, None),
                BigQueryError::Refused { status, reason, after, .. } => (retry::may_pass(*status, reason), *after),
                _ => (false, None),
            };
            if !(may_pass && retry::again(&mut attempt, after).await) {
                return Err(error);
            }
        }
    }

    async fn once(
        &self,
        method: Method,
        url: &str,
        query: &[(&str, &str)],
        content: &Content<'_>,
        what: &str,
    ) -> Result<Vec<u8>, BigQueryError> {
        let lost = |error: &reqwest::Error| unreachable(origin(url), error);
        let mut request = self.http.request(method, url).query(query);
        if let Some(token) = self.tokens.get().await? {
            request = request.bearer_auth(token);
        }
        request = match content {
            Content::None => request,
            Content::Resource(body) => request.json(body),
            Content::Change(body, etag) => request.header("if-match", *etag).json(body),
            Content::Upload(body, bytes) => {
                let boundary = format!("{:032x}", fastrand::u128(..));
                let kind = format!("multipart/related; boundary={boundary}");
                request.header("content-type", kind).body(parts(&boundary, body, bytes))
            }
        };
        let answer = request.send().await.map_err(|error| lost(&error))?;
        let status = answer.status();
        let header = answer.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let after = header.and_then(retry::asked);
        let bytes = answer.bytes().await.map_err(|error| lost(&error))?;
        if !status.is_success() {
            return Err(refused(what, status.as_u16(), &String::from_utf8_lossy(&bytes), after));
        }
        Ok(bytes.into())
    }
}

/// What an answer says; nothing where it is empty.
fn json_of(bytes: &[u8], what: &str) -> Result<Value, BigQueryError> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(bytes).map_err(|error| BigQueryError::Answer { what: what.to_owned(), why: error.to_string() })
}

/// The server of an address, as the settings name it.
fn origin(url: &str) -> &str {
    let server = url.find("://").map_or(0, |at| at + 3);
    url[server..].find('/').map_or(url, |path| &url[..server + path])
}

/// What a request carries.
enum Content<'a> {
    None,
    Resource(&'a Value),
    /// A resource that is to replace the one with this etag.
    Change(&'a Value, &'a str),
    /// A resource, and the bytes that go with it.
    Upload(&'a Value, &'a [u8]),
}

/// A body of two parts: <https://cloud.google.com/bigquery/docs/reference/api-uploads#multipart>.
fn parts(boundary: &str, resource: &Value, bytes: &[u8]) -> Vec<u8> {
    let head = format!("--{boundary}\r\ncontent-type: application/json; charset=UTF-8\r\n\r\n{resource}\r\n--{boundary}\r\n");
    let tail = format!("\r\n--{boundary}--\r\n");
    [head.as_bytes(), b"content-type: application/octet-stream\r\n\r\n", bytes, tail.as_bytes()].concat()
}

/// What was found; `None` where the server says that it is not there.
///
/// # Errors
/// The other ones.
pub fn if_any<T>(found: Result<T, BigQueryError>) -> Result<Option<T>, BigQueryError> {
    match found {
        Err(BigQueryError::Refused { status: 404, .. }) => Ok(None),
        found => found.map(Some),
    }
}

/// The deepest cause says what happened; what lies above it only that something did.
fn unreachable(base: &str, error: &reqwest::Error) -> BigQueryError {
    let mut deepest: &dyn Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    BigQueryError::Unreachable { address: base.to_owned(), why: deepest.to_string() }
}
