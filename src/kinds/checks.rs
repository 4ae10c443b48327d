//! Owns the key `checks` of the kinds that make a table. Invariant: a stanza without it is the action it always was; with it, the table's bytes are the
//! same and the reports stand beside them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::base::name::{TargetName, nearest};
use crate::engine::checks::error::CheckError;
use crate::engine::checks::find::find;
use crate::engine::checks::found::Found;
use crate::engine::checks::spec::{Check, Rule};
use crate::engine::checks::subject::Subject;
use crate::engine::table_file;
use crate::io::fs;
use crate::kinds::body::Body;
use crate::kinds::context::KindError;
use crate::kinds::query::{self, ARTIFACT};
use crate::kinds::request::{Request, RequestError, Response, RunError};
use crate::kinds::truncation;
use crate::model::check::{CHECKS, CHECKS_FILE, Report};
use crate::model::recipe::{Declared, Source};
use crate::syntax::shape::{Key, Want};
use crate::syntax::sql::read::read;

const COLUMNS: Want = Want::List(&Want::Text, true);
const COUNT: Want = Want::Int(1);
const LIMIT: Want = Want::Either(&[Want::Number, Want::Text]);
const TOLERANCE: &str = "How far apart two numbers may be; 0 where it is not said.";

const CALENDAR: &[Key] =
    &[Key::required("table", Want::TableName, "The table of trading days."), Key::required("column", Want::Text, "Its column of dates.")];

const RANGE: &[Key] = &[
    Key::required("column", Want::Text, "The column."),
    Key::optional("min", LIMIT, "The least value: a number, a date, or another column."),
    Key::optional("max", LIMIT, "The greatest value: a number, a date, or another column."),
];

const ACCEPTED: &[Key] = &[
    Key::required("column", Want::Text, "The column."),
    Key::required("values", Want::List(&Want::Any, true), "The values that it may hold."),
];

const ROW_COUNT: &[Key] =
    &[Key::optional("min", Want::Int(0), "At least so many rows."), Key::optional("max", Want::Int(0), "At most so many rows.")];

const MAX_GAP: &[Key] = &[
    Key::required("column", Want::Text, "The column of dates."),
    Key::required("days", COUNT, "The most days from one date to the next."),
    Key::optional(
        "calendar",
        Want::Either(&[Want::TableName, Want::Table(CALENDAR)]),
        "A table of trading days, by its column `date` or another; without it, all days count.",
    ),
];

const FRESH: &[Key] = &[
    Key::required("column", Want::Text, "The column of dates."),
    Key::required("max_age_days", Want::Int(0), "The most days that the newest may lie before the build's date."),
];

const NO_FROZEN_TAIL: &[Key] = &[
    Key::required("column", Want::Either(&[Want::Text, COLUMNS]), "The column, or a list of columns and patterns."),
    Key::required("rows", Want::Int(2), "So many equal values at the end are too many."),
];

const AGREES_WITH: &[Key] = &[
    Key::required("table", Want::TableName, "The other table."),
    Key::required("on", Want::Either(&[COLUMNS, Want::Map(&Want::Text)]), "Columns of both, or this table's column = the other's."),
    Key::required("column", Want::Text, "The column that is compared."),
    Key::optional("other", Want::Text, "The other table's column; of the same name where it is not said."),
    Key::optional("tolerance", Want::Number, TOLERANCE),
    Key::optional("complete", Want::Bool, "Whether a row that only one of the two has is a disagreement too."),
];

const REFERENCES: &[Key] = &[
    Key::required("column", Want::Text, "The column."),
    Key::required("table", Want::TableName, "The table that has all its values."),
    Key::optional("other", Want::Text, "That table's column; of the same name where it is not said."),
];

const SEVERITY: Key = Key::optional(
    "severity",
    Want::OneOf(&["error", "warn"]),
    "`error`: a failure fails the step; `warn`: it is shown. `warn` for a `table`, `error` for an `sql`, where it is not said.",
);
const NAME: Key = Key::optional("name", Want::Text, "What the check is called.");

