//! Owns why an action has no result. Invariant: whatever ended it, a person is told in one sentence, with the way out where one is known, and no
//! sentence twice.

use std::path::PathBuf;
use std::time::Duration;

use crate::base::diagnostic::{ExitCode, in_one_line};
use crate::base::units;
use crate::exec::environment::PROGRAM_PATH;
use crate::exec::sandbox::OutputError;
use crate::io::fs::FsError;
use crate::io::process::{Ended, ProcessError};
use crate::store::error::StoreError;

/// Lines of a log that are kept with a failure.
const LOG_TAIL: usize = 20;

/// Why an action has no result, as a person is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong.
    pub error: String,
    /// The way out, where one is known.
    pub hint: Option<String>,
    /// The last lines it printed.
    pub log_tail: Vec<String>,
    /// The exit code that stands for it.
    pub code: ExitCode,
}

impl Failure {
    /// A store that failed under a step.
    #[must_use]
    pub fn of_store(error: &StoreError) -> Self {
        Self { error: in_one_line(error), hint: error.hint(), log_tail: Vec::new(), code: error.code() }
    }
}

/// What can go wrong around an action.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    #[error(transparent)]
    Fs(#[from] FsError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error("its input {slot} changed while the build ran")]
    InputChanged { slot: String },
    #[error("two of its inputs would be the file '{path}'")]
    InputTwice { path: String },
    #[error("it changed its own input {slot}")]
    InputWritten { slot: String },
    #[error("the program '{program}' is not on this machine")]
    NoProgram { program: String },
    #[error("the program that runs actions, '{path}', is not there")]
    NoActionProgram { path: PathBuf },
    #[error("{message}")]
    Ended { message: String, hint: Option<String>, code: ExitCode },
}

/// Whether the process ended well. Where it ran one of our own kinds, `names` tells what it calls its input folders and what the user calls them;
/// what it says of itself is then taken off the end of its log.
///
/// # Errors
/// When it did not.
pub(super) fn judge(
    ended: Ended,
    timeout: Option<Duration>,
    names: Option<&[(String, String)]>,
    log: &mut Vec<u8>,
) -> Result<(), RunError> {
    let (message, code, hint) = match ended {
        Ended::Exited(0) => return Ok(()),
        Ended::Exited(number) if names.is_some() => {
            let text = String::from_utf8_lossy(log).into_owned();
            let text = names.into_iter().flatten().fold(text, |text, (here, known)| text.replace(here, known));
            let (before, said) = last_words(&text);
            *log = before.as_bytes().to_vec();
            let (error, hint) = said.unwrap_or_else(|| (format!("it ended with exit code {number}"), None));
            (error, ExitCode::from_number(number).unwrap_or(ExitCode::ActionFailed), hint)
        }
        Ended::Exited(127) => (
            "a program it calls was not found (exit code 127)".to_owned(),
            ExitCode::ActionFailed,
            Some("install it; one of the workspace's own is an input: name it in 'files'".to_owned()),
        ),
        Ended::Exited(code) => (format!("it ended with exit code {code}"), ExitCode::ActionFailed, undeclared(log)),
        Ended::Signalled(signal) => (format!("it was killed by {}", named(signal)), ExitCode::ActionFailed, after_signal(signal)),
        Ended::TimedOut => {
            let limit = timeout.map(units::duration).unwrap_or_default();
            (
                format!("it took longer than its timeout of {limit}"),
                ExitCode::ActionFailed,
                Some("raise 'timeout' in its recipe".to_owned()),
            )
        }
        Ended::Cancelled => ("it was stopped".to_owned(), ExitCode::Interrupted, None),
        Ended::Outgrown => ("it was ended for the memory it held".to_owned(), ExitCode::ActionFailed, None),
    };
    Err(RunError::Ended { message, hint, code })
}

/// What may be wrong with a program that did not find or was not let at a file.
fn undeclared(log: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(log);
    let last = text.lines().rev().take(LOG_TAIL);
    let missed = last.into_iter().any(|line| line.contains("No such file or directory") || line.contains("Permission denied"));
    missed.then(|| "it sees only what its recipe declares: name what it reads in 'files' or 'needs'".to_owned())
}

