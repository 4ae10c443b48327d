//! Owns how an object is put into a bucket of Google's: over the JSON interface, for no server that stands in for GCS takes a write of the XML one.
//! Invariant: every put says "if there is none of this name" to the server.

use std::error::Error as _;
use std::time::Duration;

use object_store::gcp::GcpCredentialProvider;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

use crate::io::retry;

/// Google's own address.
pub const ENDPOINT: &str = "https://storage.googleapis.com";

/// Puts objects into one bucket.
#[derive(Debug)]
pub struct Uploads {
    http: Client,
    /// Where objects of the bucket are sent.
    url: String,
    /// Where tokens come from; none where the server asks for none.
    credentials: Option<GcpCredentialProvider>,
}

/// A put that failed for good.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The server refused, or was busy to the end.
    #[error("the server answered {status}: {said}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it said.
        said: String,
    },
    /// No answer came.
    #[error("no answer: {why}")]
    Unreachable {
        /// The deepest cause.
        why: String,
    },
    /// There is no token to send.
    #[error("there is no access token")]
    NoToken(#[source] object_store::Error),
}

/// One answer.
enum Answer {
    Put,
    Exists,
    /// Whether another try may do, and how long the server asks to wait.
    Failed(UploadError, bool, Option<Duration>),
}

impl Uploads {
    /// Puts into `bucket` at `endpoint`.
    ///
    /// # Errors
    /// When there are no certificates to trust.
    pub fn new(endpoint: &str, bucket: &str, credentials: Option<GcpCredentialProvider>, timeout: Duration) -> Result<Self, UploadError> {
        let http = Client::builder().connect_timeout(Duration::from_secs(5)).timeout(timeout).build();
        let http = http.map_err(|error| unreachable(&error))?;
        Ok(Self { http, url: format!("{}/upload/storage/v1/b/{bucket}/o", endpoint.trim_end_matches('/')), credentials })
    }

    /// Puts an object where there is none of its name; says whether it did. It is sent again where it may pass, so one whose answer was lost is told
    /// that it did not.
    ///
    /// # Errors
    /// When it is refused, or no answer comes, however often it is sent.
    pub async fn put_if_absent(&self, name: &str, bytes: &[u8]) -> Result<bool, UploadError> {
        let boundary = format!("{:032x}", fastrand::u128(..));
        let kind = format!("multipart/related; boundary={boundary}");
        // ifGenerationMatch=0: https://cloud.google.com/storage/docs/request-preconditions
        let query = [("uploadType", "multipart"), ("ifGenerationMatch", "0")];
        let request = self.http.post(&self.url).query(&query).header("content-type", kind).body(parts(&boundary, name, bytes));
        let mut attempt = 1;
        loop {
            let again = request.try_clone().ok_or_else(|| UploadError::Unreachable { why: "it cannot be sent again".into() })?;
            match self.once(again).await? {
                Answer::Put => return Ok(true),
                Answer::Exists => return Ok(false),
                Answer::Failed(error, may_pass, after) => {
                    if !(may_pass && retry::again(&mut attempt, after).await) {
                        return Err(error);
                    }
                }
            }
        }
    }

    async fn once(&self, mut request: RequestBuilder) -> Result<Answer, UploadError> {
        if let Some(credentials) = &self.credentials {
            let credential = credentials.get_credential().await.map_err(UploadError::NoToken)?;
            request = request.bearer_auth(&credential.bearer);
        }
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return Ok(Answer::Failed(unreachable(&error), true, None)),
        };
        let status = answer.status().as_u16();
        let header = answer.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let after = header.and_then(retry::asked);
        // The status says it all where it went well; an answer that is cut after it is as good.
        let text = answer.text().await.unwrap_or_default();
        let told: Value = serde_json::from_str(&text).unwrap_or_default();
        let reason = told["error"]["errors"][0]["reason"].as_str().unwrap_or_default();
        Ok(match status {
            200..300 => Answer::Put,
            412 => Answer::Exists,
            _ => {
                let said = told["error"]["message"].as_str().unwrap_or(&text).trim().to_owned();
                Answer::Failed(UploadError::Refused { status, said }, retry::may_pass(status, reason), after)
            }
        })
    }
}

/// A body of two parts: <https://cloud.google.com/storage/docs/uploading-objects#uploading-an-object>.
fn parts(boundary: &str, name: &str, bytes: &[u8]) -> Vec<u8> {
    let resource = json!({ "name": name, "contentType": "application/octet-stream" });
    let head = format!("--{boundary}\r\ncontent-type: application/json; charset=UTF-8\r\n\r\n{resource}\r\n--{boundary}\r\n");
    let tail = format!("\r\n--{boundary}--\r\n");
    [head.as_bytes(), b"content-type: application/octet-stream\r\n\r\n", bytes, tail.as_bytes()].concat()
}

/// The deepest cause says what happened; what lies above it only that something did.
fn unreachable(error: &reqwest::Error) -> UploadError {
    let mut why = error.to_string();
    let mut source = error.source();
    while let Some(deeper) = source {
        why = deeper.to_string();
        source = deeper.source();
    }
    UploadError::Unreachable { why }
}
