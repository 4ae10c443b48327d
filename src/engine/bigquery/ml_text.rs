//! Owns the statements of BigQuery ML, as <https://cloud.google.com/bigquery/docs/reference/standard-sql/bigqueryml-syntax-create> and its
//! siblings have them. Invariant: a model learns from the train rows, is stopped by the valid rows, and BigQuery never chooses which is which.

use std::collections::BTreeMap;

use serde_json::Value;

/// The column that says whether a row judges and is not learnt from.
pub const SPLIT_COLUMN: &str = "cbi_is_eval";
/// The column that is learnt.
pub const LABEL: &str = "label";
/// The column that `ML.PREDICT` puts its answers into.
pub const PREDICTED: &str = "predicted_label";
/// The column of row weights.
const WEIGHT: &str = "weight";
/// The option that says how rows are divided, as recipes write it.
pub const SPLIT_METHOD: &str = "data_split_method";

/// What a model is trained from.
#[derive(Debug, Clone, Copy)]
pub struct Training<'a> {
    /// `boosted_tree_regressor`, for one.
    pub model_type: &'a str,
    /// Options by their documented names, in small letters.
    pub options: &'a BTreeMap<String, Value>,
    /// Columns that it reads.
    pub features: &'a [String],
    /// Whether rows have weights.
    pub weighted: bool,
    /// The rows, `project.dataset.table`.
    pub table: &'a str,
}

/// Whether valid rows take part: they stop a training before it learns by heart.
#[must_use]
pub fn uses_valid(options: &BTreeMap<String, Value>) -> bool {
    options.get(SPLIT_METHOD).and_then(Value::as_str) != Some("NO_SPLIT")
}

/// The statement that trains.
#[must_use]
pub fn create(model: &str, training: &Training) -> String {
    let valid = uses_valid(training.options);
    let mut options = vec![("MODEL_TYPE".to_owned(), literal(&training.model_type.to_uppercase().into()))];
    let own = training.options.iter().filter(|(name, _)| name.as_str() != SPLIT_METHOD);
    options.extend(own.map(|(name, value)| (name.to_uppercase(), literal(value))));
    options.push(("INPUT_LABEL_COLS".to_owned(), format!("[{}]", text(LABEL))));
    options.push((SPLIT_METHOD.to_uppercase(), text(if valid { "CUSTOM" } else { "NO_SPLIT" })));
    options.extend(valid.then(|| ("DATA_SPLIT_COL".to_owned(), text(SPLIT_COLUMN))));
    options.extend(training.weighted.then(|| ("INSTANCE_WEIGHT_COL".to_owned(), text(WEIGHT))));
    let options: Vec<String> = options.into_iter().map(|(name, value)| format!("  {name} = {value}")).collect();
    let mut columns: Vec<String> = training.features.iter().map(|name| quoted(name)).collect();
    columns.push(quoted(LABEL));
    columns.extend(training.weighted.then(|| quoted(WEIGHT)));
    columns.extend(valid.then(|| format!("`split` = 'valid' AS {}", quoted(SPLIT_COLUMN))));
    let parts = if valid { "'train', 'valid'" } else { "'train'" };
    format!(
        "CREATE OR REPLACE MODEL {}\nOPTIONS(\n{}\n) AS\nSELECT\n  {}\nFROM {}\nWHERE `split` IN ({parts})",
        quoted(model),
        options.join(",\n"),
        columns.join(",\n  "),
        quoted(training.table)
    )
}

/// The query that asks a model about the rows of a table: one answer to each date.
#[must_use]
pub fn predict(model: &str, features: &[String], table: &str) -> String {
    let columns: Vec<String> = std::iter::once("date").chain(features.iter().map(String::as_str)).map(quoted).collect();
    let rows = format!("SELECT\n    {}\n  FROM {}", columns.join(",\n    "), quoted(table));
    format!("SELECT `date`, {}\nFROM ML.PREDICT(\n  MODEL {},\n  ({rows})\n)", quoted(PREDICTED), quoted(model))
}

/// The statement that writes a model's files below an address.
#[must_use]
pub fn export(model: &str, uri: &str) -> String {
    format!("EXPORT MODEL {}\nOPTIONS(URI = {})", quoted(model), text(uri))
}

fn literal(value: &Value) -> String {
    match value {
        Value::String(word) => text(word),
        Value::Bool(true) => "TRUE".to_owned(),
        Value::Bool(false) => "FALSE".to_owned(),
        Value::Array(items) => format!("[{}]", items.iter().map(literal).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

fn text(word: &str) -> String {
    format!("'{}'", word.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// A name, or a whole path of names.
fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}
