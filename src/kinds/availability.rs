//! Owns the keys of kind `table` that say when its rows are known. Invariant: they change no byte of the table and are in no key of its own; who
//! reads the table by its date is the one to mind them.

use serde_json::{Map, Value};

use crate::kinds::body::Body;
use crate::kinds::context::KindError;
use crate::model::available::{Available, Lag, LagError, TextDates};
use crate::model::recipe::DEFAULT_KEY;
use crate::syntax::duck::translate::translate;
use crate::syntax::shape::{Key, Want};
use crate::syntax::sql::read::read;

/// How long after its date a row is known.
pub const KEY: Key = Key::optional(
    "available_after",
    Want::Text,
    "How long after its date a row is known: `0 days` (the same evening), `3 days`, `6 weeks`; `always` for calendars and for tables without dates.",
);

/// Which column is the date where it is text.
pub const DATES: Key = Key::optional(
    "dates",
    Want::Table(&[
        Key::required("column", Want::Text, "The column."),
        Key::required("format", Want::Text, "How its dates are written, in the elements of `PARSE_DATE`: `%m/%d/%Y`."),
    ]),
    "Which column says what day a row is about, where its dates are text. Else it is the first column of `key` that holds dates or moments.",
);

/// What a stanza says of when its rows are known; `columns` are the table's where they are known.
///
/// # Errors
/// When it says no length of time, or names no column of the table.
pub fn declare(body: Body, columns: &[&str]) -> Result<Option<Available>, KindError> {
    let dates = dates(body, columns)?;
    let Some(text) = body.text(KEY.name) else {
        return match dates {
            Some(_) => Err(body.key_error(DATES.name, format!("'{}' means nothing without '{}'", DATES.name, KEY.name))),
            None => Ok(None),
        };
    };
    let after: Lag = text.parse().map_err(|error: LagError| {
        body.error(KEY.name, error.to_string()).hint("a whole number of days or weeks (\"0 days\", \"3 days\", \"6 weeks\"), or \"always\"")
    })?;
    let key = match body.value("key") {
        Some(_) => body.texts("key").into_iter().map(str::to_owned).collect(),
        None => vec![DEFAULT_KEY.to_owned()],
    };
    Ok(Some(Available { after, key, dates, made: false }))
}

fn dates(body: Body, columns: &[&str]) -> Result<Option<TextDates>, KindError> {
    let (Some(column), Some(format)) = (body.text_in(DATES.name, "column"), body.text_in(DATES.name, "format")) else { return Ok(None) };
    if !columns.is_empty() && !columns.contains(&column) {
        return Err(body.error("dates.column", format!("'{column}' is not among 'columns'")));
    }
    let dates = TextDates { column: column.to_owned(), format: format.to_owned() };
    let query = read(&format!("SELECT {}", parsed(&dates))).and_then(|sql| translate(&sql.query, &Map::<String, Value>::new()));
    query.map(|_| Some(dates)).map_err(|error| body.error("dates.format", error.to_string()))
}

/// The date of a row as an expression of BigQuery's dialect.
#[must_use]
pub fn parsed(dates: &TextDates) -> String {
    let text = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
    format!("PARSE_DATE('{}', `{}`)", text(&dates.format), dates.column.replace('`', ""))
}
