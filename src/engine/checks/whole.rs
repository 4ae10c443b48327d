//! Owns the checks that look at a table as a whole. Invariant: none looks at the clock; how old a table is, is only measured here.

use arrow::datatypes::DataType;

use crate::engine::checks::error::CheckError;
use crate::engine::checks::found::{Found, SHOWN, Shown, counted, plain};
use crate::engine::checks::spec::{Calendar, Dead};
use crate::engine::checks::subject::{ROW, Subject, TABLE};
use crate::engine::duck::{quoted, quoted_table};
use crate::engine::table_types::name;
use crate::model::check::Age;

/// No two rows have the same values in these columns.
///
/// # Errors
/// When there is no such column.
pub fn unique(table: &Subject, columns: &[String]) -> Result<Found, CheckError> {
    columns.iter().try_for_each(|column| table.column(column).map(|_| ()))?;
    let list = columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ");
    let groups = format!("(SELECT {list}, count(*) AS \"rows\", min({ROW}) AS {ROW} FROM {TABLE} GROUP BY {list} HAVING count(*) > 1)");
    let bad = table.count("coalesce(sum(\"rows\" - 1), 0)", &groups)?;
    if bad == 0 {
        return Ok(Found::nothing(format!("each {} stands once", columns.join(", "))));
    }
    let values = table.count("count(*)", &groups)?;
    let shown = table.shown(&format!("SELECT {list}, \"rows\" FROM {groups} ORDER BY \"rows\" DESC, {ROW} LIMIT {SHOWN}"))?;
    let ends = |order: &str| -> Result<String, CheckError> {
        Ok(table.shown(&format!("SELECT {list} FROM {groups} ORDER BY {ROW} {order} LIMIT 1"))?.line(0))
    };
    let (first, last) = (ends("ASC")?, ends("DESC")?);
    let range = if first == last { first } else { format!("{first} to {last}; the worst: {}", shown.line(0)) };
    let (rows, values) = (counted(bad, "row"), counted(values, "value"));
    let what = format!("{rows} too many: {values} of {} more than once, {range}", columns.join(", "));
    Ok(Found::bad(bad, what, shown))
}

/// The table has so many rows.
///
/// # Errors
/// When the engine refuses.
pub fn row_count(table: &Subject, min: Option<u64>, max: Option<u64>) -> Result<Found, CheckError> {
    let rows = table.row_count()?;
    let told = counted(rows, "row");
    let (few, many) = (min.map_or(0, |min| min.saturating_sub(rows)), max.map_or(0, |max| rows.saturating_sub(max)));
    Ok(match (few, many) {
        (0, 0) => Found::nothing(told),
        (0, many) => Found::bad(many, format!("{told}, {many} too many"), Shown::default()),
        (few, _) => Found::bad(few, format!("{told}, {few} too few"), Shown::default()),
    })
}

/// From one date to the next it is never more than so many days.
///
/// # Errors
/// When there is no such column of dates, or no calendar.
pub fn max_gap(table: &Subject, column: &str, days: u32, calendar: Option<&Calendar>) -> Result<Found, CheckError> {
    let date = table.date(column)?;
    let dates = format!("(SELECT DISTINCT {date} AS day FROM {TABLE} WHERE {date} IS NOT NULL)");
    let pairs = format!("(SELECT lag(day) OVER (ORDER BY day) AS \"from\", day AS \"to\" FROM {dates})");
    let (length, unit) = match calendar {
        None => ("\"to\" - \"from\"".to_owned(), "day"),
        Some(calendar) => {
            let (other, dates_of) = calendar.parts();
            let open = calendar_days(table, other, dates_of)?;
            if let Some(outside) = outside(table, &dates, &open, other)? {
                return Ok(outside);
            }
            (format!("(SELECT count(*) FROM {open} AS c WHERE c.day > \"from\" AND c.day <= \"to\")"), "trading day")
        }
    };
    let gaps = format!("(SELECT \"from\", \"to\", {length} AS days FROM {pairs} WHERE \"from\" IS NOT NULL)");
    let wide = format!("{gaps} WHERE days > {days}");
    let bad = table.count("count(*)", &wide)?;
    if bad == 0 {
        let widest = table.count("coalesce(max(days), 0)", &gaps)?;
        return Ok(Found::nothing(format!("the widest gap is {}", counted(widest, unit))));
    }
    let shown = table.shown(&format!("SELECT * FROM {wide} ORDER BY days DESC, \"from\" LIMIT {SHOWN}"))?;
    let row: Vec<String> = shown.rows[0].iter().map(plain).collect();
    let widest = format!("{} to {}, {} {unit}s", row[0], row[1], row[2]);
    let what = format!("{} of more than {}, the widest {widest}", counted(bad, "gap"), counted(days.into(), unit));
    Ok(Found::bad(bad, what, shown))
}

/// The days of a calendar, as a query.
fn calendar_days(table: &Subject, other: &str, column: &str) -> Result<String, CheckError> {
    let columns = table.other(other)?;
    match columns.get(column) {
        Some(DataType::Date32 | DataType::Timestamp(..)) => {}
        Some(kind) => return Err(CheckError::Type { column: column.to_owned(), found: name(kind), wanted: "a date" }),
        None => return Err(CheckError::Column { column: column.to_owned(), table: format!("'{other}'"), nearest: None }),
    }
    Ok(format!("(SELECT DISTINCT CAST({} AS DATE) AS day FROM {})", quoted(column), quoted_table(other)))
}

