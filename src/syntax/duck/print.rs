//! Owns queries in DuckDB's words: `SELECT` and what stands around it. Invariant: every column has the name BigQuery gives it, and every
//! order says where its NULLs stand.

use serde_json::{Map, Value};

use crate::syntax::duck::literal;
use crate::syntax::sql::ast::{Body, Bound, Expr, ExprKind, GroupBy, Item, Order, Query, Select, Window};
use crate::syntax::sql::error::{Fault, SqlError, unsupported};
use crate::syntax::sql::walk::{self, Visit};

type Text = Result<String, SqlError>;

/// Prints one query.
#[derive(Clone, Copy)]
pub(super) struct Printer<'a> {
    /// Parameters by name.
    pub(super) params: &'a Map<String, Value>,
    /// Whether it prints the condition of a join.
    pub(super) joining: bool,
}

impl Printer<'_> {
    pub(super) fn query(mut self, query: &Query) -> Text {
        self.joining = false;
        let mut out = String::new();
        if !query.with.is_empty() {
            let mut parts = Vec::with_capacity(query.with.len());
            for (name, inner) in &query.with {
                parts.push(format!("{} AS ({})", literal::name(&name.text), self.query(inner)?));
            }
            out = format!("WITH {}{} ", if query.recursive { "RECURSIVE " } else { "" }, parts.join(", "));
        }
        out.push_str(&self.body(&query.body)?);
        if !query.order_by.is_empty() {
            out.push_str(" ORDER BY ");
            out.push_str(&self.orders(&query.order_by, true)?);
        }
        for (word, count) in [("LIMIT", &query.limit), ("OFFSET", &query.offset)] {
            if let Some(count) = count {
                out = format!("{out} {word} {}", self.count(count)?);
            }
        }
        Ok(out)
    }

    /// A query whose rows are values: those of `SELECT AS STRUCT` are structs.
    pub(super) fn value_query(self, query: &Query) -> Text {
        let Body::Select(select) = &query.body else { return self.query(query) };
        if !select.as_struct {
            return self.query(query);
        }
        let mut fields = Vec::with_capacity(select.items.len());
        for (item, name) in select.items.iter().zip(names(&select.items)) {
            let Some(name) = name else {
                let Item::Star { span, .. } = item else { continue };
                return Err(unsupported("SELECT AS STRUCT *", Some("name the fields")).at(span.clone()));
            };
            fields.push(format!("{} := \"_s\".{}", literal::name(&name), literal::name(&name)));
        }
        Ok(format!("SELECT struct_pack({}) FROM ({}) AS \"_s\"", fields.join(", "), self.query(query)?))
    }

    fn body(self, body: &Body) -> Text {
        match body {
            Body::Select(select) => self.select(select),
            Body::Query(inner) => Ok(format!("({})", self.query(inner)?)),
            Body::Set { op, left, right } => {
                let op = op.strip_suffix(" DISTINCT").unwrap_or(op);
                Ok(format!("({}) {op} ({})", self.body(left)?, self.body(right)?))
            }
        }
    }

    fn select(self, select: &Select) -> Text {
        let mut items = Vec::with_capacity(select.items.len());
        for (item, name) in select.items.iter().zip(names(&select.items)) {
            items.push(self.item(item, name)?);
        }
        let mut out = format!("SELECT {}{}", if select.distinct { "DISTINCT " } else { "" }, items.join(", "));
        if let Some(from) = &select.from {
            out = format!("{out} FROM {}", self.from(from, select)?);
        }
        if let Some(filter) = &select.filter {
            out = format!("{out} WHERE {}", self.expr(filter)?);
        }
        match &select.group_by {
            None => {}
            Some(GroupBy::All) => out.push_str(" GROUP BY ALL"),
            Some(GroupBy::Keys(keys)) => out = format!("{out} GROUP BY {}", self.keys(keys, &select.items)?),
            Some(GroupBy::Rollup(keys)) => out = format!("{out} GROUP BY ROLLUP ({})", self.keys(keys, &select.items)?),
        }
        if let Some(having) = &select.having {
            out = format!("{out} HAVING {}", self.expr(having)?);
        }
        if !select.windows.is_empty() {
            let mut windows = Vec::with_capacity(select.windows.len());
            for (name, window) in &select.windows {
                windows.push(format!("{} AS ({})", literal::name(&name.text), self.window_body(window)?));
            }
            out = format!("{out} WINDOW {}", windows.join(", "));
        }
        if let Some(qualify) = &select.qualify {
            out = format!("{out} QUALIFY {}", self.expr(qualify)?);
        }
        Ok(out)
    }

    fn item(self, item: &Item, name: Option<String>) -> Text {
        match item {
            Item::Expr { expr, .. } => {
                let name = name.unwrap_or_default();
                Ok(format!("{} AS {}", self.expr(expr)?, literal::name(&name)))
            }
            Item::Star { of, except, replace, .. } => {
                let mut out = match of {
                    Some(of) => format!("{}.*", self.expr(of)?),
                    None => "*".to_owned(),
                };
                if !except.is_empty() {
                    let names: Vec<_> = except.iter().map(|name| literal::name(&name.text)).collect();
                    out = format!("{out} EXCLUDE ({})", names.join(", "));
                }
                if !replace.is_empty() {
                    let mut all = Vec::with_capacity(replace.len());
                    for (expr, name) in replace {
                        all.push(format!("{} AS {}", self.expr(expr)?, literal::name(&name.text)));
                    }
                    out = format!("{out} REPLACE ({})", all.join(", "));
                }
                Ok(out)
            }
        }
    }

    /// The keys of `GROUP BY`. A name that an item of the list was given means that item.
    fn keys(self, keys: &[Expr], items: &[Item]) -> Text {
        let mut all = Vec::with_capacity(keys.len());
        for key in keys {
            all.push(match &key.kind {
                ExprKind::Int(number) => number.clone(),
                ExprKind::Column(path) if path.len() == 1 => match aliased(&path[0].text, items) {
                    Some((_, expr)) if is_column(expr, &path[0].text) => self.expr(expr)?,
                    Some((_, expr)) if mentions(expr, &path[0].text) => {
                        return Err(ambiguous(&path[0].text).at(key.span.clone()));
                    }
                    Some((position, _)) => position.to_string(),
                    None => self.expr(key)?,
                },
                _ => self.expr(key)?,
            });
        }
        Ok(all.join(", "))
    }

    pub(super) fn orders(self, orders: &[Order], of_query: bool) -> Text {
        let mut all = Vec::with_capacity(orders.len());
        for order in orders {
            let key = match &order.expr.kind {
                ExprKind::Int(number) if of_query => number.clone(),
                _ => self.expr(&order.expr)?,
            };
            let direction = if order.descending { "DESC" } else { "ASC" };
            let nulls = if order.nulls_first.unwrap_or(!order.descending) { "FIRST" } else { "LAST" };
            all.push(format!("{key} {direction} NULLS {nulls}"));
        }
        Ok(all.join(", "))
    }

    /// What stands after `OVER`.
    pub(super) fn window(self, window: &Window) -> Text {
        match &window.base {
            Some(base) if window.only_name => Ok(literal::name(&base.text)),
            _ => Ok(format!("({})", self.window_body(window)?)),
        }
    }

    fn window_body(self, window: &Window) -> Text {
        let mut parts = Vec::new();
        if let Some(base) = &window.base {
            parts.push(literal::name(&base.text));
        }
        if !window.partition_by.is_empty() {
            parts.push(format!("PARTITION BY {}", self.list(&window.partition_by)?));
        }
        if !window.order_by.is_empty() {
            parts.push(format!("ORDER BY {}", self.orders(&window.order_by, false)?));
        }
        if let Some(frame) = &window.frame {
            let from = self.bound(&frame.from)?;
            parts.push(match &frame.to {
                Some(to) => format!("{} BETWEEN {from} AND {}", frame.unit, self.bound(to)?),
                None => format!("{} {from}", frame.unit),
            });
        }
        Ok(parts.join(" "))
    }

    fn bound(self, bound: &Bound) -> Text {
        Ok(match bound {
            Bound::Unbounded(side) => format!("UNBOUNDED {side}"),
            Bound::Current => "CURRENT ROW".to_owned(),
            Bound::Offset(offset, side) => format!("{} {side}", self.count(offset)?),
        })
    }

    /// A number of rows: a literal stays as it is.
    fn count(self, expr: &Expr) -> Text {
        match &expr.kind {
            ExprKind::Int(digits) => Ok(digits.clone()),
            _ => self.expr(expr),
        }
    }
}

