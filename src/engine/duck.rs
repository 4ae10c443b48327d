//! Owns the SQL engine: one DuckDB connection an action. Invariant: every connection has the same settings, one thread and no way to fetch
//! anything, so the same query over the same files gives the same rows.

use std::path::Path;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::error::ArrowError;
use duckdb::{Config, Connection, appender_params_from_iter};

/// BigQuery's functions where DuckDB's differ.
const MACROS: &str = include_str!("bigquery.sql");

/// Sums of floats depend on how many threads share them; NULLs stand where BigQuery puts them.
const SETTINGS: &str = "SET threads = 1; SET TimeZone = 'UTC'; SET default_null_order = 'nulls_first_on_asc_last_on_desc';
    SET preserve_insertion_order = true; SET enable_progress_bar = false; SET autoinstall_known_extensions = false;
    SET autoload_known_extensions = false; SET allow_community_extensions = false;";

/// What DuckDB says against a query.
#[derive(Debug, thiserror::Error)]
pub enum DuckError {
    /// A name, a type or the grammar: the query cannot run on any rows.
    #[error("{message}")]
    Query {
        /// DuckDB's words, without their kind.
        message: String,
    },
    /// A value: the query cannot run on these rows.
    #[error("{message}")]
    Value {
        /// What is wrong with it.
        message: String,
    },
    /// The engine itself.
    #[error("DuckDB: {message}")]
    Engine {
        /// Its words.
        message: String,
    },
    /// Rows cannot be put together.
    #[error(transparent)]
    Rows(#[from] ArrowError),
}

impl From<duckdb::Error> for DuckError {
    fn from(error: duckdb::Error) -> Self {
        let text = match &error {
            duckdb::Error::DuckDBFailure(_, Some(text)) => text.clone(),
            other => other.to_string(),
        };
        sort(&text)
    }
}

/// Tells errors of the query from errors of its values.
fn sort(text: &str) -> DuckError {
    if let Some((_, ours)) = text.split_once("cbi: ") {
        let end = ours.find("\" ").or_else(|| ours.find("', ")).or_else(|| ours.rfind("' to ")).unwrap_or(ours.len());
        let end = ours[..end].find(['\n', '"']).unwrap_or(end);
        return DuckError::Value { message: ours[..end].trim_end_matches('\'').to_owned() };
    }
    let (kind, message) = text.split_once(": ").unwrap_or(("", text));
    let message = message
        .lines()
        .take_while(|line| !line.starts_with("LINE ") && !line.contains("Candidate functions"))
        .collect::<Vec<_>>()
        .join(" ")
        .trim()
        .to_owned();
    match kind {
        "Binder Error" | "Catalog Error" | "Parser Error" => DuckError::Query { message },
        "Conversion Error" | "Out of Range Error" | "Invalid Input Error" | "Constraint Error" => DuckError::Value { message },
        _ => DuckError::Engine { message: text.to_owned() },
    }
}

/// A connection with its settings and macros.
pub struct Duck(Connection);

impl Duck {
    /// A database in memory, empty.
    ///
    /// # Errors
    /// When the engine refuses.
    pub fn open() -> Result<Self, DuckError> {
        let connection = Connection::open_in_memory_with_flags(Config::default())?;
        connection.execute_batch(SETTINGS)?;
        Ok(Self(connection))
    }

    /// Makes the Parquet file readable as the table `dataset.table`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn table(&self, name: &str, file: &Path) -> Result<(), DuckError> {
        self.part(name, file, "TRUE")
    }

    /// The same of those rows alone for which a condition holds.
    ///
    /// # Errors
    /// When the file cannot be read, or the condition means nothing.
    pub fn part(&self, name: &str, file: &Path, condition: &str) -> Result<(), DuckError> {
        let (dataset, table) = name.split_once('.').unwrap_or(("main", name));
        let file = text(&file.to_string_lossy());
        let statement = format!(
            "CREATE SCHEMA IF NOT EXISTS \"{dataset}\"; \
             CREATE OR REPLACE VIEW \"{dataset}\".\"{table}\" AS SELECT * FROM read_parquet({file}) WHERE {condition};"
        );
        Ok(self.0.execute_batch(&statement)?)
    }

