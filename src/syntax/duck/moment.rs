//! Owns functions of dates and times. Invariant: weeks start on Sunday where BigQuery's do, differences count what BigQuery counts, and a
//! DATE stays a DATE.

use crate::syntax::duck::literal::{self, fill};
use crate::syntax::duck::print::Printer;
use crate::syntax::sql::ast::{Call, Expr, ExprKind};
use crate::syntax::sql::error::{SqlError, unsupported};
use crate::syntax::sql::parts::Part;

type Text = Result<String, SqlError>;

/// Functions that take no part of a date: name, number of arguments, form.
#[rustfmt::skip]
const FORMS: &[(&str, usize, &str)] = &[
    ("DATE", 1, "bq_cast_date($1)"),
    ("DATE", 3, "make_date($1, $2, $3)"),
    ("DATETIME", 1, "bq_cast_datetime($1)"),
    ("DATETIME", 2, "($1 + $2)"),
    ("DATETIME", 6, "make_timestamp($1, $2, $3, $4, $5, CAST($6 AS DOUBLE))"),
    ("DATE_FROM_UNIX_DATE", 1, "(DATE '1970-01-01' + CAST($1 AS INTEGER))"),
    ("GENERATE_DATE_ARRAY", 2, "bq_date_array_days($1, $2, 1::BIGINT)"),
    ("LAST_DAY", 1, "last_day($1)"),
    ("TIME", 3, "make_time($1, $2, CAST($3 AS DOUBLE))"),
    ("TIMESTAMP", 1, "bq_cast_timestamp($1)"),
    ("TIMESTAMP_MICROS", 1, "make_timestamptz($1)"),
    ("TIMESTAMP_MILLIS", 1, "make_timestamptz($1 * 1000)"),
    ("TIMESTAMP_SECONDS", 1, "make_timestamptz($1 * 1000000)"),
    ("UNIX_DATE", 1, "($1 - DATE '1970-01-01')"),
    ("UNIX_MICROS", 1, "epoch_us($1)"),
    ("UNIX_MILLIS", 1, "bq_floor_divide(epoch_us($1), 1000)"),
    ("UNIX_SECONDS", 1, "bq_floor_divide(epoch_us($1), 1000000)"),
];

/// Every function here, for suggestions.
#[rustfmt::skip]
pub(super) const NAMES: &[&str] = &[
    "DATE", "DATETIME", "DATETIME_ADD", "DATETIME_DIFF", "DATETIME_SUB", "DATETIME_TRUNC", "DATE_ADD", "DATE_DIFF", "DATE_FROM_UNIX_DATE",
    "DATE_SUB", "DATE_TRUNC", "EXTRACT", "FORMAT_DATE", "FORMAT_DATETIME", "FORMAT_TIMESTAMP", "GENERATE_DATE_ARRAY", "LAST_DAY",
    "PARSE_DATE", "PARSE_DATETIME", "PARSE_TIMESTAMP", "TIME", "TIMESTAMP", "TIMESTAMP_ADD", "TIMESTAMP_DIFF", "TIMESTAMP_MICROS",
    "TIMESTAMP_MILLIS", "TIMESTAMP_SECONDS", "TIMESTAMP_SUB", "TIMESTAMP_TRUNC", "UNIX_DATE", "UNIX_MICROS", "UNIX_MILLIS", "UNIX_SECONDS",
];

const WEEKDAYS: &[&str] = &["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY"];