/// The name of each column of a list: as given, or the last part of a path, or `f0_`, `f1_` …; `None` for `*`.
fn names(items: &[Item]) -> Vec<Option<String>> {
    let mut unnamed = 0;
    let name = |item: &Item| match item {
        Item::Star { .. } => None,
        Item::Expr { expr, alias } => Some(match (alias, &expr.kind) {
            (Some(alias), _) | (None, ExprKind::Field(_, alias)) => alias.text.clone(),
            (None, ExprKind::Column(path)) => path.last().map(|last| last.text.clone()).unwrap_or_default(),
            _ => {
                unnamed += 1;
                format!("f{}_", unnamed - 1)
            }
        }),
    };
    items.iter().map(name).collect()
}

/// The item that was given this name in the list, with its position from 1. Positions are unknown behind a `*`.
fn aliased<'i>(name: &str, items: &'i [Item]) -> Option<(usize, &'i Expr)> {
    let known = items.iter().take_while(|item| !matches!(item, Item::Star { .. }));
    known.enumerate().find_map(|(index, item)| match item {
        Item::Expr { expr, alias: Some(alias) } if alias.text.eq_ignore_ascii_case(name) => Some((index + 1, expr)),
        _ => None,
    })
}

/// Whether the expression is the column of this name and nothing more.
fn is_column(expr: &Expr, name: &str) -> bool {
    matches!(&expr.kind, ExprKind::Column(path) if path.last().is_some_and(|last| last.text.eq_ignore_ascii_case(name)))
}

fn mentions(expr: &Expr, name: &str) -> bool {
    struct Mentions<'n>(&'n str, bool);
    impl Visit for Mentions<'_> {
        fn expr(&mut self, expr: &Expr) -> Result<(), SqlError> {
            self.1 |= is_column(expr, self.0);
            Ok(())
        }
    }
    let mut found = Mentions(name, false);
    walk::expr(expr, &mut found).is_ok() && found.1
}

fn ambiguous(name: &str) -> Fault {
    let instead = format!("give the expression another name than '{name}', or group by the expression itself");
    Fault::Unsupported { what: format!("GROUP BY {name}, which is both a column and a name given in SELECT,"), instead: Some(instead) }
}
