//! Owns the tokens of BigQuery SQL. Invariant: two texts with the same canonical form have the same tokens, so comments, layout and the case
//! of keywords never count.

use std::ops::Range;

use crate::syntax::sql::error::{Fault, SqlError};
use crate::syntax::sql::literal;
use crate::syntax::sql::token::{Kind, Token};

/// Longest first.
const SYMBOLS: &[&str] = &[
    "|>", "||", "<=", ">=", "<>", "!=", "=>", "(", ")", "[", "]", ",", ";", ".", "*", "+", "-", "/", "=", "<", ">", "&", "|", "^", "~",
    ":", "?", "{", "}", "@",
];

/// Words that cannot be names, which BigQuery reserves.
pub const RESERVED: &[&str] = &[
    "ALL",
    "AND",
    "ANY",
    "ARRAY",
    "AS",
    "ASC",
    "ASSERT_ROWS_MODIFIED",
    "AT",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "COLLATE",
    "CONTAINS",
    "CREATE",
    "CROSS",
    "CUBE",
    "CURRENT",
    "DEFAULT",
    "DEFINE",
    "DESC",
    "DISTINCT",
    "ELSE",
    "END",
    "ENUM",
    "ESCAPE",
    "EXCEPT",
    "EXCLUDE",
    "EXISTS",
    "EXTRACT",
    "FALSE",
    "FETCH",
    "FOLLOWING",
    "FOR",
    "FROM",
    "FULL",
    "GROUP",
    "GROUPING",
    "GROUPS",
    "HASH",
    "HAVING",
    "IF",
    "IGNORE",
    "IN",
    "INNER",
    "INTERSECT",
    "INTERVAL",
    "INTO",
    "IS",
    "JOIN",
    "LATERAL",
    "LEFT",
    "LIKE",
    "LIMIT",
    "LOOKUP",
    "MERGE",
    "NATURAL",
    "NEW",
    "NO",
    "NOT",
    "NULL",
    "NULLS",
    "OF",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PARTITION",
    "PRECEDING",
    "PROTO",
    "QUALIFY",
    "RANGE",
    "RECURSIVE",
    "RESPECT",
    "RIGHT",
    "ROLLUP",
    "ROWS",
    "SELECT",
    "SET",
    "SOME",
    "STRUCT",
    "TABLESAMPLE",
    "THEN",
    "TO",
    "TREAT",
    "TRUE",
    "UNBOUNDED",
    "UNION",
    "UNNEST",
    "USING",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
    "WITHIN",
];

/// Whether a word is reserved, in any case.
#[must_use]
pub fn is_reserved(word: &str) -> bool {
    RESERVED.binary_search(&word.to_ascii_uppercase().as_str()).is_ok()
}

/// The tokens of `text`, the last one `End`.
///
/// # Errors
/// When a literal or comment does not end or cannot be read, or a character means nothing.
pub fn tokens(text: &str) -> Result<Vec<Token>, SqlError> {
    let mut all = Vec::new();
    let mut at = 0;
    while let Some(start) = skip_blank(text, at)? {
        let (kind, end) = next(text, start)?;
        all.push(Token { kind, span: start..end });
        at = end;
    }
    all.push(Token { kind: Kind::End, span: text.len()..text.len() });
    Ok(all)
}

/// The text without comments and layout: tokens joined by one space, keywords and function names in capitals, no `;` at the end.
#[must_use]
pub fn canonical(text: &str, tokens: &[Token]) -> String {
    let mut parts: Vec<String> = Vec::with_capacity(tokens.len());
    let end = tokens.iter().rposition(|t| !matches!(t.kind, Kind::End | Kind::Symbol(";"))).map_or(0, |last| last + 1);
    for (index, token) in tokens[..end].iter().enumerate() {
        let written = text.get(token.span.clone()).unwrap_or_default();
        let called = matches!(tokens.get(index + 1), Some(Token { kind: Kind::Symbol("("), .. }));
        let field = index > 0 && tokens[index - 1].kind == Kind::Symbol(".") && !called;
        let keyword = matches!(&token.kind, Kind::Word(word) if !field && (called || is_reserved(word)));
        parts.push(if keyword { written.to_ascii_uppercase() } else { written.to_owned() });
    }
    parts.join(" ")
}

