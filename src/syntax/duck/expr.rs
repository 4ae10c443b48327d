//! Owns expressions in DuckDB's words. Invariant: every operator stands in parentheses, so binding strength never differs.

use crate::syntax::duck::comparable;
use crate::syntax::duck::literal;
use crate::syntax::duck::print::Printer;
use crate::syntax::sql::ast::{Expr, ExprKind, InSet};
use crate::syntax::sql::error::{Fault, SqlError, unsupported};
use crate::syntax::sql::parts::{Name, Part, Type};

type Text = Result<String, SqlError>;

impl Printer<'_> {
    pub(super) fn expr(self, expr: &Expr) -> Text {
        use ExprKind as E;
        match &expr.kind {
            E::Null => Ok("NULL".into()),
            E::Bool(value) => Ok(value.to_string().to_ascii_uppercase()),
            E::Int(digits) => literal::int(digits, &expr.span),
            E::Float(written) => literal::float(written.parse().unwrap_or(f64::NAN), &expr.span),
            E::Text(text) => Ok(literal::text(text)),
            E::Bytes(bytes) => Ok(literal::bytes(bytes)),
            E::Typed(of, text) => literal::typed(of, text, &expr.span),
            E::Param(name) => self.param(name, expr),
            E::Column(path) => Ok(path.iter().map(|name| literal::name(&name.text)).collect::<Vec<_>>().join(".")),
            E::Field(inner, name) => Ok(format!("struct_extract({}, {})", self.expr(inner)?, literal::text(&name.text))),
            E::Element { array, by, index } => {
                let by = if by.is_empty() { "OFFSET" } else { by };
                Ok(format!("bq_{}({}, {})", by.to_ascii_lowercase(), self.expr(array)?, self.expr(index)?))
            }
            E::Unary(op, inner) => self.unary(op, inner),
            E::Binary(op, left, right) => self.binary(op, left, right),
            E::Is { expr, not, what } => Ok(format!("({} IS {}{what})", self.expr(expr)?, negation(*not))),
            E::Distinct { pair, not } => {
                Ok(format!("({} IS {}DISTINCT FROM {})", self.expr(&pair.0)?, negation(*not), self.expr(&pair.1)?))
            }
            E::Between { expr, not, range } => {
                comparable::check(">=", expr, &range.0, self.params)?;
                comparable::check("<=", expr, &range.1, self.params)?;
                let (value, low, high) = (self.expr(expr)?, self.expr(&range.0)?, self.expr(&range.1)?);
                let between = self.without_nan(&format!("{value} BETWEEN {low} AND {high}"), expr, &value);
                let between = self.without_nan(&between, &range.1, &high);
                Ok(if *not { format!("(NOT {between})") } else { between })
            }
            E::Like { expr, not, pattern } => {
                Ok(format!("({} {}LIKE {} ESCAPE '\\')", self.expr(expr)?, negation(*not), self.expr(pattern)?))
            }
            E::In { expr, not, set } => self.membership(expr, *not, set),
            E::Exists(query) => Ok(format!("EXISTS ({})", self.query(query)?)),
            E::Scalar(query) => Ok(format!("({})", self.value_query(query)?)),
            E::ArrayQuery(query) => Ok(format!("ARRAY({})", self.value_query(query)?)),
            E::Case { operand, whens, otherwise } => self.case(operand.as_deref(), whens, otherwise.as_deref()),
            E::Cast { expr: inner, to, safe } => self.cast(inner, to, *safe, expr),
            E::Extract { part, from } => self.extract(part, from),
            E::Interval { value, part } => self.interval(value, part),
            E::Array { of, items } => {
                let list = format!("[{}]", self.list(items)?);
                match of {
                    Some(of) => Ok(format!("CAST({list} AS {}[])", literal::type_name(of, &expr.span)?)),
                    None => Ok(list),
                }
            }
            E::Struct { fields, items } => self.structure(fields.as_deref(), items, expr),
            E::Call(call) => self.call(call, expr),
        }
    }

    pub(super) fn list(self, items: &[Expr]) -> Text {
        let items: Result<Vec<_>, _> = items.iter().map(|item| self.expr(item)).collect();
        Ok(items?.join(", "))
    }

    fn param(self, name: &str, expr: &Expr) -> Text {
        let Some((_, value)) = self.params.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) else {
            let wanted = format!("a value for the parameter @{name}");
            return Err(Fault::Syntax { wanted, found: "none".into() }.at(expr.span.clone()));
        };
        let value = literal::value(value, &expr.span)?;
        Ok(if name.eq_ignore_ascii_case("as_of") { format!("bq_cast_date({value})") } else { value })
    }

    fn unary(self, op: &str, inner: &Expr) -> Text {
        match (op, &inner.kind) {
            ("-", ExprKind::Int(digits)) => literal::int(&format!("-{digits}"), &inner.span),
            ("+", _) => self.expr(inner),
            ("NOT", _) => Ok(format!("(NOT {})", self.expr(inner)?)),
            _ => Ok(format!("({op}{})", self.expr(inner)?)),
        }
    }

    /// A chain of operators, from its innermost pair outwards: a loop, for chains are longer than the stack is deep.
    fn binary(self, op: &'static str, left: &Expr, right: &Expr) -> Text {
        let (mut chain, mut first) = (vec![(op, left, right)], left);
        while let ExprKind::Binary(op, left, right) = &first.kind {
            chain.push((op, left, right));
            first = left;
        }
        let mut text = self.expr(first)?;
        for (op, left, right) in chain.into_iter().rev() {
            text = self.pair(op, (left, &text), right)?;
        }
        Ok(text)
    }

    fn pair(self, op: &str, (left, a): (&Expr, &str), right: &Expr) -> Text {
        comparable::check(op, left, right, self.params)?;
        let b = self.expr(right)?;
        if matches!(op, "+" | "-")
            && let (Some(b), None) = (small(right), small(left))
        {
            return Ok(format!("({a} {op} {b})")); // of 32 bits, so that it can be added to a DATE
        }
        Ok(match op {
            "/" if is_nonzero(right) => format!("(CAST({a} AS DOUBLE) / {b})"),
            "/" => format!("bq_divide({a}, {b})"),
            "^" => format!("xor({a}, {b})"),
            ">" | ">=" => self.without_nan(&format!("{a} {op} {b}"), left, a),
            "<" | "<=" => self.without_nan(&format!("{a} {op} {b}"), right, &b),
            _ => format!("({a} {op} {b})"),
        })
    }

    /// A comparison that is false where its greater side is NaN: to DuckDB NaN is the greatest number. In `ON` the comparison stays plain, so
    /// that rows can be matched by it.
    fn without_nan(self, comparison: &str, greater: &Expr, text: &str) -> String {
        if self.joining || is_never_nan(greater) { format!("({comparison})") } else { format!("({comparison} AND NOT bq_is_nan({text}))") }
    }

    fn membership(self, expr: &Expr, not: bool, set: &InSet) -> Text {
        let value = self.expr(expr)?;
        let not = negation(not);
        let list = |items: &[Expr]| -> Text {
            items.iter().try_for_each(|item| comparable::check("=", expr, item, self.params))?;
            Ok(if items.is_empty() { format!("({not}FALSE)") } else { format!("({value} {not}IN ({}))", self.list(items)?) })
        };
        match set {
            InSet::List(items) => list(items),
            InSet::Query(query) => Ok(format!("({value} {not}IN ({}))", self.value_query(query)?)),
            InSet::Unnest(array) => match &array.kind {
                ExprKind::Array { items, .. } => list(items),
                _ => Ok(format!("({value} {not}IN (SELECT unnest({})))", self.expr(array)?)),
            },
        }
    }

    fn case(self, operand: Option<&Expr>, whens: &[(Expr, Expr)], otherwise: Option<&Expr>) -> Text {
        let mut out = "CASE".to_owned();
        if let Some(operand) = operand {
            out = format!("{out} {}", self.expr(operand)?);
        }
        for (when, then) in whens {
            out = format!("{out} WHEN {} THEN {}", self.expr(when)?, self.expr(then)?);
        }
        if let Some(otherwise) = otherwise {
            out = format!("{out} ELSE {}", self.expr(otherwise)?);
        }
        Ok(format!("({out} END)"))
    }

    fn cast(self, inner: &Expr, to: &Type, safe: bool, whole: &Expr) -> Text {
        let value = self.expr(inner)?;
        match to {
            Type::Plain(plain) => {
                literal::type_name(to, &whole.span)?;
                Ok(format!("bq_{}cast_{}({value})", if safe { "safe_" } else { "" }, plain.to_ascii_lowercase()))
            }
            Type::Array(_) | Type::Struct(_) if matches!(inner.kind, ExprKind::Null) => {
                Ok(format!("CAST(NULL AS {})", literal::type_name(to, &whole.span)?))
            }
            Type::Array(_) | Type::Struct(_) => {
                Err(unsupported("CAST into an ARRAY or STRUCT", Some("cast the elements or fields")).at(whole.span.clone()))
            }
        }
    }

    /// `INTERVAL n part` as a DuckDB interval.
    pub(super) fn interval(self, value: &Expr, part: &Part) -> Text {
        let function = match (part.name.as_str(), &part.weekday) {
            ("YEAR", None) => "to_years",
            ("QUARTER", None) => "to_quarters",
            ("MONTH", None) => "to_months",
            ("WEEK", None) => "to_weeks",
            ("DAY", None) => "to_days",
            ("HOUR", None) => "to_hours",
            ("MINUTE", None) => "to_minutes",
            ("SECOND", None) => return Ok(format!("to_microseconds({} * 1000000)", self.expr(value)?)),
            ("MILLISECOND", None) => return Ok(format!("to_microseconds({} * 1000)", self.expr(value)?)),
            ("MICROSECOND", None) => return Ok(format!("to_microseconds({})", self.expr(value)?)),
            (name, _) => return Err(unsupported(format!("INTERVAL … {name}"), None).at(part.span.clone())),
        };
        let whole = if matches!(function, "to_hours" | "to_minutes") { "BIGINT" } else { "INTEGER" };
        Ok(format!("{function}(CAST({} AS {whole}))", self.expr(value)?))
    }

    fn structure(self, fields: Option<&[(Option<Name>, Type)]>, items: &[(Expr, Option<Name>)], whole: &Expr) -> Text {
        let values: Result<Vec<_>, _> = items.iter().map(|(item, _)| self.expr(item)).collect();
        let values = values?;
        if let Some(fields) = fields {
            let of = literal::type_name(&Type::Struct(fields.to_vec()), &whole.span)?;
            return Ok(format!("CAST(row({}) AS {of})", values.join(", ")));
        }
        let names: Vec<Option<&str>> =
            items.iter().map(|(item, name)| name.as_ref().or_else(|| own_name(item)).map(|n| n.text.as_str())).collect();
        if names.iter().all(Option::is_none) {
            return Ok(format!("row({})", values.join(", ")));
        }
        let name = |index: usize| names[index].map_or_else(|| format!("_field_{}", index + 1), str::to_owned);
        let packed: Vec<_> = values.iter().enumerate().map(|(i, value)| format!("{} := {value}", literal::name(&name(i)))).collect();
        Ok(format!("struct_pack({})", packed.join(", ")))
    }
}

