//! Owns the grammar of queries. Invariant: what is accepted is a query in BigQuery too; what BigQuery has and this has not is refused by name.

use crate::syntax::sql::ast::{Body, Bound, Expr, Frame, GroupBy, Item, Order, Query, Select, Window};
use crate::syntax::sql::error::{Fault, SqlError, unsupported};
use crate::syntax::sql::parse::Parser;
use crate::syntax::sql::parts::Name;
use crate::syntax::sql::token::Kind;

impl Parser<'_> {
    pub(super) fn query(&mut self) -> Result<Query, SqlError> {
        self.deeper(|p| {
            let mut recursive = false;
            let mut with = Vec::new();
            if p.accept(&["WITH"]) {
                recursive = p.accept(&["RECURSIVE"]);
                with = p.list(Self::named_query)?;
            }
            let body = p.body()?;
            let order_by = if p.accept(&["ORDER", "BY"]) { p.list(Self::order)? } else { Vec::new() };
            let limit = if p.accept(&["LIMIT"]) { Some(p.expr()?) } else { None };
            let offset = if limit.is_some() && p.accept(&["OFFSET"]) { Some(p.expr()?) } else { None };
            Ok(Query { recursive, with, body, order_by, limit, offset })
        })
    }

    fn named_query(&mut self) -> Result<(Name, Query), SqlError> {
        let name = self.name("the name of a WITH query")?;
        self.expect(&["AS"])?;
        self.expect_symbol("(")?;
        let query = self.query()?;
        self.expect_symbol(")")?;
        Ok((name, query))
    }

    fn body(&mut self) -> Result<Body, SqlError> {
        let mut left = self.operand()?;
        let mut first: Option<&'static str> = None;
        let mut links = 0;
        loop {
            self.chained(&mut links)?;
            let span = self.span();
            let Some(op) = self.set_operation()? else { return Ok(left) };
            if first.is_some_and(|first| first != op) {
                let found = format!("{op} after {}", first.unwrap_or_default());
                return Err(Fault::Syntax { wanted: "parentheses around one of two different set operations".into(), found }.at(span));
            }
            first = Some(op);
            left = Body::Set { op, left: Box::new(left), right: Box::new(self.operand()?) };
        }
    }

    fn set_operation(&mut self) -> Result<Option<&'static str>, SqlError> {
        let (all, distinct) = match self.one_of(&["UNION", "INTERSECT", "EXCEPT"]) {
            None => return Ok(None),
            Some("UNION") => ("UNION ALL", "UNION DISTINCT"),
            Some("INTERSECT") => ("", "INTERSECT DISTINCT"),
            Some(_) => ("", "EXCEPT DISTINCT"),
        };
        if !all.is_empty() && self.accept(&["ALL"]) {
            return Ok(Some(all));
        }
        if self.accept(&["DISTINCT"]) {
            return Ok(Some(distinct));
        }
        Err(self.expected(if all.is_empty() { "DISTINCT" } else { "ALL or DISTINCT" }))
    }

    fn operand(&mut self) -> Result<Body, SqlError> {
        if self.symbol("(") {
            let query = self.query()?;
            self.expect_symbol(")")?;
            return Ok(Body::Query(Box::new(query)));
        }
        self.select().map(|select| Body::Select(Box::new(select)))
    }

    fn select(&mut self) -> Result<Select, SqlError> {
        self.expect(&["SELECT"])?;
        let distinct = self.accept(&["DISTINCT"]);
        if !distinct {
            self.accept(&["ALL"]);
        }
        if self.is("AS") && self.is_ahead(1, "VALUE") {
            return Err(unsupported("SELECT AS VALUE", Some("select the value as a column")).at(self.span()));
        }
        let as_struct = self.accept(&["AS", "STRUCT"]);
        let mut items = vec![self.item()?];
        while self.symbol(",") {
            if self.is("FROM") || self.at_end_of_select() {
                break; // BigQuery allows a comma after the last item.
            }
            items.push(self.item()?);
        }
        let from = if self.accept(&["FROM"]) { Some(self.from()?) } else { None };
        let filter = if self.accept(&["WHERE"]) { Some(self.expr()?) } else { None };
        let group_by = if self.accept(&["GROUP", "BY"]) { Some(self.group_by()?) } else { None };
        let having = if self.accept(&["HAVING"]) { Some(self.expr()?) } else { None };
        let qualify = if self.accept(&["QUALIFY"]) { Some(self.expr()?) } else { None };
        let windows = if self.accept(&["WINDOW"]) { self.list(Self::named_window)? } else { Vec::new() };
        Ok(Select { distinct, as_struct, items, from, filter, group_by, having, qualify, windows })
    }

    fn at_end_of_select(&self) -> bool {
        matches!(self.token().kind, Kind::End | Kind::Symbol(")" | ";"))
    }

    fn item(&mut self) -> Result<Item, SqlError> {
        let start = self.span().start;
        if self.symbol("*") {
            return self.star(None, start);
        }
        let expr = self.expr()?;
        if self.symbol(".") {
            self.expect_symbol("*")?;
            return self.star(Some(expr), start);
        }
        Ok(Item::Expr { expr, alias: self.alias()? })
    }

    fn star(&mut self, of: Option<Expr>, start: usize) -> Result<Item, SqlError> {
        let mut except = Vec::new();
        let mut replace = Vec::new();
        let opens = matches!(self.ahead(1).kind, Kind::Symbol("(")); // else it is the set operation
        if opens && self.accept(&["EXCEPT"]) {
            self.expect_symbol("(")?;
            except = self.list(|p| p.name("a column"))?;
            self.expect_symbol(")")?;
        }
        if self.accept(&["REPLACE"]) {
            self.expect_symbol("(")?;
            replace = self.list(|p| {
                let expr = p.expr()?;
                p.accept(&["AS"]);
                Ok((expr, p.name("a column")?))
            })?;
            self.expect_symbol(")")?;
        }
        Ok(Item::Star { of, except, replace, span: self.since(start) })
    }

    fn group_by(&mut self) -> Result<GroupBy, SqlError> {
        if self.accept(&["ALL"]) {
            return Ok(GroupBy::All);
        }
        if self.is("CUBE") || self.is("GROUPING") {
            return Err(unsupported("GROUP BY CUBE or GROUPING SETS", Some("write the groupings as queries with UNION ALL between"))
                .at(self.span()));
        }
        if self.accept(&["ROLLUP"]) {
            self.expect_symbol("(")?;
            let keys = self.list(Self::expr)?;
            self.expect_symbol(")")?;
            return Ok(GroupBy::Rollup(keys));
        }
        self.list(Self::expr).map(GroupBy::Keys)
    }

    pub(super) fn order(&mut self) -> Result<Order, SqlError> {
        let expr = self.expr()?;
        if self.is("COLLATE") {
            return Err(unsupported("COLLATE", None).at(self.span()));
        }
        let descending = self.accept(&["DESC"]);
        if !descending {
            self.accept(&["ASC"]);
        }
        let nulls_first = if self.accept(&["NULLS"]) {
            match self.one_of(&["FIRST", "LAST"]) {
                Some(word) => Some(word == "FIRST"),
                None => return Err(self.expected("FIRST or LAST")),
            }
        } else {
            None
        };
        Ok(Order { expr, descending, nulls_first })
    }

    fn named_window(&mut self) -> Result<(Name, Window), SqlError> {
        let name = self.name("the name of a window")?;
        self.expect(&["AS"])?;
        Ok((name, self.window()?))
    }

    /// What stands after `OVER`: a window's name, or a window in parentheses.
    pub(super) fn window(&mut self) -> Result<Window, SqlError> {
        if !self.symbol("(") {
            let base = Some(self.name("the name of a window or '('")?);
            return Ok(Window { base, only_name: true, partition_by: Vec::new(), order_by: Vec::new(), frame: None });
        }
        let base = self.maybe_name();
        let partition_by = if self.accept(&["PARTITION", "BY"]) { self.list(Self::expr)? } else { Vec::new() };
        let order_by = if self.accept(&["ORDER", "BY"]) { self.list(Self::order)? } else { Vec::new() };
        let frame = match self.one_of(&["ROWS", "RANGE"]) {
            Some(unit) => Some(self.frame(unit)?),
            None => None,
        };
        self.expect_symbol(")")?;
        Ok(Window { base, only_name: false, partition_by, order_by, frame })
    }

    fn frame(&mut self, unit: &'static str) -> Result<Frame, SqlError> {
        if !self.accept(&["BETWEEN"]) {
            return Ok(Frame { unit, from: self.bound()?, to: None });
        }
        let from = self.bound()?;
        self.expect(&["AND"])?;
        Ok(Frame { unit, from, to: Some(self.bound()?) })
    }

    fn bound(&mut self) -> Result<Bound, SqlError> {
        if self.accept(&["CURRENT", "ROW"]) {
            return Ok(Bound::Current);
        }
        let offset = if self.accept(&["UNBOUNDED"]) { None } else { Some(self.expr()?) };
        let Some(side) = self.one_of(&["PRECEDING", "FOLLOWING"]) else { return Err(self.expected("PRECEDING or FOLLOWING")) };
        Ok(match offset {
            Some(offset) => Bound::Offset(Box::new(offset), side),
            None => Bound::Unbounded(side),
        })
    }
}
