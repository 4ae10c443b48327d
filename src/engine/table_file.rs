//! Owns the one Parquet form of tables. Invariant: the same rows under the same column names give the same bytes, whatever order they came
//! in and whatever program wrote them before.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use crate::base::name::nearest;
use crate::engine::row_groups::RowGroups;
use crate::engine::table_types::{TypeError, canonical};

/// What a table's file is called inside its artifact.
pub const FILE_NAME: &str = "table.parquet";

/// Rows that are read at once.
const READ: usize = 65_536;

/// A table file that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TableFileError {
    /// The file cannot be opened or created.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not a Parquet file, or a damaged one.
    #[error("{}: {source}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the reader or writer says.
        source: ParquetError,
    },
    /// Rows cannot be put together or in order.
    #[error("{}: {source}", path.display())]
    Rows {
        /// The file.
        path: PathBuf,
        /// What Arrow says.
        source: ArrowError,
    },
    /// A column that no table can hold.
    #[error(transparent)]
    Type(#[from] TypeError),
    /// A key column that the table does not have.
    #[error("no column '{column}' to sort by")]
    Key {
        /// The column asked for.
        column: String,
        /// The column that may have been meant.
        nearest: Option<String>,
    },
}

/// The rows of the Parquet file at `path`, some at a time, in the order of the file: these of its columns, by their places; all where empty.
///
/// # Errors
/// When the file cannot be read or is no Parquet file.
pub fn batches(
    path: &Path,
    columns: &[usize],
) -> Result<impl Iterator<Item = Result<RecordBatch, TableFileError>> + use<>, TableFileError> {
    let parquet = |source| TableFileError::Parquet { path: path.to_owned(), source };
    let (own, columns) = (path.to_owned(), columns.to_vec());
    let file = std::fs::File::open(path).map_err(|source| TableFileError::Io { path: path.to_owned(), source })?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(parquet)?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), columns.iter().copied());
    let builder = if columns.is_empty() { builder } else { builder.with_projection(mask) };
    // Read, they stand in the order of the file.
    let mut places: Vec<usize> = columns.clone();
    places.sort_unstable();
    let order: Vec<usize> = columns.iter().filter_map(|column| places.binary_search(column).ok()).collect();
    let batches = builder.with_batch_size(READ).build().map_err(parquet)?;
    Ok(batches.map(move |batch| {
        let ordered = batch.and_then(|batch| if order.is_empty() { Ok(batch) } else { batch.project(&order) });
        ordered.map_err(|source| TableFileError::Rows { path: own.clone(), source })
    }))
}