/// The name that a path gives itself.
fn own_name(expr: &Expr) -> Option<&Name> {
    match &expr.kind {
        ExprKind::Column(path) => path.last(),
        ExprKind::Field(_, name) => Some(name),
        _ => None,
    }
}

/// A whole number of at most 32 bits, as it is written.
fn small(expr: &Expr) -> Option<&str> {
    match &expr.kind {
        ExprKind::Int(digits) => digits.parse::<i32>().is_ok().then_some(digits),
        ExprKind::Unary(_, inner) => small(inner),
        _ => None,
    }
}

/// Whether an expression says by itself that it is no NaN.
fn is_never_nan(expr: &Expr) -> bool {
    use ExprKind as E;
    match &expr.kind {
        E::Null | E::Bool(_) | E::Int(_) | E::Float(_) | E::Text(_) | E::Bytes(_) | E::Typed(..) | E::Param(_) | E::Extract { .. } => true,
        E::Unary(_, inner) => is_never_nan(inner),
        E::Call(call) => matches!(call.name.as_str(), "COUNT" | "COUNTIF" | "ROW_NUMBER" | "RANK" | "DENSE_RANK" | "LENGTH" | "DATE_DIFF"),
        _ => false,
    }
}

fn is_nonzero(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Int(digits) => digits.bytes().any(|digit| digit != b'0'),
        ExprKind::Float(written) => written.parse::<f64>().is_ok_and(|value| value != 0.0),
        _ => false,
    }
}

fn negation(not: bool) -> &'static str {
    if not { "NOT " } else { "" }
}