/// The keys of one check: one of the rules, and how it is taken.
pub const CHECK_KEYS: &[Key] = &[
    Key::optional("unique", COLUMNS, "No two rows have the same values in these columns."),
    Key::optional("not_null", COLUMNS, "These columns have a value in every row; patterns too."),
    Key::optional("range", Want::Table(RANGE), "A column's values lie between two limits."),
    Key::optional("accepted", Want::Table(ACCEPTED), "A column holds these values only."),
    Key::optional("monotonic", Want::Text, "The column never decreases in the order of the table."),
    Key::optional("row_count", Want::Table(ROW_COUNT), "The table has so many rows."),
    Key::optional("max_gap", Want::Table(MAX_GAP), "From one date to the next it is never more than so many days."),
    Key::optional("fresh", Want::Table(FRESH), "The newest date is not too old for the build's date."),
    Key::optional("no_frozen_tail", Want::Table(NO_FROZEN_TAIL), "A column does not end in the same value again and again."),
    Key::optional(
        "no_dead_columns",
        Want::Either(&[Want::Bool, COLUMNS]),
        "No column, or none of these and patterns, is without values or constant.",
    ),
    Key::optional("agrees_with", Want::Table(AGREES_WITH), "Another table says the same."),
    Key::optional("references", Want::Table(REFERENCES), "Every value of a column stands in another table."),
    Key::optional("sql", Want::Text, "A query that must return no rows."),
    SEVERITY,
    NAME,
];

/// The key.
pub const KEY: Key =
    Key::optional("checks", Want::List(&Want::Table(CHECK_KEYS), true), "What must hold for the table, each a table of its own.");

/// Before a table's name in a slot.
const SLOT: &str = "check:";

/// A check that cannot be made, with its words.
#[derive(Debug, thiserror::Error)]
#[error("check '{check}': {source}")]
struct FailedCheck<E: std::error::Error + 'static> {
    check: String,
    source: E,
}

/// Adds a stanza's checks to what it declares. `severity` is that of a check without one, `columns` are the table's where they are known.
///
/// # Errors
/// When one says not exactly one thing, or names what is not there.
pub fn declare(body: Body, severity: &str, columns: &[&str], declared: &mut Declared) -> Result<(), KindError> {
    let Some(Value::Array(items)) = body.value("checks") else { return Ok(()) };
    let mut checks = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let path = format!("checks.{index}");
        let item = item.as_object().cloned().unwrap_or_default();
        checks.push(one(body, &path, item, severity, columns, declared)?);
    }
    declared.params["checks"] = Value::Array(checks);
    declared.outputs.insert(CHECKS.to_owned());
    Ok(())
}

/// One check, resolved.
fn one(
    body: Body,
    path: &str,
    mut item: Map<String, Value>,
    severity: &str,
    columns: &[&str],
    declared: &mut Declared,
) -> Result<Value, KindError> {
    let rules: Vec<&str> = item.keys().map(String::as_str).filter(|key| ![SEVERITY.name, NAME.name].contains(key)).collect();
    let [rule] = rules.as_slice() else {
        let error = body.error(path, format!("a check says one thing, and this says {}", rules.len()));
        return Err(error.hint("one rule for each { … }: checks = [{ unique = [\"date\"] }, { not_null = [\"date\"] }]"));
    };
    let path = format!("{path}.{rule}");
    item.entry(SEVERITY.name).or_insert_with(|| severity.into());
    if let Some(text) = item.get("sql").and_then(Value::as_str) {
        let canonical = assertion(body, &path, text, declared)?;
        item.insert("sql".to_owned(), canonical.into());
        return Ok(Value::Object(item));
    }
    let item = Value::Object(item);
    let check = serde_json::from_value::<Check>(item.clone()).map_err(|error| body.error(&path, error.to_string()))?;
    let Some(rule) = check.rule else { return Err(body.error(&path, "not a check")) };
    rule_of(body, &path, &rule, columns)?;
    if let Some(other) = rule.table() {
        input(body, &path, other, declared)?;
    }
    Ok(item)
}

/// Refuses what can be seen to be wrong without the table.
fn rule_of(body: Body, path: &str, rule: &Rule, columns: &[&str]) -> Result<(), KindError> {
    match rule {
        Rule::Range { min: None, max: None, .. } | Rule::RowCount { min: None, max: None } => {
            return Err(body.error(path, "it needs 'min', 'max' or both"));
        }
        Rule::AgreesWith(other) if other.on.pairs().is_empty() => return Err(body.error(path, "'on' names no column")),
        Rule::AgreesWith(other) if other.tolerance.is_nan() || other.tolerance < 0.0 => {
            return Err(body.error(path, "'tolerance' is less than 0"));
        }
        _ => {}
    }
    let unknown = rule.columns().into_iter().find(|column| !columns.is_empty() && !columns.contains(column));
    let Some(column) = unknown else { return Ok(()) };
    let error = body.error(path, format!("'{column}' is not among 'columns'"));
    Err(match nearest(column, columns.iter().copied()) {
        Some(near) => error.hint(format!("did you mean '{near}'?")),
        None => error,
    })
}

