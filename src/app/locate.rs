//! Owns where a failed step's mistake stands. Invariant: it only adds a place, and names one only where the step's own text is at fault.

use std::ops::Range;

use crate::app::texts::Texts;
use crate::base::diagnostic::ExitCode;
use crate::exec::failure::Failure;
use crate::graph::build::Node;
use crate::model::recipe::Place;
use crate::syntax::sql::lex;
use crate::syntax::sql::token::{Kind, Token};

/// The file, line and column that a failure is about: of the first name that it quotes, in the step's query, else in its stanza; where no such
/// name stands there, of the query or stanza itself.
#[must_use]
pub fn place(texts: &Texts, node: &Node, failure: &Failure) -> Option<String> {
    if failure.code != ExitCode::Invalid {
        return None;
    }
    let place = node.declared.text.as_ref().unwrap_or(&node.stanza.place);
    let text = texts.text(&place.file).ok()?;
    let part = match node.declared.text {
        Some(_) => place.span.clone(),
        None => place.span.start..place.span.end + text.get(place.span.end..)?.find("\n[").unwrap_or(text.len() - place.span.end),
    };
    let find = if node.declared.text.is_some() { in_query } else { in_stanza };
    let mut names = failure.error.split('\'').skip(1).step_by(2).filter(|name| !name.is_empty());
    let at = names.find_map(|name| find(&text, part.clone(), name)).unwrap_or(part.start);
    let before = text.get(..at)?;
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Some(format!("{}:{line}:{column}", place.file))
}

/// Where a token of a query's canonical text stands in what was written: the token itself where that can be told, else the query or its stanza.
#[must_use]
pub fn token(texts: &Texts, node: &Node, canonical: &str, at: Option<usize>) -> Place {
    let place = node.declared.text.as_ref().unwrap_or(&node.stanza.place);
    let written = texts.text(&place.file).ok();
    let found = written.as_ref().zip(at).and_then(|(text, at)| same_token(text, place.span.clone(), canonical, at));
    let whole = || match written.as_deref().and_then(|text| lex::tokens(text).ok()).filter(|_| is_file(written.as_deref(), place)) {
        // Of a file its first word: the caret beneath all of it says nothing.
        Some(tokens) => tokens[0].span.clone(),
        None => place.span.clone(),
    };
    Place { file: place.file.clone(), span: found.unwrap_or_else(whole) }
}

fn is_file(text: Option<&str>, place: &Place) -> bool {
    text.is_some_and(|text| place.span == (0..text.len()))
}

/// The token of a part of a text that is the one of the canonical text at this byte. Where the part is a string with placeholders, tokens before and
/// after them are still told by counting, and others by their words.
fn same_token(text: &str, part: Range<usize>, canonical: &str, at: usize) -> Option<Range<usize>> {
    let (start, query) = unquoted(text, part.clone())?;
    let (theirs, mut ours) = (lex::tokens(canonical).ok()?, lex::tokens(query).ok()?);
    // The canonical text ends without one.
    ours.retain(|token| token.kind != Kind::Symbol(";"));
    let number = theirs.iter().position(|token| token.span.end > at)?;
    let word = |token: &Token, text: &str| text[token.span.clone()].to_ascii_uppercase();
    let same = |(their, our): (&Token, &Token)| word(their, canonical) == word(our, query);
    let behind = theirs.len() - number;
    let from_start = theirs.iter().zip(&ours).take(number + 1).all(same).then_some(number);
    let from_end = || theirs.iter().rev().zip(ours.iter().rev()).take(behind).all(same).then(|| ours.len().checked_sub(behind))?;
    let by_word = || {
        let at = lex::find(query, canonical[theirs[number].span.clone()].trim_matches('`'))?;
        ours.iter().position(|token| token.span.start == at)
    };
    let span = &ours.get(from_start.or_else(from_end).or_else(by_word)?)?.span;
    Some(start + span.start..start + span.end)
}

/// A query as it stands in a file of its own, or in a recipe between quotes; and where it begins.
fn unquoted(text: &str, part: Range<usize>) -> Option<(usize, &str)> {
    let within = text.get(part.clone())?;
    if part == (0..text.len()) {
        return Some((0, within));
    }
    let quotes = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| within.starts_with(quote) && within.ends_with(quote))?;
    Some((part.start + quotes.len(), within.get(quotes.len()..within.len() - quotes.len())?))
}

