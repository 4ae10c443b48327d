//! Owns what can be wrong with the text of a recipe or of the settings. Invariant: every error has a place in a file.

use crate::model::recipe::Place;

/// Something wrong at one place of a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct SyntaxError {
    /// Where.
    pub place: Place,
    /// What.
    pub fault: Fault,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The text is not TOML.
    #[error("not valid TOML: {message}")]
    Toml {
        /// The parser's words.
        message: String,
    },
    /// A key, or a stanza's header, given twice in one file.
    #[error("{} is given twice", if *header { format!("the stanza {key}") } else { format!("the key '{key}'") })]
    Twice {
        /// The key, or the header.
        key: String,
        /// Whether it is a header.
        header: bool,
        /// The line of the first one.
        first_line: Option<usize>,
    },
    /// A key that means nothing here.
    #[error("unknown key '{key}' in {owner}")]
    UnknownKey {
        /// The key.
        key: String,
        /// The stanza or section it stands in.
        owner: String,
        /// The known key that is most like it.
        nearest: Option<String>,
        /// The target name that was meant where quotes are missing in a header.
        unquoted: Option<String>,
    },
    /// A key that must be there and is not.
    #[error("{owner} needs the key '{key}'")]
    MissingKey {
        /// The key.
        key: String,
        /// The stanza or section.
        owner: String,
        /// What to write.
        want: String,
    },
    /// A value of another type or form than the key takes.
    #[error("'{key}' must be {want}, found {found}")]
    WrongValue {
        /// The key, with its path.
        key: String,
        /// What it takes.
        want: String,
        /// What was given.
        found: String,
    },
    /// A top-level entry that is not a stanza.
    #[error("'{entry}' is not a stanza")]
    NotAStanza {
        /// The entry.
        entry: String,
    },
    /// A value that no recipe can hold (infinite or not a number, or beyond 64 bits).
    #[error("{text} cannot be kept as a number")]
    BadNumber {
        /// The value as written.
        text: String,
    },
    /// One name given twice in `[let]`.
    #[error("'{name}' is already given in the [let] of {other}")]
    LetTwice {
        /// The name.
        name: String,
        /// The file that gave it first.
        other: String,
    },
    /// `[let]` values that need each other.
    #[error("[let] values need each other: {}", path.join(" → "))]
    LetCycle {
        /// The names, the first one repeated at the end.
        path: Vec<String>,
    },
    /// A placeholder that does not close, is empty, or a brace standing alone.
    #[error("{problem}")]
    Braces {
        /// What is wrong with them.
        problem: &'static str,
    },
    /// A placeholder or condition that names no value.
    #[error("nothing here is called '{name}'")]
    UnknownValue {
        /// The name, with its fields.
        name: String,
        /// The known name most like it.
        nearest: Option<String>,
    },
    /// A field that a value has not.
    #[error("'{value}' has no field '{field}'")]
    UnknownField {
        /// The value.
        value: String,
        /// The field.
        field: String,
        /// The fields it has.
        known: Vec<String>,
    },
    /// A list or table inside a longer text.
    #[error("'{name}' is {found}, which cannot stand inside a text")]
    NotText {
        /// The value's name.
        name: String,
        /// What it is.
        found: &'static str,
    },
    /// A condition that cannot be read or evaluated.
    #[error("in this condition: {problem}")]
    Condition {
        /// What is wrong with it.
        problem: String,
    },
    /// A `for` that is not over a list.
    #[error("'for' needs a list for '{variable}', found {found}")]
    NotAList {
        /// The loop variable.
        variable: String,
        /// What was given.
        found: String,
    },
    /// A `for` variable that hides a `[let]` value.
    #[error("the 'for' variable '{variable}' has the name of a [let] value")]
    Hides {
        /// The variable.
        variable: String,
    },
    /// A profile that `cbi.toml` has not.
    #[error("there is no profile '{name}'")]
    UnknownProfile {
        /// The name.
        name: String,
        /// The profile most like it.
        nearest: Option<String>,
        /// All profiles.
        known: Vec<String>,
    },
    /// A tolerance that is none.
    #[error("a tolerance is a share from 0 up to less than 1, found {tolerance}")]
    Tolerance {
        /// What was given.
        tolerance: String,
    },
    /// A target name that cannot be one.
    #[error("{reason}")]
    BadName {
        /// Why, with the name.
        reason: String,
    },
}

impl Fault {
    /// The way out, where one is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let meant = |name: &String| format!("did you mean '{name}'?");
        match self {
            Self::UnknownKey { unquoted: Some(header), .. } => Some(format!("a dot in a target's name needs quotes: {header}")),
            Self::UnknownKey { nearest, .. } | Self::UnknownValue { nearest, .. } => nearest.as_ref().map(meant),
            Self::MissingKey { key, want, .. } => Some(format!("add: {key} = {want}")),
            Self::NotAStanza { .. } => Some("a stanza's header is [kind.\"target-name\"]; shared values stand in [let]".into()),
            Self::Braces { .. } => Some("a literal brace is written twice: '{{' or '}}'".into()),
            Self::UnknownProfile { nearest: Some(name), .. } => Some(meant(name)),
            Self::UnknownProfile { known, .. } if !known.is_empty() => Some(format!("the profiles are: {}", known.join(", "))),
            Self::UnknownProfile { name, .. } => Some(format!("add to cbi.toml: [profile.{name}]")),
            Self::UnknownField { known, .. } if !known.is_empty() => Some(format!("it has: {}", known.join(", "))),
            Self::NotText { .. } => Some("name one of its fields, or let the placeholder be the whole string".into()),
            Self::Hides { .. } => Some("rename one of the two".into()),
            Self::BadName { .. } => {
                Some("a name is 'dataset.table' or segments of letters, digits, '.', '_' and '-' with '/' between".into())
            }
            Self::Twice { first_line: Some(line), .. } => Some(format!("the first is on line {line}")),
            _ => None,
        }
    }

    /// The fault at a place.
    #[must_use]
    pub fn at(self, place: Place) -> SyntaxError {
        SyntaxError { place, fault: self }
    }
}
