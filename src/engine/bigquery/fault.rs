//! Owns what can go wrong with BigQuery, and the way out of it. Invariant: no text of an error holds a token.

use std::time::Duration;

use serde::Deserialize;

use crate::base::clock;
use crate::io::fs::FsError;

/// A request that BigQuery did not fulfil.
#[derive(Debug, thiserror::Error)]
pub enum BigQueryError {
    /// There is no token.
    #[error("no access token: {why}")]
    NoToken {
        /// Why.
        why: String,
    },
    /// Nobody answers, or the line breaks.
    #[error("BigQuery at {address} cannot be reached: {why}")]
    Unreachable {
        /// The server's address.
        address: String,
        /// What the client says.
        why: String,
    },
    /// It answers with an error.
    #[error("BigQuery refuses to {what} (HTTP {status}{}{reason}): {message}", if reason.is_empty() { "" } else { ", " })]
    Refused {
        /// What was asked, for example `read the table p.d.t`.
        what: String,
        /// The HTTP status.
        status: u16,
        /// Google's word for it, for example `accessDenied`.
        reason: String,
        /// What it says.
        message: String,
        /// How long it wants to be left alone.
        after: Option<Duration>,
    },
    /// The Storage interface answers with an error.
    #[error("reading {table} was ended by BigQuery ({code}): {message}")]
    Stream {
        /// The table.
        table: String,
        /// The gRPC code.
        code: String,
        /// What it says.
        message: String,
    },
    /// A job ended with an error.
    #[error("BigQuery could not {what} ({reason}): {message}")]
    Job {
        /// What was asked.
        what: String,
        /// Google's word for it, for example `invalidQuery`.
        reason: String,
        /// What it says.
        message: String,
        /// The job's id, for the console; empty where there was none.
        job: String,
    },
    /// Nothing is left for a query.
    #[error("the queries before it used up this build's budget, or this target's")]
    Spent,
    /// What a job was charged for cannot be written down.
    #[error("what was charged for cannot be written down")]
    Unwritten {
        /// What the disk says.
        source: FsError,
    },
    /// A job that does not end.
    #[error("BigQuery was asked to {what} and did not end within {} s; the job {job} was cancelled", patience.as_secs())]
    Stuck {
        /// What was asked.
        what: String,
        /// The job's id, for the console.
        job: String,
        /// How long it was waited for.
        patience: Duration,
    },
    /// It answers something else than its reference says.
    #[error("BigQuery's answer when asked to {what} is not understood: {why}")]
    Answer {
        /// What was asked.
        what: String,
        /// What is odd about it.
        why: String,
    },
    /// A table that changed while it was read.
    #[error("the table {table} was changed while it was read: it was last modified at {before}, and now at {after}")]
    Changed {
        /// The table.
        table: String,
        /// Its time of change when the build pinned it, in milliseconds since 1970.
        before: String,
        /// Its time of change after reading.
        after: String,
    },
    /// The rows are not in the store, and nobody may be asked for them.
    #[error("the rows of {table} are not in the store any more, and --offline asks nobody")]
    Offline {
        /// The table.
        table: String,
    },
    /// An instant that BigQuery does not remember, or that has not been.
    #[error("{dataset} cannot be read as it was at {}: it is kept from {} to {}", moment(*asked_ms), moment(*from_ms), moment(*to_ms))]
    Window {
        /// The dataset, `project.dataset`.
        dataset: String,
        /// The instant, milliseconds since 1970.
        asked_ms: i64,
        /// The first instant that is remembered.
        from_ms: i64,
        /// Now, by the server's clock.
        to_ms: i64,
    },
    /// A view that cannot be computed as it was.
    #[error(
        "{view} is a view, and cannot be computed as it was: {base} was changed since, and BigQuery keeps the past of tables, not of views"
    )]
    Moved {
        /// The view.
        view: String,
        /// What changed.
        base: String,
    },
    /// A table that was there when the build looked at it.
    #[error("the table {table} is gone: it was there when this build looked at it")]
    Gone {
        /// The table.
        table: String,
    },
    /// A table, or a dataset, that is not there.
    #[error("BigQuery has no {what} {name}")]
    Missing {
        /// `table` or `dataset`.
        what: &'static str,
        /// Its name, with its project.
        name: String,
        /// The name there is that may have been meant.
        nearest: Option<String>,
    },
    /// A column that a recipe keeps, and that the table has not.
    #[error("the table {table} has no column '{column}'")]
    NoColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The column that may have been meant.
        nearest: Option<String>,
    },
    /// A column of a type that no table can hold.
    #[error("column '{column}' of {table} is of type {found}, which a table cannot hold")]
    Column {
        /// The table.
        table: String,
        /// The column; `outer.inner` where it is a part of one.
        column: String,
        /// BigQuery's name of the type.
        found: String,
        /// The columns that can be held.
        others: Vec<String>,
    },
    /// A kind of table that cannot be read.
    #[error("{table} is a {found}, which cannot be read yet")]
    Kind {
        /// The table.
        table: String,
        /// What BigQuery calls it.
        found: String,
    },
}

