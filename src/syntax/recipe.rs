//! Owns the reading of recipe files. Invariant: a raw stanza keeps the span of everything it holds, and nothing in it is resolved yet.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::model::recipe::Place;
use crate::syntax::error::{Fault, SyntaxError};
use crate::syntax::shape::{Key, Want};

/// The keys that a stanza of every kind may have.
pub const COMMON_KEYS: &[Key] = &[
    Key::optional(
        "for",
        Want::Map(&Want::Either(&[Want::Text, Want::List(&Want::Any, false)])),
        "Makes one target for each value: variable = a list, or the name of a list in [let]. Several variables give every combination.",
    ),
    Key::optional("where", Want::Text, "Keeps only the combinations of 'for' for which this condition is true."),
    Key::optional("description", Want::Text, "A sentence for people. Not part of the target's key."),
    Key::optional("priority", Want::Int(i64::MIN), "Among steps that are ready, higher runs first. Not part of the target's key."),
    Key::optional("threads", Want::Int(1), "Threads the step may use (default 1). Part of the target's key, for results can depend on it."),
    Key::optional("memory", Want::Bytes, "Memory the step is expected to need, until history knows better. Not part of the target's key."),
    Key::optional("timeout", Want::Duration, "The step is ended after this long. Not part of the target's key."),
    Key::optional(
        "tolerance",
        Want::Number,
        "How far numbers may differ where the step is reproduced on another kind of machine, as a share of the larger one, or of 1 where both are smaller; bit for bit where it is not said. Not part of the target's key.",
    ),
];

/// A text file and its path relative to the workspace.
#[derive(Debug, Clone)]
pub struct SourceText<'a> {
    /// The path.
    pub path: Arc<str>,
    /// The text.
    pub text: &'a str,
}

/// One recipe file as written.
#[derive(Debug)]
pub struct RawRecipe<'a> {
    /// The file.
    pub source: SourceText<'a>,
    /// Its `[let]` values.
    pub lets: DeTable<'a>,
    /// Its stanzas.
    pub stanzas: Vec<RawStanza<'a>>,
}

/// One stanza as written.
#[derive(Debug)]
pub struct RawStanza<'a> {
    /// The kind, the first part of its header.
    pub kind: Cow<'a, str>,
    /// The target's name with its placeholders, the second part.
    pub name: Cow<'a, str>,
    /// Where the name stands.
    pub name_span: Range<usize>,
    /// Where the header stands.
    pub header: Range<usize>,
    /// Its keys and values.
    pub body: DeTable<'a>,
}

impl SourceText<'_> {
    /// A place in this file.
    #[must_use]
    pub fn place(&self, span: Range<usize>) -> Place {
        Place { file: self.path.clone(), span }
    }

    /// The place of a part of a string: `span` is the string's with its quotes, `part` a range of the string's own text.
    #[must_use]
    pub fn place_in(&self, span: Range<usize>, value: &str, part: Range<usize>) -> Place {
        let written = self.text.get(span.clone()).unwrap_or_default();
        match written.find(value) {
            Some(offset) if !value.is_empty() && !part.is_empty() => {
                self.place(span.start + offset + part.start..span.start + offset + part.end)
            }
            _ => self.place(span),
        }
    }

    /// The span of the header whose last key is at `key`: from its `[` to its `]`, where both stand on the key's line.
    fn header(&self, key: &Range<usize>) -> Range<usize> {
        let line = self.text[..key.start].rfind('\n').map_or(0, |at| at + 1);
        let start = self.text[line..key.start].find('[').map(|at| line + at);
        let end = self.text[key.end..].find([']', '\n']).filter(|at| self.text.as_bytes()[key.end + at] == b']').map(|at| key.end + at + 1);
        match (start, end) {
            (Some(start), Some(end)) => start..end,
            _ => key.clone(),
        }
    }
}

/// Reads one recipe file, which is empty where the text is not TOML; beside it, everything that is wrong.
#[must_use]
pub fn parse<'a>(path: &str, text: &'a str) -> (RawRecipe<'a>, Vec<SyntaxError>) {
    let source = SourceText { path: path.into(), text };
    let (root, mut errors) = document(&source);
    let mut recipe = RawRecipe { source, lets: DeTable::new(), stanzas: Vec::new() };
    if !errors.is_empty() {
        return (recipe, errors); // What was recovered may not be what was meant.
    }
    for (key, value) in root {
        match (key.get_ref().as_ref(), value.into_inner()) {
            ("let", DeValue::Table(table)) => recipe.lets = table,
            (_, DeValue::Table(table)) => stanzas(&mut recipe, &key, table, &mut errors),
            (entry, _) => {
                let fault = Fault::NotAStanza { entry: entry.to_owned() };
                errors.push(fault.at(recipe.source.place(key.span())));
            }
        }
    }
    (recipe, errors)
}

