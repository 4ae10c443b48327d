//! Owns the entry to the translation. Invariant: the result means to DuckDB what the query means to BigQuery, or there is no result.

use serde_json::{Map, Value};

use crate::syntax::duck::function::known;
use crate::syntax::duck::print::Printer;
use crate::syntax::sql::ast::Query;
use crate::syntax::sql::error::SqlError;

/// The query in DuckDB's dialect, with parameters replaced by their values. `@as_of` is a DATE.
///
/// # Errors
/// When the query uses something that cannot be done as BigQuery does it, or a parameter without a value.
pub fn translate(query: &Query, params: &Map<String, Value>) -> Result<String, SqlError> {
    Printer { params, joining: false }.query(query)
}

/// The functions that a query may use; some stand in the list twice, for two numbers of arguments.
pub fn functions() -> impl Iterator<Item = &'static str> {
    known()
}