const SIGN_IN: &str = "the token has run out or is of another account: gcloud auth application-default login";

impl BigQueryError {
    /// The way out, where one is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoToken { why } if why.starts_with("token_command") => Some("run it by hand to see what it says".into()),
            Self::NoToken { .. } => Some("gcloud auth application-default login, or name a token_command in [bigquery] of cbi.toml".into()),
            Self::Unreachable { .. } => Some("the line may be down; --offline builds from the last versions that were read".into()),
            Self::Refused { status: 401, .. } => Some(SIGN_IN.into()),
            Self::Stream { code, .. } if code == "Unauthenticated" => Some(SIGN_IN.into()),
            Self::Refused { status: 403, reason, .. } if reason == "quotaExceeded" => {
                Some("a quota is used up; see IAM & Admin, Quotas, in the Google Cloud console, or wait until it is renewed".into())
            }
            Self::Refused { reason, .. } | Self::Job { reason, .. } if reason == "bytesBilledLimitExceeded" => Some(
                "raise max_bytes_billed in the recipe, or the budget in [bigquery] of cbi.toml; cbi plan shows what it would scan".into(),
            ),
            Self::Spent => Some("raise budget in [bigquery] of cbi.toml, or build again: each build has a budget of its own".into()),
            Self::Refused { status: 403, message, .. } => Some(grant(message)),
            Self::Stream { code, message, .. } if code == "PermissionDenied" => Some(grant(message)),
            Self::Refused { status: 409 | 412, .. } => Some("somebody else changed it at the same time; run this again".into()),
            Self::Missing { nearest, .. } | Self::NoColumn { nearest, .. } => {
                nearest.as_ref().map(|near| format!("did you mean '{near}'?"))
            }
            Self::Column { others, .. } => Some(format!("leave it out: columns = {others:?} in the table's stanza")),
            Self::Gone { .. } => Some("build again once it is there, or take it out of the recipe".into()),
            Self::Offline { .. } => Some("build without --offline".into()),
            Self::Moved { .. } => Some("read the tables that it stands on, and write the view's query as a target".into()),
            Self::Changed { .. } => Some("build again: the version that is there now will be read".into()),
            _ => None,
        }
    }
}

/// An instant as people write it.
fn moment(ms: i64) -> String {
    u64::try_from(ms).map_or_else(|_| format!("{ms} ms"), clock::rfc3339)
}

/// The way out of a refusal: the command that grants what is missing, where the refusal names it.
fn grant(message: &str) -> String {
    let Some((permission, role)) = permission(message) else { return "see docs/bigquery.md for the roles that are needed".into() };
    let project = project(message).unwrap_or("PROJECT");
    format!(
        "the permission {permission} is missing; who may grant it runs: gcloud projects add-iam-policy-binding {project} --member=MEMBER \
         --role={role}"
    )
}

/// The project that a refusal speaks of: `project p`, `projects/p`, or `p:dataset.table`.
fn project(message: &str) -> Option<&str> {
    let name = |text: &str| {
        let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).unwrap_or(text.len());
        (end > 0).then_some(end)
    };
    let after = ["projects/", "Project ", "project "].iter().find_map(|word| message.split_once(word).map(|(_, rest)| rest));
    let of_table = || message.split_whitespace().find(|word| word.split_once(':').is_some_and(|(_, rest)| rest.contains('.')));
    let text = after.or_else(of_table)?;
    name(text).map(|end| &text[..end])
}

