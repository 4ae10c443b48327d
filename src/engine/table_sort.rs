//! Owns how the rows of a table file of any size are put in canonical order. Invariant: the file that comes of it is the one that `table_file::write`
//! makes of the same rows, byte for byte, and what is in memory at a time does not grow with them.

use std::fs::File;
use std::io::{BufReader, BufWriter, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::{concat_batches, interleave_record_batch};
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;

use crate::engine::table_file::{self, TableFileError, Writing};
use crate::engine::table_types::canonical;

/// Bytes of rows that are sorted in memory at once.
const RUN: usize = 48 << 20;

/// Rows of a sorted run that are looked at at once.
const BATCH: usize = 4096;

/// A table file that cannot be sorted.
#[derive(Debug, thiserror::Error)]
pub enum SortError {
    /// The file with the rows cannot be read.
    #[error(transparent)]
    Read(TableFileError),
    /// The file that takes them cannot be written.
    #[error(transparent)]
    Write(#[from] TableFileError),
    /// The folder cannot take what does not fit into memory.
    #[error("{}: {source}", folder.display())]
    Scratch {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What was put away cannot be read again.
    #[error(transparent)]
    Rows(#[from] ArrowError),
}

/// Writes the rows of the Parquet files `from`, which have the same columns, to `to` in canonical types and order: these of its columns, by their places (all where empty), by the
/// `key` first. What does not fit into memory is put away in files in the folder of `to` that have no name. Gives the number of rows; of none,
/// nothing is written.
///
/// # Errors
/// When a file cannot be read or written, a key column is missing, or a column has a type no table can hold.
pub fn sort(from: &[PathBuf], columns: &[usize], key: &[String], to: &Path) -> Result<usize, SortError> {
    sort_in_runs(from, columns, key, to, RUN)
}

fn sort_in_runs(from: &[PathBuf], columns: &[usize], key: &[String], to: &Path, run: usize) -> Result<usize, SortError> {
    let folder = to.parent().unwrap_or(Path::new("."));
    let (mut some, mut bytes, mut rows, mut runs) = (Vec::new(), 0, 0, Vec::new());
    let files = from.iter().map(|file| table_file::batches(file, columns)).collect::<Result<Vec<_>, _>>();
    for batch in files.map_err(SortError::Read)?.into_iter().flatten() {
        let batch = canonical(&batch.map_err(SortError::Read)?).map_err(|error| SortError::Read(error.into()))?;
        rows += batch.num_rows();
        bytes += batch.get_array_memory_size();
        some.push(batch);
        if bytes >= run {
            runs.push(put_away(&in_order(&mut some, key)?, folder)?);
            bytes = 0;
        }
    }
    if rows == 0 {
        return Ok(0);
    }
    if runs.is_empty() {
        table_file::write(to, &together(&mut some)?, key)?;
        return Ok(rows);
    }
    if !some.is_empty() {
        runs.push(put_away(&in_order(&mut some, key)?, folder)?);
    }
    let mut merge = Merge::open(runs, key)?;
    let mut writing = Writing::create(to, &merge.form.schema, key)?;
    while let Some(batch) = merge.next()? {
        writing.add(&batch)?;
    }
    writing.finish()?;
    Ok(rows)
}

fn together(some: &mut Vec<RecordBatch>) -> Result<RecordBatch, SortError> {
    let some = std::mem::take(some);
    let schema = some.first().map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
    Ok(concat_batches(&schema, &some)?)
}

fn in_order(some: &mut Vec<RecordBatch>, key: &[String]) -> Result<RecordBatch, SortError> {
    let all = together(some)?;
    Ok(table_file::sorted(&all, key)?)
}

/// Writes a sorted run into a file without a name, which is gone with this process.
fn put_away(rows: &RecordBatch, folder: &Path) -> Result<File, SortError> {
    let scratch = |source| SortError::Scratch { folder: folder.to_owned(), source };
    let mut file = tempfile::tempfile_in(folder).map_err(scratch)?;
    let mut writer = StreamWriter::try_new(BufWriter::new(&file), &rows.schema())?;
    for at in (0..rows.num_rows()).step_by(BATCH) {
        writer.write(&rows.slice(at, BATCH.min(rows.num_rows() - at)))?;
    }
    writer.finish()?;
    drop(writer);
    file.rewind().map_err(scratch)?;
    Ok(file)
}

/// A sorted run, and where in it the merge stands.
struct Run {
    reader: StreamReader<BufReader<File>>,
    batch: RecordBatch,
    order: Rows,
    at: usize,
}

/// How rows are compared.
struct Form {
    schema: Arc<Schema>,
    converter: RowConverter,
    /// The columns in the order in which they count.
    columns: Vec<usize>,
}

impl Form {
    fn order(&self, batch: &RecordBatch) -> Result<Rows, SortError> {
        let columns: Vec<_> = self.columns.iter().map(|&column| batch.column(column).clone()).collect();
        Ok(self.converter.convert_columns(&columns)?)
    }

    /// Reads the next rows of a run; none after the last.
    fn read_on(&self, run: &mut Run) -> Result<(), SortError> {
        run.batch = run.reader.next().transpose()?.unwrap_or_else(|| RecordBatch::new_empty(self.schema.clone()));
        run.order = self.order(&run.batch)?;
        run.at = 0;
        Ok(())
    }
}

/// Sorted runs becoming one.
struct Merge {
    form: Form,
    runs: Vec<Run>,
    /// Runs that have a row, that with the least last.
    waiting: Vec<usize>,
}

impl Merge {
    fn open(files: Vec<File>, key: &[String]) -> Result<Self, SortError> {
        let readers = files.into_iter().map(|file| StreamReader::try_new(BufReader::new(file), None));
        let readers: Vec<_> = readers.collect::<Result<_, _>>()?;
        let schema = readers.first().map_or_else(|| Arc::new(Schema::empty()), StreamReader::schema);
        let columns = table_file::column_order(&schema, key)?;
        let fields = columns.iter().map(|&column| SortField::new(schema.field(column).data_type().clone())).collect();
        let form = Form { schema, converter: RowConverter::new(fields)?, columns };
        let mut merge = Self { form, runs: Vec::new(), waiting: Vec::new() };
        for (number, reader) in readers.into_iter().enumerate() {
            let batch = RecordBatch::new_empty(merge.form.schema.clone());
            let mut run = Run { reader, order: merge.form.order(&batch)?, batch, at: 0 };
            merge.form.read_on(&mut run)?;
            merge.runs.push(run);
            merge.wait(number);
        }
        Ok(merge)
    }

    /// Puts a run where its next row belongs; nowhere where it has none.
    fn wait(&mut self, run: usize) {
        let runs = &self.runs;
        if runs[run].at < runs[run].batch.num_rows() {
            let row = |run: usize| runs[run].order.row(runs[run].at);
            let at = self.waiting.partition_point(|&other| row(other) > row(run));
            self.waiting.insert(at, run);
        }
    }

    /// The next rows of all: until one run's batch is used up, which is then read on.
    fn next(&mut self) -> Result<Option<RecordBatch>, SortError> {
        let mut taken = Vec::new();
        while let Some(first) = self.waiting.pop() {
            taken.push((first, self.runs[first].at));
            self.runs[first].at += 1;
            if self.runs[first].at < self.runs[first].batch.num_rows() {
                self.wait(first);
                continue;
            }
            let batches: Vec<&RecordBatch> = self.runs.iter().map(|run| &run.batch).collect();
            let rows = interleave_record_batch(&batches, &taken)?;
            self.form.read_on(&mut self.runs[first])?;
            self.wait(first);
            return Ok(Some(rows));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Float64Array, Int64Array, ListArray, StringArray};
    use arrow::datatypes::Int64Type;

    use super::*;
    use crate::io::fs;

    /// Rows in no order, with ties, NULLs and, where that is asked, lists.
    fn rows(count: i64, lists: bool) -> RecordBatch {
        let mixed = |n: i64| n.wrapping_mul(7919).rem_euclid(count.max(1) / 3 + 1);
        let numbers: Int64Array = (0..count).map(|n| (n % 11 != 0).then(|| mixed(n))).collect();
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let floats: Float64Array =
            (0..count).map(|n| (n % 7 != 0).then(|| if n % 13 == 0 { f64::NAN } else { mixed(n) as f64 / 7.0 })).collect();
        let texts = StringArray::from_iter_values((0..count).map(|n| format!("text {}", mixed(n * 31))));
        let mut columns: Vec<(&str, ArrayRef)> = vec![("x", Arc::new(floats)), ("n", Arc::new(numbers)), ("t", Arc::new(texts))];
        if lists {
            let items = (0..count).map(|n| Some((0..n % 5).map(Some).collect::<Vec<_>>()));
            columns.push(("l", Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(items))));
        }
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn rows_that_do_not_fit_into_memory_make_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let small = [1, 300_000, usize::MAX];
        // The last has more rows than a row group.
        for (count, lists, key, runs) in [
            (0, false, "n", &small[..]),
            (1, false, "n", &small),
            (70_001, false, "n", &small),
            (70_001, false, "t", &small),
            (40_000, true, "n", &small),
            (1_050_000, false, "n", &[8_000_000]),
        ] {
            let rows = rows(count, lists);
            let mut growing = table_file::Growing::create(&at("rows.parquet"), &rows.schema()).unwrap();
            for from in (0..rows.num_rows()).step_by(9973) {
                growing.add(&rows.slice(from, 9973.min(rows.num_rows() - from))).unwrap();
            }
            growing.finish().unwrap();
            let key = [key.to_owned()];
            table_file::write(&at("whole.parquet"), &rows, &key).unwrap();
            for &run in runs {
                let sorted = sort_in_runs(&[at("rows.parquet")], &[], &key, &at("sorted.parquet"), run).unwrap();
                assert_eq!(sorted, rows.num_rows());
                let same = count == 0 || fs::read(&at("sorted.parquet")).unwrap() == fs::read(&at("whole.parquet")).unwrap();
                assert!(same, "{count} rows in runs of {run} bytes");
            }
        }
        assert_eq!(fs::list(folder.path()).unwrap().len(), 3, "nothing is left behind");
    }

    #[test]
    fn a_key_that_is_not_there_is_named_however_many_rows_there_are() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("rows.parquet");
        table_file::write(&from, &rows(9000, false), &[]).unwrap();
        for run in [1, usize::MAX] {
            let error = sort_in_runs(std::slice::from_ref(&from), &[0, 2], &["n".into()], &folder.path().join("to"), run).unwrap_err();
            assert!(matches!(error, SortError::Write(TableFileError::Key { .. })), "{error:?}");
        }
    }
}
