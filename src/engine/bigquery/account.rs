//! Owns how a BigQuery project is reached. Invariant: it names where a secret is found and never holds one, so it may be written down.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Google's own address of the REST interface.
pub const ENDPOINT: &str = "https://bigquery.googleapis.com";
/// Google's own address of the Storage interface, which rows are read through.
pub const STORAGE_ENDPOINT: &str = "https://bigquerystorage.googleapis.com";

/// A project, who asks, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The project that the tables are in.
    pub project: String,
    /// The project that pays for reading and querying.
    pub billing_project: String,
    /// The address of the REST interface.
    pub endpoint: String,
    /// The address of the Storage interface.
    pub storage_endpoint: String,
    /// Where access tokens come from.
    pub credentials: Credentials,
}

/// Where access tokens come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Credentials {
    /// Nowhere: for servers that ask for none.
    None,
    /// What `gcloud auth application-default login` left, a file named by `GOOGLE_APPLICATION_CREDENTIALS`, or the machine's own account.
    ApplicationDefault {
        /// The file; none for the machine's own account.
        file: Option<PathBuf>,
    },
    /// A program that prints a token.
    Command {
        /// The program and its arguments.
        command: Vec<String>,
    },
}
