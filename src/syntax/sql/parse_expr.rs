//! Owns the grammar of expressions. Invariant: operators bind as BigQuery's manual says, from `OR` (loosest) to `.` and `[]`.

use crate::syntax::sql::ast::{Expr, ExprKind, InSet};
use crate::syntax::sql::error::{Fault, SqlError, unsupported};
use crate::syntax::sql::parse::Parser;
use crate::syntax::sql::token::Kind;

/// Operators that stand between two expressions, loosest first; `||` binds as `*` does.
const LEVELS: &[&[&str]] = &[&["|"], &["^"], &["&"], &["+", "-"], &["*", "/", "||"]];

const COMPARISONS: &[&str] = &["=", "<", ">", "<=", ">=", "!=", "<>"];

impl Parser<'_> {
    pub(super) fn expr(&mut self) -> Result<Expr, SqlError> {
        self.deeper(Self::disjunction)
    }

    fn disjunction(&mut self) -> Result<Expr, SqlError> {
        let (mut left, mut links) = (self.conjunction()?, 0);
        while self.accept(&["OR"]) {
            self.chained(&mut links)?;
            left = binary("OR", left, self.conjunction()?);
        }
        Ok(left)
    }

    fn conjunction(&mut self) -> Result<Expr, SqlError> {
        let (mut left, mut links) = (self.negation()?, 0);
        while self.accept(&["AND"]) {
            self.chained(&mut links)?;
            left = binary("AND", left, self.negation()?);
        }
        Ok(left)
    }

    fn negation(&mut self) -> Result<Expr, SqlError> {
        let start = self.span().start;
        if self.accept(&["NOT"]) {
            let inner = self.deeper(Self::negation)?;
            return Ok(self.made(start, ExprKind::Unary("NOT", Box::new(inner))));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Expr, SqlError> {
        let left = self.binary(0)?;
        let start = left.span.start;
        if let Kind::Symbol(symbol) = self.token().kind
            && COMPARISONS.contains(&symbol)
        {
            self.next();
            let op = if symbol == "!=" { "<>" } else { symbol };
            let right = self.binary(0)?;
            return Ok(binary(op, left, right));
        }
        if self.accept(&["IS"]) {
            return self.is_test(left, start);
        }
        let not = self.is("NOT") && ["LIKE", "IN", "BETWEEN"].iter().any(|word| self.is_ahead(1, word));
        if not {
            self.next();
        }
        let expr = Box::new(left);
        let kind = match self.one_of(&["LIKE", "IN", "BETWEEN"]) {
            Some("LIKE") => {
                if ["ANY", "SOME", "ALL"].iter().any(|word| self.is(word)) {
                    return Err(unsupported("LIKE ANY or LIKE ALL", Some("write several LIKEs with OR or AND")).at(self.span()));
                }
                ExprKind::Like { expr, not, pattern: Box::new(self.binary(0)?) }
            }
            Some("IN") => ExprKind::In { expr, not, set: self.in_set()? },
            Some(_) => {
                let low = self.binary(0)?;
                self.expect(&["AND"])?;
                ExprKind::Between { expr, not, range: Box::new((low, self.binary(0)?)) }
            }
            None => return Ok(*expr),
        };
        Ok(self.made(start, kind))
    }

    fn is_test(&mut self, expr: Expr, start: usize) -> Result<Expr, SqlError> {
        let not = self.accept(&["NOT"]);
        let kind = if self.accept(&["DISTINCT", "FROM"]) {
            ExprKind::Distinct { pair: Box::new((expr, self.binary(0)?)), not }
        } else {
            match self.one_of(&["NULL", "TRUE", "FALSE"]) {
                Some(what) => ExprKind::Is { expr: Box::new(expr), not, what },
                None => return Err(self.expected("NULL, TRUE, FALSE or DISTINCT FROM")),
            }
        };
        Ok(self.made(start, kind))
    }

    fn in_set(&mut self) -> Result<InSet, SqlError> {
        if self.accept(&["UNNEST"]) {
            self.expect_symbol("(")?;
            let array = self.expr()?;
            self.expect_symbol(")")?;
            return Ok(InSet::Unnest(Box::new(array)));
        }
        self.expect_symbol("(")?;
        let set = if self.starts_query() { InSet::Query(Box::new(self.query()?)) } else { InSet::List(self.list(Self::expr)?) };
        self.expect_symbol(")")?;
        Ok(set)
    }

    /// Operators that bind at least as strongly as those of `loosest`.
    fn binary(&mut self, loosest: usize) -> Result<Expr, SqlError> {
        let (mut left, mut links) = (self.unary()?, 0);
        loop {
            let Kind::Symbol(symbol) = self.token().kind else { return Ok(left) };
            let Some(level) = LEVELS.iter().position(|level| level.contains(&symbol)).filter(|level| *level >= loosest) else {
                return Ok(left);
            };
            self.next();
            self.chained(&mut links)?;
            let right = self.binary(level + 1)?;
            left = binary(symbol, left, right);
        }
    }

    fn unary(&mut self) -> Result<Expr, SqlError> {
        let start = self.span().start;
        for sign in ["-", "+", "~"] {
            if self.symbol(sign) {
                let inner = self.deeper(Self::unary)?;
                return Ok(self.made(start, ExprKind::Unary(sign, Box::new(inner))));
            }
        }
        self.postfix()
    }

    /// A primary with its fields and elements: `x.y[OFFSET(0)].z`.
    fn postfix(&mut self) -> Result<Expr, SqlError> {
        let (mut expr, mut links) = (self.primary()?, 0);
        let start = expr.span.start;
        loop {
            self.chained(&mut links)?;
            if self.is_symbol(".") && !matches!(self.ahead(1).kind, Kind::Symbol("*")) {
                self.next();
                let field = self.field_name()?;
                expr = self.made(start, ExprKind::Field(Box::new(expr), field));
            } else if self.symbol("[") {
                let by = if matches!(self.ahead(1).kind, Kind::Symbol("(")) {
                    self.one_of(&["OFFSET", "ORDINAL", "SAFE_OFFSET", "SAFE_ORDINAL"]).unwrap_or("")
                } else {
                    ""
                };
                let index = Box::new(self.expr()?);
                self.expect_symbol("]")?;
                expr = self.made(start, ExprKind::Element { array: Box::new(expr), by, index });
            } else {
                return Ok(expr);
            }
        }
    }

    /// `(…)`: a query, one expression, or several as a struct.
    pub(super) fn parenthesised_expr(&mut self) -> Result<Expr, SqlError> {
        let start = self.span().start;
        self.expect_symbol("(")?;
        let begin = self.at;
        if self.starts_query() {
            match self.query().and_then(|query| self.expect_symbol(")").map(|()| query)) {
                Ok(query) => return Ok(self.made(start, ExprKind::Scalar(Box::new(query)))),
                Err(error) if self.tokens_are_query(begin) => return Err(error),
                Err(_) => self.at = begin,
            }
        }
        let mut items = self.list(Self::expr)?;
        self.expect_symbol(")")?;
        if items.len() == 1
            && let Some(mut inner) = items.pop()
        {
            inner.span = self.since(start);
            return Ok(inner);
        }
        let items = items.into_iter().map(|item| (item, None)).collect();
        Ok(self.made(start, ExprKind::Struct { fields: None, items }))
    }

    pub(super) fn made(&self, start: usize, kind: ExprKind) -> Expr {
        Expr { kind, span: self.since(start) }
    }

    /// A literal, where the next token is one.
    pub(super) fn literal(&mut self) -> Result<Option<Expr>, SqlError> {
        let start = self.span().start;
        let kind = match self.token().kind.clone() {
            Kind::Text(text) => ExprKind::Text(text),
            Kind::Bytes(bytes) => ExprKind::Bytes(bytes),
            Kind::Int(digits) => ExprKind::Int(digits),
            Kind::Float(written) => ExprKind::Float(written),
            Kind::Param(name) => ExprKind::Param(name),
            Kind::Symbol("?") => return Err(unsupported("a positional parameter '?'", Some("name it: @name")).at(self.span())),
            Kind::Symbol("@") => {
                let instead = "a step must not depend on the session it runs in";
                return Err(Fault::Impure { name: "a system variable".into(), instead }.at(self.span()));
            }
            Kind::Word(word) if word.eq_ignore_ascii_case("NULL") => ExprKind::Null,
            Kind::Word(word) if word.eq_ignore_ascii_case("TRUE") => ExprKind::Bool(true),
            Kind::Word(word) if word.eq_ignore_ascii_case("FALSE") => ExprKind::Bool(false),
            _ => return Ok(None),
        };
        self.next();
        Ok(Some(self.made(start, kind)))
    }
}

fn binary(op: &'static str, left: Expr, right: Expr) -> Expr {
    let span = left.span.start..right.span.end;
    Expr { kind: ExprKind::Binary(op, Box::new(left), Box::new(right)), span }
}