/// The canonical text of a query that must return no rows.
fn assertion(body: Body, path: &str, text: &str, declared: &mut Declared) -> Result<String, KindError> {
    let refused = |error: &crate::syntax::sql::error::SqlError| {
        let refusal = body.error(path, error.to_string());
        match error.fault.hint() {
            Some(hint) => refusal.hint(hint),
            None => refusal,
        }
    };
    let sql = read(text).map_err(|error| refused(&error))?;
    if let Some((name, _)) = sql.params.first() {
        return Err(body.error(path, format!("a check's query takes no parameters, and this uses @{name}")));
    }
    crate::syntax::duck::translate::translate(&sql.query, &Map::new()).map_err(|error| refused(&error))?;
    for (table, _) in &sql.tables {
        input(body, path, table, declared)?;
    }
    Ok(sql.canonical)
}

/// A table that a check reads: an input, or the checked table itself.
fn input(body: Body, path: &str, table: &str, declared: &mut Declared) -> Result<(), KindError> {
    if table == body.0.name.as_str() {
        declared.params["this"] = json!(table);
        return Ok(());
    }
    let name: TargetName = table.parse().map_err(|error| body.error(path, format!("{error}")))?;
    let slot = format!("{SLOT}{name}");
    declared.places.insert(slot.clone(), body.place(path));
    declared.inputs.insert(slot, Source::Target { name, artifact: ARTIFACT.to_owned() });
    Ok(())
}

/// Makes the request's checks of the table that was just written, and writes their reports.
///
/// # Errors
/// When one cannot be made; what it finds is no error.
pub fn run(request: &Request, response: Response) -> Result<Response, RunError> {
    if !["checks", "known"].iter().any(|key| request.params.get(key).is_some()) {
        return Ok(response);
    }
    let file = request.output(ARTIFACT)?.join(table_file::FILE_NAME);
    let key = query::key_of(request, &file).map_err(|error| RunError::failed(&error))?;
    let mut reports = declared(request, &file, &key)?;
    reports.extend(truncation::report(request, &file, &key)?);
    write(request, &reports)?;
    Ok(Response { checks: reports.into_iter().map(|report| report.verdict).collect(), ..response })
}

/// What the checks of the request's stanza find.
fn declared(request: &Request, file: &Path, key: &[String]) -> Result<Vec<Report>, RunError> {
    let Some(checks) = request.params.get("checks") else { return Ok(Vec::new()) };
    let params = |source| RunError::failed(&RequestError::Params { kind: request.kind.clone(), source });
    let checks = serde_json::from_value::<Vec<Check>>(checks.clone()).map_err(params)?;
    let others = request.inputs.iter().filter_map(|(slot, folder)| {
        let name = slot.strip_prefix(SLOT)?;
        Some((name.to_owned(), folder.join(table_file::FILE_NAME)))
    });
    let mut others: BTreeMap<String, PathBuf> = others.collect();
    if let Some(this) = request.params.get("this").and_then(Value::as_str) {
        others.insert(this.to_owned(), file.to_owned());
    }
    let table = Subject::open(file, key.to_vec(), others.clone()).map_err(|error| RunError::failed(&error))?;
    let mut reports = Vec::with_capacity(checks.len());
    for check in checks {
        let found = match (&check.rule, &check.sql) {
            (Some(rule), _) => find(&table, rule).map_err(|error| failure(&check, error))?,
            (None, Some(text)) => asserted(&check, text, &others)?,
            (None, None) => continue,
        };
        reports.push(found.report(check.words(), check.severity));
    }
    Ok(reports)
}

/// What a query returns that should return nothing.
fn asserted(check: &Check, text: &str, tables: &BTreeMap<String, PathBuf>) -> Result<Found, RunError> {
    let rows = query::rows(text, &Map::new(), tables).map_err(|error| {
        let failure = query::failure(&error);
        RunError { message: format!("check '{}': {}", check.words(), failure.message), ..failure }
    })?;
    Found::of_query(&rows).map_err(|error| failure(check, error))
}

fn failure(check: &Check, error: CheckError) -> RunError {
    let (hint, recipes) = (error.hint(), error.is_the_recipes());
    let error = FailedCheck { check: check.words(), source: error };
    let failure = if recipes { RunError::invalid(&error) } else { RunError::failed(&error) };
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn write(request: &Request, reports: &[Report]) -> Result<(), RunError> {
    let bytes = serde_json::to_vec(reports).map_err(|error| RunError::failed(&error))?;
    fs::write(&request.output(CHECKS)?.join(CHECKS_FILE), &bytes).map_err(|error| RunError::failed(&error))
}
