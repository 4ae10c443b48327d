//! Owns putting other words in the place of a query's tables and parameters. Invariant: all else of the text stays byte for byte, and every place of
//! the new text is known in the old one.

use serde_json::{Map, Value};

use crate::syntax::sql::error::{Fault, SqlError};
use crate::syntax::sql::lex;
use crate::syntax::sql::parts::Span;
use crate::syntax::sql::read::{Mentioned, read};

/// Columns that a tab reaches to a multiple of.
const TAB: usize = 8;

/// A text with other words in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// The new text.
    pub text: String,
    /// What was replaced: where it stands now, and where it stood.
    pieces: Vec<(Span, Span)>,
}

impl Replaced {
    /// Where a byte of the new text stood in the old one: one of a replaced part at that part's beginning.
    #[must_use]
    pub fn was(&self, at: usize) -> usize {
        let Some((now, before)) = self.pieces.iter().rev().find(|(now, _)| now.start <= at) else { return at };
        if at < now.end { before.start } else { before.end + (at - now.end) }
    }

    /// Where the character at a line and a column, both from 1 on, of the new text stood in the old one. A tab reaches to the next multiple of eight
    /// columns, as it does in BigQuery's messages.
    #[must_use]
    pub fn was_at(&self, line: usize, column: usize) -> Option<usize> {
        let lines = self.text.split_inclusive('\n');
        let start = lines.clone().take(line.checked_sub(1)?).map(str::len).sum::<usize>();
        let text = lines.clone().nth(line - 1)?;
        let wanted = column.checked_sub(1)?;
        let mut reached = 0;
        let within = text.char_indices().find(|(_, c)| {
            let here = reached;
            reached += if *c == '\t' { TAB - reached % TAB } else { 1 };
            here >= wanted
        });
        Some(self.was(start + within.map_or(text.len(), |(at, _)| at)))
    }

    /// What a message of BigQuery's about the new text is about: the byte of the old one, where it names a line and a column, `at [2:14]`.
    #[must_use]
    pub fn place(&self, message: &str) -> Option<usize> {
        let (line, column) = message.split('[').skip(1).find_map(|rest| {
            let (line, column) = rest.split_once(']')?.0.split_once(':')?;
            Some((line.parse().ok()?, column.parse().ok()?))
        })?;
        self.was_at(line, column)
    }

    /// The word of the old text, `before`, that a message of BigQuery's about the new one is about.
    #[must_use]
    pub fn word_at<'t>(&self, message: &str, before: &'t str) -> Option<&'t str> {
        let at = self.place(message)?;
        let tokens = lex::tokens(before).ok()?;
        let token = tokens.into_iter().map(|token| token.span).find(|span| span.end > at)?;
        Some(before[token].trim_matches('`'))
    }
}

/// A message of BigQuery's without the line and column that it names, which are those of a text that nobody wrote.
#[must_use]
pub fn without_place(message: &str) -> String {
    let is_place = |rest: &str| {
        let numbers = rest.split_once(']').and_then(|(place, _)| place.split_once(':'));
        numbers.is_some_and(|(line, column)| line.parse::<usize>().is_ok() && column.parse::<usize>().is_ok())
    };
    let Some((at, _)) = message.match_indices(" at [").find(|(at, _)| is_place(&message[at + 5..])) else { return message.to_owned() };
    let after = message[at..].split_once(']').map_or("", |(_, after)| after);
    format!("{}{after}", &message[..at])
}

/// The query with what `table` gives in the place of each table, under the table's own name where it is given no other, and with values in the place of
/// parameters. A table that `table` gives nothing for stays.
///
/// # Errors
/// When the text is no query, or a parameter has no value that can be written.
pub fn replace(text: &str, table: &dyn Fn(&str) -> Option<String>, params: &Map<String, Value>) -> Result<Replaced, SqlError> {
    let mut replaced = Replaced { text: String::with_capacity(text.len()), pieces: Vec::new() };
    let mut done = 0;
    for mention in read(text)?.mentions {
        let words = match mention.what {
            Mentioned::Param => Some(param(&mention.name, params, &mention.span)?),
            Mentioned::Renamed => table(&mention.name),
            Mentioned::Table => table(&mention.name).map(|words| format!("{words} AS `{}`", own_name(&mention.name))),
        };
        let Some(words) = words else { continue };
        replaced.text.push_str(&text[done..mention.span.start]);
        let start = replaced.text.len();
        replaced.text.push_str(&words);
        replaced.pieces.push((start..replaced.text.len(), mention.span.clone()));
        done = mention.span.end;
    }
    replaced.text.push_str(&text[done..]);
    Ok(replaced)
}

/// What a table goes by in a query that gives it no other name.
fn own_name(table: &str) -> &str {
    table.rsplit_once('.').map_or(table, |(_, name)| name)
}

