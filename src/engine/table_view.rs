//! Owns how tables are shown and compared. Invariant: two tables compare equal exactly where their canonical files are equal, rows in any order.

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::error::ArrowError;
use arrow::row::{OwnedRow, RowConverter, Rows, SortField};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::table_cells::cell;
use crate::engine::table_types::name;

/// How many rows stand as examples in a comparison.
const EXAMPLES: usize = 5;

/// Rows of a table, ready to be shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// Columns: name and type.
    pub columns: Vec<(String, String)>,
    /// The rows shown.
    pub rows: Vec<Vec<Value>>,
    /// All rows of the table.
    pub total: usize,
}

/// How one table differs from another.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Difference {
    /// Columns that only the second has: name and type.
    pub columns_added: Vec<(String, String)>,
    /// Columns that only the first has.
    pub columns_removed: Vec<(String, String)>,
    /// Columns whose type changed: name, first's type, second's type.
    pub columns_changed: Vec<(String, String, String)>,
    /// Rows of each.
    pub rows: (usize, usize),
    /// Rows that only the second has.
    pub added: RowSet,
    /// Rows that only the first has.
    pub removed: RowSet,
    /// Rows with the same key and other values, as the second has them; without a key nothing is known of such rows.
    pub changed: RowSet,
    /// For each column, in how many of the changed rows it differs.
    pub cells: BTreeMap<String, usize>,
    /// The least and the greatest key among rows added, removed and changed.
    pub range: Option<(Vec<Value>, Vec<Value>)>,
    /// The key by which rows were matched; empty where they were compared whole.
    pub key: Vec<String>,
}

/// How many rows, and the first of them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RowSet {
    /// Their number.
    pub count: usize,
    /// The first, in the order of the table; the columns that both tables have.
    pub first: Vec<Vec<Value>>,
}

/// Rows `from` … of a table, at most `count`.
#[must_use]
pub fn show(table: &RecordBatch, from: usize, count: usize) -> Shown {
    let to = from.saturating_add(count).min(table.num_rows());
    let row = |row: usize| table.columns().iter().map(|column| cell(column, row)).collect();
    Shown { columns: columns(table), rows: (from..to).map(row).collect(), total: table.num_rows() }
}

fn columns(table: &RecordBatch) -> Vec<(String, String)> {
    table.schema().fields().iter().map(|field| (field.name().clone(), name(field.data_type()))).collect()
}

/// Compares two tables in canonical types. Rows are matched by `key` where both have its columns and it is unique in both.
///
/// # Errors
/// When rows cannot be compared.
pub fn compare(old: &RecordBatch, new: &RecordBatch, key: &[String]) -> Result<Difference, ArrowError> {
    let (before, after) = (columns(old), columns(new));
    let type_in = |columns: &[(String, String)], name: &str| columns.iter().find(|(n, _)| n == name).map(|(_, t)| t.clone());
    let mut difference = Difference { rows: (old.num_rows(), new.num_rows()), ..Difference::default() };
    let mut common = Vec::new();
    for (name, kind) in &before {
        match type_in(&after, name) {
            None => difference.columns_removed.push((name.clone(), kind.clone())),
            Some(other) if &other != kind => difference.columns_changed.push((name.clone(), kind.clone(), other)),
            Some(_) => common.push(name.clone()),
        }
    }
    difference.columns_added = after.iter().filter(|(name, _)| type_in(&before, name).is_none()).cloned().collect();
    if common.is_empty() {
        return Ok(difference);
    }
    let sides = [Side::new(old, &common), Side::new(new, &common)];
    let keyed = !key.is_empty() && key.iter().all(|column| common.contains(column));
    let keys = if keyed { unique_keys(&sides, &common, key)? } else { None };
    match keys {
        Some(keys) => {
            key.clone_into(&mut difference.key);
            by_key(&sides, &common, key, &keys, &mut difference)?;
        }
        None => whole(&sides, &mut difference)?,
    }
    Ok(difference)
}

/// One table's columns that both have.
struct Side {
    columns: Vec<ArrayRef>,
    rows: usize,
}

