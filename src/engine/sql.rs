//! Owns the run of a translated query over Parquet files. Invariant: the rows come in BigQuery's types with BigQuery's errors; what cannot be
//! promised is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Date32Type, Field, Float64Type, Schema};
use arrow::error::ArrowError;

use crate::base::name::nearest;
use crate::engine::duck::{Duck, DuckError, quoted_table};
use crate::engine::table_file::{self, TableFileError};
use crate::engine::table_types::{TypeError, canonical};

/// Why a query gave no table.
#[derive(Debug, thiserror::Error)]
pub enum SqlRunError {
    /// A column that no table has.
    #[error("no column '{column}' in what the query reads")]
    UnknownColumn {
        /// The column.
        column: String,
        /// The column that may have been meant.
        nearest: Option<String>,
    },
    /// Values of types that do not go together.
    #[error("{message}")]
    Types {
        /// The engine's words, with BigQuery's names of types.
        message: String,
    },
    /// Two columns of the result have one name.
    #[error("two columns of the result are called '{column}'")]
    SameName {
        /// The name.
        column: String,
    },
    /// A column of a type whose arithmetic differs offline.
    #[error("column '{column}' of '{table}' is NUMERIC, which cannot be computed offline exactly as BigQuery computes it")]
    Numeric {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// The engine refuses.
    #[error(transparent)]
    Duck(#[from] DuckError),
    /// A table cannot be read.
    #[error(transparent)]
    Table(#[from] TableFileError),
    /// A column of the result that no table holds.
    #[error("the result: {0}")]
    Result(#[from] TypeError),
    /// A number beyond FLOAT64.
    #[error("column '{column}' of the result holds an infinite number, where BigQuery would fail")]
    Infinite {
        /// The column.
        column: String,
    },
    /// A sum beyond INT64.
    #[error("column '{column}' of the result is beyond INT64")]
    Overflow {
        /// The column.
        column: String,
        /// What Arrow says.
        source: ArrowError,
    },
}

impl SqlRunError {
    /// Whether the query is at fault, not the rows or the machine.
    #[must_use]
    pub fn is_the_querys(&self) -> bool {
        !matches!(
            self,
            Self::Duck(DuckError::Value { .. } | DuckError::Engine { .. } | DuckError::Rows(_)) | Self::Table(_) | Self::Overflow { .. }
        )
    }

    /// The way out, where one is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownColumn { nearest: Some(near), .. } => Some(format!("did you mean '{near}'?")),
            Self::Types { message } if message.contains("STRING") => Some(
                "CAST(x AS FLOAT64) makes a number of a text; columns of a CSV are STRING unless 'types' of their table says otherwise"
                    .into(),
            ),
            Self::SameName { .. } => Some("give each its own name with AS, or leave one out with * EXCEPT (…)".into()),
            Self::Duck(DuckError::Value { message }) if message.starts_with("division by zero") => {
                Some("SAFE_DIVIDE(a, b) gives NULL where b is 0".into())
            }
            Self::Duck(DuckError::Value { message }) if message.starts_with("bad ") => {
                Some("SAFE_CAST gives NULL where a value does not convert".into())
            }
            Self::Numeric { table, column } => Some(format!("in the stanza [table.\"{table}\"] say: types = {{ {column} = \"FLOAT64\" }}")),
            _ => None,
        }
    }
}

/// Runs a query in DuckDB's dialect. `tables` are the tables it reads, `dataset.table`, with their Parquet files; `words` are the words and
/// names in the query as BigQuery has it, in small letters.
///
/// # Errors
/// When the query or its rows are at fault, or a file cannot be read.
pub fn run(translated: &str, tables: &BTreeMap<&str, PathBuf>, words: &BTreeSet<String>) -> Result<RecordBatch, SqlRunError> {
    Reader::open(tables, words)?.rows(translated)
}

/// Tables that one query reads, whole or in part.
pub struct Reader<'a> {
    duck: Duck,
    /// Names of all their columns.
    columns: Vec<String>,
    words: &'a BTreeSet<String>,
}

impl<'a> Reader<'a> {
    /// Makes the tables readable, as for `run`.
    ///
    /// # Errors
    /// When a file cannot be read, or the query would compute with a NUMERIC.
    pub fn open(tables: &BTreeMap<&str, PathBuf>, words: &'a BTreeSet<String>) -> Result<Self, SqlRunError> {
        let duck = Duck::open()?;
        let mut columns = Vec::new();
        for (name, file) in tables {
            let schema = table_file::schema(file)?;
            refuse_numeric(name, &schema, words)?;
            columns.extend(schema.fields().iter().map(|field| field.name().clone()));
            duck.table(name, file)?;
        }
        Ok(Self { duck, columns, words })
    }

    /// Leaves of a table those rows alone for which a condition in DuckDB's dialect holds.
    ///
    /// # Errors
    /// When the condition means nothing.
    pub fn cut(&self, table: &str, file: &Path, condition: &str) -> Result<(), SqlRunError> {
        Ok(self.duck.part(table, file, condition)?)
    }

    /// The days since 1970-01-01 that an expression of type DATE takes over the rows of a table, in order and each once.
    ///
    /// # Errors
    /// When it cannot be worked out.
    pub fn days(&self, table: &str, date: &str) -> Result<Vec<i32>, SqlRunError> {
        let rows = self.duck.rows(&format!(
            "SELECT DISTINCT day FROM (SELECT {date} AS day FROM {}) WHERE day IS NOT NULL ORDER BY day",
            quoted_table(table)
        ))?;
        Ok(rows.column(0).as_primitive_opt::<Date32Type>().into_iter().flatten().flatten().collect())
    }