impl Printer<'_> {
    /// The call, where it is about dates or times.
    pub(super) fn moment(self, call: &Call, whole: &Expr) -> Option<Text> {
        let name = call.name.as_str();
        if !NAMES.contains(&name) {
            return None;
        }
        let args = call.args.as_slice();
        let (family, verb) = name.rsplit_once('_').unwrap_or((name, ""));
        Some(match (verb, args) {
            ("ADD" | "SUB", [moment, Expr { kind: ExprKind::Interval { value, part }, .. }]) => {
                self.shift(family, verb, moment, value, part)
            }
            ("DIFF", [a, b, part]) => self.difference(family, a, b, part),
            ("TRUNC", [moment, part]) => self.truncate(moment, part),
            ("DATE" | "DATETIME" | "TIMESTAMP", [format, value]) if matches!(family, "FORMAT" | "PARSE") => {
                self.formatted(family, verb, format, value)
            }
            ("DAY", [date, part]) => self.last_day(date, part),
            ("ARRAY", [from, to, Expr { kind: ExprKind::Interval { value, part }, .. }]) => self.date_array(from, to, value, part),
            ("", [moment, zone]) if matches!(name, "DATE" | "DATETIME" | "TIMESTAMP") && is_utc(zone) => {
                self.expr(moment).map(|moment| format!("bq_cast_{}({moment})", name.to_ascii_lowercase()))
            }
            ("", [_, zone @ Expr { kind: ExprKind::Text(_), .. }]) => {
                Err(unsupported(format!("a time zone other than UTC in {name}"), None).at(zone.span.clone()))
            }
            _ => self.plain_moment(call, whole),
        })
    }

    fn plain_moment(self, call: &Call, whole: &Expr) -> Text {
        let Some((_, _, form)) = FORMS.iter().find(|(name, count, _)| *name == call.name && *count == call.args.len()) else {
            return Err(unsupported(format!("this form of {}", call.name), None).at(whole.span.clone()));
        };
        let args: Result<Vec<_>, _> = call.args.iter().map(|arg| self.expr(arg)).collect();
        Ok(fill(form, &args?))
    }

    /// `DATE_ADD` and its kin; a DATE plus whole days, weeks, months or years is a DATE.
    fn shift(self, family: &str, verb: &str, moment: &Expr, value: &Expr, part: &Part) -> Text {
        let large = ["DAY", "WEEK", "MONTH", "QUARTER", "YEAR"].contains(&part.name.as_str());
        let small = ["DAY", "HOUR", "MINUTE", "SECOND", "MILLISECOND", "MICROSECOND"].contains(&part.name.as_str());
        let allowed = match family {
            "DATE" => large,
            "TIMESTAMP" => small,
            _ => large || small,
        };
        if !allowed {
            return Err(unsupported(format!("{} in {family}_{verb}", part.name), None).at(part.span.clone()));
        }
        let sign = if verb == "ADD" { "+" } else { "-" };
        let (moment, interval) = (self.expr(moment)?, self.interval(value, part)?);
        Ok(match family {
            "DATE" => format!("CAST((bq_date({moment}) {sign} {interval}) AS DATE)"),
            _ => format!("({moment} {sign} {interval})"),
        })
    }

    /// `TIMESTAMP_DIFF` counts whole parts; the others count the boundaries between the two.
    fn difference(self, family: &str, a: &Expr, b: &Expr, part: &Expr) -> Text {
        let part = date_part(part)?;
        let (a, b) = (self.expr(a)?, self.expr(b)?);
        if family == "TIMESTAMP" {
            let micros = match part.name.as_str() {
                "MICROSECOND" => 1_i64,
                "MILLISECOND" => 1_000,
                "SECOND" => 1_000_000,
                "MINUTE" => 60_000_000,
                "HOUR" => 3_600_000_000,
                "DAY" => 86_400_000_000,
                other => {
                    return Err(unsupported(format!("{other} in TIMESTAMP_DIFF"), Some("use DATE_DIFF on DATE(x)")).at(part.span.clone()));
                }
            };
            return Ok(format!("((epoch_us(bq_timestamp({a})) - epoch_us(bq_timestamp({b}))) // {micros})"));
        }
        let cast = if family == "DATE" { "bq_date" } else { "bq_datetime" };
        let (a, b) = (format!("{cast}({a})"), format!("{cast}({b})"));
        match (part.name.as_str(), week_shift(&part)?) {
            ("WEEK" | "ISOWEEK", Some(shift)) => Ok(format!("bq_week_diff({a}, {b}, {shift})")),
            ("ISOYEAR", _) => Ok(format!("(isoyear({a}) - isoyear({b}))")),
            ("DAY" | "MONTH" | "QUARTER" | "YEAR", _) => Ok(format!("date_diff('{}', {b}, {a})", part.name.to_ascii_lowercase())),
            ("HOUR" | "MINUTE" | "SECOND" | "MILLISECOND" | "MICROSECOND", _) if family == "DATETIME" => {
                Ok(format!("date_diff('{}', {b}, {a})", part.name.to_ascii_lowercase()))
            }
            (other, _) => Err(unsupported(format!("{other} in {family}_DIFF"), None).at(part.span.clone())),
        }
    }

    fn truncate(self, moment: &Expr, part: &Expr) -> Text {
        let part = date_part(part)?;
        let moment = self.expr(moment)?;
        match (part.name.as_str(), week_shift(&part)?) {
            ("WEEK" | "ISOWEEK", Some(shift)) => Ok(format!("bq_week_trunc({moment}, {shift})")),
            ("ISOYEAR", _) => Ok(format!("bq_isoyear_trunc({moment})")),
            ("DAY" | "MONTH" | "QUARTER" | "YEAR" | "HOUR" | "MINUTE" | "SECOND" | "MILLISECOND", _) => {
                Ok(format!("bq_trunc('{}', {moment})", part.name.to_ascii_lowercase()))
            }
            (other, _) => Err(unsupported(format!("{other} in a TRUNC function"), None).at(part.span.clone())),
        }
    }

    fn last_day(self, date: &Expr, part: &Expr) -> Text {
        let part = date_part(part)?;
        let date = format!("bq_date({})", self.expr(date)?);
        match (part.name.as_str(), week_shift(&part)?) {
            ("MONTH", _) => Ok(format!("last_day({date})")),
            ("WEEK" | "ISOWEEK", Some(shift)) => Ok(format!("CAST((bq_week_trunc({date}, {shift}) + 6) AS DATE)")),
            ("QUARTER", _) => Ok(format!("CAST(bq_trunc('quarter', {date}) + to_months(3) - to_days(1) AS DATE)")),
            ("YEAR", _) => Ok(format!("CAST(bq_trunc('year', {date}) + to_years(1) - to_days(1) AS DATE)")),
            (other, _) => Err(unsupported(format!("{other} in LAST_DAY"), None).at(part.span.clone())),
        }
    }

    fn date_array(self, from: &Expr, to: &Expr, step: &Expr, part: &Part) -> Text {
        let (from, to, step) = (self.expr(from)?, self.expr(to)?, self.expr(step)?);
        let (unit, scale) = match part.name.as_str() {
            "DAY" => ("days", 1),
            "WEEK" => ("days", 7),
            "MONTH" => ("months", 1),
            "QUARTER" => ("months", 3),
            "YEAR" => ("months", 12),
            other => return Err(unsupported(format!("{other} in GENERATE_DATE_ARRAY"), None).at(part.span.clone())),
        };
        Ok(format!("bq_date_array_{unit}({from}, {to}, {step} * {scale})"))
    }

    pub(super) fn extract(self, part: &Part, from: &Expr) -> Text {
        let moment = self.expr(from)?;
        let call = |function: &str| Ok(format!("{function}({moment})"));
        match (part.name.as_str(), week_shift(part)?) {
            ("WEEK", Some(shift)) => Ok(format!("bq_week_number({moment}, {shift})")),
            ("DAYOFWEEK", _) => Ok(format!("(dayofweek({moment}) + 1)")),
            ("ISOWEEK", _) => call("week"),
            ("MILLISECOND", _) => Ok(format!("(millisecond({moment}) % 1000)")),
            ("MICROSECOND", _) => Ok(format!("(microsecond({moment}) % 1000000)")),
            ("DATE" | "DATETIME" | "TIME", _) => call(&format!("bq_cast_{}", part.name.to_ascii_lowercase())),
            ("YEAR" | "ISOYEAR" | "QUARTER" | "MONTH" | "DAY" | "DAYOFYEAR" | "HOUR" | "MINUTE" | "SECOND", _) => {
                call(&part.name.to_ascii_lowercase())
            }
            (other, _) => Err(unsupported(format!("EXTRACT of {other}"), None).at(part.span.clone())),
        }
    }

    fn formatted(self, family: &str, verb: &str, format: &Expr, value: &Expr) -> Text {
        let ExprKind::Text(written) = &format.kind else {
            return Err(unsupported(format!("{family}_{verb} with a format that is not a string"), None).at(format.span.clone()));
        };
        let format_text = duck_format(written, family == "PARSE").map_err(|what| unsupported(what, None).at(format.span.clone()))?;
        let value = self.expr(value)?;
        let format_text = literal::text(&format_text);
        Ok(match (family, verb) {
            ("FORMAT", "DATE") => format!("strftime(bq_date({value}), {format_text})"),
            ("FORMAT", _) => format!("strftime({value}, {format_text})"),
            (_, "DATE") => format!("CAST(strptime({value}, {format_text}) AS DATE)"),
            (_, "DATETIME") => format!("strptime({value}, {format_text})"),
            _ => format!("CAST(strptime({value}, {format_text}) AS TIMESTAMPTZ)"),
        })
    }
}

