//! What tables promise: a CSV is text until a type is said, a wrong value is found by row and column, an empty table is refused, and two tables
//! can be compared.
#![allow(missing_docs, clippy::unwrap_used, clippy::float_cmp)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use cbi::base::diagnostic::ExitCode;
use cbi::engine::table_columns::{Values, table};
use cbi::engine::{table_file, table_types, table_view};
use cbi::kinds::dispatch;
use cbi::kinds::request::{Request, Response, RunError};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder for one action.
struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// An input folder with one file.
    fn input(&self, name: &str, file: &str, bytes: &[u8]) -> PathBuf {
        fs::create_dir_all(self.path(name)).unwrap();
        fs::write(self.path(name).join(file), bytes).unwrap();
        self.path(name)
    }

    fn run(&self, kind: &str, params: Value, inputs: &[(&str, &Path)]) -> Result<Response, RunError> {
        let inputs = inputs.iter().map(|(slot, path)| ((*slot).to_owned(), (*path).to_owned())).collect::<BTreeMap<_, _>>();
        dispatch::run(&Request::of(kind, params, inputs, self.path("out")))
    }

    /// Columns with their types, and rows, of the table made.
    fn made(&self) -> (Vec<(String, String)>, Value) {
        let shown = table_view::show(&table_file::read(&self.path("out/table/table.parquet")).unwrap(), 0, 100);
        (shown.columns, json!(shown.rows))
    }
}

const CSV: &[u8] = b"Date,price,note\n2019-01-03,46.92,\n2019-01-02,,\"a, b\"\n2018-12-31,.5,x\n";

#[test]
fn a_csv_is_text_until_a_type_is_said() {
    let bench = Bench::new();
    let source = bench.input("source", "fred.oil.csv", CSV);
    let params = json!({"from": "fred.oil", "columns": [], "types": {}, "key": ["Date"]});
    let response = bench.run("table", params, &[("source", &source)]).unwrap();
    assert_eq!(response.metrics["rows"], 3.0);
    let text = |name: &str| (name.to_owned(), "STRING".to_owned());
    let rows = json!([["2018-12-31", ".5", "x"], ["2019-01-02", "", "a, b"], ["2019-01-03", "46.92", ""]]);
    assert_eq!(bench.made(), (vec![text("Date"), text("price"), text("note")], rows));

    let params = json!({"from": "fred.oil", "columns": ["price", "Date"], "types": {"price": "FLOAT64", "Date": "DATE"}, "key": ["Date"]});
    bench.run("table", params, &[("source", &source)]).unwrap();
    let columns = vec![("price".to_owned(), "FLOAT64".to_owned()), ("Date".to_owned(), "DATE".to_owned())];
    assert_eq!(bench.made(), (columns, json!([[0.5, "2018-12-31"], [null, "2019-01-02"], [46.92, "2019-01-03"]])));
}

#[test]
fn a_value_that_does_not_convert_is_found_by_line_and_column() {
    let bench = Bench::new();
    let source = bench.input("source", "fred.oil.csv", b"date,price\n2019-01-02,46.5\n\n2019-01-03,.\n");
    let error = bench.run("table", json!({"from": "fred.oil", "types": {"price": "FLOAT64"}}), &[("source", &source)]).unwrap_err();
    assert!(error.message.ends_with("fred.oil.csv:4, column 'price': \".\" is not FLOAT64"), "{}", error.message);
    assert_eq!(error.code, ExitCode::Refused);
    assert!(error.hint.unwrap().contains("STRING"));
}

#[test]
fn lines_may_end_in_several_ways_and_no_row_is_taken_for_a_comment() {
    let bench = Bench::new();
    let source = bench.input("source", "fred.oil.csv", b"date,price\r\n#2019-01-02,1.5\n2019-01-03,NULL\r\n2019-01-04,\"a\0b\"\r");
    bench.run("table", json!({"from": "fred.oil"}), &[("source", &source)]).unwrap();
    let rows = json!([["#2019-01-02", "1.5"], ["2019-01-03", "NULL"], ["2019-01-04", "a\0b"]]);
    assert_eq!(bench.made().1, rows);
    bench.run("table", json!({"from": "fred.oil", "types": {"date": "STRING"}}), &[("source", &source)]).unwrap();
    assert_eq!(bench.made().1, rows, "also where the engine has a hand in it");
}