/// All rows of the Parquet file at `path`, every column in its canonical type, in the order of the file.
///
/// # Errors
/// When the file cannot be read, is no Parquet file or holds a type no table can hold.
pub fn read(path: &Path) -> Result<RecordBatch, TableFileError> {
    let parquet = |source| TableFileError::Parquet { path: path.to_owned(), source };
    let rows = |source| TableFileError::Rows { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(|source| TableFileError::Io { path: path.to_owned(), source })?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(parquet)?;
    let schema = builder.schema().clone();
    let batches: Result<Vec<_>, _> = builder.with_batch_size(READ).build().map_err(parquet)?.collect();
    let all = concat_batches(&schema, &batches.map_err(rows)?).map_err(rows)?;
    Ok(canonical(&all)?)
}

/// The columns of the Parquet file at `path`, as it has them.
///
/// # Errors
/// When the file cannot be read or is no Parquet file.
pub fn schema(path: &Path) -> Result<Arc<Schema>, TableFileError> {
    let parquet = |source| TableFileError::Parquet { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(|source| TableFileError::Io { path: path.to_owned(), source })?;
    Ok(ParquetRecordBatchReaderBuilder::try_new(file).map_err(parquet)?.schema().clone())
}

/// Writes the rows in canonical types and order: by the `key` columns, then by all columns, NULLs first.
///
/// # Errors
/// When a key column is missing, a column has a type no table can hold, or the file cannot be written.
pub fn write(path: &Path, batch: &RecordBatch, key: &[String]) -> Result<(), TableFileError> {
    let rows = |source| TableFileError::Rows { path: path.to_owned(), source };
    let sorted = sort(&canonical(batch)?, key, rows)?;
    let mut writing = Writing::create(path, &sorted.schema(), key)?;
    writing.add(&sorted)?;
    writing.finish()
}

/// A table file in canonical form, as it is written: rows in canonical types and order are added. How many come at a time changes nothing.
pub struct Writing {
    path: PathBuf,
    writer: ArrowWriter<std::fs::File>,
    groups: RowGroups,
    /// Rows of the group that is open. It is written at once, so that the ends of its pages depend on its rows alone.
    open: Vec<RecordBatch>,
}

impl Writing {
    /// An empty file with these columns; the key's tell its rows apart, or all where there is none.
    ///
    /// # Errors
    /// When a key column is missing, or it cannot be written.
    pub fn create(path: &Path, schema: &Arc<Schema>, key: &[String]) -> Result<Self, TableFileError> {
        let mut telling = column_order(schema, key)?;
        if !key.is_empty() {
            telling.truncate(key.len());
        }
        let groups = RowGroups::new(schema, telling).map_err(|source| TableFileError::Rows { path: path.to_owned(), source })?;
        let file = std::fs::File::create(path).map_err(|source| TableFileError::Io { path: path.to_owned(), source })?;
        let writer = ArrowWriter::try_new_with_options(file, schema.clone(), options());
        let writer = writer.map_err(|source| TableFileError::Parquet { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), writer, groups, open: Vec::new() })
    }

    /// Adds the next rows.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<(), TableFileError> {
        let ends = self.groups.ends(batch).map_err(|source| TableFileError::Rows { path: self.path.clone(), source })?;
        let mut from = 0;
        for end in ends {
            self.open.push(batch.slice(from, end - from));
            self.end_group()?;
            from = end;
        }
        if from < batch.num_rows() {
            self.open.push(batch.slice(from, batch.num_rows() - from));
        }
        Ok(())
    }

    fn end_group(&mut self) -> Result<(), TableFileError> {
        let Some(first) = self.open.first() else { return Ok(()) };
        let rows = concat_batches(&first.schema(), &self.open);
        let rows = rows.map_err(|source| TableFileError::Rows { path: self.path.clone(), source })?;
        self.open.clear();
        let written = self.writer.write(&rows).and_then(|()| self.writer.flush());
        written.map_err(|source| TableFileError::Parquet { path: self.path.clone(), source })
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When its end cannot be written.
    pub fn finish(mut self) -> Result<(), TableFileError> {
        self.end_group()?;
        self.writer.close().map_err(|source| TableFileError::Parquet { path: self.path, source })?;
        Ok(())
    }
}

/// The rows in the order in which `write` puts them.
///
/// # Errors
/// When a key column is missing.
pub fn sorted(batch: &RecordBatch, key: &[String]) -> Result<RecordBatch, TableFileError> {
    sort(batch, key, |source| TableFileError::Rows { path: PathBuf::new(), source })
}

/// A table file that grows batch by batch, in the order of the batches: for tables larger than memory, which are put in order later.
pub struct Growing {
    writing: Writing,
    rows: usize,
}

impl Growing {
    /// An empty file with the columns of `schema`, in canonical types.
    ///
    /// # Errors
    /// When it cannot be written, or a column has a type no table can hold.
    pub fn create(path: &Path, schema: &Arc<Schema>) -> Result<Self, TableFileError> {
        let schema = canonical(&RecordBatch::new_empty(schema.clone()))?.schema();
        Ok(Self { writing: Writing::create(path, &schema, &[])?, rows: 0 })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// When they cannot be written, or a value does not fit its canonical type.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<(), TableFileError> {
        self.rows += batch.num_rows();
        self.writing.add(&canonical(batch)?)
    }

    /// Ends the file; how many rows it has.
    ///
    /// # Errors
    /// When its end cannot be written.
    pub fn finish(self) -> Result<usize, TableFileError> {
        self.writing.finish()?;
        Ok(self.rows)
    }
}

/// No dictionaries and no statistics: both would be repeated in every group, for no reader here. Only a group's end ends it.
fn options() -> ArrowWriterOptions {
    let properties = WriterProperties::builder()
        .set_created_by("cbi".into())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).unwrap_or_default()));
    let properties = properties.set_dictionary_enabled(false).set_statistics_enabled(EnabledStatistics::None);
    let properties = properties.set_offset_index_disabled(true).set_max_row_group_row_count(None);
    ArrowWriterOptions::new().with_properties(properties.build()).with_skip_arrow_metadata(true)
}

fn sort(batch: &RecordBatch, key: &[String], rows: impl Fn(ArrowError) -> TableFileError) -> Result<RecordBatch, TableFileError> {
    if batch.num_columns() == 0 {
        return Ok(batch.clone());
    }
    let order = column_order(&batch.schema(), key)?;
    let columns: Vec<_> = order.iter().map(|&i| batch.column(i).clone()).collect();
    let fields = columns.iter().map(|c| SortField::new(c.data_type().clone())).collect();
    let converter = RowConverter::new(fields).map_err(&rows)?;
    let encoded = converter.convert_columns(&columns).map_err(&rows)?;
    let mut order: Vec<u64> = (0..batch.num_rows() as u64).collect();
    #[expect(clippy::cast_possible_truncation, reason = "each is the number of a row in memory")]
    order.sort_by(|a, b| encoded.row(*a as usize).cmp(&encoded.row(*b as usize)));
    take_record_batch(batch, &UInt64Array::from(order)).map_err(rows)
}

/// The places of the columns in the order in which rows are sorted by them: the key's first, then the others as they stand.
///
/// # Errors
/// When a key column is missing.
pub fn column_order(schema: &Arc<Schema>, key: &[String]) -> Result<Vec<usize>, TableFileError> {
    let mut order = Vec::with_capacity(schema.fields().len());
    for column in key {
        let at = schema.index_of(column).map_err(|_| TableFileError::Key {
            column: column.clone(),
            nearest: nearest(column, schema.fields().iter().map(|f| f.name().as_str())).map(ToOwned::to_owned),
        })?;
        order.push(at);
    }
    order.extend((0..schema.fields().len()).filter(|i| !key.contains(schema.field(*i).name())));
    Ok(order)
}
