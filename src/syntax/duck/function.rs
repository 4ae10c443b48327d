//! Owns scalar functions. Invariant: a function is here with the number of arguments and the DuckDB form that give BigQuery's result, or it
//! is refused by name.

use crate::base::name::nearest;
use crate::syntax::duck::aggregate;
use crate::syntax::duck::literal::fill;
use crate::syntax::duck::moment;
use crate::syntax::duck::print::Printer;
use crate::syntax::sql::ast::{Call, Expr, ExprKind};
use crate::syntax::sql::error::{SqlError, unsupported};
use crate::syntax::sql::walk::{self, Visit};

type Text = Result<String, SqlError>;

/// Name, number of arguments, form. `$1` stands for the first argument.
#[rustfmt::skip]
const FORMS: &[(&str, usize, &str)] = &[
    ("ABS", 1, "abs($1)"),
    ("ACOS", 1, "acos($1)"),
    ("ARRAY_LENGTH", 1, "len($1)"),
    ("ARRAY_REVERSE", 1, "list_reverse($1)"),
    ("ARRAY_TO_STRING", 2, "array_to_string($1, $2)"),
    ("ASIN", 1, "asin($1)"),
    ("ATAN", 1, "atan($1)"),
    ("ATAN2", 2, "atan2($1, $2)"),
    ("BYTE_LENGTH", 1, "bq_byte_length($1)"),
    ("CBRT", 1, "cbrt($1)"),
    ("CEIL", 1, "ceil(CAST($1 AS DOUBLE))"),
    ("CEILING", 1, "ceil(CAST($1 AS DOUBLE))"),
    ("CHARACTER_LENGTH", 1, "length($1)"),
    ("CHAR_LENGTH", 1, "length($1)"),
    ("COS", 1, "cos($1)"),
    ("DIV", 2, "bq_div($1, $2)"),
    ("ENDS_WITH", 2, "suffix($1, $2)"),
    ("EXP", 1, "bq_exp($1)"),
    ("FLOOR", 1, "floor(CAST($1 AS DOUBLE))"),
    ("FROM_HEX", 1, "unhex($1)"),
    ("GENERATE_ARRAY", 2, "bq_generate_array($1, $2, 1::BIGINT)"),
    ("GENERATE_ARRAY", 3, "bq_generate_array($1, $2, $3)"),
    ("IF", 3, "(CASE WHEN $1 THEN $2 ELSE $3 END)"),
    ("IFNULL", 2, "coalesce($1, $2)"),
    ("INSTR", 2, "strpos($1, $2)"),
    ("IS_INF", 1, "isinf($1)"),
    ("IS_NAN", 1, "isnan($1)"),
    ("LEFT", 2, "bq_left($1, $2)"),
    ("LENGTH", 1, "bq_length($1)"),
    ("LN", 1, "ln(CAST($1 AS DOUBLE))"),
    ("LOG", 1, "ln(CAST($1 AS DOUBLE))"),
    ("LOG", 2, "bq_divide(ln(CAST($1 AS DOUBLE)), ln(CAST($2 AS DOUBLE)))"),
    ("LOG10", 1, "log10(CAST($1 AS DOUBLE))"),
    ("LOWER", 1, "lower($1)"),
    ("LPAD", 2, "bq_lpad($1, $2, ' ')"),
    ("LPAD", 3, "bq_lpad($1, $2, $3)"),
    ("LTRIM", 1, "ltrim($1, bq_blanks())"),
    ("LTRIM", 2, "ltrim($1, $2)"),
    ("MD5", 1, "unhex(md5($1))"),
    ("MOD", 2, "bq_mod($1, $2)"),
    ("NULLIF", 2, "nullif($1, $2)"),
    ("OCTET_LENGTH", 1, "bq_byte_length($1)"),
    ("POW", 2, "bq_pow($1, $2)"),
    ("POWER", 2, "bq_pow($1, $2)"),
    ("REGEXP_CONTAINS", 2, "regexp_matches($1, $2)"),
    ("REGEXP_REPLACE", 3, "regexp_replace($1, $2, $3, 'g')"),
    ("REPEAT", 2, "bq_repeat($1, $2)"),
    ("REPLACE", 3, "replace($1, $2, $3)"),
    ("REVERSE", 1, "reverse($1)"),
    ("RIGHT", 2, "bq_right($1, $2)"),
    ("ROUND", 1, "round(CAST($1 AS DOUBLE))"),
    ("ROUND", 2, "round(CAST($1 AS DOUBLE), CAST($2 AS INTEGER))"),
    ("RPAD", 2, "bq_rpad($1, $2, ' ')"),
    ("RPAD", 3, "bq_rpad($1, $2, $3)"),
    ("RTRIM", 1, "rtrim($1, bq_blanks())"),
    ("RTRIM", 2, "rtrim($1, $2)"),
    ("SAFE_ADD", 2, "TRY($1 + $2)"),
    ("SAFE_DIVIDE", 2, "bq_safe_divide($1, $2)"),
    ("SAFE_MULTIPLY", 2, "TRY($1 * $2)"),
    ("SAFE_NEGATE", 1, "TRY(-($1))"),
    ("SAFE_SUBTRACT", 2, "TRY($1 - $2)"),
    ("SHA1", 1, "unhex(sha1($1))"),
    ("SHA256", 1, "unhex(sha256($1))"),
    ("SIGN", 1, "cast_to_type(sign($1), $1)"),
    ("SIN", 1, "sin($1)"),
    ("SPLIT", 1, "bq_split($1, ',')"),
    ("SPLIT", 2, "bq_split($1, $2)"),
    ("SQRT", 1, "sqrt(CAST($1 AS DOUBLE))"),
    ("STARTS_WITH", 2, "prefix($1, $2)"),
    ("STRPOS", 2, "strpos($1, $2)"),
    ("SUBSTR", 2, "bq_substr($1, $2)"),
    ("SUBSTR", 3, "bq_substr_length($1, $2, $3)"),
    ("SUBSTRING", 2, "bq_substr($1, $2)"),
    ("SUBSTRING", 3, "bq_substr_length($1, $2, $3)"),
    ("TAN", 1, "tan($1)"),
    ("TO_HEX", 1, "lower(hex($1))"),
    ("TRIM", 1, "trim($1, bq_blanks())"),
    ("TRIM", 2, "trim($1, $2)"),
    ("TRUNC", 1, "trunc(CAST($1 AS DOUBLE))"),
    ("TRUNC", 2, "trunc(CAST($1 AS DOUBLE), CAST($2 AS INTEGER))"),
    ("UPPER", 1, "upper($1)"),
];

