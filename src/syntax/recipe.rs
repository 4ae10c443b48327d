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

/// Reads one recipe file; what can be read is given back beside everything that is wrong.
#[must_use]
pub fn parse<'a>(path: &str, text: &'a str) -> (RawRecipe<'a>, Vec<SyntaxError>) {
    let source = SourceText { path: path.into(), text };
    let (root, mut errors) = document(&source);
    let mut recipe = RawRecipe { source, lets: DeTable::new(), stanzas: Vec::new() };
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

/// The parsed document, and what the parser found wrong in it.
pub(super) fn document<'a>(source: &SourceText<'a>) -> (DeTable<'a>, Vec<SyntaxError>) {
    let (root, faults) = DeTable::parse_recoverable(source.text);
    let errors = faults.into_iter().map(|fault| {
        let message = fault.message().trim().replace('\n', ", ");
        Fault::Toml { message }.at(source.place(fault.span().unwrap_or(0..0)))
    });
    (root.into_inner(), errors.collect())
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

    #[test]
    fn broken_text_is_reported_with_its_place_and_the_rest_is_read() {
        let text = "x = 1\n[sql.\"a.b\"]\nfile = \n[sql.\"c.d\"]\nfile = \"y\"\n";
        let (recipe, errors) = parse("a.toml", text);
        let lines: Vec<_> = errors.iter().map(|e| (text[..e.place.span.start].matches('\n').count() + 1, e.to_string())).collect();
        assert_eq!(lines.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 1], "{lines:?}");
        assert!(recipe.stanzas.iter().any(|s| s.name == "c.d"));
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