/// The permission that a refusal names, and the narrowest role of Google's that holds it.
fn permission(message: &str) -> Option<(&str, &'static str)> {
    let word = message.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.')).find(|word| word.starts_with("bigquery."))?;
    let word = word.trim_end_matches('.');
    let role = match word {
        "bigquery.jobs.create" => "roles/bigquery.jobUser",
        word if word.starts_with("bigquery.readsessions.") => "roles/bigquery.readSessionUser",
        "bigquery.tables.get" | "bigquery.tables.list" | "bigquery.datasets.get" => "roles/bigquery.metadataViewer",
        "bigquery.tables.getData" => "roles/bigquery.dataViewer",
        "bigquery.datasets.create" => "roles/bigquery.user",
        word if word.starts_with("bigquery.tables.") || word.starts_with("bigquery.models.") => "roles/bigquery.dataEditor",
        _ => return None,
    };
    Some((word, role))
}

/// The body of an error, as the REST reference has it.
#[derive(Debug, Deserialize)]
struct Body {
    error: Inner,
}

#[derive(Debug, Deserialize)]
struct Inner {
    #[serde(default)]
    message: String,
    #[serde(default)]
    errors: Vec<Item>,
}

#[derive(Debug, Deserialize)]
struct Item {
    #[serde(default)]
    reason: String,
}

/// The error that an answer stands for. A body of another form (a proxy's page) is told by its beginning.
#[must_use]
pub fn refused(what: &str, status: u16, body: &str, after: Option<Duration>) -> BigQueryError {
    let (reason, message) = match serde_json::from_str::<Body>(body) {
        Ok(Body { error }) => (error.errors.into_iter().next().map(|item| item.reason).unwrap_or_default(), error.message),
        Err(_) => (String::new(), body.chars().take(200).collect()),
    };
    BigQueryError::Refused { what: what.to_owned(), status, reason, message, after }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_permission_is_named_with_the_command_that_grants_it() {
        let body = r#"{"error":{"code":403,"message":"Access Denied: Table p:d.t: Permission bigquery.tables.getData denied on table p:d.t (or it may not exist).","errors":[{"reason":"accessDenied"}]}}"#;
        let error = refused("read the table p.d.t", 403, body, None);
        assert!(error.to_string().starts_with("BigQuery refuses to read the table p.d.t (HTTP 403, accessDenied): Access Denied"));
        let hint = error.hint().unwrap();
        assert!(hint.contains("bigquery.tables.getData") && hint.contains("--role=roles/bigquery.dataViewer"), "{hint}");
    }

    #[test]
    fn the_command_names_the_project_that_the_refusal_speaks_of() {
        for (message, wanted) in [
            ("Access Denied: Project acme-1: User does not have bigquery.jobs.create permission in project acme-1.", "binding acme-1 "),
            ("the user does not have 'bigquery.readsessions.create' permission for 'projects/acme-1'", "binding acme-1 "),
            ("Permission bigquery.tables.get denied on table acme-1:d.t (or it may not exist).", "binding acme-1 "),
            ("Permission bigquery.tables.get denied", "binding PROJECT "),
            ("Permission bigquery.nothing.known denied", "see docs/bigquery.md"),
        ] {
            assert!(grant(message).contains(wanted), "{message}: {}", grant(message));
        }
    }

    #[test]
    fn refusals_of_rows_are_told_with_the_same_ways_out() {
        let refused = |code: &str, message: &str| {
            BigQueryError::Stream { table: "p.d.t".into(), code: code.into(), message: message.into() }.hint().unwrap_or_default()
        };
        let denied = "request failed: the user does not have 'bigquery.readsessions.create' permission for 'projects/acme-1'";
        assert!(refused("PermissionDenied", denied).ends_with("binding acme-1 --member=MEMBER --role=roles/bigquery.readSessionUser"));
        assert!(refused("Unauthenticated", "").contains("gcloud auth application-default login"));
        assert_eq!(refused("InvalidArgument", ""), "");
    }

    #[test]
    fn a_page_of_a_proxy_is_an_error_too() {
        let error = refused("list datasets", 502, "<html>Bad Gateway</html>", None);
        assert_eq!(error.to_string(), "BigQuery refuses to list datasets (HTTP 502): <html>Bad Gateway</html>");
    }
}
