//! Owns the small parts of a query's tree: names, types, parts of dates. Invariant: none of them holds an expression.

use std::ops::Range;

/// Bytes of the text.
pub type Span = Range<usize>;

/// A name, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The name, without backticks.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// A part of a date or time: `MONTH`, `WEEK(MONDAY)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its name in capitals.
    pub name: String,
    /// The weekday that a week starts with, in capitals, where it is given.
    pub weekday: Option<String>,
    /// Where it stands.
    pub span: Span,
}

/// A type as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// A plain type, by its main name: `INT64`, `FLOAT64`, `STRING`, …
    Plain(&'static str),
    /// `ARRAY<type>`
    Array(Box<Type>),
    /// `STRUCT<name type, …>`
    Struct(Vec<(Option<Name>, Type)>),
}
