//! Owns what a person is told when something is wrong, and the exit codes. Invariant: whatever ends the program with another code
//! than 0 is a `Diagnostic`, so every error is shown in one way.

use std::error::Error;
use std::ops::Range;

use serde::Serialize;

/// How the program ends: the one list of exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ExitCode {
    /// Everything asked for is done.
    Ok = 0,
    /// An action failed.
    ActionFailed = 1,
    /// The command line is wrong: an unknown option, a target that does not exist.
    Usage = 2,
    /// A recipe or an SQL file is invalid.
    Invalid = 3,
    /// A reproduction gave other bits than the record says, or could not be made.
    Differs = 4,
    /// The store is damaged, or of a format this version does not read.
    Damaged = 5,
    /// A remote service failed.
    Remote = 6,
    /// Another cbi holds what this one needs.
    Busy = 7,
    /// A data check or a gate refused.
    Refused = 8,
    /// A bug in cbi itself.
    Bug = 70,
    /// Stopped by Ctrl-C or a signal.
    Interrupted = 130,
}

impl ExitCode {
    /// Every code, in ascending order.
    pub const ALL: [Self; 11] = [
        Self::Ok,
        Self::ActionFailed,
        Self::Usage,
        Self::Invalid,
        Self::Differs,
        Self::Damaged,
        Self::Remote,
        Self::Busy,
        Self::Refused,
        Self::Bug,
        Self::Interrupted,
    ];

    /// The number the program exits with.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// What the code means, in a few words.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "everything asked for is done",
            Self::ActionFailed => "an action failed",
            Self::Usage => "the command line is wrong",
            Self::Invalid => "a recipe or an SQL file is invalid",
            Self::Differs => "a reproduction differs",
            Self::Damaged => "the store is damaged",
            Self::Remote => "a remote service failed",
            Self::Busy => "another cbi holds what this one needs",
            Self::Refused => "a data check or a gate refused",
            Self::Bug => "a bug in cbi",
            Self::Interrupted => "interrupted",
        }
    }

    /// The code with this number, where there is one.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|code| i32::from(code.number()) == number)
    }

    /// The code for several endings at once: an interruption or a bug wins, equal codes stay, a mixture is `ActionFailed`.
    #[must_use]
    pub fn of_all(codes: impl IntoIterator<Item = Self>) -> Self {
        codes.into_iter().filter(|code| *code != Self::Ok).fold(Self::Ok, |all, code| match (all, code) {
            (Self::Ok, code) => code,
            (Self::Bug | Self::Interrupted, _) | (_, Self::Bug | Self::Interrupted) => all.max(code),
            (all, code) if all == code => all,
            _ => Self::ActionFailed,
        })
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        code.number().into()
    }
}

/// One thing that is wrong: what, why, where, and the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How the program ends because of it.
    pub code: ExitCode,
    /// One sentence that names the target and the file it is about.
    pub message: String,
    /// What lies beneath, outermost first.
    pub causes: Vec<String>,
    /// The way out: a command to run where there is one.
    pub hint: Option<String>,
    /// Where it stands; the first place is the one it is about, others (the second writer of a target) explain it.
    pub snippets: Vec<Snippet>,
}

/// A place in a text file with the text itself, so that it can be shown without reading the file again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Snippet {
    /// The file's path as a person would type it.
    pub file: String,
    /// The whole text of the file.
    #[serde(skip)]
    pub text: String,
    /// The bytes of the text that it is about.
    pub span: Range<usize>,
    /// A few words beside the caret; may be empty.
    pub label: String,
}

impl Diagnostic {
    /// A diagnostic that says `message`.
    #[must_use]
    pub fn new(code: ExitCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), causes: Vec::new(), hint: None, snippets: Vec::new() }
    }

    /// The error's own sentence, and those of its sources as causes.
    #[must_use]
    pub fn of(code: ExitCode, error: &dyn Error) -> Self {
        let mut said = sentences(error);
        let message = said.remove(0);
        Self { causes: said, ..Self::new(code, message) }
    }

    /// Adds a cause beneath those there are.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// Adds `error` and its sources as causes.
    #[must_use]
    pub fn because(mut self, error: &dyn Error) -> Self {
        self.causes.extend(sentences(error));
        self
    }

    /// Says the way out.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Shows a place.
    #[must_use]
    pub fn at(mut self, snippet: Snippet) -> Self {
        self.snippets.push(snippet);
        self
    }
}

/// The error's own sentence, then those of its sources that it does not end with already.
fn sentences(error: &dyn Error) -> Vec<String> {
    let mut said = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !said.iter().any(|above| above.ends_with(&text)) {
            said.push(text);
        }
        source = cause.source();
    }
    said
}

/// The error with all that lies beneath it, in one line.
#[must_use]
pub fn in_one_line(error: &dyn Error) -> String {
    sentences(error).join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_own_number_and_reads_back_from_it() {
        for code in ExitCode::ALL {
            assert_eq!(ExitCode::from_number(code.number().into()), Some(code));
        }
        assert_eq!(ExitCode::from_number(99), None);
    }

    #[test]
    fn a_mixture_of_failures_is_a_failed_action_unless_it_was_stopped_or_is_a_bug() {
        use ExitCode::{ActionFailed, Bug, Interrupted, Invalid, Ok, Refused};
        assert_eq!(ExitCode::of_all([]), Ok);
        assert_eq!(ExitCode::of_all([Refused, Ok, Refused]), Refused);
        assert_eq!(ExitCode::of_all([Refused, Invalid]), ActionFailed);
        assert_eq!(ExitCode::of_all([Refused, Bug, Invalid]), Bug);
        assert_eq!(ExitCode::of_all([Interrupted, Bug]), Interrupted);
    }

    #[test]
    fn a_cause_that_the_message_already_says_is_not_said_twice() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read 'x': {0}")]
        struct Outer(#[source] std::io::Error);
        let inner = || Outer(std::io::Error::other("disk on fire"));
        assert!(Diagnostic::of(ExitCode::Damaged, &inner()).causes.is_empty());
        let whole = Diagnostic::new(ExitCode::Damaged, "the store is unreadable").because(&inner());
        assert_eq!(whole.causes, ["cannot read 'x': disk on fire"]);
        assert_eq!(in_one_line(&inner()), "cannot read 'x': disk on fire");
    }
}
