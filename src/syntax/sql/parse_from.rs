//! Owns the grammar of `FROM`: tables, queries, arrays and joins. Invariant: joins are read from left to right, commas included, as BigQuery
//! reads them.

use crate::syntax::sql::ast::{Expr, ExprKind, On, Relation};
use crate::syntax::sql::error::{Fault, SqlError, unsupported};
use crate::syntax::sql::parse::Parser;
use crate::syntax::sql::parts::Name;
use crate::syntax::sql::token::Kind;

impl Parser<'_> {
    pub(super) fn from(&mut self) -> Result<Relation, SqlError> {
        self.deeper(|p| {
            let (mut left, mut links) = (p.relation(None)?, 0);
            loop {
                p.chained(&mut links)?;
                let Some(kind) = p.join_kind()? else { return Ok(left) };
                let right = p.relation(Some(&left))?;
                let on = p.on(kind, &right)?;
                left = Relation::Join { left: Box::new(left), right: Box::new(right), kind, on };
            }
        })
    }

    fn join_kind(&mut self) -> Result<Option<&'static str>, SqlError> {
        if self.symbol(",") {
            return Ok(Some("CROSS"));
        }
        if self.accept(&["JOIN"]) {
            return Ok(Some("INNER"));
        }
        let Some(kind) = self.one_of(&["CROSS", "INNER", "LEFT", "RIGHT", "FULL"]) else { return Ok(None) };
        if matches!(kind, "LEFT" | "RIGHT" | "FULL") {
            self.accept(&["OUTER"]);
        }
        self.expect(&["JOIN"])?;
        Ok(Some(kind))
    }

    fn on(&mut self, kind: &str, right: &Relation) -> Result<On, SqlError> {
        if kind == "CROSS" {
            return Ok(On::Nothing);
        }
        if self.accept(&["ON"]) {
            return self.expr().map(On::Expr);
        }
        if self.accept(&["USING"]) {
            self.expect_symbol("(")?;
            let columns = self.list(|p| p.name("a column"))?;
            self.expect_symbol(")")?;
            return Ok(On::Using(columns));
        }
        if matches!(right, Relation::Unnest { .. }) && matches!(kind, "INNER" | "LEFT") {
            return Ok(On::Nothing);
        }
        Err(self.expected("ON or USING"))
    }

    /// One relation; `left` is what stands before it in the same `FROM`.
    fn relation(&mut self, left: Option<&Relation>) -> Result<Relation, SqlError> {
        if self.is("UNNEST") {
            return self.unnest();
        }
        if self.is("LATERAL") {
            return Err(unsupported("LATERAL", None).at(self.span()));
        }
        let relation = if self.symbol("(") { self.parenthesised()? } else { self.table(left)? };
        self.refuse_table_operators()?;
        Ok(relation)
    }

    fn parenthesised(&mut self) -> Result<Relation, SqlError> {
        let start = self.at;
        if self.starts_query() {
            let query = self.query().and_then(|query| self.expect_symbol(")").map(|()| query));
            match query {
                Ok(query) => return Ok(Relation::Query { query: Box::new(query), alias: self.alias()? }),
                Err(error) if self.tokens_are_query(start) => return Err(error),
                Err(_) => self.at = start,
            }
        }
        let inner = self.from()?;
        self.expect_symbol(")")?;
        Ok(Relation::Nested(Box::new(inner)))
    }

    /// Whether what follows may be a query: `SELECT`, `WITH`, or either inside parentheses.
    pub(super) fn starts_query(&self) -> bool {
        let mut by = 0;
        while matches!(self.ahead(by).kind, Kind::Symbol("(")) {
            by += 1;
        }
        self.is_ahead(by, "SELECT") || self.is_ahead(by, "WITH")
    }

    /// Whether the token at `start` itself begins a query, so that nothing else can stand there.
    pub(super) fn tokens_are_query(&mut self, start: usize) -> bool {
        let now = std::mem::replace(&mut self.at, start);
        let is = self.is("SELECT") || self.is("WITH");
        self.at = now;
        is
    }

    fn unnest(&mut self) -> Result<Relation, SqlError> {
        self.next();
        self.expect_symbol("(")?;
        let array = self.expr()?;
        if self.is_symbol(",") || self.is_symbol("=>") {
            return Err(unsupported("UNNEST of several arrays", Some("join one UNNEST after another on their offsets")).at(self.span()));
        }
        self.expect_symbol(")")?;
        self.array_alias(array)
    }

    /// What follows an array in `FROM`: `[AS x] [WITH OFFSET [AS y]]`.
    fn array_alias(&mut self, array: Expr) -> Result<Relation, SqlError> {
        let alias = self.alias()?;
        let start = self.span().start;
        let offset = if self.accept(&["WITH", "OFFSET"]) {
            let span = self.since(start);
            Some(self.alias()?.unwrap_or(Name { text: "offset".into(), span }))
        } else {
            None
        };
        Ok(Relation::Unnest { array, alias, offset })
    }

    fn table(&mut self, left: Option<&Relation>) -> Result<Relation, SqlError> {
        let start = self.span().start;
        let mut path = self.path_part()?;
        while self.symbol(".") {
            if self.is_symbol("*") {
                return Err(unsupported("a wildcard table", Some("name the tables, with UNION ALL between")).at(self.since(start)));
            }
            let more = self.field_name()?;
            path.extend(split(&more));
        }
        let span = self.since(start);
        if self.is_symbol("(") {
            let name: Vec<_> = path.iter().map(|n| n.text.to_ascii_uppercase()).collect();
            return Err(unsupported(format!("the table function {}", name.join(".")), None).at(span));
        }
        if path.len() > 1 && left.is_some_and(|left| names(left).iter().any(|n| n.eq_ignore_ascii_case(&path[0].text))) {
            // `FROM t, t.items`: an array of the row before.
            return self.array_alias(Expr { kind: ExprKind::Column(path), span });
        }
        let alias = self.alias()?;
        Ok(Relation::Table { path, alias, span })
    }

    /// The first part of a table's path. A project's name may have dashes without backticks; backticks may hold several parts.
    fn path_part(&mut self) -> Result<Vec<Name>, SqlError> {
        let first = self.name("a table")?;
        let mut name = first.clone();
        while self.is_symbol("-") {
            self.next();
            let token = self.next();
            match token.kind {
                Kind::Word(part) | Kind::Int(part) => name.text = format!("{}-{part}", name.text),
                _ => {
                    return Err(
                        Fault::Syntax { wanted: "the rest of a project's name".into(), found: token.describe(self.text) }.at(token.span)
                    );
                }
            }
            name.span.end = token.span.end;
        }
        Ok(split(&name))
    }

    fn refuse_table_operators(&mut self) -> Result<(), SqlError> {
        let refused: &[(&[&str], &str, &str)] = &[
            (&["PIVOT"], "PIVOT", "write MAX(IF(column = 'value', x, NULL)) for each value"),
            (&["UNPIVOT"], "UNPIVOT", "write one SELECT for each column, with UNION ALL between"),
            (&["TABLESAMPLE"], "TABLESAMPLE", "filter on a column"),
            (&["FOR", "SYSTEM_TIME"], "FOR SYSTEM_TIME AS OF", "a build pins the tables it reads"),
            (&["MATCH_RECOGNIZE"], "MATCH_RECOGNIZE", "use window functions"),
        ];
        for (words, what, instead) in refused {
            if words.iter().enumerate().all(|(by, word)| self.is_ahead(by, word)) {
                return Err(unsupported(*what, Some(instead)).at(self.span()));
            }
        }
        Ok(())
    }
}

/// Backticks may hold a whole path: `a.b`.
fn split(name: &Name) -> Vec<Name> {
    name.text.split('.').map(|text| Name { text: text.to_owned(), span: name.span.clone() }).collect()
}

/// What a relation's parts are called.
fn names(relation: &Relation) -> Vec<&str> {
    match relation {
        Relation::Table { path, alias, .. } => alias.as_ref().or_else(|| path.last()).map(|n| n.text.as_str()).into_iter().collect(),
        Relation::Query { alias, .. } | Relation::Unnest { alias, .. } => alias.iter().map(|n| n.text.as_str()).collect(),
        Relation::Nested(inner) => names(inner),
        Relation::Join { left, right, .. } => [names(left), names(right)].concat(),
    }
}