fn is_utc(zone: &Expr) -> bool {
    matches!(&zone.kind, ExprKind::Text(zone) if ["UTC", "+00:00", "+00", "Etc/UTC"].contains(&zone.as_str()))
}

/// An argument such as `MONTH` or `WEEK(MONDAY)`.
fn date_part(arg: &Expr) -> Result<Part, SqlError> {
    let word = |expr: &Expr| match &expr.kind {
        ExprKind::Column(path) if path.len() == 1 => Some(path[0].text.to_ascii_uppercase()),
        _ => None,
    };
    let part = match &arg.kind {
        ExprKind::Call(call) if call.args.len() == 1 => word(&call.args[0]).map(|day| (call.name.clone(), Some(day))),
        _ => word(arg).map(|name| (name, None)),
    };
    let (name, weekday) =
        part.ok_or_else(|| unsupported("a part of a date that is not a word such as MONTH", None).at(arg.span.clone()))?;
    Ok(Part { name, weekday, span: arg.span.clone() })
}

/// How many days later the week of a date begins than Monday's, counted back to Monday; `None` where it is no week.
fn week_shift(part: &Part) -> Result<Option<usize>, SqlError> {
    let first = match (part.name.as_str(), &part.weekday) {
        ("ISOWEEK", None) => 0,
        ("WEEK", None) => 6,
        ("WEEK", Some(day)) => WEEKDAYS
            .iter()
            .position(|known| known == day)
            .ok_or_else(|| unsupported(format!("WEEK({day})"), Some("a weekday such as MONDAY")).at(part.span.clone()))?,
        (_, None) => return Ok(None),
        (name, Some(_)) => return Err(unsupported(format!("{name} with an argument"), None).at(part.span.clone())),
    };
    Ok(Some((7 - first) % 7))
}

