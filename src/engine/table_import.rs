//! Owns how a warehouse file becomes a table. Invariant: a value that does not convert is an error with its row and column, never a NULL.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use arrow::error::ArrowError;
use serde_json::Value;

use crate::base::name::nearest;
use crate::engine::csv::{self, Csv, CsvError};
use crate::engine::duck::{Duck, DuckError, quoted, text};
use crate::engine::table_cells::cell;
use crate::engine::table_file::{self, TableFileError};
use crate::engine::table_types::{self, canonical};
use crate::engine::warehouse::Format;
use crate::io::fs::{self, FsError};

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
    #[error("{}{place}, column '{column}': {value} is not {wanted}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The line of a CSV, or the row of a table without lines.
        place: Place,
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
    /// The file is no CSV that has one meaning.
    #[error("{}:{}: {source}", path.display(), source.line)]
    Csv {
        /// The file.
        path: PathBuf,
        /// What is wrong, and on which line.
        source: CsvError,
    },
    /// The file cannot be read.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The engine fails at it.
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

/// Where a value stands in its file.
#[derive(Debug, Clone, Copy)]
pub enum Place {
    /// On this line, the first being 1.
    Line(usize),
    /// In this row, the first being 1.
    Row(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, ":{line}"),
            Self::Row(row) => write!(f, ": row {row}"),
        }
    }
}

impl ImportError {
    /// Whether the file's own content is at fault, not the recipe nor the machine.
    #[must_use]
    pub fn is_the_files(&self) -> bool {
        let content = |error: &TableFileError| matches!(error, TableFileError::Parquet { .. } | TableFileError::Type(_));
        match self {
            Self::Csv { .. } | Self::Value { .. } => true,
            Self::Parquet(error) => content(error),
            _ => false,
        }
    }

    /// The way out, where one is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { nearest: Some(near), .. } => Some(format!("did you mean '{near}'?")),
            Self::Csv { source, .. } => source.hint().map(str::to_owned),
            Self::Parquet(TableFileError::Parquet { .. }) => Some("write the file again: it is no Parquet file, or was cut short".into()),
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
    let csv = match format {
        Format::Csv => Some(read_csv(path)?),
        Format::Parquet => None,
    };
    if !wanted.types.is_empty() {
        return converted(path, csv.as_ref(), wanted);
    }
    let rows = match csv {
        Some(csv) => csv.rows,
        None => table_file::read(path)?,
    };
    project(rows, path, &wanted.columns)
}

/// None of the rows that [`import`] gives, but their columns; of a Parquet file nothing else is read.
///
/// # Errors
/// When the file cannot be read, or has not a column that is wanted.
pub fn columns(path: &Path, format: Format, wanted: &Wanted) -> Result<RecordBatch, ImportError> {
    let schema = match format {
        Format::Csv => read_csv(path)?.rows.schema(),
        Format::Parquet => table_file::schema(path)?,
    };
    let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let kept = project(RecordBatch::new_empty(schema), path, &wanted.columns)?;
    let mut fields: Vec<Field> = canonical(&kept).map_err(TableFileError::from)?.schema().fields().iter().map(|f| (**f).clone()).collect();
    for (column, to) in &wanted.types {
        position(column, &names, path)?;
        let of = table_types::simple(to).ok_or_else(|| ImportError::Type { name: to.clone() })?;
        fields.iter_mut().filter(|field| field.name() == column).for_each(|field| field.set_data_type(of.clone()));
    }
    Ok(RecordBatch::new_empty(Arc::new(Schema::new(fields))))
}

/// The places of these columns in a Parquet file, in their order.
///
/// # Errors
/// When the file cannot be read, or has not one of them.
pub fn places(path: &Path, columns: &[String]) -> Result<Vec<usize>, ImportError> {
    let names: Vec<String> = table_file::schema(path)?.fields().iter().map(|field| field.name().clone()).collect();
    columns.iter().map(|column| position(column, &names, path)).collect()
}

fn read_csv(path: &Path) -> Result<Csv, ImportError> {
    csv::read(&fs::read(path)?).map_err(|source| ImportError::Csv { path: path.to_owned(), source })
}

fn project(rows: RecordBatch, path: &Path, columns: &[String]) -> Result<RecordBatch, ImportError> {
    if columns.is_empty() {
        return Ok(rows);
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

/// The rows with the types that are wanted, converted by the engine.
fn converted(path: &Path, csv: Option<&Csv>, wanted: &Wanted) -> Result<RecordBatch, ImportError> {
    let failed = |source| ImportError::Read { path: path.to_owned(), source };
    let duck = Duck::open().map_err(failed)?;
    match csv {
        Some(csv) => duck.fill("source", &csv.rows),
        None => duck.execute(&format!("CREATE VIEW source AS SELECT * FROM read_parquet({})", text(&path.to_string_lossy()))),
    }
    .map_err(failed)?;
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
        Ok(rows) => Ok(canonical(&rows).map_err(TableFileError::from)?),
        Err(error @ DuckError::Value { .. }) => Err(first_wrong(&duck, path, csv, wanted)?.unwrap_or_else(|| failed(error))),
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
fn first_wrong(duck: &Duck, path: &Path, csv: Option<&Csv>, wanted: &Wanted) -> Result<Option<ImportError>, ImportError> {
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
            let row = cell(rows.column(0), 0).as_u64().and_then(|row| usize::try_from(row).ok()).unwrap_or_default();
            let line = csv.and_then(|csv| csv.lines.get(row.checked_sub(1)?)).copied();
            let place = line.map_or(Place::Row(row), Place::Line);
            let value = cell(rows.column(1), 0);
            return Ok(Some(ImportError::Value { path: path.to_owned(), place, column: column.clone(), value, wanted: to.clone() }));
        }
    }
    Ok(None)
}