/// Where a name first stands in a query, in any case, with backticks or without.
#[must_use]
pub fn find(text: &str, name: &str) -> Option<usize> {
    let same = |span: &Range<usize>| text[span.clone()].trim_matches('`').eq_ignore_ascii_case(name);
    tokens(text).ok()?.into_iter().map(|token| token.span).find(same).map(|span| span.start)
}

/// Where the next token starts; `None` at the end.
fn skip_blank(text: &str, mut at: usize) -> Result<Option<usize>, SqlError> {
    loop {
        let rest = &text[at..];
        let trimmed = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
        at += rest.len() - trimmed.len();
        if trimmed.is_empty() {
            return Ok(None);
        }
        if trimmed.starts_with("--") || trimmed.starts_with('#') {
            at += trimmed.find('\n').unwrap_or(trimmed.len());
        } else if trimmed.starts_with("/*") {
            let Some(length) = trimmed.find("*/") else {
                return Err(Fault::Literal { problem: "this comment does not end".into() }.at(at..at + 2));
            };
            at += length + 2;
        } else {
            return Ok(Some(at));
        }
    }
}

fn next(text: &str, start: usize) -> Result<(Kind, usize), SqlError> {
    let rest = &text[start..];
    if let Some((value, length)) = literal::string(rest, start)? {
        return Ok((value, start + length));
    }
    if rest.starts_with('`') {
        let (name, length) = literal::backticked(rest, start)?;
        return Ok((Kind::Quoted(name), start + length));
    }
    if let Some((value, length)) = literal::number(rest, start)? {
        return Ok((value, start + length));
    }
    let word = word_length(rest);
    if word > 0 {
        return Ok((Kind::Word(rest[..word].to_owned()), start + word));
    }
    if let Some(name) = rest.strip_prefix('@') {
        let length = word_length(name);
        if length > 0 {
            return Ok((Kind::Param(name[..length].to_owned()), start + 1 + length));
        }
    }
    if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
        return Ok((Kind::Symbol(symbol), start + symbol.len()));
    }
    let wide = rest.chars().next().map_or(1, char::len_utf8);
    Err(Fault::Literal { problem: format!("'{}' means nothing here", &rest[..wide]) }.at(start..start + wide))
}

fn word_length(text: &str) -> usize {
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if first { text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canon(text: &str) -> String {
        canonical(text, &tokens(text).unwrap())
    }

    #[test]
    fn the_list_of_reserved_words_is_sorted() {
        assert!(RESERVED.is_sorted());
    }

    #[test]
    fn comments_layout_and_the_case_of_keywords_do_not_count() {
        let one = "select  round( x,2 ) AS y -- why\nfrom d.t /* t */ where s = 'a  b' # end\n;";
        assert_eq!(canon(one), "SELECT ROUND ( x , 2 ) AS y FROM d . t WHERE s = 'a  b'");
        assert_eq!(canon("SELECT Round(x,2) as y FROM d.t WHERE s='a  b'"), canon(one));
    }

    #[test]
    fn what_does_count_stays() {
        for (a, b) in [("SELECT 'a'", "SELECT 'A'"), ("SELECT x", "SELECT X"), ("SELECT 1 -1", "SELECT 1"), ("SELECT `a`", "SELECT a")] {
            assert_ne!(canon(a), canon(b));
        }
    }

    #[test]
    fn the_canonical_text_is_its_own_canonical_text() {
        let text = "SELECT r'\\d', \"q\", '''tri'ple''', .5, 1e-3, 0xFF, a.b, `p-1.d.t`, @x FROM d.t WHERE a<>b AND c>=1";
        assert_eq!(canon(&canon(text)), canon(text));
        let kinds = |t: &str| tokens(t).unwrap().into_iter().map(|t| t.kind).collect::<Vec<_>>();
        assert_eq!(kinds(&canon(text)).len(), kinds(text).len());
    }

    #[test]
    fn what_does_not_end_is_refused_where_it_starts() {
        for (text, start) in [("SELECT 'abc", 7), ("SELECT /* x", 7), ("SELECT `a", 7), ("SELECT 'a\nb'", 7), ("SELECT $", 7)] {
            assert_eq!(tokens(text).unwrap_err().span.start, start, "{text}");
        }
    }
}