    /// None of the rows of a query in DuckDB's dialect, but their columns: it is understood, and not run.
    ///
    /// # Errors
    /// When the query is at fault.
    pub fn columns(&self, translated: &str) -> Result<RecordBatch, SqlRunError> {
        self.rows(&format!("SELECT * FROM ({translated}) LIMIT 0"))
    }

    /// The rows of a query in DuckDB's dialect.
    ///
    /// # Errors
    /// When the query or its rows are at fault.
    pub fn rows(&self, translated: &str) -> Result<RecordBatch, SqlRunError> {
        let rows = self.duck.rows(translated).map_err(|error| explained(error, &self.columns))?;
        same_names(&rows, &self.columns, self.words)?;
        let rows = canonical(&sums_as_int64(&rows)?)?;
        refuse_infinite(&rows)?;
        Ok(rows)
    }
}

/// A NUMERIC may pass through, but a query that names it computes with it.
fn refuse_numeric(table: &str, schema: &Schema, words: &BTreeSet<String>) -> Result<(), SqlRunError> {
    let is_named =
        |field: &&Arc<Field>| matches!(field.data_type(), DataType::Decimal128(..)) && words.contains(&field.name().to_lowercase());
    match schema.fields().iter().find(is_named) {
        Some(field) => Err(SqlRunError::Numeric { table: table.to_owned(), column: field.name().clone() }),
        None => Ok(()),
    }
}

/// Two columns of one name are an error in BigQuery. Those at the top DuckDB leaves as they are; those of an inner query it renames, which
/// shows by a name that stands neither in the query nor in a table.
fn same_names(rows: &RecordBatch, columns: &[String], words: &BTreeSet<String>) -> Result<(), SqlRunError> {
    let mut seen = BTreeSet::new();
    for field in rows.schema().fields() {
        let name = field.name().to_lowercase();
        let base = name.rsplit_once('_').filter(|(_, number)| number.bytes().all(|b| b.is_ascii_digit())).map(|(base, _)| base);
        let invented = !words.contains(&name) && !columns.iter().any(|column| column.to_lowercase() == name);
        if let Some(base) = base.filter(|base| invented && seen.contains(*base)) {
            return Err(SqlRunError::SameName { column: base.to_owned() });
        }
        if !seen.insert(name) {
            return Err(SqlRunError::SameName { column: field.name().clone() });
        }
    }
    Ok(())
}

/// Where DuckDB says infinity BigQuery fails: a sum or product beyond FLOAT64.
fn refuse_infinite(rows: &RecordBatch) -> Result<(), SqlRunError> {
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        let floats = column.as_primitive_opt::<Float64Type>();
        if floats.is_some_and(|floats| floats.iter().flatten().any(f64::is_infinite)) {
            return Err(SqlRunError::Infinite { column: field.name().clone() });
        }
    }
    Ok(())
}

/// DuckDB adds whole numbers in 128 bits, which Arrow sees as decimals without a fraction; in BigQuery they are INT64.
fn sums_as_int64(rows: &RecordBatch) -> Result<RecordBatch, SqlRunError> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let mut fields = Vec::with_capacity(rows.num_columns());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(rows.num_columns());
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        let column = match column.data_type() {
            DataType::Decimal128(_, 0) => cast_with_options(column, &DataType::Int64, &strict)
                .map_err(|source| SqlRunError::Overflow { column: field.name().clone(), source })?,
            _ => column.clone(),
        };
        fields.push(Field::new(field.name(), column.data_type().clone(), true));
        columns.push(column);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(|source| SqlRunError::Duck(DuckError::Rows(source)))
}

/// DuckDB's words about types that do not go together, with BigQuery's names of them; `None` where it speaks of something else.
fn types(message: &str) -> Option<String> {
    const NAMES: [(&str, &str); 8] = [
        ("VARCHAR", "STRING"),
        ("STRING_LITERAL", "STRING"),
        ("INTEGER_LITERAL", "INT64"),
        ("BIGINT", "INT64"),
        ("INTEGER", "INT64"),
        ("DOUBLE", "FLOAT64"),
        ("BOOLEAN", "BOOL"),
        ("BLOB", "BYTES"),
    ];
    let (said, _) = [". You might need to add explicit type casts", " - an explicit cast is required"]
        .iter()
        .find_map(|end| message.split_once(end))?;
    Some(NAMES.iter().fold(said.to_owned(), |said, (duck, bigquery)| said.replace(duck, bigquery)))
}

/// DuckDB's error, with the column's name and the nearest one where a name is at fault.
fn explained(error: DuckError, columns: &[String]) -> SqlRunError {
    let DuckError::Query { message } = &error else { return error.into() };
    if let Some(message) = types(message) {
        return SqlRunError::Types { message };
    }
    let after = |text: &str| message.split_once(text).and_then(|(_, rest)| rest.split_once('"')).map(|(name, _)| name.to_owned());
    let missing = message.contains("not found in FROM clause").then(|| after("Referenced column \"")).flatten();
    let early = message.contains("referenced that exists in the SELECT clause").then(|| after("Column \"")).flatten();
    let Some(column) = missing.or(early).or_else(|| after("does not have a column named \"")) else { return error.into() };
    let candidates = message.split_once("Candidate bindings: ").map_or("", |(_, rest)| rest);
    let candidates = candidates.split('"').skip(1).step_by(2).map(|name| name.rsplit('.').next().unwrap_or(name));
    let near = nearest(&column, columns.iter().map(String::as_str).chain(candidates)).map(str::to_owned);
    SqlRunError::UnknownColumn { column, nearest: near }
}
