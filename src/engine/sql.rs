//! Owns the run of a BigQuery query over Parquet files. Invariant: the rows are those BigQuery would give, in canonical types; what cannot be
//! promised is an error.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use serde_json::{Map, Value};

use crate::base::name::nearest;
use crate::engine::duck::{Duck, DuckError};
use crate::engine::table_file::{self, TableFileError};
use crate::engine::table_types::{TypeError, canonical};
use crate::syntax::duck::translate::translate;
use crate::syntax::sql::error::SqlError;
use crate::syntax::sql::lex::{self, Kind};
use crate::syntax::sql::read::read;

/// Why a query gave no table.
#[derive(Debug, thiserror::Error)]
pub enum SqlRunError {
    /// The text is no query that can be run.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// A table that the query reads was not given.
    #[error("the query reads '{table}', which was not given to it")]
    Missing {
        /// The table.
        table: String,
    },
    /// A column that no table has.
    #[error("no column '{column}' in what the query reads")]
    UnknownColumn {
        /// The column.
        column: String,
        /// The column that may have been meant.
        nearest: Option<String>,
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
            Self::Sql(error) => error.fault.hint(),
            Self::UnknownColumn { nearest: Some(near), .. } => Some(format!("did you mean '{near}'?")),
            Self::SameName { .. } => Some("give each its own name with AS, or leave one out with * EXCEPT (…)".into()),
            Self::Numeric { table, column } => Some(format!("in the stanza [table.\"{table}\"] say: types = {{ {column} = \"FLOAT64\" }}")),
            _ => None,
        }
    }
}

/// Runs a query: `tables` are Parquet files by `dataset.table`.
///
/// # Errors
/// When the query or its rows are at fault, or a file cannot be read.
pub fn run(text: &str, params: &Map<String, Value>, tables: &BTreeMap<String, PathBuf>) -> Result<RecordBatch, SqlRunError> {
    let sql = read(text)?;
    let translated = translate(&sql.query, params)?;
    let duck = Duck::open()?;
    let mut columns = Vec::new();
    for (name, _) in &sql.tables {
        let file = tables.get(name).ok_or_else(|| SqlRunError::Missing { table: name.clone() })?;
        let schema = table_file::schema(file)?;
        refuse_numeric(name, &schema, text)?;
        columns.extend(schema.fields().iter().map(|field| field.name().clone()));
        duck.table(name, file)?;
    }
    let rows = duck.rows(&translated).map_err(|error| explained(error, &columns))?;
    same_names(&rows)?;
    Ok(canonical(&sums_as_int64(&rows)?)?)
}

/// A NUMERIC may pass through, but a query that names it computes with it.
fn refuse_numeric(table: &str, schema: &Schema, text: &str) -> Result<(), SqlRunError> {
    let numeric = schema.fields().iter().find(|field| matches!(field.data_type(), DataType::Decimal128(..)) && names(text, field.name()));
    match numeric {
        Some(field) => Err(SqlRunError::Numeric { table: table.to_owned(), column: field.name().clone() }),
        None => Ok(()),
    }
}

fn names(text: &str, column: &str) -> bool {
    let tokens = lex::tokens(text).unwrap_or_default();
    tokens.iter().any(|token| matches!(&token.kind, Kind::Word(word) | Kind::Quoted(word) if word.eq_ignore_ascii_case(column)))
}

fn same_names(rows: &RecordBatch) -> Result<(), SqlRunError> {
    let mut seen = std::collections::BTreeSet::new();
    for field in rows.schema().fields() {
        if !seen.insert(field.name().to_lowercase()) {
            return Err(SqlRunError::SameName { column: field.name().clone() });
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

/// DuckDB's error, with the column's name and the nearest one where a name is at fault.
fn explained(error: DuckError, columns: &[String]) -> SqlRunError {
    let DuckError::Query { message } = &error else { return error.into() };
    let after = |text: &str| message.split_once(text).and_then(|(_, rest)| rest.split_once('"')).map(|(name, _)| name.to_owned());
    let missing = message.contains("not found in FROM clause").then(|| after("Referenced column \"")).flatten();
    let Some(column) = missing.or_else(|| after("does not have a column named \"")) else { return error.into() };
    let candidates = message.split_once("Candidate bindings: ").map_or("", |(_, rest)| rest);
    let candidates = candidates.split('"').skip(1).step_by(2).map(|name| name.rsplit('.').next().unwrap_or(name));
    let near = nearest(&column, columns.iter().map(String::as_str).chain(candidates)).map(str::to_owned);
    SqlRunError::UnknownColumn { column, nearest: near }
}
