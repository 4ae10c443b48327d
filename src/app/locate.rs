//! Owns where a failed step's mistake stands. Invariant: it only adds a place, and names one only where the step's own text is at fault.

use std::ops::Range;

use crate::app::texts::Texts;
use crate::base::diagnostic::ExitCode;
use crate::exec::failure::Failure;
use crate::graph::build::Node;
use crate::syntax::sql::lex;

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

/// Where a name first stands in a query: one in a file of its own has tokens, one in a recipe is a string like any other.
fn in_query(text: &str, part: Range<usize>, name: &str) -> Option<usize> {
    if part != (0..text.len()) {
        return word(text, part, name);
    }
    let same = |span: &Range<usize>| text[span.clone()].trim_matches('`').eq_ignore_ascii_case(name);
    lex::tokens(text).ok()?.into_iter().map(|token| token.span).find(same).map(|span| span.start)
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
}
