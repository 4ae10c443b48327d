//! Owns what a query needs: tables and parameters, each with its place. Invariant: a query that read accepts depends on nothing but its
//! text, its parameters and the tables listed.

use std::collections::BTreeSet;

use crate::syntax::sql::ast::{Expr, ExprKind, Query, Relation};
use crate::syntax::sql::error::{Fault, SqlError, unsupported};
use crate::syntax::sql::lex;
use crate::syntax::sql::parse::{closest, parse};
use crate::syntax::sql::parts::Span;
use crate::syntax::sql::token::Kind;
use crate::syntax::sql::walk::{self, Visit};

/// A query's text, read.
#[derive(Debug, Clone)]
pub struct Sql {
    /// Its tree.
    pub query: Query,
    /// Its text without comments and layout.
    pub canonical: String,
    /// The tables it reads, `dataset.table`, with the first place of each, in the order of the text.
    pub tables: Vec<(String, Span)>,
    /// The named parameters it uses, with the first place of each, in the order of the text.
    pub params: Vec<(String, Span)>,
    /// Every place at which it reads a table or uses a parameter, in the order of the text.
    pub mentions: Vec<Mention>,
    /// Every word and name in it, in small letters.
    pub words: BTreeSet<String>,
}

/// A table or a parameter, at one place of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention {
    /// The table's name, `dataset.table`, or the parameter's.
    pub name: String,
    /// Where.
    pub span: Span,
    /// Which of the two it is.
    pub what: Mentioned,
}

/// What is mentioned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mentioned {
    /// A table that goes by its own name here.
    Table,
    /// A table that is given another name here.
    Renamed,
    /// A parameter.
    Param,
}

/// Functions whose value is not a function of their arguments, and what to use instead.
const IMPURE: &[(&str, &str)] = &[
    ("CURRENT_DATE", "use @as_of, the workspace's date"),
    ("CURRENT_DATETIME", "use DATETIME(@as_of), the workspace's date"),
    ("CURRENT_TIMESTAMP", "use TIMESTAMP(@as_of), the workspace's date; when a step ran is in its record, not in its table"),
    ("CURRENT_TIME", "leave it out; when a step ran is in its record"),
    ("NOW", "use TIMESTAMP(@as_of), the workspace's date"),
    ("RAND", "use a column to choose rows by, for example MOD of a key"),
    ("GENERATE_UUID", "use a key made of columns"),
    ("SESSION_USER", "leave it out; who ran a step must not change its table"),
    ("KEYS.NEW_KEYSET", "leave it out"),
];

/// Reads a query.
///
/// # Errors
/// The first thing wrong with it, and where.
pub fn read(text: &str) -> Result<Sql, SqlError> {
    let tokens = lex::tokens(text)?;
    let query = parse(text, &tokens)?;
    let mut found = Found::default();
    walk::query(&query, &mut found)?;
    found.tables.sort_by_key(|(_, span)| span.start);
    found.params.sort_by_key(|(_, span)| span.start);
    found.mentions.sort_by_key(|mention| mention.span.start);
    let words = tokens.iter().filter_map(|token| match &token.kind {
        Kind::Word(word) | Kind::Quoted(word) => Some(word.to_lowercase()),
        _ => None,
    });
    let words = words.collect();
    Ok(Sql { words, canonical: lex::canonical(text, &tokens), query, tables: found.tables, params: found.params, mentions: found.mentions })
}

#[derive(Default)]
struct Found {
    tables: Vec<(String, Span)>,
    params: Vec<(String, Span)>,
    mentions: Vec<Mention>,
    /// Names of the `WITH` queries that can be seen, innermost last.
    named: Vec<String>,
    /// How many of them each open query added.
    added: Vec<usize>,
}

impl Visit for Found {
    fn enter(&mut self, query: &Query) {
        let all = if query.recursive { query.with.len() } else { 0 };
        self.named.extend(query.with.iter().take(all).map(|(name, _)| name.text.clone()));
        self.added.push(all);
    }

