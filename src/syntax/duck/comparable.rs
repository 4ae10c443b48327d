//! Owns which comparisons BigQuery has no operator for, as far as the types can be seen in the query itself. Invariant: what cannot be seen (a column's type)
//! passes, and nothing that BigQuery compares is refused.

use serde_json::{Map, Value};

use crate::syntax::sql::ast::{Expr, ExprKind};
use crate::syntax::sql::error::{Fault, SqlError};
use crate::syntax::sql::parts::Type;

/// Operators that want one type on both sides.
const OPERATORS: [&str; 7] = ["=", "!=", "<>", "<", "<=", ">", ">="];

/// Types that compare among themselves. A text is none with a moment, but a text that is written out is taken for one, so those two may meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Number,
    Text,
    Truth,
    Moment,
}

const NUMBERS: [&str; 3] = ["INT64", "FLOAT64", "NUMERIC"];
const MOMENTS: [&str; 4] = ["DATE", "DATETIME", "TIME", "TIMESTAMP"];

/// Functions whose result has one type whatever they are given.
const FUNCTIONS: &[(Family, &[&str])] = &[
    (
        Family::Number,
        &[
            "AVG",
            "CHAR_LENGTH",
            "CORR",
            "COUNT",
            "COUNTIF",
            "DATE_DIFF",
            "DATETIME_DIFF",
            "DENSE_RANK",
            "INSTR",
            "LENGTH",
            "LN",
            "LOG",
            "LOG10",
            "POW",
            "POWER",
            "RANK",
            "ROW_NUMBER",
            "SAFE_DIVIDE",
            "SQRT",
            "STDDEV",
            "STDDEV_POP",
            "STDDEV_SAMP",
            "STRPOS",
            "TIMESTAMP_DIFF",
            "UNIX_SECONDS",
            "VARIANCE",
        ],
    ),
    (Family::Text, &["FORMAT", "FORMAT_DATE", "FORMAT_DATETIME", "FORMAT_TIMESTAMP", "STRING_AGG", "TO_HEX", "UPPER", "LOWER"]),
    (Family::Truth, &["ENDS_WITH", "IS_INF", "IS_NAN", "LOGICAL_AND", "LOGICAL_OR", "REGEXP_CONTAINS", "STARTS_WITH"]),
];

impl Family {
    fn word(self) -> &'static str {
        match self {
            Self::Number => "a number",
            Self::Text => "a STRING",
            Self::Truth => "a BOOL",
            Self::Moment => "a date or time",
        }
    }
}

/// Refuses `left op right` where BigQuery has no such operator for their types.
pub(super) fn check(op: &str, left: &Expr, right: &Expr, params: &Map<String, Value>) -> Result<(), SqlError> {
    if !OPERATORS.contains(&op) {
        return Ok(());
    }
    let (Some(a), Some(b)) = (family(left, params), family(right, params)) else { return Ok(()) };
    if a == b || matches!((a, b), (Family::Text, Family::Moment) | (Family::Moment, Family::Text)) {
        return Ok(());
    }
    let fault = Fault::Incomparable { op: op.to_owned(), left: a.word(), right: b.word() };
    Err(fault.at(left.span.start..right.span.end))
}

/// The family of an expression's type, where the expression says it.
fn family(expr: &Expr, params: &Map<String, Value>) -> Option<Family> {
    use ExprKind as E;
    match &expr.kind {
        E::Int(_) | E::Float(_) | E::Unary("-", _) | E::Binary("*" | "/", ..) => Some(Family::Number),
        E::Extract { part, .. } if !MOMENTS.contains(&part.name.as_str()) => Some(Family::Number),
        E::Text(_) => Some(Family::Text),
        E::Unary("NOT", _)
        | E::Bool(_)
        | E::Is { .. }
        | E::Distinct { .. }
        | E::Between { .. }
        | E::Like { .. }
        | E::In { .. }
        | E::Exists(_) => Some(Family::Truth),
        E::Typed(of, _) => plain(of),
        E::Cast { to: Type::Plain(to), .. } => plain(to),
        E::Param(name) if name == "as_of" => Some(Family::Moment),
        E::Param(name) => match params.get(name)? {
            Value::Number(_) => Some(Family::Number),
            Value::String(_) => Some(Family::Text),
            Value::Bool(_) => Some(Family::Truth),
            _ => None,
        },
        E::Binary(op, ..) if OPERATORS.contains(op) || matches!(*op, "AND" | "OR") => Some(Family::Truth),
        E::Call(call) => FUNCTIONS.iter().find(|(_, names)| names.contains(&call.name.as_str())).map(|(family, _)| *family),
        _ => None,
    }
}

fn plain(of: &str) -> Option<Family> {
    match of {
        "STRING" => Some(Family::Text),
        "BOOL" => Some(Family::Truth),
        of if NUMBERS.contains(&of) => Some(Family::Number),
        of if MOMENTS.contains(&of) => Some(Family::Moment),
        _ => None,
    }
}