/// Functions of any number of arguments.
const VARIADIC: &[&str] = &["ARRAY_CONCAT", "COALESCE", "CONCAT", "GREATEST", "LEAST"];

/// Functions whose pattern must be written out.
const PATTERNS: &[&str] = &["REGEXP_EXTRACT", "REGEXP_EXTRACT_ALL", "REGEXP_SUBSTR"];

/// What to use instead of functions that people reach for and that are not here.
const INSTEAD: &[(&str, &str)] = &[
    ("CONTAINS_SUBSTR", "use STRPOS(LOWER(a), LOWER(b)) > 0"),
    ("FARM_FINGERPRINT", "use SHA256"),
    ("FORMAT", "use CONCAT, CAST and FORMAT_DATE"),
    ("IEEE_DIVIDE", "use SAFE_DIVIDE"),
    ("INITCAP", "use UPPER and LOWER on parts of the string"),
];

impl Printer<'_> {
    pub(super) fn call(self, call: &Call, whole: &Expr) -> Text {
        if let Some(aggregate) = self.aggregate(call, whole) {
            return aggregate;
        }
        let plain = !call.star && !call.distinct && call.ignore_nulls.is_none() && call.order_by.is_empty() && call.limit.is_none();
        if !plain || call.over.is_some() {
            return Err(unknown(call).unwrap_or_else(|| unsupported(format!("this form of {}", call.name), None).at(whole.span.clone())));
        }
        if (call.safe || call.name.starts_with("SAFE_") && call.name != "SAFE_DIVIDE") && call.args.iter().any(is_grouped) {
            let instead = "compute what is inside it in a WITH query first";
            return Err(
                unsupported(format!("{} around an aggregate, a window or a query", call.name), Some(instead)).at(whole.span.clone())
            );
        }
        let scalar = self.scalar(call, whole)?;
        Ok(if call.safe { format!("TRY({scalar})") } else { scalar })
    }

    fn scalar(self, call: &Call, whole: &Expr) -> Text {
        if let Some(text) = self.moment(call, whole) {
            return text;
        }
        let args: Result<Vec<_>, _> = call.args.iter().map(|arg| self.expr(arg)).collect();
        if let Some((_, _, form)) = FORMS.iter().find(|(name, count, _)| *name == call.name && *count == call.args.len()) {
            return Ok(fill(form, &args?));
        }
        match call.name.as_str() {
            name if VARIADIC.contains(&name) && !call.args.is_empty() => Ok(variadic(name, &args?)),
            name if PATTERNS.contains(&name) && call.args.len() == 2 => pattern(name, call, &args?),
            name => Err(unknown(call).unwrap_or_else(|| {
                let count = call.args.len();
                unsupported(format!("{name} with {count} argument{}", if count == 1 { "" } else { "s" }), None).at(whole.span.clone())
            })),
        }
    }
}