/// Dates before or after all of a calendar: of the days between those it knows nothing.
fn outside(table: &Subject, dates: &str, open: &str, calendar: &str) -> Result<Option<Found>, CheckError> {
    let ends = format!("SELECT min(day) AS first, max(day) AS last FROM {open}");
    let beyond = format!("{dates} AS d, ({ends}) AS c WHERE c.first IS NULL OR d.day < c.first OR d.day > c.last");
    let bad = table.count("count(*)", &beyond)?;
    if bad == 0 {
        return Ok(None);
    }
    let shown = table.shown(&format!("SELECT d.day AS date, c.first, c.last FROM {beyond} ORDER BY 1 LIMIT {SHOWN}"))?;
    let row: Vec<String> = shown.rows[0].iter().map(plain).collect();
    let what = format!("{} outside the calendar '{calendar}' ({} to {}), the first {}", counted(bad, "date"), row[1], row[2], row[0]);
    Ok(Some(Found::bad(bad, what, shown)))
}

/// The newest date; each build judges how old that is.
///
/// # Errors
/// When there is no such column of dates.
pub fn fresh(table: &Subject, column: &str, max_days: u32) -> Result<Found, CheckError> {
    let date = table.date(column)?;
    let newest = table.shown(&format!("SELECT max({date}) AS newest FROM {TABLE}"))?;
    match newest.rows.first().and_then(|row| row[0].as_str()) {
        Some(newest) => {
            let age = Some(Age { newest: newest.to_owned(), max_days });
            Ok(Found { age, ..Found::nothing(format!("the newest {column} is {newest}")) })
        }
        None => Ok(Found::bad(1, format!("{column} holds no date"), Shown::default())),
    }
}

/// The last values of a column are not all the same.
///
/// # Errors
/// When there is no such column.
pub fn frozen_tail(table: &Subject, columns: &[String], most: u64) -> Result<Found, CheckError> {
    let (mut bad, mut what, mut shown) = (0, Vec::new(), Shown::default());
    for column in table.matching(columns)? {
        let value = table.value(&column)?;
        let known = format!("(SELECT *, {value} AS \"#value\" FROM {TABLE} WHERE ({value}) IS NOT NULL)");
        let last = format!("(SELECT arg_max(\"#value\", {ROW}) FROM {known})");
        // The last row that holds another value; the tail is what comes after it.
        let other = format!("(SELECT coalesce(max({ROW}), 0) FROM {known} WHERE \"#value\" <> {last})");
        let tail = table.bad_rows(&known, &format!("{ROW} > {other}"), &[&column], "")?;
        if tail.count >= most {
            let value = tail.shown.rows.first().and_then(|row| row.last()).map(plain).unwrap_or_default();
            what.push(format!("the last {} of {column} are all {value}, {}", counted(tail.count, "value"), tail.range));
            bad = bad.max(tail.count);
            if shown.rows.is_empty() {
                shown = tail.shown;
            }
        }
    }
    if bad == 0 {
        return Ok(Found::nothing(format!("no column ends in {most} equal values")));
    }
    Ok(Found::bad(bad, what.join("; "), shown))
}

/// Every column has at least two values.
///
/// # Errors
/// When there is no such column.
pub fn dead_columns(table: &Subject, dead: &Dead) -> Result<Found, CheckError> {
    let columns = match dead {
        Dead::All(false) => Vec::new(),
        Dead::All(true) => table.names(),
        Dead::Columns(columns) => table.matching(columns)?,
    };
    // One row alone makes every column constant.
    if table.row_count()? < 2 || columns.is_empty() {
        return Ok(Found::nothing("no column is dead"));
    }
    let (mut empty, mut constant, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    for column in columns {
        let value = table.value(&column)?;
        let ends = format!(
            "SELECT count({value}), count({value}) > 0 AND min({value}) IS NOT DISTINCT FROM max({value}), CAST(min({value}) AS VARCHAR)"
        );
        let ends = table.shown(&format!("{ends} FROM {TABLE}"))?.rows.swap_remove(0);
        let list = match (ends[0].as_u64(), ends[1].as_bool()) {
            (Some(0), _) => &mut empty,
            (_, Some(true)) => &mut constant,
            _ => continue,
        };
        list.push(column.clone());
        rows.push(vec![column.into(), ends[0].clone(), ends[2].clone()]);
    }
    if rows.is_empty() {
        return Ok(Found::nothing("no column is dead"));
    }
    let told = |list: &[String], what: &str| match list.len() {
        0 => None,
        count @ 1..=5 => Some(format!("{} {what} ({})", counted(count as u64, "column"), list.join(", "))),
        count => Some(format!("{} {what} ({} and {} more)", counted(count as u64, "column"), list[..5].join(", "), count - 5)),
    };
    let what = [told(&empty, "without any value"), told(&constant, "constant")].into_iter().flatten().collect::<Vec<_>>().join(", ");
    let bad = rows.len() as u64;
    rows.truncate(SHOWN);
    Ok(Found::bad(bad, what, Shown { columns: ["column", "values", "value"].map(str::to_owned).to_vec(), rows }))
}
