//! Kind `table`: a table of the warehouse, pinned. Invariant: its content is the rows of the columns kept, in canonical order, so what is left
//! out and how the warehouse ordered it change nothing above.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::Schema;
use serde::Deserialize;
use serde_json::json;

use crate::base::name::{is_table_name, nearest};
use crate::base::units;
use crate::engine::table_import::{self, ImportError, TYPES, Wanted};
use crate::engine::warehouse::{self, Format};
use crate::kinds::availability;
use crate::kinds::body::Body;
use crate::kinds::checks;
use crate::kinds::context::{DeclareContext, KindError};
use crate::kinds::kind::Kind;
use crate::kinds::query::{self, ARTIFACT, TableError, keep};
use crate::kinds::request::{Request, Response, RunError};
use crate::model::recipe::{Declared, Source, Stanza};
use crate::syntax::shape::{Key, Want};

/// The slot that takes the warehouse table's file; `source:…` each take a part of it, where it comes in parts.
const SLOT: &str = "source";

/// Kind `table`.
pub const KIND: Kind = Kind {
    name: "table",
    version: 3,
    about: "A table of the warehouse, pinned: these columns, in canonical order.",
    keys: &[
        Key::optional("from", Want::TableName, "The warehouse table; the target's own name where it is not said."),
        Key::optional("query", Want::Text, "Instead of `from`: a query over warehouse tables, whose result is pinned."),
        Key::optional(
            "key",
            Want::List(&Want::Text, true),
            "The columns that rows are sorted by first; `[\"date\"]` where it is not said.",
        ),
        Key::optional("columns", Want::List(&Want::Text, true), "Keep only these columns; all where it is not said."),
        Key::optional("types", Want::Map(&Want::Text), "Types of columns; a CSV column that is not listed is `STRING`."),
        Key::optional(
            "max_bytes_billed",
            Want::Bytes,
            "Of a view of BigQuery: the most that computing its rows may be charged for; the server refuses more.",
        ),
        availability::KEY,
        availability::DATES,
        checks::KEY,
    ],
    declare,
};

/// What the action needs to know.
#[derive(Debug, Deserialize)]
struct Spec {
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    columns: Vec<String>,
    #[serde(default)]
    types: BTreeMap<String, String>,
}

fn declare(stanza: &Stanza, context: &DeclareContext) -> Result<Declared, KindError> {
    let body = Body(stanza);
    if let Some(text) = body.text("query") {
        if let Some(key) = ["from", "columns", "types", "available_after", "dates"].into_iter().find(|key| body.value(key).is_some()) {
            return Err(body.key_error(key, format!("'{key}' and 'query' do not go together; let the query say it")));
        }
        if body.value("max_bytes_billed").is_some() {
            let error = body.key_error("max_bytes_billed", "a query that runs here is charged for nothing");
            return Err(error.hint("say it in the stanza of the view that it reads"));
        }
        let mut declared = query::declare(body, text, &|_| body.place("query"), context)?;
        checks::declare(body, "warn", &[], &mut declared)?;
        return Ok(declared);
    }
    let from = body.text("from").unwrap_or(stanza.name.as_str());
    if !is_table_name(from) {
        let error = body.error("", format!("table '{from}' has no name of a warehouse table, dataset.table"));
        return Err(error.hint("say which table it is: from = \"dataset.table\""));
    }
    let columns = columns(body)?;
    let types = types(body, &columns)?;
    // Types are converted to by the functions that SQL has for it, and a check may be a query.
    let engines: &[&str] = if types.is_empty() && body.value(checks::KEY.name).is_none() { &["parquet"] } else { &["duckdb", "parquet"] };
    let mut declared = Declared {
        params: json!({ "from": from, "columns": columns, "types": types, "key": body.value("key") }),
        inputs: BTreeMap::from([(SLOT.to_owned(), Source::WarehouseTable(from.to_owned()))]),
        places: BTreeMap::from([(SLOT.to_owned(), body.place("from"))]),
        outputs: BTreeSet::from([ARTIFACT.to_owned()]),
        engines: engines.iter().map(|&engine| engine.to_owned()).collect(),
        available: availability::declare(body, &columns)?,
        max_bytes_billed: body.text("max_bytes_billed").and_then(units::parse_bytes),
        ..Declared::default()
    };
    checks::declare(body, "warn", &columns, &mut declared)?;
    Ok(declared)
}