impl Side {
    fn new(table: &RecordBatch, common: &[String]) -> Self {
        let columns = common.iter().filter_map(|name| table.column_by_name(name).cloned()).collect();
        Self { columns, rows: table.num_rows() }
    }

    fn cells(&self, row: usize) -> Vec<Value> {
        self.columns.iter().map(|column| cell(column, row)).collect()
    }

    fn only(&self, common: &[String], wanted: &[String]) -> Vec<ArrayRef> {
        let at = |name: &String| common.iter().position(|column| column == name);
        wanted.iter().filter_map(at).map(|index| self.columns[index].clone()).collect()
    }
}

/// The same encoding for the rows of both sides.
fn encode(old: &[ArrayRef], new: &[ArrayRef]) -> Result<[Rows; 2], ArrowError> {
    let converter = RowConverter::new(old.iter().map(|column| SortField::new(column.data_type().clone())).collect())?;
    Ok([converter.convert_columns(old)?, converter.convert_columns(new)?])
}

type Keys = [BTreeMap<OwnedRow, usize>; 2];

/// Key → row, for both sides; `None` where a key stands twice.
fn unique_keys(sides: &[Side; 2], common: &[String], key: &[String]) -> Result<Option<Keys>, ArrowError> {
    let encoded = encode(&sides[0].only(common, key), &sides[1].only(common, key))?;
    let maps = encoded.map(|rows| rows.iter().enumerate().map(|(index, row)| (row.owned(), index)).collect::<BTreeMap<_, _>>());
    let unique = maps.iter().zip(sides).all(|(map, side)| map.len() == side.rows);
    Ok(unique.then_some(maps))
}

fn by_key(sides: &[Side; 2], common: &[String], key: &[String], keys: &Keys, found: &mut Difference) -> Result<(), ArrowError> {
    let encoded: Vec<[Rows; 2]> =
        (0..common.len()).map(|i| encode(&sides[0].columns[i..=i], &sides[1].columns[i..=i])).collect::<Result<_, _>>()?;
    let mut touched: BTreeMap<&OwnedRow, (usize, usize)> = BTreeMap::new();
    for (row, &index) in &keys[0] {
        let Some(&other) = keys[1].get(row) else {
            add(&mut found.removed, &sides[0], index);
            touched.insert(row, (0, index));
            continue;
        };
        let differs: Vec<usize> = (0..common.len()).filter(|&i| encoded[i][0].row(index) != encoded[i][1].row(other)).collect();
        if !differs.is_empty() {
            add(&mut found.changed, &sides[1], other);
            touched.insert(row, (1, other));
            for i in differs {
                *found.cells.entry(common[i].clone()).or_default() += 1;
            }
        }
    }
    for (row, &index) in keys[1].iter().filter(|(row, _)| !keys[0].contains_key(*row)) {
        add(&mut found.added, &sides[1], index);
        touched.insert(row, (1, index));
    }
    let values = |(side, row): (usize, usize)| sides[side].only(common, key).iter().map(|column| cell(column, row)).collect();
    let ends = touched.values().next().copied().zip(touched.values().next_back().copied());
    found.range = ends.map(|(first, last)| (values(first), values(last)));
    Ok(())
}

/// Compares rows as wholes, each as often as it stands in a table.
fn whole(sides: &[Side; 2], found: &mut Difference) -> Result<(), ArrowError> {
    let encoded = encode(&sides[0].columns, &sides[1].columns)?;
    let mut balance: BTreeMap<OwnedRow, i64> = BTreeMap::new();
    encoded[0].iter().for_each(|row| *balance.entry(row.owned()).or_default() -= 1);
    encoded[1].iter().for_each(|row| *balance.entry(row.owned()).or_default() += 1);
    for (side, sign, list) in [(0, -1, &mut found.removed), (1, 1, &mut found.added)] {
        for (index, row) in encoded[side].iter().enumerate() {
            if let Some(left) = balance.get_mut(&row.owned())
                && *left * sign > 0
            {
                *left -= sign;
                add(list, &sides[side], index);
            }
        }
    }
    Ok(())
}

fn add(list: &mut RowSet, side: &Side, row: usize) {
    list.count += 1;
    if list.first.len() < EXAMPLES {
        list.first.push(side.cells(row));
    }
}