/// The byte of a query's canonical text that stands for a byte of what was written.
#[must_use]
pub fn in_canonical(written: &str, canonical: &str, at: usize) -> Option<usize> {
    let (ours, theirs) = (lex::tokens(written).ok()?, lex::tokens(canonical).ok()?);
    let number = ours.iter().position(|token| token.span.end > at)?;
    theirs.get(number).map(|token| token.span.start)
}

/// The query as it was written, where that is what is run; else its canonical text: placeholders and escapes are not what a person reads.
#[must_use]
pub fn written(texts: &Texts, node: &Node, canonical: &str) -> String {
    let part = || {
        let place = node.declared.text.as_ref()?;
        let text = texts.text(&place.file).ok()?;
        let (_, query) = unquoted(&text, place.span.clone())?;
        let tokens = lex::tokens(query).ok()?;
        // A view's query ends without the sign that ends a statement.
        let end = tokens.iter().rev().skip(1).take_while(|token| token.kind == Kind::Symbol(";")).last();
        let end = end.map_or(query.len(), |token| token.span.start);
        (lex::canonical(query, &tokens) == canonical).then(|| query[..end].trim().to_owned())
    };
    part().unwrap_or_else(|| canonical.to_owned())
}

/// Where a name first stands in a query: one in a file of its own has tokens, one in a recipe is a string like any other.
fn in_query(text: &str, part: Range<usize>, name: &str) -> Option<usize> {
    if part != (0..text.len()) {
        return word(text, part, name);
    }
    lex::find(text, name)
}

/// Where a name first stands in a stanza: rather as a whole string than within one.
fn in_stanza(text: &str, part: Range<usize>, name: &str) -> Option<usize> {
    let quoted = text.get(part.clone())?.find(&format!("\"{name}\"")).map(|at| part.start + at + 1);
    quoted.or_else(|| word(text, part, name))
}

fn word(text: &str, part: Range<usize>, name: &str) -> Option<usize> {
    let within = text.get(part.clone())?;
    let goes_on = |c: char| c.is_alphanumeric() || c == '_';
    let whole = |at: usize| !within[..at].ends_with(goes_on) && !within[at + name.len()..].starts_with(goes_on);
    let mut found = within.match_indices(name).map(|(at, _)| at);
    found.find(|at| whole(*at)).map(|at| part.start + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_as_a_whole_word_and_not_in_a_comment() {
        let query = "-- prise\nSELECT price, `Prise`\nFROM m.prises";
        assert_eq!(in_query(query, 0..query.len(), "prise"), query.find('`'));
        let recipe = "[frame.a]\nx = \"f g\"\ncolumns = [\"fg\", \"f\"]\n[frame.b]\ncolumns = [\"h\"]\n";
        let stanza = 0..recipe.find("\n[frame.b").unwrap();
        assert_eq!(in_stanza(recipe, stanza.clone(), "f"), recipe.find("f\"]"));
        assert_eq!(in_stanza(recipe, stanza.clone(), "g"), recipe.find("g\"\n"));
        assert_eq!(in_stanza(recipe, stanza, "h"), None);
    }

    #[test]
    fn a_token_of_the_canonical_text_is_found_in_what_was_written() {
        let found = |text: &str, part: Range<usize>, canonical: &str, word: &str| {
            same_token(text, part, canonical, canonical.find(word).unwrap()).map(|span| (span.start, text[span].to_owned()))
        };
        let file = "-- b\nselect a,\n  b -- b\nfrom d.t;\n";
        let canonical = "SELECT a , b FROM d . t";
        assert_eq!(found(file, 0..file.len(), canonical, "b"), Some((file.find("b --").unwrap(), "b".into())));
        assert_eq!(found(file, 0..file.len(), canonical, "t"), Some((file.find("t;").unwrap(), "t".into())));
        let recipe = "[sql.a]\nquery = \"SELECT x, {h.rows} + {h.name} AS y, x AS z FROM d.{h.table} AS x\"\n";
        let part = recipe.find('"').unwrap()..recipe.rfind('"').unwrap() + 1;
        let canonical = "SELECT x , 21 + w AS y , x AS z FROM d . t AS x";
        assert_eq!(found(recipe, part.clone(), canonical, "x"), Some((recipe.find("x,").unwrap(), "x".into())));
        let last = |text: &str| text.rfind('x').unwrap();
        assert_eq!(same_token(recipe, part.clone(), canonical, last(canonical)), Some(last(recipe)..last(recipe) + 1));
        assert_eq!(found(recipe, part.clone(), canonical, "z"), Some((recipe.find('z').unwrap(), "z".into())));
        assert_eq!(found(recipe, part, canonical, "21"), None);
    }
}