/// The parsed document, and the first faults that the parser found in it.
pub(super) fn document<'a>(source: &SourceText<'a>) -> (DeTable<'a>, Vec<SyntaxError>) {
    const MOST: usize = 10;
    let (root, faults) = DeTable::parse_recoverable(source.text);
    let errors = faults.into_iter().take(MOST).map(|fault| {
        let span = fault.span().unwrap_or(0..0);
        let message = fault.message().trim().replace('\n', ", ");
        let fault = if message == "duplicate key" { twice(source, &span) } else { Fault::Toml { message } };
        fault.at(source.place(span))
    });
    let errors = errors.collect();
    (root.into_inner(), errors)
}

/// The key or header at `span`, which the file has before.
fn twice(source: &SourceText, span: &Range<usize>) -> Fault {
    let text = source.text;
    let header = source.header(span);
    let is_header = header != *span;
    let key = text.get(header.clone()).unwrap_or_default().to_owned();
    let starts = |line: &str| {
        let rest = line.trim_start().strip_prefix(&key);
        rest.is_some_and(|rest| is_header || rest.trim_start().starts_with(['=', '.']))
    };
    let above = text.get(..header.start).unwrap_or_default();
    let first = above.lines().enumerate().filter(|(_, line)| starts(line)).map(|(index, _)| index + 1);
    let first_line = if is_header { first.min() } else { first.max() };
    Fault::Twice { key, header: is_header, first_line }
}

/// The stanzas of one kind.
fn stanzas<'a>(recipe: &mut RawRecipe<'a>, kind: &Spanned<DeString<'a>>, table: DeTable<'a>, errors: &mut Vec<SyntaxError>) {
    for (name, value) in table {
        let span = name.span();
        match value.into_inner() {
            DeValue::Table(body) => recipe.stanzas.push(RawStanza {
                kind: kind.get_ref().clone(),
                header: recipe.source.header(&span),
                name_span: span,
                name: name.into_inner(),
                body,
            }),
            _ => errors.push(Fault::NotAStanza { entry: format!("{}.{}", kind.get_ref(), name.get_ref()) }.at(recipe.source.place(span))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stanza_knows_where_its_header_and_its_values_stand() {
        let text = "[let]\nx = 1\n\n[sql.\"wti.daily\"]\nfile = \"sql/x.sql\"\n";
        let (recipe, errors) = parse("recipes/a.toml", text);
        assert_eq!(errors, []);
        let stanza = &recipe.stanzas[0];
        assert_eq!((stanza.kind.as_ref(), stanza.name.as_ref()), ("sql", "wti.daily"));
        assert_eq!(&text[stanza.header.clone()], "[sql.\"wti.daily\"]");
        let (_, value) = stanza.body.iter().next().unwrap();
        assert_eq!(&text[value.span()], "\"sql/x.sql\"");
        assert_eq!(recipe.lets.len(), 1);
    }

    fn said(text: &str) -> Vec<String> {
        let (recipe, errors) = parse("a.toml", text);
        assert!(errors.is_empty() || recipe.stanzas.is_empty());
        let line = |at: usize| text[..at].matches('\n').count() + 1;
        errors
            .iter()
            .map(|e| format!("{}: {e}{}", line(e.place.span.start), e.fault.hint().map_or(String::new(), |h| format!(" [{h}]"))))
            .collect()
    }

    #[test]
    fn every_fault_of_a_broken_text_is_reported_at_its_place() {
        assert_eq!(
            said("[sql.\"a.b\"]\nfile = \n[sql.\"c.d\"\nfile = \"y\"\n"),
            ["3: not valid TOML: unclosed table, expected `]`", "2: not valid TOML: string values must be quoted, expected literal string"]
        );
        assert_eq!(said(&format!("x = {}", "[".repeat(100_000))).len(), 10);
    }

    #[test]
    fn what_is_given_twice_says_where_the_first_is() {
        let text = "[sql.\"a.b\"]\nx = 1\ny = 2\nx = 3\n[sql.c]\nx = 5\n\n[sql.\"a.b\"]\nz = 1\n";
        assert_eq!(
            said(text),
            [
                "4: the key 'x' is given twice [the first is on line 2]",
                "8: the stanza [sql.\"a.b\"] is given twice [the first is on line 1]"
            ]
        );
    }

    #[test]
    fn what_is_no_stanza_is_refused() {
        let found = said("a = 1\n[[sql]]\nx = 1\n[frame]\ny = 1\n");
        assert_eq!(
            found.iter().map(|f| f.split(" [").next().unwrap()).collect::<Vec<_>>(),
            ["1: 'a' is not a stanza", "5: 'frame.y' is not a stanza", "2: 'sql' is not a stanza"]
        );
    }

    #[test]
    fn a_part_of_a_string_is_found_inside_it() {
        let text = "a = \"x {y} z\"";
        let source = SourceText { path: "a".into(), text };
        assert_eq!(&text[source.place_in(4..13, "x {y} z", 3..4).span], "y");
        // With escapes the text differs from the value, so the whole string is shown.
        let text = "a = \"x\\t{y}\"";
        let source = SourceText { path: "a".into(), text };
        assert_eq!(source.place_in(4..12, "x\t{y}", 3..4).span, 4..12);
    }
}