#[test]
fn a_file_that_is_not_the_table_it_is_said_to_be_is_refused_by_file_and_line() {
    let bench = Bench::new();
    let run = |file: &str, bytes: &[u8]| {
        let source = bench.input(&format!("{}-{file}", bytes.len()), file, bytes);
        bench.run("table", json!({"from": "fred.oil"}), &[("source", &source)]).unwrap_err()
    };
    for (bytes, said) in [
        (&b"date,price\n2019-01-02,1,5\n"[..], "fred.oil.csv:2: the row has 3 fields, the header 2"),
        (b"date,price\n2019-01-02,\xff\n", "fred.oil.csv:2: this is not UTF-8"),
        (b"date,price\n2019-01-02,\"1\n", "fred.oil.csv:2: a quote opens here that nothing closes"),
    ] {
        let error = run("fred.oil.csv", bytes);
        assert!(error.message.ends_with(said), "{}", error.message);
        assert_eq!((error.code, error.hint.is_some()), (ExitCode::Refused, true));
    }
    let error = run("fred.oil.parquet", b"date,price");
    assert!(error.message.contains("fred.oil.parquet"), "{}", error.message);
    assert_eq!((error.code, error.hint.is_some()), (ExitCode::Refused, true), "{}", error.message);
}

#[test]
fn a_column_or_key_that_is_not_there_is_named_with_the_nearest() {
    let bench = Bench::new();
    let source = bench.input("source", "fred.oil.csv", CSV);
    let error = bench.run("table", json!({"from": "fred.oil", "columns": ["prise"]}), &[("source", &source)]).unwrap_err();
    assert_eq!((error.code, error.hint.as_deref()), (ExitCode::Invalid, Some("did you mean 'price'?")));
    let error = bench.run("table", json!({"from": "fred.oil", "key": ["date"]}), &[("source", &source)]).unwrap_err();
    assert_eq!((error.code, error.hint.as_deref()), (ExitCode::Invalid, Some("did you mean 'Date'?")));
}

#[test]
fn an_empty_table_is_refused_by_name() {
    let bench = Bench::new();
    let source = bench.input("source", "fred.oil.csv", b"date,price\n");
    let error = bench.run("table", json!({"from": "fred.oil"}), &[("source", &source)]).unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (ExitCode::Refused, "the warehouse table 'fred.oil' has no rows"));
    let error = bench.run("sql", json!({"query": "SELECT 1 AS x FROM UNNEST(ARRAY<INT64>[]) AS y"}), &[]).unwrap_err();
    assert_eq!(error.code, ExitCode::Refused);
}

fn parquet(bench: &Bench, name: &str, rows: &[(i32, f64)]) -> PathBuf {
    let folder = bench.path(name);
    fs::create_dir_all(&folder).unwrap();
    let columns = [
        ("date".to_owned(), Values::Dates(rows.iter().map(|(day, _)| Some(*day)).collect())),
        ("price".to_owned(), Values::Floats(rows.iter().map(|(_, price)| Some(*price)).collect())),
    ];
    table_file::write(&folder.join("table.parquet"), &table(columns).unwrap(), &["date".to_owned()]).unwrap();
    folder
}

#[test]
fn a_query_reads_its_inputs_and_says_which_column_it_misses() {
    let bench = Bench::new();
    let daily = parquet(&bench, "daily", &[(17_899, 46.92), (17_898, 46.31)]);
    let slot = "table:wti.daily";
    let query = "SELECT date, price / LAG(price) OVER (ORDER BY date) - 1 AS ret FROM wti.daily";
    bench.run("sql", json!({"query": query, "params": {}, "key": null}), &[(slot, &daily)]).unwrap();
    let (columns, rows) = bench.made();
    assert_eq!(columns[0], ("date".to_owned(), "DATE".to_owned()));
    assert_eq!(rows, json!([["2019-01-02", null], ["2019-01-03", 46.92 / 46.31 - 1.0]]));

    let error = bench.run("sql", json!({"query": "SELECT date, prise FROM wti.daily"}), &[(slot, &daily)]).unwrap_err();
    assert_eq!(error.message, "no column 'prise' in what the query reads");
    assert_eq!((error.code, error.hint.as_deref()), (ExitCode::Invalid, Some("did you mean 'price'?")));
}