fn columns<'a>(body: Body<'a>) -> Result<Vec<&'a str>, KindError> {
    let columns: Vec<&'a str> = body.texts("columns");
    for (index, column) in columns.iter().enumerate() {
        if columns[..index].contains(column) {
            return Err(body.error(&format!("columns.{index}"), format!("'{column}' is listed twice")));
        }
    }
    let missing = body.texts("key").into_iter().enumerate().find(|(_, column)| !columns.is_empty() && !columns.contains(column));
    if let Some((index, column)) = missing {
        return Err(body.error(&format!("key.{index}"), format!("the key's column '{column}' is not among 'columns'")));
    }
    Ok(columns)
}

fn types<'a>(body: Body<'a>, columns: &[&str]) -> Result<BTreeMap<&'a str, &'a str>, KindError> {
    let mut types = BTreeMap::new();
    for (column, name) in body.table("types").into_iter().flatten() {
        let path = format!("types.{column}");
        let name = name.as_str().unwrap_or_default();
        let names = || TYPES.iter().map(|(known, _)| *known);
        if !names().any(|known| known == name) {
            let error = body.error(&path, format!("'{name}' is not a type"));
            return Err(error.hint(match nearest(&name.to_ascii_uppercase(), names()) {
                Some(near) => format!("did you mean '{near}'?"),
                None => format!("the types are: {}", names().collect::<Vec<_>>().join(", ")),
            }));
        }
        if !columns.is_empty() && !columns.contains(&column.as_str()) {
            return Err(body.key_error(&path, format!("'{column}' is not among 'columns'")));
        }
        types.insert(column.as_str(), name);
    }
    Ok(types)
}

/// Runs the action.
///
/// # Errors
/// When the table cannot be read, has not the columns wanted, or no rows, or a check of it cannot be made.
pub fn run(request: &Request) -> Result<Response, RunError> {
    checks::run(request, table(request)?)
}

fn table(request: &Request) -> Result<Response, RunError> {
    let spec: Spec = request.params()?;
    let Some(from) = spec.from else { return query::run(request) };
    let (paths, format) = warehouse::files(&sources(request)?).map_err(|error| RunError::failed(&error))?;
    let path = paths.first().map_or(Path::new(""), PathBuf::as_path);
    let empty = || {
        let empty = TableError::Empty { what: format!("the warehouse table '{from}'") };
        RunError::refused(&empty).hint(format!("see {}", path.display()))
    };
    if format == Format::Parquet && spec.types.is_empty() {
        let places = table_import::places(path, &spec.columns).map_err(|error| failure(&error))?;
        return query::keep_files(request, &paths, &places, |error| failure(&error.into()), empty);
    }
    let wanted = Wanted { columns: spec.columns, types: spec.types };
    let parts: Result<Vec<RecordBatch>, ImportError> = paths.iter().map(|path| table_import::import(path, format, &wanted)).collect();
    let parts = parts.map_err(|error| failure(&error))?;
    let schema = parts.first().map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
    let rows = concat_batches(&schema, &parts).map_err(|error| failure(&error.into()))?;
    if rows.num_rows() == 0 {
        return Err(empty());
    }
    keep(request, &rows, "the table")
}

/// The folders with the table's rows.
fn sources(request: &Request) -> Result<Vec<&Path>, RunError> {
    let part = |slot: &str| slot.strip_prefix(SLOT).is_some_and(|part| part.starts_with(':'));
    let parts: Vec<&Path> = request.inputs.iter().filter(|(slot, _)| part(slot)).map(|(_, folder)| folder.as_path()).collect();
    if parts.is_empty() { Ok(vec![request.input(SLOT)?]) } else { Ok(parts) }
}

