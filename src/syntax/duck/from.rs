//! Owns `FROM` in DuckDB's words. Invariant: the element of an array is a column where it is a plain value, and a row where it is a struct,
//! as in BigQuery.

use crate::syntax::duck::literal;
use crate::syntax::duck::print::Printer;
use crate::syntax::sql::ast::{Body, Expr, ExprKind, Item, On, Relation, Select};
use crate::syntax::sql::error::SqlError;
use crate::syntax::sql::parts::{Name, Type};
use crate::syntax::sql::walk::{self, Visit};

impl Printer<'_> {
    /// A relation of `select`'s `FROM`.
    pub(super) fn from(self, relation: &Relation, select: &Select) -> Result<String, SqlError> {
        match relation {
            Relation::Table { path, alias, .. } => {
                let parts: Vec<_> = path[path.len().saturating_sub(2)..].iter().map(|part| literal::name(&part.text)).collect();
                let name = alias.as_ref().or_else(|| path.last()).map(|name| literal::name(&name.text)).unwrap_or_default();
                Ok(format!("{} AS {name}", parts.join(".")))
            }
            Relation::Query { query, alias } => {
                let alias = alias.as_ref().map(|name| format!(" AS {}", literal::name(&name.text))).unwrap_or_default();
                Ok(format!("({}){alias}", self.query(query)?))
            }
            Relation::Unnest { array, alias, offset } => self.unnest(array, alias.as_ref(), offset.as_ref(), select),
            Relation::Nested(inner) => Ok(format!("({})", self.from(inner, select)?)),
            Relation::Join { left, right, kind, on } => {
                let array = matches!(**right, Relation::Unnest { .. });
                let (left, right) = (self.from(left, select)?, self.from(right, select)?);
                let condition = |on: &Expr| Printer { joining: true, ..self }.expr(on);
                Ok(match on {
                    On::Nothing if *kind == "CROSS" || *kind == "INNER" => format!("{left} CROSS JOIN {right}"),
                    On::Nothing => format!("{left} {kind} JOIN {right} ON TRUE"),
                    On::Expr(on) if array && *kind == "INNER" => format!("{left} JOIN {right} ON {}", condition(on)?),
                    On::Expr(on) => format!("{left} {kind} JOIN {right} ON {}", condition(on)?),
                    On::Using(columns) => {
                        let columns: Vec<_> = columns.iter().map(|column| literal::name(&column.text)).collect();
                        format!("{left} {kind} JOIN {right} USING ({})", columns.join(", "))
                    }
                })
            }
        }
    }

    fn unnest(self, array: &Expr, alias: Option<&Name>, offset: Option<&Name>, select: &Select) -> Result<String, SqlError> {
        let values = self.expr(array)?;
        let structs = holds_structs(array) || alias.is_some_and(|alias| fields_are_used(alias, select));
        let mut columns = if structs {
            format!("unnest({values}, max_depth := 2)")
        } else {
            format!("unnest({values}) AS {}", literal::name(alias.map_or("f0_", |alias| &alias.text)))
        };
        if let Some(offset) = offset {
            columns = format!("{columns}, generate_subscripts({values}, 1) - 1 AS {}", literal::name(&offset.text));
        }
        let name = match alias {
            Some(alias) if structs => literal::name(&alias.text),
            _ => format!("\"_unnest_{}\"", array.span.start),
        };
        Ok(format!("(SELECT {columns}) AS {name}"))
    }
}

/// Whether an array's elements are structs, as far as its text says.
fn holds_structs(array: &Expr) -> bool {
    match &array.kind {
        ExprKind::Array { of: Some(of), .. } => matches!(of, Type::Struct(_)),
        ExprKind::Array { items, .. } => matches!(items.first(), Some(Expr { kind: ExprKind::Struct { .. }, .. })),
        ExprKind::ArrayQuery(query) => matches!(&query.body, Body::Select(select) if select.as_struct),
        _ => false,
    }
}

/// Whether a query says `x.field` or `x.*` of this name.
fn fields_are_used(name: &Name, select: &Select) -> bool {
    struct Fields<'n>(&'n str, bool);
    impl Visit for Fields<'_> {
        fn expr(&mut self, expr: &Expr) -> Result<(), SqlError> {
            self.1 |= matches!(&expr.kind, ExprKind::Column(path) if path.len() > 1 && path[0].text.eq_ignore_ascii_case(self.0));
            Ok(())
        }
    }
    let starred = select.items.iter().any(|item| {
        matches!(item, Item::Star { of: Some(Expr { kind: ExprKind::Column(path), .. }), .. }
            if path.len() == 1 && path[0].text.eq_ignore_ascii_case(&name.text))
    });
    let mut found = Fields(&name.text, starred);
    walk::select(select, &mut found).is_ok() && found.1
}
