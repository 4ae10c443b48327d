//! Owns aggregate and window functions. Invariant: which rows count, what NULLs do and what an empty group gives are BigQuery's.

use crate::syntax::duck::print::Printer;
use crate::syntax::sql::ast::{Call, Expr, ExprKind};
use crate::syntax::sql::error::{SqlError, unsupported};

type Text = Result<String, SqlError>;

/// Aggregates that differ by name only: BigQuery's, arguments, DuckDB's.
const PLAIN: &[(&str, usize, &str)] = &[
    ("ANY_VALUE", 1, "any_value"),
    ("AVG", 1, "avg"),
    ("BIT_AND", 1, "bit_and"),
    ("BIT_OR", 1, "bit_or"),
    ("BIT_XOR", 1, "bit_xor"),
    ("COVAR_POP", 2, "covar_pop"),
    ("COVAR_SAMP", 2, "covar_samp"),
    ("LOGICAL_AND", 1, "bool_and"),
    ("LOGICAL_OR", 1, "bool_or"),
    ("MAX", 1, "max"),
    ("STDDEV", 1, "stddev_samp"),
    ("STDDEV_POP", 1, "stddev_pop"),
    ("STDDEV_SAMP", 1, "stddev_samp"),
    ("VARIANCE", 1, "var_samp"),
    ("VAR_POP", 1, "var_pop"),
    ("VAR_SAMP", 1, "var_samp"),
];

/// Aggregates with a form of their own.
const OWN: &[&str] = &[
    "APPROX_COUNT_DISTINCT",
    "APPROX_QUANTILES",
    "ARRAY_AGG",
    "CORR",
    "COUNT",
    "COUNTIF",
    "MIN",
    "PERCENTILE_CONT",
    "PERCENTILE_DISC",
    "STRING_AGG",
    "SUM",
];

/// Functions of a window: name, least and most arguments.
const WINDOW: &[(&str, usize, usize)] = &[
    ("CUME_DIST", 0, 0),
    ("DENSE_RANK", 0, 0),
    ("FIRST_VALUE", 1, 1),
    ("LAG", 1, 3),
    ("LAST_VALUE", 1, 1),
    ("LEAD", 1, 3),
    ("NTH_VALUE", 2, 2),
    ("NTILE", 1, 1),
    ("PERCENT_RANK", 0, 0),
    ("RANK", 0, 0),
    ("ROW_NUMBER", 0, 0),
];

/// Whether a function is an aggregate or one of a window.
pub(super) fn is_one(name: &str) -> bool {
    names().any(|known| known == name)
}

/// Names of all functions here.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    PLAIN.iter().map(|(name, ..)| *name).chain(OWN.iter().copied()).chain(WINDOW.iter().map(|(name, ..)| *name))
}

