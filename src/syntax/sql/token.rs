//! Owns what a token is. Invariant: a token knows its bytes in the text, so whatever is said of it can be shown there.

use std::ops::Range;

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Its bytes in the text.
    pub span: Range<usize>,
}

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A keyword or a name without quotes.
    Word(String),
    /// A name in backticks.
    Quoted(String),
    /// A string literal's value.
    Text(String),
    /// A bytes literal's value.
    Bytes(Vec<u8>),
    /// A whole number, as decimal digits.
    Int(String),
    /// A number with a point or an exponent, as written.
    Float(String),
    /// A named parameter, without its `@`.
    Param(String),
    /// An operator or a bracket.
    Symbol(&'static str),
    /// The end of the text.
    End,
}

impl Token {
    /// The token in words, for messages.
    #[must_use]
    pub fn describe(&self, text: &str) -> String {
        match self.kind {
            Kind::End => "the end of the query".to_owned(),
            _ => format!("'{}'", text.get(self.span.clone()).unwrap_or_default()),
        }
    }
}