    /// Makes a table of these rows, all of whose columns are texts, in their order.
    ///
    /// # Errors
    /// When the engine refuses.
    pub fn fill(&self, name: &str, rows: &RecordBatch) -> Result<(), DuckError> {
        let columns: Vec<String> = rows.schema().fields().iter().map(|field| format!("{} VARCHAR", quoted(field.name()))).collect();
        self.execute(&format!("CREATE TABLE {} ({})", quoted(name), columns.join(", ")))?;
        let columns: Vec<_> = rows.columns().iter().map(AsArray::as_string::<i32>).collect();
        let mut appender = self.0.appender(name)?;
        for row in 0..rows.num_rows() {
            appender.append_row(appender_params_from_iter(columns.iter().map(|column| column.value(row))))?;
        }
        Ok(appender.flush()?)
    }

    /// Runs statements that give no rows.
    ///
    /// # Errors
    /// When one fails.
    pub fn execute(&self, sql: &str) -> Result<(), DuckError> {
        Ok(self.0.execute_batch(sql)?)
    }

    /// All rows of a query.
    ///
    /// # Errors
    /// When it cannot run.
    pub fn rows(&self, sql: &str) -> Result<RecordBatch, DuckError> {
        self.0.execute_batch(&macros_for(sql))?;
        let mut statement = self.0.prepare(sql)?;
        let arrow = statement.query_arrow([])?;
        let schema = arrow.get_schema();
        let batches: Vec<RecordBatch> = arrow.collect();
        Ok(concat_batches(&schema, &batches)?)
    }
}

/// The macros that a query uses, and those that they use: defining them all would cost more than most queries.
fn macros_for(sql: &str) -> String {
    const BEGIN: &str = "CREATE OR REPLACE MACRO ";
    let mut used = String::new();
    let mut said = sql.to_owned();
    // A macro uses only those above it, so one walk from the last to the first finds all.
    for body in MACROS.split(BEGIN).skip(1).collect::<Vec<_>>().into_iter().rev() {
        let name = body.split('(').next().unwrap_or_default();
        if said.contains(&format!("{name}(")) {
            said.push_str(body);
            used = format!("{BEGIN}{body}{used}");
        }
    }
    used
}

/// A string literal.
#[must_use]
pub fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A table's name, `dataset.table`, in quotes.
#[must_use]
pub fn quoted_table(name: &str) -> String {
    name.split('.').map(quoted).collect::<Vec<_>>().join(".")
}

/// A name in quotes.
#[must_use]
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_macro_is_told_in_its_own_words() {
        for (said, ours) in [
            ("Conversion Error: Could not convert string 'cbi: division by zero' to DOUBLE", "division by zero"),
            (
                "Conversion Error: invalid date field format: \"cbi: bad DATE value: x\", expected format is (YYYY-MM-DD)",
                "bad DATE value: x",
            ),
            ("Conversion Error: Could not convert string 'cbi: bad INT64 value: it's' to INT64\n\nLINE 1: SELECT", "bad INT64 value: it's"),
        ] {
            let DuckError::Value { message } = sort(said) else { panic!("{said}") };
            assert_eq!(message, ours);
        }
    }

    #[test]
    fn a_macro_brings_those_it_uses_and_no_others() {
        let macros = macros_for("SELECT bq_substr_length(x, 1, 2)");
        assert!(macros.contains("MACRO bq_start(") && macros.contains("MACRO bq_substr_length("));
        assert!(!macros.contains("MACRO bq_substr(") && !macros.contains("MACRO bq_divide("));
        assert_eq!(macros_for("SELECT 1"), "");
    }

    #[test]
    fn every_macro_can_be_defined() {
        let names: Vec<_> = MACROS.split("CREATE OR REPLACE MACRO ").skip(1).filter_map(|body| body.split('(').next()).collect();
        Duck::open().unwrap().execute(&macros_for(&(names.join("(") + "("))).unwrap();
    }

    #[test]
    fn errors_of_the_query_are_told_from_errors_of_values() {
        assert!(matches!(sort("Binder Error: Referenced column \"x\" not found"), DuckError::Query { .. }));
        assert!(matches!(sort("Out of Range Error: Overflow in addition of INT64"), DuckError::Value { .. }));
        assert!(matches!(sort("IO Error: disk"), DuckError::Engine { .. }));
    }
}