impl Printer<'_> {
    /// The call, where it is an aggregate or a function of a window.
    pub(super) fn aggregate(self, call: &Call, whole: &Expr) -> Option<Text> {
        let name = call.name.as_str();
        if let Some((_, least, most)) = WINDOW.iter().find(|(known, ..)| *known == name) {
            return Some(self.of_window(call, *least, *most, whole));
        }
        if let Some((_, count, duck)) = PLAIN.iter().find(|(known, ..)| *known == name) {
            return Some(self.plain(call, *count, duck, whole));
        }
        OWN.contains(&name).then(|| self.own(call, whole))
    }

    fn of_window(self, call: &Call, least: usize, most: usize, whole: &Expr) -> Text {
        let name = &call.name;
        if call.over.is_none() || call.args.len() < least || call.args.len() > most || call.distinct || call.star {
            return Err(unsupported(format!("this form of {name}"), Some("it wants its arguments and OVER (…)")).at(whole.span.clone()));
        }
        let nulls = match call.ignore_nulls {
            Some(true) if matches!(name.as_str(), "FIRST_VALUE" | "LAST_VALUE" | "NTH_VALUE") => " IGNORE NULLS",
            Some(true) => return Err(unsupported(format!("IGNORE NULLS in {name}"), None).at(whole.span.clone())),
            _ => "",
        };
        Ok(format!("{}({}{nulls}){}", name.to_ascii_lowercase(), self.list(&call.args)?, self.over(call)?))
    }

    fn plain(self, call: &Call, count: usize, duck: &str, whole: &Expr) -> Text {
        refuse(call, count, &[], whole)?;
        self.aggregated(call, duck, &self.list(&call.args)?, None)
    }

    fn own(self, call: &Call, whole: &Expr) -> Text {
        let args = call.args.as_slice();
        let first = || args.first().map_or(Ok(String::new()), |arg| self.expr(arg));
        match call.name.as_str() {
            "COUNT" if call.star => self.aggregated(call, "count", "*", None),
            "COUNT" => {
                refuse(call, 1, &[], whole)?;
                self.aggregated(call, "count", &first()?, None)
            }
            "COUNTIF" => {
                refuse(call, 1, &[], whole)?;
                if call.distinct {
                    return Err(unsupported("COUNTIF(DISTINCT …)", None).at(whole.span.clone()));
                }
                self.aggregated(call, "count", "*", Some(&first()?))
            }
            "MIN" => {
                refuse(call, 1, &[], whole)?;
                // NaN is DuckDB's greatest number, so it shows in the maximum; BigQuery's least of numbers with a NaN is NaN.
                let (least, greatest) = (self.aggregated(call, "min", &first()?, None)?, self.aggregated(call, "max", &first()?, None)?);
                Ok(format!("bq_min({least}, {greatest})"))
            }
            "SUM" => {
                refuse(call, 1, &[], whole)?;
                // DuckDB adds whole numbers in 128 bits; BigQuery's sum is INT64, or an error.
                let sum = self.aggregated(call, "sum", &first()?, None)?;
                let example = if call.over.is_some() { first()? } else { format!("any_value({})", first()?) };
                Ok(format!("cast_to_type({sum}, {example})"))
            }
            "CORR" => {
                refuse(call, 2, &[], whole)?;
                let list = self.list(args)?;
                let (pairs, corr) = (self.aggregated(call, "regr_count", &list, None)?, self.aggregated(call, "corr", &list, None)?);
                Ok(format!("(CASE WHEN {pairs} >= 2 THEN {corr} END)"))
            }
            "APPROX_COUNT_DISTINCT" => {
                refuse(call, 1, &[], whole)?;
                self.aggregated(&Call { distinct: true, ..call.clone() }, "count", &first()?, None)
            }
            "APPROX_QUANTILES" => self.quantiles(call, whole),
            "ARRAY_AGG" => {
                refuse(call, 1, &["ORDER BY", "LIMIT", "NULLS"], whole)?;
                let value = first()?;
                let present = (call.ignore_nulls == Some(true)).then(|| format!("{value} IS NOT NULL"));
                let list = self.aggregated(call, "array_agg", &value, present.as_deref())?;
                self.limited(call, list)
            }
            "STRING_AGG" => self.string_agg(call, whole),
            _ => self.percentile(call, whole),
        }
    }

    fn string_agg(self, call: &Call, whole: &Expr) -> Text {
        refuse(call, call.args.len().clamp(1, 2), &["ORDER BY", "LIMIT"], whole)?;
        let value = self.expr(&call.args[0])?;
        let separator = call.args.get(1).map_or(Ok("','".to_owned()), |arg| self.expr(arg))?;
        if call.limit.is_none() {
            return self.aggregated(call, "string_agg", &format!("{value}, {separator}"), None);
        }
        let list = self.aggregated(call, "array_agg", &value, Some(&format!("{value} IS NOT NULL")))?;
        Ok(format!("array_to_string({}, {separator})", self.limited(call, list)?))
    }

    fn limited(self, call: &Call, list: String) -> Text {
        match &call.limit {
            Some(limit) => Ok(format!("list_slice({list}, 1, {})", self.expr(limit)?)),
            None => Ok(list),
        }
    }

    /// `APPROX_QUANTILES(x, n)`: the exact ones, which is one of the answers it may give.
    fn quantiles(self, call: &Call, whole: &Expr) -> Text {
        refuse(call, 2, &["NULLS"], whole)?;
        let count = match &call.args[1].kind {
            ExprKind::Int(digits) => digits.parse::<u32>().ok().filter(|n| (1..=10_000).contains(n)),
            _ => None,
        };
        let (Some(count), false) = (count, call.ignore_nulls == Some(false)) else {
            return Err(unsupported("this form of APPROX_QUANTILES", Some("its second argument is a number from 1 to 10000"))
                .at(whole.span.clone()));
        };
        let fractions: Vec<_> = (0..=count).map(|step| format!("{:e}", f64::from(step) / f64::from(count))).collect();
        self.aggregated(call, "quantile_disc", &format!("{}, [{}]", self.expr(&call.args[0])?, fractions.join(", ")), None)
    }

    /// `PERCENTILE_CONT(x, p) OVER (…)`, which leaves NULLs out as DuckDB's quantiles do.
    fn percentile(self, call: &Call, whole: &Expr) -> Text {
        refuse(call, 2, &["NULLS"], whole)?;
        if call.over.is_none() || call.ignore_nulls == Some(false) || call.distinct {
            let instead = "it wants OVER (…) and no RESPECT NULLS";
            return Err(unsupported(format!("this form of {}", call.name), Some(instead)).at(whole.span.clone()));
        }
        let (duck, value) = match call.name.as_str() {
            "PERCENTILE_CONT" => ("quantile_cont", format!("CAST({} AS DOUBLE)", self.expr(&call.args[0])?)),
            _ => ("quantile_disc", self.expr(&call.args[0])?),
        };
        self.aggregated(call, duck, &format!("{value}, {}", self.expr(&call.args[1])?), None)
    }

    /// `name([DISTINCT] args [ORDER BY …]) [FILTER (WHERE …)] [OVER …]`
    fn aggregated(self, call: &Call, duck: &str, args: &str, filter: Option<&str>) -> Text {
        let distinct = if call.distinct { "DISTINCT " } else { "" };
        let order = if call.order_by.is_empty() { String::new() } else { format!(" ORDER BY {}", self.orders(&call.order_by, false)?) };
        let filter = filter.map(|filter| format!(" FILTER (WHERE {filter})")).unwrap_or_default();
        Ok(format!("{duck}({distinct}{args}{order}){filter}{}", self.over(call)?))
    }

    fn over(self, call: &Call) -> Text {
        call.over.as_ref().map_or(Ok(String::new()), |window| Ok(format!(" OVER {}", self.window(window)?)))
    }
}

/// Refuses a wrong number of arguments, and modifiers that are not among the `allowed`.
fn refuse(call: &Call, count: usize, allowed: &[&str], whole: &Expr) -> Result<(), SqlError> {
    let name = &call.name;
    let found = [
        (call.star || call.args.len() != count, "ARGUMENTS", format!("{name} with {} arguments", call.args.len())),
        (!call.order_by.is_empty(), "ORDER BY", format!("ORDER BY in {name}")),
        (call.limit.is_some(), "LIMIT", format!("LIMIT in {name}")),
        (call.ignore_nulls.is_some(), "NULLS", format!("IGNORE or RESPECT NULLS in {name}")),
        (call.safe, "SAFE", format!("SAFE.{name}")),
    ];
    match found.into_iter().find(|(is, what, _)| *is && !allowed.contains(what)) {
        Some((_, _, what)) => Err(unsupported(what, None).at(whole.span.clone())),
        None => Ok(()),
    }
}