/// What a person is told of a warehouse file that gives no rows.
#[must_use]
pub fn failure(error: &ImportError) -> RunError {
    let failure = match error {
        ImportError::Missing { .. } | ImportError::Type { .. } => RunError::invalid(error),
        error if error.is_the_files() => RunError::refused(error),
        _ => RunError::failed(error),
    };
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::kinds::body;
    use crate::model::recipe::{Common, Place};

    fn declared(name: &str, stanza: Value) -> Result<Declared, String> {
        let Value::Object(map) = stanza else { panic!("a table") };
        let stanza = Stanza {
            kind: "table".into(),
            name: name.parse().unwrap(),
            body: map.into_iter().collect(),
            common: Common::default(),
            place: Place { file: "recipes/x.toml".into(), span: 0..5 },
            spots: [].into(),
            part: None,
        };
        assert_eq!(body::check(&stanza, KIND.keys), []);
        let nothing = |_: &str| Err("no such file".to_owned());
        let context =
            DeclareContext { text: &nothing, files: &|_| Vec::new(), env: &|_| None, kind_of: &|_| None, tune_of: &|_| None, as_of: None };
        declare(&stanza, &context).map_err(|error| error.message)
    }

    #[test]
    fn a_table_without_a_word_is_the_warehouse_table_of_its_name() {
        let table = declared("fred.cpi", json!({})).unwrap();
        assert_eq!(table.inputs["source"], Source::WarehouseTable("fred.cpi".into()));
        let other = declared("a.b", json!({"from": "fred.cpi", "columns": ["x"], "types": {"x": "FLOAT64"}})).unwrap();
        assert_eq!(other.inputs["source"], Source::WarehouseTable("fred.cpi".into()));
        assert_eq!(other.params["types"], json!({"x": "FLOAT64"}));
    }

    #[test]
    fn without_checks_it_is_the_action_it_always_was_and_with_them_there_is_a_report() {
        let plain = declared("a.b", json!({"columns": ["x"]})).unwrap();
        assert_eq!(plain.params, json!({"from": "a.b", "columns": ["x"], "types": {}, "key": null}));
        assert_eq!(plain.outputs, ["table".to_owned()].into());
        let checks = json!([{"unique": ["x"]}, {"references": {"column": "x", "table": "c.d"}, "severity": "error"}]);
        let checked = declared("a.b", json!({"columns": ["x"], "checks": checks})).unwrap();
        assert_eq!(checked.outputs, ["checks", "table"].map(str::to_owned).into());
        assert_eq!(checked.params["checks"][0], json!({"unique": ["x"], "severity": "warn"}));
        assert_eq!(checked.params["checks"][1]["severity"], "error");
        assert!(checked.inputs.contains_key("check:c.d"), "what a check reads is an input");
        let unknown = declared("a.b", json!({"columns": ["x"], "checks": [{"range": {"column": "y", "min": 1}}]}));
        assert_eq!(unknown.unwrap_err(), "'y' is not among 'columns'");
    }

    #[test]
    fn a_query_takes_the_place_of_from() {
        let table = declared("a.b", json!({"query": "SELECT x FROM fred.cpi", "key": ["x"]})).unwrap();
        assert_eq!(table.inputs.keys().collect::<Vec<_>>(), ["table:fred.cpi"]);
        assert!(declared("a.b", json!({"query": "SELECT 1", "columns": ["x"]})).unwrap_err().contains("do not go together"));
    }

    #[test]
    fn mistakes_are_named() {
        for (stanza, part) in [
            (json!({"types": {"x": "FLOAT"}}), "'FLOAT' is not a type"),
            (json!({"columns": ["x", "x"]}), "'x' is listed twice"),
            (json!({"columns": ["x"], "key": ["y"]}), "the key's column 'y' is not among 'columns'"),
            (json!({"columns": ["x"], "types": {"y": "INT64"}}), "'y' is not among 'columns'"),
        ] {
            let error = declared("a.b", stanza).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