/// A signal by number and name.
fn named(signal: i32) -> String {
    let names = [(4, "ILL"), (6, "ABRT"), (7, "BUS"), (8, "FPE"), (9, "KILL"), (11, "SEGV"), (13, "PIPE"), (15, "TERM")];
    match names.iter().find(|(number, _)| *number == signal) {
        Some((_, name)) => format!("signal {signal} ({name})"),
        None => format!("signal {signal}"),
    }
}

fn after_signal(signal: i32) -> Option<String> {
    match signal {
        9 => Some("if the machine ran out of memory, lower --jobs or give the target a 'memory' it needs".to_owned()),
        4 | 6..=8 | 11 => Some("the program crashed: that is its own fault, or its library's; run it alone to see where".to_owned()),
        _ => None,
    }
}

/// A log without the error and hint that it ends in, and these.
fn last_words(log: &str) -> (&str, Option<(String, Option<String>)>) {
    const ERROR: &str = "error: ";
    let at = log.rfind(&format!("\n{ERROR}")).map(|at| at + 1).or_else(|| log.starts_with(ERROR).then_some(0));
    let Some(at) = at else { return (log, None) };
    let said = &log[at + ERROR.len()..];
    let (error, hint) = match said.rsplit_once("\nhint: ") {
        Some((error, hint)) => (error, Some(hint.trim_end().to_owned())),
        None => (said, None),
    };
    (&log[..at], Some((error.trim_end().to_owned(), hint)))
}

/// The failure as a person is told of it.
pub(super) fn describe(error: &RunError, log: &[u8]) -> Failure {
    let (code, hint) = match error {
        RunError::Ended { hint, code, .. } => (*code, hint.clone()),
        RunError::NoProgram { program } => (ExitCode::ActionFailed, Some(format!("install {program}; it is looked for in {PROGRAM_PATH}"))),
        RunError::NoActionProgram { .. } => (ExitCode::ActionFailed, Some("build it: cargo build --bins".into())),
        RunError::Output(OutputError::Missing { .. }) => {
            (ExitCode::ActionFailed, Some("write it, or correct 'outputs' in the recipe".into()))
        }
        RunError::Output(OutputError::Undeclared { .. }) => {
            (ExitCode::ActionFailed, Some("add it to 'outputs' in the recipe, or write scratch files under $TMPDIR".into()))
        }
        RunError::InputChanged { .. } => (ExitCode::ActionFailed, Some("run the build again".into())),
        RunError::InputWritten { .. } => {
            (ExitCode::ActionFailed, Some("copy an input before changing it; the next build makes it again".into()))
        }
        RunError::Store(error) => (error.code(), error.hint()),
        _ => (ExitCode::ActionFailed, None),
    };
    let text = String::from_utf8_lossy(log);
    let mut log_tail: Vec<String> = text.lines().rev().take(LOG_TAIL).map(str::to_owned).collect();
    log_tail.reverse();
    Failure { error: in_one_line(error), hint, log_tail, code }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(log: &str, names: Option<&[(String, String)]>) -> (String, Option<String>, String) {
        let mut log = log.as_bytes().to_vec();
        let error = judge(Ended::Exited(8), None, names, &mut log).unwrap_err();
        let failure = describe(&error, &log);
        (failure.error, failure.hint, failure.log_tail.join("\n"))
    }

    #[test]
    fn what_a_kind_says_of_itself_is_told_once_and_in_the_users_names() {
        let names = [("/c/tmp/1/in/0/".to_owned(), "/w/warehouse/".to_owned()), ("/c/tmp/1/in/1/".to_owned(), String::new())];
        let log = "reading\nerror: /c/tmp/1/in/0/a.b.csv:3: it is not\n/c/tmp/1/in/1/table.parquet\nhint: mend it\n";
        let expected = ("/w/warehouse/a.b.csv:3: it is not\ntable.parquet".to_owned(), Some("mend it".to_owned()), "reading".to_owned());
        assert_eq!(ended(log, Some(&names)), expected);
        assert_eq!(ended("error: alone\n", Some(&[])), ("alone".to_owned(), None, String::new()));
        assert_eq!(ended("no word\n", Some(&[])), ("it ended with exit code 8".to_owned(), None, "no word".to_owned()));
    }

    #[test]
    fn what_a_program_of_the_users_prints_stays_its_own() {
        let said = "error: mine\nhint: mine\n";
        assert_eq!(ended(said, None), ("it ended with exit code 8".to_owned(), None, said.trim_end().to_owned()));
    }
}