/// The refusal of a function that is not known by any number of arguments.
fn unknown(call: &Call) -> Option<SqlError> {
    let name = call.name.as_str();
    if known().any(|known| known == name) {
        return None;
    }
    let instead = INSTEAD.iter().find(|(known, _)| *known == name).map(|(_, instead)| (*instead).to_owned());
    let instead = instead.or_else(|| nearest(name, known()).map(|near| format!("did you mean {near}?")));
    Some(unsupported(format!("the function {name}"), instead.as_deref()).at(call.name_span.clone()))
}

/// Whether something in an expression is computed over several rows, where DuckDB's TRY cannot stand.
fn is_grouped(expr: &Expr) -> bool {
    struct Grouped(bool);
    impl Visit for Grouped {
        fn expr(&mut self, expr: &Expr) -> Result<(), SqlError> {
            self.0 |= match &expr.kind {
                ExprKind::Call(call) => call.over.is_some() || aggregate::is_one(&call.name),
                ExprKind::Scalar(_) | ExprKind::Exists(_) | ExprKind::ArrayQuery(_) => true,
                _ => false,
            };
            Ok(())
        }
    }
    let mut found = Grouped(false);
    walk::expr(expr, &mut found).is_err() || found.0
}

/// Every function that can be used.
pub(super) fn known() -> impl Iterator<Item = &'static str> {
    let forms = FORMS.iter().map(|(name, ..)| *name);
    forms.chain(VARIADIC.iter().copied()).chain(PATTERNS.iter().copied()).chain(moment::NAMES.iter().copied()).chain(aggregate::names())
}

fn variadic(name: &str, args: &[String]) -> String {
    match name {
        "COALESCE" => format!("coalesce({})", args.join(", ")),
        "CONCAT" => {
            let parts: Vec<_> = args.iter().map(|arg| format!("bq_concat_part({arg})")).collect();
            format!("({})", parts.join(" || "))
        }
        "ARRAY_CONCAT" => format!("({})", args.join(" || ")),
        _ => format!("bq_{}([{}])", name.to_ascii_lowercase(), args.join(", ")),
    }
}

/// Whether a pattern has a capturing group decides what is extracted, so the pattern must be known.
fn pattern(name: &str, call: &Call, args: &[String]) -> Text {
    let ExprKind::Text(pattern) = &call.args[1].kind else {
        return Err(unsupported(format!("{name} with a pattern that is not a string"), None).at(call.args[1].span.clone()));
    };
    let groups = groups(pattern);
    if groups > 1 {
        return Err(unsupported(format!("{name} with {groups} groups"), Some("write (?:…) for all but one")).at(call.args[1].span.clone()));
    }
    Ok(match name {
        "REGEXP_EXTRACT_ALL" => format!("regexp_extract_all({}, {}, {groups})", args[0], args[1]),
        _ => format!("bq_regexp_extract({}, {}, {groups})", args[0], args[1]),
    })
}

/// How many capturing groups a pattern has.
fn groups(pattern: &str) -> usize {
    let bytes = pattern.as_bytes();
    let (mut at, mut count, mut in_class) = (0, 0, false);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'[' => in_class = true,
            b']' => in_class = false,
            b'(' if !in_class && (bytes.get(at + 1) != Some(&b'?') || bytes.get(at + 2) == Some(&b'P')) => count += 1,
            _ => {}
        }
        at += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capturing_groups_are_counted() {
        for (pattern, count) in [("a", 0), ("(a)", 1), (r"\(a", 0), ("(?:a)(b)", 1), ("[(]", 0), ("(?P<x>a)(b)", 2)] {
            assert_eq!(groups(pattern), count, "{pattern}");
        }
    }
}