#[test]
fn the_rows_decide_the_bytes_not_their_order() {
    let bench = Bench::new();
    let bytes = |name: &str, rows: &[(i32, f64)]| fs::read(parquet(&bench, name, rows).join("table.parquet")).unwrap();
    let one = bytes("one", &[(1, 1.0), (2, f64::NAN), (2, 3.0)]);
    assert_eq!(one, bytes("two", &[(2, 3.0), (2, -f64::NAN), (1, 1.0)]));
    assert_ne!(one, bytes("three", &[(1, 1.0), (2, f64::NAN), (2, 4.0)]));
}

#[test]
fn a_numeric_is_not_computed_with_until_it_is_a_float() {
    use arrow::array::{ArrayRef, Decimal128Array, RecordBatch};
    let bench = Bench::new();
    let cents = Decimal128Array::from(vec![125, 250]).with_precision_and_scale(38, 2).unwrap();
    let batch = RecordBatch::try_from_iter([("amount", std::sync::Arc::new(cents) as ArrayRef)]).unwrap();
    let batch = table_types::canonical(&batch).unwrap();
    let folder = bench.path("source");
    fs::create_dir_all(&folder).unwrap();
    table_file::write(&folder.join("d.t.parquet"), &batch, &[]).unwrap();
    fs::copy(folder.join("d.t.parquet"), folder.join("table.parquet")).unwrap();
    let slot = "table:d.t";
    let error = bench.run("sql", json!({"query": "SELECT amount * 2 AS x FROM d.t"}), &[(slot, &folder)]).unwrap_err();
    assert!(error.hint.unwrap().contains("types = { amount = \"FLOAT64\" }"));
    fs::remove_file(folder.join("table.parquet")).unwrap();
    bench.run("table", json!({"from": "d.t", "types": {"amount": "FLOAT64"}}), &[("source", &folder)]).unwrap();
    assert_eq!(bench.made(), (vec![("amount".to_owned(), "FLOAT64".to_owned())], json!([[1.25], [2.5]])));
}

#[test]
fn rows_can_be_looked_at() {
    let bench = Bench::new();
    let daily = parquet(&bench, "daily", &[(0, 1.5), (1, 2.5), (2, 3.5)]);
    bench.run("view:cat", json!({"first": 1, "rows": 1}), &[("table", &daily)]).unwrap();
    let answer: Value = serde_json::from_slice(&fs::read(bench.path("out/view/view.json")).unwrap()).unwrap();
    let columns = json!([["date", "DATE"], ["price", "FLOAT64"]]);
    assert_eq!(answer, json!({"columns": columns, "rows": [["1970-01-02", 2.5]], "total": 3}));
}

#[test]
fn two_tables_are_compared_row_by_row() {
    let bench = Bench::new();
    let old = parquet(&bench, "old", &[(0, 1.0), (1, 2.0), (2, 3.0)]);
    let new = parquet(&bench, "new", &[(1, 2.0), (2, 3.5), (3, 4.0)]);
    let diff = |key: Value| {
        bench.run("view:diff", json!({ "key": key }), &[("old", &old), ("new", &new)]).unwrap();
        serde_json::from_slice::<Value>(&fs::read(bench.path("out/view/view.json")).unwrap()).unwrap()
    };
    let keyed = diff(json!(["date"]));
    assert_eq!(keyed["added"], json!({"count": 1, "first": [["1970-01-04", 4.0]]}));
    assert_eq!(keyed["removed"], json!({"count": 1, "first": [["1970-01-01", 1.0]]}));
    assert_eq!(keyed["changed"], json!({"count": 1, "first": [["1970-01-03", 3.5]]}));
    assert_eq!((&keyed["cells"], &keyed["range"]), (&json!({"price": 1}), &json!([["1970-01-01"], ["1970-01-04"]])));
    let whole = diff(json!([]));
    assert_eq!((&whole["added"]["count"], &whole["removed"]["count"], &whole["key"]), (&json!(2), &json!(2), &json!([])));
}