    fn named(&mut self, query: &Query, index: usize) {
        if !query.recursive {
            self.named.push(query.with[index].0.text.clone());
            *self.added.last_mut().unwrap_or(&mut 0) += 1;
        }
    }

    fn leave(&mut self, _query: &Query) {
        let keep = self.named.len() - self.added.pop().unwrap_or(0);
        self.named.truncate(keep);
    }

    fn relation(&mut self, relation: &Relation) -> Result<(), SqlError> {
        let Relation::Table { path, span, alias } = relation else { return Ok(()) };
        let parts: Vec<&str> = path.iter().map(|n| n.text.as_str()).collect();
        if let [name] = parts[..] {
            if self.named.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                return Ok(());
            }
            let nearest = closest(name, self.named.iter().map(String::as_str));
            return Err(Fault::TableName { name: name.to_owned(), nearest }.at(span.clone()));
        }
        if parts.iter().any(|part| part.eq_ignore_ascii_case("INFORMATION_SCHEMA")) {
            return Err(unsupported("INFORMATION_SCHEMA", None).at(span.clone()));
        }
        let name = table_name(&parts);
        if name.contains('*') {
            let instead = Some("name the tables, with UNION ALL between");
            return Err(unsupported("a wildcard table", instead).at(span.clone()));
        }
        if !crate::base::name::is_table_name(&name) {
            return Err(Fault::TableName { name, nearest: None }.at(span.clone()));
        }
        add(&mut self.tables, &name, span);
        let what = if alias.is_some() { Mentioned::Renamed } else { Mentioned::Table };
        self.mentions.push(Mention { name, span: span.clone(), what });
        Ok(())
    }

    fn expr(&mut self, expr: &Expr) -> Result<(), SqlError> {
        match &expr.kind {
            ExprKind::Param(name) => {
                add(&mut self.params, name, &expr.span);
                self.mentions.push(Mention { name: name.clone(), span: expr.span.clone(), what: Mentioned::Param });
            }
            ExprKind::Call(call) => {
                if let Some((name, instead)) = IMPURE.iter().find(|(name, _)| *name == call.name) {
                    let name = format!("{name}()");
                    return Err(Fault::Impure { name, instead }.at(call.name_span.clone()));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// A table is named by the last two parts of its path; a project before them is where it happens to live.
pub(crate) fn table_name(path: &[&str]) -> String {
    path[path.len().saturating_sub(2)..].join(".")
}

fn add(list: &mut Vec<(String, Span)>, name: &str, span: &Span) {
    match list.iter_mut().find(|(known, _)| known == name) {
        Some((_, first)) if first.start > span.start => *first = span.clone(),
        Some(_) => {}
        None => list.push((name.to_owned(), span.clone())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tables(text: &str) -> Vec<String> {
        read(text).unwrap().tables.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn tables_are_found_wherever_a_query_can_stand() {
        let text = "
            WITH a AS (SELECT * FROM d.one), `b` AS (SELECT x FROM a JOIN `d.two` AS t USING (x) -- d.not
            ) SELECT (SELECT MAX(x) FROM d.three), ARRAY(SELECT x FROM `p-1`.d.four)
            FROM b, (SELECT * FROM my-project.d.five) LEFT JOIN (d.six CROSS JOIN UNNEST([1]) AS u) ON TRUE
            WHERE x IN (SELECT x FROM d.seven) AND EXISTS (SELECT 1 FROM d.eight WHERE 'd.not' = x)
            GROUP BY x HAVING COUNT(*) > (SELECT 1 FROM d.nine) QUALIFY ROW_NUMBER() OVER (ORDER BY (SELECT 1 FROM d.ten)) = 1
            UNION ALL (SELECT * FROM d.eleven EXCEPT DISTINCT SELECT * FROM d.one)";
        let names = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"];
        assert_eq!(tables(text), names.map(|name| format!("d.{name}")));
    }

    #[test]
    fn a_named_query_hides_nothing_outside_and_is_seen_in_any_case() {
        assert_eq!(tables("WITH t AS (SELECT 1 AS x) SELECT * FROM T JOIN d.t ON TRUE"), ["d.t"]);
        let inner = "SELECT * FROM (WITH t AS (SELECT 1 AS x) SELECT * FROM t) JOIN t ON TRUE";
        assert!(matches!(read(inner).unwrap_err().fault, Fault::TableName { .. }));
        assert!(read("WITH t AS (SELECT * FROM t) SELECT 1").is_err(), "only WITH RECURSIVE sees itself");
        assert!(tables("WITH RECURSIVE t AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM t WHERE x < 3) SELECT * FROM t").is_empty());
        assert_eq!(tables("SELECT x FROM d.t, t.items AS x"), ["d.t"], "an array of the row before");
    }

    #[test]
    fn every_place_is_the_words_themselves() {
        let text = "SELECT é, @from FROM `d.t` WHERE x = @from AND y < @to";
        let sql = read(&text.replace('é', "`é`")).unwrap();
        let text = text.replace('é', "`é`");
        assert_eq!(&text[sql.tables[0].1.clone()], "`d.t`");
        assert_eq!(
            sql.params.iter().map(|(name, span)| (name.as_str(), &text[span.clone()])).collect::<Vec<_>>(),
            [("from", "@from"), ("to", "@to")]
        );
        let error = read("SELECT 1,\n  CURRENT_DATE() AS d").unwrap_err();
        assert_eq!(error.span, 12..24);
    }

    /// Words and signs that a query may hold, in any order.
    fn soup() -> impl Strategy<Value = String> {
        let words = [
            "SELECT",
            "FROM",
            "WHERE",
            "(",
            ")",
            "[",
            "]",
            ",",
            "*",
            ".",
            "x",
            "d.t",
            "`a`",
            "'s'",
            "1",
            "2.5",
            "@p",
            "AND",
            "NOT",
            "IN",
            "CASE",
            "WHEN",
            "THEN",
            "END",
            "CAST",
            "AS",
            "INT64",
            "STRUCT",
            "ARRAY",
            "<",
            ">",
            "=",
            "-",
            "JOIN",
            "ON",
            "USING",
            "WITH",
            "UNION",
            "ALL",
            "OVER",
            "PARTITION",
            "BY",
            "ORDER",
            "ROWS",
            "BETWEEN",
            "INTERVAL",
            "DAY",
            "EXTRACT",
            "UNNEST",
            "EXCEPT",
            "REPLACE",
            "COUNT",
            ";",
            "||",
            "DATE",
            "--c\n",
            "/*c*/",
            "é",
            "'",
            "`",
            "\\",
            "LIMIT",
            "GROUP",
            "QUALIFY",
            "WINDOW",
            "IS",
            "NULL",
            "LIKE",
            "DISTINCT",
        ];
        prop::collection::vec(prop::sample::select(words.to_vec()), 0..40).prop_map(|words| words.join(" "))
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_no_place_lies_outside(text in soup()) {
            match read(&text) {
                Ok(sql) => {
                    let again = read(&sql.canonical).unwrap();
                    prop_assert_eq!(&again.canonical, &sql.canonical);
                    prop_assert_eq!(again.tables.len(), sql.tables.len());
                }
                Err(error) => prop_assert!(text.get(error.span.clone()).is_some(), "{error} at {:?}", error.span),
            }
        }

        #[test]
        fn layout_and_comments_never_count(gaps in prop::collection::vec(prop::sample::select(vec![" ", "\n", "\t ", " -- c\n", " /* c */ ", " # c\n"]), 24)) {
            let words = ["WITH", "a", "AS", "(", "SELECT", "x", "+", "1", "AS", "y", "FROM", "d", ".", "t", ")", "SELECT", "SUM", "(", "y", ")", "FROM", "a", ";", ""];
            let text: String = words.iter().zip(&gaps).flat_map(|(word, gap)| [*word, *gap]).collect();
            prop_assert_eq!(read(&text).unwrap().canonical, "WITH a AS ( SELECT x + 1 AS y FROM d . t ) SELECT SUM ( y ) FROM a");
        }
    }
}
