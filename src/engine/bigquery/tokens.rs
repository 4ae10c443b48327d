//! Owns access tokens. Invariant: a token is in memory and in requests, and nowhere else.

use std::path::Path;

use gcp_bigquery_client::yup_oauth2::authenticator::{ApplicationDefaultCredentialsTypes, DefaultAuthenticator};
use gcp_bigquery_client::yup_oauth2::{
    self as oauth, ApplicationDefaultCredentialsAuthenticator, ApplicationDefaultCredentialsFlowOpts, AuthorizedUserAuthenticator,
    ServiceAccountAuthenticator,
};
use serde::Deserialize;

use crate::engine::bigquery::account::Credentials;
use crate::engine::bigquery::fault::BigQueryError;
use crate::io::{fs, process};

/// What tokens may be used for: queries and tables, and the bucket that models are exported to.
const SCOPES: [&str; 2] = ["https://www.googleapis.com/auth/bigquery", "https://www.googleapis.com/auth/devstorage.read_write"];

/// A source of tokens.
pub enum Tokens {
    /// No token is sent.
    None,
    /// Google's own ways, which renew a token before it runs out.
    Google(Box<DefaultAuthenticator>),
    /// What a program printed, for as long as this process lives: an action takes less than the hour that a token lasts.
    Printed(String),
}

/// The beginning of a credentials file.
#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: String,
}

impl Tokens {
    /// Opens the source; asks nobody yet, but for a program, which is run with the variables `env`.
    ///
    /// # Errors
    /// When a file cannot be read or is of no known form, or the program fails.
    pub async fn open(credentials: &Credentials, env: &[(String, String)]) -> Result<Self, BigQueryError> {
        match credentials {
            Credentials::None => Ok(Self::None),
            Credentials::Command { command } => print(command, env).map(Self::Printed),
            Credentials::ApplicationDefault { file: Some(file) } => of_file(file).await,
            Credentials::ApplicationDefault { file: None } => {
                let options = ApplicationDefaultCredentialsFlowOpts::default();
                match ApplicationDefaultCredentialsAuthenticator::builder(options).await {
                    ApplicationDefaultCredentialsTypes::InstanceMetadata(account) => account.build().await,
                    ApplicationDefaultCredentialsTypes::ServiceAccount(account) => account.build().await,
                }
                .map(|google| Self::Google(Box::new(google)))
                .map_err(|error| no_token(&error))
            }
        }
    }

    /// A token to send; `None` where none is sent.
    ///
    /// # Errors
    /// When Google gives none.
    pub async fn get(&self) -> Result<Option<String>, BigQueryError> {
        match self {
            Self::None => Ok(None),
            Self::Printed(token) => Ok(Some(token.clone())),
            Self::Google(google) => {
                let token = google.token(&SCOPES).await.map_err(|error| no_token(&error))?;
                Ok(token.token().map(str::to_owned))
            }
        }
    }
}

async fn of_file(file: &Path) -> Result<Tokens, BigQueryError> {
    let bytes = fs::read(file).map_err(|error| no_token(&error))?;
    let in_file = |why: String| BigQueryError::NoToken { why: format!("{}: {why}", file.display()) };
    // What a reader says of a file with secrets may quote it; its own words are not told.
    let unread = || in_file("it is no credentials file that Google's tools write".into());
    let Kind { kind } = serde_json::from_slice(&bytes).map_err(|_| unread())?;
    let built = match kind.as_str() {
        "service_account" => {
            ServiceAccountAuthenticator::builder(oauth::parse_service_account_key(&bytes).map_err(|_| unread())?).build().await
        }
        "authorized_user" => AuthorizedUserAuthenticator::builder(serde_json::from_slice(&bytes).map_err(|_| unread())?).build().await,
        other => return Err(in_file(format!("credentials of type '{other}' are not supported; a service account's or a user's are"))),
    };
    built.map(|google| Tokens::Google(Box::new(google))).map_err(|error| in_file(error.to_string()))
}

/// The first line that the program prints.
fn print(command: &[String], env: &[(String, String)]) -> Result<String, BigQueryError> {
    let printed = process::output(command, env).map_err(|why| BigQueryError::NoToken { why: format!("token_command: {why}") })?;
    let token = String::from_utf8_lossy(&printed).lines().next().unwrap_or_default().trim().to_owned();
    let sound = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    if sound { Ok(token) } else { Err(BigQueryError::NoToken { why: "token_command printed no token on its first line".into() }) }
}

fn no_token(error: &dyn std::error::Error) -> BigQueryError {
    BigQueryError::NoToken { why: error.to_string() }
}
