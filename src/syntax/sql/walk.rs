//! Owns the walk over a query's tree. Invariant: every expression and every relation is visited once, outer ones before inner ones.

use crate::syntax::sql::ast::{Body, Bound, Call, Expr, ExprKind, GroupBy, InSet, Item, On, Query, Relation, Select, Window};

/// Takes what the walk meets.
pub trait Visit {
    /// An expression, before those inside it.
    ///
    /// # Errors
    /// The visitor's own.
    fn expr(&mut self, _expr: &Expr) -> Result<(), crate::syntax::sql::error::SqlError> {
        Ok(())
    }

    /// A table or other relation, before those inside it.
    ///
    /// # Errors
    /// The visitor's own.
    fn relation(&mut self, _relation: &Relation) -> Result<(), crate::syntax::sql::error::SqlError> {
        Ok(())
    }

    /// A query begins; its `WITH` queries are visited one by one, each followed by `named`.
    fn enter(&mut self, _query: &Query) {}

    /// The `WITH` query at `index` was visited and is known from here on.
    fn named(&mut self, _query: &Query, _index: usize) {}

    /// A `SELECT` begins.
    fn select(&mut self, _select: &Select) {}

    /// A `SELECT` ends.
    fn leave_select(&mut self) {}

    /// A query ends.
    fn leave(&mut self, _query: &Query) {}
}

type Done = Result<(), crate::syntax::sql::error::SqlError>;

/// Visits a query and everything in it.
///
/// # Errors
/// The visitor's first.
pub fn query(query: &Query, visit: &mut dyn Visit) -> Done {
    visit.enter(query);
    for (index, (_, inner)) in query.with.iter().enumerate() {
        self::query(inner, visit)?;
        visit.named(query, index);
    }
    body(&query.body, visit)?;
    for order in &query.order_by {
        expr(&order.expr, visit)?;
    }
    each(query.limit.iter().chain(&query.offset), visit)?;
    visit.leave(query);
    Ok(())
}

fn body(body: &Body, visit: &mut dyn Visit) -> Done {
    match body {
        Body::Select(select) => self::select(select, visit),
        Body::Query(inner) => query(inner, visit),
        Body::Set { left, right, .. } => {
            self::body(left, visit)?;
            self::body(right, visit)
        }
    }
}

/// Visits one `SELECT` and everything in it.
///
/// # Errors
/// The visitor's first.
pub fn select(select: &Select, visit: &mut dyn Visit) -> Done {
    visit.select(select);
    if let Some(from) = &select.from {
        relation(from, visit)?;
    }
    for item in &select.items {
        match item {
            Item::Expr { expr: inner, .. } => expr(inner, visit)?,
            Item::Star { of, replace, .. } => each(of.iter().chain(replace.iter().map(|(e, _)| e)), visit)?,
        }
    }
    each(select.filter.iter().chain(&select.having).chain(&select.qualify), visit)?;
    if let Some(GroupBy::Keys(keys) | GroupBy::Rollup(keys)) = &select.group_by {
        each(keys, visit)?;
    }
    select.windows.iter().try_for_each(|(_, w)| window(w, visit))?;
    visit.leave_select();
    Ok(())
}

fn relation(relation: &Relation, visit: &mut dyn Visit) -> Done {
    visit.relation(relation)?;
    match relation {
        Relation::Table { .. } => Ok(()),
        Relation::Query { query: inner, .. } => query(inner, visit),
        Relation::Unnest { array, .. } => expr(array, visit),
        Relation::Nested(inner) => self::relation(inner, visit),
        Relation::Join { left, right, on, .. } => {
            self::relation(left, visit)?;
            self::relation(right, visit)?;
            if let On::Expr(on) = on { expr(on, visit) } else { Ok(()) }
        }
    }
}

fn each<'e>(all: impl IntoIterator<Item = &'e Expr>, visit: &mut dyn Visit) -> Done {
    all.into_iter().try_for_each(|e| expr(e, visit))
}

/// Visits an expression and everything in it.
///
/// # Errors
/// The visitor's first.
pub fn expr(expr: &Expr, visit: &mut dyn Visit) -> Done {
    use ExprKind as E;
    visit.expr(expr)?;
    match &expr.kind {
        E::Null | E::Bool(_) | E::Int(_) | E::Float(_) | E::Text(_) | E::Bytes(_) | E::Typed(..) | E::Param(_) | E::Column(_) => Ok(()),
        E::Field(inner, _)
        | E::Unary(_, inner)
        | E::Is { expr: inner, .. }
        | E::Cast { expr: inner, .. }
        | E::Extract { from: inner, .. }
        | E::Interval { value: inner, .. } => self::expr(inner, visit),
        E::Element { array: a, index: b, .. } | E::Binary(_, a, b) | E::Like { expr: a, pattern: b, .. } => each([&**a, &**b], visit),
        E::Distinct { pair, .. } => each([&pair.0, &pair.1], visit),
        E::Between { expr: inner, range, .. } => each([&**inner, &range.0, &range.1], visit),
        E::In { expr: inner, set, .. } => {
            self::expr(inner, visit)?;
            match set {
                InSet::List(items) => each(items, visit),
                InSet::Query(inner) => query(inner, visit),
                InSet::Unnest(array) => self::expr(array, visit),
            }
        }
        E::Exists(inner) | E::Scalar(inner) | E::ArrayQuery(inner) => query(inner, visit),
        E::Case { operand, whens, otherwise } => {
            each(operand.as_deref(), visit)?;
            each(whens.iter().flat_map(|(when, then)| [when, then]), visit)?;
            each(otherwise.as_deref(), visit)
        }
        E::Array { items, .. } => each(items, visit),
        E::Struct { items, .. } => each(items.iter().map(|(e, _)| e), visit),
        E::Call(call) => self::call(call, visit),
    }
}

fn call(call: &Call, visit: &mut dyn Visit) -> Done {
    each(call.args.iter().chain(call.order_by.iter().map(|o| &o.expr)).chain(&call.limit), visit)?;
    call.over.iter().try_for_each(|w| window(w, visit))
}

fn window(window: &Window, visit: &mut dyn Visit) -> Done {
    each(window.partition_by.iter().chain(window.order_by.iter().map(|o| &o.expr)), visit)?;
    let Some(frame) = &window.frame else { return Ok(()) };
    for bound in [Some(&frame.from), frame.to.as_ref()].into_iter().flatten() {
        if let Bound::Offset(offset, _) = bound {
            expr(offset, visit)?;
        }
    }
    Ok(())
}
