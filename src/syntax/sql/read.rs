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
    /// Every word and name in it, in small letters.
    pub words: BTreeSet<String>,
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
    let words = tokens.iter().filter_map(|token| match &token.kind {
        Kind::Word(word) | Kind::Quoted(word) => Some(word.to_lowercase()),
        _ => None,
    });
    let words = words.collect();
    Ok(Sql { words, canonical: lex::canonical(text, &tokens), query, tables: found.tables, params: found.params })
}

#[derive(Default)]
struct Found {
    tables: Vec<(String, Span)>,
    params: Vec<(String, Span)>,
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
        let Relation::Table { path, span, .. } = relation else { return Ok(()) };
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
        Ok(())
    }

    fn expr(&mut self, expr: &Expr) -> Result<(), SqlError> {
        match &expr.kind {
            ExprKind::Param(name) => add(&mut self.params, name, &expr.span),
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