fn param(name: &str, params: &Map<String, Value>, span: &Span) -> Result<String, SqlError> {
    let value = params.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    let written = value.and_then(literal).ok_or_else(|| {
        let wanted = format!("a value for the parameter @{name}");
        Fault::Syntax { wanted, found: value.map_or_else(|| "none".into(), Value::to_string) }.at(span.clone())
    })?;
    // What the workspace's date is to the embedded engine it is here too.
    Ok(if name.eq_ignore_ascii_case("as_of") { format!("DATE {written}") } else { written })
}

/// A value as BigQuery's dialect writes it; `None` for a table, which it cannot write.
#[must_use]
pub fn literal(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => "NULL".into(),
        Value::Bool(true) => "TRUE".into(),
        Value::Bool(false) => "FALSE".into(),
        Value::Number(number) if number.as_f64().is_some_and(|value| value < 0.0) => format!("({number})"),
        Value::Number(number) => number.to_string(),
        // JSON's escapes are among those of the dialect.
        Value::String(_) => value.to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(literal).collect::<Option<Vec<_>>>()?.join(", ")),
        Value::Object(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn replaced(text: &str) -> Replaced {
        let params = json!({"n": -3, "s": "it's \"x\"\n", "as_of": "2019-01-03"});
        let table = |name: &str| (name != "d.kept").then(|| format!("(SELECT * FROM `p.{name}`)"));
        replace(text, &table, params.as_object().unwrap()).unwrap()
    }

    #[test]
    fn every_mention_is_replaced_under_the_name_it_goes_by() {
        let text = "WITH a AS (SELECT * FROM d.t)\nSELECT raw.x, @n, @s FROM `d.raw` JOIN d.t AS u USING (x) JOIN a USING (x) JOIN d.kept USING (x) WHERE x < @as_of";
        let expected = "WITH a AS (SELECT * FROM (SELECT * FROM `p.d.t`) AS `t`)\nSELECT raw.x, (-3), \"it's \\\"x\\\"\\n\" FROM (SELECT * FROM `p.d.raw`) AS `raw` \
             JOIN (SELECT * FROM `p.d.t`) AS u USING (x) JOIN a USING (x) JOIN d.kept USING (x) WHERE x < DATE \"2019-01-03\"";
        assert_eq!(replaced(text).text, expected);
        let again = read(&replaced(text).text).unwrap();
        assert_eq!(again.tables.len(), 3);
    }

    #[test]
    fn a_place_of_the_new_text_is_found_in_the_old() {
        let text = "SELECT x,\n  y + @n FROM d.t AS `é` WHERE nope";
        let new = replaced(text);
        let column = new.text.lines().nth(1).unwrap().chars().collect::<String>();
        let column = column[..column.find("nope").unwrap()].chars().count() + 1;
        assert_eq!(new.was_at(2, column), text.find("nope"));
        assert_eq!(new.was_at(1, 8), Some(7));
        assert_eq!(new.was(new.text.find("`p.d.t`").unwrap()), text.find("d.t").unwrap());
        assert_eq!(new.was_at(9, 1), None);
        assert_eq!(new.word_at(&format!("Unrecognized name: nope at [2:{column}]"), text), Some("nope"));
        assert_eq!(new.word_at("no place", text), None);
    }

    #[test]
    fn a_tab_counts_as_bigquery_counts_it_and_no_place_of_the_new_text_is_told() {
        let text = "SELECT\n\tx,\ty\tAS nope FROM d.kept";
        let new = replaced(text);
        assert_eq!((new.was_at(2, 9), new.was_at(2, 17), new.was_at(2, 25)), (text.find('x'), text.find('y'), text.find("AS")));
        let message = "Unrecognized name: nope; Did you mean [x]? at [2:28]";
        assert_eq!(
            (new.place(message), without_place(message).as_str()),
            (text.find("nope"), "Unrecognized name: nope; Did you mean [x]?")
        );
        assert_eq!(without_place("Syntax error at [1:2]: no"), "Syntax error: no");
        assert_eq!(without_place("look at [x:y]"), "look at [x:y]");
    }

    proptest! {
        #[test]
        fn what_was_not_replaced_is_found_byte_for_byte(words in prop::collection::vec(prop::sample::select(vec!["d.t", "d.kept", "@n", "'é'", "1.5"]), 1..8)) {
            let text: String = words.iter().map(|word| if word.starts_with("d.") { format!(" UNION ALL SELECT 1 FROM {word} AS z") } else { format!(" UNION ALL SELECT {word}") }).collect();
            let text = format!("SELECT 1{text}");
            let new = replaced(&text);
            for (at, byte) in new.text.bytes().enumerate() {
                let inside = new.pieces.iter().any(|(now, _)| now.contains(&at));
                prop_assert!(inside || text.as_bytes()[new.was(at)] == byte);
            }
        }
    }
}
