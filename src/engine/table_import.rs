//! Owns how a warehouse file becomes a table. Invariant: a value that does not convert is an error with its row and column, never a NULL.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use serde_json::Value;

use crate::base::name::nearest;
use crate::engine::duck::{Duck, DuckError, quoted, text};
use crate::engine::table_cells::cell;
use crate::engine::table_file::{self, TableFileError};
use crate::engine::warehouse::Format;

/// Types that a column may be given: their names and the macro that converts a text.
pub const TYPES: &[(&str, &str)] = &[
    ("BOOL", "bq_cast_bool"),
    ("DATE", "bq_cast_date"),
    ("DATETIME", "bq_cast_datetime"),
    ("FLOAT64", "bq_cast_float64"),
    ("INT64", "bq_cast_int64"),
    ("STRING", "bq_cast_string"),
    ("TIME", "bq_cast_time"),
    ("TIMESTAMP", "bq_cast_timestamp"),
];

/// What to take of a file.
#[derive(Debug, Default)]
pub struct Wanted {
    /// These columns, in this order; all where empty.
    pub columns: Vec<String>,
    /// Types of columns.
    pub types: BTreeMap<String, String>,
}

/// A file that is not the table it is said to be.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A column that is not in the file.
    #[error("{}: no column '{column}'", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// The column that may have been meant.
        nearest: Option<String>,
    },
    /// A value that is not of the type its column was given.
    #[error("{}: row {row}, column '{column}': {value} is not {wanted}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The row, the first after the header being 1.
        row: i64,
        /// The column.
        column: String,
        /// The value.
        value: Value,
        /// The type.
        wanted: String,
    },
    /// A type that is none.
    #[error("'{name}' is not a type")]
    Type {
        /// What was given.
        name: String,
    },
    /// The file cannot be read as what it is.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the engine says.
        source: DuckError,
    },
    /// The Parquet file cannot be read.
    #[error(transparent)]
    Parquet(#[from] TableFileError),
    /// Rows cannot be put together.
    #[error(transparent)]
    Rows(#[from] ArrowError),
}

impl ImportError {
    /// The way out, where one is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { nearest: Some(near), .. } => Some(format!("did you mean '{near}'?")),
            Self::Value { .. } => Some("leave the column as STRING and convert it in SQL, where what is no value can be left out".into()),
            Self::Type { .. } => Some(format!("the types are: {}", TYPES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "))),
            _ => None,
        }
    }
}

/// The rows of a warehouse file. A CSV's columns are STRING, an empty field the empty string, unless `types` says otherwise; an empty field
/// of another type is NULL.
///
/// # Errors
/// When the file cannot be read, has not a column that is wanted, or a value does not convert.
pub fn import(path: &Path, format: Format, wanted: &Wanted) -> Result<RecordBatch, ImportError> {
    let plain = format == Format::Parquet && wanted.types.is_empty();
    if plain { project(&table_file::read(path)?, path, &wanted.columns) } else { converted(path, format, wanted) }
}

fn project(rows: &RecordBatch, path: &Path, columns: &[String]) -> Result<RecordBatch, ImportError> {
    if columns.is_empty() {
        return Ok(rows.clone());
    }
    let names: Vec<String> = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
    let indices: Result<Vec<_>, _> = columns.iter().map(|column| position(column, &names, path)).collect();
    Ok(rows.project(&indices?)?)
}

fn position(column: &str, names: &[String], path: &Path) -> Result<usize, ImportError> {
    names.iter().position(|name| name == column).ok_or_else(|| ImportError::Missing {
        path: path.to_owned(),
        column: column.to_owned(),
        nearest: nearest(column, names.iter().map(String::as_str)).map(str::to_owned),
    })
}

fn converted(path: &Path, format: Format, wanted: &Wanted) -> Result<RecordBatch, ImportError> {
    let failed = |source| ImportError::Read { path: path.to_owned(), source };
    let duck = Duck::open().map_err(failed)?;
    let file = text(&path.to_string_lossy());
    let source = match format {
        Format::Parquet => format!("read_parquet({file})"),
        // No field may be taken for NULL by its text: an empty one is the empty string, as in BigQuery.
        Format::Csv => {
            format!(
                "read_csv({file}, all_varchar = true, header = true, delim = ',', quote = '\"', escape = '\"', nullstr = '\\0cbi', strict_mode = true)"
            )
        }
    };
    duck.execute(&format!("CREATE VIEW source AS SELECT * FROM {source}")).map_err(failed)?;
    let names: Vec<String> =
        duck.rows("SELECT * FROM source LIMIT 0").map_err(failed)?.schema().fields().iter().map(|f| f.name().clone()).collect();
    for column in wanted.types.keys() {
        position(column, &names, path)?;
    }
    let chosen = if wanted.columns.is_empty() { &names } else { &wanted.columns };
    let mut items = Vec::with_capacity(chosen.len());
    for column in chosen {
        position(column, &names, path)?;
        items.push(match wanted.types.get(column) {
            Some(to) => format!("{} AS {}", conversion(column, to)?, quoted(column)),
            None => quoted(column),
        });
    }
    let rows = duck.rows(&format!("SELECT {} FROM source", items.join(", ")));
    match rows {
        Ok(rows) => Ok(crate::engine::table_types::canonical(&rows).map_err(TableFileError::from)?),
        Err(error @ DuckError::Value { .. }) => Err(first_wrong(&duck, path, wanted)?.unwrap_or_else(|| failed(error))),
        Err(error) => Err(failed(error)),
    }
}

/// The column converted; an empty text is no value of any type but STRING.
fn conversion(column: &str, to: &str) -> Result<String, ImportError> {
    let (_, function) = TYPES.iter().find(|(name, _)| *name == to).ok_or_else(|| ImportError::Type { name: to.to_owned() })?;
    let column = quoted(column);
    Ok(if to == "STRING" {
        format!("{function}({column})")
    } else {
        format!("{function}(CASE WHEN typeof({column}) = 'VARCHAR' AND CAST({column} AS VARCHAR) = '' THEN NULL ELSE {column} END)")
    })
}

/// The first value that does not convert, in the order of the file.
fn first_wrong(duck: &Duck, path: &Path, wanted: &Wanted) -> Result<Option<ImportError>, ImportError> {
    let failed = |source| ImportError::Read { path: path.to_owned(), source };
    for (column, to) in &wanted.types {
        let converted = conversion(column, to)?;
        let sql = format!(
            "SELECT n, v FROM (SELECT row_number() OVER () AS n, {name} AS v, TRY({converted}) AS c FROM source) \
             WHERE c IS NULL AND v IS NOT NULL AND CAST(v AS VARCHAR) <> '' ORDER BY n LIMIT 1",
            name = quoted(column)
        );
        let rows = duck.rows(&sql).map_err(failed)?;
        if rows.num_rows() == 1 {
            let row = cell(rows.column(0), 0).as_i64().unwrap_or_default();
            let value = cell(rows.column(1), 0);
            return Ok(Some(ImportError::Value { path: path.to_owned(), row, column: column.clone(), value, wanted: to.clone() }));
        }
    }
    Ok(None)
}