/// BigQuery's format in DuckDB's elements.
fn duck_format(format: &str, parse: bool) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = format.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut element: String = rest.next().into_iter().collect();
        if element == "E" {
            element.extend(rest.by_ref().take(2));
        }
        out.push_str(match element.as_str() {
            "F" => "%Y-%m-%d",
            "T" => "%H:%M:%S",
            "R" => "%H:%M",
            "D" => "%m/%d/%y",
            "E4Y" | "Y" => "%Y",
            "m" => "%m",
            "d" => "%d",
            "H" => "%H",
            "M" => "%M",
            "S" => "%S",
            "I" => "%I",
            "p" => "%p",
            "y" => "%y",
            "b" | "h" => "%b",
            "B" => "%B",
            "%" => "%%",
            "a" if !parse => "%a",
            "A" if !parse => "%A",
            "j" if !parse => "%j",
            "U" if !parse => "%U",
            "W" if !parse => "%W",
            "w" if !parse => "%w",
            "u" if !parse => "%u",
            "V" if !parse => "%V",
            "G" if !parse => "%G",
            _ => return Err(format!("the format element %{element}")),
        });
    }
    if parse && !["%Y", "%y"].iter().any(|year| out.contains(year)) {
        return Err("a format without a year".to_owned());
    }
    Ok(out)
}
