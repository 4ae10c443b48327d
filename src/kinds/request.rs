//! Owns what one action is told and what it answers. Invariant: everything an action reads is named by its request; it writes its artifacts and its
//! response and nothing else.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::diagnostic::{ExitCode, in_one_line};
use crate::io::fs;
use crate::model::check::Verdict;

/// What the child is told to do: the content of the file named on its command line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The recipe kind.
    pub kind: String,
    /// The action's params, as its kind declared them.
    pub params: Value,
    /// Threads it may use.
    #[serde(default = "one")]
    pub threads: u32,
    /// The graphics adapter that it computes on, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    /// Input slot → the folder with that artifact's files (of a single file: the folder with that file alone).
    pub inputs: BTreeMap<String, PathBuf>,
    /// Input slot → the hash of what feeds it, as it stands in the action's key.
    #[serde(default)]
    pub digests: BTreeMap<String, String>,
    /// How to reach what lies outside the machine; in no key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<Value>,
    /// The folder that takes one folder for each artifact.
    pub out: PathBuf,
    /// The file that takes the response.
    pub response: PathBuf,
    /// A folder, perhaps not there yet, for what a second run of the same action may go on from: it is kept until the action has a result.
    #[serde(default)]
    pub scratch: Option<PathBuf>,
}

fn one() -> u32 {
    1
}

/// What the child answers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Response {
    /// Named numbers.
    pub metrics: BTreeMap<String, f64>,
    /// Sentences for people.
    pub notes: Vec<String>,
    /// What the checks of the table found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Verdict>,
}

/// Why an action failed, as a person is told.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct RunError {
    /// `ActionFailed`; `Invalid` where the recipe or its SQL is at fault; `Refused` where a data check is.
    pub code: ExitCode,
    /// What went wrong, causes included.
    pub message: String,
    /// The way out, where one is known.
    pub hint: Option<String>,
}

impl RunError {
    /// The action failed.
    pub fn failed(error: &(dyn Error + 'static)) -> Self {
        Self::new(ExitCode::ActionFailed, error)
    }

    /// The recipe or its SQL asks for something that cannot be.
    pub fn invalid(error: &(dyn Error + 'static)) -> Self {
        Self::new(ExitCode::Invalid, error)
    }

    /// A data check refused the rows.
    pub fn refused(error: &(dyn Error + 'static)) -> Self {
        Self::new(ExitCode::Refused, error)
    }

    /// A server outside failed or refused.
    pub fn remote(error: &(dyn Error + 'static)) -> Self {
        Self::new(ExitCode::Remote, error)
    }

    /// The same failure with a way out.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The error with all that lies beneath it, in one line.
    fn new(code: ExitCode, error: &(dyn Error + 'static)) -> Self {
        Self { code, message: in_one_line(error), hint: None }
    }
}

/// A request that a kind cannot understand: not the user's doing.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The file is no request.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The request's file.
        path: PathBuf,
        /// What the reader says.
        source: serde_json::Error,
    },
    /// The params are not those of the kind.
    #[error("the params of this {kind} action: {source}")]
    Params {
        /// The kind.
        kind: String,
        /// What the reader says.
        source: serde_json::Error,
    },
    /// A slot is missing.
    #[error("this {kind} action needs the input '{slot}'")]
    Slot {
        /// The kind.
        kind: String,
        /// The slot.
        slot: String,
    },
    /// No kind of this name runs here.
    #[error("no kind '{kind}' runs as an action")]
    Kind {
        /// The kind.
        kind: String,
    },
}

impl Request {
    /// What an action of this kind is told, on one thread, with nothing outside the machine: its answer is `response` in the folder `out`.
    #[must_use]
    pub fn of(kind: &str, params: Value, inputs: BTreeMap<String, PathBuf>, out: PathBuf) -> Self {
        let response = out.join("response.json");
        Self {
            kind: kind.to_owned(),
            params,
            threads: 1,
            adapter: None,
            inputs,
            digests: BTreeMap::new(),
            reach: None,
            out,
            response,
            scratch: None,
        }
    }

    /// Reads the request in `path`.
    ///
    /// # Errors
    /// When it cannot be read or is none.
    pub fn read(path: &Path) -> Result<Self, RunError> {
        let bytes = fs::read(path).map_err(|error| RunError::failed(&error))?;
        serde_json::from_slice(&bytes).map_err(|source| RunError::failed(&RequestError::Unreadable { path: path.to_owned(), source }))
    }

    /// The params, as the kind's own type.
    ///
    /// # Errors
    /// When they are not of that type.
    pub fn params<T: DeserializeOwned>(&self) -> Result<T, RunError> {
        let read = T::deserialize(&self.params);
        read.map_err(|source| RunError::failed(&RequestError::Params { kind: self.kind.clone(), source }))
    }

    /// Leaves the answer to a question as the file `name` of the output folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn tell(&self, name: &str, answer: &impl Serialize) -> Result<Response, RunError> {
        let bytes = serde_json::to_vec(answer).map_err(|error| RunError::failed(&error))?;
        fs::write(&self.out.join(name), &bytes).map_err(|error| RunError::failed(&error))?;
        Ok(Response::default())
    }

    /// How to reach what lies outside, as the kind's own type.
    ///
    /// # Errors
    /// When nothing was said of it.
    pub fn reach<T: DeserializeOwned>(&self) -> Result<T, RunError> {
        let read = T::deserialize(self.reach.as_ref().unwrap_or(&Value::Null));
        read.map_err(|source| RunError::failed(&RequestError::Params { kind: self.kind.clone(), source }))
    }

    /// The folder that feeds a slot.
    ///
    /// # Errors
    /// When there is no such slot.
    pub fn input(&self, slot: &str) -> Result<&Path, RunError> {
        let folder = self.inputs.get(slot).map(PathBuf::as_path);
        folder.ok_or_else(|| RunError::failed(&RequestError::Slot { kind: self.kind.clone(), slot: slot.to_owned() }))
    }

    /// The folder that takes an artifact's files; made where it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn output(&self, artifact: &str) -> Result<PathBuf, RunError> {
        let folder = self.out.join(artifact);
        fs::create_folders(&folder).map_err(|error| RunError::failed(&error))?;
        Ok(folder)
    }

    /// Writes the answer.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn answer(&self, response: &Response) -> Result<(), RunError> {
        let bytes = serde_json::to_vec(response).map_err(|error| RunError::failed(&error))?;
        fs::write(&self.response, &bytes).map_err(|error| RunError::failed(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read 'x'")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn a_failure_says_its_causes_once() {
        let error = Outer(std::io::Error::other("the disk is full"));
        assert_eq!(RunError::failed(&error).message, "cannot read 'x': the disk is full");
        let same = std::io::Error::other(std::io::Error::other("the disk is full"));
        assert_eq!(RunError::refused(&same).message, "the disk is full");
    }

    #[test]
    fn a_request_without_a_slot_it_needs_says_which() {
        let text = r#"{"kind":"naive","params":{},"inputs":{},"out":"/o","response":"/r"}"#;
        let request: Request = serde_json::from_str(text).unwrap();
        assert_eq!(request.threads, 1);
        assert_eq!(request.input("frame").unwrap_err().message, "this naive action needs the input 'frame'");
    }
}
